//! Refused options and data, and the error messages.

use collimate_core::{Completion, Prompt, ScoreError, Scorer};
use collimate_recipes::sera::{AnswerScorer, Method, SeraConfig, SeraData};

use crate::setup::{config, refusal, run_in_new_folder, setup};

#[test]
fn a_policy_that_says_nothing() {
    let mut setup = setup();
    // Every token ends the answer.
    setup.data.eos = (0..setup.tokenizer.vocab_size() as u32).collect();
    let mut config = config(&[Method::Sera]);
    config.iterations = 2;
    let outcome = run_in_new_folder(&setup, &config);
    let selection = &outcome.policies[0].iterations[1].selection;
    assert_eq!((selection.offline, selection.bootstrapped), (67, 0));
    assert_eq!(selection.responses.empty, 4 * 96);
    config.methods = vec![Method::BootstrapOnly];
    let text = refusal(&setup, &setup.data, &config);
    assert!(
        text.contains("bootstrap-only-dpo 2: no pair is left")
            && text.contains("96 × \"too_few_responses\""),
        "{text}"
    );
}

#[test]
fn lists_that_do_not_fit() {
    let setup = setup();
    let with = |change: &dyn Fn(&mut SeraData<'static>), judge: bool| {
        let mut data = setup.data.clone();
        change(&mut data);
        let data = SeraData {
            judge: judge.then_some(AnswerScorer {
                name: "short".to_owned(),
                scorer: &Short,
            }),
            ..data
        };
        refusal(&setup, &data, &config(&[Method::Base]))
    };
    let text = with(&|data| data.noisy = Some(vec![true]), false);
    assert!(
        text.contains("noisy is 1") && text.contains("one flag per training pair"),
        "{text}"
    );
    let text = with(&|_| {}, true);
    assert!(
        text.contains("the scorer returned 11 scores for 12 items"),
        "{text}"
    );
    for method in [Method::Curry, Method::Oaif, Method::ScoreGapSelection] {
        let text = refusal(&setup, &setup.data, &config(&[method]));
        assert!(
            text.contains(method.name()) && text.contains("a judge"),
            "{text}"
        );
    }
    let text = with(&|data| data.prompts.clear(), true);
    assert!(text.contains("prompts for the judge"), "{text}");
}

/// Best-SeRA needs data to choose on, and these must not be the data of the report.
#[test]
fn nothing_to_choose_on() {
    let setup = setup();
    let config = config(&[Method::BestSera]);
    let mut data = setup.data.clone();
    data.validation.clear();
    let text = refusal(&setup, &data, &config);
    assert!(
        text.contains("best_sera") && text.contains("validation pairs"),
        "{text}"
    );
    let flat = |_: &Prompt, _: &Completion| 0.0;
    let prompts = setup.data.validation.iter().map(|pair| pair.prompt.clone());
    let data = SeraData {
        prompts: prompts.collect(),
        judge: Some(AnswerScorer {
            name: "flat".to_owned(),
            scorer: &flat,
        }),
        ..setup.data.clone()
    };
    let text = refusal(&setup, &data, &config);
    assert!(
        text.contains("best_sera") && text.contains("every validation prompt"),
        "{text}"
    );
}

/// A scorer that returns one score too few.
struct Short;

impl Scorer for Short {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        Ok(vec![0.0; items.len() - 1])
    }
}

#[test]
fn options_that_are_refused() {
    let wrong = |change: &dyn Fn(&mut SeraConfig)| {
        let mut config = config(&[Method::Sera]);
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(wrong(&|c| c.irm.responses = 1).contains("at least 2"));
    assert!(wrong(&|c| c.loss = c.loss.with_beta(0.0)).contains("beta is 0"));
    assert!(wrong(&|c| c.iterations = 0).contains("iterations"));
    assert!(wrong(&|c| c.methods.clear()).contains("methods"));
    assert!(wrong(&|c| c.responses.top_p = 0.0).contains("top_p"));
    assert!(wrong(&|c| c.irm.gamma = 2.0).contains("gamma"));
    let none = wrong(&|c| {
        c.methods = vec![Method::SelectionOnly];
        c.irm.offline_share = 0.0;
    });
    assert!(none.contains("selection_only"), "{none}");
    let none = wrong(&|c| {
        c.methods = vec![Method::BestSera];
        c.best_of.clear();
    });
    assert!(none.contains("best_of"), "{none}");
    let twice = wrong(&|c| {
        c.methods = vec![Method::BestSera];
        c.best_of = vec![0.3, 0.5, 0.3];
    });
    assert!(twice.contains("has each share once"), "{twice}");
    let watched = wrong(&|c| {
        c.methods = vec![Method::Kto];
        c.train.eval_every = Some(2);
    });
    assert!(
        watched.contains("eval_every") && watched.contains("kto"),
        "{watched}"
    );
    let wide = wrong(&|c| {
        c.methods = vec![Method::BestSera];
        c.best_of = vec![0.3, 2.5];
    });
    assert!(
        wide.contains("best_of is 2.5") && wide.contains("at most 2"),
        "{wide}"
    );
    let negative = wrong(&|c| {
        c.methods = vec![Method::Kto];
        c.kto.beta = -1.0;
    });
    assert!(negative.contains("beta"), "{negative}");
}
