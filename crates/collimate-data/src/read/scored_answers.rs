//! Several answers with scores, such as votes or the scores of reward models.

use collimate_core::{PreferencePair, Prompt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Object, content, list, number, text};
use super::prompt_column::by_other_name;
use super::report::Note;
use super::seen::Seen;
use super::sink::Sink;
use super::{Bad, DropReason};

/// Pairs that several answers with scores give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnswerPairs {
    /// Every two answers with different scores.
    #[default]
    All,
    /// The answer with the highest score and the answer with the lowest one. Of equal scores, the
    /// first in the file counts.
    BestWorst,
}

/// Columns with one list of answers and one of scores.
const LISTS: [(&str, &str); 4] = [
    ("responses", "scores"),
    ("completions", "scores"),
    ("answers", "scores"),
    ("all_generated_responses", "all_rm_scores"),
];

/// Columns with one list of objects, each an answer with its score.
const OBJECTS: [&str; 3] = ["answers", "completions", "responses"];

/// Keys of the score of an object.
const SCORES: [&str; 3] = ["pm_score", "score", "overall_score"];

/// Keys of the text of an object.
const TEXTS: [&str; 3] = ["text", "response", "content"];

/// Returns true for a row with scored answers.
pub(super) fn is_row(row: &Object) -> bool {
    let is_list = |name: &str| row.get(name).is_some_and(Value::is_array);
    let scored = |name: &str| {
        let first = row.get(name).and_then(Value::as_array)?.first()?;
        Some(SCORES.iter().any(|key| first.get(*key).is_some()))
    };
    let asked = row.contains_key("question");
    LISTS.iter().any(|(a, s)| is_list(a) && is_list(s))
        || OBJECTS.iter().any(|name| scored(name) == Some(true))
        || asked
            && row
                .get("answers")
                .and_then(Value::as_array)
                .is_some_and(|answers| answers.first().is_none_or(Value::is_object))
}

/// Makes pairs of answers with different scores. Pairs with equal scores are dropped and counted.
pub(super) fn row(
    row: &Object,
    wanted: AnswerPairs,
    sink: &mut Sink<PreferencePair>,
) -> Result<(), Bad> {
    let (columns, mut answers) = answers(row, &mut sink.seen)?;
    let mut read = columns;
    read.extend(["prompt", "question"]);
    sink.seen.columns(row, &read)?;
    let prompt = prompt(row, &mut sink.seen)?;
    answers.sort_by(|a, b| b.score.total_cmp(&a.score));
    if answers.len() < 2 {
        sink.drop_one(DropReason::NoComparison);
        return Ok(());
    }
    let mut compare = |better: &Scored, worse: &Scored| {
        if better.score == worse.score {
            sink.drop_one(DropReason::EqualScores);
            return;
        }
        let gap = Some(better.score - worse.score);
        let texts = [better, worse].map(|answer| answer.text.clone());
        let [chosen, rejected] = texts;
        sink.pair(prompt.clone(), chosen, rejected, gap);
    };
    match wanted {
        AnswerPairs::All => {
            for (i, better) in answers.iter().enumerate() {
                answers[i + 1..]
                    .iter()
                    .for_each(|worse| compare(better, worse));
            }
        }
        AnswerPairs::BestWorst => {
            let lowest = answers[answers.len() - 1].score;
            let worst = answers.iter().find(|answer| answer.score == lowest);
            worst
                .into_iter()
                .for_each(|worst| compare(&answers[0], worst));
        }
    }
    Ok(())
}

struct Scored {
    text: String,
    score: f64,
}

/// Returns the columns of the answers, and the answers with their scores. Answers without a score
/// are left out and counted.
fn answers(row: &Object, seen: &mut Seen) -> Result<(Vec<&'static str>, Vec<Scored>), Bad> {
    let is_list = |name: &str| row.get(name).is_some_and(Value::is_array);
    if let Some((texts, scores)) = LISTS.into_iter().find(|(a, s)| is_list(a) && is_list(s)) {
        let answers = lists(list(row, texts)?, list(row, scores)?, [texts, scores], seen)?;
        return Ok((vec![texts, scores], answers));
    }
    let Some(name) = OBJECTS.into_iter().find(|name| is_list(name)) else {
        return Err(Bad::fields(
            "no answers with scores: write {\"prompt\", \"responses\": [text], \"scores\": [number]} \
             or {\"question\", \"answers\": [{\"text\", \"pm_score\"}]}",
        ));
    };
    let mut unscored = false;
    let mut answers = Vec::new();
    for (i, answer) in list(row, name)?.iter().enumerate() {
        let answer = answer
            .as_object()
            .ok_or_else(|| Bad::fields(format!("`{name}[{i}]` is not a JSON object")))?;
        let given = |key: &&&str| answer.contains_key(**key);
        let score = SCORES.iter().find(given).copied().unwrap_or(SCORES[0]);
        let key = TEXTS.iter().find(given).copied().unwrap_or(TEXTS[0]);
        if answer.get(score).is_some_and(Value::is_null) {
            unscored = true;
            continue;
        }
        answers.push(Scored {
            score: number(answer, score)?,
            text: text(answer, key)?.to_owned(),
        });
    }
    if unscored {
        seen.tell(Note::UnscoredAnswers);
    }
    Ok((vec![name], answers))
}

fn lists(
    texts: &[Value],
    scores: &[Value],
    [texts_name, scores_name]: [&str; 2],
    seen: &mut Seen,
) -> Result<Vec<Scored>, Bad> {
    if texts.len() != scores.len() {
        return Err(Bad::fields(format!(
            "{} `{texts_name}` and {} `{scores_name}`: give one score for each answer",
            texts.len(),
            scores.len()
        )));
    }
    let mut unscored = false;
    let mut answers = Vec::new();
    for (i, (text, score)) in texts.iter().zip(scores).enumerate() {
        let text = text
            .as_str()
            .ok_or_else(|| Bad::fields(format!("`{texts_name}[{i}]` is not a text")))?;
        if score.is_null() {
            unscored = true;
            continue;
        }
        let score = score.as_f64().filter(|score| score.is_finite());
        answers.push(Scored {
            text: text.to_owned(),
            score: score
                .ok_or_else(|| Bad::fields(format!("`{scores_name}[{i}]` is not a number")))?,
        });
    }
    if unscored {
        seen.tell(Note::UnscoredAnswers);
    }
    Ok(answers)
}

fn prompt(row: &Object, seen: &mut Seen) -> Result<Prompt, Bad> {
    if row.contains_key("question") {
        return Ok(Prompt::Text(text(row, "question")?.to_owned()));
    }
    let given = row.get("prompt").is_some_and(|prompt| !prompt.is_null());
    let other = match given {
        true => None,
        false => by_other_name(row, seen)?,
    };
    match other {
        Some(prompt) => Ok(prompt.into_prompt()),
        None => Ok(content(row, "prompt", seen)?.into_prompt()),
    }
}
