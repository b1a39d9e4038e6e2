//! Options in layers: defaults, a configuration file, flags, `--set`.
//!
//! Every option is a field of a command's configuration. The field alone declares the option: its
//! name, type, default and description. A flag is a short name for such a field ([`flag`]). The
//! command-line help, `config print` and the JSON schema read the description ([`docs`]).

mod docs;
mod file;
mod flag;
mod layers;
mod print;
mod ranges;
mod run;
mod saving;

use std::path::PathBuf;

use clap::{ArgMatches, FromArgMatches};
use collimate::data::TextTokenizer;
use collimate::prelude::Device;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use docs::Docs;
pub(crate) use file::read as read_file;
pub(crate) use flag::Flag;
pub(crate) use layers::{Given, Layers, Source, assignment};
pub(crate) use run::{MOST_TEXTS, MOST_TOKENS, RunArgs, check_count};
pub(crate) use saving::{FileArgs, SaveAs, SavingArgs};

use crate::commands::Syntax;
use crate::common::{DeviceName, Failure, usage};
use crate::names;
use crate::preview::{Abilities, Held, Limit, Preview, cap_micro_batches};
use crate::start::Start;
use print::yaml;

/// A command with layered options.
pub(crate) trait Layered: 'static {
    /// Options that determine the result of a run.
    type Config: Default + Serialize + DeserializeOwned + JsonSchema;

    /// Name of the run folder under `runs/`.
    const NAME: &'static str;

    /// The option that makes a run use the user's own data or model. Without this option, a run
    /// uses the synthetic world.
    const OWN: &'static str;

    /// Further options that make a run use the user's own data.
    const ALSO_OWN: &'static [&'static str] = &[];

    /// Returns the defaults for the synthetic world.
    ///
    /// # Errors
    /// If defaults contradict each other, which is a fault of the program.
    fn for_world() -> Result<Self::Config, Failure>;

    /// Returns the defaults for the user's own data (`own`), or for the synthetic world.
    ///
    /// # Errors
    /// As [`for_world`](Self::for_world).
    fn defaults(own: bool) -> Result<Self::Config, Failure> {
        match own {
            true => Ok(Self::Config::default()),
            false => Self::for_world(),
        }
    }

    /// Returns the short names of options.
    fn flags() -> Vec<Flag<Self::Config>>;

    /// Sets the options that follow from others, and checks the whole configuration.
    fn settle(config: &mut Self::Config, given: &Given) -> Result<(), Failure>;

    /// True if `--dry-run` estimates a run. A command that learns from texts that it writes has no
    /// estimate.
    const ESTIMATES: bool = true;

    /// Returns the rows, trainings and sizes that `--dry-run` estimates; `None` for the synthetic
    /// world.
    fn preview(_: &Self::Config) -> Option<Preview> {
        None
    }

    /// Returns the models and micro-batches that a run holds in memory; `None` for the synthetic
    /// world.
    fn held(config: &Self::Config) -> Option<Held> {
        let preview = Self::preview(config)?;
        (!preview.trainings.is_empty()).then(|| preview.held())
    }

    /// Refuses rows that the run itself would refuse, for `--dry-run`.
    ///
    /// # Errors
    /// The error of the run.
    fn check_rows(_: &Self::Config, _: &TextTokenizer) -> Result<(), Failure> {
        Ok(())
    }

    /// The files and folders that a run reads.
    fn inputs(config: &Self::Config) -> Inputs<'_>;

    /// Runs the command.
    fn run(start: &Start<'_, Self::Config>) -> Result<(), Failure>;
}

/// The files and folders that a run reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs<'a> {
    /// Data files.
    pub(crate) files: Vec<&'a PathBuf>,
    /// Model folders.
    pub(crate) models: Vec<&'a PathBuf>,
}

/// The arguments of a layered command, as they were typed.
#[derive(Debug)]
pub(crate) struct Options<L> {
    pub(crate) run: RunArgs,
    /// Values of the flags, in the order of [`Layered::flags`].
    typed: Vec<Vec<String>>,
    command: std::marker::PhantomData<fn() -> L>,
}

impl<L: Layered> clap::Args for Options<L> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let docs = Docs::of::<L>();
        let flags = L::flags();
        let command = flags.iter().fold(command, |c, flag| c.arg(flag.arg(&docs)));
        let command = RunArgs::augment_args(command);
        command.mut_arg("dry_run", |flag| flag.hide(!L::ESTIMATES))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<L: Layered> FromArgMatches for Options<L> {
    fn from_arg_matches(found: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            typed: L::flags().iter().map(|flag| flag.typed(found)).collect(),
            run: RunArgs::from_arg_matches(found)?,
            command: std::marker::PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, found: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(found)?;
        Ok(())
    }
}

impl<L: Layered> Options<L> {
    /// Runs the command.
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let (config, given) = self.config(!self.run.print_config)?;
        let value = serde_json::to_value(&config)?;
        let own = is_about_own::<L>(&value);
        if self.run.print_config {
            if !own {
                crate::common::tell(&format!(
                    "these are the options for the synthetic world; to see the options for your \
                     own data, give --{} too",
                    L::OWN
                ));
            }
            return crate::common::print(&(serde_json::to_string_pretty(&config)? + "\n"));
        }
        let base = L::inputs(&config).models.first().map(|path| path.as_path());
        self.run.saving.check(base, &value)?;
        let device = self.run.device.open()?;
        if self.run.dry_run && !L::ESTIMATES {
            return Err(
                "--dry-run cannot estimate this command, which learns from texts that the model \
                 writes"
                    .into(),
            );
        }
        let (config, run) = self.planned(config, &given, &device)?;
        if run.dry_run {
            return match L::preview(&config) {
                Some(preview) => {
                    L::check_rows(&config, &preview.tokenizer()?)?;
                    preview.print(&device, run.gradient_checkpointing)
                }
                None => Err(usage(format!(
                    "--dry-run estimates only runs on your own data: give --{} too",
                    L::OWN
                ))),
            };
        }
        match Start::of::<L>(&config, &run, &device)? {
            Some(start) => L::run(&start),
            None => Ok(()),
        }
    }

    /// Cuts micro-batches and switches recomputation on, so that the run fits into the memory. A run
    /// that continues keeps its micro-batches, because they decide the last bits of its results.
    /// The memory of a GPU is not known, so a training there is planned only for a given limit.
    fn planned(
        &self,
        config: L::Config,
        given: &Given,
        device: &Device,
    ) -> Result<(L::Config, RunArgs), Failure> {
        let mut run = self.run.clone();
        let Some(held) = L::held(&config) else {
            return match run.memory_limit {
                Some(_) => Err(usage(format!(
                    "--memory-limit is for trainings on your own data: give --{} too",
                    L::OWN
                ))),
                None => Ok((config, run)),
            };
        };
        let on_host = matches!(run.device, DeviceName::Flex | DeviceName::Ndarray);
        if !on_host && run.memory_limit.is_none() {
            return Ok((config, run));
        }
        let limit = Limit::new(run.memory_limit);
        let abilities = Abilities::of(device);
        let plan = match held.plan(limit, run.gradient_checkpointing, abilities) {
            Ok(plan) => plan,
            // An estimate is asked for, or the run has begun already.
            Err(error) if run.dry_run || run.resume => {
                crate::common::tell(&format!("warning: {error}"));
                return Ok((config, run));
            }
            Err(error) => return Err(error),
        };
        run.gradient_checkpointing = plan.recompute;
        let Some(tokens) = plan.tokens.filter(|_| !run.resume) else {
            return Ok((config, run));
        };
        crate::common::tell(&plan.told);
        let mut value = serde_json::to_value(&config)?;
        cap_micro_batches(&mut value, tokens, &|path| given.typed(path));
        Ok((serde_json::from_value(value)?, run))
    }

    /// Returns the options as a configuration file.
    ///
    /// If `own` is true, these are the defaults for the user's own data, although no data is named
    /// yet.
    pub(crate) fn printed(&self, syntax: Syntax, own: bool) -> Result<String, Failure> {
        let config = match own {
            true => serde_json::to_value(self.merged(Some(true))?.0)?,
            false => serde_json::to_value(self.config(false)?.0)?,
        };
        if !own && !is_about_own::<L>(&config) {
            crate::common::tell(&format!(
                "these are the options for the synthetic world; `collimate config print --own {}` \
                 prints the options for your own data and models",
                L::NAME.replace('_', "-")
            ));
        }
        Ok(match syntax {
            Syntax::Yaml => yaml(&config, &Docs::of::<L>()),
            Syntax::Json => serde_json::to_string_pretty(&config)? + "\n",
        })
    }

    /// Returns the JSON schema of the options.
    pub(crate) fn schema(&self) -> Result<String, Failure> {
        let schema = ranges::with_ranges::<L>(&Docs::of::<L>());
        Ok(serde_json::to_string_pretty(&schema)? + "\n")
    }

    /// Returns the merged and checked options. If `fetch` is true, names on a hub become folders.
    fn config(&self, fetch: bool) -> Result<(L::Config, Given), Failure> {
        let (mut config, given) = self.merged(None)?;
        if fetch {
            let mut value = serde_json::to_value(&config)?;
            names::resolve(&mut value, self.run.split.as_deref())?;
            config = serde_json::from_value(value)?;
        }
        match L::settle(&mut config, &given) {
            Ok(()) => Ok((config, given)),
            Err(error) => Err(given.explain(error)),
        }
    }

    /// Returns the merged options. `own` selects the defaults; if it is `None`, the options
    /// themselves do.
    fn merged(&self, own: Option<bool>) -> Result<(L::Config, Given), Failure> {
        let file = match self.run.options_file(L::NAME)? {
            Some(path) => Some((file::read::<L::Config>(&path, L::NAME)?, Source::File(path))),
            None => None,
        };
        let docs = Docs::of::<L>();
        let flags = L::flags();
        let typed = || {
            let given = flags.iter().zip(&self.typed);
            given.filter(|(_, typed)| !typed.is_empty())
        };
        let mut plain = Vec::new();
        for (flag, typed) in typed().filter(|(flag, _)| flag.is_plain()) {
            let value = flag.value(typed, &docs).map_err(usage)?;
            plain.push((flag, value, Source::flag(flag.name, typed)));
        }
        let sets = self
            .run
            .set
            .iter()
            .map(|text| layers::assignment(text, &docs));
        let sets = sets.collect::<Result<Vec<_>, _>>().map_err(usage)?;

        let own = own.unwrap_or(false)
            || file.iter().any(|(value, _)| is_about_own::<L>(value))
            || plain
                .iter()
                .any(|(flag, _, _)| makes_own::<L>(flag.paths[0]))
            || sets
                .iter()
                .any(|set| makes_own::<L>(&set.path) && is_own(&set.value));

        let mut layers = Layers::new(serde_json::to_value(L::defaults(own)?)?);
        if let Some((value, source)) = file {
            layers.put("", value, &source);
        }
        for (flag, value, source) in plain {
            for path in flag.paths {
                layers.put(path, value.clone(), &source);
            }
        }
        let mut config: L::Config = layers.read()?;
        for (flag, typed) in typed().filter(|(flag, _)| !flag.is_plain()) {
            flag.apply(&mut config, typed, layers.given())?;
            layers.mark(flag.paths, &Source::flag(flag.name, typed));
        }
        if !sets.is_empty() {
            layers.replace(serde_json::to_value(&config)?);
            for set in sets {
                layers.check_variant(&set.path, &set.text)?;
                layers.put(&set.path, set.value, &Source::Set(set.text));
            }
            config = layers.read()?;
        }
        Ok((config, layers.into_given()))
    }
}

/// Returns true if the option makes a run use the user's own data or model.
fn makes_own<L: Layered>(path: &str) -> bool {
    path == L::OWN || L::ALSO_OWN.contains(&path)
}

/// Returns true if a configuration names the user's own data or model.
fn is_about_own<L: Layered>(config: &Value) -> bool {
    let mut names = L::ALSO_OWN.iter().chain([&L::OWN]);
    names.any(|name| config.get(*name).is_some_and(is_own))
}

/// Returns true if the value of such an option is not empty.
fn is_own(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
}
