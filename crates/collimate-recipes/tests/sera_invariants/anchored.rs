//! The method `anchored`: its devices, alone and together.

use collimate_irm::KeepRule;
use collimate_lm::Llama;
use collimate_losses::PreferenceLoss;
use collimate_recipes::sera::{
    Anchors, CompareDevices, Method, SelectionReport, SeraConfig, SeraOutcome,
};
use collimate_train::model_hash;

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
    // 96 prompts with four responses each: at most 96 are below the quartile, fewer if some are
    // empty or cut.
    let unlikely = second(&gate).responses.unlikely;
    assert!(unlikely > 0 && unlikely <= n, "{unlikely}");
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
    assert_eq!(found.refused + found.disagreeing, made);
    assert_eq!(found.noisy_share, found.noisy_share_of_all);
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
