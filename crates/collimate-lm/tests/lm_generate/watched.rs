//! A watcher can stop generation and keeps the finished completions.

use super::*;
use std::ops::ControlFlow;

use collimate_core::GenerateError;

/// Keeps finished completions and asks to stop once it has seen enough.
struct Until {
    enough: fn(&[GenerationProgress]) -> bool,
    seen: Vec<GenerationProgress>,
    finished: Vec<(Place, Completion)>,
}

impl Until {
    fn new(enough: fn(&[GenerationProgress]) -> bool) -> Self {
        Self {
            enough,
            seen: Vec::new(),
            finished: Vec::new(),
        }
    }
}

impl Watch for Until {
    fn finished(&mut self, place: Place, completion: &Completion) {
        self.finished.push((place, completion.clone()));
    }

    fn progress(&mut self, progress: GenerationProgress) -> ControlFlow<()> {
        self.seen.push(progress);
        match (self.enough)(&self.seen) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_watcher_can_stop_and_has_what_is_finished() {
    let prompts = prompts(41, &[3, 3, 3, 3]);
    let sampling = greedy_sampling(10);
    let generator = generator(random_model(&Device::flex()))
        .with_eos(vec![])
        .with_limits(limits(2, 1000))
        .unwrap();
    let whole = generator
        .continue_ids(&prompts, &sampling, &mut ())
        .unwrap();
    // The calls are two prompts, nine steps and another prompt.
    let mut watch = Until::new(|seen| seen.len() >= 12);
    let error = generator
        .continue_ids(&prompts, &sampling, &mut watch)
        .unwrap_err();
    assert!(matches!(error, GenerateError::Interrupted), "{error}");
    assert_eq!(watch.finished.len(), 2);
    for (place, completion) in watch.finished {
        assert_eq!(completion, whole[place.prompt][place.sample]);
    }
}

#[test]
fn completions_of_one_token_can_be_stopped() {
    let prompts = prompts(42, &[3; 100]);
    // There is one lane because another could finish a completion before it notices the request to
    // stop.
    let generator = generator(random_model(&Device::flex()))
        .with_limits(limits(32, 16_384))
        .unwrap();
    // The cases are samples of many prompts, and more samples of one prompt than memory holds.
    for (prompts, n) in [(&prompts[..], 1), (&prompts[..1], usize::MAX)] {
        let sampling = Sampling {
            n,
            ..greedy_sampling(1)
        };
        let mut watch = Until::new(|seen| seen.iter().any(|now| now.finished >= 3));
        let error = generator
            .continue_ids(prompts, &sampling, &mut watch)
            .unwrap_err();
        assert!(matches!(error, GenerateError::Interrupted), "{error}");
        assert_eq!(watch.finished.len(), 3, "n {n}");
    }
}

#[test]
fn every_lane_hears_of_the_wish_to_stop() {
    let prompts = prompts(44, &[3; 400]);
    let limits = BatchLimits {
        lanes: Some(4),
        ..limits(4, 1000)
    };
    let generator = generator(random_model(&Device::flex()))
        .with_eos(vec![])
        .with_limits(limits)
        .unwrap();
    let sampling = greedy_sampling(10);
    let whole = generator
        .continue_ids(&prompts, &sampling, &mut ())
        .unwrap();
    let mut watch = Until::new(|seen| seen.iter().any(|now| now.finished >= 3));
    let error = generator
        .continue_ids(&prompts, &sampling, &mut watch)
        .unwrap_err();
    assert!(matches!(error, GenerateError::Interrupted), "{error}");
    // Each lane may be in the middle of a step.
    assert!((3..=7).contains(&watch.finished.len()));
    let last = watch.seen.last().unwrap();
    assert_eq!((last.finished, last.total), (watch.finished.len(), 400));
    for (place, completion) in watch.finished {
        assert_eq!(completion, whole[place.prompt][place.sample]);
    }
}

#[test]
fn a_wish_to_stop_after_the_last_completion_loses_nothing() {
    let prompts = prompts(43, &[3, 5]);
    let generator = generator(random_model(&Device::flex()));
    for max_new_tokens in [1, 6] {
        let sampling = Sampling {
            n: 2,
            ..greedy_sampling(max_new_tokens)
        };
        let wanted = generator
            .continue_ids(&prompts, &sampling, &mut ())
            .unwrap();
        let mut watch = Until::new(|seen| seen.iter().any(|now| now.finished == now.total));
        let found = generator
            .continue_ids(&prompts, &sampling, &mut watch)
            .unwrap();
        assert_eq!(found, wanted);
        assert_eq!(watch.finished.len(), 4);
    }
}
