//! Options of the command `rule`, and their short names.

use std::path::PathBuf;

use collimate::losses::PreferenceLoss;
use collimate::recipes::Adaptation;
use collimate::recipes::sera::{Method, SeraConfig};
use collimate::train::TrainConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rule;
use crate::common::{Failure, usage};
use crate::loading::{GenerationCache, GenerationWeights, SavedActivations};
use crate::options::{Flag, Given, Inputs, Layered, MOST_TEXTS, MOST_TOKENS, Options, check_count};
use crate::own::flags::{self, Adapts, HasLoss};
use crate::preview::{Held, TRAIN_ADAPTERS, Writing, largest};
use crate::start::Start;

/// Align a language model to a preference that is a Rust function (rules.rs of this crate).
///
/// The model begins texts and completes each several times. The rule makes pairs of the best and
/// the worst text. Then the loss alone, its iterative form and SeRA learn from these pairs with the
/// same number of steps, and write to openings that no pair has. The report shows texts before and
/// after. The pairs are in pairs.jsonl, in TRL's format.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<ByRule>,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Hugging Face folder, adapter, GGUF file or hub name of a language model that writes texts without a prompt.
    pub(crate) model: Option<PathBuf>,
    /// Rule that decides which texts are preferred.
    pub(crate) prefer: Rule,
    /// Number of openings whose texts make pairs.
    pub(crate) prompts: usize,
    /// Number of openings that every policy continues at the end.
    pub(crate) test_prompts: usize,
    /// Number of texts for each opening; the best and the worst make the pair.
    pub(crate) samples: usize,
    /// Length of an opening in tokens.
    pub(crate) opening_tokens: usize,
    /// Options of the alignment. Texts that do not end within `responses.max_new_tokens` make no
    /// pair.
    pub(crate) align: SeraConfig,
}

impl Default for Config {
    fn default() -> Self {
        let recipe = SeraConfig::default();
        let mut align = SeraConfig {
            methods: vec![Method::Base, Method::Iterative, Method::Sera],
            iterations: 3,
            train: TrainConfig {
                learning_rate: 2e-4,
                batch_size: 16,
                save_every: Some(50),
                ..recipe.train
            },
            ..SeraConfig::default()
        };
        align.responses.max_new_tokens = 256;
        // The same sampling as for the first pairs of the run.
        align.responses.temperature = 1.0;
        align.responses.top_p = 1.0;
        Self {
            model: None,
            prefer: Rule::Happy,
            prompts: 600,
            test_prompts: 200,
            samples: 4,
            opening_tokens: 10,
            align,
        }
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.align.adaptation
    }
}

impl HasLoss for Config {
    fn loss(&mut self) -> &mut PreferenceLoss {
        &mut self.align.loss
    }
}

/// The command `rule`.
#[derive(Debug)]
pub(crate) struct ByRule;

impl Layered for ByRule {
    type Config = Config;
    const NAME: &'static str = "rule";
    const OWN: &'static str = "model";
    const ESTIMATES: bool = false;

    fn for_world() -> Result<Config, Failure> {
        Ok(Config::default())
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut all = vec![
            Flag::of("model", "DIR", &["model"]),
            Flag::of("prefer", "RULE", &["prefer"]),
            Flag::of("prompts", "N", &["prompts"]),
            Flag::of("test-prompts", "N", &["test_prompts"]),
            Flag::of("samples", "N", &["samples"]),
            Flag::of("opening-tokens", "N", &["opening_tokens"]),
            Flag::of("new-tokens", "N", &["align.responses.max_new_tokens"]),
            flags::loss(
                &["align.loss"],
                "Loss, as in the command dpo [default: dpo]",
            ),
            flags::beta(
                &["align.loss"],
                "Strength of the pull towards the reference, above 0; lambda of orpo [default: that of the \
                 loss]",
            ),
            flags::nll_anchor(&["align.nll_anchor"]),
            Flag::of("lr", "RATE", &["align.train.learning_rate"]),
            Flag::of("batch", "N", &["align.train.batch_size"]),
            Flag::of("iterations", "N", &["align.iterations"]),
            flags::lora(&["align.adaptation"], flags::LORA),
            Flag::of("seed", "N", &["align.seed"]),
        ];
        all.extend(flags::lora_form(&["align.adaptation"]));
        all
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        if config.model.is_none() {
            return Err(usage(
                "model is missing: give --model DIR, the folder of a model that writes texts \
                 without a prompt (`collimate config print --own rule` prints the options without \
                 it)",
            ));
        }
        let new_tokens = config.align.responses.max_new_tokens;
        // Checked before any sum or allocation uses these numbers.
        for (name, value, least, most) in [
            ("prompts", config.prompts, 1, MOST_TEXTS),
            ("test_prompts", config.test_prompts, 1, MOST_TEXTS),
            ("samples", config.samples, 2, 1000),
            ("opening_tokens", config.opening_tokens, 1, MOST_TOKENS),
            ("align.responses.max_new_tokens", new_tokens, 1, MOST_TOKENS),
        ] {
            check_count(name, value, least..=most)?;
        }
        if !given.has("align.max_length") {
            config.align.max_length = config.opening_tokens + new_tokens + 2;
        }
        Ok(config.align.check()?)
    }

    fn held(config: &Config) -> Option<Held> {
        let align = &config.align;
        let (train, lora) = (
            &align.train,
            matches!(align.adaptation, Adaptation::Lora(_)),
        );
        // Both texts of a pair follow one opening.
        let longest = align.max_length.saturating_mul(2);
        Some(Held {
            model: config.model.clone()?,
            lora,
            keeps_half: false,
            saved_activations: SavedActivations::F32,
            critic: None,
            // The start, and the policies of the other methods.
            copies: align.methods.len(),
            beside: Vec::new(),
            asked: largest(train.batch_size, longest, train.micro_batch_tokens),
            longest,
            writing: Some(Writing {
                weights: GenerationWeights::Exact,
                cache: GenerationCache::Exact,
                max_length: align.max_length,
            }),
            advice: TRAIN_ADAPTERS,
        })
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        Inputs {
            files: Vec::new(),
            models: config.model.iter().collect(),
        }
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run::run(start)
    }
}
