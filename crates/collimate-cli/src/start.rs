//! A run of a command that begins or continues.

use std::path::PathBuf;

use collimate::data::TextTokenizer;
use collimate::prelude::Device;
use serde::Serialize;

use crate::common::Failure;
use crate::job::{Job, has_ended};
use crate::options::{Inputs, Layered, RunArgs};
use crate::preview::Preview;

/// A run with its options, its place and its device.
pub(crate) struct Start<'a, C> {
    pub(crate) config: &'a C,
    pub(crate) args: &'a RunArgs,
    pub(crate) device: &'a Device,
    pub(crate) out: PathBuf,
    /// Name of the command.
    pub(crate) command: &'static str,
    pub(crate) inputs: Inputs<'a>,
    /// Estimate of a run on the user's own data.
    preview: Option<Preview>,
}

impl<'a, C: Serialize> Start<'a, C> {
    /// Prepares the run of a command. Returns `None` if the run has already ended, and reports
    /// this.
    pub(crate) fn of<L: Layered<Config = C>>(
        config: &'a C,
        args: &'a RunArgs,
        device: &'a Device,
    ) -> Result<Option<Self>, Failure> {
        let out = args.out(L::NAME)?;
        if has_ended(&out, config)? {
            return Ok(None);
        }
        let start = Self {
            config,
            args,
            device,
            out,
            command: L::NAME,
            inputs: L::inputs(config),
            preview: L::preview(config),
        };
        if args.resume {
            start.find_inputs()?;
        }
        Ok(Some(start))
    }

    /// Refuses to continue in a folder other than the one that the run's paths are relative to.
    fn find_inputs(&self) -> Result<(), Failure> {
        let mut paths = self.inputs.files.iter().chain(&self.inputs.models);
        match paths.find(|path| path.is_relative() && !path.exists()) {
            None => Ok(()),
            Some(path) => Err(format!(
                "{}: {} does not exist: the paths are relative to the folder that the run was \
                 started in: resume the run there",
                self.out.join("config.json").display(),
                path.display()
            )
            .into()),
        }
    }

    /// Opens the run folder. If a run continues, data and models must be unchanged.
    pub(crate) fn open(&self, tokenizer: TextTokenizer, max_length: usize) -> Result<Job, Failure> {
        if let Some(preview) = &self.preview {
            preview.check_disk(&self.out)?;
        }
        Job::open(self, tokenizer, max_length)
    }
}
