//! What the examples with run folders share: a configuration over another, the folder of a run.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use collimate::data::{DataError, Input};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::common::{DeviceName, Failure};

/// What every example with a run folder takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Seed of everything random [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    pub(crate) device: DeviceName,
    /// Keep only the inputs of a model's blocks from forward to backward and compute the rest again:
    /// less memory for long sequences and large models, one more forward pass of time, the same
    /// results
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Run folder; by default the first free one under runs/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder --out, with its options
    #[arg(long)]
    pub(crate) resume: bool,
    /// Options from a JSON file in the form that --print-config prints; what it leaves out has its
    /// default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the options as JSON and exit
    #[arg(long)]
    pub(crate) print_config: bool,
}

impl RunArgs {
    /// The run folder of the example `name`; a new run never goes into the folder of an old one.
    pub(crate) fn out(&self, name: &str) -> Result<PathBuf, Failure> {
        run_folder(self.out.as_deref(), self.resume, name)
    }

    /// The file with options: the one that was given, or that of the run to go on with.
    pub(crate) fn options_file(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        Ok(match &self.config {
            Some(path) => Some(path.clone()),
            None if self.resume => Some(self.out(name)?.join("config.json")),
            None => None,
        })
    }

    /// How a run in the folder `out` goes on after it was stopped.
    pub(crate) fn resume_command(&self, out: &Path) -> String {
        resume_command(out, self.device)
    }
}

/// Puts what was given over a default.
pub(crate) fn assign<T>(to: &mut T, from: Option<T>) {
    if let Some(value) = from {
        *to = value;
    }
}

/// Puts `over` on `base`, key by key.
pub(crate) fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        // The name alone of the enum value that is there already: it keeps its options.
        (Value::Object(base), Value::String(name))
            if base.len() == 1 && base.contains_key(&name) => {}
        (Value::Object(base), Value::Object(over)) if !is_other_variant(base, &over) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// A configuration file over defaults: it need not name every option. Which defaults may depend on what
/// the file says by itself.
pub(crate) fn read_config<C: Serialize + DeserializeOwned>(
    path: &Path,
    defaults: impl FnOnce(&C) -> C,
) -> Result<C, Failure> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = match Input::open(path).and_then(Input::into_text) {
        Ok(text) => text,
        Err(DataError::Missing { .. }) => {
            return Err(wrong(&"No such file: check the path").into());
        }
        Err(DataError::Empty { .. }) => return Err(wrong(&"is empty: give at least {}").into()),
        Err(error) => return Err(error.into()),
    };
    // Serde would take a list for a struct.
    if text.trim_start().starts_with('[') {
        let example = "as --print-config prints one";
        return Err(wrong(&format!(
            "not a JSON object: give {{\"option\": value}}, {example}"
        ))
        .into());
    }
    // For errors with line and column.
    let alone: C = serde_json::from_str(&text).map_err(|e| wrong(&with_advice(&e)))?;
    let mut merged = serde_json::to_value(defaults(&alone))?;
    overlay(&mut merged, serde_json::from_str(&text)?);
    Ok(serde_json::from_value(merged).map_err(|e| wrong(&e))?)
}

/// A name without the object of its options is what serde has no good words for.
fn with_advice(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let advice = match text.contains("invalid type: unit variant, expected") {
        true => ": this name has options: write {\"name\": {}} in place of \"name\"",
        false => "",
    };
    text + advice
}

/// The largest number of texts that an option may ask for.
pub(crate) const MOST_TEXTS: usize = 10_000_000;
/// The largest number of tokens of one text.
pub(crate) const MOST_TOKENS: usize = 1_000_000;

/// Refuses a count before anything of that size is made, and before arithmetic on it.
pub(crate) fn check_count(
    name: &str,
    value: usize,
    allowed: RangeInclusive<usize>,
) -> Result<(), Failure> {
    let (least, most) = (allowed.start(), allowed.end());
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is {value}: at least {least}, at most {most}").into()),
    }
}

/// Whether both are enum values, `{"variant": …}`, and differ.
fn is_other_variant(base: &Map<String, Value>, over: &Map<String, Value>) -> bool {
    base.len() == 1 && over.len() == 1 && base.keys().ne(over.keys())
}

/// The folder of a run of the example `name`; a new run never goes into the folder of an old one.
pub(crate) fn run_folder(out: Option<&Path>, resume: bool, name: &str) -> Result<PathBuf, Failure> {
    let default = Path::new("runs").join(name);
    if resume {
        let out = out.map_or(default, Path::to_path_buf);
        if !out.join("config.json").exists() {
            let out = out.display();
            return Err(format!(
                "--resume: {out} holds no run: name its folder by --out, or start without --resume"
            )
            .into());
        }
        return Ok(out);
    }
    match out {
        Some(out) if out.join("config.json").exists() => Err(format!(
            "{} holds a run: go on with it by --resume, or give another --out",
            out.display()
        )
        .into()),
        Some(out) if out.is_file() => {
            Err(format!("--out {}: is a file: name a folder", out.display()).into())
        }
        Some(out) => Ok(out.to_owned()),
        None => Ok((1..)
            .map(|n| match n {
                1 => default.clone(),
                n => PathBuf::from(format!("runs/{name}-{n}")),
            })
            .find(|path| !path.exists())
            .unwrap_or(default)),
    }
}

fn resume_command(out: &Path, device: DeviceName) -> String {
    let mut command = format!("--resume --out {}", out.display());
    if let Some(name) = device.to_possible_value()
        && device != DeviceName::Flex
    {
        command += &format!(" --device {}", name.get_name());
    }
    command
}
