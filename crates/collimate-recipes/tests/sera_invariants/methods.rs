//! All methods in one run: they differ only in their pairs.

use std::path::Path;

use collimate_lm::Llama;
use collimate_recipes::sera::{Method, Overlap, SeraOutcome};
use collimate_train::model_hash;

use crate::setup::{Setup, config, rows, run, run_in_new_folder, setup};

#[test]
fn methods_differ_in_their_pairs_and_in_nothing_else() {
    let setup = setup();
    let all = config(&Method::ALL);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &all, &path);
    let n = setup.data.train.len();
    assert_eq!(outcome.policies.len(), 14);
    let first = |method| &outcome.policy(method).unwrap().iterations[0];
    for policy in &outcome.policies {
        let (name, iterations) = (policy.method.name(), &policy.iterations);
        let steps: u64 = iterations.iter().map(|i| i.steps).sum();
        assert_eq!(steps, 3 * 6, "{name}: 96 pairs by 16, three times");
        let answers = policy.answers.as_ref().unwrap();
        assert_eq!(answers.counts.0 + answers.counts.1 + answers.counts.2, 12);
        let own_first = match policy.method {
            Method::Base | Method::Kto => continue,
            Method::Curry | Method::Oaif | Method::Spin => true,
            _ => {
                // The methods share one training.
                assert_eq!(
                    iterations[0].validation_logps,
                    first(Method::Iterative).validation_logps
                );
                false
            }
        };
        let part = policy.tried.iter().find(|t| t.chosen);
        for i in &iterations[usize::from(!own_first)..] {
            let (offline, own) = (i.selection.offline, i.selection.bootstrapped);
            let share = part.map_or(0.3, |tried| tried.bootstrap_share);
            let limit = (n as f64 * share).round() as usize;
            let kept = (n as f64 * 0.7).round() as usize;
            let per_prompt = match policy.method {
                Method::Oaif => 2,
                Method::Spin => 1,
                _ => 4,
            };
            match policy.method {
                Method::Iterative => assert_eq!((offline, own), (n, 0), "{name}"),
                Method::Curry => assert_eq!((offline, own), (n / 3, 0), "{name}"),
                Method::BootstrapOnly => assert!(offline == 0 && own > 0 && own <= limit, "{name}"),
                Method::Anchored if i.selection.refused > 0 => {
                    assert_eq!((offline, own), (n, 0), "{name}");
                }
                Method::Oaif | Method::Spin => assert!(offline == 0 && own > 0, "{name}"),
                // Best-SeRA may choose to make no own pairs.
                Method::BestSera if share == 0.0 => {
                    assert_eq!((offline, own), (kept, 0), "{name}");
                }
                Method::Sera | Method::BestSera | Method::Anchored => {
                    assert!(offline == kept && own > 0 && own <= limit, "{name}");
                }
                _ => assert_eq!((offline, own), (kept, 0), "{name}"),
            }
            let counts = i.selection.responses;
            let dropped: usize = i.selection.dropped.iter().map(|(_, count)| count).sum();
            if own > 0 || i.selection.refused > 0 {
                assert_eq!(counts.responses, per_prompt * n);
                let (over, apart) = (i.selection.over_limit, i.selection.disagreeing);
                assert_eq!(
                    own + dropped + over + apart + i.selection.refused,
                    n,
                    "{name}: every prompt is accounted for"
                );
            }
        }
    }
    // Sharing does not change the result of any method.
    for method in [Method::Sera, Method::Kto, Method::Oaif] {
        let alone = run_in_new_folder(&setup, &config(&[method]));
        let hash = |o: &SeraOutcome<Llama>| model_hash(&o.policy(method).unwrap().model);
        assert_eq!(hash(&alone), hash(&outcome), "{}", method.name());
    }
    // Every iteration writes new responses.
    let own = |t: usize| -> Vec<String> {
        let rows = rows(&path.join(format!("selections/bootstrap-only-dpo-{t}.jsonl")));
        rows.iter().map(|row| row["chosen"].to_string()).collect()
    };
    let (second, third) = (own(2), own(3));
    let old = third.iter().filter(|text| second.contains(text)).count();
    assert!(2 * old < third.len(), "{old} of {} were there", third.len());
    references(&path);
    methods_that_ask_the_judge(&path, &setup);
    analyses(&outcome);
    // Other programs can read the selected pairs.
    let rows = rows(&path.join("selections/sera-dpo-2.jsonl"));
    let report = &outcome.policy(Method::Sera).unwrap().iterations[1].selection;
    assert_eq!(rows.len(), report.offline + report.bootstrapped);
    assert!(
        rows.iter()
            .all(|row| row["chosen"] != row["rejected"] && row["margin"].is_f64())
    );
    let left = std::fs::read_to_string(path.join("selections/sera-dpo-2-left.jsonl")).unwrap();
    assert_eq!(left.lines().count(), n - report.offline);
    assert!(
        left.lines()
            .all(|line| line.contains("\"reason\":\"over_limit\""))
    );
    // The largest margins are kept, so those left are smaller on average. The label noise is known.
    let (kept, left) = report.mean_margin.unwrap();
    assert!(kept > left.unwrap());
    assert!(report.noisy_share.is_some() && report.noisy_share_of_all == Some(0.25));

    // A second run in the same folder finds every stage done.
    let again = run(&setup, &all, &path);
    for (a, b) in outcome.policies.iter().zip(&again.policies) {
        assert_eq!(
            model_hash(&a.model),
            model_hash(&b.model),
            "{}",
            a.method.name()
        );
        assert_eq!(a.answers, b.answers);
    }
}

/// A policy that is its own reference has no margin: the first loss of every later iteration is ln 2.
fn references(run: &Path) {
    let first = |stage: &str| -> f64 {
        let rows = rows(&run.join("metrics.jsonl"));
        let mut mine = rows.iter().filter(|row| row["stage"] == stage);
        mine.next().unwrap()["loss"].as_f64().unwrap()
    };
    for stage in [
        "iterative-dpo-2",
        "sera-dpo-3",
        "curry-dpo-1",
        "oaif-dpo-2",
        "spin-dpo-3",
    ] {
        let loss = first(stage);
        assert!((loss - 2f64.ln()).abs() < 1e-5, "{stage}: {loss}");
    }
}

/// Checks the methods that use score gaps: their pairs follow the gold reward.
fn methods_that_ask_the_judge(run: &Path, setup: &Setup) {
    let gap = |row: &serde_json::Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let gold = |side| setup.world.gold_reward(&text("prompt"), &text(side));
        gold("chosen") - gold("rejected")
    };
    let of = |name: &str| rows(&run.join(format!("selections/{name}.jsonl")));
    for row in of("oaif-dpo-2") {
        assert!(row["source"] == "judged" && gap(&row) > 0.0, "{row}");
    }
    let smallest = |name: &str| of(name).iter().map(gap).fold(f64::INFINITY, f64::min);
    let largest = |name: &str| of(name).iter().map(gap).fold(f64::NEG_INFINITY, f64::max);
    // Scores are single precision.
    let small = 1e-6;
    let kept = smallest("score-gap-selection-dpo-2");
    assert!(kept >= largest("score-gap-selection-dpo-2-left") - small);
    for stage in [1, 2] {
        let (now, next) = (
            format!("curry-dpo-{stage}"),
            format!("curry-dpo-{}", stage + 1),
        );
        assert!(smallest(&now) >= largest(&next) - small, "stage {stage}");
    }
    let chosen = |row: &serde_json::Value| row["chosen"].as_str().unwrap().to_owned();
    for row in of("spin-dpo-1") {
        let mut train = setup.data.train.iter();
        assert!(train.any(|pair| pair.chosen.text == chosen(&row)), "{row}");
    }
    // Rejected answers are the policy's own responses, not those of the data.
    let rejected = |row: &serde_json::Value| row["rejected"].as_str().unwrap().to_owned();
    let spin = of("spin-dpo-1");
    let mut train = setup.data.train.iter();
    let read = |row: &&serde_json::Value| train.any(|pair| pair.rejected.text == rejected(row));
    let old = spin.iter().filter(read).count();
    assert!(2 * old < spin.len(), "{old} of {}", spin.len());
}

fn analyses(outcome: &SeraOutcome<Llama>) {
    let sera = &outcome.policy(Method::Sera).unwrap().iterations;
    for iteration in &sera[1..] {
        let selection = &iteration.selection;
        for agreement in [selection.offline_agreement, selection.own_agreement] {
            let agreement = agreement.unwrap();
            assert!((0.0..=1.0).contains(&agreement.same_sign), "{agreement:?}");
            assert!(agreement.correlation.is_some());
        }
    }
    assert!(sera[1].selection.gammas.is_empty());
    // The γ of the run gives the selection itself.
    let own = sera[2].selection.gammas.iter().find(|(g, _)| *g == 0.3);
    assert_eq!(own.unwrap().1, 1.0);
    let tried = &outcome.policy(Method::BestSera).unwrap().tried;
    let best = tried.iter().map(|t| t.validation).fold(0.0, f64::max);
    let chosen: Vec<_> = tried.iter().filter(|t| t.chosen).collect();
    assert!(tried.len() == 5 && chosen.len() == 1 && chosen[0].validation == best);
    let curry = |o: &&Overlap| o.a.0 == "curry-dpo" && o.b.0 == "curry-dpo";
    let stages: Vec<f64> = outcome
        .overlaps
        .iter()
        .filter(curry)
        .map(|o| o.jaccard)
        .collect();
    assert_eq!(stages, [0.0, 0.0], "stages share no pair");
}
