//! Reports of direct alignment.

use collimate_data::TokenizeReport;
use serde_json::json;

use super::{ABOUT, answers, from, holds, lacks, written};
use crate::direct::{AlignConfig, AlignOutcome};
use crate::sera::{Aligned, Method, SeraConfig, SeraOutcome};

#[test]
fn direct_alignment() {
    let minimal = AlignOutcome {
        model: (),
        title: "dpo".to_owned(),
        rows: 9,
        tokenize: TokenizeReport::default(),
        steps: 4,
        validation_accuracy: None,
        validation_logps: None,
        answers: None,
        start_answers: None,
        perplexity: None,
        judge: None,
        seconds: 1.0,
    };
    let full = AlignOutcome {
        validation_accuracy: Some(0.75),
        validation_logps: Some((-3.0, -4.0)),
        answers: Some(answers("short")),
        start_answers: Some(answers("short")),
        perplexity: Some((8.0, 10.0)),
        judge: Some("the rule".to_owned()),
        ..minimal.clone()
    };
    let report = |outcome: &AlignOutcome<()>, stages: &[&str]| {
        written(stages, |run, extra| {
            crate::direct::write_report(outcome, &AlignConfig::default(), run, ABOUT, extra)
        })
    };
    let parts = [
        "# Direct alignment with dpo\n",
        "trained on 9 rows in 4 steps. ",
        "*Score* is the mean of the rule over ",
        "| start  | 0.500 (0.250 – 0.750) | –                     | –                 | 7.2    | 50 %  |",
        "| dpo    | 0.500 (0.250 – 0.750) | 0.500 (0.250 – 0.750) | 3 / 2 / 1         | 7.2    | 50 %  | -0.50             | 75.0 %     | 10.00      | +25 % |",
        "(plots/win_rate.svg)",
        "(plots/logps_dpo.svg)",
        "(plots/rewards_dpo.svg)",
        "| a\\|b c | *so* (-1.00) | short (0.25) |",
    ];
    holds(&report(&full, &["dpo"]), &parts);
    let report = report(&minimal, &[]);
    holds(&report, &["| dpo    | –     | –        |"]);
    lacks(&report, &["*Score*", "plots/", "## Answers"]);
}

#[test]
fn reviewed_pairs() {
    let iteration = json!({
        "iteration": 2,
        "selection": {
            "offline": 70, "left": [], "noisy_share": 0.125, "noisy_share_of_all": 0.25,
            "mean_margin": [0.5, null], "gammas": [[0.0, 1.0], [0.15, 0.5]], "bootstrapped": 12,
            "offline_agreement": {"pairs": 70, "same_sign": 0.625, "correlation": [0.25, -0.5]},
            "own_agreement": null, "responses": {"responses": 40, "empty": 1, "cut": 3},
            "dropped": [], "over_limit": 0,
        },
        "steps": 6, "validation_accuracy": 0.75, "validation_logps": [-3.25, -4.0], "seconds": 2.0,
    });
    let first = Aligned {
        method: Method::Base,
        title: "dpo".to_owned(),
        model: (),
        tried: Vec::new(),
        iterations: Vec::new(),
        answers: None,
        perplexity: None,
    };
    let second = Aligned {
        method: Method::BestSera,
        title: "best-sera-dpo".to_owned(),
        tried: from(json!([
            {"bootstrap_share": 0.3, "title": "sera-0.3-dpo", "validation": 0.5, "chosen": true},
            {"bootstrap_share": 0.5, "title": "sera-0.5-dpo", "validation": 0.4, "chosen": false},
        ])),
        iterations: vec![from(iteration)],
        answers: Some(answers(&"long ".repeat(30))),
        perplexity: Some(10.0),
        ..first.clone()
    };
    let minimal = SeraOutcome {
        policies: vec![first],
        start_answers: None,
        start_perplexity: None,
        overlaps: Vec::new(),
        judge: None,
        pairs: 9,
        tokenize: TokenizeReport::default(),
        seconds: 1.0,
    };
    let mut full = minimal.clone();
    full.policies.push(second);
    full.start_answers = Some(answers("short"));
    full.start_perplexity = Some(8.0);
    full.overlaps = from(json!([{"a": ["sera", 2], "b": ["sera", 3], "jaccard": 0.5}]));
    let report = |outcome: &SeraOutcome<()>, stages: &[&str]| {
        written(stages, |run, extra| {
            crate::sera::write_report(outcome, &SeraConfig::default(), run, ABOUT, extra)
        })
    };
    let parts = [
        "# Direct alignment with dpo\n",
        "| start         | 0     | 0.500 (0.250 – 0.750) | – ",
        "| best-sera-dpo | 6     | 0.500 (0.250 – 0.750) | 0.500 (0.250 – 0.750) | 3 / 2 / 1         | 7.2    | 50 %  | -0.50             | 75.0 %     | 10.00      | +25 % |",
        "| best-sera-dpo | 2         | 70            | 0.50 / – | 12.5 %  | 12        | 40, 1 empty, 3 cut | 6     | 75.0 %     | -3.2 / -4.0       | 2 s  |",
        "| best-sera-dpo | 2         | 62.5 % of 70       | +0.25 / -0.50 | –              | –           |",
        "| sera 2          | sera 3   | 0.50    |",
        "| best-sera-dpo 2 | γ = 0.15 | 0.50    |",
        "| best-sera-dpo | 0.30  | 0.500      | chosen |",
        "(plots/win_rate.svg)",
        "(plots/logps_best-sera-dpo.svg)",
        "**Prompt**\n\n> a\\|b\n> c\n\n*start* (-1.00)\n\n> \\*so\\*\n\n*best-sera-dpo* (0.25)\n\n> long long ",
    ];
    holds(&report(&full, &["sera-0.3-dpo-2"]), &parts);
    let report = report(&minimal, &[]);
    holds(
        &report,
        &["a scorer (none was given)", "| dpo    | 0     | –     |"],
    );
    let absent = [
        "## Margins",
        "## Overlap",
        "## Share",
        "## Answers",
        "plots/",
    ];
    lacks(&report, &absent);
}
