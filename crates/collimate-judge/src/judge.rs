//! A generator that judges.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use collimate_core::{Generator, OptionError};

use crate::cache::Cache;
use crate::error::JudgeError;
use crate::options::JudgeOptions;

/// A judge: any [`Generator`], how it is asked, and what it has said before.
///
/// `P` is how the generator is held: `&model`, `Box<model>`, `Arc<dyn Generator>`.
///
/// The name stands for the generator in the cache: two models must not share one, and a model
/// whose weights change must change its name (its checkpoint, say).
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
    /// A judge without a cache.
    ///
    /// # Errors
    /// [`JudgeError::Option`] for an empty name and as [`JudgeOptions::check`].
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

    /// The same judge with a cache.
    #[must_use]
    pub fn with_cache(self, cache: Arc<Cache>) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is asked.
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

/// Generators need not be printable.
impl<P> fmt::Debug for Judge<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("cache", &self.cache.as_ref().map(|cache| cache.path()))
            .finish_non_exhaustive()
    }
}
