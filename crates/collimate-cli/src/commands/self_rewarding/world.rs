//! Seed data from the synthetic world: demonstrations, judgements, and tasks to pose.

use collimate::core::{Key, PreferencePair, Prompt, Purpose};
use collimate::data::{RankedAnswers, SftExample, split_by_fraction};
use collimate::judge::{
    Item, Numbers, PromptStyle, Rubric, ScoreFormat, ScoreRange, Template, TemplateKind,
    eft_example,
};
use collimate::recipes::self_rewarding::{SelfRewardingConfig, SelfRewardingData, TaskTemplate};
use collimate::world::{World, WorldConfig};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Failure;
use crate::options::{MOST_TEXTS, check_count};

/// Words of judgements and task lists that the world's own vocabulary lacks.
pub(crate) const WORDS: [&str; 8] = [
    "\n", "judge", "answer", "content", "tone", "form", "Score:", "tasks",
];

/// Source of the judgements that M1 learns to judge from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EftSource {
    /// Answers that the annotator has ranked, with the annotator's mistakes.
    #[default]
    Ranks,
    /// The true reward, without noise. It also measures the models.
    Gold,
}

/// Numbers of examples of each kind on which M1 is fine-tuned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SeedSizes {
    /// Share of the training pairs whose chosen answers are used as demonstrations.
    pub(crate) demonstrations: f64,
    /// Number of answers that the true reward judges, if it is the source of judgements.
    pub(crate) judgements: usize,
    /// Number of lists that the annotator ranks, if ranks are the source of judgements.
    pub(crate) ranked_lists: usize,
    /// Number of answers, 2 to 12, in a list that the annotator ranks and in a list that models
    /// judge.
    pub(crate) ranked_answers: usize,
    /// Number of task lists, each with a new task as the continuation.
    pub(crate) task_lists: usize,
    /// Number of pairs that every model judges.
    pub(crate) judge_test: usize,
}

impl Default for SeedSizes {
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

impl SeedSizes {
    /// Checks the sizes.
    ///
    /// # Errors
    /// If a size is out of range, or larger than the world allows.
    pub(crate) fn check(
        &self,
        world: &WorldConfig,
        prompts: usize,
        source: EftSource,
    ) -> Result<(), Failure> {
        let share = self.demonstrations;
        if !(share > 0.0 && share < 1.0) {
            return Err(format!("seed_data.demonstrations is {share}: between 0 and 1").into());
        }
        check_count("seed_data.task_lists", self.task_lists, 0..=MOST_TEXTS)?;
        let each = self.ranked_answers;
        check_count("seed_data.ranked_answers", each, 2..=MOST_RANKED)?;
        let prompts_left = ((1.0 - share) * world.pairs as f64).floor();
        let (name, n, rest, what) = match source {
            EftSource::Ranks => ("ranked_lists", self.ranked_lists, prompts_left, "prompts"),
            EftSource::Gold => ("judgements", self.judgements, 2.0 * prompts_left, "answers"),
        };
        if n as f64 > rest {
            return Err(format!(
                "seed_data.{name} is {n}: the world has {rest} {what} beside the demonstrations; give \
                 more world.pairs"
            )
            .into());
        }
        let needed = prompts.saturating_add(self.judge_test);
        let there = world.test_pairs;
        if needed > there {
            return Err(format!(
                "test_prompts and seed_data.judge_test need {needed} pairs: world.test_pairs is {there}"
            )
            .into());
        }
        Ok(())
    }
}

/// Maximum number of answers in a list that the annotator ranks.
const MOST_RANKED: usize = 12;

/// Returns the judge's prompt in words of the world: 0 to 5 points, with `Score: n` as the last
/// line.
pub(crate) fn rubric() -> Result<Rubric, Failure> {
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
    Ok(Rubric::new(template, format, range)?)
}

/// Returns the prompt for a new task in words of the world.
pub(crate) fn task_template() -> TaskTemplate {
    TaskTemplate {
        head: "tasks :\n".to_owned(),
        shot: "{task}\n".to_owned(),
        tail: String::new(),
        stop: Vec::new(),
        style: PromptStyle::Text,
    }
}

/// Gold rewards from which an answer gets 1, 2, … points.
const MARKS: [f64; 5] = [0.35, 0.50, 0.62, 0.74, 0.86];

/// Writes the judgement of an answer in the form of the rubric: a justification (content, tone and
/// form in fifths), then the points for the gold reward.
fn judgement(
    world: &World,
    recipe: &SelfRewardingConfig,
    prompt: &Prompt,
    answer: &str,
) -> Result<SftExample, Failure> {
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

/// Creates the seed data in the forms of the recipe, with the held-out pairs and prompts of a run.
pub(crate) fn data(
    world: &World,
    (sizes, source): (SeedSizes, EftSource),
    prompts: usize,
    recipe: &SelfRewardingConfig,
) -> Result<SelfRewardingData<'static>, Failure> {
    let seed = recipe.seed;
    let pairs = |rows: Vec<collimate::world::WorldPair>| -> Vec<PreferencePair> {
        rows.into_iter().map(|row| row.pair).collect()
    };
    let key = Key::new(seed, "split");
    let share = sizes.demonstrations;
    let mut parts = split_by_fraction(pairs(world.train_pairs()), &[share, 1.0 - share], key)?;
    let rest = parts.pop().unwrap_or_default();
    let shown = parts.pop().unwrap_or_default();
    let both = rest
        .iter()
        .flat_map(|pair| [&pair.chosen, &pair.rejected].map(|answer| (&pair.prompt, answer)));
    let each = sizes.ranked_answers;
    let (mut eft, mut ranked) = (Vec::new(), Vec::new());
    match source {
        EftSource::Gold => {
            let judged = both.take(sizes.judgements);
            eft = judged
                .map(|(prompt, answer)| judgement(world, recipe, prompt, &answer.text))
                .collect::<Result<Vec<_>, _>>()?;
        }
        EftSource::Ranks => {
            let lists = rest.iter().take(sizes.ranked_lists);
            ranked = lists
                .filter_map(|pair| by_annotator(world, &pair.prompt, each))
                .collect();
        }
    }
    let validation = pairs(world.validation_pairs());
    let test = pairs(world.test_pairs());
    let known: Vec<String> = shown.iter().map(|pair| pair.prompt.to_plain()).collect();
    let judge_test: Vec<PreferencePair> = test
        .iter()
        .skip(prompts)
        .take(sizes.judge_test)
        .cloned()
        .collect();
    // The prompts of `judge_test` again, with lists of answers in their true order.
    let lists = judge_test.iter();
    let rank_test = lists.filter_map(|pair| in_true_order(world, &pair.prompt, each));
    Ok(SelfRewardingData {
        rank_test: rank_test.collect(),
        ranked,
        ift: shown.iter().map(SftExample::from).collect(),
        eft,
        tasks: task_lists(&known, sizes.task_lists, recipe),
        seed_prompts: shown.iter().map(|pair| pair.prompt.clone()).collect(),
        judge_test,
        held_out: validation.iter().map(SftExample::from).collect(),
        prompts: test.into_iter().take(prompts).map(|p| p.prompt).collect(),
        ..SelfRewardingData::default()
    })
}

/// Returns answers to a prompt as the annotator ranks them.
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

/// Creates lists of known tasks, each with another known task as the continuation.
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
