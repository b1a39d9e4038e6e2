//! Every loss over pairs as one type, for configurations and command lines.

use std::fmt;

use burn::tensor::Tensor;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Aot, ApoDown, ApoZero, Bco, DirectLoss, DiscoPop, Dpo, Exo, ImplicitRewards, Ipo, Nca, Orpo,
    ReferenceNeed, RobustDpo, SimPo, SlicHf, Spin, Sppo,
};
use crate::{LossError, PairLogps};

/// A direct alignment loss chosen by name.
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[non_exhaustive]
pub enum PreferenceLoss {
    /// [`Dpo`].
    Dpo(Dpo),
    /// [`RobustDpo`].
    Rdpo(RobustDpo),
    /// [`Ipo`].
    Ipo(Ipo),
    /// [`SlicHf`].
    SlicHf(SlicHf),
    /// [`SimPo`].
    Simpo(SimPo),
    /// [`Orpo`].
    Orpo(Orpo),
    /// [`Spin`].
    Spin(Spin),
    /// [`Exo`].
    Exo(Exo),
    /// [`Nca`].
    Nca(Nca),
    /// [`Sppo`].
    Sppo(Sppo),
    /// [`Bco`] on pairs.
    Bco(Bco),
    /// [`ApoZero`].
    ApoZero(ApoZero),
    /// [`ApoDown`].
    ApoDown(ApoDown),
    /// [`Aot`].
    Aot(Aot),
    /// [`DiscoPop`].
    Discopop(DiscoPop),
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

/// An object of a name and its options, or a name alone.
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
        // The derived one, which shadows the trait's.
        PreferenceLoss::deserialize(MapAccessDeserializer::new(map))
    }
}

macro_rules! each {
    ($self:expr, $loss:ident => $result:expr) => {
        match $self {
            PreferenceLoss::Dpo($loss) => $result,
            PreferenceLoss::Rdpo($loss) => $result,
            PreferenceLoss::Ipo($loss) => $result,
            PreferenceLoss::SlicHf($loss) => $result,
            PreferenceLoss::Simpo($loss) => $result,
            PreferenceLoss::Orpo($loss) => $result,
            PreferenceLoss::Spin($loss) => $result,
            PreferenceLoss::Exo($loss) => $result,
            PreferenceLoss::Nca($loss) => $result,
            PreferenceLoss::Sppo($loss) => $result,
            PreferenceLoss::Bco($loss) => $result,
            PreferenceLoss::ApoZero($loss) => $result,
            PreferenceLoss::ApoDown($loss) => $result,
            PreferenceLoss::Aot($loss) => $result,
            PreferenceLoss::Discopop($loss) => $result,
        }
    };
}

impl PreferenceLoss {
    /// Every loss with its default options.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Dpo(Dpo::default()),
            Self::Rdpo(RobustDpo::default()),
            Self::Ipo(Ipo::default()),
            Self::SlicHf(SlicHf::default()),
            Self::Simpo(SimPo::default()),
            Self::Orpo(Orpo::default()),
            Self::Spin(Spin::default()),
            Self::Exo(Exo::default()),
            Self::Nca(Nca::default()),
            Self::Sppo(Sppo::default()),
            Self::Bco(Bco::default()),
            Self::ApoZero(ApoZero::default()),
            Self::ApoDown(ApoDown::default()),
            Self::Aot(Aot::default()),
            Self::Discopop(DiscoPop::default()),
        ]
    }

    /// β; λ of ORPO, which stands where others have β.
    pub fn beta(&self) -> f64 {
        let mut copy = *self;
        *copy.beta_mut()
    }

    /// The same loss with another β (λ of ORPO).
    #[must_use]
    pub fn with_beta(mut self, beta: f64) -> Self {
        *self.beta_mut() = beta;
        self
    }

    fn beta_mut(&mut self) -> &mut f64 {
        match self {
            Self::Orpo(loss) => &mut loss.lambda,
            Self::Dpo(loss) => &mut loss.beta,
            Self::Rdpo(loss) => &mut loss.beta,
            Self::Ipo(loss) => &mut loss.beta,
            Self::SlicHf(loss) => &mut loss.beta,
            Self::Simpo(loss) => &mut loss.beta,
            Self::Spin(loss) => &mut loss.beta,
            Self::Exo(loss) => &mut loss.beta,
            Self::Nca(loss) => &mut loss.beta,
            Self::Sppo(loss) => &mut loss.beta,
            Self::Bco(loss) => &mut loss.beta,
            Self::ApoZero(loss) => &mut loss.beta,
            Self::ApoDown(loss) => &mut loss.beta,
            Self::Aot(loss) => &mut loss.beta,
            Self::Discopop(loss) => &mut loss.beta,
        }
    }
}

impl std::str::FromStr for PreferenceLoss {
    type Err = LossError;

    /// The loss of this name with its default options. Besides the names of [`DirectLoss::name`]
    /// there are `cdpo` (DPO with label smoothing 0.1) and TRL's `sigmoid`, `robust`, `hinge`.
    fn from_str(name: &str) -> Result<Self, LossError> {
        match name {
            "cdpo" => {
                return Ok(Self::Dpo(Dpo {
                    label_smoothing: 0.1,
                    ..Dpo::default()
                }));
            }
            "sigmoid" => return Ok(Self::default()),
            "robust" => return Ok(Self::Rdpo(RobustDpo::default())),
            "hinge" | "slic" => return Ok(Self::SlicHf(SlicHf::default())),
            _ => {}
        }
        let all = Self::all();
        all.iter()
            .find(|loss| loss.name() == name)
            .copied()
            .ok_or_else(|| LossError::UnknownName {
                name: name.to_owned(),
                known: all
                    .iter()
                    .map(|loss| loss.name())
                    .chain(["cdpo"])
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

impl DirectLoss for PreferenceLoss {
    fn name(&self) -> &'static str {
        each!(self, loss => DirectLoss::name(loss))
    }

    fn check(&self) -> Result<(), LossError> {
        each!(self, loss => DirectLoss::check(loss))
    }

    fn reference_need(&self) -> ReferenceNeed {
        each!(self, loss => DirectLoss::reference_need(loss))
    }

    fn across_pairs(&self) -> bool {
        each!(self, loss => DirectLoss::across_pairs(loss))
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        each!(self, loss => DirectLoss::forward(loss, logps))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        each!(self, loss => DirectLoss::implicit_rewards(loss, logps))
    }
}
