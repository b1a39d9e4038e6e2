//! Effects of the options.

use collimate_irm::{CutPolicy, MarginReference};
use collimate_lm::Llama;
use collimate_losses::PreferenceLoss;
use collimate_recipes::sera::{Method, SeraOutcome, Updates};
use collimate_train::model_hash;

use crate::setup::{attempt, config, rows, run, run_in_new_folder, setup};

#[test]
fn scores_of_the_file_in_place_of_a_judge() {
    let mut setup = setup();
    let n = setup.data.train.len();
    for (index, pair) in setup.data.train.iter_mut().enumerate() {
        pair.score_gap = Some(index as f64 - 10.0);
    }
    let mut config = config(&[Method::ScoreGapSelection]);
    config.iterations = 2;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    attempt(&setup, &setup.data, &config, &path).unwrap();
    let left = rows(&path.join("selections/score-gap-selection-dpo-2-left.jsonl"));
    let gaps: Vec<f64> = left
        .iter()
        .map(|row| row["score_gap"].as_f64().unwrap())
        .collect();
    let smallest: Vec<f64> = (0..n - 67).map(|index| index as f64 - 10.0).collect();
    assert_eq!(gaps, smallest);
}

#[test]
fn the_best_of_one_share_is_sera() {
    let setup = setup();
    let mut config = config(&[Method::Sera, Method::BestSera]);
    config.best_of = vec![0.3];
    let outcome = run_in_new_folder(&setup, &config);
    let hash = |method| model_hash(&outcome.policy(method).unwrap().model);
    assert_eq!(hash(Method::Sera), hash(Method::BestSera));
}

#[test]
fn everything_selected_and_nothing_added_are_all_pairs() {
    let setup = setup();
    let mut config = config(&[Method::SelectionOnly]);
    config.irm.offline_share = 1.0;
    let outcome = run_in_new_folder(&setup, &config);
    for iteration in &outcome.policies[0].iterations[1..] {
        let selection = &iteration.selection;
        assert_eq!(
            (selection.offline, selection.mean_margin.unwrap().1),
            (96, None)
        );
        assert_eq!(selection.noisy_share, selection.noisy_share_of_all);
    }
}

#[test]
fn margins_are_not_zero_for_either_reference() {
    let setup = setup();
    let mut kept = Vec::new();
    for reference in [MarginReference::Initial, MarginReference::Previous] {
        let mut config = config(&[Method::SelectionOnly]);
        config.irm.reference = reference;
        let outcome = run_in_new_folder(&setup, &config);
        let selections: Vec<_> = outcome.policies[0].iterations[1..]
            .iter()
            .map(|i| i.selection.mean_margin.unwrap())
            .collect();
        for (kept, left) in &selections {
            assert!(
                kept.abs() > 1e-4 && left.unwrap().abs() > 1e-6,
                "{selections:?}"
            );
        }
        kept.push(selections);
    }
    // After one iteration both references are the start model; later they differ.
    assert_eq!(kept[0][0], kept[1][0]);
    assert_ne!(kept[0][1], kept[1][1]);
}

#[test]
fn every_loss_of_the_paper_and_adapters() {
    let setup = setup();
    for loss in ["ipo", "slic_hf", "simpo"] {
        let mut config = config(&[Method::Sera]);
        config.loss = loss.parse::<PreferenceLoss>().unwrap();
        config.iterations = 2;
        let outcome = run_in_new_folder(&setup, &config);
        let last = &outcome.policies[0].iterations[1];
        assert!(
            last.selection.offline == 67 && last.validation_accuracy.is_some(),
            "{loss}"
        );
    }
    let mut config = config(&[Method::Sera]);
    config.adaptation = collimate_recipes::Adaptation::Lora(Default::default());
    config.iterations = 2;
    let outcome = run_in_new_folder(&setup, &config);
    assert_ne!(
        model_hash(&outcome.policies[0].model),
        model_hash(&setup.start)
    );
}

#[test]
fn own_pairs_fit_and_larger_shares_take_more_steps() {
    let setup = setup();
    let mut config = config(&[Method::Sera]);
    config.irm.bootstrap_share = 1.0;
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("own_pairs"), "{error}");
    config.updates = Updates::OwnPairs;
    config.iterations = 2;
    config.max_length = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &config, &path);
    let second = &outcome.policies[0].iterations[1];
    let pairs = second.selection.offline + second.selection.bootstrapped;
    assert_eq!(second.steps, pairs.div_ceil(16) as u64);
    let text = std::fs::read_to_string(path.join("selections/sera-dpo-2-pairs.json")).unwrap();
    let reviewed: serde_json::Value = serde_json::from_str(&text).unwrap();
    for pair in reviewed["own"].as_array().unwrap() {
        let length = |name: &str| pair[name].as_array().unwrap().len();
        assert!(length("prompt") + length("chosen").max(length("rejected")) <= 20);
    }
}

#[test]
fn more_own_pairs_than_prompts() {
    let setup = setup();
    let mut config = config(&[Method::BootstrapOnly]);
    config.updates = Updates::OwnPairs;
    config.iterations = 2;
    // Nearly all responses to a prompt differ, and cut responses count, so each prompt gives up to
    // four pairs.
    config.irm.responses = 8;
    config.irm.cut = CutPolicy::Keep;
    config.responses.temperature = 1.0;
    let pairs = |share: f64| {
        let mut config = config.clone();
        config.irm.bootstrap_share = share;
        let outcome = run_in_new_folder(&setup, &config);
        let selection = &outcome.policies[0].iterations[1].selection;
        (selection.bootstrapped, selection.over_limit)
    };
    let (one, over) = pairs(1.0);
    assert!(one <= 96 && over == 0, "{one}");
    let (more, _) = pairs(4.0);
    assert!(more > 96 && more <= 4 * 96, "{more}");
    let (some, left) = pairs(1.25);
    assert_eq!((some, left), (120, more - 120));
    config.irm.bootstrap_share = 4.5;
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.starts_with("bootstrap_share is 4.5 but must be"),
        "{error}"
    );
    config.methods = vec![Method::BestSera];
    config.irm.bootstrap_share = 0.3;
    config.best_of = vec![0.5, 4.0];
    config.check().unwrap();
    config.best_of = vec![0.5, 4.5];
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.contains("best_of") && error.contains("irm.responses"),
        "{error}"
    );
}

#[test]
fn held_out_evaluation_decides_which_model_stays() {
    let setup = setup();
    let mut config = config(&[Method::Base]);
    config.iterations = 1;
    // The steps are far too large, so the last model is not the best.
    config.train.learning_rate = 0.05;
    let last = run_in_new_folder(&setup, &config);
    config.train.eval_every = Some(1);
    config.train.keep_best = true;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let best = run(&setup, &config, &path);
    let hash = |outcome: &SeraOutcome<Llama>| model_hash(&outcome.policies[0].model);
    assert_ne!(hash(&last), hash(&best));
    let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("eval_rewards/accuracies"));
}
