//! Frequency with which the longer answer wins.

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

/// Returns true if the answer with the larger score is the longer one; `None` for equal lengths.
pub(crate) fn longer_is_chosen(scores: (f32, f32), lengths: (usize, usize)) -> Option<bool> {
    let (chosen, rejected) = match scores.1 > scores.0 {
        true => (lengths.1, lengths.0),
        false => lengths,
    };
    (chosen != rejected).then_some(chosen > rejected)
}

/// Returns the kind that is too frequent among the kept pairs (true: the longer answer is chosen),
/// and the number of pairs of this kind that may stay.
///
/// One pair is added to the count of the other kind (Laplace), as in [`LongerWins::share`]. If the
/// other kind is absent, some pairs of the frequent kind therefore stay.
pub(crate) fn excess(kept: LongerWins, wanted: LongerWins) -> Option<(bool, usize)> {
    let LongerWins { longer, shorter } = kept;
    let share = wanted.share();
    // Largest number of pairs of one kind that fits the smoothed number of pairs of the other kind.
    let room = |others: usize, ratio: f64| ((others + 1) as f64 * ratio + 1e-9).floor() as usize;
    let (kind, count, limit) = if longer as f64 * (1.0 - share) > shorter as f64 * share {
        (true, longer, room(shorter, share / (1.0 - share)))
    } else {
        (false, shorter, room(longer, (1.0 - share) / share))
    };
    (count > limit).then_some((kind, limit))
}
