//! Frequency with which the longer answer wins.

use collimate_core::Kept;
use serde::{Deserialize, Serialize};

/// Counts of labelled pairs by whether the longer answer won. Pairs with equal lengths are in
/// neither count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongerWins {
    /// Number of pairs whose longer answer was chosen.
    pub longer: usize,
    /// Number of pairs whose shorter answer was chosen.
    pub shorter: usize,
}

impl LongerWins {
    /// Returns the share of pairs whose longer answer wins. One pair of each kind is added
    /// (Laplace), so that the share is never 0 or 1.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::LongerWins;
    /// assert_eq!(LongerWins { longer: 5, shorter: 1 }.share(), 0.75);
    /// assert_eq!(LongerWins::default().share(), 0.5);
    /// ```
    pub fn share(&self) -> f64 {
        (self.longer + 1) as f64 / (self.longer + self.shorter + 2) as f64
    }
}

/// Counts labelled pairs, each given as (length of the chosen answer, length of the rejected one).
///
/// # Examples
/// ```
/// let counts = collimate_status::longer_wins(&[(7, 3), (2, 9), (4, 4), (8, 1)]);
/// assert_eq!((counts.longer, counts.shorter), (2, 1));
/// ```
pub fn longer_wins(lengths: &[(usize, usize)]) -> LongerWins {
    let count = |longer: bool| {
        let kind = |&&(chosen, rejected): &&(usize, usize)| match longer {
            true => chosen > rejected,
            false => chosen < rejected,
        };
        lengths.iter().filter(kind).count()
    };
    LongerWins {
        longer: count(true),
        shorter: count(false),
    }
}

/// Removes the least sure pairs of the too frequent kind from `kept` and returns their indices.
/// `kept` must be sorted surest first.
pub(crate) fn balance(
    kept: &mut Vec<Kept>,
    lengths: &[(usize, usize)],
    wanted: LongerWins,
) -> Vec<usize> {
    let longer = |kept: &Kept| {
        let &(first, second) = lengths.get(kept.index)?;
        let (chosen, rejected) = match kept.swapped {
            true => (second, first),
            false => (first, second),
        };
        (chosen != rejected).then_some(chosen > rejected)
    };
    let count = |kind: bool| {
        kept.iter()
            .filter(|kept| longer(kept) == Some(kind))
            .count()
    };
    let (long, short) = (count(true), count(false));
    let share = wanted.share();
    // Largest number of pairs of one kind that fits the number of pairs of the other kind.
    let room = |others: usize, ratio: f64| (others as f64 * ratio + 1e-9).floor() as usize;
    let (kind, limit) = if long as f64 * (1.0 - share) > short as f64 * share {
        (true, room(short, share / (1.0 - share)))
    } else {
        (false, room(long, (1.0 - share) / share))
    };
    let (mut seen, mut over) = (0, Vec::new());
    kept.retain(|pair| {
        if longer(pair) != Some(kind) {
            return true;
        }
        seen += 1;
        if seen > limit {
            over.push(pair.index);
        }
        seen <= limit
    });
    over
}
