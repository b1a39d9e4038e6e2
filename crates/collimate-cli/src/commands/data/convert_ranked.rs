//! Demonstrations, judgements and plain rows from ranked answers.

use std::io::Cursor;
use std::path::Path;

use clap::ValueEnum;
use collimate::core::{Json, Prompt};
use collimate::data::{Input, RankedAnswers, RankedOptions, SftExample};
use collimate::judge::{Item, PromptStyle, Rubric, eft_example, score_of_rank};

use super::convert;
use crate::common::{self, Failure, json_name};
use crate::trl_rows::{Row, asked, lines};

/// Rows that ranked answers are converted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum To {
    /// Demonstrations: the best answer of each list.
    Ift,
    /// Judgements in the form of a rubric, whose scores are a fixed function of the ranks.
    Eft,
    /// Rows of prompt, responses and ranks.
    Ranked,
}

/// Options for ranked answers.
#[derive(Debug, clap::Args)]
pub(super) struct RankedArgs {
    /// Convert ranked answers (OpenAssistant trees, or rows of prompt, responses and ranks or
    /// scores) into demonstrations (ift), judgements by a fixed function of the ranks (eft), or
    /// rows of ranked answers
    #[arg(long, value_enum, value_name = "ROWS")]
    #[arg(conflicts_with_all = ["format", "hh_turns", "on_bad_row"])]
    pub(super) to: Option<To>,
    /// Language of prompt and answers, as the trees name it, such as en
    #[arg(long, value_name = "LANG", requires = "to")]
    language: Option<String>,
    /// Use only prompts of one message
    #[arg(long, requires = "to")]
    first_turn: bool,
    /// Worst rank to use, where 0 is the best [default: only the best answer with ift, otherwise
    /// any]
    #[arg(long, value_name = "N", requires = "to")]
    worst_rank: Option<u64>,
    /// Minimum number of words of an answer
    #[arg(long, value_name = "N", default_value_t = 1, requires = "to")]
    min_words: usize,
    /// Maximum number of words of an answer
    #[arg(long, value_name = "N", requires = "to")]
    max_words: Option<usize>,
    /// Rubric of the judgements: additive (0 to 5) or mt_bench (1 to 10) [default: additive]
    #[arg(long, value_name = "NAME", requires = "to")]
    rubric: Option<String>,
    /// Form of the judge's prompt: chat or text [default: chat]
    #[arg(long, value_parser = json_name::<PromptStyle>, requires = "to")]
    #[arg(value_name = "STYLE")]
    judge_style: Option<PromptStyle>,
}

/// Returns the rows that the files become, as text, and the number of lists and answers that were
/// left out.
pub(super) fn text(
    to: To,
    args: &RankedArgs,
    files: &[impl AsRef<Path>],
    out: &Path,
) -> Result<(String, usize), Failure> {
    let options = RankedOptions {
        language: args.language.clone(),
        first_turn: args.first_turn,
        worst_rank: args.worst_rank,
        min_words: args.min_words,
        max_words: args.max_words,
        least: if to == To::Ift { 1 } else { 2 },
    };
    if to != To::Eft && (args.rubric.is_some() || args.judge_style.is_some()) {
        return Err("--rubric and --judge-style are for judgements: give --to eft".into());
    }
    let rubric = match args.rubric.as_deref() {
        None | Some("additive") => Rubric::additive(),
        Some("mt_bench" | "mt-bench") => Rubric::mt_bench(),
        Some(other) => return Err(format!("--rubric {other}: give additive or mt_bench").into()),
    };
    let style = args.judge_style.unwrap_or_default();
    let (mut lists, mut dropped) = (Vec::new(), 0);
    for path in files {
        let (mut more, report) = Input::open(path)?.read_ranked(&options)?;
        common::tell(&report.to_string());
        dropped += report.dropped.values().sum::<usize>();
        lists.append(&mut more);
    }
    if lists.is_empty() {
        return Err(
            "no list of ranked answers is left to write: correct the file as the report says"
                .into(),
        );
    }
    let text = match to {
        To::Ift => {
            let best = args.worst_rank.is_none();
            convert::examples_text(&demonstrations(&lists, best), out)?
        }
        To::Eft => convert::examples_text(&judgements(&lists, &rubric, style)?, out)?,
        To::Ranked => ranked_text(&lists, out)?,
    };
    Ok((text, dropped))
}

/// Returns the best answer of each list, or all remaining answers.
fn demonstrations(lists: &[RankedAnswers], best: bool) -> Vec<SftExample> {
    let of_list = |list: &RankedAnswers| -> Vec<SftExample> {
        let count = if best { 1 } else { list.answers.len() };
        let answers = list.answers.iter().take(count);
        answers
            .map(|answer| SftExample {
                prompt: list.prompt.clone(),
                completion: answer.as_str().into(),
            })
            .collect()
    };
    lists.iter().flat_map(of_list).collect()
}

/// Returns a judgement of each answer, without a justification.
fn judgements(
    lists: &[RankedAnswers],
    rubric: &Rubric,
    style: PromptStyle,
) -> Result<Vec<SftExample>, Failure> {
    let mut rows = Vec::new();
    for list in lists {
        for (index, answer) in list.answers.iter().enumerate() {
            let score = score_of_rank(rubric, &list.merits, index);
            let item = Item::new(list.prompt.clone(), answer.as_str());
            let example = eft_example(rubric, &item, "", score, style)?;
            rows.push(SftExample {
                prompt: example.prompt,
                completion: example.completion,
            });
        }
    }
    Ok(rows)
}

/// Writes rows of ranked answers, and checks them by reading them again.
fn ranked_text(lists: &[RankedAnswers], out: &Path) -> Result<String, Failure> {
    let rows = lists.iter().map(|list| -> Result<Row, Failure> {
        let answers = list.answers.iter().map(|answer| answer.as_str().into());
        // The rank is the number of better answers, so equal answers share a rank.
        let ranks = list.merits.iter().map(|merit| {
            let better = list.merits.iter().filter(|other| *other > merit);
            Json::Number(better.count().into())
        });
        Ok(Row::from_iter([
            ("prompt".to_owned(), asked(&list.prompt)?),
            ("responses".to_owned(), Json::List(answers.collect())),
            ("ranks".to_owned(), Json::List(ranks.collect())),
        ]))
    });
    let text = lines(rows.collect::<Result<_, _>>()?)?;
    let input = Input::from_reader(out, Cursor::new(text.clone()))?;
    let options = RankedOptions::default();
    let (again, _) = input
        .read_ranked(&options)
        .map_err(|error| convert::lossy(out, &error))?;
    let said = |list: &RankedAnswers| -> (Prompt, Vec<String>) {
        (list.prompt.clone(), list.answers.clone())
    };
    convert::same(lists, &again, out, |a, b| said(a) == said(b))?;
    Ok(text)
}
