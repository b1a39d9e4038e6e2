//! Errors of judging.

use std::io;
use std::path::PathBuf;

use collimate_core::{GenerateError, OptionError};
use collimate_eval::EvalError;
use thiserror::Error;

/// Reason why judging is refused or fails. Items and duels count from 0, lines of files from 1.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// A template cannot be filled in.
    #[error("template {name}: {message}")]
    Template {
        /// Name of the template.
        name: String,
        /// The problem with the template and a hint.
        message: String,
    },
    /// An option is outside its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// There is nothing to judge.
    #[error("nothing to judge: the list is empty")]
    NoItems,
    /// Answers are empty, and the options refuse empty answers.
    #[error(
        "{count} answers are empty, the first for item {index}: remove these answers, or set \
         empty_answers to \"unscored\" or \"judge\""
    )]
    EmptyAnswers {
        /// Number of empty answers.
        count: usize,
        /// Index of the first item with an empty answer.
        index: usize,
    },
    /// A two-turn template got a conversation of another shape.
    #[error(
        "item {index}: a two-turn template needs a chat of a question, an answer and a second \
         question (a system message may come first)"
    )]
    Turns {
        /// Index of the item.
        index: usize,
    },
    /// The two sides of a duel do not answer the same question.
    #[error("answer pair {index}: the two sides answer different questions")]
    Questions {
        /// Index of the duel.
        index: usize,
    },
    /// The generator failed. A number of a prompt in its message is the number of the item.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The generator returned answers for another number of prompts than it got.
    #[error("the generator was asked about {asked} prompts, but answered {answered}")]
    Count {
        /// Number of prompts given.
        asked: usize,
        /// Number of lists of completions returned.
        answered: usize,
    },
    /// The generator returned another number of completions than requested.
    #[error("item {index}: the generator was asked for {asked} judgements, but wrote {answered}")]
    Samples {
        /// Index of the item.
        index: usize,
        /// Number of completions requested.
        asked: usize,
        /// Number of completions returned.
        answered: usize,
    },
    /// Too many judgements do not contain what the prompt asks for.
    #[error(
        "only {parsed} of {judgements} judgements ({:.1} %) could be parsed, but at least {:.1} % \
         must (min_parse_rate){}; one of the others reads {example:?}; take a judge that {} the \
         prompt, or raise max_new_tokens",
        100.0 * rate,
        100.0 * least,
        match refused {
            0 => String::new(),
            some => format!("; {some} were refused"),
        },
        match refused {
            0 => "follows",
            _ => "answers and follows",
        }
    )]
    ParseRate {
        /// Number of parsed judgements.
        parsed: usize,
        /// Number of all judgements.
        judgements: usize,
        /// Number of judgements that were refused.
        refused: usize,
        /// Share of judgements that parsed.
        rate: f64,
        /// Smallest share that the options allow.
        least: f64,
        /// The first 120 characters of the first judgement that did not parse. If every loss was a
        /// refusal, the reason of the first refusal.
        example: String,
    },
    /// The judge has refused every question so far and answered none.
    #[error(
        "all {questions} judgements requested so far were refused: {reason}; min_parse_rate 0 \
         requests the others too"
    )]
    Refused {
        /// Number of judgements requested.
        questions: usize,
        /// Reason of the first refusal.
        reason: String,
    },
    /// An answer has no score, but every answer must have one.
    #[error(
        "item {index} has no score, because none of its judgements could be parsed; one reads \
         {example:?}; UnparsedPolicy::Score gives such answers a score"
    )]
    Unscored {
        /// Index of the item.
        index: usize,
        /// The first 120 characters of the first judgement.
        example: String,
    },
    /// The cache file cannot be read or written.
    #[error("cache {}: {source}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A line of the cache file was not written by a judge.
    #[error("cache {}, line {line}: {message}; delete the line", path.display())]
    CacheLine {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The problem with the line.
        message: String,
    },
    /// Lists that belong together differ in length.
    #[error("{what}: {left} on one side, but {right} on the other: each needs a partner")]
    Length {
        /// Description of the two lists.
        what: &'static str,
        /// Length of the first list.
        left: usize,
        /// Length of the second list.
        right: usize,
    },
    /// All duels have the same non-zero difference in length, so the effect of length cannot be
    /// estimated.
    #[error(
        "all answer pairs have the same difference in length ({difference} characters): the effect \
         of length cannot be separated from the preference"
    )]
    ConstantLength {
        /// The difference, in characters.
        difference: f64,
    },
    /// The rubric could not read back the score of a training example.
    #[error("the judge-format text with score {score} cannot be read back: {message}")]
    Example {
        /// The score to write.
        score: f64,
        /// The problem with the text.
        message: String,
    },
    /// A statistic cannot be computed.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// Returns the beginning of a judgement, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}
