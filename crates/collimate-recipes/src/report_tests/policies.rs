//! Reports of policies from rewards, and of models that judge themselves.

use std::collections::BTreeMap;

use collimate_data::TokenizeReport;
use serde_json::{Value, json};

use super::{ABOUT, answers, from, holds, interval, lacks, written};
use crate::ppo::{PolicyConfig, PolicyOutcome, PolicyReport, TrainedPolicy};
use crate::self_rewarding::{ModelReport, SelfRewardingConfig, SelfRewardingOutcome};

#[test]
fn policies() {
    let policy: PolicyReport = from(json!({
        "name": "reward_model", "stage": "ppo-reward_model", "own_critic": true,
        "scaling": {"sigmoid": {"threshold": 0.5, "min": 0.0, "max": 1.0}}, "floor": 0.95,
        "updates": 18, "seconds": 2.0, "reward_before": interval(), "reward_after": interval(),
        "kl": interval(), "answers": answers("short"), "perplexity": 10.0, "metrics": {},
        "watched": [
            {"rollout": 2, "prompt": "b", "answer": "x|y\nz", "score": 0.5},
            {"rollout": 0, "prompt": "a", "answer": "word ".repeat(100), "score": 0.25},
        ],
    }));
    let minimal = PolicyOutcome {
        policies: Vec::new(),
        start: None,
        duels: Vec::new(),
        start_perplexity: None,
        judge: None,
        prompts: 20,
        too_long: 0,
        seconds: 1.0,
    };
    let numbers = json!({
        "win_rate": interval(), "counts": [3, 2, 1], "score_difference": interval(),
    });
    let full = PolicyOutcome {
        duels: vec![from(json!({
            "a": "ser", "b": "loop0", "common": numbers, "independent": numbers,
        }))],
        policies: vec![TrainedPolicy {
            report: policy,
            model: (),
        }],
        start: Some(answers("short")),
        start_perplexity: Some(8.0),
        judge: Some("the rule".to_owned()),
        too_long: 3,
        ..minimal.clone()
    };
    let report = |outcome: &PolicyOutcome<()>, stages: &[&str]| {
        written(stages, |run, extra| {
            crate::ppo::write_report(outcome, &PolicyConfig::default(), run, ABOUT, extra)
        })
    };
    let parts = [
        "One policy per reward was trained by proximal policy optimisation (PPO) with a critic. ",
        " used the same 20 prompts. ",
        "passes over each rollout. 3 prompts were dropped because a response",
        "| start        | 0     | 0.500 (0.250 – 0.750) |",
        "| reward_model | 18    | 0.500 (0.250 – 0.750) | 0.500 (0.250 – 0.750) | 0.500 → 0.500         | 0.50 | 7.2    | 50 %  | +25 % | 2 s  |",
        "The scores are those of the rule. ",
        "| ser against loop0 | 0.500 (0.250 – 0.750) | 3 / 2 / 1 ",
        "From scores to rewards: `reward_model`: σ(",
        " (95.0 % of the training responses got the smallest reward).\n",
        "**Warning.** reward_model: the sigmoid",
        "**Warning.** reward_model: 95.0 % of the training responses",
        "(plots/policy_win_rate.svg)",
        "(plots/policy_kl.svg)",
        "## Answers during training: reward_model",
        "| b      | 2        | x\\|y z ",
        " word word … | 0.250  |",
        "## Final answers: reward_model",
        "| a\\|b c      | *so* (-1.00) | short (0.25) |",
    ];
    holds(&report(&full, &["ppo-reward_model"]), &parts);
    let report = report(&minimal, &[]);
    holds(&report, &["on which the policy's own reward scores"]);
    lacks(
        &report,
        &[
            "From scores",
            "compares the policies",
            "plots/",
            "## Final",
            "were dropped",
        ],
    );
}

#[test]
fn models_that_judge_themselves() {
    let judge = json!({
        "judgements": 40, "parse_rate": 0.75, "pairs": 20, "agreement": interval(), "ties": 3,
        "correlation": [0.5, 0.25], "mean_score": 2.5,
    });
    let model = |name: &str, answers: Value, judge: Value| {
        from(json!({
            "name": name, "answers": answers, "perplexity": 8.0, "task_accuracy": 0.5,
            "judge": judge, "steps": 12,
        }))
    };
    let branch = |source: &str, model: Value| {
        json!({
            "source": source, "model": model, "pairs": 9,
            "dropped": [["equal_rewards", 4], ["too_few_responses", 3]],
            "agreement": {"pairs": 9, "same_sign": 0.625, "correlation": null},
            "agreement_in_common": [0.5, 8], "scoring_seconds": 1.25, "trained_pairs": 9, "steps": 6,
            "training_seconds": 2.0,
        })
    };
    let iteration = json!({
        "model": "m1",
        "tasks": {
            "written": 20, "kept": 10, "cut": 1, "held_out": 2, "too_short": 3, "too_long": 1,
            "similar": 2, "surplus": 1, "seconds": 2.0,
        },
        "candidates": {
            "written": 40, "empty": 1, "cut": 2, "too_long": 3, "unscored": 4, "mean_tokens": 7.0,
            "seconds": 3.0,
        },
        "judged": {"judgements": 90, "parsed": 80, "example": null},
        "branches": [branch("judge", json!("m2")), branch("implicit_reward", Value::Null)],
    });
    let minimal = SelfRewardingOutcome::<()> {
        models: Vec::new(),
        weights: Vec::new(),
        iterations: Vec::new(),
        stopped: None,
        tokenize: BTreeMap::new(),
        comparisons: BTreeMap::new(),
        seed_data: (30, 20, 10),
        eft: None,
        evaluator: None,
        seconds: 1.0,
    };
    let cut = |truncated| TokenizeReport {
        pairs: 9,
        truncated,
        ..TokenizeReport::default()
    };
    let ranks = json!({
        "judgements": 120, "parse_rate": 0.75, "unscored": 1, "too_long": 0,
        "agreement": {
            "lists": 10, "answers": 39, "pairs": 57, "correct": 40, "ties": 5, "pairwise": 0.745,
            "exact": 2, "exact_match": 0.2, "top": 8, "top_best": 6, "top_share": 0.75,
            "correlated": 9, "spearman": 0.5, "kendall": 0.25,
        },
        "pairwise": interval(), "exact_match": null,
    });
    let mut judging: ModelReport = model("m2", json!(answers("short")), judge);
    judging.ranks = Some(from(ranks));
    let full = SelfRewardingOutcome {
        eft: Some(from(json!({
            "from": "judged", "judge": "sft", "lists": 7, "answers": 21, "kept": 4,
            "dropped": {"tied": 2, "too_long": 1}, "thinned": 3, "examples": 9,
            "scores": {"2": 4, "4": 5}, "judgements": 54, "parsed": 50,
        }))),
        models: vec![
            model("sft", Value::Null, Value::Null),
            judging,
            model("m2-implicit_reward", Value::Null, Value::Null),
        ],
        iterations: vec![from(iteration)],
        stopped: Some("no pair is left".to_owned()),
        tokenize: [("eft", cut(2)), ("held_out", cut(0)), ("ift", cut(3))]
            .map(|(name, report)| (name.to_owned(), report))
            .into(),
        comparisons: BTreeMap::from([("m2_vs_m1".to_owned(), answers("short"))]),
        evaluator: Some("the rule".to_owned()),
        ..minimal.clone()
    };
    let report = |outcome: &SelfRewardingOutcome<()>, stages: &[&str]| {
        let config = SelfRewardingConfig::default();
        written(stages, |run, extra| {
            crate::self_rewarding::write_report(outcome, &config, run, ABOUT, extra)
        })
    };
    let parts = [
        "The model *sft* was trained on 30 demonstrations only ",
        " the same demonstrations, 20 judgements (evaluation fine-tuning, *eft*) and 10 examples ",
        " tokens: 2 of 9 texts of eft, 3 of 9 texts of ift.\n",
        "**The loop ended early**: no pair is left.",
        "| m2                 | 12    | 0.500 (0.250 – 0.750) | 0.500 (0.250 – 0.750) | 7.2    | 50.0 % | 0.500 | 8.00       | +0 % |",
        "| m2 against m1 | 0.500 (0.250 – 0.750) | 3 / 2 / 1 ",
        "| m2    | 40         | 75.0 % | 20    | 0.500 (0.250 – 0.750) | 3    | +0.50 / +0.25 | 2.50       |",
        "made from 7 lists with 21 ranked answers in all. The judge `sft` wrote 54 judgements, 50 of them \
         with a score. The judgements of 4 lists agree with the ranks. Other lists were dropped: 2 tied, 1 \
         too long. The training used 9 judgements; 3 with the most common score were dropped. Judgements by \
         score: 4 with score 2, 5 with score 4.\n",
        "| m2    | 75.0 % | 10    | 57    | 0.500 (0.250 – 0.750) | 5    | –     | 75.0 % of 8 | 0.500    | 0.250   | 9  ",
        "(plots/judge_ranks.svg)",
        "| m1 | 10 of 20  | 2 / 4 / 2 / 1 | 40         | 1 / 2 / 3 | 80 of 90          | 4        | 2 / 3 s |",
        "The table compares several sources of scores",
        "| m1            | judge           | 9     | 4 / 3   | 62.5 %    | 50.0 % of 8 | 1.2 s   | 6     | 2 s      | 0.500 (0.250 – 0.750) |",
        "| m1            | implicit reward | 9     | 4 / 3   | 62.5 %    | 50.0 % of 8 | 1.2 s   | 6     | 2 s      | – ",
        "(plots/win_rate.svg)",
        "(plots/judges.svg)",
        "(plots/rewards_m2.svg)",
        "| prompt | sft          | m2           |",
    ];
    holds(&report(&full, &["m2"]), &parts);
    let report = report(&minimal, &[]);
    holds(
        &report,
        &[
            "an evaluator (none was given)",
            "The table shows the preference pairs that each model made.",
        ],
    );
    let absent = [
        "were cut to",
        "ended early",
        "two models",
        "## Judges",
        "ranked answers",
        "## Answers",
        "plots/",
    ];
    lacks(&report, &absent);
}
