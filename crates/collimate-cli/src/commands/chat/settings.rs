//! Sampling options that can change within a conversation.

use std::str::FromStr;

use collimate::core::Sampling;

use crate::common::Failure;

/// A sampling option with its own command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Temperature,
    TopP,
    TopK,
    RepetitionPenalty,
    MaxNewTokens,
    Seed,
}

/// Every setting with the name of its command.
const ALL: [(&str, Setting); 6] = [
    ("temperature", Setting::Temperature),
    ("top-p", Setting::TopP),
    ("top-k", Setting::TopK),
    ("repetition-penalty", Setting::RepetitionPenalty),
    ("max-new-tokens", Setting::MaxNewTokens),
    ("seed", Setting::Seed),
];

impl Setting {
    /// Returns the setting of a command.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|(own, _)| *own == name);
        found.map(|(_, setting)| *setting)
    }

    /// Returns the sampling with another value for this setting, or an error if the value is not
    /// allowed.
    pub(super) fn change(self, sampling: &Sampling, value: &str) -> Result<Sampling, Failure> {
        let name = ALL.iter().find(|(_, own)| *own == self);
        let name = name.map_or("", |(name, _)| name);
        let mut changed = sampling.clone();
        let read = match self {
            Self::Temperature => put(value, &mut changed.temperature),
            Self::TopP => put(value, &mut changed.top_p),
            Self::TopK => put(value, &mut changed.top_k),
            Self::RepetitionPenalty => put(value, &mut changed.repetition_penalty),
            Self::MaxNewTokens => put(value, &mut changed.max_new_tokens),
            Self::Seed => put(value, &mut changed.seed),
        };
        if read.is_none() {
            let kind = match self {
                Self::Temperature | Self::TopP | Self::RepetitionPenalty => "a number",
                _ => "a whole number of at least 0",
            };
            return Err(format!("/{name} {value}: give {kind}").into());
        }
        changed.check().map_err(|error| {
            let text = super::super::generate::said(error, &[]).to_string();
            text.replacen("--", "/", 1)
        })?;
        Ok(changed)
    }
}

fn put<T: FromStr>(value: &str, to: &mut T) -> Option<()> {
    *to = value.parse().ok()?;
    Some(())
}

/// Returns the sampling options in one line.
pub(super) fn line(sampling: &Sampling) -> String {
    let stop = match sampling.stop.is_empty() {
        true => "none".to_owned(),
        false => format!("{:?}", sampling.stop),
    };
    format!(
        "temperature {}, top-p {}, top-k {}, repetition-penalty {}, max-new-tokens {}, \
         stop {stop}, seed {}",
        sampling.temperature,
        sampling.top_p,
        sampling.top_k,
        sampling.repetition_penalty,
        sampling.max_new_tokens,
        sampling.seed
    )
}
