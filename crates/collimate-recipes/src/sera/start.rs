//! Samples of the start model: the answers that the start itself finds likely.

use collimate_direct::pairs_hash;
use collimate_files::atomic_write;
use collimate_nn::CausalLm;
use collimate_run::{StageState, hash_file};
use collimate_train::{hash_json, model_hash};
use serde_json::json;

use super::own::sample;
use super::review::format_error;
use super::rewards::tokens;
use super::session::Session;
use crate::RecipeError;
use crate::answers::response_logps;

/// Stage of the samples, which all methods and iterations share.
const STAGE: &str = "start-samples";

/// Likelihoods of the start model's own samples.
#[derive(Debug, Clone)]
pub(crate) struct StartSamples {
    /// Hash of the file that holds the likelihoods.
    pub(crate) hash: String,
    /// Mean log-probability per token of each sample under the start model, in nats.
    pub(crate) mean_logps: Vec<f64>,
}

impl<M: CausalLm> Session<'_, M> {
    /// Samples the start model once, with the prompts and the options of every review, and stores
    /// the likelihoods in the run folder. Returns the hash of the file.
    pub(crate) fn sample_start(&mut self) -> Result<String, RecipeError> {
        if let Some(samples) = &self.start_samples {
            return Ok(samples.hash.clone());
        }
        let file = self.run.folder("selections")?.join("start-samples.json");
        let start = model_hash(self.start);
        let inputs = hash_json(&(self.config, pairs_hash(&self.train), start, self.eos));
        if let StageState::Done(hash) = self.run.stage(STAGE, &inputs)?
            && let Ok(found) = hash_file(&file)
            && hash == json!(found)
            && let Ok(text) = std::fs::read_to_string(&file)
            && let Ok(samples) = serde_json::from_str::<Vec<(f32, usize)>>(&text)
        {
            return Ok(self.keep_samples(found, &samples));
        }
        let key = self.key("start samples");
        let completions = sample(self, "start", self.start, self.config.irm.responses, key)?;
        let prompts: Vec<Vec<u32>> = self.train.iter().map(|p| p.prompt.clone()).collect();
        let label = "start likelihoods";
        let sums = response_logps(&self.sampler(), label, self.start, &prompts, &completions)?;
        // Sums in single precision, so that a resumed run reads the same numbers to the last bit.
        let samples: Vec<(f32, usize)> = sums
            .iter()
            .zip(completions.iter().flatten())
            .map(|(&sum, completion)| (sum as f32, tokens(completion)))
            .collect();
        let text = serde_json::to_vec(&samples).map_err(|error| format_error(&file, &error))?;
        atomic_write(&file, &text)?;
        let hash = hash_file(&file)?;
        self.run.redo(STAGE)?;
        self.run.stage(STAGE, &inputs)?;
        self.run.complete(STAGE, &hash)?;
        Ok(self.keep_samples(hash, &samples))
    }

    /// Keeps the likelihoods for later reviews and returns the hash of their file.
    fn keep_samples(&mut self, hash: String, samples: &[(f32, usize)]) -> String {
        self.start_samples = Some(StartSamples {
            hash: hash.clone(),
            mean_logps: mean_logps(samples),
        });
        hash
    }
}

/// Divides the summed log-probability of each sample by the number of its tokens.
fn mean_logps(samples: &[(f32, usize)]) -> Vec<f64> {
    let mean = |&(sum, tokens): &(f32, usize)| f64::from(sum) / tokens as f64;
    samples.iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_are_the_same_after_reading_the_file() {
        let samples = vec![(-3.0_f32, 4), (-0.1, 3), (-1.0 / 3.0, 7)];
        let text = serde_json::to_string(&samples).unwrap();
        let read: Vec<(f32, usize)> = serde_json::from_str(&text).unwrap();
        assert_eq!(mean_logps(&read), mean_logps(&samples));
        assert_eq!(mean_logps(&samples)[0], -0.75);
    }
}
