//! Several answers to a prompt, ranked by the annotator.

use collimate_core::{Key, Purpose};
use rand::{Rng, RngExt};

use crate::annotator::Seen;
use crate::config::AnnotatorConfig;

/// Several answers to a prompt, with their gold rewards and the annotator's ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldRanking {
    /// Answers, in the order in which they were written.
    pub answers: Vec<String>,
    /// Gold reward of each answer.
    pub gold: Vec<f64>,
    /// The annotator's rank of each answer, 0 for the best; all ranks differ.
    pub ranks: Vec<usize>,
}

impl AnnotatorConfig {
    /// Returns the annotator's rank of each answer; 0 is the best.
    ///
    /// The order is by the utility of the answers plus Gumbel noise of scale T, which is the
    /// Plackett–Luce model. Then, from the best answer on, each answer is exchanged with the next
    /// one with the probability of a flip. For two answers, the first is ranked better with exactly
    /// the probability that [`AnnotatorConfig::preference`] gives.
    pub(crate) fn ranks(&self, answers: &[Seen], key: Key) -> Vec<usize> {
        let mut rng = key.rng(Purpose::Noise);
        let utility = |seen: &Seen| seen.gold + self.length_bias * seen.words as f64 / 10.0;
        let noisy: Vec<(f64, f64)> = answers
            .iter()
            .map(|seen| {
                let noise = self.temperature * gumbel(&mut rng);
                // The second number decides between equal sums.
                (utility(seen) + noise, rng.random())
            })
            .collect();
        let mut order: Vec<usize> = (0..answers.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (noisy[a], noisy[b]);
            b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        for place in 1..order.len() {
            if rng.random::<f64>() < self.flip_rate {
                order.swap(place - 1, place);
            }
        }
        let mut ranks = vec![0; order.len()];
        for (rank, answer) in order.into_iter().enumerate() {
            ranks[answer] = rank;
        }
        ranks
    }
}

/// Draws from the standard Gumbel distribution; the difference of two draws is logistic.
fn gumbel(rng: &mut impl Rng) -> f64 {
    let uniform: f64 = 1.0 - rng.random::<f64>();
    // For a uniform number of 1 the logarithm is 0, and the draw would be infinite.
    -(-uniform.ln()).max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(gold: f64, words: usize) -> Seen {
        Seen { gold, words }
    }

    #[test]
    fn two_answers_are_ranked_as_a_pair_is_labelled() {
        let annotator = AnnotatorConfig {
            temperature: 0.1,
            flip_rate: 0.1,
            length_bias: 0.05,
        };
        for (first, second) in [
            (seen(0.6, 12), seen(0.5, 8)),
            (seen(0.2, 4), seen(0.35, 20)),
        ] {
            let expected =
                annotator.preference((first.gold, first.words), (second.gold, second.words));
            let n = 20_000;
            let key = Key::new(3, "ranks");
            let won = (0..n)
                .filter(|&draw| annotator.ranks(&[first, second], key.with(draw))[0] == 0)
                .count() as f64;
            // Four standard deviations of a binomial share.
            let bound = 4.0 * (expected * (1.0 - expected) / n as f64).sqrt();
            let share = won / n as f64;
            assert!((share - expected).abs() < bound, "{share} {expected}");
        }
    }

    /// Plackett–Luce by hand: the first is best of three with e^{u/T} / Σ e^{u/T}.
    #[test]
    fn the_best_of_three_is_drawn_by_its_utility() {
        let annotator = AnnotatorConfig {
            temperature: 0.2,
            flip_rate: 0.0,
            length_bias: 0.0,
        };
        let golds = [0.3, 0.5, 0.6];
        let answers = golds.map(|gold| seen(gold, 5));
        let weights = golds.map(|gold| (gold / 0.2_f64).exp());
        let (n, key) = (20_000, Key::new(4, "ranks"));
        let mut best = [0.0; 3];
        for draw in 0..n {
            let ranks = annotator.ranks(&answers, key.with(draw));
            best[ranks.iter().position(|&rank| rank == 0).unwrap()] += 1.0;
        }
        for (best, weight) in best.iter().zip(weights) {
            let expected = weight / weights.iter().sum::<f64>();
            let bound = 4.0 * (expected * (1.0 - expected) / n as f64).sqrt();
            let share = best / n as f64;
            assert!((share - expected).abs() < bound, "{share} {expected}");
        }
    }

    #[test]
    fn a_cold_annotator_follows_the_gold_reward() {
        let exact = AnnotatorConfig {
            temperature: 0.0,
            flip_rate: 0.0,
            length_bias: 0.0,
        };
        let answers = [0.2, 0.9, 0.4, 0.6].map(|gold| seen(gold, 5));
        for draw in 0..50 {
            let ranks = exact.ranks(&answers, Key::new(draw, "ranks"));
            assert_eq!(ranks, [3, 0, 2, 1]);
        }
        // A coin decides a tie.
        let ties = [seen(0.5, 5), seen(0.5, 9)];
        let first = |draw| exact.ranks(&ties, Key::new(draw, "ranks"))[0];
        let firsts: usize = (0..200).map(first).sum();
        assert!((60..140).contains(&firsts), "{firsts}");
    }
}
