//! Options of the command `self-rewarding`, and their short names.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, OnBadRow, OnRewrittenPrompt, RankedOptions};
use collimate::judge::Rubric;
use collimate::lm::LlamaConfig;
use collimate::losses::PreferenceLoss;
use collimate::nn::Precision;
use collimate::recipes::Adaptation;
use collimate::recipes::self_rewarding::{PairSource, SelfRewardingConfig};
use collimate::recipes::world::{EftSource, SelfRewardingSizes, world_self_rewarding};
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ranked::{check_ranked, given_eft};
use super::{held, world};
use crate::commands::rule::rules::Rule;
use crate::common::{Failure, json_name};
use crate::loading::{GenerationCache, GenerationWeights, SavedActivations};
use crate::options::{Flag, Given, Inputs, Layered, MOST_TEXTS, Options, check_count};
use crate::own::defaults;
use crate::own::flags::{self, Adapts, HasLoss};
use crate::preview::Held;
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Let a language model pose tasks, answer them, judge its own answers and learn from the resulting
/// pairs by direct alignment, several times (Self-Rewarding Language Models, arXiv:2401.10020).
///
/// Without --model, a small language model is trained from scratch on an embedded synthetic world,
/// whose texts also teach it to judge and to pose tasks. The world's true reward compares the
/// models and measures the accuracy of the judge. With --model, --ift and --eft, your model and
/// your seed data are used. A model that cannot judge is refused before any training on its
/// judgements.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<SelfRewarding>,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Hugging Face folder, adapter, GGUF file or hub name of the model that all later models start from (M0).
    pub(crate) model: Option<PathBuf>,
    /// Demonstrations (IFT): JSON lines of {prompt, completion} or {messages}; a tenth is held out.
    pub(crate) ift: Option<PathBuf>,
    /// Judgements to learn to judge from (EFT), as {prompt, completion} or {messages}. Each has the
    /// judge's prompt and the text that the judge should write.
    pub(crate) eft: Option<PathBuf>,
    /// Graded answers to turn into judgements: JSON lines of {prompt, completion, score} and
    /// optionally {justification}. Scores are in the rubric's range (0 to 5).
    pub(crate) graded: Option<PathBuf>,
    /// Ranked answers to turn into judgements: OpenAssistant trees, or JSON lines of {prompt,
    /// responses, ranks} (the best rank is 0 or 1) or {prompt, responses, scores}. The baseline,
    /// fine-tuned on --ift, judges the answers. The model learns from judgements whose order agrees
    /// with the ranks.
    pub(crate) ranked: Option<PathBuf>,
    /// Held-out ranked answers that every model judges, in the same layouts. If absent, a quarter
    /// of --ranked, chosen by a hash of the prompt, is held out.
    pub(crate) rank_test: Option<PathBuf>,
    /// Filter for the lists and answers of --ranked and --rank-test.
    pub(crate) ranked_filter: RankedOptions,
    /// Folder of a language model that judges the ranked answers instead of the baseline.
    pub(crate) eft_judge: Option<PathBuf>,
    /// Examples of posing a task, as {prompt, completion} or {messages}. A model that can pose
    /// tasks from a few shots needs none.
    pub(crate) task_examples: Option<PathBuf>,
    /// Prompts that the pool of known tasks starts with: one per line, jsonl rows with `prompt` or
    /// `messages`, or a file of questions (Self-Instruct's seed tasks, MT-bench, AlpacaEval, …). If
    /// absent, the prompts of the demonstrations are used.
    pub(crate) seed_prompts: Option<PathBuf>,
    /// Number type of the weights that answers are written with. Training, log-probabilities
    /// and scores use the exact weights.
    pub(crate) generation_weights: GenerationWeights,
    /// Number type of the keys and values that the model keeps while it writes answers.
    pub(crate) generation_cache: GenerationCache,
    /// Preference pairs that every model judges, to measure how often the model agrees with them.
    pub(crate) judge_test: Option<PathBuf>,
    /// Folder of a reward model that compares the models' answers to held-out prompts.
    pub(crate) evaluator: Option<PathBuf>,
    /// Rule that compares the models' answers to held-out prompts.
    pub(crate) evaluator_rule: Option<Rule>,
    /// Format of the preference pairs; if absent, it is detected.
    pub(crate) format: Option<Format>,
    /// Handling of rows that cannot be read: fail, or drop and count them.
    pub(crate) on_bad_row: OnBadRow,
    /// Handling of messages if the model has no chat template: refuse them, or write them as plain
    /// text with their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Name of a chat template in the model folder; if absent, `default` is used.
    pub(crate) chat_template: Option<String>,
    /// Variables passed to the chat template for all rows, such as `enable_thinking: false`.
    pub(crate) chat_template_kwargs: TemplateKwargs,
    /// Date that the chat template uses as today, such as `2025-01-31`; if absent, the day of the
    /// run in UTC.
    pub(crate) template_date: Option<String>,
    /// Handling of rows whose prompt is tokenised differently once the answer follows: count them,
    /// or fail.
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
    /// Precision of the products of linear layers: f32, or bf16, which is faster on processors with a
    /// unit for bf16.
    pub(crate) precision: Precision,
    /// Number type of the activations that are saved for the backward pass: f32, bf16 (half of the
    /// memory, gradients with about three digits), or auto, which is bf16 if adapters are trained
    /// beside frozen matrices of 16 bits, and f32 otherwise.
    pub(crate) saved_activations: SavedActivations,
    /// Number of held-out prompts that every model answers.
    pub(crate) test_prompts: usize,
    /// Options of the self-rewarding loop.
    pub(crate) recipe: SelfRewardingConfig,
    /// Number of unlabelled texts of the synthetic world that the decoder from scratch is
    /// pretrained on.
    pub(crate) pretrain_texts: usize,
    /// Pretraining of the decoder from scratch on plain texts.
    pub(crate) pretrain: TrainConfig,
    /// Source of the judgements made from the synthetic world: the ranks of the noisy annotator, or
    /// the true reward, which also measures the models.
    pub(crate) eft_source: EftSource,
    /// Sizes of the seed data made of the synthetic world.
    pub(crate) seed_data: SelfRewardingSizes,
    /// The synthetic world, where no model is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        let mut recipe = SelfRewardingConfig::default();
        recipe.sft.save_every = Some(200);
        recipe.train.save_every = Some(200);
        recipe.max_length = crate::lengths::DEFAULT;
        Self {
            model: None,
            ift: None,
            eft: None,
            graded: None,
            ranked: None,
            rank_test: None,
            ranked_filter: RankedOptions::default(),
            eft_judge: None,
            task_examples: None,
            generation_weights: GenerationWeights::default(),
            generation_cache: GenerationCache::default(),
            seed_prompts: None,
            judge_test: None,
            evaluator: None,
            evaluator_rule: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
            on_rewritten_prompt: OnRewrittenPrompt::default(),
            precision: Precision::default(),
            saved_activations: SavedActivations::default(),
            test_prompts: 200,
            recipe,
            pretrain_texts: 0,
            pretrain: defaults::pretrain(),
            eft_source: EftSource::default(),
            seed_data: SelfRewardingSizes::default(),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl Config {
    /// Returns the defaults for the synthetic world: a small decoder from scratch needs larger
    /// steps. The values were chosen in another world (seed 99), with a seed that no reported run
    /// uses.
    fn of_world() -> Result<Self, Failure> {
        let default = Self::default();
        let mut recipe = world_self_rewarding()?;
        recipe.train.save_every = default.recipe.train.save_every;
        Ok(Self {
            test_prompts: 400,
            recipe,
            pretrain_texts: defaults::plain_texts(),
            llama: defaults::llama(),
            ..Self::default()
        })
    }

    /// Returns the files that a run reads.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [
            &self.ift,
            &self.eft,
            &self.graded,
            &self.ranked,
            &self.rank_test,
            &self.task_examples,
            &self.seed_prompts,
            &self.judge_test,
        ];
        files.into_iter().flatten()
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.recipe.adaptation
    }
}

impl HasLoss for Config {
    fn loss(&mut self) -> &mut PreferenceLoss {
        &mut self.recipe.loss
    }
}

/// The command `self-rewarding`.
#[derive(Debug)]
pub(crate) struct SelfRewarding;

impl Layered for SelfRewarding {
    type Config = Config;
    const NAME: &'static str = "self_rewarding";
    const OWN: &'static str = "model";
    const ESTIMATES: bool = false;

    fn for_world() -> Result<Config, Failure> {
        Config::of_world()
    }

    fn flags() -> Vec<Flag<Config>> {
        flags()
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let recipe = &mut config.recipe;
        let model = config.model.as_deref();
        crate::lengths::cap(
            &mut recipe.max_length,
            given.has("recipe.max_length"),
            model,
        );
        // A default length is lowered; a given length stays.
        if !given.has("recipe.responses.max_new_tokens") {
            let longest = (recipe.max_length / 2).max(1);
            recipe.responses.max_new_tokens = recipe.responses.max_new_tokens.min(longest);
        }
        recipe.check()?;
        config.pretrain.validate()?;
        check(config, given)
    }

    fn held(config: &Config) -> Option<Held> {
        held::held(config)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        Inputs {
            files: config.files().collect(),
            models: [&config.model, &config.evaluator, &config.eft_judge]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run::run(start)
    }
}

/// Returns the short names of the options.
fn flags() -> Vec<Flag<Config>> {
    let mut all = vec![
        Flag::of("model", "DIR", &["model"]),
        Flag::of("ift", "FILE", &["ift"]),
        Flag::of("eft", "FILE", &["eft"]),
        Flag::of("graded", "FILE", &["graded"]),
        Flag::of("ranked", "FILE", &["ranked"]),
        Flag::of("rank-test", "FILE", &["rank_test"]).rare(),
        Flag::of("eft-judge", "DIR", &["eft_judge"]).rare(),
        Flag::of("eft-from", "SOURCE", &["recipe.eft.from"]).rare(),
        Flag::of("eft-order", "RULE", &["recipe.eft.order"]).rare(),
        Flag::of("eft-source", "SOURCE", &["eft_source"]).rare(),
        Flag::of("task-examples", "FILE", &["task_examples"]).rare(),
        Flag::of("seed-prompts", "FILE", &["seed_prompts"]),
        Flag::of("judge-test", "FILE", &["judge_test"]).rare(),
        Flag::of("evaluator", "DIR", &["evaluator"]).conflicts("evaluator-rule"),
        Flag::of("evaluator-rule", "RULE", &["evaluator_rule"]).rare(),
        Flag::of("format", "NAME", &["format"]).rare(),
        Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
        Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
        Flag::of("chat-template", "NAME", &["chat_template"]).rare(),
        Flag::of("chat-template-kwargs", "JSON", &["chat_template_kwargs"]).rare(),
        Flag::of("template-date", "DATE", &["template_date"]).rare(),
        Flag::of("on-rewritten-prompt", "POLICY", &["on_rewritten_prompt"]).rare(),
        Flag::change(
            "rubric",
            "NAME",
            &["recipe.rubric"],
            "Rubric of the judge: additive (0 to 5) or mt_bench (1 to 10); your own rubric goes \
             into --config [default: additive; the synthetic world has its own]",
            |config: &mut Config, name, _| {
                config.recipe.rubric = match name {
                    "additive" => Rubric::additive(),
                    "mt_bench" | "mt-bench" => Rubric::mt_bench(),
                    _ => return Err("give additive or mt_bench".into()),
                };
                Ok(())
            },
        )
        .rare(),
        Flag::of("judge-style", "STYLE", &["recipe.judge.style"]).rare(),
        Flag::of("iterations", "N", &["recipe.iterations"]),
        Flag::of("tasks", "N", &["recipe.tasks.per_iteration"]),
        Flag::of("prompt-source", "WHO", &["recipe.tasks.source"]).rare(),
        Flag::of("candidates", "N", &["recipe.candidates"]),
        Flag::of("samples", "N", &["recipe.judge.samples"]),
        Flag::of("min-parse-rate", "P", &["recipe.judge.min_parse_rate"]).rare(),
        Flag::of(
            "judge-tokens",
            "N",
            &["recipe.judge.sampling.max_new_tokens"],
        )
        .rare(),
        Flag::of("response-tokens", "N", &["recipe.responses.max_new_tokens"]),
        Flag::change(
            "compare",
            "SOURCES",
            &["recipe.compare"],
            "Branches with pairs from another source, separated by commas: implicit_reward, \
             evaluator, or none [default: implicit_reward; for the synthetic world evaluator \
             too]",
            |config: &mut Config, sources, _| {
                let names = sources.split(',').filter(|name| *name != "none");
                let names = names.map(|name| {
                    json_name(name).map_err(|error| format!("{name}: {error}, or none"))
                });
                config.recipe.compare = names.collect::<Result<_, String>>()?;
                Ok(())
            },
        )
        .rare(),
        Flag::switch(
            "accumulate",
            &["recipe.accumulate"],
            "Learn from the pairs of earlier iterations too",
            |config: &mut Config, _, _| {
                config.recipe.accumulate = true;
                Ok(())
            },
        )
        .rare(),
        flags::loss(
            &["recipe.loss"],
            "Loss: dpo, ipo, slic_hf, simpo, … (docs/methods/losses.md) [default: dpo]",
        )
        .rare(),
        flags::beta(
            &["recipe.loss"],
            "Strength of the pull towards the previous model, above 0 [default: that of the loss; \
             with DPO 0.1, for the synthetic world 2]",
        ),
        flags::nll_anchor(&["recipe.nll_anchor"]),
        Flag::of("lr", "RATE", &["recipe.train.learning_rate"]),
        Flag::of("sft-lr", "RATE", &["recipe.sft.learning_rate"]),
        Flag::of(
            "batch",
            "N",
            &["recipe.train.batch_size", "recipe.sft.batch_size"],
        ),
        Flag::of("max-length", "N", &["recipe.max_length"]),
        Flag::of("test-prompts", "N", &["test_prompts"]),
        flags::lora(
            &["recipe.adaptation"],
            "Train low-rank adapters (r 8, alpha 32, dropout 0.1) in preference training",
        ),
        flags::precision(),
        flags::saved_activations(),
        flags::generation_weights(),
        flags::generation_cache(),
        Flag::of("seed", "N", &["recipe.seed"]),
    ];
    all.extend(flags::lora_form(&["recipe.adaptation"]));
    all
}

fn check(config: &Config, typed: &Given) -> Result<(), Failure> {
    check_count("test_prompts", config.test_prompts, 1..=MOST_TEXTS)?;
    check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
    let given = [
        ("ift", config.ift.is_some()),
        ("eft", config.eft.is_some()),
        ("graded", config.graded.is_some()),
        ("ranked", config.ranked.is_some()),
        ("rank_test", config.rank_test.is_some()),
        (
            "ranked_filter",
            config.ranked_filter != RankedOptions::default(),
        ),
        ("eft_judge", config.eft_judge.is_some()),
        ("task_examples", config.task_examples.is_some()),
        ("seed_prompts", config.seed_prompts.is_some()),
        ("judge_test", config.judge_test.is_some()),
        ("evaluator", config.evaluator.is_some()),
        ("evaluator_rule", config.evaluator_rule.is_some()),
        ("judge_style", typed.typed("recipe.judge.style")),
        ("on_bad_row", typed.typed("on_bad_row")),
        ("chat_fallback", typed.typed("chat_fallback")),
        ("chat_template", typed.typed("chat_template")),
        ("chat_template_kwargs", typed.typed("chat_template_kwargs")),
        ("template_date", typed.typed("template_date")),
        ("on_rewritten_prompt", typed.typed("on_rewritten_prompt")),
    ];
    if config.model.is_none() {
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(
                format!("{name} needs --model, because the synthetic world has its own").into(),
            );
        }
        if config.eft_source == EftSource::Gold && given_eft(typed) {
            return Err(
                "recipe.eft works only with ranked answers: remove recipe.eft, or set eft_source \
                 to ranks"
                    .into(),
            );
        }
        let (sizes, source) = (&config.seed_data, config.eft_source);
        let (other, name) = match source {
            EftSource::Ranks => ("seed_data.judgements", "gold"),
            EftSource::Gold => ("seed_data.ranked_lists", "ranks"),
        };
        if typed.typed(other) {
            return Err(
                format!("{other} works only with --eft-source {name}: remove {other}").into(),
            );
        }
        return world::check(sizes, &config.world, config.test_prompts, source);
    }
    check_ranked(config, typed)?;
    if config.evaluator.is_some() && config.evaluator_rule.is_some() {
        return Err("evaluator and evaluator_rule exclude each other: give one of them".into());
    }
    if config.recipe.compare.contains(&PairSource::Evaluator)
        && config.evaluator.is_none()
        && config.evaluator_rule.is_none()
    {
        return Err(
            "compare is evaluator, but there is no evaluator: give --evaluator or \
             --evaluator-rule, or remove evaluator from compare"
                .into(),
        );
    }
    if config.ift.is_none() && config.seed_prompts.is_none() {
        return Err(
            "there are no seed data: give demonstrations with --ift, or prompts with --seed-prompts"
                .into(),
        );
    }
    let default = Config::default();
    // The memory plan also lowers the micro-batches of trainings that a run does not make.
    let pretrain = TrainConfig {
        micro_batch_tokens: default.pretrain.micro_batch_tokens,
        ..config.pretrain.clone()
    };
    let of_world = [
        ("world", config.world != default.world),
        ("llama", config.llama != default.llama),
        ("eft_source", typed.typed("eft_source")),
        ("seed_data", config.seed_data != default.seed_data),
        ("pretrain", pretrain != default.pretrain),
        (
            "pretrain_texts",
            config.pretrain_texts != default.pretrain_texts,
        ),
    ];
    match of_world.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(format!(
            "{name} works only with the synthetic world: remove {name}, or remove --model"
        )
        .into()),
        None => Ok(()),
    }
}
