//! Options of SeRA, direct alignment that reviews its own pairs.

use collimate_core::OptionError;
use collimate_data::Truncation;
use collimate_irm::{ImplicitReward, IrmConfig};
use collimate_losses::{Anchored, DirectLoss, Kto, PreferenceLoss, UnpairedLoss};
use collimate_train::{TrainConfig, TrainError};
use serde::{Deserialize, Serialize};

use super::anchors::{Anchors, CompareDevices};
use super::method::Method;
use crate::{Adaptation, RecipeError, ResponseSampling};

/// Rule that sets the number of optimiser steps of an iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Updates {
    /// As many steps as an iteration over all pairs has. Every method makes the same number of
    /// steps.
    #[default]
    Equal,
    /// As many steps as the iteration's own selection of pairs has, as in the paper. Use it for
    /// shares that add up to more than 1.
    OwnPairs,
}

/// Options of direct alignment that reviews its own pairs (SeRA,
/// <https://arxiv.org/abs/2410.09362>).
///
/// | field | default | allowed |
/// |---|---|---|
/// | `seed` | 0 | |
/// | `loss` | DPO | see [`PreferenceLoss`] |
/// | `methods` | base, iterative, sera | at least one, each at most once |
/// | `iterations` | 3 | 1 to 1000 |
/// | `updates` | `equal` | `equal`, `own_pairs` |
/// | `irm` | γ 0.3, K 0.7, K̃ 0.3, 4 responses | see [`IrmConfig`]; `log_ratio` means the mean log-probability with SimPO, the log-ratio per token with `dpo_norm`, and the log-ratio to the start model with other losses without a reference |
/// | `best_of` | 0, 0.3, 0.5, 0.7, 1 | shares K̃ that best-SeRA tries, at least 0 and at most half of `irm.responses`; 0 needs offline pairs |
/// | `nll_anchor` | 0 | at least 0; with a loss that has a reference |
/// | `anchors` | start weight 2, likelihood term | devices of the method `anchored`; see [`Anchors`] |
/// | `devices` | `off` | `off`, `every`, `first` |
/// | `kto` | β 0.1 | options of the method `kto`; see [`Kto`] |
/// | `responses` | temperature 0.7, top-p 0.95, 512 tokens | |
/// | `adaptation` | `full` | `full`, `lora` |
/// | `train` | 1 epoch, 16 pairs, lr 5e-6 linear | see [`TrainConfig`]; `stage`, `seed` and the number of steps are set by the recipe |
/// | `max_length` | 512 | at least 3 tokens |
/// | `max_prompt_length` | half of `max_length` | at least 1 token, less than `max_length` |
/// | `truncation` | `keep_end` | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SeraConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Direct alignment loss.
    pub loss: PreferenceLoss,
    /// Weight of a likelihood term on the chosen answers, added to the loss in every training, at
    /// least 0; 0 leaves the term out. The loss must compare with a reference.
    pub nll_anchor: f64,
    /// Methods to run, over the same pairs and from the same start model; at least one, each at
    /// most once.
    pub methods: Vec<Method>,
    /// Number of iterations of each method, 1 to 1000. Each iteration is one training; `base` and
    /// `kto` make one training as long as all iterations together. In most methods the first
    /// training sees all pairs.
    pub iterations: usize,
    /// Rule that sets the number of optimiser steps of an iteration.
    pub updates: Updates,
    /// Options of self-review: weights of the implicit reward margins, and shares of selected and
    /// own pairs.
    pub irm: IrmConfig,
    /// Shares of own pairs that the method `best_sera` tries, each at least 0 and at most half of
    /// `irm.responses`. With 0 the method may choose to use no own pairs; `irm.offline_share` must
    /// then be above 0. With `updates` = `equal` and shares that add up to more than 1, the steps
    /// see a random part of the pairs.
    pub best_of: Vec<f64>,
    /// Devices of the method `anchored`.
    pub anchors: Anchors,
    /// Reviews in which the anchor devices are compared: none (`off`), every review (`every`), or
    /// the first review (`first`), after which a method ends.
    pub devices: CompareDevices,
    /// Options of the loss of the method `kto`.
    pub kto: Kto,
    /// Options of sampling the policy's own responses.
    pub responses: ResponseSampling,
    /// Parameters that are trained.
    pub adaptation: Adaptation,
    /// Training options of every stage. `epochs` counts the passes of one iteration. The recipe
    /// sets `stage`, `seed` and the number of steps.
    pub train: TrainConfig,
    /// Longest sequence, in tokens, at least 3.
    pub max_length: usize,
    /// Number of tokens that a prompt keeps if prompt and answer together are longer than
    /// `max_length`, at least 1 and below `max_length`; null is half of `max_length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt_length: Option<usize>,
    /// Side of the prompt, start or end, that is cut if a sequence is too long.
    pub truncation: Truncation,
}

impl Default for SeraConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            loss: PreferenceLoss::default(),
            nll_anchor: 0.0,
            methods: vec![Method::Base, Method::Iterative, Method::Sera],
            iterations: 3,
            updates: Updates::default(),
            irm: IrmConfig::default(),
            best_of: vec![0.0, 0.3, 0.5, 0.7, 1.0],
            anchors: Anchors::default(),
            devices: CompareDevices::default(),
            kto: Kto::default(),
            responses: ResponseSampling::default(),
            adaptation: Adaptation::default(),
            train: TrainConfig {
                learning_rate: 5e-6,
                batch_size: 16,
                epochs: 1.0,
                keep_best: false,
                ..TrainConfig::default()
            },
            max_length: 512,
            max_prompt_length: None,
            truncation: Truncation::default(),
        }
    }
}

impl SeraConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option out of range.
    pub fn check(&self) -> Result<(), RecipeError> {
        if self.methods.is_empty() {
            return Err(OptionError::new("methods", "[]", "a list of at least one method").into());
        }
        if !(1..=1000).contains(&self.iterations) {
            return Err(OptionError::new("iterations", self.iterations, "1 to 1000").into());
        }
        if self.max_length < 3 {
            let allowed = "at least 3 tokens: BOS, one token, EOS";
            return Err(OptionError::new("max_length", self.max_length, allowed).into());
        }
        crate::lengths::check_prompt_length(self.max_prompt_length, self.max_length)?;
        if let Adaptation::Lora(lora) = &self.adaptation {
            lora.check()?;
        }
        let (loss, alpha) = (self.loss, self.nll_anchor);
        let anchored = Anchored { loss, alpha };
        anchored.check().map_err(TrainError::objective)?;
        self.anchors.check(self.loss)?;
        self.irm.check()?;
        let responses = self.responses.with(self.irm.responses, self.seed);
        responses.check()?;
        self.train.validate()?;
        for method in &self.methods {
            let (offline, own) = method.shares(&self.irm);
            if *method == Method::BestSera {
                continue;
            }
            if self.updates == Updates::Equal && offline + own > 1.0 + 1e-9 {
                let name = "irm.offline_share + irm.bootstrap_share";
                let allowed = "at most 1 with updates = equal, otherwise some pairs are never \
                               trained on: set updates = own_pairs";
                return Err(OptionError::new(name, offline + own, allowed).into());
            }
        }
        let mut methods = self.methods.clone();
        methods.sort_unstable();
        if let Some(twice) = methods.windows(2).find(|w| w[0] == w[1]) {
            return Err(OptionError::new(
                "methods",
                twice[0].name(),
                "a list that has each method once",
            )
            .into());
        }
        for (method, empty) in [
            (Method::SelectionOnly, self.irm.offline_share == 0.0),
            (Method::RandomSelection, self.irm.offline_share == 0.0),
            (Method::ReferenceSelection, self.irm.offline_share == 0.0),
            (Method::ScoreGapSelection, self.irm.offline_share == 0.0),
            (Method::Anchored, self.irm.bootstrap_share == 0.0),
            (Method::BootstrapOnly, self.irm.bootstrap_share == 0.0),
        ] {
            if empty && self.methods.contains(&method) {
                let share = "another method unless the method's share in irm is above 0";
                return Err(OptionError::new("methods", method.name(), share).into());
            }
        }
        if self.methods.contains(&Method::BestSera) {
            if self.best_of.is_empty() {
                return Err(
                    OptionError::new("best_of", "[]", "a list of at least one share").into(),
                );
            }
            for (index, &share) in self.best_of.iter().enumerate() {
                let most = self.irm.max_bootstrap_share();
                if !(share >= 0.0 && share <= most) {
                    let allowed = format!(
                        "at least 0, at most {most}, because the responses to a prompt make no \
                         more pairs (half of irm.responses)"
                    );
                    return Err(OptionError::new("best_of", share, &allowed).into());
                }
                if share == 0.0 && self.irm.offline_share == 0.0 {
                    let allowed = "above 0 with irm.offline_share = 0, otherwise no pair is left";
                    return Err(OptionError::new("best_of", share, allowed).into());
                }
                if self.best_of[..index].contains(&share) {
                    return Err(OptionError::new(
                        "best_of",
                        share,
                        "a list that has each share once",
                    )
                    .into());
                }
            }
        }
        if self.methods.contains(&Method::Kto) {
            self.kto.check().map_err(TrainError::objective)?;
            if let Some(every) = self.train.eval_every {
                let allowed = "null with the method kto, which has no held-out evaluation";
                return Err(OptionError::new("train.eval_every", every, allowed).into());
            }
        }
        Ok(())
    }

    /// Returns the name of a method in reports and folders.
    pub fn title(&self, method: Method) -> String {
        method.title(self.loss.name())
    }

    /// Returns the devices of a method.
    pub(crate) fn anchors_of(&self, method: Method) -> Anchors {
        match method {
            Method::Anchored => Anchors {
                nll_anchor: Some(self.anchors.alpha(&self.loss, self.nll_anchor)),
                ..self.anchors
            },
            _ => Anchors {
                nll_anchor: Some(self.nll_anchor),
                ..Anchors::OFF
            },
        }
    }

    /// Returns the implicit reward of the method's loss, unless the options choose another one.
    pub(crate) fn implicit_reward(&self, method: Method) -> ImplicitReward {
        match (self.loss, self.irm.implicit_reward) {
            (_, chosen) if method == Method::Kto => chosen,
            (PreferenceLoss::Simpo(_), ImplicitReward::LogRatio) => ImplicitReward::MeanLogp,
            (PreferenceLoss::DpoNorm(_), ImplicitReward::LogRatio) => {
                ImplicitReward::LengthNormalizedLogRatio
            }
            (_, chosen) => chosen,
        }
    }
}
