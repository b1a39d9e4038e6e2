//! Preferences as code: a score for any text. Add your own here.

use std::collections::HashSet;

use clap::ValueEnum;
use collimate::core::{Completion, Prompt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A preference, as a rule that scores texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Many different words of joy
    Happy,
    /// Much of the text between quotation marks
    Dialogue,
    /// Short sentences
    Short,
}

/// Words of joy. The number of different ones in a text counts, up to [`ENOUGH`].
const JOY: [&str; 24] = [
    "happy", "happily", "smile", "smiled", "laugh", "laughed", "laughing", "love", "loved", "fun",
    "joy", "glad", "proud", "excited", "friend", "friends", "hug", "hugged", "play", "played",
    "kind", "nice", "best", "thank",
];

const ENOUGH: f32 = 8.0;

impl Rule {
    /// Returns the score of a text, between 0 and 1. The score is the quantity that the rule
    /// prefers, times the share of distinct groups of three words. Repetition therefore earns
    /// nothing.
    pub fn score(self, text: &str) -> f32 {
        let words: Vec<String> = text
            .split_whitespace()
            .map(|word| {
                let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
                letters.to_lowercase()
            })
            .filter(|word| !word.is_empty())
            .collect();
        if words.len() < 3 {
            return 0.0;
        }
        let wanted = match self {
            Self::Happy => {
                let found: HashSet<&str> = words.iter().map(String::as_str).collect();
                let count = JOY.iter().filter(|&&joy| found.contains(joy)).count();
                (count as f32 / ENOUGH).min(1.0)
            }
            Self::Dialogue => {
                let spoken: usize = spoken(text).iter().map(|part| part.len()).sum();
                // A text that is more than half spoken is hardly a story, so half is enough.
                (2.0 * spoken as f32 / text.len() as f32).min(1.0)
            }
            Self::Short => {
                let ends = text.matches(['.', '!', '?']).count().max(1);
                // Sentences of 4 words score 1, sentences of 20 words score 0.
                ((20.0 - words.len() as f32 / ends as f32) / 16.0).clamp(0.0, 1.0)
            }
        };
        wanted * variety(&words)
    }

    /// Describes the rule in one line for the report.
    pub fn about(self) -> &'static str {
        match self {
            Self::Happy => {
                "how many of 24 words of joy occur (8 give the full score), times the share of \
                 distinct groups of three words"
            }
            Self::Dialogue => {
                "how much of the text is between quotation marks (half gives the full score), \
                 times the share of distinct groups of three words"
            }
            Self::Short => {
                "how short sentences are (4 words score 1, 20 words score 0), times the share of \
                 distinct groups of three words"
            }
        }
    }
}

/// Returns the rule as a scorer of completions.
pub fn scorer(rule: Rule) -> impl Fn(&Prompt, &Completion) -> f32 + Send + Sync {
    move |_: &Prompt, completion: &Completion| rule.score(&completion.text)
}

/// Returns the parts between quotation marks. A quotation that is never closed does not count.
fn spoken(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split('"').collect();
    let closed = (parts.len() - 1) / 2;
    parts.into_iter().skip(1).step_by(2).take(closed).collect()
}

fn variety(words: &[String]) -> f32 {
    let groups: HashSet<&[String]> = words.windows(3).collect();
    groups.len() as f32 / (words.len() - 2) as f32
}
