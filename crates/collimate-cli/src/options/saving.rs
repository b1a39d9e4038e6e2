//! Options of how models are saved.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use collimate::files::atomic_write;
use collimate::nn::{SaveOptions, StoredType};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::Failure;

/// Heading of these options in the help.
const HEADING: &str = "Saved models";

/// Number types of saved weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dtype {
    /// 32 bits
    #[default]
    F32,
    /// 16 bits with the range of f32
    Bf16,
    /// 16 bits, more precise than bf16; values beyond 65504 are refused
    F16,
}

/// Forms of saved models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SaveAs {
    /// All weights, with adapters folded in
    #[default]
    Merged,
    /// An adapter folder of PEFT for the model of --model
    Adapter,
}

/// Number type and size of the files of saved models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Args)]
pub(crate) struct FileArgs {
    /// Number type of the weights in saved models
    #[arg(long, value_enum, default_value_t, help_heading = HEADING, hide_short_help = true)]
    dtype: Dtype,
    /// Largest size of a weight file, such as 5GB: larger models are saved as several files with an
    /// index; by default one file
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = HEADING)]
    #[arg(hide_short_help = true)]
    shard_size: Option<u64>,
}

impl FileArgs {
    /// Returns these options for a library call.
    pub(crate) fn options(&self) -> SaveOptions {
        SaveOptions {
            dtype: match self.dtype {
                Dtype::F32 => StoredType::F32,
                Dtype::Bf16 => StoredType::Bf16,
                Dtype::F16 => StoredType::F16,
            },
            shard_bytes: self.shard_size,
            ..SaveOptions::default()
        }
    }
}

/// How a run saves models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Args)]
pub(crate) struct SavingArgs {
    /// Form of saved models: all weights, or one adapter: the trained adapter with any adapter in
    /// --model (see --lora)
    #[arg(long, value_enum, default_value_t, help_heading = HEADING, hide_short_help = true)]
    pub(crate) save_as: SaveAs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

/// File of a run folder with these options, if they differ from the defaults.
const FILE: &str = "saving.json";

impl SavingArgs {
    /// Refuses adapters without a base model, or without adapters to train.
    pub(crate) fn check(&self, base: Option<&Path>, config: &Value) -> Result<(), Failure> {
        match (self.save_as, base) {
            (SaveAs::Merged, _) => Ok(()),
            (SaveAs::Adapter, None) => {
                Err("--save-as adapter needs a base model: give --model".into())
            }
            (SaveAs::Adapter, Some(_)) if !trains_adapters(config) => Err(
                "--save-as adapter: this run trains all weights: give --lora too, or leave --save-as \
                 out"
                    .into(),
            ),
            (SaveAs::Adapter, Some(_)) if self.files.shard_size.is_some() => {
                Err("--shard-size is for whole weights: an adapter is one file".into())
            }
            (SaveAs::Adapter, Some(_)) => Ok(()),
        }
    }

    /// Returns the options of the run in a folder. A run that continues keeps its options; a new run
    /// writes them.
    pub(crate) fn of_run(&self, run: &Path) -> Result<Self, Failure> {
        let path = run.join(FILE);
        let plain = *self == Self::default();
        let stored = match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Self>(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        match stored {
            Some(stored) if plain || stored == *self => Ok(stored),
            Some(stored) => Err(format!(
                "{}: this run already saves models with{}: leave out the options for saving",
                path.display(),
                stored.command_line()
            )
            .into()),
            None => {
                if !plain {
                    atomic_write(&path, serde_json::to_string(self)?.as_bytes())?;
                }
                Ok(self.clone())
            }
        }
    }

    /// Returns the options that differ from the defaults, for a command line.
    pub(crate) fn command_line(&self) -> String {
        let mut line = String::new();
        let mut add = |name: &str, value: &dyn ValueName| {
            if let Some(value) = value.name() {
                line += &format!(" --{name} {value}");
            }
        };
        add("save-as", &self.save_as);
        add("dtype", &self.files.dtype);
        if let Some(size) = self.files.shard_size {
            line += &format!(" --shard-size {size}");
        }
        line
    }
}

/// Returns the name of a value that is not the default.
trait ValueName {
    fn name(&self) -> Option<String>;
}

impl<V: ValueEnum + Default + PartialEq> ValueName for V {
    fn name(&self) -> Option<String> {
        let value = self.to_possible_value().filter(|_| *self != V::default());
        value.map(|value| value.get_name().to_owned())
    }
}

/// Returns true if a configuration chooses adapters for any training.
fn trains_adapters(config: &Value) -> bool {
    match config {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            name == "adaptation" && value.get("lora").is_some() || trains_adapters(value)
        }),
        Value::Array(items) => items.iter().any(trains_adapters),
        _ => false,
    }
}

/// Reads a size in bytes, such as 5GB or 500MiB.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match ByteSize::from_str(text) {
        Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
        _ => Err("not a size: write a number and a unit, such as 5GB or 500MB".to_owned()),
    }
}
