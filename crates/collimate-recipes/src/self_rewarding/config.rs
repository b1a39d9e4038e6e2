//! Options of a Self-Rewarding run.

use collimate_core::OptionError;
use collimate_data::Truncation;
use collimate_judge::{
    EmptyAnswers, JudgeError, JudgeOptions, NoveltyFilter, NoveltyOptions, OrderRule, Rubric,
    TemplateKind,
};
use collimate_losses::{Anchored, DirectLoss, PreferenceLoss};
use collimate_train::{TrainConfig, TrainError};
use serde::{Deserialize, Serialize};

use super::task_template::TaskTemplate;
use crate::{Adaptation, RecipeError, ResponseSampling};

/// Model that writes new tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PromptSource {
    /// The same model in all iterations, as in the paper: the writer named in the data, else M1.
    #[default]
    Fixed,
    /// The model of the current iteration.
    Current,
}

/// Source of the scores that decide which candidates are best and worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PairSource {
    /// The model as its own judge: the models M1 → M2 → M3 learn from these pairs.
    Judge,
    /// The model's implicit reward, as in SeRA: the log-ratio of M1 to M0 in the first iteration,
    /// later the log-ratio of the model to M1.
    ImplicitReward,
    /// The evaluator. If the evaluator is the true reward, this branch shows the gain of a perfect
    /// judge.
    Evaluator,
}

impl PairSource {
    /// Returns the name used in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::ImplicitReward => "implicit_reward",
            Self::Evaluator => "evaluator",
        }
    }
}

/// Source of scores for the judgement examples (EFT) that are made from ranked answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EftFrom {
    /// A judge writes judgements of the answers, as in the paper. They are kept if their order
    /// agrees with the ranks. The judge is the baseline (`sft`), or the generator named in the
    /// data.
    #[default]
    Judged,
    /// A fixed map turns each rank into a score, without a justification. For models that cannot
    /// judge yet.
    ///
    /// See [`score_of_rank`](collimate_judge::score_of_rank).
    RankMap,
}

/// Options of making judgements (EFT) from ranked answers.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `from` | `judged` | `judged`, `rank_map` |
/// | `order` | `strict` | `strict`, `weak`; see [`OrderRule`] |
/// | `thin` | `true` | `false` keeps all examples of the most common score |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EftConfig {
    /// Source of the scores: judgements that agree with the ranks, or the ranks alone.
    pub from: EftFrom,
    /// Rule that decides whether judgements agree with the ranks.
    pub order: OrderRule,
    /// If true, examples of the most common score are dropped at random until as many are left as
    /// the second most common score has.
    pub thin: bool,
}

impl Default for EftConfig {
    fn default() -> Self {
        Self {
            from: EftFrom::default(),
            order: OrderRule::default(),
            thin: true,
        }
    }
}

/// Options of writing new tasks.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `per_iteration` | 1000 | 1 to 10^7 |
/// | `seed_shots`, `own_shots` | 6, 2 | 1 to 1000 together; seed prompts replace own tasks that do not exist yet |
/// | `source` | `fixed` | `fixed`, `current` |
/// | `sampling` | temperature 0.6, top-p 0.9, 256 tokens | |
/// | `novelty` | ROUGE-L below 0.7, 3 to 150 words | see [`NoveltyOptions`] |
/// | `attempts` | 4 | 1 to 1000: largest number of texts written per task wanted |
/// | `template` | numbered tasks | see [`TaskTemplate`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TaskConfig {
    /// Number of new tasks in each iteration, 1 to 10^7.
    pub per_iteration: usize,
    /// Number of example tasks from the seed prompts in each request, 1 to 1000 together with
    /// `own_shots`.
    pub seed_shots: usize,
    /// Number of example tasks in each request that come from new tasks kept earlier. Seed prompts
    /// take their place until there are enough of them.
    pub own_shots: usize,
    /// Model that writes new tasks.
    pub source: PromptSource,
    /// Options of sampling new tasks.
    pub sampling: ResponseSampling,
    /// Options of the filter that keeps new tasks.
    pub novelty: NoveltyOptions,
    /// Largest number of texts that are written, as a multiple of `per_iteration`, 1 to 1000.
    pub attempts: usize,
    /// Prompt that asks for a new task.
    pub template: TaskTemplate,
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self {
            per_iteration: 1000,
            seed_shots: 6,
            own_shots: 2,
            source: PromptSource::default(),
            sampling: ResponseSampling {
                temperature: 0.6,
                top_p: 0.9,
                max_new_tokens: 256,
            },
            novelty: NoveltyOptions::default(),
            attempts: 4,
            template: TaskTemplate::default(),
        }
    }
}

/// Options of a Self-Rewarding run (<https://arxiv.org/abs/2401.10020>).
///
/// | field | default | allowed |
/// |---|---|---|
/// | `seed` | 0 | |
/// | `iterations` | 2 (M2, M3) | 1 to 1000 |
/// | `tasks` | see [`TaskConfig`] | |
/// | `candidates` | 4 | 2 to 1000 |
/// | `responses` | temperature 0.7, top-p 0.9, 512 tokens | |
/// | `rubric` | additive, 0 to 5 | see [`Rubric`] |
/// | `judge` | 3 samples, at least half must parse | see [`JudgeOptions`]; its seed is the run's, empty answers are never judged |
/// | `eft` | judged by the baseline, kept if the order agrees | see [`EftConfig`]; needs ranked answers |
/// | `accumulate` | `false` | `true`: learn from the pairs of earlier iterations too |
/// | `compare` | `implicit_reward` | other sources than `judge`; `evaluator` needs an evaluator |
/// | `loss` | DPO, β 0.1 | see [`PreferenceLoss`] |
/// | `nll_anchor` | 0 | at least 0; with a loss that has a reference |
/// | `adaptation` | `full` | `full`, `lora` |
/// | `sft` | 1 epoch, 16 examples, lr 5.5e-6 to 1.1e-6, cosine | see [`TrainConfig`]; stage and seed are set by the recipe |
/// | `train` | 1 epoch, 16 pairs, lr 1e-6 to 1e-7, cosine | the same |
/// | `max_length` | 512 | at least 3 tokens |
/// | `truncation` | `keep_end` | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SelfRewardingConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Number of preference trainings, 1 to 1000. Each learns from pairs that the model before it
    /// has made.
    pub iterations: usize,
    /// Options of writing new tasks.
    pub tasks: TaskConfig,
    /// Number of answers to each new task, 2 to 1000.
    pub candidates: usize,
    /// Options of sampling the answers.
    pub responses: ResponseSampling,
    /// Rubric of the judge: prompt, form of the score and range of scores.
    pub rubric: Rubric,
    /// Options of asking the judge. The recipe sets the seed, and empty answers are never judged.
    pub judge: JudgeOptions,
    /// Options of making judgements (EFT) from ranked answers.
    pub eft: EftConfig,
    /// If true, each preference training also learns from the pairs of earlier iterations.
    pub accumulate: bool,
    /// Other sources of pairs for comparison with the judge. Each source trains a separate model;
    /// `evaluator` needs an evaluator.
    pub compare: Vec<PairSource>,
    /// Direct alignment loss.
    pub loss: PreferenceLoss,
    /// Weight of a likelihood term on the chosen answers, added to the loss, at least 0; 0 leaves
    /// the term out. The loss must compare with a reference.
    pub nll_anchor: f64,
    /// Parameters that preference training changes.
    pub adaptation: Adaptation,
    /// Training options of fine-tuning; the recipe sets `stage` and `seed`.
    pub sft: TrainConfig,
    /// Training options of preference training; the recipe sets `stage` and `seed`.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Side of the prompt, start or end, that is cut if a demonstration is too long.
    pub truncation: Truncation,
}

impl Default for SelfRewardingConfig {
    fn default() -> Self {
        let train = |learning_rate, ratio| TrainConfig {
            learning_rate,
            final_learning_rate_ratio: ratio,
            schedule: collimate_train::Schedule::Cosine,
            batch_size: 16,
            keep_best: false,
            ..TrainConfig::default()
        };
        Self {
            seed: 0,
            iterations: 2,
            tasks: TaskConfig::default(),
            candidates: 4,
            responses: ResponseSampling {
                top_p: 0.9,
                ..ResponseSampling::default()
            },
            rubric: Rubric::additive(),
            judge: JudgeOptions {
                empty_answers: EmptyAnswers::Unscored,
                ..JudgeOptions::default()
            },
            eft: EftConfig::default(),
            accumulate: false,
            compare: vec![PairSource::ImplicitReward],
            loss: PreferenceLoss::default(),
            nll_anchor: 0.0,
            adaptation: Adaptation::default(),
            sft: train(5.5e-6, 0.2),
            train: train(1e-6, 0.1),
            max_length: 512,
            truncation: Truncation::default(),
        }
    }
}

impl SelfRewardingConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option out of range.
    pub fn check(&self) -> Result<(), RecipeError> {
        let within = |name: &'static str, value: usize, least: usize, most: usize| {
            let allowed = format!("at least {least}, at most {most}");
            OptionError::check(name, value, &allowed, (least..=most).contains(&value))
        };
        within("iterations", self.iterations, 1, 1000)?;
        within("candidates", self.candidates, 2, 1000)?;
        if self.max_length < 3 {
            return Err(OptionError::new("max_length", self.max_length, "at least 3").into());
        }
        let tasks = &self.tasks;
        let name = "tasks.per_iteration";
        within(name, tasks.per_iteration, 1, 10_000_000)?;
        within("tasks.attempts", tasks.attempts, 1, 1000)?;
        let shots = tasks.seed_shots.saturating_add(tasks.own_shots);
        within("tasks.seed_shots + tasks.own_shots", shots, 1, 1000)?;
        tasks.template.check()?;
        let judge = |source: JudgeError| RecipeError::Judge {
            stage: "options".to_owned(),
            source,
        };
        NoveltyFilter::new(tasks.novelty).map_err(judge)?;
        self.judge.check().map_err(judge)?;
        if self.judge.sampling.seed != 0 {
            let allowed = "0: judgements are drawn from the run's seed";
            let seed = self.judge.sampling.seed;
            return Err(OptionError::new("judge.sampling.seed", seed, allowed).into());
        }
        if self.rubric.template().kind() != TemplateKind::Answer {
            let allowed = "a rubric whose template shows one question and one answer";
            let name = self.rubric.template().name();
            return Err(OptionError::new("rubric", name, allowed).into());
        }
        if self.judge.empty_answers != EmptyAnswers::Unscored {
            let allowed = "unscored: a candidate without a text is never judged";
            let value = format!("{:?}", self.judge.empty_answers).to_lowercase();
            return Err(OptionError::new("judge.empty_answers", value, allowed).into());
        }
        tasks.sampling.with(1, self.seed).check()?;
        self.responses.with(self.candidates, self.seed).check()?;
        let (loss, alpha) = (self.loss, self.nll_anchor);
        let anchored = Anchored { loss, alpha };
        anchored.check().map_err(TrainError::objective)?;
        if let Adaptation::Lora(lora) = &self.adaptation {
            lora.check()?;
        }
        self.sft.validate()?;
        self.train.validate()?;
        for (name, train) in [
            ("sft.eval_every", &self.sft),
            ("train.eval_every", &self.train),
        ] {
            if let Some(every) = train.eval_every {
                let allowed = "null: every model is evaluated when it is finished";
                return Err(OptionError::new(name, every, allowed).into());
            }
        }
        for (index, source) in self.compare.iter().enumerate() {
            let allowed = match source {
                PairSource::Judge => {
                    "another source, because the models learn from the judge already"
                }
                _ if self.compare[..index].contains(source) => "a list that has each source once",
                _ => continue,
            };
            return Err(OptionError::new("compare", source.name(), allowed).into());
        }
        Ok(())
    }
}
