//! Selection of pairs in passes over their margins.

use collimate_core::{Key, KeyRng, Passes, Purpose, Selection, TopCut, TopSearch, Verdict};
use rand::RngExt;
use rayon::prelude::*;

use crate::KeepRule;
use crate::reward::PIECE;
use crate::select::{reason_to_leave, select};

/// A plan that keeps `k` of any number of pairs in constant memory.
///
/// Passes over the margins make the plan. One more reading then asks for the [`Verdict`] on every
/// margin. The verdicts are the selection of [`keep_k`](crate::keep_k) and
/// [`top_k`](crate::top_k).
///
/// # Examples
/// The paper's selection of offline pairs (section 3.2 and equation 7 of
/// <https://arxiv.org/abs/2410.09362>): the K = 0.5·N pairs with the largest mean of the margins
/// under the last two models. Both columns are read piece by piece.
/// ```
/// use std::convert::Infallible;
/// use collimate_core::{Key, Passes, Verdict};
/// use collimate_irm::{KeepPlan, KeepRule, share_count};
///
/// struct Columns(Vec<f64>, Vec<f64>);
///
/// impl Passes for Columns {
///     type Item = f64;
///     type Error = Infallible;
///     fn pass(&mut self, take: &mut dyn FnMut(&[f64])) -> Result<(), Infallible> {
///         for (current, previous) in self.0.iter().zip(&self.1) {
///             take(&[0.7 * current + 0.3 * previous]);
///         }
///         Ok(())
///     }
/// }
///
/// let mut margins = Columns(vec![1.5, -1.5, 1.5, 0.0], vec![0.5, 2.0, 1.0, 0.5]);
/// let k = share_count(0.5, 4)?;
/// let Ok(mut plan) = KeepPlan::new(&mut margins, k, KeepRule::Largest, Key::new(1, "sera"));
/// let mut kept = Vec::new();
/// let Ok(()) = margins.pass(&mut |margins| {
///     kept.extend(margins.iter().map(|&margin| matches!(plan.judge(margin), Verdict::Kept { .. })));
/// });
/// assert_eq!(kept, [true, false, true, false]);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeepPlan {
    places: Places,
    cut: TopCut,
}

impl KeepPlan {
    /// Makes the plan that keeps `k` of the pairs by a rule. The key serves [`KeepRule::Random`].
    ///
    /// The plan takes one pass for up to 65,536 pairs. For more pairs it takes up to five passes,
    /// mostly two or three. [`KeepRule::Middle`] takes as many again for the median, and one more
    /// that counts the margins.
    ///
    /// # Errors
    /// Returns the error of a pass.
    pub fn new<P: Passes<Item = f64>>(
        mut margins: P,
        k: usize,
        rule: KeepRule,
        key: Key,
    ) -> Result<Self, P::Error> {
        let places = match rule {
            KeepRule::Largest => Places::Margins,
            KeepRule::Middle => Places::NearTo(median(&mut margins)?),
            KeepRule::Random => Places::Draws(Box::new(key.rng(Purpose::Split))),
        };
        let mut search = TopSearch::new(k);
        loop {
            match &places {
                Places::Margins => margins.pass(&mut |piece| add(&mut search, piece, |m| m))?,
                &Places::NearTo(median) => {
                    margins.pass(&mut |piece| add(&mut search, piece, |m| nearness(m, median)))?;
                }
                Places::Draws(rng) => {
                    // Every pass draws the same numbers, one after the other.
                    let mut rng = rng.clone();
                    margins.pass(&mut |piece| {
                        piece.iter().for_each(|&m| search.add(draw(m, &mut rng)));
                    })?;
                }
            }
            if let Some(cut) = search.end_pass() {
                return Ok(Self { places, cut });
            }
        }
    }

    /// Returns the verdict on the next margin. Every margin must be given once, in the order of the
    /// passes.
    pub fn judge(&mut self, margin: f64) -> Verdict {
        let place = match &mut self.places {
            Places::Margins => margin,
            Places::NearTo(median) => nearness(margin, *median),
            Places::Draws(rng) => draw(margin, rng),
        };
        match self.cut.keeps(place) {
            true => Verdict::Kept {
                swapped: false,
                score: margin,
            },
            false => Verdict::Left(reason_to_leave(place)),
        }
    }

    /// Returns the number of pairs that are kept in all.
    pub fn count(&self) -> usize {
        self.cut.count()
    }

    /// Makes the selection from the margins of the passes: all verdicts.
    pub(crate) fn select(self, margins: &[f64]) -> Selection {
        match self.places {
            Places::Margins => select(margins, self.cut, |m| m),
            Places::NearTo(median) => select(margins, self.cut, move |m| nearness(m, median)),
            Places::Draws(mut rng) => select(margins, self.cut, move |m| draw(m, &mut rng)),
        }
    }
}

/// Numbers that order the pairs: the largest are kept.
#[derive(Debug, Clone)]
enum Places {
    Margins,
    NearTo(f64),
    Draws(Box<KeyRng>),
}

fn nearness(margin: f64, median: f64) -> f64 {
    let place = -(margin - median).abs();
    if margin.is_finite() { place } else { f64::NAN }
}

/// A margin that is not finite takes a number from the stream, too.
fn draw(margin: f64, rng: &mut KeyRng) -> f64 {
    let place = rng.random();
    if margin.is_finite() { place } else { f64::NAN }
}

/// Adds the numbers of a piece of margins to a search, in parallel if there are many.
fn add(search: &mut TopSearch, margins: &[f64], place: impl Fn(f64) -> f64 + Sync) {
    let all = |search: &mut TopSearch, margins: &[f64]| {
        margins.iter().for_each(|&margin| search.add(place(margin)));
    };
    if margins.len() <= PIECE {
        return all(search, margins);
    }
    let parts = margins.par_chunks(PIECE).fold(
        || search.part(),
        |mut part, margins| {
            all(&mut part, margins);
            part
        },
    );
    let sum = parts.reduce_with(|mut part, other| {
        part.merge(other);
        part
    });
    sum.into_iter().for_each(|part| search.merge(part));
}

/// Returns the median of the finite values, 0 if there are none.
fn median<P: Passes<Item = f64>>(values: &mut P) -> Result<f64, P::Error> {
    let mut n = 0;
    values.pass(&mut |values| n += values.iter().filter(|value| value.is_finite()).count())?;
    // The two in the middle are the smallest of the larger halves; they are one if n is odd.
    let mut halves = [n - n / 2, n - n.saturating_sub(1) / 2].map(TopSearch::new);
    let mut middle = [None; 2];
    while middle.contains(&None) {
        values.pass(&mut |values| halves.iter_mut().for_each(|half| add(half, values, |v| v)))?;
        for (half, middle) in halves.iter_mut().zip(&mut middle) {
            *middle = middle.or_else(|| half.end_pass());
        }
    }
    let [upper, lower] = middle.map(|cut| cut.and_then(|cut| cut.smallest()).unwrap_or(0.0));
    Ok(lower / 2.0 + upper / 2.0)
}
