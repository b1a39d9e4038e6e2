//! Wins, ties and losses, and their rates.

use std::collections::HashMap;

use collimate_core::Key;
use collimate_eval::{Bootstrap, Groups, Interval};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::item::AnswerPair;
use crate::length::{LengthControl, LengthControlled};

/// Outcome of a duel for side a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// a is better.
    Win,
    /// Neither side is better.
    Tie,
    /// b is better.
    Lose,
}

impl Outcome {
    /// Returns 1, ½ or 0.
    pub fn value(self) -> f64 {
        match self {
            Self::Win => 1.0,
            Self::Tie => 0.5,
            Self::Lose => 0.0,
        }
    }

    pub(crate) fn by_score(a: f64, b: f64, tie_within: f64) -> Self {
        if (a - b).abs() <= tie_within {
            Self::Tie
        } else if a > b {
            Self::Win
        } else {
            Self::Lose
        }
    }
}

/// Numbers of duels by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Duels won by a.
    pub win: usize,
    /// Tied duels.
    pub tie: usize,
    /// Duels won by b.
    pub lose: usize,
    /// Duels without an outcome, which count in no rate.
    pub undecided: usize,
}

impl Counts {
    /// Returns the number of duels with an outcome.
    pub fn decided(&self) -> usize {
        self.win + self.tie + self.lose
    }

    /// Returns win, tie and lose in per cent of the decided duels, or `None` without decided duels.
    pub fn percentages(&self) -> Option<[f64; 3]> {
        let n = self.decided() as f64;
        (n > 0.0).then(|| [self.win, self.tie, self.lose].map(|k| 100.0 * k as f64 / n))
    }
}

/// A win rate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WinRate {
    /// Counts of the duels.
    pub counts: Counts,
    /// (win + tie / 2) / decided, with a bootstrap interval over prompts.
    pub interval: Interval,
}

/// The outcomes of duels, with the data that statistics need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The outcome of each duel, in order. `None` if the judge gave none.
    pub outcomes: Vec<Option<Outcome>>,
    /// The prompt of each duel, as a number. Equal numbers mean equal questions.
    pub prompts: Vec<usize>,
    /// Length of a's answer minus length of b's, in characters.
    pub length_differences: Vec<f64>,
}

impl Record {
    /// Makes a record of duels without outcomes yet.
    pub(crate) fn new(duels: &[AnswerPair], turns: bool) -> Result<Self, JudgeError> {
        let mut numbers = HashMap::new();
        let mut prompts = Vec::with_capacity(duels.len());
        for (index, duel) in duels.iter().enumerate() {
            let question = duel.question(index, turns)?;
            let next = numbers.len();
            prompts.push(*numbers.entry(question).or_insert(next));
        }
        let length = |text: &str| text.chars().count() as f64;
        let difference =
            |duel: &AnswerPair| length(&duel.a.answer.text) - length(&duel.b.answer.text);
        Ok(Self {
            outcomes: vec![None; duels.len()],
            prompts,
            length_differences: duels.iter().map(difference).collect(),
        })
    }

    /// Counts the duels by outcome.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for outcome in &self.outcomes {
            *match outcome {
                Some(Outcome::Win) => &mut counts.win,
                Some(Outcome::Tie) => &mut counts.tie,
                Some(Outcome::Lose) => &mut counts.lose,
                None => &mut counts.undecided,
            } += 1;
        }
        counts
    }

    /// Returns the win rate of a over the decided duels. A tie counts one half. The bootstrap
    /// resamples prompts, so duels over one prompt are redrawn together.
    ///
    /// # Errors
    /// [`JudgeError::Eval`] without a decided duel, or for invalid options of the bootstrap.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::Key;
    /// use collimate_eval::Bootstrap;
    /// use collimate_judge::{Outcome, Record};
    /// let record = Record {
    ///     outcomes: vec![Some(Outcome::Win), Some(Outcome::Tie), None, Some(Outcome::Lose), Some(Outcome::Win)],
    ///     prompts: vec![0, 1, 2, 3, 3],
    ///     length_differences: vec![3.0, -2.0, 0.0, 8.0, 1.0],
    /// };
    /// let rate = record.win_rate(&Bootstrap::default(), Key::new(7, "report"))?;
    /// assert_eq!(rate.interval.estimate, 0.625);
    /// assert_eq!(rate.counts.undecided, 1);
    /// # Ok::<(), collimate_judge::JudgeError>(())
    /// ```
    pub fn win_rate(&self, bootstrap: &Bootstrap, key: Key) -> Result<WinRate, JudgeError> {
        self.check()?;
        let decided = self.outcomes.iter().zip(&self.prompts);
        let (values, prompts): (Vec<f64>, Vec<usize>) = decided
            .filter_map(|(outcome, &prompt)| Some((outcome.as_ref()?.value(), prompt)))
            .unzip();
        Ok(WinRate {
            counts: self.counts(),
            interval: bootstrap.mean(&values, Groups::By(&prompts), key)?,
        })
    }

    /// Returns the win rate of a as if both answers were equally long. See [`LengthControl`].
    ///
    /// # Errors
    /// As [`LengthControl::fit`].
    pub fn length_controlled(
        &self,
        control: &LengthControl,
    ) -> Result<LengthControlled, JudgeError> {
        self.check()?;
        let decided = self.outcomes.iter().zip(&self.length_differences);
        let duels: Vec<(f64, f64)> = decided
            .filter_map(|(outcome, &length)| Some((outcome.as_ref()?.value(), length)))
            .collect();
        control.fit(&duels)
    }

    /// Checks that all lists have the same length, since the fields are public. Unequal lists are
    /// refused, not cut.
    fn check(&self) -> Result<(), JudgeError> {
        let n = self.outcomes.len();
        for (what, len) in [
            ("prompts of a record", self.prompts.len()),
            ("lengths of a record", self.length_differences.len()),
        ] {
            if len != n {
                return Err(JudgeError::Length {
                    what,
                    left: n,
                    right: len,
                });
            }
        }
        Ok(())
    }
}
