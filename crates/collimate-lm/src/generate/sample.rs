//! Choice of a token from logits: pure functions, applied in Hugging Face's order (repetition
//! penalty, temperature, top-k, top-p).

use std::borrow::Cow;
use std::cmp::Ordering;

use collimate_core::{GenerateError, Sampling};

/// A token that may be drawn, and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Token id.
    pub id: u32,
    /// Probability among the candidates.
    pub probability: f64,
}

/// Error for logits that include NaN or +∞, or of which none is above −∞.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

/// The rule that turns logits into a token.
///
/// # Examples
/// ```
/// use collimate_core::Sampling;
/// use collimate_lm::sample::SampleRule;
/// let rule = SampleRule::new(&Sampling { top_k: 2, ..Sampling::default() })?;
/// let candidates = rule.candidates(&[0.0, 3.0f32.ln(), -1.0], &[]).unwrap();
/// assert_eq!([candidates[0].id, candidates[1].id], [0, 1]);
/// assert!((candidates[1].probability - 0.75).abs() < 1e-6);
/// assert_eq!(rule.choose(&[0.0, 3.0f32.ln(), -1.0], &[], 0.5), Ok(1));
/// # Ok::<(), collimate_core::GenerateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRule {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    repetition_penalty: f32,
}

impl SampleRule {
    /// Creates the rule that `sampling` describes.
    ///
    /// # Errors
    /// [`Sampling::check`] refuses a value.
    pub fn new(sampling: &Sampling) -> Result<Self, GenerateError> {
        sampling.check()?;
        Ok(Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            repetition_penalty: sampling.repetition_penalty as f32,
        })
    }

    /// Returns true if [`Self::candidates`] uses the tokens seen.
    pub fn looks_back(&self) -> bool {
        self.repetition_penalty != 1.0
    }

    /// Returns true if choosing a token needs a random number.
    pub fn is_random(&self) -> bool {
        self.temperature > 0.0
    }

    /// Returns the token at `point`, in `[0, 1)`, of the cumulative distribution over the
    /// candidates.
    ///
    /// `seen` holds the ids of prompt and completion so far, each once.
    ///
    /// # Errors
    /// The logits are not finite.
    pub fn choose(&self, logits: &[f32], seen: &[u32], point: f64) -> Result<u32, NotFinite> {
        let logits = self.penalised(logits, seen);
        let best = argmax(&logits)?;
        Ok(match self.is_random() {
            false => best,
            true if self.top_k == 0 && self.top_p >= 1.0 => {
                draw_from_all(&logits, best, self.temperature, point)
            }
            true => draw(&self.likeliest(&logits), point),
        })
    }

    /// Returns the tokens that may be drawn, ordered by id, with probabilities that sum to 1. At
    /// temperature 0, returns only the likeliest token.
    ///
    /// # Errors
    /// The logits are not finite.
    pub fn candidates(&self, logits: &[f32], seen: &[u32]) -> Result<Vec<Candidate>, NotFinite> {
        let logits = self.penalised(logits, seen);
        let best = argmax(&logits)?;
        if !self.is_random() {
            return Ok(vec![Candidate {
                id: best,
                probability: 1.0,
            }]);
        }
        Ok(self.likeliest(&logits))
    }

    fn penalised<'a>(&self, logits: &'a [f32], seen: &[u32]) -> Cow<'a, [f32]> {
        let mut logits = Cow::Borrowed(logits);
        if self.looks_back() {
            penalise(logits.to_mut(), seen, self.repetition_penalty);
        }
        logits
    }

    fn likeliest(&self, logits: &[f32]) -> Vec<Candidate> {
        let ids = top_k(logits, self.top_k);
        top_p(softmax(logits, ids, self.temperature), self.top_p)
    }
}

/// Divides positive and multiplies negative logits of the tokens seen.
///
/// CTRL, [arXiv:1909.05858](https://arxiv.org/abs/1909.05858), section 4.1, as in Hugging Face. Ids
/// beyond the logits are ignored.
pub fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    for &id in seen {
        if let Some(logit) = logits.get_mut(id as usize) {
            if *logit > 0.0 {
                *logit /= penalty;
            } else {
                *logit *= penalty;
            }
        }
    }
}

/// Returns the token with the largest logit; among equals, the token with the smallest id.
///
/// # Errors
/// A logit is NaN or +∞, or none is above −∞.
pub fn argmax(logits: &[f32]) -> Result<u32, NotFinite> {
    // Several logits are compared at once, in lanes that do not depend on each other.
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut finite = [true; LANES];
    for chunk in logits.chunks(LANES) {
        for ((largest, finite), &logit) in largest.iter_mut().zip(&mut finite).zip(chunk) {
            *largest = if logit > *largest { logit } else { *largest };
            // False for NaN and +∞.
            *finite &= logit < f32::INFINITY;
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let best = logits.iter().position(|&logit| logit == largest);
    match best {
        Some(id) if largest > f32::NEG_INFINITY && !finite.contains(&false) => Ok(id as u32),
        _ => Err(NotFinite),
    }
}

/// Number of logits that are compared at once.
const LANES: usize = 16;

/// Orders by larger logit, then by smaller id. The logits must not be NaN.
fn likelier(logits: &[f32], a: u32, b: u32) -> Ordering {
    let by_logit = logits[b as usize].total_cmp(&logits[a as usize]);
    // −0 and 0 are equal.
    let equal = logits[a as usize] == logits[b as usize];
    if equal { a.cmp(&b) } else { by_logit }
}

/// Returns the ids of the `k` largest logits, in the order of ids. Among equals, smaller ids are
/// preferred. `k` = 0 returns all ids.
pub fn top_k(logits: &[f32], k: usize) -> Vec<u32> {
    let all = 0..logits.len() as u32;
    if k == 0 || k >= logits.len() {
        return all.collect();
    }
    let keep_k = |ids: &mut Vec<u32>| {
        ids.select_nth_unstable_by(k - 1, |&a, &b| likelier(logits, a, b));
        ids.truncate(k);
    };
    let mut ids = Vec::new();
    // The logit of the last of the k likeliest so far. A later id must exceed it.
    let mut bar = None;
    for id in all {
        if bar.is_some_and(|bar| logits[id as usize] <= bar) {
            continue;
        }
        ids.push(id);
        if ids.len() == k + k.max(BETWEEN) {
            keep_k(&mut ids);
            bar = Some(logits[ids[k - 1] as usize]);
        }
    }
    keep_k(&mut ids);
    ids.sort_unstable();
    ids
}

/// Smallest number of ids that [`top_k`] collects before it drops the less likely ones.
const BETWEEN: usize = 64;

/// Computes the softmax of some logits divided by a temperature above 0. Differences are taken
/// first, so that no temperature causes an overflow.
pub fn softmax(logits: &[f32], ids: Vec<u32>, temperature: f64) -> Vec<Candidate> {
    let logit = |id: u32| f64::from(logits[id as usize]);
    let largest = ids.iter().fold(f64::MIN, |max, &id| max.max(logit(id)));
    let mut candidates: Vec<Candidate> = ids
        .into_iter()
        .map(|id| Candidate {
            id,
            probability: f64::from((((logit(id) - largest) / temperature) as f32).exp()),
        })
        .collect();
    normalise(&mut candidates);
    candidates
}

fn normalise(candidates: &mut [Candidate]) {
    let total: f64 = candidates.iter().map(|c| c.probability).sum();
    for candidate in candidates {
        candidate.probability /= total;
    }
}

/// Returns the smallest set of likeliest candidates with total probability of at least `p`, in the
/// order of ids. Among equals, smaller ids are preferred. Probabilities are rescaled to sum to 1.
/// `p` = 1 keeps all candidates.
pub fn top_p(mut candidates: Vec<Candidate>, p: f64) -> Vec<Candidate> {
    let order = |a: &Candidate, b: &Candidate| {
        let by_probability = b.probability.total_cmp(&a.probability);
        by_probability.then(a.id.cmp(&b.id))
    };
    if p >= 1.0 || candidates.is_empty() {
        return candidates;
    }
    // Bisection finds the last member of the set: all before `from` are members, none from `to` on
    // is.
    let mut ordered = candidates.clone();
    let (mut from, mut to, mut sum) = (0, ordered.len(), 0.0);
    while to - from > 1 {
        let half = (to - from) / 2;
        ordered[from..to].select_nth_unstable_by(half, order);
        let likelier: f64 = ordered[from..from + half]
            .iter()
            .map(|c| c.probability)
            .sum();
        if sum + likelier >= p {
            to = from + half;
        } else {
            sum += likelier;
            from += half;
        }
    }
    let last = ordered[from];
    candidates.retain(|candidate| order(candidate, &last).is_le());
    normalise(&mut candidates);
    candidates
}

/// Draws as [`draw`] does from the softmax over all tokens, without a list of candidates.
fn draw_from_all(logits: &[f32], best: u32, temperature: f64, point: f64) -> u32 {
    const PART: usize = 32 * LANES;
    let largest = f64::from(logits[best as usize]);
    let weight = |logit: &f32| (((f64::from(*logit) - largest) / temperature) as f32).exp();
    let weights: Vec<f32> = logits.iter().map(weight).collect();
    let sum_of = |part: &[f32]| {
        let mut lanes = [0.0; LANES];
        for chunk in part.chunks(LANES) {
            for (lane, weight) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*weight);
            }
        }
        lanes.iter().sum::<f64>()
    };
    let parts: Vec<f64> = weights.chunks(PART).map(sum_of).collect();
    let point = point * parts.iter().sum::<f64>();
    let (mut sum, mut last) = (0.0, best);
    for (index, part) in parts.iter().enumerate() {
        // By rounding, the point may also lie behind the last token of its part.
        if sum + part <= point && index + 1 < parts.len() {
            sum += part;
            continue;
        }
        let part = weights.iter().enumerate().skip(index * PART).take(PART);
        for (id, &weight) in part {
            if weight > 0.0 {
                sum += f64::from(weight);
                last = id as u32;
                if point < sum {
                    return last;
                }
            }
        }
    }
    last
}

/// Returns the candidate whose part of `[0, 1)` holds `point`.
fn draw(candidates: &[Candidate], point: f64) -> u32 {
    let mut sum = 0.0;
    let mut last = 0;
    for candidate in candidates.iter().filter(|c| c.probability > 0.0) {
        sum += candidate.probability;
        last = candidate.id;
        if point < sum {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(probabilities: &[f64]) -> Vec<Candidate> {
        let numbered = probabilities.iter().zip(0..);
        numbered
            .map(|(&probability, id)| Candidate { id, probability })
            .collect()
    }

    fn ids(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|c| c.id).collect()
    }

    #[test]
    fn penalty_pushes_both_signs_down() {
        let mut logits = [2.0, -2.0, 0.0, 1.0];
        penalise(&mut logits, &[0, 1, 2, 9], 4.0);
        assert_eq!(logits, [0.5, -8.0, 0.0, 1.0]);
    }

    #[test]
    fn ties_go_to_the_smaller_id() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, -0.0]), Ok(1));
        assert_eq!(top_k(&[1.0, 3.0, 2.0, 2.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(top_k(&[0.0, -0.0, 0.0], 2), [0, 1]);
        let equal = candidates(&[0.25; 4]);
        assert_eq!(ids(&top_p(equal, 0.5)), [0, 1]);
    }

    #[test]
    fn nothing_but_numbers() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(argmax(&[0.0, bad, 1.0]), Err(NotFinite));
        }
        assert_eq!(argmax(&[f32::NEG_INFINITY; 3]), Err(NotFinite));
        assert_eq!(argmax(&[]), Err(NotFinite));
        assert_eq!(argmax(&[f32::NEG_INFINITY, 0.0]), Ok(1));
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        let of = |p| ids(&top_p(candidates(&[0.1, 0.5, 0.15, 0.25]), p));
        assert_eq!(of(0.4), [1]);
        assert_eq!(of(0.5), [1]);
        assert_eq!(of(0.51), [1, 3]);
        assert_eq!(of(0.75), [1, 3]);
        assert_eq!(of(0.76), [1, 2, 3]);
        assert_eq!(of(1.0), [0, 1, 2, 3]);
        let kept = top_p(candidates(&[0.1, 0.5, 0.15, 0.25]), 0.75);
        assert!((kept[0].probability - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_point_falls_into_its_part() {
        let all = candidates(&[0.25, 0.0, 0.5, 0.25]);
        let at = |point| draw(&all, point);
        assert_eq!([at(0.0), at(0.2499)], [0, 0]);
        assert_eq!([at(0.25), at(0.7499)], [2, 2]);
        assert_eq!([at(0.75), at(1.0 - 1e-16)], [3, 3]);
        // Rounding may leave the sum below the point; a token of probability 0 must still not be
        // drawn.
        assert_eq!(draw(&candidates(&[0.5, 0.4, 0.0]), 0.95), 1);
    }

    #[test]
    fn a_draw_from_all_tokens_is_a_draw_from_the_candidates() {
        // Several parts, the last of which is shorter, and tokens of no probability at both ends.
        let tokens = 1100;
        let logits: Vec<f32> = (0..tokens)
            .map(|i| match i % 7 {
                0 | 1 => f32::NEG_INFINITY,
                _ => (i as f32 * 0.37).sin() * 6.0,
            })
            .collect();
        for temperature in [0.3, 1.0, 2.5] {
            let sampling = Sampling {
                temperature,
                ..Sampling::default()
            };
            let rule = SampleRule::new(&sampling).unwrap();
            let all = rule.candidates(&logits, &[]).unwrap();
            let points = (0..2000).map(|i| (f64::from(i) + 0.5) / 2000.0);
            for point in points.chain([0.0]) {
                let chosen = rule.choose(&logits, &[], point);
                assert_eq!(chosen, Ok(draw(&all, point)), "{temperature} {point}");
            }
            // The last part ends with a token of no probability.
            let last = rule.choose(&logits, &[], 1.0 - f64::EPSILON / 2.0).unwrap();
            assert!(logits[last as usize].is_finite());
        }
    }

    #[test]
    fn the_largest_are_found_in_any_order() {
        let sorted = |logits: &[f32], k: usize| {
            let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
            ids.sort_by(|&a, &b| likelier(logits, a, b));
            ids.truncate(k);
            ids.sort_unstable();
            ids
        };
        let rising: Vec<f32> = (0..900).map(|i| (i / 3) as f32).collect();
        let falling: Vec<f32> = rising.iter().map(|logit| -logit).collect();
        let mixed: Vec<f32> = (0..900).map(|i| ((i * 37) % 101) as f32).collect();
        for logits in [rising, falling, mixed, vec![0.5; 900]] {
            for k in [1, 2, 50, 64, 65, 300, 899] {
                assert_eq!(top_k(&logits, k), sorted(&logits, k), "{k}");
            }
        }
    }

    #[test]
    fn a_tiny_temperature_is_nearly_greedy() {
        let sampling = Sampling {
            temperature: 1e-300,
            ..Sampling::default()
        };
        let rule = SampleRule::new(&sampling).unwrap();
        assert_eq!(rule.choose(&[3.0, 5.0, 4.0], &[], 0.99), Ok(1));
    }
}
