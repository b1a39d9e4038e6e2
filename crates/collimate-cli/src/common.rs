//! Shared parts of the commands: devices, errors on one line, logging.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use collimate::files::UNFINISHED;
use collimate::lm::{Architecture, detect_architecture};
use collimate::prelude::Device;
use serde::de::DeserializeOwned;

/// The file that a run writes last.
pub(crate) const REPORT: &str = "report.md";

/// Any error of a command, shown on one line.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A stop that the user asked for. It is not an error, but the run has not ended either.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Interrupted(pub(crate) String);

/// An invalid command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Returns an error of the command line: the program ends with status 2.
pub(crate) fn usage(text: impl Into<String>) -> Failure {
    let text = text.into();
    let mark = if text.ends_with('?') { "" } else { ";" };
    Usage(format!("{text}{mark} see --help")).into()
}

/// Returns true for an error of the command line.
pub(crate) fn is_usage(error: &Failure) -> bool {
    error.is::<Usage>()
}

/// Returns the kind of model in the folder that `--model` names.
pub(crate) fn architecture(dir: &Path) -> Result<Architecture, Failure> {
    architecture_of("--model", dir)
}

/// Returns the kind of model in the folder that an option names.
pub(crate) fn architecture_of(option: &str, dir: &Path) -> Result<Architecture, Failure> {
    let name = dir.display();
    if dir
        .extension()
        .is_some_and(|ending| ending == "safetensors")
    {
        return Err(
            format!("{option} {name}: name the folder of the model, not a file in it").into(),
        );
    }
    if dir.is_file() {
        // A GGUF file; anything else is refused by its name.
        return Ok(detect_architecture(dir)?);
    }
    if !dir.is_dir() {
        return Err(format!(
            "{option} {name}: no such folder: name a folder with config.json, tokenizer.json and \
             model.safetensors, or a GGUF file"
        )
        .into());
    }
    if dir.join("journal.json").exists() {
        let found = models_of_run(dir);
        let advice = match found.is_empty() {
            true => "the run has no model yet: finish the run with --resume".to_owned(),
            false => format!("name a model in it: {}", found.join(", ")),
        };
        return Err(format!("{option} {name} is the folder of a run: {advice}").into());
    }
    Ok(detect_architecture(dir)?)
}

/// Refuses a folder, named by an option, that holds no language model.
pub(crate) fn check_writer(option: &str, dir: &Path) -> Result<(), Failure> {
    match architecture_of(option, dir)? {
        Architecture::Decoder => Ok(()),
        _ => Err(format!(
            "{option} {} holds no language model that writes: name a folder of a causal language \
             model",
            dir.display()
        )
        .into()),
    }
}

/// Returns true for a folder with a model or an adapter.
pub(crate) fn is_model(dir: &Path) -> bool {
    let has = |name: &str| dir.join(name).is_file();
    has("config.json") || has("adapter_config.json")
}

/// Lists the model folders of a run.
pub(crate) fn models_of_run(run: &Path) -> Vec<String> {
    let inner = std::fs::read_dir(run.join("models")).into_iter().flatten();
    let inner = inner.flatten().map(|entry| entry.path());
    let mut found: Vec<String> = [run.join("model")]
        .into_iter()
        .chain(inner)
        .filter(|path| is_model(path))
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    found
}

/// Refuses to replace a file that the command reads.
pub(crate) fn check_other(out: &Path, input: &Path) -> Result<(), Failure> {
    let same = out.canonicalize().ok().zip(input.canonicalize().ok());
    match same.is_some_and(|(out, input)| out == input) {
        true => Err(format!(
            "--out {} is also an input file: name another file",
            out.display()
        )
        .into()),
        false => Ok(()),
    }
}

/// Refuses an output file that cannot be written, before any work is done.
pub(crate) fn check_writable(out: &Path) -> Result<(), Failure> {
    let folder = out.parent().filter(|f| !f.as_os_str().is_empty());
    let problem = match folder {
        _ if out.is_dir() => "this is a folder: name a file in the folder".to_owned(),
        _ if out.exists() && !out.is_file() => "this is a device or a pipe: name a file".to_owned(),
        Some(folder) if !folder.is_dir() => "the folder of this file does not exist: create the \
                                             folder first"
            .to_owned(),
        folder => match try_folder(folder.unwrap_or(Path::new("."))) {
            Ok(()) => return Ok(()),
            Err(error) => format!("the folder of this file cannot be written: {error}"),
        },
    };
    Err(format!("--out {}: {problem}", out.display()).into())
}

/// Refuses a folder of results that cannot be created or written. Leaves nothing behind.
pub(crate) fn check_writable_folder(out: &Path) -> Result<(), Failure> {
    let there = out.ancestors().find(|path| path.is_dir());
    let nearest = there.unwrap_or(Path::new("."));
    try_folder(nearest).map_err(|error| {
        let shown = out.display();
        format!(
            "--out {shown}: {} cannot be written: {error}",
            nearest.display()
        )
        .into()
    })
}

/// Creates a file in a folder and removes it again. The next clean-up removes any file of this
/// name.
fn try_folder(folder: &Path) -> io::Result<()> {
    let process = std::process::id();
    let probe = folder.join(format!("{UNFINISHED}{process}-probe"));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)
}

/// Device that holds the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The fast CPU backend
    Flex,
    /// The plain CPU backend
    Ndarray,
    /// The first NVIDIA GPU (needs a build with `--features cuda`)
    Cuda,
    /// The GPU that Vulkan prefers (needs a build with `--features vulkan`)
    Vulkan,
    /// Apple's GPU (needs a build with `--features metal`)
    Metal,
    /// The GPU and the interface that wgpu prefers (needs a build with `--features wgpu`)
    Wgpu,
}

impl DeviceName {
    /// Opens the device; the error says how to get it.
    pub(crate) fn open(self) -> Result<Device, Failure> {
        self.built().ok_or_else(|| {
            let name = self.name();
            format!(
                "--device {name}: this program was built without {name}: build with --features \
                 {name}, or name another device"
            )
            .into()
        })
    }

    /// Returns the device, if this program was built with the feature of the same name.
    pub(crate) fn built(self) -> Option<Device> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Some(Device::flex()),
            // Deprecated upstream; kept because property tests compare the two CPU backends.
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)]
            Self::Ndarray => Some(Device::ndarray()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(Device::cuda(0)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(Device::vulkan(
                collimate::prelude::DeviceKind::DefaultDevice,
            )),
            #[cfg(feature = "metal")]
            Self::Metal => Some(Device::metal(collimate::prelude::DeviceKind::DefaultDevice)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(Device::wgpu(collimate::prelude::DeviceKind::DefaultDevice)),
            #[allow(unreachable_patterns)] // unless a feature is off
            _ => None,
        }
    }

    /// Returns the name, as `--device` takes it and as the feature is called.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Parses a value as serde spells it.
pub(crate) fn json_name<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// Writes to standard output. A reader that has closed its end (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_while_read(text).map(drop).map_err(Failure::from)
}

/// Writes to standard output. Breaks if the reader has closed its end (`| head`).
pub(crate) fn print_while_read(text: &str) -> io::Result<ControlFlow<()>> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("standard output: {error}"),
        )),
        Ok(()) => Ok(ControlFlow::Continue(())),
    }
}

/// Writes a line to standard error, and ignores a failure to write it.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns the exit status of a program that was asked to stop. A shell reports the same status for
/// a process that the signal ended.
fn stopped_status() -> u8 {
    match crate::runs::interrupt().signal() {
        Some(SIGTERM) => 143,
        _ => 130,
    }
}

/// Number of the signal that schedulers send to stop a program.
const SIGTERM: usize = 15;

/// Runs `main`. Turns an error into one line on standard error and an exit status other than 0.
pub(crate) fn exit(main: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    crate::allocator::keep_memory();
    // The commands themselves report what was read and dropped.
    let quiet = "warn,collimate_data=error,collimate_data::tokenize::template=warn";
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(quiet));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !plain)
        // Otherwise it reports a failed write on standard error, and panics if standard error is
        // full.
        .log_internal_errors(false)
        .without_time()
        .with_target(false)
        .init();
    match main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string().replace('\n', " ");
            if error.is::<Interrupted>() {
                tell(&text);
                return ExitCode::from(stopped_status());
            }
            tell(&format!("error: {text}"));
            match error.is::<Usage>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}
