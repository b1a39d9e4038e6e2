//! Every loss over pairs as one type, for configurations and command lines.

use std::fmt;

use burn::tensor::Tensor;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::{EnumIter, IntoEnumIterator};

use super::{
    Aot, ApoDown, ApoZero, Bco, DirectLoss, DiscoPop, Dpo, DpoNorm, Exo, ImplicitRewards, Ipo, Nca,
    Orpo, ReferenceNeed, RobustDpo, SimPo, SlicHf, Spin, Sppo,
};
use crate::{LossError, PairLogps};

/// Defines the enum, and functions that reach the loss inside it. A line names a variant, its loss
/// and the option that [`PreferenceLoss::beta`] stands for.
macro_rules! losses {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $variant:ident($loss:ty) => $beta:ident,)+
    }) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* $variant($loss),)+
        }

        impl $name {
            fn loss(&self) -> &dyn DirectLoss {
                match self {
                    $(Self::$variant(loss) => loss,)+
                }
            }

            fn beta_mut(&mut self) -> &mut f64 {
                match self {
                    $(Self::$variant(loss) => &mut loss.$beta,)+
                }
            }
        }
    };
}

losses! {
    /// A direct alignment loss that is chosen by name.
    ///
    /// # Examples
    /// ```
    /// use collimate_losses::{DirectLoss, PreferenceLoss};
    /// let loss: PreferenceLoss = serde_json::from_str(r#"{"ipo": {"beta": 0.2}}"#).unwrap();
    /// assert_eq!(loss.name(), "ipo");
    /// // A bare name has the default options.
    /// let loss: PreferenceLoss = serde_json::from_str(r#""ipo""#).unwrap();
    /// assert_eq!(loss.beta(), 0.1);
    /// assert_eq!("simpo".parse::<PreferenceLoss>()?.beta(), 2.0);
    /// // Names that others use for a special case.
    /// assert_eq!("hinge".parse::<PreferenceLoss>()?.name(), "slic_hf");
    /// assert!("dpoo".parse::<PreferenceLoss>().is_err());
    /// # Ok::<(), collimate_losses::LossError>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, EnumIter, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[cfg_attr(feature = "schema", schemars(!remote, transform = or_a_name))]
    #[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
    #[non_exhaustive]
    pub enum PreferenceLoss {
        /// Direct preference optimisation (DPO).
        Dpo(Dpo) => beta,
        /// Robust DPO, for labels that are flipped with a known rate.
        Rdpo(RobustDpo) => beta,
        /// Identity preference optimisation (IPO).
        Ipo(Ipo) => beta,
        /// Sequence likelihood calibration (SLiC-HF), a hinge loss.
        SlicHf(SlicHf) => beta,
        /// Simple preference optimisation (SimPO), without a reference.
        Simpo(SimPo) => beta,
        /// Odds-ratio preference optimisation (ORPO), without a reference.
        Orpo(Orpo) => lambda,
        /// Self-play fine-tuning (SPIN).
        Spin(Spin) => beta,
        /// Efficient exact optimisation (EXO).
        Exo(Exo) => beta,
        /// Noise contrastive alignment (NCA).
        Nca(Nca) => beta,
        /// Self-play preference optimisation (SPPO) with hard labels.
        Sppo(Sppo) => beta,
        /// Binary classifier optimisation (BCO) on pairs.
        Bco(Bco) => beta,
        /// Anchored preference optimisation, zero variant (APO-zero).
        ApoZero(ApoZero) => beta,
        /// Anchored preference optimisation, down variant (APO-down).
        ApoDown(ApoDown) => beta,
        /// Alignment via optimal transport (AOT).
        Aot(Aot) => beta,
        /// DiscoPOP, a blend of the logistic and the exponential loss.
        Discopop(DiscoPop) => beta,
        /// Length-normalised DPO, on log-ratios per token.
        DpoNorm(DpoNorm) => beta,
    }
}

impl Default for PreferenceLoss {
    fn default() -> Self {
        Self::Dpo(Dpo::default())
    }
}

impl Serialize for PreferenceLoss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Reads an object of a name and its options, or a name alone.
impl<'de> Deserialize<'de> for PreferenceLoss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrObject)
    }
}

struct NameOrObject;

impl<'de> Visitor<'de> for NameOrObject {
    type Value = PreferenceLoss;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a loss, or {\"name\": {options}}")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<PreferenceLoss, E> {
        name.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PreferenceLoss, A::Error> {
        // Calls the derived function, which shadows the trait's.
        PreferenceLoss::deserialize(MapAccessDeserializer::new(map))
    }
}

impl PreferenceLoss {
    /// Returns every loss with its default options.
    pub fn all() -> Vec<Self> {
        Self::iter().collect()
    }

    /// Returns β, or ORPO's λ, which takes the place of β.
    pub fn beta(&self) -> f64 {
        let mut copy = *self;
        *copy.beta_mut()
    }

    /// Returns the loss with another β (λ of ORPO).
    #[must_use]
    pub fn with_beta(mut self, beta: f64) -> Self {
        *self.beta_mut() = beta;
        self
    }
}

/// Returns the special cases with names of their own: DPO with label smoothing, and TRL's names.
fn special_cases() -> [(&'static str, PreferenceLoss); 6] {
    let smoothed = Dpo {
        label_smoothing: 0.1,
        ..Dpo::default()
    };
    let slic = PreferenceLoss::SlicHf(SlicHf::default());
    [
        ("cdpo", PreferenceLoss::Dpo(smoothed)),
        ("sigmoid", PreferenceLoss::default()),
        ("sigmoid_norm", PreferenceLoss::DpoNorm(DpoNorm::default())),
        ("robust", PreferenceLoss::Rdpo(RobustDpo::default())),
        ("hinge", slic),
        ("slic", slic),
    ]
}

impl std::str::FromStr for PreferenceLoss {
    type Err = LossError;

    /// Returns the loss of this name with its default options. Besides the names of
    /// [`DirectLoss::name`] there are `cdpo` (DPO with label smoothing 0.1) and TRL's names
    /// `sigmoid`, `sigmoid_norm`, `robust`, `hinge`.
    fn from_str(name: &str) -> Result<Self, LossError> {
        let all = || Self::iter().map(|loss| (loss.name(), loss));
        all()
            .chain(special_cases())
            .find(|(known, _)| *known == name)
            .map(|(_, loss)| loss)
            .ok_or_else(|| LossError::UnknownName {
                name: name.to_owned(),
                known: all()
                    .map(|(known, _)| known)
                    .chain(["cdpo"])
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

/// Allows a bare name instead of an object in the schema, as in a file.
#[cfg(feature = "schema")]
fn or_a_name(schema: &mut schemars::Schema) {
    let names = PreferenceLoss::iter().map(|loss| loss.name());
    let others = special_cases().into_iter().map(|(name, _)| name);
    let name = schemars::json_schema!({
        "description": "Name of a loss, with the default options of the loss.",
        "type": "string",
        "enum": names.chain(others).collect::<Vec<_>>(),
    });
    let forms = schema
        .get_mut("oneOf")
        .and_then(|forms| forms.as_array_mut());
    if let Some(forms) = forms {
        forms.insert(0, name.into());
    }
}

impl DirectLoss for PreferenceLoss {
    fn name(&self) -> &'static str {
        self.loss().name()
    }

    fn check(&self) -> Result<(), LossError> {
        self.loss().check()
    }

    fn reference_need(&self) -> ReferenceNeed {
        self.loss().reference_need()
    }

    fn across_pairs(&self) -> bool {
        self.loss().across_pairs()
    }

    fn takes_margins(&self) -> bool {
        self.loss().takes_margins()
    }

    fn takes_weights(&self) -> bool {
        self.loss().takes_weights()
    }

    fn has_likelihood(&self) -> bool {
        self.loss().has_likelihood()
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.loss().forward(logps)
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        self.loss().implicit_rewards(logps)
    }
}
