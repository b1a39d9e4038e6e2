//! What must hold between the methods of one run.

use std::path::Path;

use collimate_core::{Completion, Key, PreferencePair, Prompt};
use collimate_data::world::{World, WorldConfig};
use collimate_data::{SftExample, SpecialTokenIds, TextTokenizer, Truncation, swap_labels};
use collimate_irm::MarginReference;
use collimate_lm::{Llama, LlamaConfig};
use collimate_losses::PreferenceLoss;
use collimate_recipes::sera::{Judge, Method, SeraConfig, SeraData, SeraOutcome, align};
use collimate_recipes::{SftPlan, fine_tune};
use collimate_testkit::flex;
use collimate_train::{FitContext, Interrupt, Progress, RunFolder, TrainConfig, model_hash};

struct Setup {
    world: World,
    tokenizer: TextTokenizer,
    start: Llama,
    data: SeraData<'static>,
}

fn setup() -> Setup {
    let world = World::new(&WorldConfig {
        pairs: 96,
        validation_pairs: 24,
        test_pairs: 24,
        ..Default::default()
    })
    .unwrap();
    let special = World::SPECIAL;
    let special = SpecialTokenIds {
        bos: Some(special.bos),
        eos: special.eos,
        pad: Some(special.pad),
    };
    let tokenizer = TextTokenizer::new(world.tokenizer(), special, None).unwrap();
    let config = LlamaConfig {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        ..Default::default()
    };
    let device = flex().without_autodiff();
    let model = Llama::new(&config, Key::new(0, "init"), &device).unwrap();
    let pairs = |rows: Vec<collimate_data::world::WorldPair>| -> Vec<PreferencePair> {
        rows.into_iter().map(|row| row.pair).collect()
    };
    let mut train = pairs(world.train_pairs());
    let examples: Vec<SftExample> = world
        .prompts(400, Key::new(1, "sft"))
        .into_iter()
        .filter_map(|prompt| {
            let completion = world.demonstration(&prompt.to_plain())?.into();
            Some(SftExample { prompt, completion })
        })
        .collect();
    let plan = SftPlan {
        tokenizer: &tokenizer,
        max_length: 64,
        truncation: Truncation::KeepEnd,
        train: &TrainConfig {
            learning_rate: 5e-3,
            batch_size: 16,
            epochs: 4.0,
            ..Default::default()
        },
    };
    let (start, _) = fine_tune(model, &examples, &[], &plan, &FitContext::silent()).unwrap();
    let hit = swap_labels(&mut train, 0.25, Key::new(3, "noise")).unwrap();
    let noisy = (0..train.len()).map(|i| hit.contains(&i)).collect();
    let data = SeraData {
        prompts: world.prompts(12, Key::new(9, "prompts")),
        validation: pairs(world.validation_pairs()),
        noisy: Some(noisy),
        eos: Vec::new(),
        judge: None,
        held_out: examples[..20].to_vec(),
        train,
    };
    Setup {
        world,
        tokenizer,
        start,
        data,
    }
}

fn config(methods: &[Method]) -> SeraConfig {
    let mut config = SeraConfig {
        methods: methods.to_vec(),
        iterations: 3,
        max_length: 64,
        ..Default::default()
    };
    config.train.learning_rate = 1e-3;
    config.responses.max_new_tokens = 16;
    config
}

fn run(setup: &Setup, config: &SeraConfig, folder: &Path) -> SeraOutcome<Llama> {
    let mut run = RunFolder::create(folder, config).unwrap();
    let gold = |prompt: &Prompt, completion: &Completion| {
        setup
            .world
            .gold_reward(&prompt.to_plain(), &completion.text) as f32
    };
    let data = SeraData {
        judge: Some(Judge {
            name: "gold".to_owned(),
            scorer: &gold,
        }),
        ..setup.data.clone()
    };
    align(
        &setup.start,
        &setup.tokenizer,
        &data,
        config,
        &mut run,
        &Interrupt::new(),
        Progress::Silent,
    )
    .unwrap()
}

fn run_in_new_folder(setup: &Setup, config: &SeraConfig) -> SeraOutcome<Llama> {
    let folder = tempfile::tempdir().unwrap();
    run(setup, config, &folder.path().join("run"))
}

#[test]
fn methods_differ_in_their_pairs_and_in_nothing_else() {
    let setup = setup();
    let all = config(&Method::ALL);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let outcome = run(&setup, &all, &path);
    let n = setup.data.train.len();
    assert_eq!(outcome.policies.len(), 13);
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
                // One training, shared.
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
                Method::Oaif | Method::Spin => assert!(offline == 0 && own > 0, "{name}"),
                Method::Sera | Method::BestSera => {
                    assert!(offline == kept && own > 0 && own <= limit, "{name}");
                }
                _ => assert_eq!((offline, own), (kept, 0), "{name}"),
            }
            let counts = i.selection.responses;
            let dropped: usize = i.selection.dropped.iter().map(|(_, count)| count).sum();
            if own > 0 {
                assert_eq!(counts.responses, per_prompt * n);
                assert_eq!(
                    own + dropped + i.selection.over_limit,
                    n,
                    "{name}: every prompt is accounted for"
                );
            }
        }
    }
    // What methods share changes none of them.
    for method in [Method::Sera, Method::Kto, Method::Oaif] {
        let alone = run_in_new_folder(&setup, &config(&[method]));
        let hash = |o: &SeraOutcome<Llama>| model_hash(&o.policy(method).unwrap().model);
        assert_eq!(hash(&alone), hash(&outcome), "{}", method.name());
    }
    // Every iteration writes anew.
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
    // What was selected can be read by others.
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
    // The largest margins are kept, so those left are smaller on average; noise is known.
    let (kept, left) = report.mean_margin.unwrap();
    assert!(kept > left.unwrap());
    assert!(report.noisy_share.is_some() && report.noisy_share_of_all == Some(0.25));

    // The same again in the same folder: every stage is there already.
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

fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(row).collect()
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

/// Their pairs are those that the gold reward prefers.
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
    // The rejected ones are written, not read.
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
    assert!(tried.len() == 4 && chosen.len() == 1 && chosen[0].validation == best);
    let curry =
        |o: &&collimate_recipes::sera::Overlap| o.a.0 == "curry-dpo" && o.b.0 == "curry-dpo";
    let stages: Vec<f64> = outcome
        .overlaps
        .iter()
        .filter(curry)
        .map(|o| o.jaccard)
        .collect();
    assert_eq!(stages, [0.0, 0.0], "stages share no pair");
}

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
    let mut run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
    let (start, tokenizer) = (&setup.start, &setup.tokenizer);
    let (interrupt, silent) = (Interrupt::new(), Progress::Silent);
    align(
        start,
        tokenizer,
        &setup.data,
        &config,
        &mut run,
        &interrupt,
        silent,
    )
    .unwrap();
    let left = rows(
        &run.path()
            .join("selections/score-gap-selection-dpo-2-left.jsonl"),
    );
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
    // After one iteration both are the start; from then on they differ.
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
    use collimate_recipes::sera::Updates;
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
fn a_policy_that_says_nothing() {
    let mut setup = setup();
    // Whatever it samples ends the answer.
    setup.data.eos = (0..setup.tokenizer.vocab_size() as u32).collect();
    let mut config = config(&[Method::Sera]);
    config.iterations = 2;
    let outcome = run_in_new_folder(&setup, &config);
    let selection = &outcome.policies[0].iterations[1].selection;
    assert_eq!((selection.offline, selection.bootstrapped), (67, 0));
    assert_eq!(selection.responses.empty, 4 * 96);
    config.methods = vec![Method::BootstrapOnly];
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
    let (interrupt, silent) = (Interrupt::new(), Progress::Silent);
    let (start, tokenizer) = (&setup.start, &setup.tokenizer);
    let error = align(
        start,
        tokenizer,
        &setup.data,
        &config,
        &mut run,
        &interrupt,
        silent,
    );
    let text = error.err().unwrap().to_string();
    assert!(
        text.contains("bootstrap-only-dpo 2: no pair is left")
            && text.contains("96 × \"too_few_responses\""),
        "{text}"
    );
}

#[test]
fn held_out_evaluation_decides_which_model_stays() {
    let setup = setup();
    let mut config = config(&[Method::Base]);
    config.iterations = 1;
    // Far too large steps: what comes last is not what is best.
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

#[test]
fn lists_that_do_not_fit() {
    let setup = setup();
    let with = |change: &dyn Fn(&mut SeraData<'static>), judge: bool| {
        let mut data = setup.data.clone();
        change(&mut data);
        struct Short;
        impl collimate_core::Scorer for Short {
            fn score(
                &self,
                items: &[(Prompt, Completion)],
            ) -> Result<Vec<f32>, collimate_core::ScoreError> {
                Ok(vec![0.0; items.len() - 1])
            }
        }
        let data = SeraData {
            judge: judge.then_some(Judge {
                name: "short".to_owned(),
                scorer: &Short,
            }),
            ..data
        };
        let folder = tempfile::tempdir().unwrap();
        let config = config(&[Method::Base]);
        let mut run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
        let (interrupt, silent) = (Interrupt::new(), Progress::Silent);
        align(
            &setup.start,
            &setup.tokenizer,
            &data,
            &config,
            &mut run,
            &interrupt,
            silent,
        )
        .err()
        .unwrap()
        .to_string()
    };
    let text = with(&|data| data.noisy = Some(vec![true]), false);
    assert!(
        text.contains("noisy is 1") && text.contains("one flag per training pair"),
        "{text}"
    );
    let text = with(&|_| {}, true);
    assert!(
        text.contains("12 items were given, 11 scores came back"),
        "{text}"
    );
    let unjudged = |method| {
        let config = config(&[method]);
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
        let (interrupt, silent) = (Interrupt::new(), Progress::Silent);
        let (start, tokenizer) = (&setup.start, &setup.tokenizer);
        let done = align(
            start,
            tokenizer,
            &setup.data,
            &config,
            &mut run,
            &interrupt,
            silent,
        );
        done.err().unwrap().to_string()
    };
    for method in [Method::Curry, Method::Oaif, Method::ScoreGapSelection] {
        let text = unjudged(method);
        assert!(
            text.contains(method.name()) && text.contains("a judge"),
            "{text}"
        );
    }
    let mut empty = setup.data.clone();
    empty.validation.clear();
    let config = config(&[Method::BestSera]);
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
    let (start, tokenizer, interrupt) = (&setup.start, &setup.tokenizer, Interrupt::new());
    let silent = Progress::Silent;
    let done = align(
        start, tokenizer, &empty, &config, &mut run, &interrupt, silent,
    );
    let text = done.err().unwrap().to_string();
    assert!(
        text.contains("best_sera") && text.contains("validation pairs"),
        "{text}"
    );
    let text = with(&|data| data.prompts.clear(), true);
    assert!(text.contains("prompts for the judge"), "{text}");
}

#[test]
fn options_that_are_refused() {
    let wrong = |change: &dyn Fn(&mut SeraConfig)| {
        let mut config = config(&[Method::Sera]);
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(wrong(&|c| c.irm.responses = 1).contains("at least 2"));
    assert!(wrong(&|c| c.loss = c.loss.with_beta(0.0)).contains("beta = 0"));
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
    assert!(twice.contains("each share once"), "{twice}");
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
        c.best_of = vec![0.3, 1.2];
    });
    assert!(
        wide.contains("best_of is 1.2") && wide.contains("at most 1"),
        "{wide}"
    );
    let negative = wrong(&|c| {
        c.methods = vec![Method::Kto];
        c.kto.beta = -1.0;
    });
    assert!(negative.contains("beta"), "{negative}");
}
