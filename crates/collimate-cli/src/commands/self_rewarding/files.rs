//! Seed data from files.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use collimate::core::{Message, PreferencePair, Prompt, Role};
use collimate::data::{
    Input, RankedAnswers, ReadOptions, SftExample, not_used, read_pairs, read_sft, split_by_hash,
};
use collimate::judge::{Item, eft_example};
use collimate::recipes::self_rewarding::SelfRewardingData;

use super::args::Config;
use crate::commands::generate::prompts;
use crate::common::{self, Failure};
use crate::runs::check_lasting;

/// Reads the files, and holds out a tenth of the demonstrations. If `chats` is true, questions of a
/// benchmark's file become messages.
pub(crate) fn data(
    config: &Config,
    eos: Vec<u32>,
    chats: bool,
) -> Result<SelfRewardingData<'static>, Failure> {
    check_lasting(config.files())?;
    let rows = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => examples(path, config),
        None => Ok(Vec::new()),
    };
    let graded = match &config.graded {
        Some(path) => graded(path, config)?,
        None => Vec::new(),
    };
    let evaluated = config.evaluator.is_some() || config.evaluator_rule.is_some();
    let asked: Vec<Prompt> = match &config.seed_prompts {
        Some(file) => known_tasks(file, chats)?,
        None => Vec::new(),
    };
    // Split by a hash of the prompt, so that no prompt is in both parts.
    let (held_out, ift) = held_out(rows(&config.ift)?)?;
    let (mut prompts, mut seed_prompts): (Vec<Prompt>, Vec<Prompt>) = match &config.ift {
        Some(_) => {
            let of = |rows: &[SftExample]| rows.iter().map(|row| row.prompt.clone()).collect();
            let seeds = if asked.is_empty() { of(&ift) } else { asked };
            (of(&held_out), seeds)
        }
        // Without demonstrations, a tenth of the prompts is held out if there is an evaluator.
        None if evaluated => {
            let bare = |prompt| SftExample {
                prompt,
                completion: "".into(),
            };
            let parts = self::held_out(asked.into_iter().map(bare).collect())?;
            let of = |rows: Vec<SftExample>| rows.into_iter().map(|row| row.prompt).collect();
            (of(parts.0), of(parts.1))
        }
        None => (Vec::new(), asked),
    };
    for list in [&mut prompts, &mut seed_prompts] {
        let mut seen = HashSet::new();
        list.retain(|prompt| seen.insert(prompt.clone()));
    }
    prompts.truncate(config.test_prompts);
    if prompts.is_empty() && evaluated {
        return Err(
            "no prompt is left to evaluate on: a tenth of --ift or --seed-prompts is held \
                    out, so give at least ten rows"
                .into(),
        );
    }
    let judge_test = match &config.judge_test {
        Some(path) => pairs(path, config)?,
        None => Vec::new(),
    };
    let (ranked, rank_test) = ranked(config)?;
    let mut eft = rows(&config.eft)?;
    eft.extend(graded);
    Ok(SelfRewardingData {
        eft,
        ranked,
        rank_test,
        tasks: rows(&config.task_examples)?,
        ift,
        seed_prompts,
        judge_test,
        held_out,
        prompts,
        eos,
        ..SelfRewardingData::default()
    })
}

/// Reads prompts: one per line, as rows, or the first questions of a benchmark's file.
fn known_tasks(file: &Path, chats: bool) -> Result<Vec<Prompt>, Failure> {
    let mut input = Input::open(file)?;
    if !input.holds_questions()? {
        let asked = prompts::of(Ok(input))?;
        return Ok(asked.into_iter().map(|asked| asked.prompt).collect());
    }
    let (questions, _, unused) = input.read_questions()?;
    tell_unused(file, &unused);
    let firsts = questions
        .into_iter()
        .filter_map(|q| q.turns.into_iter().next());
    let prompt = |content: String| match chats {
        true => Prompt::Chat(vec![Message::new(Role::User, content)]),
        false => Prompt::Text(content),
    };
    Ok(firsts.map(prompt).collect())
}

fn tell_unused(file: &Path, unused: &BTreeSet<String>) {
    if let Some(unused) = not_used(unused) {
        common::tell(&format!("{}: {unused}", file.display()));
    }
}

/// Splits off a tenth by a hash of the prompt, and returns both parts.
fn held_out(rows: Vec<SftExample>) -> Result<(Vec<SftExample>, Vec<SftExample>), Failure> {
    let pair = |row: SftExample| PreferencePair::new(row.prompt, row.completion, "");
    let mut parts = split_by_hash(rows.into_iter().map(pair).collect(), &[0.1, 0.9])?;
    let back = |pairs: Option<Vec<PreferencePair>>| -> Vec<SftExample> {
        let pairs = pairs.unwrap_or_default();
        pairs.iter().map(SftExample::from).collect()
    };
    let rest = back(parts.pop());
    Ok((back(parts.pop()), rest))
}

/// Reads the ranked answers to learn from, and those to measure on.
fn ranked(config: &Config) -> Result<(Vec<RankedAnswers>, Vec<RankedAnswers>), Failure> {
    let read = |path: &Option<PathBuf>| -> Result<Vec<RankedAnswers>, Failure> {
        let Some(path) = path else {
            return Ok(Vec::new());
        };
        let (lists, report) = Input::open(path)?.read_ranked(&config.ranked_filter)?;
        if lists.is_empty() {
            return Err(format!("{report}: no list is left: correct the file").into());
        }
        common::tell(&report.to_string());
        Ok(lists)
    };
    let (ranked, test) = (read(&config.ranked)?, read(&config.rank_test)?);
    let learnt: HashSet<&Prompt> = ranked.iter().map(|list| &list.prompt).collect();
    let shared = test.iter().filter(|list| learnt.contains(&list.prompt));
    if let (count @ 1.., Some(path)) = (shared.count(), &config.rank_test) {
        return Err(format!(
            "--rank-test {}: {count} lists have a prompt of --ranked: remove these lists from one \
             of the files",
            path.display()
        )
        .into());
    }
    if config.rank_test.is_some() || ranked.is_empty() {
        return Ok((ranked, test));
    }
    // Split by a hash of the prompt, as for demonstrations: no prompt is in both parts.
    let prompts = ranked.iter().map(|list| list.prompt.clone());
    let pairs = prompts.map(|prompt| PreferencePair::new(prompt, "", ""));
    let parts = split_by_hash(pairs.collect(), &[RANK_TEST, 1.0 - RANK_TEST])?;
    let held_out: HashSet<&Prompt> = parts[0].iter().map(|pair| &pair.prompt).collect();
    let (test, learnt) = ranked
        .into_iter()
        .partition(|list| held_out.contains(&list.prompt));
    Ok((learnt, test))
}

/// Share of the ranked lists that is held out, about that of the paper (531 of 2,161).
const RANK_TEST: f64 = 0.25;

/// Turns graded answers into judgements in the form of the rubric.
fn graded(path: &Path, config: &Config) -> Result<Vec<SftExample>, Failure> {
    let recipe = &config.recipe;
    let (answers, unused) = Input::open(path)?.read_graded()?;
    tell_unused(path, &unused);
    let mut rows = Vec::new();
    for answer in answers {
        let place = format!("{}:{}", path.display(), answer.line);
        let item = Item::new(answer.prompt, answer.completion);
        let (note, style) = (&answer.justification, recipe.judge.style);
        let example = eft_example(&recipe.rubric, &item, note, answer.score, style)
            .map_err(|error| format!("{place}: {error}"))?;
        rows.push(SftExample {
            prompt: example.prompt,
            completion: example.completion,
        });
    }
    Ok(rows)
}

fn options(config: &Config) -> ReadOptions {
    ReadOptions {
        on_bad_row: config.on_bad_row,
        ..ReadOptions::default()
    }
}

fn examples(path: &Path, config: &Config) -> Result<Vec<SftExample>, Failure> {
    let (rows, report) = read_sft(path, &options(config))?;
    if rows.is_empty() {
        return Err(format!("{report}: no row is left: correct the file").into());
    }
    common::tell(&report.to_string());
    Ok(rows)
}

fn pairs(path: &Path, config: &Config) -> Result<Vec<PreferencePair>, Failure> {
    let options = ReadOptions {
        format: config.format,
        ..options(config)
    };
    let (rows, report) = read_pairs(path, &options)?;
    if rows.is_empty() {
        return Err(format!("{report}: no pair is left: correct the file").into());
    }
    common::tell(&report.to_string());
    Ok(rows)
}
