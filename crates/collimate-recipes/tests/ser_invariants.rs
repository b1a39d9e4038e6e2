//! Invariants of a whole SER run, independent of its numbers.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use collimate_core::{Key, PreferencePair};
use collimate_data::{Auditor, HiddenLabelPool, SpecialTokenIds, TextTokenizer};
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::Pooling;
use collimate_recipes::RecipeError;
use collimate_recipes::ser::{
    Control, Evolving, LoopStatus, Recipe, RetrainFrom, SeedSteps, SerConfig, SerData, SerOutcome,
    SplitPlan, evolve_with,
};
use collimate_reward::{RewardModel, score_pairs};
use collimate_run::{RunContext, RunFolder};
use collimate_status::{LearningStatus, MinCount, ScoreCentre};
use collimate_testkit::flex;
use collimate_train::{Interrupt, Progress, TrainConfig};
use collimate_world::{World, WorldConfig, WorldPair};

fn world() -> World {
    World::new(&WorldConfig {
        pairs: 240,
        validation_pairs: 40,
        test_pairs: 80,
        ..WorldConfig::default()
    })
    .unwrap()
}

fn pairs(rows: Vec<WorldPair>) -> Vec<PreferencePair> {
    rows.into_iter().map(|row| row.pair).collect()
}

fn data(world: &World) -> SerData {
    SerData::split(
        pairs(world.train_pairs()),
        pairs(world.validation_pairs()),
        pairs(world.test_pairs()),
        &SplitPlan {
            seed_share: 0.3,
            keep_labels: true,
            key: pool_key(),
        },
    )
    .unwrap()
}

fn pool_key() -> Key {
    Key::new(0, "pool")
}

/// Few steps, and thresholds that some pairs meet in each of two loops.
fn config() -> SerConfig {
    let mut config = SerConfig {
        recipe: Recipe::Paper,
        controls: Vec::new(),
        folds: 2,
        max_loops: 2,
        max_length: 64,
        score_centre: ScoreCentre::SeedMean,
        baseline: false,
        train: TrainConfig {
            learning_rate: 3e-3,
            epochs: 2.0,
            batch_size: 8,
            ..TrainConfig::default()
        },
        ..SerConfig::default()
    };
    config.filter.thresholds.min_count = MinCount::Absolute(2);
    config.calibrated.min_count = MinCount::Absolute(2);
    config.calibrated.precision = 0.6;
    config
}

fn run(world: &World, data: SerData, config: &SerConfig) -> SerOutcome<Llama> {
    run_with(world, data, config, |_, _| Ok(())).unwrap()
}

/// Runs a tiny model; `on_evolved` gets the run folder too.
fn run_with(
    world: &World,
    data: SerData,
    config: &SerConfig,
    on_evolved: impl FnOnce(&Path, &Evolving<'_, Llama>) -> Result<(), RecipeError>,
) -> Result<SerOutcome<Llama>, RecipeError> {
    let special = SpecialTokenIds {
        bos: Some(World::SPECIAL.bos),
        eos: World::SPECIAL.eos,
        pad: Some(World::SPECIAL.pad),
    };
    let tokenizer = TextTokenizer::new(world.tokenizer(), special, None).unwrap();
    let device: Device = flex().without_autodiff();
    let llama = LlamaConfig {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        max_position_embeddings: 64,
        ..LlamaConfig::default()
    };
    let backbone = Llama::new(&llama, Key::new(1, "init"), &device).unwrap();
    let start = RewardModel::with_fresh_head(backbone, Pooling::LastToken, Key::new(1, "head"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = RunFolder::create(&path, config).unwrap();
    let mut context = RunContext {
        run: &mut run,
        interrupt: &Interrupt::new(),
        progress: Progress::Silent,
    };
    evolve_with(&start, &tokenizer, data, config, &mut context, |evolving| {
        on_evolved(&path, evolving)
    })
}

#[test]
fn the_model_is_handed_over_before_the_controls() {
    let world = world();
    let config = SerConfig {
        controls: vec![Control::LongerSeed],
        ..config()
    };
    let mut early = Vec::new();
    let outcome = run_with(&world, data(&world), &config, |run, evolving| {
        assert!(run.join("checkpoints/loop1").exists());
        assert!(!run.join("checkpoints/longer_seed").exists());
        assert_eq!(evolving.ask_next.len(), config.ask);
        early = evolving.self_labels.to_vec();
        Ok(())
    });
    assert!(!early.is_empty());
    assert_eq!(early, outcome.unwrap().self_labels);
    // An error of the caller ends the run there.
    let mut place = None;
    let stopped = run_with(&world, data(&world), &config, |run, _| {
        place = Some(run.join("checkpoints/longer_seed"));
        Err(RecipeError::Empty { part: "the disk" })
    });
    assert!(matches!(
        stopped,
        Err(RecipeError::Empty { part: "the disk" })
    ));
    assert!(!place.unwrap().exists());
}

#[test]
fn every_control_has_the_steps_of_the_evolved_model() {
    let world = world();
    for retrain_from in [RetrainFrom::Previous, RetrainFrom::Start] {
        let config = SerConfig {
            retrain_from,
            controls: Control::ALL.to_vec(),
            ..config()
        };
        let outcome = run(&world, data(&world), &config);
        let trained = outcome.loops.iter().filter(|l| l.steps > 0).count();
        assert_eq!(trained, 3, "{:?}", outcome.loops);
        let wanted = outcome.model_report("ser").unwrap().steps.own;
        let seed_ensemble = |control: &&Control| **control != Control::SeedEnsemble;
        for control in Control::ALL.iter().filter(seed_ensemble) {
            let found = outcome.model_report(control.name()).unwrap().steps.own;
            assert_eq!(found, wanted, "{} from {retrain_from:?}", control.name());
        }
    }
}

#[test]
fn policies_get_the_centre_of_their_own_reward_model() {
    let world = world();
    // The same holds if the loops take σ of raw scores.
    let config = SerConfig {
        score_centre: ScoreCentre::None,
        baseline: true,
        ..config()
    };
    let mut data = data(&world);
    data.fine_tuning_labels = 7;
    let outcome = run(&world, data, &config);
    let names: Vec<&str> = outcome
        .reward_models
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["loop0", "ser", "full"]);
    let mut centres = Vec::new();
    for reward in &outcome.reward_models {
        let scores = score_pairs(&reward.models[0], &outcome.learnt.seed, 512).unwrap();
        let sum: f64 = scores
            .iter()
            .map(|(a, b)| f64::from(*a) + f64::from(*b))
            .sum();
        let mean = sum / (2 * scores.len()) as f64;
        assert!(
            (reward.centre - mean).abs() < 1e-5,
            "{}: {mean}",
            reward.name
        );
        centres.push(reward.centre);
    }
    assert_eq!(outcome.learnt.centre, centres[1]);
    assert!(centres[0] != centres[1] && centres[1] != centres[2]);
    let summary = collimate_recipes::ser::summary(&outcome, &config);
    assert_eq!(summary["reward_centres"]["full"], centres[2]);
    // Labels of the seed and of the fine-tuning before it.
    let seed = outcome.learnt.seed.len();
    let labels = serde_json::json!({"seed": seed, "fine_tuning": 7, "all": seed + 7});
    assert_eq!(summary["human_labels"], labels);
}

#[test]
fn sealed_labels_reach_nothing_but_the_audit() {
    for recipe in Recipe::ALL {
        sealed_labels_reach_nothing(recipe);
    }
}

fn sealed_labels_reach_nothing(recipe: Recipe) {
    let world = world();
    let config = SerConfig { recipe, ..config() };
    let honest = run(&world, data(&world), &config);
    // The same rows with every label of the pool flipped.
    let mut flipped = data(&world);
    let rows = flipped.labelled_pool.take().unwrap();
    let rows = rows.into_iter().map(|pair| PreferencePair {
        chosen: pair.rejected,
        rejected: pair.chosen,
        ..pair
    });
    let (pool, sealed) = HiddenLabelPool::seal(rows.collect(), pool_key());
    (flipped.pool, flipped.auditor) = (pool, Some(Auditor::new(sealed)));
    let flipped = run(&world, flipped, &config);
    let gaps = |outcome: &SerOutcome<Llama>| {
        let report = outcome.model_report("ser").unwrap();
        report.test.as_ref().unwrap().gaps.clone()
    };
    assert_eq!(gaps(&honest), gaps(&flipped));
    let mut kept = 0;
    for (a, b) in honest.loops.iter().zip(&flipped.loops) {
        let (Some(a), Some(b)) = (&a.labels, &b.labels) else {
            continue;
        };
        assert_eq!((a.kept, a.swapped), (b.kept, b.swapped));
        if let (Some(a), Some(b)) = (a.label_precision, b.label_precision) {
            assert!((a + b - 1.0).abs() < 1e-9, "{a} and {b}");
        }
        kept += a.kept;
    }
    assert!(kept > 0, "{recipe:?} kept nothing");
}

#[test]
fn labels_and_a_pool_are_enough() {
    let world = world();
    let all = data(&world);
    for recipe in Recipe::ALL {
        let config = SerConfig {
            recipe,
            ask: 7,
            controls: vec![Control::LongerSeed],
            ..config()
        };
        let data = SerData::of_labels(all.seed.clone(), all.pool.clone(), vec![], vec![]).unwrap();
        let outcome = run(&world, data, &config);
        // The human labels are unknown, and the report claims nothing about them.
        assert!(
            outcome
                .models
                .iter()
                .all(|m| m.test.is_none() && m.validation.is_none())
        );
        assert!(outcome.loops.iter().all(|l| l.validation.is_none()));
        let audits = outcome.loops.iter().filter_map(|l| l.labels.as_ref());
        assert!(audits.clone().all(|l| l.label_precision.is_none()));
        assert_eq!(
            outcome.models.len(),
            2,
            "{recipe:?}: a control that nothing measures"
        );
        assert!(
            outcome
                .warnings
                .iter()
                .any(|w| w.contains("no control was run"))
        );
        // Results that need only the labels are present.
        let cross = outcome.cross_fit.as_ref().unwrap();
        assert_eq!(cross.accuracy.pairs, outcome.learnt.seed.len());
        assert!(cross.tried.iter().any(|tried| tried.epochs == cross.epochs));
        assert_eq!(outcome.agreement.unwrap().models, 2);
        // Self-labels and pairs to label come from the pool, each pair once.
        let ids: Vec<usize> = outcome.self_labels.iter().map(|l| l.pair.id).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
        let kept: usize = audits.map(|l| l.kept).sum();
        match recipe {
            // Every round labels the whole pool.
            Recipe::NoisyEnsemble => assert_eq!(kept, 2 * ids.len()),
            _ => assert_eq!(kept, ids.len()),
        }
        assert!(!ids.is_empty() && ids.len() <= all.pool.len());
        let sure = |p: f64| (0.0..=1.0).contains(&p);
        assert!(
            outcome
                .self_labels
                .iter()
                .all(|label| label.probability.is_some_and(sure))
        );
        assert_eq!(outcome.ask_next.len(), 7);
        let prompts: BTreeSet<String> = outcome
            .ask_next
            .iter()
            .map(|ask| ask.pair.prompt.to_plain())
            .collect();
        assert_eq!(prompts.len(), 7, "questions are spread over prompts");
    }
}

#[test]
fn a_filter_that_nothing_passes_leaves_the_seed_model() {
    let world = world();
    let mut config = SerConfig {
        recipe: Recipe::Calibrated,
        ..config()
    };
    config.calibrated.min_count = MinCount::Absolute(10_000);
    let refused = run(&world, data(&world), &config);
    let gaps = |outcome: &SerOutcome<Llama>, name: &str| {
        let report = outcome.model_report(name).unwrap();
        report.test.as_ref().unwrap().gaps.clone()
    };
    assert_eq!(gaps(&refused, "loop0"), gaps(&refused, "ser"));
    assert!(refused.self_labels.is_empty());
    assert!(
        refused
            .warnings
            .iter()
            .any(|w| w.starts_with("The recipe refuses"))
    );
    let labels = refused.loops[1].labels.as_ref().unwrap();
    assert_eq!(labels.status, Some(LearningStatus::NoConfidence));
    // With `go_anyway`, the surest pairs are kept in spite of the refusal.
    config.calibrated.min_count = MinCount::Absolute(12);
    config.calibrated.precision = 0.999;
    config.calibrated.length_balance = false;
    config.go_anyway = true;
    config.max_loops = 1;
    // Where no question is asked for, the models of the cross-fit do not read the pool.
    config.ask = 0;
    let anyway = run(&world, data(&world), &config);
    assert!(anyway.agreement.is_none() && anyway.ask_next.is_empty());
    assert_eq!(anyway.self_labels.len(), 12);
    assert_ne!(gaps(&anyway, "loop0"), gaps(&anyway, "ser"));
}

#[test]
fn a_schedule_of_statuses_is_kept() {
    let world = world();
    let mut config = SerConfig {
        statuses: vec![LoopStatus::Hard, LoopStatus::Easy],
        max_loops: 9,
        ..config()
    };
    // With both thresholds at ½, an easy pair is one whose answers lie on different sides of ½. A
    // hard pair must be far apart too, so that easy pairs are left for the second loop.
    config.filter.thresholds.tau_low = 0.5;
    config.filter.thresholds.tau_high = 0.5;
    config.filter.thresholds.tau_delta = 0.02;
    let outcome = run(&world, data(&world), &config);
    let statuses: Vec<_> = outcome
        .loops
        .iter()
        .filter_map(|l| l.labels.as_ref()?.status)
        .collect();
    assert_eq!(statuses, [LearningStatus::Hard, LearningStatus::Easy]);
}

#[test]
fn without_cross_fitting_no_probability_is_claimed() {
    let world = world();
    let mut config = SerConfig {
        seed_steps: SeedSteps::Epochs,
        ..config()
    };
    // Questions need the models of a cross-fit.
    let asked = run(&world, data(&world), &config);
    assert!(asked.cross_fit.is_some() && asked.ask_next.len() == config.ask);
    config.ask = 0;
    let plain = run(&world, data(&world), &config);
    assert!(plain.cross_fit.is_none() && !plain.self_labels.is_empty());
    assert!(plain.self_labels.iter().all(|l| l.probability.is_none()));
    let labels = plain.loops[1].labels.as_ref().unwrap();
    assert_eq!(labels.expected_precision, None);
}

#[test]
fn all_stages_of_an_ensemble_are_counted() {
    let world = world();
    let mut config = SerConfig {
        recipe: Recipe::NoisyEnsemble,
        seed_steps: SeedSteps::Epochs,
        ask: 0,
        controls: vec![Control::SeedEnsemble],
        ..config()
    };
    config.ensemble.models = 2;
    config.ensemble.students = 2;
    let outcome = run(&world, data(&world), &config);
    let zero = outcome.loops[0].steps;
    let steps = outcome.model_report("ser").unwrap().steps;
    // Two teachers as long as Loop 0, two students in the first round and one in the last.
    assert_eq!(steps.all, zero + 2 * zero + 3 * steps.own);
    let teachers = outcome.model_report("seed_ensemble").unwrap().steps;
    assert_eq!((teachers.own, teachers.all), (zero, 2 * zero));
}

#[test]
fn a_control_follows_the_recipe_that_trained() {
    let world = world();
    let mut config = SerConfig {
        recipe: Recipe::Calibrated,
        also: vec![Recipe::Paper],
        controls: vec![Control::LongerSeed],
        ..config()
    };
    config.calibrated.min_count = MinCount::Absolute(10_000);
    let outcome = run(&world, data(&world), &config);
    let steps = |name: &str| outcome.model_report(name).unwrap().steps.own;
    assert_eq!(steps("ser"), steps("loop0"));
    assert!(steps("paper") > steps("loop0"));
    assert_eq!(steps("longer_seed"), steps("paper"));
}

#[test]
fn the_gain_is_tested_on_labels_that_no_model_has_seen() {
    let world = world();
    let config = SerConfig {
        recipe: Recipe::Calibrated,
        check_gain: true,
        ..config()
    };
    let outcome = run(&world, data(&world), &config);
    let gain = outcome.gain.unwrap();
    assert_eq!(gain.pairs, outcome.learnt.seed.len());
    assert!(gain.mean.is_finite() && gain.standard_error > 0.0);
    assert!((gain.z - gain.mean / gain.standard_error).abs() < 1e-9);
    // A recipe that refuses changes nothing, so its gain is exactly 0.
    let mut config = config;
    config.calibrated.min_count = MinCount::Absolute(10_000);
    let refused = run(&world, data(&world), &config).gain.unwrap();
    assert_eq!((refused.mean, refused.z), (0.0, 0.0));
}
