//! Parameters of the synthetic world.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Reason why a world is refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A parameter is out of range.
    #[error("{name} is {value} but must be {allowed}")]
    OutOfRange {
        /// Name of the parameter.
        name: &'static str,
        /// Value of the parameter.
        value: f64,
        /// Description of the allowed values, and of what to do.
        allowed: &'static str,
    },
}

/// Options of the annotator, who labels the training pairs.
///
/// An answer is preferred with the probability of a Bradley–Terry model on the gold reward g and
/// the number of words n. The label is then turned around with probability `flip_rate`:
/// ```text
/// P(a ≻ b) = (1 − f)·p + f·(1 − p),   p = σ((g_a − g_b + c·(n_a − n_b)/10) / T)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AnnotatorConfig {
    /// Temperature T of the annotator, in units of the gold reward, at least 0. At 0 the label
    /// follows the sign of the difference, and a coin decides a tie.
    pub temperature: f64,
    /// Probability f that a label is turned around, at least 0 and below 0.5.
    pub flip_rate: f64,
    /// Gold reward c that ten more words are worth to the annotator alone; any finite number.
    pub length_bias: f64,
}

impl Default for AnnotatorConfig {
    fn default() -> Self {
        Self {
            temperature: 0.08,
            flip_rate: 0.05,
            length_bias: 0.02,
        }
    }
}

/// Parameters of the synthetic world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WorldConfig {
    /// Seed of all random numbers in the world.
    pub seed: u64,
    /// Number of training pairs, each with its own prompt, 1 to 100000.
    pub pairs: usize,
    /// Number of validation pairs, labelled by the gold reward, 1 to 100000.
    pub validation_pairs: usize,
    /// Number of test pairs, labelled by the gold reward, 1 to 100000.
    pub test_pairs: usize,
    /// Smallest difference of gold reward between the two answers of a pair, above 0 and at
    /// most 0.2.
    pub min_gap: f64,
    /// Exponent of the frequencies of the tone words, 0 to 2: 0 is uniform, 1 is Zipf's law.
    pub tail: f64,
    /// Annotator who labels the training pairs.
    pub annotator: AnnotatorConfig,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 17,
            pairs: 6_000,
            validation_pairs: 600,
            test_pairs: 4_000,
            min_gap: 0.02,
            tail: 0.7,
            annotator: AnnotatorConfig::default(),
        }
    }
}

impl WorldConfig {
    /// # Errors
    /// Returns an error for the first parameter that is out of range.
    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let pairs = "1 to 100000";
        let count =
            |name, value: usize| (name, value as f64, (1..=100_000).contains(&value), pairs);
        let a = &self.annotator;
        let checks = [
            count("pairs", self.pairs),
            count("validation_pairs", self.validation_pairs),
            count("test_pairs", self.test_pairs),
            (
                "min_gap",
                self.min_gap,
                self.min_gap > 0.0 && self.min_gap <= 0.2,
                "above 0 (gold ties have no order) and at most 0.2",
            ),
            (
                "tail",
                self.tail,
                (0.0..=2.0).contains(&self.tail),
                "0 to 2",
            ),
            (
                "annotator.temperature",
                a.temperature,
                a.temperature >= 0.0 && a.temperature.is_finite(),
                "a finite number of at least 0",
            ),
            (
                "annotator.flip_rate",
                a.flip_rate,
                (0.0..0.5).contains(&a.flip_rate),
                "at least 0 and below 0.5 (at 0.5 the labels are random)",
            ),
            (
                "annotator.length_bias",
                a.length_bias,
                a.length_bias.abs() <= 10.0,
                "-10 to 10",
            ),
        ];
        match checks.into_iter().find(|(_, _, good, _)| !good) {
            Some((name, value, _, allowed)) => Err(WorldError::OutOfRange {
                name,
                value,
                allowed,
            }),
            None => Ok(()),
        }
    }
}
