//! Preferences as code: a score for any text. Put your own here.

use std::collections::HashSet;

use clap::ValueEnum;
use collimate::core::{Completion, Prompt};
use serde::{Deserialize, Serialize};

/// What is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// Many different words of joy
    Happy,
    /// Much of it spoken, between quotation marks
    Dialogue,
    /// Short sentences
    Short,
}

/// Different ones of these count, up to [`ENOUGH`].
const JOY: [&str; 24] = [
    "happy", "happily", "smile", "smiled", "laugh", "laughed", "laughing", "love", "loved", "fun",
    "joy", "glad", "proud", "excited", "friend", "friends", "hug", "hugged", "play", "played",
    "kind", "nice", "best", "thank",
];

const ENOUGH: f32 = 8.0;

impl Rule {
    /// Its score of a text, between 0 and 1: what the rule asks for, times the share of groups of
    /// three words that are there once. So saying one thing again and again earns nothing.
    pub(crate) fn score(self, text: &str) -> f32 {
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
                // More than half is no story any more.
                (2.0 * spoken as f32 / text.len() as f32).min(1.0)
            }
            Self::Short => {
                let ends = text.matches(['.', '!', '?']).count().max(1);
                // 4 words a sentence are as short as it gets, 20 are long.
                ((20.0 - words.len() as f32 / ends as f32) / 16.0).clamp(0.0, 1.0)
            }
        };
        wanted * variety(&words)
    }

    /// One line for the report.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Happy => {
                "how many of 24 words of joy occur (8 are enough), times the share of distinct \
                 groups of three words"
            }
            Self::Dialogue => {
                "how much of the text stands between quotation marks (half is enough), times the \
                 share of distinct groups of three words"
            }
            Self::Short => {
                "how short sentences are (4 words are short, 20 long), times the share of distinct \
                 groups of three words"
            }
        }
    }
}

/// As a scorer of completions.
pub(crate) fn scorer(rule: Rule) -> impl Fn(&Prompt, &Completion) -> f32 + Send + Sync {
    move |_: &Prompt, completion: &Completion| rule.score(&completion.text)
}

/// The parts between quotation marks; one that is never closed is none.
fn spoken(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split('"').collect();
    let closed = (parts.len() - 1) / 2;
    parts.into_iter().skip(1).step_by(2).take(closed).collect()
}

fn variety(words: &[String]) -> f32 {
    let groups: HashSet<&[String]> = words.windows(3).collect();
    groups.len() as f32 / (words.len() - 2) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_want_what_they_say() {
        let happy = "Tom was happy. He smiled and had fun with his friend.";
        let sad = "Tom was sad. He cried and sat under the old tree.";
        assert_eq!(Rule::Happy.score(happy), 0.5);
        assert_eq!(Rule::Happy.score(sad), 0.0);
        let spoken = "\"Come here and look,\" said Tom.";
        assert!((Rule::Dialogue.score(spoken) - 1.0).abs() < 1e-6);
        assert_eq!(Rule::Dialogue.score("Tom said \"come here"), 0.0);
        let short = "Tom ran very fast. Mia ran home too.";
        assert!((Rule::Short.score(short) - 1.0).abs() < 1e-6);
        assert!(Rule::Short.score(sad) > Rule::Short.score(&sad.replace('.', "")));
    }

    #[test]
    fn saying_it_again_earns_nothing() {
        let once = "Tom was happy and had fun with Mia.";
        let again = [once; 8].join(" ");
        for rule in [Rule::Happy, Rule::Short] {
            assert!(rule.score(&again) < 0.3 * rule.score(once), "{rule:?}");
        }
        assert_eq!(Rule::Happy.score(""), 0.0);
    }
}
