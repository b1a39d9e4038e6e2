//! A small synthetic world, a policy fine-tuned on it, and runs over both.

use std::path::Path;

use collimate_core::{Completion, Key, PreferencePair, Prompt};
use collimate_data::{SftExample, SpecialTokenIds, TextTokenizer, Truncation, swap_labels};
use collimate_lm::{Llama, LlamaConfig};
use collimate_recipes::sera::{AnswerScorer, Method, SeraConfig, SeraData, SeraOutcome, align};
use collimate_recipes::{RecipeError, SftPlan, fine_tune};
use collimate_run::{RunContext, RunFolder};
use collimate_testkit::flex;
use collimate_train::{FitContext, Interrupt, Progress, TrainConfig};
use collimate_world::{World, WorldConfig};

pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) start: Llama,
    pub(crate) data: SeraData<'static>,
}

pub(crate) fn setup() -> Setup {
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
    let pairs = |rows: Vec<collimate_world::WorldPair>| -> Vec<PreferencePair> {
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

pub(crate) fn config(methods: &[Method]) -> SeraConfig {
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

/// Runs the recipe with these data.
pub(crate) fn attempt(
    setup: &Setup,
    data: &SeraData<'_>,
    config: &SeraConfig,
    folder: &Path,
) -> Result<SeraOutcome<Llama>, RecipeError> {
    let mut run = RunFolder::create(folder, config).unwrap();
    let mut context = RunContext {
        run: &mut run,
        interrupt: &Interrupt::new(),
        progress: Progress::Silent,
    };
    align(&setup.start, &setup.tokenizer, data, config, &mut context)
}

/// Returns the error message of a run without a judge.
pub(crate) fn refusal(setup: &Setup, data: &SeraData<'_>, config: &SeraConfig) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = attempt(setup, data, config, &folder.path().join("run")).err();
    error.unwrap().to_string()
}

/// Runs the recipe with the gold reward as the judge.
pub(crate) fn run(setup: &Setup, config: &SeraConfig, folder: &Path) -> SeraOutcome<Llama> {
    let gold = |prompt: &Prompt, completion: &Completion| {
        setup
            .world
            .gold_reward(&prompt.to_plain(), &completion.text) as f32
    };
    let data = SeraData {
        judge: Some(AnswerScorer {
            name: "gold".to_owned(),
            scorer: &gold,
        }),
        ..setup.data.clone()
    };
    attempt(setup, &data, config, folder).unwrap()
}

pub(crate) fn run_in_new_folder(setup: &Setup, config: &SeraConfig) -> SeraOutcome<Llama> {
    let folder = tempfile::tempdir().unwrap();
    run(setup, config, &folder.path().join("run"))
}

pub(crate) fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(row).collect()
}
