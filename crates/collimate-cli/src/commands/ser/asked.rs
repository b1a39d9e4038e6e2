//! Language models that write answers or judgements for a run: a folder, or a server.

use std::path::Path;

use collimate::core::Generator;
use collimate::data::TextTokenizer;
use collimate::lm::{Llama, TextGenerator};
use collimate::nn::HfFolder;
use collimate::prelude::Device;
#[cfg(feature = "remote")]
use collimate::remote::{RemoteConfig, RemoteGenerator};
use collimate::run::hash_file;
use collimate::train::hash_json;

use super::config::Config;
use crate::commands::eval::watched::Source;
use crate::common::{Failure, check_writer, usage};
use crate::loading;
use crate::runs::model_files;

/// A model, as the options name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// Name of the flag, for messages.
    pub(super) flag: &'static str,
    /// Folder, or base URL of a server.
    pub(super) source: Option<&'a str>,
    /// Name of the model on the server.
    pub(super) model: Option<&'a str>,
    /// Name of the environment variable with the server's key.
    pub(super) key_env: Option<&'a str>,
}

impl Config {
    /// Returns the policy that answers prompts.
    pub(super) fn writer(&self) -> Named<'_> {
        Named {
            flag: "--policy",
            source: self.policy_source.as_deref(),
            model: self.policy_model.as_deref(),
            key_env: self.policy_key_env.as_deref(),
        }
    }

    /// Returns the judge that labels.
    pub(super) fn labeller(&self) -> Named<'_> {
        Named {
            flag: "--labelled-by",
            source: self.labelled_by.as_deref(),
            model: self.labelled_by_model.as_deref(),
            key_env: self.labelled_by_key_env.as_deref(),
        }
    }
}

impl Named<'_> {
    /// Refuses invalid names.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let flag = self.flag;
        let server = self.source.is_some_and(is_url);
        match self.source {
            Some(_) if server && self.model.is_none() => Err(usage(format!(
                "{flag} URL: name the server's model with {flag}-model NAME"
            ))),
            _ if !server && (self.model.is_some() || self.key_env.is_some()) => Err(usage(
                format!("{flag}-model and {flag}-key-env are for a server: give {flag} URL too"),
            )),
            Some(dir) if !server => check_writer(flag, dir.as_ref()),
            _ => Ok(()),
        }
    }

    /// Opens the model. Also returns a name that distinguishes it from other models.
    pub(super) fn open(
        &self,
        config: &Config,
        device: &Device,
    ) -> Result<Option<(Source, String)>, Failure> {
        let Some(name) = self.source else {
            return Ok(None);
        };
        if is_url(name) {
            let identity = format!("server {name} {}", self.model.unwrap_or_default());
            return Ok(Some((Source::Server(self.server(name)?), identity)));
        }
        let dir = Path::new(name);
        let files = model_files(dir);
        let hashes = files.iter().map(|path| hash_file(path));
        let hashes = hashes.collect::<Result<Vec<String>, _>>()?;
        let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
        let model = Llama::load(dir, loading::frozen(device))?;
        let generator = TextGenerator::new(model, tokenizer).with_eos_of(dir)?;
        let identity = format!("folder {}", hash_json(&(hashes, config.chat_fallback)));
        Ok(Some((Source::Folder(Box::new(generator)), identity)))
    }

    #[cfg(not(feature = "remote"))]
    fn server(&self, _: &str) -> Result<Box<dyn Generator>, Failure> {
        let flag = self.flag;
        Err(format!(
            "{flag} URL: this program was built without servers: build with --features remote"
        )
        .into())
    }

    #[cfg(feature = "remote")]
    fn server(&self, url: &str) -> Result<Box<dyn Generator>, Failure> {
        let config = RemoteConfig {
            base_url: url.to_owned(),
            model: self.model.unwrap_or_default().to_owned(),
            api_key_env: self.key_env.map(str::to_owned),
            ..RemoteConfig::default()
        };
        match RemoteGenerator::new(&config) {
            Ok(server) => Ok(Box::new(server)),
            Err(error) => Err(format!("{} {url}: {error}", self.flag).into()),
        }
    }
}

/// Returns true for the address of a server.
pub(super) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}
