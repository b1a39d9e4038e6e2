//! Options of the commands that learn from the user's own files, or otherwise from the synthetic
//! world.

mod check;
pub(crate) mod defaults;
pub(crate) mod flags;
mod source;

use std::path::{Path, PathBuf};

use collimate::data::{ReadOptions, Truncation};
use collimate::lm::LlamaConfig;
use collimate::nn::{LoadOptions, Precision};
use collimate::prelude::Device;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;

pub(crate) use check::{check, check_inputs};

use crate::common::Failure;
use crate::loading::{self, SavedActivations};
use crate::options::Inputs;
use crate::preview::{Preview, RowsOf, Training};
use crate::rendering::Rendering;

/// Options that all of these commands share, as a configuration holds them.
#[derive(Debug, Clone)]
pub(crate) struct Own<'a> {
    pub(crate) data: &'a [PathBuf],
    /// Weights of the files in `data`, in the same order; empty if all are 1.
    pub(crate) data_weights: &'a [f64],
    pub(crate) test: &'a [PathBuf],
    pub(crate) model: Option<&'a PathBuf>,
    pub(crate) judge: Option<&'a PathBuf>,
    /// True if the configuration names a pooling.
    pub(crate) pooling: bool,
    /// True if the configuration names a label.
    pub(crate) label: bool,
    pub(crate) reading: ReadOptions,
    pub(crate) rendering: Rendering,
    pub(crate) seed: u64,
    pub(crate) max_length: usize,
    pub(crate) max_prompt_length: Option<usize>,
    pub(crate) truncation: Truncation,
    /// If true, low-rank adapters are trained instead of all weights.
    pub(crate) lora: bool,
    pub(crate) precision: Precision,
    pub(crate) saved_activations: SavedActivations,
    pub(crate) pretrain_texts: usize,
    pub(crate) pretrain: &'a TrainConfig,
    /// Fine-tuning of the synthetic world's decoder; `None` if it is the command's own training.
    pub(crate) sft: Option<&'a TrainConfig>,
    /// If true, each stage uses the run's seed, unless the configuration sets another seed for the
    /// stage.
    pub(crate) one_seed: bool,
    pub(crate) world: &'a WorldConfig,
    pub(crate) llama: &'a LlamaConfig,
}

/// Returns the [`Own`] of a configuration whose training, with this seed, is at `$training`.
macro_rules! own {
    ($config:expr, $training:expr, $seed:expr) => {
        $crate::own::Own {
            data: &$config.data,
            data_weights: &[],
            test: &[],
            model: $config.model.as_ref(),
            judge: None,
            pooling: false,
            label: false,
            reading: $crate::files::options($config.format, $config.on_bad_row, $config.hh_turns),
            rendering: $crate::rendering::rendering!($config),
            seed: $seed,
            max_length: $training.max_length,
            max_prompt_length: $training.max_prompt_length,
            truncation: $training.truncation,
            lora: matches!($training.adaptation, Adaptation::Lora(_)),
            precision: $config.precision,
            saved_activations: $config.saved_activations,
            pretrain_texts: $config.pretrain_texts,
            pretrain: &$config.pretrain,
            sft: None,
            one_seed: true,
            world: &$config.world,
            llama: &$config.llama,
        }
    };
}
pub(crate) use own;

/// A configuration with these options.
pub(crate) trait OnData {
    /// Returns these options.
    fn own(&self) -> Own<'_>;
}

impl<'a> Own<'a> {
    /// Returns the files and folders that a run reads.
    pub(crate) fn inputs(&self) -> Inputs<'a> {
        Inputs {
            files: self.data.iter().chain(self.test).collect(),
            models: self.model.into_iter().chain(self.judge).collect(),
        }
    }

    /// Returns the folder of the user's model.
    pub(crate) fn dir(&self) -> Result<&'a Path, Failure> {
        self.model
            .map(PathBuf::as_path)
            .ok_or_else(|| "no model folder".into())
    }

    /// Returns the options of loading the model: frozen matrices keep the folder's 16 bits.
    pub(crate) fn held<'d>(&self, device: &'d Device) -> LoadOptions<'d> {
        match self.lora {
            true => loading::frozen(device),
            false => device.into(),
        }
    }

    /// Returns the estimate of these trainings on the user's files; `None` for the synthetic world.
    pub(crate) fn preview(
        &self,
        rows: RowsOf,
        trainings: Vec<Training>,
        left_out: Option<&'static str>,
    ) -> Option<Preview> {
        Some(Preview {
            model: self.model?.clone(),
            writes: true,
            files: self.data.to_vec(),
            rows,
            reading: self.reading.clone(),
            rendering: self.rendering.clone(),
            max_length: self.max_length,
            max_prompt_length: self.max_prompt_length,
            truncation: self.truncation,
            lora: self.lora,
            saved_activations: self.saved_activations,
            trainings,
            models: 1,
            copies: 0,
            pool: None,
            left_out,
        })
    }
}
