//! Flags, which are short names of options.

use std::fmt;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::Value;

use super::docs::Docs;
use super::layers::Given;
use crate::common::{Failure, usage};

/// Function that changes the options for a flag. It gets the value of the flag as text.
type Apply<C> = fn(&mut C, &str, &Given) -> Result<(), Failure>;

/// A short name of an option, or of a change to several options.
pub(crate) struct Flag<C> {
    pub(crate) name: &'static str,
    /// Paths of the options that the flag sets. The first path describes the flag.
    pub(crate) paths: &'static [&'static str],
    /// Name of the value in the help; `None` for a switch.
    value: Option<&'static str>,
    help: Option<&'static str>,
    conflicts: Option<&'static str>,
    heading: Option<&'static str>,
    rare: bool,
    apply: Option<Apply<C>>,
}

impl<C> fmt::Debug for Flag<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}

impl<C> Flag<C> {
    /// Creates a flag whose value is stored in the options unchanged.
    pub(crate) fn of(
        name: &'static str,
        value: &'static str,
        paths: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            paths,
            value: Some(value),
            help: None,
            conflicts: None,
            heading: None,
            rare: false,
            apply: None,
        }
    }

    /// Creates a flag that changes options by a function, which `help` describes.
    pub(crate) fn change(
        name: &'static str,
        value: &'static str,
        paths: &'static [&'static str],
        help: &'static str,
        apply: Apply<C>,
    ) -> Self {
        Self {
            help: Some(help),
            apply: Some(apply),
            ..Self::of(name, value, paths)
        }
    }

    /// Creates a flag without a value.
    pub(crate) fn switch(
        name: &'static str,
        paths: &'static [&'static str],
        help: &'static str,
        apply: Apply<C>,
    ) -> Self {
        Self {
            value: None,
            ..Self::change(name, "", paths, help, apply)
        }
    }

    /// Makes the flag exclude another one.
    pub(crate) fn conflicts(self, other: &'static str) -> Self {
        Self {
            conflicts: Some(other),
            ..self
        }
    }

    /// Hides the flag from `-h`; `--help` still shows it.
    pub(crate) fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    /// Puts the flag under a heading of the help.
    pub(crate) fn under(self, heading: &'static str) -> Self {
        Self {
            heading: Some(heading),
            ..self
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.apply.is_none()
    }

    /// Returns the argument for the command-line parser.
    pub(crate) fn arg(&self, docs: &Docs) -> Arg {
        let mut arg = Arg::new(self.name)
            .long(self.name)
            .hide_short_help(self.rare);
        arg = match self.value {
            Some(value) => arg.value_name(value).action(ArgAction::Append),
            None => arg.action(ArgAction::SetTrue),
        };
        if let Some(heading) = self.heading {
            arg = arg.help_heading(heading);
        }
        if let Some(other) = self.conflicts {
            arg = arg.conflicts_with(other);
        }
        let path = self.paths.first().copied().unwrap_or_default();
        if self.is_plain() {
            if docs.is_list(path) {
                arg = arg.value_delimiter(',');
            }
            let names = docs.names(path);
            if !names.is_empty() {
                let names = names.into_iter().map(|(name, about)| {
                    let value = PossibleValue::new(name);
                    match about {
                        Some(about) => value.help(about),
                        None => value,
                    }
                });
                arg = arg.value_parser(PossibleValuesParser::new(names));
            }
        }
        let about = self.help.map(str::to_owned).or_else(|| docs.about(path));
        let default = docs.default_text(path).filter(|_| self.is_plain());
        let default = default.map(|text| format!(" [default: {text}]"));
        arg.help(about.unwrap_or_default() + &default.unwrap_or_default())
    }

    /// Returns the texts given for the flag. A switch that is given has one empty text.
    pub(crate) fn typed(&self, found: &ArgMatches) -> Vec<String> {
        if self.value.is_none() {
            return match found.get_flag(self.name) {
                true => vec![String::new()],
                false => Vec::new(),
            };
        }
        let all = found.get_many::<String>(self.name);
        all.map_or_else(Vec::new, |all| all.cloned().collect())
    }

    /// Returns the value of a plain flag.
    pub(crate) fn value(&self, typed: &[String], docs: &Docs) -> Result<Value, String> {
        let path = self.paths[0];
        if docs.is_list(path) {
            let texts = typed.iter().map(|text| Value::String(text.clone()));
            return Ok(Value::Array(texts.collect()));
        }
        let [text] = typed else {
            return Err(format!("--{}: give the option only once", self.name));
        };
        let value = docs.value(path, text);
        value.map_err(|error| format!("--{} {text}: {error}", self.name))
    }

    /// Changes the configuration as the flag says.
    pub(crate) fn apply(
        &self,
        config: &mut C,
        typed: &[String],
        given: &Given,
    ) -> Result<(), Failure> {
        let Some(apply) = self.apply else {
            return Ok(());
        };
        let [text] = typed else {
            return Err(usage(format!("--{}: give the option only once", self.name)));
        };
        apply(config, text, given).map_err(|error| {
            let flag = format!("--{} {text}", self.name);
            usage(format!("{}: {error}", flag.trim_end()))
        })
    }
}
