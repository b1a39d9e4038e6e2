//! Formulas of the losses as text, for reports and model cards.

use super::{Bco, BcoShift, Ipo, IpoNormalization, PreferenceLoss, SlicHf, SlicReference};

/// Meaning of the letters in [`PreferenceLoss::formula`].
pub const FORMULA_SYMBOLS: &str = "w is the chosen answer, l the rejected answer, π the policy, ρ \
                                   the reference model. log π(y) is the sum of the \
                                   log-probabilities of the tokens of y, and |y| is the number of \
                                   these tokens. r = log π − log ρ, Δ = r(w) − r(l), σ is the \
                                   logistic function. β and the other Greek letters are options of \
                                   the loss.";

impl PreferenceLoss {
    /// Returns the formula of the loss for one pair as text. [`FORMULA_SYMBOLS`] explains the letters.
    ///
    /// # Examples
    /// ```
    /// use collimate_losses::{Ipo, PreferenceLoss};
    /// let loss = PreferenceLoss::Ipo(Ipo::default());
    /// assert_eq!(loss.formula(), "(Δ − 1/(2β))²");
    /// ```
    pub fn formula(&self) -> &'static str {
        match self {
            Self::Dpo(_) => "−(1−ε) log σ(βΔ) − ε log σ(−βΔ)",
            Self::Rdpo(_) => "[−(1−ε) log σ(βΔ) + ε log σ(−βΔ)] / (1−2ε)",
            Self::Ipo(Ipo {
                normalization: IpoNormalization::Mean,
                ..
            }) => "(r(w)/|w| − r(l)/|l| − 1/(2β))²",
            Self::Ipo(_) => "(Δ − 1/(2β))²",
            Self::SlicHf(SlicHf {
                reference: SlicReference::None,
                ..
            }) => "max(0, δ − β (log π(w) − log π(l))) − λ log π(w)",
            Self::SlicHf(_) => "max(0, δ − βΔ) − λ log π(w)",
            Self::Simpo(_) => "−log σ(β (log π(w)/|w| − log π(l)/|l|) − γ)",
            Self::Orpo(_) => {
                "−a(w) − λ log σ(logit e^a(w) − logit e^a(l)),  a(y) = log π(y)/|y|,  logit p = log(p/(1−p))"
            }
            Self::Spin(_) => "−log σ(βΔ),  l written by the reference model",
            Self::Exo(_) => "q (log q − log(1−ε)) + (1−q) (log(1−q) − log ε),  q = σ(βΔ)",
            Self::Nca(_) => "−log σ(β r(w)) − ½ log σ(−β r(w)) − ½ log σ(−β r(l))",
            Self::Sppo(_) => "(r(w) − 1/(2β))² + (r(l) + 1/(2β))²",
            Self::Bco(Bco {
                shift: BcoShift::None,
                ..
            }) => "−log σ(β r(w)) − log σ(−β r(l))",
            Self::Bco(_) => "−log σ(β r(w) − δ) − log σ(−(β r(l) − δ))",
            Self::ApoZero(_) => "(1 − σ(β r(w))) + σ(β r(l))",
            Self::ApoDown(_) => "σ(β r(w)) + (1 − σ(βΔ))",
            Self::Aot(_) => {
                "−(1−ε) log σ(β (a − b)) − ε log σ(−β (a − b)),  a and b sorted over the batch"
            }
            Self::Discopop(_) => "(1−g) (−log σ(x)) + g e^−x,  x = βΔ,  g = σ(x/τ)",
            Self::DpoNorm(_) => "−log σ(β (r(w)/|w| − r(l)/|l|))",
        }
    }
}
