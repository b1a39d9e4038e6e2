//! A generator in the role of a judge.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use collimate_core::{Generator, OptionError};

use crate::cache::Cache;
use crate::error::JudgeError;
use crate::options::JudgeOptions;

/// A judge: any [`Generator`] with options for its questions and an optional cache.
///
/// `P` is a pointer to the generator: `&model`, `Box<model>`, `Arc<dyn Generator>`.
///
/// The name identifies the generator in the cache. Two models must not share a name. A model whose
/// weights change must change its name, for example to that of its checkpoint.
#[derive(Clone)]
pub struct Judge<P> {
    name: String,
    generator: P,
    options: JudgeOptions,
    cache: Option<Arc<Cache>>,
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Makes a judge without a cache.
    ///
    /// # Errors
    /// [`JudgeError::Option`] for an empty name. Also as [`JudgeOptions::check`].
    pub fn new(
        name: impl Into<String>,
        generator: P,
        options: JudgeOptions,
    ) -> Result<Self, JudgeError> {
        let name = name.into();
        let holds = !name.is_empty();
        OptionError::check("name", "empty", "a name that tells judges apart", holds)?;
        options.check()?;
        Ok(Self {
            name,
            generator,
            options,
            cache: None,
        })
    }

    /// Returns the judge with a cache.
    #[must_use]
    pub fn with_cache(self, cache: Arc<Cache>) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// Returns the name of the judge.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the options of the judge.
    pub fn options(&self) -> &JudgeOptions {
        &self.options
    }

    pub(crate) fn generator(&self) -> &P::Target {
        &self.generator
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }
}

/// Formats the judge without the generator, which need not implement `Debug`.
impl<P> fmt::Debug for Judge<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("cache", &self.cache.as_ref().map(|cache| cache.path()))
            .finish_non_exhaustive()
    }
}
