//! The models and micro-batches that a run holds in memory at a time.

use std::path::{Path, PathBuf};

use collimate::burn::tensor::{FloatDType, Tensor};
use collimate::ops::{SavedType, is_fused};
use collimate::prelude::Device;

use super::memory::{Limit, Memory, Plan, fit};
use super::weights::Weights;
use super::{Preview, RowsOf};
use crate::common::Failure;
use crate::loading::{GenerationCache, GenerationWeights, SavedActivations};

/// The models and micro-batches that a run holds in memory at a time.
#[derive(Debug)]
pub(crate) struct Held {
    /// The model that is trained.
    pub(crate) model: PathBuf,
    /// If true, low-rank adapters are trained instead of all weights.
    pub(crate) lora: bool,
    /// If true, frozen matrices of 16 bits keep them.
    pub(crate) keeps_half: bool,
    pub(crate) saved_activations: SavedActivations,
    /// A second model that is trained in the same steps.
    pub(crate) critic: Option<PathBuf>,
    /// Number of further models of the same size that are not trained, such as a reference.
    pub(crate) copies: usize,
    /// Other models that are not trained.
    pub(crate) beside: Vec<Beside>,
    /// Largest micro-batch that the options ask for, in tokens.
    pub(crate) asked: usize,
    /// Longest example, in tokens.
    pub(crate) longest: usize,
    /// Answers that the model writes between its trainings, if it writes any.
    pub(crate) writing: Option<Writing>,
    /// Advice for a run whose weights, gradients and optimiser do not fit.
    pub(crate) advice: &'static str,
}

/// Advice for a run that could train adapters.
pub(crate) const TRAIN_ADAPTERS: &str = "train adapters (--lora)";

/// A model that is not trained.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) folder: PathBuf,
    /// If true, matrices of 16 bits keep them.
    pub(crate) keeps_half: bool,
}

/// Memory of writing answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    /// Number type of the copy of the weights.
    pub(crate) weights: GenerationWeights,
    /// Number type of the keys and values.
    pub(crate) cache: GenerationCache,
    /// Longest sequence, in tokens.
    pub(crate) max_length: usize,
}

/// Abilities of the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// True if the device holds matrices of 16 bits.
    pub(crate) half: bool,
    /// True if the device runs the fused operations, which decide what is saved.
    pub(crate) fused: bool,
}

impl Abilities {
    /// Returns the abilities of a device.
    pub(crate) fn of(device: &Device) -> Self {
        Self {
            half: device.supports_dtype(FloatDType::BF16),
            fused: is_fused(&Tensor::<1>::zeros([1], device)),
        }
    }
}

impl Held {
    /// Plans micro-batches that fit into the limit. Micro-batches are cut first. If even one example
    /// does not fit, blocks are computed again in the backward pass.
    ///
    /// # Errors
    /// The parts that cannot be cut need more than is free: weights, gradients, the optimiser, or
    /// the answers that are written.
    pub(crate) fn plan(
        &self,
        limit: Limit,
        recompute: bool,
        device: Abilities,
    ) -> Result<Plan, Failure> {
        // A model that cannot be read is reported when it is loaded.
        match self.sizes() {
            Ok(sizes) => {
                let memory = |recompute| self.of_sizes(&sizes, recompute, device);
                let tokens = [self.asked, self.longest];
                fit(memory, tokens, limit, recompute, self.advice)
            }
            Err(_) => Ok(Plan::unchanged(recompute)),
        }
    }

    /// Returns the memory of the run.
    ///
    /// # Errors
    /// A model that cannot be read.
    pub(super) fn memory(&self, recompute: bool, device: Abilities) -> Result<Memory, Failure> {
        Ok(self.of_sizes(&self.sizes()?, recompute, device))
    }

    fn sizes(&self) -> Result<Sizes, Failure> {
        let of = |path: &PathBuf| Weights::of(path);
        let beside = self.beside.iter();
        Ok(Sizes {
            model: of(&self.model)?,
            critic: self.critic.as_ref().map(of).transpose()?,
            beside: beside
                .map(|beside| Ok((of(&beside.folder)?, beside.keeps_half)))
                .collect::<Result<_, Failure>>()?,
        })
    }

    fn of_sizes(&self, sizes: &Sizes, recompute: bool, device: Abilities) -> Memory {
        let half = self.keeps_half && device.half;
        let of = |weights: &Weights| {
            let saved = match device.fused {
                true => {
                    let stays = self.lora && half && weights.has_half();
                    self.saved_activations.for_weights(stays)
                }
                false => SavedType::F32,
            };
            weights.memory(self.lora, recompute, half, saved)
        };
        let mut memory = of(&sizes.model);
        if let Some(critic) = &sizes.critic {
            let critic = of(critic);
            // With adapters, the critic shares its frozen weights with the model that it starts
            // from.
            memory.weights += if self.lora { 0.0 } else { critic.weights };
            memory.state += critic.state;
            memory.per_token += critic.per_token;
        }
        memory.weights += self.copies as f64 * sizes.model.held(false);
        let beside = sizes.beside.iter();
        memory.weights += beside
            .map(|(weights, keeps)| weights.held(*keeps && device.half))
            .sum::<f64>();
        memory.writing = self
            .writing
            .map_or(0.0, |writing| sizes.model.writing(writing, device.fused));
        memory
    }
}

/// Sizes of the models of a run.
struct Sizes {
    model: Weights,
    critic: Option<Weights>,
    beside: Vec<(Weights, bool)>,
}

impl Preview {
    /// Returns the models and micro-batches of the trainings.
    pub(crate) fn held(&self) -> Held {
        // Both answers of a pair follow one prompt.
        let answers = if self.rows == RowsOf::Pairs { 2 } else { 1 };
        let longest = self.max_length.saturating_mul(answers);
        let asked = self.trainings.iter().map(|training| {
            let train = &training.train;
            largest(train.batch_size, longest, train.micro_batch_tokens)
        });
        Held {
            model: self.model.clone(),
            lora: self.lora,
            keeps_half: self.lora,
            saved_activations: self.saved_activations,
            critic: None,
            // Frozen weights are shared with the start.
            copies: if self.lora { 0 } else { self.copies },
            beside: Vec::new(),
            asked: asked.max().unwrap_or(longest),
            longest,
            writing: None,
            advice: TRAIN_ADAPTERS,
        }
    }
}

/// Returns the largest micro-batch of a training, in tokens: the whole batch, or less if the options
/// cut it, but at least one example.
pub(crate) fn largest(batch: usize, longest: usize, most: Option<usize>) -> usize {
    let batch = batch.saturating_mul(longest);
    most.unwrap_or(batch).min(batch).max(longest)
}

/// Returns the number of parameters in the weight files of a model; `None` if they cannot be read.
pub(crate) fn parameters(model: &Path) -> Option<u64> {
    Weights::of(model).ok().map(|weights| weights.parameters)
}
