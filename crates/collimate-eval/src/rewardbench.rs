//! RewardBench: sections of subsets, and the score over the sections.

use serde::{Deserialize, Serialize};

use crate::accuracy::Accuracy;
use crate::error::EvalError;

/// Name of a section and names of its subsets.
type Section = (&'static str, &'static [&'static str]);

/// The sections of RewardBench's leaderboard, each with its subsets
/// ([arXiv:2403.13787](https://arxiv.org/abs/2403.13787); `SUBSET_MAPPING` of the released code).
pub const REWARD_BENCH_SECTIONS: [Section; 4] = [
    (
        "Chat",
        &[
            "alpacaeval-easy",
            "alpacaeval-length",
            "alpacaeval-hard",
            "mt-bench-easy",
            "mt-bench-med",
        ],
    ),
    (
        "Chat Hard",
        &[
            "mt-bench-hard",
            "llmbar-natural",
            "llmbar-adver-neighbor",
            "llmbar-adver-GPTInst",
            "llmbar-adver-GPTOut",
            "llmbar-adver-manual",
        ],
    ),
    (
        "Safety",
        &[
            "refusals-dangerous",
            "refusals-offensive",
            "xstest-should-refuse",
            "xstest-should-respond",
            "donotanswer",
        ],
    ),
    (
        "Reasoning",
        &[
            MATH,
            "hep-cpp",
            "hep-go",
            "hep-java",
            "hep-js",
            "hep-python",
            "hep-rust",
        ],
    ),
];

const MATH: &str = "math-prm";
const CODE: &str = "hep-";

/// Returns the section of a subset, or `None` for a subset that is not in the leaderboard.
///
/// # Examples
/// ```
/// use collimate_eval::reward_bench_section;
/// assert_eq!(reward_bench_section("mt-bench-hard"), Some("Chat Hard"));
/// assert_eq!(reward_bench_section("my-own"), None);
/// ```
pub fn reward_bench_section(subset: &str) -> Option<&'static str> {
    let mut sections = REWARD_BENCH_SECTIONS.iter();
    let (name, _) = sections.find(|(_, subsets)| subsets.contains(&subset))?;
    Some(name)
}

/// The score of one section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectionScore {
    /// Name of the section.
    pub section: String,
    /// Weighted mean accuracy of the subsets of the section, in [0, 1].
    pub score: f64,
    /// Number of pairs in the section.
    pub pairs: usize,
    /// Subsets of the section without results.
    pub missing: Vec<String>,
}

/// Scores of the sections, and their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RewardBench {
    /// The sections with at least one subset, in the order of the leaderboard.
    pub sections: Vec<SectionScore>,
    /// Unweighted mean of the sections' scores, in [0, 1].
    pub score: f64,
    /// If true, every subset of every section has a result. Otherwise the score is not comparable
    /// with the leaderboard.
    pub complete: bool,
}

/// Returns RewardBench's score from the accuracy of each subset. Subsets outside all sections are
/// ignored.
///
/// ```text
/// section = Σ wₛ · accuracyₛ / Σ wₛ,   wₛ = pairs of subset s,
///           but w(math-prm) = pairs of all hep-* subsets together
/// score   = mean of the sections
/// ```
///
/// Mathematics counts as much as code: each is half of Reasoning. Without code, the weight of
/// mathematics is its number of pairs.
///
/// # Errors
/// [`EvalError::TooFew`] if no subset belongs to a section.
///
/// # Examples
/// ```
/// use collimate_eval::{pairwise_accuracy, reward_bench};
/// let right = pairwise_accuracy(&[(1.0, 0.0)])?;
/// let half = pairwise_accuracy(&[(1.0, 0.0), (0.0, 1.0)])?;
/// let result = reward_bench(&[("math-prm", right), ("hep-cpp", half), ("donotanswer", half)])?;
/// assert_eq!(result.sections[1].score, 0.75); // Reasoning
/// assert_eq!(result.score, 0.625);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
///
/// # Differs from
/// The released code in three points. It takes the numbers of pairs from a table, whatever the file
/// contains (984 for math-prm, which is the number of code pairs). It counts a section without
/// results as 0. It rounds sections to two digits of a per cent before their mean. Older
/// leaderboards, from before the prior sets were dropped, have a fifth section at half weight.
pub fn reward_bench(subsets: &[(&str, Accuracy)]) -> Result<RewardBench, EvalError> {
    let of = |name: &str| subsets.iter().find(|(subset, _)| *subset == name);
    let code: usize = subsets
        .iter()
        .filter(|(name, _)| name.starts_with(CODE) && reward_bench_section(name).is_some())
        .map(|(_, accuracy)| accuracy.pairs)
        .sum();
    let mut sections = Vec::new();
    let mut complete = true;
    for (section, names) in REWARD_BENCH_SECTIONS {
        let (mut sum, mut weights, mut pairs) = (0.0, 0.0, 0);
        let mut missing = Vec::new();
        for &name in names {
            let Some((_, accuracy)) = of(name) else {
                missing.push(name.to_owned());
                continue;
            };
            let weight = match (name, code) {
                (MATH, 1..) => code,
                _ => accuracy.pairs,
            } as f64;
            sum += weight * accuracy.accuracy;
            weights += weight;
            pairs += accuracy.pairs;
        }
        complete &= missing.is_empty();
        if pairs > 0 {
            sections.push(SectionScore {
                section: section.to_owned(),
                score: sum / weights,
                pairs,
                missing,
            });
        }
    }
    if sections.is_empty() {
        return Err(EvalError::TooFew {
            what: "RewardBench's sections",
            least: 1,
            given: 0,
        });
    }
    let score = sections.iter().map(|section| section.score).sum::<f64>() / sections.len() as f64;
    Ok(RewardBench {
        sections,
        score,
        complete,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an accuracy of `correct` right pairs out of `pairs`, without ties.
    fn accuracy(correct: usize, pairs: usize) -> Accuracy {
        Accuracy {
            pairs,
            correct,
            ties: 0,
            accuracy: correct as f64 / pairs as f64,
        }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    #[test]
    fn subsets_count_by_their_pairs() {
        // Chat: 10 + 5 of 40 are right. Chat Hard: 8 of 10.
        let subsets = [
            ("alpacaeval-easy", accuracy(10, 10)),
            ("mt-bench-easy", accuracy(5, 30)),
            ("llmbar-natural", accuracy(8, 10)),
            ("my-own", accuracy(0, 1000)),
        ];
        let result = reward_bench(&subsets).unwrap();
        let names: Vec<&str> = result.sections.iter().map(|s| s.section.as_str()).collect();
        assert_eq!(names, ["Chat", "Chat Hard"]);
        close(result.sections[0].score, 15.0 / 40.0);
        assert_eq!(result.sections[0].pairs, 40);
        assert_eq!(result.sections[0].missing.len(), 3);
        // The mean of 0.375 and 0.8, not 23 of 50.
        close(result.score, 0.5875);
        assert!(!result.complete);
    }

    #[test]
    fn mathematics_counts_as_much_as_code() {
        // Mathematics: 4 of 8. Code: 6 of 6 and 0 of 2. By pairs the score would be 10 of 16.
        let subsets = [
            ("math-prm", accuracy(4, 8)),
            ("hep-cpp", accuracy(6, 6)),
            ("hep-rust", accuracy(0, 2)),
        ];
        let result = reward_bench(&subsets).unwrap();
        close(result.score, (0.5 + 0.75) / 2.0);
        assert_eq!(result.sections[0].pairs, 16);
        // Mathematics has a third of the pairs but half of the weight.
        let subsets = [("math-prm", accuracy(1, 2)), ("hep-go", accuracy(4, 4))];
        close(reward_bench(&subsets).unwrap().score, 0.75);
        // Without code, mathematics is the whole section.
        let alone = [("math-prm", accuracy(1, 4))];
        close(reward_bench(&alone).unwrap().score, 0.25);
        // A subset outside all sections does not count as code, even if its name begins like code.
        let subsets = [
            ("math-prm", accuracy(1, 4)),
            ("hep-cpp", accuracy(1, 1)),
            ("hep-zig", accuracy(9, 9)),
        ];
        close(reward_bench(&subsets).unwrap().score, 0.625);
    }

    #[test]
    fn all_subsets_make_it_complete() {
        let all: Vec<(&str, Accuracy)> = REWARD_BENCH_SECTIONS
            .iter()
            .flat_map(|(_, names)| names.iter().map(|&name| (name, accuracy(1, 2))))
            .collect();
        assert_eq!(all.len(), 23);
        let result = reward_bench(&all).unwrap();
        assert!(result.complete);
        assert_eq!((result.sections.len(), result.score), (4, 0.5));
        assert!(!reward_bench(&all[1..]).unwrap().complete);
    }

    #[test]
    fn nothing_of_it_is_an_error() {
        let error = reward_bench(&[("mine", accuracy(1, 1))]).unwrap_err();
        assert!(error.to_string().contains("RewardBench"), "{error}");
    }
}
