//! Reports of reward models.

use collimate_core::Key;
use collimate_data::TokenizeReport;
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::Pooling;
use collimate_reward::RewardModel;
use collimate_testkit::flex;
use serde_json::{Value, json};

use super::{ABOUT, accuracy, from, holds, interval, lacks, written};
use crate::ppo::{PolicyConfig, PolicyOutcome};
use crate::reward_model::{RewardModelConfig, RewardModelOutcome};
use crate::ser::{ReportNotes, SerConfig, SerOutcome, TrainedReward};

fn reward_model() -> RewardModel<Llama> {
    let config = LlamaConfig {
        vocab_size: 8,
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        max_position_embeddings: 8,
        ..LlamaConfig::default()
    };
    let key = Key::new(1, "init");
    let backbone = Llama::new(&config, key, &flex().without_autodiff()).unwrap();
    RewardModel::with_fresh_head(backbone, Pooling::LastToken, key)
}

#[test]
fn a_reward_model() {
    let minimal = |model| RewardModelOutcome {
        model,
        pairs: 9,
        tokenize: TokenizeReport::default(),
        steps: 4,
        before: None,
        validation: None,
        test: None,
        interval: None,
        calibration: None,
        margins: Vec::new(),
        seconds: 1.0,
    };
    let full = RewardModelOutcome {
        before: from(accuracy()),
        validation: from(accuracy()),
        test: from(accuracy()),
        interval: from(interval()),
        calibration: from(json!({
            "ece": 0.05, "brier": 0.25, "log_loss": 0.7,
            "bins": [
                {"lower": 0.5, "upper": 0.75, "count": 8, "confidence": 0.6, "accuracy": 0.75},
                {"lower": 0.75, "upper": 1.0, "count": 0, "confidence": 0.0, "accuracy": 0.0},
            ],
        })),
        margins: vec![0.5, -0.25, 1.0],
        ..minimal(reward_model())
    };
    let config = RewardModelConfig::default();
    let report = |outcome: &RewardModelOutcome<Llama>, stages: &[&str]| {
        written(stages, |run, extra| {
            crate::reward_model::write_report(outcome, &config, run, ABOUT, extra)
        })
    };
    let parts = [
        "| test       | 75.0 %          | 75.0 % | 25.0 % – 75.0 % | 8     |",
        "| validation | –               | 75.0 % | –               | 8     |",
        "Expected calibration error 0.050, Brier score 0.250 (",
        "|------------|-------|-------|\n| 0.60       | 0.75  | 8     |\n\n",
        "(plots/loss.svg)",
        "(plots/margins.svg)",
    ];
    holds(&report(&full, &[&config.train.stage]), &parts);
    let report = report(&minimal(reward_model()), &[]);
    holds(
        &report,
        &[
            "9 pairs in 4 steps of ",
            "| test       | –               | –     | –             | 0     |",
        ],
    );
    lacks(&report, &["## Calibration", "plots/"]);
}

#[test]
fn an_evolved_reward_model() {
    let labels = json!({
        "pool": 30, "status": "easy", "counts": {
            "pairs": 30, "easy": 9, "confident_answers": 20, "hard": 5, "hard_same_side": 2,
            "ties": 0, "not_finite": 0,
        },
        "min_count": 2, "kept": 9, "swapped": 4, "left": [], "centre": 0.0,
        "probabilities": {"mean": 0.5, "sd": 0.25, "min": 0.0, "max": 1.0},
        "label_precision": 0.75, "pool_accuracy": 0.625,
        "precision_curve": [
            {"threshold": 0.0, "kept": 30, "coverage": 1.0, "precision": 0.625},
            {"threshold": 0.9, "kept": 0, "coverage": 0.0, "precision": null},
        ],
    });
    let a_loop = |index: usize, labels: Value| {
        from(json!({
            "index": index, "labels": labels, "train_pairs": 20, "human_labels": 11, "steps": 6,
            "validation": accuracy(), "seconds": 2.0,
            "gap": {"mean": 0.1, "mean_abs": 0.5, "same_side": 0, "mean_abs_same_side": null},
        }))
    };
    let model = |name: &str, unseen: Value, accuracy_of_test: f64| {
        let mut test = accuracy();
        test["accuracy"] = json!(accuracy_of_test);
        from(json!({
            "name": name, "human_labels": 11, "steps": {"own": 6, "all": 12},
            "validation": accuracy(),
            "test": {
                "accuracy": test, "unseen": unseen, "interval": interval(),
                "calibration": {"bins": [], "ece": 0.05, "brier": 0.25, "log_loss": 0.7},
                "gaps": [0.5, -0.25],
            },
        }))
    };
    let minimal = || SerOutcome {
        learnt: TrainedReward {
            model: reward_model(),
            centre: 0.0,
            seed: Vec::new(),
            trained_on: Vec::new(),
        },
        reward_models: Vec::new(),
        fine_tuning_labels: 0,
        loops: vec![a_loop(0, Value::Null)],
        models: vec![model("loop0", Value::Null, 0.5)],
        significance: Vec::new(),
        cross_fit: None,
        agreement: None,
        gain: None,
        self_labels: Vec::new(),
        ask_next: Vec::new(),
        warnings: Vec::new(),
        seconds: 1.0,
    };
    let full = SerOutcome {
        fine_tuning_labels: 5,
        loops: vec![a_loop(0, Value::Null), a_loop(1, labels)],
        models: vec![
            model("loop0", Value::Null, 0.5),
            model("ser", accuracy(), 0.75),
            model("full", Value::Null, 1.0),
        ],
        significance: from(json!([{"of": "ser", "over": "loop0", "difference": interval()}])),
        warnings: vec!["Too few pairs.".to_owned()],
        ..minimal()
    };
    let config = SerConfig::default();
    let report = written(&[], |run, extra| {
        let policies = PolicyOutcome::<()> {
            policies: Vec::new(),
            duels: Vec::new(),
            start: None,
            start_perplexity: None,
            judge: None,
            prompts: 20,
            too_long: 0,
            seconds: 1.0,
        };
        let part = crate::ppo::section(&policies, &PolicyConfig::default(), run)?;
        let notes = ReportNotes {
            about: ABOUT,
            extra,
            files: "`ask-next.jsonl` holds pairs.",
        };
        crate::ser::write_report_with(&full, &config, run, notes, vec![part])
    });
    let parts = [
        "| ser   | 11           | 6 (12) | 75.0 %  | 25.0 % – 75.0 % | 2    | 75.0 % of 8 | 75.0 %     | 0.050 |",
        "so `ser` depends on 0 + 5 = 5 human labels",
        "SER recovers **50.0 %** of the gap",
        "`ask-next.jsonl` holds pairs.",
        "| ser − loop0 | +50.0 points | +25.0 to +75.0 ",
        "**Warning.** Too few pairs.",
        "| 0    | seed   | –    | –    | –       | –        | –         | –              | –           | 20 ",
        "| 1    | easy   | 30   | 9    | 4       | –        | 75.0 %    | 62.5 %         | 0.50 ± 0.25 | 20 ",
        "| 0.50 | –         | 2 s  |",
        "| above | loop 1       |",
        "| 0     | 62.5 % of 30 |",
        "| 0.9   | –            |",
        "(plots/precision.svg)",
        "(appendix E: 0.668 $ per human label, 1.338e-4 $ per sample scored)",
        "Neither cost includes the 5 labels of the fine-tuning",
        "## Policies",
    ];
    holds(&report, &parts);
    let report = written(&[], |run, extra| {
        crate::ser::write_report(&minimal(), &config, run, ABOUT, extra)
    });
    let absent = [
        "human labels too",
        "recovers",
        "**Warning.**",
        "| above",
        "## Policies",
    ];
    lacks(&report, &absent);
}
