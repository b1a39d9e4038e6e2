//! Options of how models are saved.

use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use collimate::nn::{SaveOptions, StoredType};

use crate::common::Failure;

/// Heading of these options in the help.
const HEADING: &str = "Saved models";

/// Number types of saved weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits, as in memory
    #[default]
    F32,
    /// 16 bits with the range of f32
    Bf16,
    /// 16 bits with more precision and a small range
    F16,
}

/// Forms of saved models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SaveAs {
    /// All weights, with adapters folded in
    #[default]
    Merged,
    /// An adapter folder of PEFT for the model of --model
    Adapter,
}

/// Number type and size of the files of saved models.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FileArgs {
    /// Number type of the weights in saved models
    #[arg(long, value_enum, default_value_t, help_heading = HEADING)]
    dtype: Dtype,
    /// Largest size of a weight file, such as 5GB: larger models are saved as several files with an
    /// index; by default one file
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = HEADING)]
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
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SavingArgs {
    /// Form of saved models: all weights, or only what --lora has trained
    #[arg(long, value_enum, default_value_t, help_heading = HEADING)]
    pub(crate) save_as: SaveAs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

impl SavingArgs {
    /// Refuses adapters without a base model.
    pub(crate) fn check(&self, base: Option<&Path>) -> Result<(), Failure> {
        match (self.save_as, base) {
            (SaveAs::Adapter, None) => {
                Err("--save-as adapter needs the folder of a base model: give --model".into())
            }
            _ => Ok(()),
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

/// Reads a size in bytes, such as 5GB or 500MiB.
fn size(text: &str) -> Result<u64, String> {
    match ByteSize::from_str(text) {
        Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
        _ => Err("not a size: write a number and a unit, such as 5GB or 500MB".to_owned()),
    }
}
