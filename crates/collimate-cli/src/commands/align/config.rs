//! Options of alignment, with the defaults for both kinds of data.

use collimate::recipes::RecipeError;
use collimate::train::TrainConfig;

use super::pairs::Choices;
use crate::common::Failure;
use crate::lengths;
use crate::options::{Given, MOST_TEXTS, check_count};
use crate::own::flags::Adapts;
use crate::own::{OnData, check};
use crate::preview::{Preview, RowsOf, Training};

/// A configuration of alignment, as [`align_config`] declares it.
pub(crate) trait Aligned: OnData + Adapts + Default {
    /// The seed, the share of labels that are swapped and the number of prompts.
    fn choices(&self) -> Choices;

    /// The longest sequence.
    fn max_length(&mut self) -> &mut usize;

    /// The training of the policy.
    fn train(&self) -> &TrainConfig;

    /// The same, to be changed.
    fn train_mut(&mut self) -> &mut TrainConfig;

    /// Checks the options of the recipe.
    fn check_recipe(&self) -> Result<(), RecipeError>;
}

/// Declares `Config` of a command: the fields that all have, with the command's own between them.
macro_rules! align_config {
    (
        $(#[$($data:tt)*])* data;
        $(#[$($judge:tt)*])* judge;
        { $( $(#[$($more:tt)*])* $name:ident: $kind:ty = $default:expr; )* }
        $(#[$($prompts:tt)*])* prompts;
        align: $align:ty = $recipe:expr;
        label_noise: $noise:expr;
    ) => {
        /// Everything that decides a run's result.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Config {
            $(#[$($data)*])*
            #[serde(deserialize_with = "crate::files::one_or_many")]
            pub(crate) data: Vec<PathBuf>,
            /// Hugging Face folder of the policy: fine-tuned already, it is the reference.
            pub(crate) model: Option<PathBuf>,
            $(#[$($judge)*])*
            pub(crate) judge: Option<PathBuf>,
            /// Format of the files; without one it is recognised.
            pub(crate) format: Option<Format>,
            /// Treatment of a row that cannot be read: fail, or drop and count it.
            pub(crate) on_bad_row: OnBadRow,
            /// Prompt of an hh-rlhf dialogue: the last turn or the full dialogue.
            pub(crate) hh_turns: HhTurns,
            /// Treatment of messages where the model has no chat template: refuse them, or write plain
            /// text with their roles.
            pub(crate) chat_fallback: ChatFallback,
            /// Name of one of the chat templates of the model's folder; without one it is `default`.
            pub(crate) chat_template: Option<String>,
            /// Variables of the chat template, such as `enable_thinking: false`, for all rows.
            pub(crate) chat_template_kwargs: TemplateKwargs,
            /// Day that a chat template writes as today, such as `2025-01-31`; without one, the day of the run
            /// in UTC.
            pub(crate) template_date: Option<String>,
            /// Rows whose prompt has other tokens where the answer follows: count them, or fail.
            pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
            $( $(#[$($more)*])* pub(crate) $name: $kind, )*
            $(#[$($prompts)*])*
            pub(crate) prompts: usize,
            /// Number of plain texts that a decoder from scratch reads first.
            pub(crate) pretrain_texts: usize,
            /// Training of the decoder from scratch on these texts.
            pub(crate) pretrain: TrainConfig,
            /// Fine-tuning of the decoder from scratch on chosen answers.
            pub(crate) sft: TrainConfig,
            /// The alignment.
            pub(crate) align: $align,
            /// The synthetic world, where no file is given.
            pub(crate) world: WorldConfig,
            /// The decoder that is trained from scratch on the synthetic world.
            pub(crate) llama: LlamaConfig,
        }

        impl Default for Config {
            fn default() -> Self {
                let mut align: $align = $recipe;
                // So that a killed run loses little.
                align.train.save_every = Some(200);
                align.max_length = $crate::lengths::DEFAULT;
                Self {
                    data: Vec::new(),
                    model: None,
                    judge: None,
                    format: None,
                    on_bad_row: OnBadRow::Fail,
                    hh_turns: HhTurns::LastTurnOnly,
                    chat_fallback: ChatFallback::default(),
                    chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
                    template_date: None,
                    on_rewritten_prompt: OnRewrittenPrompt::default(),
                    $( $name: $default, )*
                    prompts: 200,
                    pretrain_texts: 0,
                    pretrain: $crate::own::defaults::pretrain(),
                    sft: $crate::own::defaults::sft(),
                    align,
                    world: WorldConfig::default(),
                    llama: LlamaConfig::default(),
                }
            }
        }

        impl Config {
            /// Defaults for the embedded world: a small decoder from scratch wants larger steps. Chosen in
            /// another world (seed 99) and with a seed that no reported run uses.
            fn of_world() -> Self {
                let mut config = Self {
                    prompts: 400,
                    pretrain_texts: $crate::own::defaults::plain_texts(),
                    llama: $crate::own::defaults::llama(),
                    ..Self::default()
                };
                config.align.max_length = 128;
                config.align.train.learning_rate = 1e-4;
                config.align.responses.max_new_tokens = 32;
                config
            }
        }

        impl OnData for Config {
            fn own(&self) -> Own<'_> {
                Own {
                    judge: self.judge.as_ref(),
                    sft: Some(&self.sft),
                    one_seed: false,
                    ..own!(self, self.align, self.align.seed)
                }
            }
        }

        impl Adapts for Config {
            fn adaptation(&mut self) -> &mut Adaptation {
                &mut self.align.adaptation
            }
        }

        impl Aligned for Config {
            fn choices(&self) -> Choices {
                let label_noise: fn(&Self) -> f64 = $noise;
                Choices {
                    seed: self.align.seed,
                    label_noise: label_noise(self),
                    prompts: self.prompts,
                }
            }

            fn max_length(&mut self) -> &mut usize {
                &mut self.align.max_length
            }

            fn train(&self) -> &TrainConfig {
                &self.align.train
            }

            fn train_mut(&mut self) -> &mut TrainConfig {
                &mut self.align.train
            }

            fn check_recipe(&self) -> Result<(), RecipeError> {
                self.align.check()
            }
        }
    };
}
pub(crate) use align_config;

/// Fills in options that follow from others, and checks the whole.
pub(crate) fn settle<C: Aligned>(config: &mut C, given: &Given) -> Result<(), Failure> {
    let model = config.own().model.cloned();
    let length = config.max_length();
    lengths::cap(length, given.has("align.max_length"), model.as_deref());
    config.check_recipe()?;
    let choices = config.choices();
    check_count("prompts", choices.prompts, 0..=MOST_TEXTS)?;
    if !(0.0..=1.0).contains(&choices.label_noise) {
        let noise = choices.label_noise;
        return Err(format!("label_noise is {noise}: it must be between 0 and 1").into());
    }
    check(config, given)
}

/// The estimate of so many trainings, each of so many rounds, of a policy.
pub(crate) fn preview<C: Aligned>(
    config: &C,
    rows: RowsOf,
    (policies, rounds): (usize, usize),
    left_out: &'static str,
) -> Option<Preview> {
    let training = Training {
        pool: false,
        name: "training",
        share: 0.9,
        train: config.train().clone(),
        times: (policies * rounds) as u64,
        passes: 1,
    };
    let preview = config.own().preview(rows, vec![training], Some(left_out))?;
    Some(Preview {
        // The start is saved too.
        models: 1 + policies,
        ..preview
    })
}
