//! The method `anchored`: its devices, alone and together.

use std::path::Path;

use collimate_irm::KeepRule;
use collimate_lm::Llama;
use collimate_losses::PreferenceLoss;
use collimate_recipes::sera::{
    Anchors, CompareDevices, Method, NoOwnPairs, SelectionReport, SeraConfig, SeraOutcome, Updates,
};
use collimate_train::model_hash;
use serde_json::Value;

use crate::setup::{attempt, config, refusal, rows, run, run_in_new_folder, setup};

/// All devices on.
const EVERY: Anchors = Anchors {
    gate: 0.25,
    start_weight: 1.0,
    keep: KeepRule::Middle,
    agreement: Some(0.6),
    nll_anchor: None,
};

fn hash(outcome: &SeraOutcome<Llama>, method: Method) -> String {
    model_hash(&outcome.policy(method).unwrap().model)
}

/// Returns the configuration of a run of `anchored` alone with these devices.
fn with(anchors: Anchors) -> SeraConfig {
    let mut config = config(&[Method::Anchored]);
    config.anchors = anchors;
    config.iterations = 2;
    config
}

fn second(outcome: &SeraOutcome<Llama>) -> &SelectionReport {
    &outcome.policy(Method::Anchored).unwrap().iterations[1].selection
}

#[test]
fn without_devices_it_is_sera() {
    let setup = setup();
    let mut config = config(&[Method::Sera, Method::Anchored]);
    config.anchors = Anchors::OFF;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &config, &path);
    // The order of batches follows the name of the stage, so the third iterations differ.
    for file in ["2.jsonl", "2-left.jsonl", "2-pairs.json"] {
        let read = |name: &str| std::fs::read(path.join(format!("selections/{name}-dpo-{file}")));
        assert_eq!(read("sera").unwrap(), read("anchored").unwrap(), "{file}");
    }
    let last = |method| {
        let policy = outcome.policy(method).unwrap();
        policy.iterations[2].selection.bootstrapped
    };
    assert_eq!(last(Method::Sera), last(Method::Anchored));
    // No second policy is trained, since no option needs it.
    let journal = std::fs::read_to_string(path.join("journal.json")).unwrap();
    assert!(!journal.contains("-second"), "{journal}");
}

#[test]
fn every_device_alone() {
    let setup = setup();
    let n = setup.data.train.len();
    let sera = {
        let mut config = config(&[Method::Sera]);
        config.iterations = 2;
        run_in_new_folder(&setup, &config)
    };
    let plain = &sera.policies[0].iterations[1].selection;
    let off = Anchors::OFF;
    let gate = run_in_new_folder(&setup, &with(Anchors { gate: 0.25, ..off }));
    // 96 prompts with four responses each.
    let unlikely = second(&gate).responses.unlikely;
    assert!(unlikely > 0 && unlikely <= 4 * n, "{unlikely}");
    let ranked = Anchors {
        start_weight: 1.0,
        ..off
    };
    let ranked = run_in_new_folder(&setup, &with(ranked));
    let middle = Anchors {
        keep: KeepRule::Middle,
        ..off
    };
    let middle = run_in_new_folder(&setup, &with(middle));
    let random = Anchors {
        keep: KeepRule::Random,
        ..off
    };
    let random = run_in_new_folder(&setup, &with(random));
    let nll = Anchors {
        nll_anchor: Some(0.5),
        ..off
    };
    let nll = run_in_new_folder(&setup, &with(nll));
    let outcomes = [&sera, &gate, &ranked, &middle, &random, &nll];
    let hashes: Vec<String> = outcomes.map(|o| model_hash(&o.policies[0].model)).into();
    for (index, hash) in hashes.iter().enumerate() {
        assert!(
            !hashes[..index].contains(hash),
            "device {index} changed nothing"
        );
    }
    for outcome in [&middle, &random, &nll] {
        let (found, counts) = (second(outcome), plain.responses);
        assert_eq!(
            (found.bootstrapped, found.responses),
            (plain.bootstrapped, counts)
        );
    }
    // The first iteration is the plain training for all methods.
    for outcome in outcomes {
        let first = |o: &SeraOutcome<Llama>| o.policies[0].iterations[0].validation_logps;
        assert_eq!(first(outcome), first(&sera));
    }
}

#[test]
fn a_second_policy_decides() {
    let setup = setup();
    let n = setup.data.train.len();
    let ask = |least: f64| Anchors {
        agreement: Some(least),
        ..Anchors::OFF
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut config = with(ask(0.0));
    config.iterations = 3;
    let outcome = run(&setup, &config, &path);
    let found = second(&outcome);
    let share = found.policy_agreement.unwrap();
    assert!((0.0..1.0).contains(&share), "{share}");
    let dropped: usize = found.dropped.iter().map(|(_, count)| count).sum();
    let made = n - dropped;
    assert_eq!(
        found.disagreeing,
        made - (share * made as f64).round() as usize
    );
    assert_eq!((found.refused, found.asked, found.offline), (0, 29, 67));
    let journal = std::fs::read_to_string(path.join("journal.json")).unwrap();
    assert!(journal.contains("iteration-1-second") && journal.contains("anchored-dpo-2-second"));
    assert!(!journal.contains("anchored-dpo-3-second"), "nobody asks it");
    // The second policy differs: it is trained on other batches.
    let losses = |stage: &str| -> Vec<f64> {
        let rows = rows(&path.join("metrics.jsonl"));
        let mine = rows.iter().filter(|row| row["stage"] == stage);
        mine.map(|row| row["loss"].as_f64().unwrap()).collect()
    };
    let (one, other) = (losses("iteration-1"), losses("iteration-1-second"));
    assert!(one.len() == other.len() && one != other);
    // All stages are done already.
    let again = run(&setup, &config, &path);
    assert_eq!(
        hash(&outcome, Method::Anchored),
        hash(&again, Method::Anchored)
    );
    let sizes = |found: &SelectionReport| (found.bootstrapped, found.disagreeing, found.over_limit);
    assert_eq!(sizes(second(&again)), sizes(found));

    // Too little agreement: the method becomes the iterative form.
    let mut config = with(ask(1.0));
    config.methods = vec![Method::Iterative, Method::Anchored];
    let outcome = run_in_new_folder(&setup, &config);
    let found = second(&outcome);
    assert_eq!((found.offline, found.bootstrapped), (n, 0));
    assert_eq!((found.refused, found.disagreeing), (made, 0));
    assert_eq!(found.no_own_pairs, Some(NoOwnPairs::Disagreement));
    assert_eq!(found.noisy_share, found.noisy_share_of_all);
}

#[test]
fn the_second_policy_reviews_for_itself() {
    let setup = setup();
    let n = setup.data.train.len();
    let with = |least: f64| {
        let mut config = with(Anchors {
            agreement: Some(least),
            ..Anchors::OFF
        });
        config.iterations = 3;
        config
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = with(0.0);
    let outcome = run(&setup, &config, &path);
    let pairs = |path: &Path, name: &str| -> Value {
        let file = path.join(format!("selections/anchored-dpo-{name}-pairs.json"));
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    let (one, other) = (pairs(&path, "2"), pairs(&path, "2-second"));
    // Both keep as many offline pairs, each by its own margins, and each writes its own answers.
    for pairs in [&one, &other] {
        assert_eq!(pairs["offline"].as_array().unwrap().len(), 67);
        assert!(!pairs["own"].as_array().unwrap().is_empty());
    }
    assert_ne!(one["offline"], other["offline"]);
    assert_ne!(one["own"], other["own"]);
    // The device asks the second policy about pairs of the first. The second policy asks none.
    assert!(one["report"]["policy_agreement"].is_f64());
    assert!(other["report"]["policy_agreement"].is_null());
    let margins = |name: &str| -> Vec<f64> {
        let rows = rows(&path.join(format!("selections/anchored-dpo-{name}.jsonl")));
        let offline = rows.iter().filter(|row| row["source"] == "offline");
        offline.map(|row| row["margin"].as_f64().unwrap()).collect()
    };
    let (kept, left) = (margins("2-second"), margins("2-second-left"));
    assert_eq!((kept.len(), left.len()), (67, n - 67));
    let smallest = kept.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(left.iter().all(|&margin| margin <= smallest));
    // After the last review the second policy has nothing to answer.
    assert!(!path.join("selections/anchored-dpo-3-second.jsonl").exists());
    // All stages are done already.
    let again = run(&setup, &config, &path);
    assert_eq!(
        hash(&outcome, Method::Anchored),
        hash(&again, Method::Anchored)
    );
    assert_eq!(pairs(&path, "2-second"), other);

    // The first policy trains on all 96 pairs, because the second disagrees. The second policy
    // trains on its own selection of 29 offline pairs and at most 29 own pairs.
    let mut config = with(1.0);
    config.updates = Updates::OwnPairs;
    config.irm.offline_share = 0.3;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &config, &path);
    assert!(self::second(&outcome).refused > 0);
    let other = pairs(&path, "2-second");
    let count = |name: &str| other[name].as_array().unwrap().len();
    assert!(count("offline") == 29 && count("own") <= 29);
    let rows = rows(&path.join("metrics.jsonl"));
    let steps = |stage: &str| {
        let mine = rows.iter().filter(|row| row["stage"] == stage);
        mine.filter(|row| row["loss"].is_f64()).count()
    };
    assert_eq!(steps("anchored-dpo-2"), 6);
    let expected = (count("offline") + count("own")).div_ceil(16);
    assert_eq!(steps("anchored-dpo-2-second"), expected);
}

/// The start is sampled once. Its samples give the threshold in every iteration.
#[test]
fn the_gate_compares_with_samples_of_the_start() {
    let setup = setup();
    let n = setup.data.train.len();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut config = with(Anchors {
        gate: 0.25,
        ..Anchors::OFF
    });
    config.methods = vec![Method::Sera, Method::Anchored];
    config.iterations = 3;
    let outcome = run(&setup, &config, &path);
    let file = path.join("selections/start-samples.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let samples: Vec<(f32, usize)> = serde_json::from_str(&text).unwrap();
    assert_eq!(samples.len(), 4 * n);
    assert!(
        samples
            .iter()
            .all(|&(sum, tokens)| sum.is_finite() && (1..=16).contains(&tokens))
    );
    let journal = std::fs::read_to_string(path.join("journal.json")).unwrap();
    assert_eq!(journal.matches("\"start-samples\"").count(), 1);
    for iteration in &outcome.policy(Method::Anchored).unwrap().iterations[1..] {
        assert!(iteration.selection.responses.unlikely > 0);
    }
    // A resumed run reads the samples, and samples again if the file is lost.
    for lost in [false, true] {
        if lost {
            std::fs::remove_file(&file).unwrap();
        }
        let again = run(&setup, &config, &path);
        assert_eq!(
            hash(&outcome, Method::Anchored),
            hash(&again, Method::Anchored)
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    // Without a gate, nothing asks for samples of the start.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    config.methods = vec![Method::Sera];
    run(&setup, &config, &path);
    assert!(!path.join("selections/start-samples.json").exists());
}

#[test]
fn devices_are_compared_without_the_training_after_it() {
    let setup = setup();
    let mut config = config(&[Method::Sera, Method::Anchored]);
    config.devices = CompareDevices::First;
    config.anchors = EVERY;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &config, &path);
    let journal = std::fs::read_to_string(path.join("journal.json")).unwrap();
    assert!(journal.contains("anchored-dpo-2-pairs") && !journal.contains("anchored-dpo-2\""));
    for policy in &outcome.policies {
        let reports: Vec<u64> = policy.iterations.iter().map(|i| i.steps).collect();
        assert_eq!(reports, [6, 0], "96 pairs by 16, then a review");
        let found = &policy.iterations[1].selection;
        let names: Vec<&str> = found.devices.iter().map(|d| d.device.as_str()).collect();
        let asks = policy.method == Method::Anchored;
        assert_eq!(names.contains(&"agreement"), asks, "{names:?}");
        let of = |name: &str| found.devices.iter().find(|d| d.device == name).unwrap();
        // The own pairs of the device are those that the method keeps.
        let own = if asks { of("anchors") } else { of("largest") };
        assert_eq!(own.kept, found.bootstrapped);
        assert_eq!(own.own_agreement, found.own_agreement);
        assert!(of("gate 0.5").unlikely > of("gate 0.1").unlikely);
        assert_eq!(of("largest").unlikely, 0);
    }
    // With `every`, each review compares the devices and training continues.
    config.methods = vec![Method::Sera];
    config.devices = CompareDevices::Every;
    let every = run_in_new_folder(&setup, &config);
    let iterations = &every.policies[0].iterations;
    assert!(
        iterations[1..]
            .iter()
            .all(|i| i.selection.devices.len() == 11 && i.steps == 6)
    );
    config.devices = CompareDevices::Off;
    let off = run_in_new_folder(&setup, &config);
    assert_eq!(hash(&off, Method::Sera), hash(&every, Method::Sera));
    // A share of 0 makes no own pairs to compare, but ends after the first review too.
    config.methods = vec![Method::BestSera];
    config.best_of = vec![0.0, 0.3];
    config.devices = CompareDevices::First;
    let best = run_in_new_folder(&setup, &config);
    let reports: Vec<u64> = best.policies[0]
        .iterations
        .iter()
        .map(|i| i.steps)
        .collect();
    assert_eq!(reports, [6, 0]);
    // Both shares end at the same policy, so the first one is chosen.
    assert!(best.policies[0].tried[0].chosen);
    config.methods = vec![Method::Sera];
    config.devices = CompareDevices::Every;
    let text = refusal(&setup, &setup.data, &config);
    assert!(
        text.contains("devices is every") && text.contains("without a judge"),
        "{text}"
    );
}

#[test]
fn losses_with_and_without_a_reference() {
    let setup = setup();
    for loss in ["simpo", "orpo", "ipo", "dpo_norm"] {
        let mut config = with(EVERY);
        config.loss = loss.parse::<PreferenceLoss>().unwrap();
        let outcome = run_in_new_folder(&setup, &config);
        assert!(second(&outcome).policy_agreement.is_some(), "{loss}");
    }
    let mut config = config(&[Method::Base, Method::Iterative]);
    config.iterations = 2;
    let plain = run_in_new_folder(&setup, &config);
    config.nll_anchor = 0.3;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let anchored = run(&setup, &config, &path);
    for method in [Method::Base, Method::Iterative] {
        assert_ne!(hash(&plain, method), hash(&anchored, method));
    }
    let rows = rows(&path.join("metrics.jsonl"));
    let logged = |row: &serde_json::Value| row["nll_loss"].as_f64().is_some_and(|nll| nll > 0.0);
    let mut steps = rows.iter().filter(|row| row["loss"].is_f64());
    assert!(steps.all(logged));
    config.loss = "simpo".parse().unwrap();
    let text = config.check().unwrap_err().to_string();
    assert!(
        text.contains("simpo: nll_anchor needs a loss that compares"),
        "{text}"
    );
}

#[test]
fn best_sera_may_bootstrap_nothing() {
    let setup = setup();
    let mut config = config(&[Method::SelectionOnly, Method::BestSera]);
    assert_eq!(config.best_of, [0.0, 0.3, 0.5, 0.7, 1.0]);
    config.iterations = 2;
    config.best_of = vec![0.0];
    let outcome = run_in_new_folder(&setup, &config);
    let selection = |method| &outcome.policy(method).unwrap().iterations[1].selection;
    assert_eq!(
        selection(Method::SelectionOnly),
        selection(Method::BestSera)
    );
    config.irm.offline_share = 0.0;
    config.methods = vec![Method::BestSera];
    let text = config.check().unwrap_err().to_string();
    assert!(
        text.contains("best_of is 0") && text.contains("no pair is left"),
        "{text}"
    );
    // Without a judge, best-SeRA chooses by accuracy.
    config.irm.offline_share = 0.7;
    config.best_of = vec![0.0, 0.3];
    let folder = tempfile::tempdir().unwrap();
    let outcome = attempt(&setup, &setup.data, &config, &folder.path().join("run")).unwrap();
    assert_eq!(outcome.policies[0].tried.len(), 2);
}

#[test]
fn the_second_policy_needs_no_judge() {
    let setup = setup();
    let folder = tempfile::tempdir().unwrap();
    let config = with(EVERY);
    let outcome = attempt(&setup, &setup.data, &config, &folder.path().join("run")).unwrap();
    let found = second(&outcome);
    assert!(found.policy_agreement.is_some() && found.own_agreement.is_none());
}

#[test]
fn anchors_that_are_refused() {
    let refused = |change: &dyn Fn(&mut Anchors), loss: &str| {
        let mut config = with(Anchors::default());
        config.loss = loss.parse::<PreferenceLoss>().unwrap();
        change(&mut config.anchors);
        config.check().unwrap_err().to_string()
    };
    let text = refused(&|a| a.gate = 1.0, "dpo");
    assert!(text.contains("anchors.gate is 1"), "{text}");
    let text = refused(&|a| a.start_weight = -1.0, "dpo");
    assert!(text.contains("anchors.start_weight is -1"), "{text}");
    let text = refused(&|a| a.agreement = Some(1.5), "dpo");
    assert!(text.contains("anchors.agreement is 1.5"), "{text}");
    let text = refused(&|a| a.nll_anchor = Some(-0.1), "dpo");
    assert!(text.contains("anchors.nll_anchor is -0.1"), "{text}");
    let text = refused(&|a| a.nll_anchor = Some(0.1), "simpo");
    assert!(
        text.contains("simpo: nll_anchor needs a loss that compares"),
        "{text}"
    );
    let text = refused(&|a| a.nll_anchor = Some(0.1), "orpo");
    assert!(
        text.contains("orpo: nll_anchor needs a loss without"),
        "{text}"
    );
    let mut config = with(Anchors::default());
    config.irm.bootstrap_share = 0.0;
    let text = config.check().unwrap_err().to_string();
    assert!(
        text.contains("anchored") && text.contains("share in irm is above 0"),
        "{text}"
    );
}
