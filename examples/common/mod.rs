//! What the examples share: devices, errors on one line, logging.

use std::process::ExitCode;

use clap::ValueEnum;
use collimate::prelude::Device;

/// Anything that can go wrong, shown on one line.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The fast CPU backend
    Flex,
    /// The plain CPU backend
    Ndarray,
    /// The first NVIDIA GPU (needs a build with `--features cuda`)
    Cuda,
}

impl DeviceName {
    /// The device, or what to do to get it.
    pub(crate) fn open(self) -> Result<Device, Failure> {
        match self {
            Self::Flex => Ok(Device::flex()),
            // Deprecated upstream; kept because property tests compare the two CPU backends.
            #[allow(deprecated)]
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err("--device cuda: this program was built without CUDA; \
                               build it with --features cuda, or use --device flex"
                .into()),
        }
    }
}

/// Runs `main` and turns an error into one line on standard error and a status other than 0.
pub(crate) fn exit(main: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    match main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string().replace('\n', " ");
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}
