//! Comparisons between the policies of one run.

use collimate_core::{Key, outcome};
use collimate_eval::{Bootstrap, Groups, Interval};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Comparison of two policies' answers by the scores of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Duel {
    /// Name of the policy whose wins are counted.
    pub a: String,
    /// Name of the other policy.
    pub b: String,
    /// Result for answers drawn with the same random numbers. Policies that agree then write equal
    /// answers, so the difference between the policies has less noise.
    pub common: DuelNumbers,
    /// Result for answers drawn with separate random numbers, as if the two models were asked at
    /// different times.
    pub independent: DuelNumbers,
}

/// Result of a duel over the test prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DuelNumbers {
    /// Share of prompts on which `a`'s answer has the higher score; a tie counts one half.
    pub win_rate: Interval,
    /// Prompts won, tied and lost.
    pub counts: (usize, usize, usize),
    /// Mean difference of `a`'s and `b`'s scores on the same prompt.
    pub score_difference: Interval,
}

/// Scores of a policy's answers, drawn with common and with separate random numbers.
pub(super) struct Scored {
    pub(super) name: String,
    pub(super) common: Vec<f64>,
    pub(super) independent: Vec<f64>,
}

/// Compares every policy with every earlier one.
pub(super) fn duels(policies: &[Scored], key: Key) -> Result<Vec<Duel>, RecipeError> {
    let mut found = Vec::new();
    for (index, a) in policies.iter().enumerate() {
        for b in &policies[..index] {
            found.push(Duel {
                a: a.name.clone(),
                b: b.name.clone(),
                common: numbers(&a.common, &b.common, key)?,
                independent: numbers(&a.independent, &b.independent, key)?,
            });
        }
    }
    Ok(found)
}

fn numbers(a: &[f64], b: &[f64], key: Key) -> Result<DuelNumbers, RecipeError> {
    let pairs = a.iter().zip(b);
    let outcomes: Vec<f64> = pairs.map(|(a, b)| outcome(a.total_cmp(b))).collect();
    let count = |value: f64| outcomes.iter().filter(|&&found| found == value).count();
    let bootstrap = Bootstrap::default();
    Ok(DuelNumbers {
        win_rate: bootstrap.mean(&outcomes, Groups::Items, key.with(0))?,
        counts: (count(1.0), count(0.5), count(0.0)),
        score_difference: bootstrap.paired_difference(a, b, Groups::Items, key.with(1))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_meets_every_earlier_one() {
        let scored = |name: &str, common: [f64; 4], independent: [f64; 4]| Scored {
            name: name.to_owned(),
            common: common.to_vec(),
            independent: independent.to_vec(),
        };
        let policies = [
            scored("loop0", [0.0, 0.5, 0.5, 1.0], [0.0; 4]),
            scored("ser", [0.5, 0.5, 0.25, 2.0], [1.0, 1.0, 1.0, -1.0]),
            scored("full", [1.0; 4], [0.0; 4]),
        ];
        let found = duels(&policies, Key::new(0, "duels")).unwrap();
        let names: Vec<(&str, &str)> = found.iter().map(|d| (&*d.a, &*d.b)).collect();
        assert_eq!(
            names,
            [("ser", "loop0"), ("full", "loop0"), ("full", "ser")]
        );
        // Won, tied, lost, won: 2.5 of 4; differences 0.5, 0, -0.25 and 1 have the mean 0.3125.
        let common = found[0].common;
        assert_eq!(
            (common.counts, common.win_rate.estimate),
            ((2, 1, 1), 0.625)
        );
        assert_eq!(common.score_difference.estimate, 0.3125);
        assert!(common.score_difference.low < 0.3125 && common.score_difference.high > 0.3125);
        let independent = found[0].independent;
        assert_eq!(
            (independent.counts, independent.score_difference.estimate),
            ((3, 0, 1), 0.5)
        );
        assert_eq!(found[1].independent.counts, (0, 4, 0));
        assert!(
            duels(&policies[..1], Key::new(0, "duels"))
                .unwrap()
                .is_empty()
        );
    }
}
