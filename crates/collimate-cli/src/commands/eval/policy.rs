//! A language model that answers.

use std::path::Path;

use collimate::core::{Completion, GenerateError, Prompt, Sampling};
use collimate::lm::{Llama, TextGenerator};
use collimate::nn::{Backbone, HfFolder};
use collimate::prelude::Device;
use collimate::train::Interrupt;

use crate::commands::generate::{said, show::Show};
use crate::common::{self, Failure, Interrupted};
use crate::loading;
use crate::rendering::Rendering;

/// A model that answers prompts, with the name of its folder.
pub(crate) struct Policy {
    pub(crate) name: String,
    generator: TextGenerator<Llama>,
}

impl Policy {
    /// Opens the language model in the folder that `option` names.
    pub(crate) fn open(
        option: &str,
        dir: &Path,
        rendering: &Rendering,
        device: &Device,
    ) -> Result<Self, Failure> {
        common::check_writer(option, dir)?;
        let tokenizer = rendering.open(dir)?;
        let model = Llama::load(dir, loading::frozen(device))?;
        Ok(Self {
            name: format!("`{}`", dir.display()),
            generator: TextGenerator::new(model, tokenizer).with_eos_of(dir)?,
        })
    }

    /// Returns the number of the prompt's tokens, and the maximum for prompt and answer together.
    pub(crate) fn room(&self, prompt: &Prompt) -> Result<(usize, usize), Failure> {
        let ids = self.generator.tokenizer().encode_prompt(prompt)?;
        Ok((ids.len(), self.generator.model().max_positions()))
    }

    /// Refuses a prompt that leaves no room for an answer. A prompt stands in a line of the file `data`.
    pub(crate) fn check_room<'p>(
        &self,
        data: &Path,
        prompts: impl IntoIterator<Item = (usize, &'p Prompt)>,
    ) -> Result<(), Failure> {
        for (line, prompt) in prompts {
            let (tokens, most) = self.room(prompt)?;
            if tokens >= most {
                return Err(format!(
                    "{}:{line}: {tokens} tokens leave no room for an answer, because {} takes \
                     {most}: remove the row",
                    data.display(),
                    self.name
                )
                .into());
            }
        }
        Ok(())
    }

    /// Writes an answer to each prompt. After an error, `each` has received the answers that were
    /// finished.
    pub(crate) fn answer(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        interrupt: &Interrupt,
        mut each: impl FnMut(usize, Completion),
    ) -> Result<(), Failure> {
        let mut show = Show::new(prompts.len(), 1, false, interrupt.clone());
        let ended = self
            .generator
            .generate_watched(prompts, sampling, &mut show);
        // The other policy and the judge need the memory.
        self.generator.forget();
        let found = show.into_finished().completions;
        let mut count = 0;
        for (index, mut completions) in found.into_iter().enumerate() {
            if let Some(completion) = completions.pop() {
                count += 1;
                each(index, completion);
            }
        }
        match ended {
            Ok(_) => Ok(()),
            Err(GenerateError::Interrupted) => {
                let all = prompts.len();
                let text = format!("stopped: {count} of {all} answers of {}", self.name);
                Err(Interrupted(text).into())
            }
            Err(error) => Err(said(error, &[])),
        }
    }
}
