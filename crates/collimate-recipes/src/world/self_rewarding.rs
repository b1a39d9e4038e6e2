//! The synthetic world as seed data of a Self-Rewarding run: demonstrations, judgements, and tasks to pose.

use collimate_core::{Key, OptionError, PreferencePair, Prompt, Purpose};
use collimate_data::{RankedAnswers, SftExample, split_by_fraction};
use collimate_judge::{
    Item, JudgeError, Numbers, PromptStyle, Rubric, ScoreFormat, ScoreRange, Template,
    TemplateKind, eft_example,
};
use collimate_world::World;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::data::world_pairs;
use super::model::WorldModel;
use crate::self_rewarding::{
    EftFrom, PairSource, SelfRewardingConfig, SelfRewardingData, TaskTemplate,
};
use crate::{RecipeError, ResponseSampling};

/// Maximum number of answers in a list that the annotator ranks.
pub const MOST_RANKED: usize = 12;

/// Words of judgements and task lists that are not in the vocabulary of the world, for
/// [`WorldModel::words`](super::WorldModel::words).
pub const SELF_REWARDING_WORDS: [&str; 8] = [
    "\n", "judge", "answer", "content", "tone", "form", "Score:", "tasks",
];

/// Source of the judgements that M1 learns to judge from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EftSource {
    /// Answers that the annotator has ranked, with the annotator's mistakes.
    #[default]
    Ranks,
    /// The true reward, without noise: the reward that also measures the models.
    Gold,
}

/// Numbers of examples of each kind that M1 is fine-tuned on or models are measured on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SelfRewardingSizes {
    /// Share of the training pairs whose chosen answers are demonstrations.
    pub demonstrations: f64,
    /// Number of answers that the true reward judges, if it is the source of judgements.
    pub judgements: usize,
    /// Number of lists that the annotator ranks, if ranks are the source of judgements.
    pub ranked_lists: usize,
    /// Number of answers, 2 to 12, in a list that the annotator ranks and in a list that models judge.
    pub ranked_answers: usize,
    /// Number of task lists, each with a new task as the continuation.
    pub task_lists: usize,
    /// Number of pairs that every model judges.
    pub judge_test: usize,
}

impl Default for SelfRewardingSizes {
    fn default() -> Self {
        Self {
            demonstrations: 0.3,
            judgements: 3_000,
            ranked_lists: 3_000,
            ranked_answers: 4,
            task_lists: 1_000,
            judge_test: 300,
        }
    }
}

impl SelfRewardingSizes {
    /// Makes the seed data in the forms of the recipe, with held-out pairs and `prompts` held-out prompts.
    /// The caller adds the evaluator.
    ///
    /// # Errors
    /// If a size is out of range, the share of demonstrations leaves a part empty, or the rubric of the
    /// recipe cannot express a judgement.
    pub fn data(
        &self,
        world: &World,
        source: EftSource,
        prompts: usize,
        recipe: &SelfRewardingConfig,
    ) -> Result<SelfRewardingData<'static>, RecipeError> {
        let seed = recipe.seed;
        let key = Key::new(seed, "split");
        let share = self.demonstrations;
        let parted = share > 0.0 && share < 1.0;
        OptionError::check("demonstrations", share, "between 0 and 1", parted)?;
        let each = self.ranked_answers;
        let ranks = (2..=MOST_RANKED).contains(&each);
        OptionError::check("ranked_answers", each, "2 to 12", ranks)?;
        let mut parts =
            split_by_fraction(world_pairs(world.train_pairs()), &[share, 1.0 - share], key)?;
        let rest = parts.pop().unwrap_or_default();
        let shown = parts.pop().unwrap_or_default();
        let both = rest
            .iter()
            .flat_map(|pair| [&pair.chosen, &pair.rejected].map(|answer| (&pair.prompt, answer)));
        let (mut eft, mut ranked) = (Vec::new(), Vec::new());
        match source {
            EftSource::Gold => {
                let judged = both.take(self.judgements);
                eft = judged
                    .map(|(prompt, answer)| judgement(world, recipe, prompt, &answer.text))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(RecipeError::judge("eft"))?;
            }
            EftSource::Ranks => {
                let lists = rest.iter().take(self.ranked_lists);
                ranked = lists
                    .filter_map(|pair| by_annotator(world, &pair.prompt, each))
                    .collect();
            }
        }
        let validation = world_pairs(world.validation_pairs());
        let test = world_pairs(world.test_pairs());
        let known: Vec<String> = shown.iter().map(|pair| pair.prompt.to_plain()).collect();
        let judge_test: Vec<PreferencePair> = test
            .iter()
            .skip(prompts)
            .take(self.judge_test)
            .cloned()
            .collect();
        // The same prompts in lists, in their true order.
        let lists = judge_test.iter();
        let rank_test = lists.filter_map(|pair| in_true_order(world, &pair.prompt, each));
        Ok(SelfRewardingData {
            rank_test: rank_test.collect(),
            ranked,
            ift: shown.iter().map(SftExample::from).collect(),
            eft,
            tasks: task_lists(&known, self.task_lists, recipe),
            seed_prompts: shown.iter().map(|pair| pair.prompt.clone()).collect(),
            judge_test,
            held_out: validation.iter().map(SftExample::from).collect(),
            prompts: test.into_iter().take(prompts).map(|p| p.prompt).collect(),
            ..SelfRewardingData::default()
        })
    }
}

/// Returns the options of a Self-Rewarding run from a [`WorldModel`]. A small decoder from scratch needs larger
/// steps. The rubric and the task template use the words of the world.
///
/// # Errors
/// As [`world_rubric`].
pub fn world_self_rewarding() -> Result<SelfRewardingConfig, JudgeError> {
    let mut recipe = SelfRewardingConfig {
        max_length: 128,
        sft: WorldModel::default().sft,
        responses: ResponseSampling {
            temperature: 1.0,
            top_p: 1.0,
            max_new_tokens: 32,
        },
        rubric: world_rubric()?,
        compare: vec![PairSource::ImplicitReward, PairSource::Evaluator],
        ..SelfRewardingConfig::default()
    };
    recipe.loss = recipe.loss.with_beta(2.0);
    recipe.train.learning_rate = 1e-4;
    recipe.train.epochs = 3.0;
    recipe.tasks.per_iteration = 1_500;
    // At the paper's .6 most of what a small model writes is too like a known task.
    recipe.tasks.sampling = ResponseSampling {
        temperature: 1.0,
        top_p: 1.0,
        max_new_tokens: 24,
    };
    recipe.tasks.template = world_task_template();
    recipe.judge.style = PromptStyle::Text;
    recipe.judge.batch = 512;
    recipe.judge.sampling.max_new_tokens = 16;
    // The decoder cannot judge before it has learnt to: ranks give its first judgements.
    recipe.eft.from = EftFrom::RankMap;
    Ok(recipe)
}

/// Returns the judge's prompt in words of the world: 0 to 5 points, with `Score: n` as the last line.
///
/// # Errors
/// None: the template has the places that a rubric needs.
pub fn world_rubric() -> Result<Rubric, JudgeError> {
    let template = Template::new(
        "world",
        TemplateKind::Answer,
        None,
        "judge :\n{question}\nanswer : {answer}\n",
    )?;
    let format = ScoreFormat::LastLine {
        label: "Score:".to_owned(),
        numbers: Numbers::Whole,
    };
    let range = ScoreRange { min: 0.0, max: 5.0 };
    Rubric::new(template, format, range)
}

/// Returns the prompt for a new task in words of the world.
pub fn world_task_template() -> TaskTemplate {
    TaskTemplate {
        head: "tasks :\n".to_owned(),
        shot: "{task}\n".to_owned(),
        tail: String::new(),
        stop: Vec::new(),
        style: PromptStyle::Text,
    }
}

/// Least gold rewards of answers with 1, 2, … points.
const MARKS: [f64; 5] = [0.35, 0.50, 0.62, 0.74, 0.86];

/// Returns the judgement of an answer in the form of the rubric: a justification (content, tone and form in
/// fifths), then the points for the gold reward.
fn judgement(
    world: &World,
    recipe: &SelfRewardingConfig,
    prompt: &Prompt,
    answer: &str,
) -> Result<SftExample, JudgeError> {
    let parts = world.gold_parts(&prompt.to_plain(), answer);
    let fifths = |share: f64| (5.0 * share).round();
    let justification = format!(
        "content {} tone {} form {}",
        fifths(parts.content),
        fifths(parts.tone),
        fifths(parts.form)
    );
    let points = MARKS.iter().filter(|&&mark| parts.reward() >= mark).count();
    let item = Item::new(prompt.clone(), answer);
    let (rubric, style) = (&recipe.rubric, recipe.judge.style);
    let example = eft_example(rubric, &item, &justification, points as f64, style)?;
    Ok(SftExample {
        prompt: example.prompt,
        completion: example.completion,
    })
}

/// Returns answers to a prompt in the order of the annotator.
fn by_annotator(world: &World, prompt: &Prompt, count: usize) -> Option<RankedAnswers> {
    let list = world.ranked_answers(&prompt.to_plain(), count)?;
    let merits = list.ranks.iter().map(|&rank| -(rank as f64));
    Some(best_first(prompt, list.answers, merits.collect()))
}

/// Returns answers to a prompt with their gold rewards.
fn in_true_order(world: &World, prompt: &Prompt, count: usize) -> Option<RankedAnswers> {
    let list = world.ranked_answers(&prompt.to_plain(), count)?;
    Some(best_first(prompt, list.answers, list.gold))
}

fn best_first(prompt: &Prompt, answers: Vec<String>, merits: Vec<f64>) -> RankedAnswers {
    let mut list: Vec<(String, f64)> = answers.into_iter().zip(merits).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (answers, merits) = list.into_iter().unzip();
    RankedAnswers {
        prompt: prompt.clone(),
        answers,
        merits,
    }
}

/// Makes lists of known tasks, each with another task as the continuation.
fn task_lists(known: &[String], lists: usize, recipe: &SelfRewardingConfig) -> Vec<SftExample> {
    let tasks = &recipe.tasks;
    let shots = (tasks.seed_shots + tasks.own_shots).min(known.len().saturating_sub(1));
    let mut rng = Key::new(recipe.seed, "task lists").rng(Purpose::Data);
    (0..lists)
        .map(|_| {
            let mut picked: Vec<&str> = Vec::with_capacity(shots + 1);
            while picked.len() <= shots {
                let next = known[rng.random_range(0..known.len())].as_str();
                if !picked.contains(&next) {
                    picked.push(next);
                }
            }
            let new = picked.split_off(shots).concat();
            SftExample {
                prompt: tasks.template.render(&picked),
                completion: new.into(),
            }
        })
        .collect()
}
