//! Options of every command with a run folder.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::Args;
use collimate::run::RunFolder;

use super::saving::{SavingArgs, size};
use crate::common::{self, DeviceName, Failure};

/// Options of every command with a run folder.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    pub(crate) device: DeviceName,
    /// Keep only the inputs of a model's blocks for the backward pass and recompute the rest: saves
    /// memory for long sequences and large models, costs one more forward pass, and gives the same
    /// results
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Memory that a training on your own data may take, such as 8GB: micro-batches are cut to fit,
    /// and blocks are computed again in the backward pass if even one example does not fit
    /// [default: three quarters of the free memory]
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    pub(crate) memory_limit: Option<u64>,
    /// Run folder; by default the first free folder under runs/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in the folder --out, with its options
    #[arg(long)]
    pub(crate) resume: bool,
    /// Read options from a YAML, TOML or JSON file in the form that `collimate config print`
    /// prints; options missing from the file keep their defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any option by its path; takes precedence over the file and the flags; may be given
    /// several times
    #[arg(long, value_name = "OPTION=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print rows, tokens, steps, and the expected memory and time, and exit before the model is
    /// loaded
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the options as JSON and exit
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Split of the training data, such as train, if --data names the folder of a data set or a data
    /// set on a hub
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(crate) split: Option<String>,
    #[command(flatten)]
    pub(crate) saving: SavingArgs,
}

impl RunArgs {
    /// Returns the run folder of the command `name`. A new run never uses the folder of an old one.
    pub(crate) fn out(&self, name: &str) -> Result<PathBuf, Failure> {
        run_folder(self.out.as_deref(), self.resume, name)
    }

    /// Returns the file with options: the given file, or the file of the run to continue.
    pub(crate) fn options_file(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        Ok(match &self.config {
            Some(path) => Some(path.clone()),
            None if self.resume => Some(self.out(name)?.join("config.json")),
            None => None,
        })
    }

    /// Returns the options that continue a stopped run in the folder `out`.
    pub(crate) fn resume_command(&self, out: &Path) -> String {
        resume_command(out, self.device) + &self.saving.command_line()
    }
}

/// Largest number of texts that an option may ask for.
pub(crate) const MOST_TEXTS: usize = 10_000_000;
/// Largest number of tokens of a text.
pub(crate) const MOST_TOKENS: usize = 1_000_000;

/// Refuses a count out of range, before anything of that size is allocated or used in arithmetic.
pub(crate) fn check_count(
    name: &str,
    value: usize,
    allowed: RangeInclusive<usize>,
) -> Result<(), Failure> {
    let (least, most) = (allowed.start(), allowed.end());
    match allowed.contains(&value) {
        true => Ok(()),
        false => {
            Err(format!("{name} is {value} but must be at least {least}, at most {most}").into())
        }
    }
}

/// Returns the folder of a run of the command `name`. A new run never uses the folder of an old
/// one.
pub(crate) fn run_folder(out: Option<&Path>, resume: bool, name: &str) -> Result<PathBuf, Failure> {
    let default = Path::new("runs").join(name);
    if resume {
        let out = out.map_or(default, Path::to_path_buf);
        if !out.join("config.json").exists() {
            let out = out.display();
            return Err(format!(
                "--resume: {out} holds no run: name the folder of the run with --out, or start \
                 without --resume"
            )
            .into());
        }
        return Ok(out);
    }
    match out {
        Some(out) if out.join("config.json").exists() && !is_free(out)? => Err(format!(
            "{} holds a run: continue the run with --resume, or give another --out",
            out.display()
        )
        .into()),
        Some(out) if out.is_file() => {
            Err(format!("--out {} is a file: name a folder", out.display()).into())
        }
        Some(out) => Ok(out.to_owned()),
        None => {
            let numbered = (1..).map(|n| match n {
                1 => default.clone(),
                n => PathBuf::from(format!("runs/{name}-{n}")),
            });
            for path in numbered {
                if !path.exists() || is_free(&path)? {
                    return Ok(path);
                }
            }
            Ok(default)
        }
    }
}

/// Returns true if a new run can use the folder. A run that ended before its first step is removed.
fn is_free(path: &Path) -> Result<bool, Failure> {
    let holds = path.join("config.json").exists();
    let free = RunFolder::clear_unstarted(path)?;
    if free && holds {
        common::tell(&format!(
            "{}: the earlier run ended before its first step, so this run replaces it",
            path.display()
        ));
    }
    Ok(free)
}

fn resume_command(out: &Path, device: DeviceName) -> String {
    let mut command = format!("--resume --out {}", out.display());
    if device != DeviceName::Flex {
        command += &format!(" --device {}", device.name());
    }
    command
}
