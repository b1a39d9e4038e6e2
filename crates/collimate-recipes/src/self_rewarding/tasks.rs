//! New tasks: written with a few known tasks as examples, and kept if they are new.

use std::collections::HashSet;

use collimate_core::{Completion, Finish, Generator, Key, OptionError, Prompt, Purpose};
use collimate_judge::{NoveltyFilter, Refusal};
use collimate_nn::CausalLm;
use collimate_train::hash_json;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::data::SelfRewardingData;
use super::outcome::TaskCounts;
use super::session::Session;
use super::task_template::{as_prompt, as_task};
use crate::RecipeError;

/// Reason why a text was not kept as a new task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskRefusal {
    /// The text did not end within the largest number of tokens.
    Cut,
    /// The text is one of the prompts that models are measured on.
    HeldOut,
    /// The text is too short, too long, or too similar to a known task.
    Novelty(Refusal),
    /// Enough tasks had been kept before this text in the same round.
    Surplus,
}

/// A text that was written as a new task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TaskRow {
    pub(super) prompt: Prompt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<TaskRefusal>,
}

/// Known tasks, and held-out tasks that must not be used.
pub(super) struct Pool {
    filter: NoveltyFilter,
    seeds: Vec<String>,
    own: Vec<String>,
    held_out: HashSet<String>,
    /// A seed prompt that gives the form of new prompts: a text or a message.
    like: Prompt,
}

impl Pool {
    /// Collects the seed prompts that may be used as examples.
    ///
    /// # Errors
    /// No seed prompt can be used as an example.
    pub(super) fn new(
        data: &SelfRewardingData<'_>,
        config: &super::SelfRewardingConfig,
    ) -> Result<Self, RecipeError> {
        let test = data.judge_test.iter().map(|pair| &pair.prompt);
        let good = data.held_out.iter().map(|row| &row.prompt);
        let ranked = data.rank_test.iter().map(|list| &list.prompt);
        let held_out = data.prompts.iter().chain(test).chain(good).chain(ranked);
        let held_out = held_out.filter_map(last_message);
        let held_out: HashSet<String> = held_out.map(|task| task.trim().to_owned()).collect();
        let usable = |prompt: &&Prompt| {
            let task = as_task(prompt).unwrap_or_default().trim();
            !task.is_empty() && !held_out.contains(task)
        };
        let seeds = data.seed_prompts.iter().filter(usable);
        let Some(like) = seeds.clone().next() else {
            let (n, allowed) = (
                format!("0 of {}", data.seed_prompts.len()),
                "at least 1: give a text, or a chat with one user message, that no model is \
                 measured on",
            );
            return Err(OptionError::new("number of usable seed prompts", n, allowed).into());
        };
        let mut filter =
            NoveltyFilter::new(config.tasks.novelty).map_err(RecipeError::judge("new tasks"))?;
        let mut known = HashSet::new();
        let texts = seeds.filter_map(as_task).map(|task| task.trim().to_owned());
        let seeds: Vec<String> = texts.filter(|task| known.insert(task.clone())).collect();
        for seed in &seeds {
            filter.add(seed);
        }
        Ok(Self {
            filter,
            seeds,
            own: Vec::new(),
            like: like.clone(),
            held_out,
        })
    }

    /// Returns the shortest seed.
    pub(super) fn shortest(&self) -> &str {
        let seeds = self.seeds.iter().map(String::as_str);
        seeds.min_by_key(|seed| seed.len()).unwrap_or_default()
    }

    /// Adds the tasks that an iteration kept to the pool.
    fn adopt(&mut self, rows: &[TaskRow]) {
        for row in rows.iter().filter(|row| row.refused.is_none()) {
            let task = as_task(&row.prompt).unwrap_or_default().to_owned();
            self.filter.add(&task);
            self.own.push(task);
        }
    }

    /// Draws the example tasks of one prompt: seeds, then own tasks, each at most once. Seeds
    /// replace own tasks that do not exist yet.
    fn shots(&self, seeds: usize, own: usize, rng: &mut impl Rng) -> Vec<&str> {
        let own_now = own.min(self.own.len());
        let seeds = (seeds + own - own_now).min(self.seeds.len());
        let mut shots = pick(&self.seeds, seeds, rng);
        shots.extend(pick(&self.own, own_now, rng));
        shots
    }

    /// Keeps a text as a new task, or records the reason for refusing it.
    fn offer(&mut self, text: &Completion, enough: bool) -> TaskRow {
        let task = text.text.trim();
        let refused = if enough {
            Some(TaskRefusal::Surplus)
        } else if text.finish == Finish::Length {
            Some(TaskRefusal::Cut)
        } else if self.held_out.contains(task) {
            Some(TaskRefusal::HeldOut)
        } else {
            self.filter.offer(task).err().map(TaskRefusal::Novelty)
        };
        if refused.is_none() {
            self.own.push(task.to_owned());
        }
        TaskRow {
            prompt: as_prompt(task, &self.like),
            refused,
        }
    }
}

fn pick<'p>(from: &'p [String], n: usize, rng: &mut impl Rng) -> Vec<&'p str> {
    let indices = rand::seq::index::sample(rng, from.len(), n);
    indices
        .into_iter()
        .map(|index| from[index].as_str())
        .collect()
}

/// Returns new tasks by `writer`, whose fingerprint is `hash`, from the run folder or written now.
pub(super) fn new_tasks<M: CausalLm>(
    session: &mut Session<'_>,
    folder: &str,
    pool: &mut Pool,
    writer: Writer<'_, M>,
    hash: &str,
) -> Result<(Vec<Prompt>, TaskCounts), RecipeError> {
    let known = hash_json(&(&pool.seeds, &pool.own, {
        let mut held: Vec<&String> = pool.held_out.iter().collect();
        held.sort();
        held
    }));
    let before = (pool.filter.clone(), pool.own.len());
    let (rows, seconds) = session.rows(folder, "tasks", &(known, hash), |session| {
        write(session, folder, pool, writer)
    })?;
    // The pool becomes the same whether the tasks were written now or are read.
    (pool.filter, _) = before;
    pool.own.truncate(before.1);
    pool.adopt(&rows);
    let counts = TaskCounts::of(&rows, seconds);
    let kept = rows.into_iter().filter(|row| row.refused.is_none());
    let kept: Vec<Prompt> = kept.map(|row| row.prompt).collect();
    if kept.is_empty() {
        return Err(RecipeError::NoPairs {
            stage: format!("new tasks of {folder}"),
            dropped: counts.to_string(),
            advice: "teach the model to pose tasks (examples of it), or let another model pose them",
        });
    }
    Ok((kept, counts))
}

/// Writer of new tasks.
pub(super) enum Writer<'a, M> {
    /// A model of the run.
    Model(&'a M),
    /// Another generator.
    Other(&'a dyn Generator),
}

fn write<M: CausalLm>(
    session: &Session<'_>,
    folder: &str,
    pool: &mut Pool,
    writer: Writer<'_, M>,
) -> Result<Vec<TaskRow>, RecipeError> {
    let stage = format!("{folder} new tasks");
    let config = &session.config.tasks;
    let sampler = session.sampler();
    let generator = match &writer {
        Writer::Model(model) => Some(sampler.generator(*model)),
        Writer::Other(_) => None,
    };
    let most = config.per_iteration.saturating_mul(config.attempts);
    let key = session.key(&stage);
    let mut rows: Vec<TaskRow> = Vec::new();
    let mut kept = 0;
    for round in 0.. {
        // Asks for a few more texts than are missing. Own examples become more varied from round to
        // round.
        let missing = config.per_iteration.saturating_sub(kept);
        let wanted = (missing + missing / 4 + 8)
            .min(ROUND)
            .min(most - rows.len());
        if missing == 0 || wanted == 0 {
            break;
        }
        session.sampler().check_interrupt(&stage)?;
        let key: Key = key.with(round);
        let mut rng = key.rng(Purpose::Data);
        let prompts: Vec<Prompt> = (0..wanted)
            .map(|_| {
                let mut shots = pool.shots(config.seed_shots, config.own_shots, &mut rng);
                if let Writer::Model(model) = &writer {
                    fit(session, model.max_positions(), &mut shots)?;
                }
                Ok(config.template.render(&shots))
            })
            .collect::<Result<_, RecipeError>>()?;
        let mut sampling = config.sampling.with(1, key.rng(Purpose::Sampling).random());
        sampling.stop.clone_from(&config.template.stop);
        let texts = match (&generator, &writer) {
            (Some(generator), _) => {
                let mut watch = sampler.meter(&stage);
                generator.generate_watched(&prompts, &sampling, &mut watch)
            }
            (None, Writer::Other(other)) => other.generate(&prompts, &sampling),
            (None, Writer::Model(_)) => continue,
        };
        let texts = texts.map_err(|error| sampler.generation(&stage, error))?;
        for text in texts.iter().flatten() {
            let row = pool.offer(text, kept == config.per_iteration);
            kept += usize::from(row.refused.is_none());
            rows.push(row);
        }
    }
    if kept < config.per_iteration {
        let (n, written) = (config.per_iteration, rows.len());
        tracing::warn!(
            "{stage}: {kept} of {n} wanted tasks after {written} texts, the limit of tasks.attempts"
        );
    }
    Ok(rows)
}

/// Removes the longest examples until the new task fits behind the others, or one example is left.
fn fit(session: &Session<'_>, context: usize, shots: &mut Vec<&str>) -> Result<(), RecipeError> {
    let tasks = &session.config.tasks;
    while shots.len() > 1 {
        let prompt = tasks.template.render(shots);
        let tokens = session.tokenizer.encode_prompt(&prompt)?.len();
        if tokens + tasks.sampling.max_new_tokens <= context {
            break;
        }
        let longest = (0..shots.len()).max_by_key(|&at| shots[at].len());
        shots.remove(longest.unwrap_or(0));
    }
    Ok(())
}

/// Returns the last message of a prompt, or the whole text.
fn last_message(prompt: &Prompt) -> Option<&str> {
    match prompt {
        Prompt::Text(text) => Some(text),
        Prompt::Chat(messages) => messages.last().map(|message| message.content.as_str()),
    }
}

/// Largest number of texts in one round.
const ROUND: usize = 512;

#[cfg(test)]
mod tests {
    use collimate_core::PreferencePair;

    use super::super::SelfRewardingConfig;
    use super::*;

    fn pool() -> Pool {
        let text = |text: &str| Prompt::from(text);
        let data = SelfRewardingData {
            seed_prompts: vec![
                text("add two and three"),
                text("add two and three "),
                text("  "),
                text("name a long river"),
                text("count down from nine"),
                Prompt::Chat(Vec::new()),
            ],
            prompts: vec![text("spell the word yellow")],
            judge_test: vec![PreferencePair::new("count down from nine", "9", "1")],
            ..SelfRewardingData::default()
        };
        Pool::new(&data, &SelfRewardingConfig::default()).unwrap()
    }

    #[test]
    fn what_is_known_held_out_or_cut_is_refused() {
        let mut pool = pool();
        assert_eq!(pool.seeds, ["add two and three", "name a long river"]);
        let mut refused = |text: &str| pool.offer(&Completion::from(text), false).refused;
        assert_eq!(
            refused(" spell the word yellow\n"),
            Some(TaskRefusal::HeldOut)
        );
        assert_eq!(refused("count down from nine"), Some(TaskRefusal::HeldOut));
        assert_eq!(
            refused("add"),
            Some(TaskRefusal::Novelty(Refusal::TooShort { words: 1 }))
        );
        // The longest common subsequence has 3 words, the texts have 4 and 4: 2 · 3 / 8.
        assert_eq!(
            refused("add two and four"),
            Some(TaskRefusal::Novelty(Refusal::Similar {
                to: 0,
                rouge_l: 0.75
            }))
        );
        assert_eq!(refused("which bird cannot fly"), None);
        assert!(
            matches!(
                refused("which bird cannot fly"),
                Some(TaskRefusal::Novelty(Refusal::Similar { to: 2, .. }))
            ),
            "one's own tasks are known too"
        );
        let cut = Completion {
            finish: Finish::Length,
            ..Completion::from("why is the sky blue")
        };
        assert_eq!(pool.offer(&cut, false).refused, Some(TaskRefusal::Cut));
        let more = Completion::from("who was the first to fly");
        assert_eq!(pool.offer(&more, true).refused, Some(TaskRefusal::Surplus));
        assert_eq!(pool.own, ["which bird cannot fly"]);
    }

    #[test]
    fn seeds_stand_in_until_there_are_own_tasks_and_no_shot_comes_twice() {
        let mut pool = pool();
        let mut rng = Key::new(1, "shots").rng(Purpose::Data);
        let mut first = pool.shots(1, 1, &mut rng);
        first.sort_unstable();
        assert_eq!(first, ["add two and three", "name a long river"]);
        assert_eq!(
            pool.shots(6, 2, &mut rng).len(),
            2,
            "no more than there are"
        );
        pool.offer(&Completion::from("which bird cannot fly"), false);
        let shots = pool.shots(1, 1, &mut rng);
        assert_eq!(shots[1], "which bird cannot fly");
        assert!(pool.seeds.contains(&shots[0].to_owned()));
    }

    #[test]
    fn without_a_usable_prompt_there_is_no_pool() {
        let data = SelfRewardingData {
            seed_prompts: vec![Prompt::from(" ")],
            ..SelfRewardingData::default()
        };
        assert!(Pool::new(&data, &SelfRewardingConfig::default()).is_err());
    }
}
