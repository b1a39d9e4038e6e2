//! Why a judging is refused or fails.

use std::io;
use std::path::PathBuf;

use collimate_core::{GenerateError, OptionError};
use collimate_eval::EvalError;
use thiserror::Error;

/// Everything that can go wrong. Items and duels count from 0, lines of files from 1.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// A template that cannot be filled in.
    #[error("template {name}: {message}")]
    Template {
        /// The template's name.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// An option outside its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Nothing to judge.
    #[error("nothing to judge: the list is empty")]
    NoItems,
    /// Empty answers, where the options refuse them.
    #[error(
        "{count} answers are empty, the first is that of item {index}: leave them out, or set \
         empty_answers to \"unscored\" or \"judge\""
    )]
    EmptyAnswers {
        /// How many.
        count: usize,
        /// The first item that has one.
        index: usize,
    },
    /// A two-turn template was given a conversation of another shape.
    #[error(
        "item {index}: a two-turn template needs a chat of a question, an answer and a second \
         question (a system message may stand before them)"
    )]
    Turns {
        /// Which item.
        index: usize,
    },
    /// The two sides of a duel do not answer the same question.
    #[error("duel {index}: the two sides answer different questions")]
    Questions {
        /// Which duel.
        index: usize,
    },
    /// The generator failed. Where its message names a prompt, that is the number of the item.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The generator returned another number of prompts than it was given.
    #[error("the generator was asked about {asked} prompts and answered {answered}")]
    Count {
        /// Prompts given.
        asked: usize,
        /// Lists of completions returned.
        answered: usize,
    },
    /// The generator returned another number of completions than it was asked for.
    #[error("item {index}: the generator was asked for {asked} judgements and wrote {answered}")]
    Samples {
        /// Which item.
        index: usize,
        /// Completions asked for.
        asked: usize,
        /// Completions returned.
        answered: usize,
    },
    /// Too many judgements that do not hold what the prompt asks for.
    #[error(
        "only {parsed} of {judgements} judgements ({:.1} %) could be parsed, at least {:.1} % must \
         (min_parse_rate){}; one of the others reads {example:?}; take a judge that {} the \
         prompt, or give it more max_new_tokens",
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
        /// Judgements that parsed.
        parsed: usize,
        /// All judgements.
        judgements: usize,
        /// Judgements among them that could not be had.
        refused: usize,
        /// Their quotient.
        rate: f64,
        /// The least that the options allow.
        least: f64,
        /// The first 120 characters of the first one that did not parse; without one, why one was refused.
        example: String,
    },
    /// The judge has answered nothing and refused everything so far.
    #[error(
        "all {questions} judgements asked for so far were refused, and none was ever written: \
         {reason}; min_parse_rate 0 asks all the others too"
    )]
    Refused {
        /// Judgements asked for.
        questions: usize,
        /// The first reason.
        reason: String,
    },
    /// An answer without a score, where every answer must have one.
    #[error(
        "item {index}: none of its judgements could be parsed, so it has no score; one reads \
         {example:?}; UnparsedPolicy::Score gives such answers a score"
    )]
    Unscored {
        /// Which item.
        index: usize,
        /// The first 120 characters of its first judgement.
        example: String,
    },
    /// The cache file cannot be read or written.
    #[error("cache {}: {source}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of the cache file that no judge has written.
    #[error("cache {}, line {line}: {message}; delete the line", path.display())]
    CacheLine {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Lists that belong together differ in length.
    #[error("{what}: {left} on one side, {right} on the other; they belong together one by one")]
    Length {
        /// What was asked for.
        what: &'static str,
        /// Length of the first list.
        left: usize,
        /// Length of the second list.
        right: usize,
    },
    /// All duels differ in length by the same amount, which says nothing about the effect of length.
    #[error(
        "every duel has the same difference in length ({difference} characters): the effect of \
         length cannot be told from the preference"
    )]
    ConstantLength {
        /// The difference, in characters.
        difference: f64,
    },
    /// A training example that its own rubric would not read back.
    #[error("the judge-format text with score {score} cannot be read back: {message}")]
    Example {
        /// The score to write.
        score: f64,
        /// What is wrong.
        message: String,
    },
    /// A statistic is refused.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// The beginning of a judgement, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}
