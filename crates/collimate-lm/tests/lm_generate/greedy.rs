//! Greedy generation against naive loops and transformers.

use super::*;
use collimate_core::Finish;
use collimate_lm::sample::argmax;
use collimate_nn::HfFolder;

/// Repeatedly appends the likeliest token, each time after a pass over the whole sequence.
fn naive(model: &Llama, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut sequence = prompt.to_vec();
    for _ in 0..count {
        let logits = whole_logits(model, std::slice::from_ref(&sequence), Forward::EVAL);
        let next = argmax(&logits[0]).unwrap();
        sequence.push(next);
        if next == EOS {
            break;
        }
    }
    sequence[prompt.len()..].to_vec()
}

#[test]
fn equals_a_loop_of_whole_passes() {
    let prompts = prompts(20, &[1, 4, 15, 16, 33, 2, 8]);
    for (name, device, window) in with_windows() {
        let model = windowed_model(window, &device);
        let wanted: Vec<_> = prompts.iter().map(|ids| naive(&model, ids, 40)).collect();
        let kinds: std::collections::BTreeSet<_> = wanted.iter().flatten().collect();
        assert!(
            kinds.len() > 5,
            "{name}: a dull model shows nothing: {wanted:?}"
        );
        for rows in [1, 3, 16] {
            let generator = generator(model.clone())
                .with_limits(limits(rows, 4096))
                .unwrap();
            let found = generator
                .continue_ids(&prompts, &greedy_sampling(40), &mut ())
                .unwrap();
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(tokens(&found[0]), wanted, "{name}, {rows} rows");
                let ended = wanted.last() == Some(&EOS);
                let finish = if ended { Finish::Eos } else { Finish::Length };
                assert_eq!(found[0].finish, finish);
            }
        }
    }
}

#[test]
fn a_tracked_model_writes_the_same() {
    let prompts = prompts(21, &[5, 2]);
    let write = |device: Device| {
        let generator = generator(random_model(&device));
        assert!(!generator.model().device().is_autodiff());
        generator
            .continue_ids(&prompts, &greedy_sampling(10), &mut ())
            .unwrap()
    };
    assert_eq!(write(Device::flex().autodiff()), write(Device::flex()));
}

#[test]
fn equals_generate_of_transformers() {
    let expected = common::json(&common::fixtures().join("generation.json"));
    let mut rows = 0;
    for (name, device) in common::plain_devices() {
        for case in expected["greedy"].as_array().unwrap() {
            let folder = common::fixture(case["folder"].as_str().unwrap());
            let model = Llama::load(&folder, &device).unwrap();
            let tokenizer = TextTokenizer::from_folder(&folder).unwrap();
            let eos = collimate_lm::eos_token_ids(&folder).unwrap();
            assert_eq!(eos, [2]);
            let generator = TextGenerator::new(model, tokenizer).with_eos(eos);
            let cases = case["rows"].as_array().unwrap();
            let prompts: Vec<_> = cases
                .iter()
                .map(|row| common::ids(&row["prompt"]))
                .collect();
            let sampling = Sampling {
                repetition_penalty: case["repetition_penalty"].as_f64().unwrap(),
                ..greedy_sampling(24)
            };
            let found = generator
                .continue_ids(&prompts, &sampling, &mut ())
                .unwrap();
            for (found, row) in found.iter().zip(cases) {
                let what = format!("{name}, {folder:?}, {sampling:?}, after {}", row["prompt"]);
                assert_eq!(tokens(&found[0]), common::ids(&row["new_ids"]), "{what}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 2 * 6 * 5);
}
