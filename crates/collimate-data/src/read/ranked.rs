//! Several answers to a prompt, ranked by people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use collimate_core::{Message, Prompt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Bad;
use super::fields::{Object, content, list};
use super::input::Input;
use super::oasst::{self, Reply};
use super::objects::each_object;
use super::report::not_used;
use super::seen::Seen;
use crate::error::DataError;

/// Answers to one prompt with their merits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedAnswers {
    /// The question.
    pub prompt: Prompt,
    /// The answers, best first. Answers of equal merit keep the order of the file.
    pub answers: Vec<String>,
    /// Merit of each answer: its score, or its negated rank. A larger merit is better.
    pub merits: Vec<f64>,
}

/// Filters for the lists of a file.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `language` | any | `lang` of the messages of a tree, such as `en`; refused for rows, which have no language |
/// | `first_turn` | `false` | if `true`, keeps only prompts of one message |
/// | `worst_rank` | any | worst rank to keep, 0 is best; refused for rows of scores |
/// | `min_words`, `max_words` | 1, any | number of words of an answer |
/// | `least` | 2 | smallest number of answers in a list; with 1, a single answer counts as a list |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RankedOptions {
    /// Language of prompt and answers, as named in the trees. If `None`, all languages are read.
    pub language: Option<String>,
    /// If true, keeps only prompts of one message.
    pub first_turn: bool,
    /// Worst rank to keep; 0 is best. If `None`, all ranks are read.
    pub worst_rank: Option<u64>,
    /// Smallest number of words of an answer.
    pub min_words: usize,
    /// Largest number of words of an answer. If `None`, there is no limit.
    pub max_words: Option<usize>,
    /// Smallest number of answers that a list must have.
    pub least: usize,
}

impl Default for RankedOptions {
    fn default() -> Self {
        Self {
            language: None,
            first_turn: false,
            worst_rank: None,
            min_words: 1,
            max_words: None,
            least: 2,
        }
    }
}

/// Reason why a list, or one answer of a list, is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RankedDrop {
    /// The prompt of the list is in another language.
    PromptLanguage,
    /// The prompt of the list is a conversation.
    LaterTurn,
    /// The list has too few answers.
    TooFew,
    /// All answers of the list have the same merit.
    NoOrder,
    /// The answer is in another language.
    AnswerLanguage,
    /// The answer has a worse rank than requested.
    WorseRank,
    /// The answer has too few words.
    TooShort,
    /// The answer has too many words.
    TooLong,
    /// The answer repeats the text of a better one.
    Repeated,
}

impl fmt::Display for RankedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PromptLanguage => "lists in another language",
            Self::LaterTurn => "lists of later turns",
            Self::TooFew => "lists with too few answers",
            Self::NoOrder => "lists without an order",
            Self::AnswerLanguage => "answers in another language",
            Self::WorseRank => "answers of a worse rank",
            Self::TooShort => "answers with too few words",
            Self::TooLong => "answers with too many words",
            Self::Repeated => "answers with the same text as a better answer",
        })
    }
}

/// Counts of reading ranked answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankedReport {
    /// The file.
    pub path: PathBuf,
    /// Number of rows or trees.
    pub rows: usize,
    /// Number of lists kept.
    pub lists: usize,
    /// Number of answers in the lists kept.
    pub answers: usize,
    /// Number of lists and answers left out, by reason.
    pub dropped: BTreeMap<RankedDrop, usize>,
    /// Columns with a text that are not read.
    pub unused: BTreeSet<String>,
}

impl fmt::Display for RankedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, rows) = (self.path.display(), self.rows);
        write!(
            f,
            "{path}: {} lists with {} ranked answers in {rows} rows",
            self.lists, self.answers
        )?;
        for (index, (reason, count)) in self.dropped.iter().enumerate() {
            let before = if index == 0 { "; left out: " } else { ", " };
            write!(f, "{before}{count} {reason}")?;
        }
        match not_used(&self.unused) {
            Some(unused) => write!(f, "; {unused}"),
            None => Ok(()),
        }
    }
}

impl Input {
    /// Reads ranked answers from JSON lines or one JSON array, in one of three layouts:
    ///
    /// - OpenAssistant trees: each message with ranked replies gives a list.
    /// - `{"prompt", "responses": [text], "ranks": [number]}`: the smallest rank is the best.
    /// - `{"prompt", "responses", "scores"}`: the largest score is the best.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field, has different numbers of ranks
    /// and responses, or lacks a field that an option needs; the error names the line.
    ///
    /// # Examples
    /// ```
    /// use collimate_data::{Input, RankedOptions};
    /// let row = r#"{"prompt": "2+2?", "responses": ["5", "4"], "ranks": [1, 0]}"#;
    /// let input = Input::from_reader("ranked.jsonl", row.as_bytes())?;
    /// let (lists, report) = input.read_ranked(&RankedOptions::default())?;
    /// assert_eq!((lists[0].answers[0].as_str(), report.answers), ("4", 2));
    /// # Ok::<(), collimate_data::DataError>(())
    /// ```
    pub fn read_ranked(
        self,
        options: &RankedOptions,
    ) -> Result<(Vec<RankedAnswers>, RankedReport), DataError> {
        let mut reader = Reader {
            options,
            lists: Vec::new(),
            report: RankedReport {
                path: self.path().to_owned(),
                rows: 0,
                lists: 0,
                answers: 0,
                dropped: BTreeMap::new(),
                unused: BTreeSet::new(),
            },
        };
        let mut seen = Seen::default();
        each_object(self, |_, row| {
            reader.report.rows += 1;
            match row.get("prompt").is_some_and(Value::is_object) {
                true => reader.tree(row, &mut seen),
                false => reader.row(row, &mut seen),
            }
        })?;
        let mut report = reader.report;
        report.unused = seen.unused;
        Ok((reader.lists, report))
    }
}

struct Reader<'a> {
    options: &'a RankedOptions,
    lists: Vec<RankedAnswers>,
    report: RankedReport,
}

impl Reader<'_> {
    fn drop(&mut self, reason: RankedDrop) {
        *self.report.dropped.entry(reason).or_insert(0) += 1;
    }

    fn tree(&mut self, row: &Object, seen: &mut Seen) -> Result<(), Bad> {
        seen.columns(row, &["prompt", "message_tree_id"])?;
        // Collect first, so that a tree with one bad message gives nothing.
        let mut nodes: Vec<(Vec<Message>, bool, Vec<Reply>)> = Vec::new();
        let wanted = self.options.language.as_deref();
        let other = |language: Option<&str>| wanted.is_some() && language != wanted;
        oasst::visit(row, &mut |path, language, replies| {
            nodes.push((path.to_vec(), other(language), replies));
        })?;
        for (path, foreign, replies) in nodes {
            if foreign {
                self.drop(RankedDrop::PromptLanguage);
                continue;
            }
            let mut answers = Vec::new();
            for reply in replies {
                let worst = self.options.worst_rank.map(|worst| worst as f64);
                if other(reply.language.as_deref()) {
                    self.drop(RankedDrop::AnswerLanguage);
                } else if worst.is_some_and(|worst| reply.rank as f64 > worst) {
                    self.drop(RankedDrop::WorseRank);
                } else {
                    answers.push((reply.text, -(reply.rank as f64)));
                }
            }
            self.list(Prompt::Chat(path), answers);
        }
        Ok(())
    }

    fn row(&mut self, row: &Object, seen: &mut Seen) -> Result<(), Bad> {
        let refuse = |what: &str| Err(Bad::fields(what));
        if self.options.language.is_some() {
            return refuse(
                "the rows name no language: do not ask for a language, or give OpenAssistant trees",
            );
        }
        let column = match (row.contains_key("ranks"), row.contains_key("scores")) {
            (true, false) => "ranks",
            (false, true) => "scores",
            (true, true) => return refuse("both `ranks` and `scores`: keep one of them"),
            (false, false) => {
                return refuse(
                    "neither `ranks` nor `scores`: write {\"prompt\", \"responses\": [text], \
                     \"ranks\": [number]}, or give OpenAssistant trees",
                );
            }
        };
        if column == "scores" && self.options.worst_rank.is_some() {
            return refuse(
                "the row has scores, but a worst rank needs ranks: give ranks, or do not ask for a \
                 worst rank",
            );
        }
        seen.columns(row, &["prompt", "responses", column])?;
        let prompt = content(row, "prompt", seen)?.into_prompt();
        let responses = list(row, "responses")?;
        let numbers = list(row, column)?;
        if responses.len() != numbers.len() {
            let (responses, numbers) = (responses.len(), numbers.len());
            return refuse(&format!(
                "{responses} `responses` and {numbers} `{column}`: give one for each"
            ));
        }
        let mut answers = Vec::new();
        for (i, (response, number)) in responses.iter().zip(numbers).enumerate() {
            let text = response
                .as_str()
                .ok_or_else(|| Bad::fields(format!("`responses[{i}]` is not a text")))?;
            let number = number.as_f64().filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| Bad::fields(format!("`{column}[{i}]` is not a number")))?;
            let worst = self.options.worst_rank.map(|worst| worst as f64);
            if worst.is_some_and(|worst| number > worst) {
                self.drop(RankedDrop::WorseRank);
                continue;
            }
            let merit = if column == "ranks" { -number } else { number };
            answers.push((text.to_owned(), merit));
        }
        self.list(prompt, answers);
        Ok(())
    }

    /// Keeps the answers that pass the options, if there are enough of them and they have an order.
    fn list(&mut self, prompt: Prompt, mut answers: Vec<(String, f64)>) {
        if self.options.first_turn
            && matches!(&prompt, Prompt::Chat(messages) if messages.len() > 1)
        {
            self.drop(RankedDrop::LaterTurn);
            return;
        }
        answers.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut kept: Vec<(String, f64)> = Vec::new();
        for (text, merit) in answers {
            let words = text.split_whitespace().count();
            if words < self.options.min_words {
                self.drop(RankedDrop::TooShort);
            } else if self.options.max_words.is_some_and(|most| words > most) {
                self.drop(RankedDrop::TooLong);
            } else if kept.iter().any(|(other, _)| *other == text) {
                self.drop(RankedDrop::Repeated);
            } else {
                kept.push((text, merit));
            }
        }
        let ordered = kept.iter().any(|(_, merit)| *merit != kept[0].1);
        if kept.len() < self.options.least.max(1) {
            self.drop(RankedDrop::TooFew);
        } else if self.options.least > 1 && !ordered {
            self.drop(RankedDrop::NoOrder);
        } else {
            self.report.lists += 1;
            self.report.answers += kept.len();
            let (answers, merits) = kept.into_iter().unzip();
            self.lists.push(RankedAnswers {
                prompt,
                answers,
                merits,
            });
        }
    }
}
