//! Score gaps of the training pairs, from the judge or from the data file.

use collimate_files::atomic_write;
use collimate_nn::CausalLm;
use collimate_run::{StageState, hash_file};
use collimate_train::hash_json;
use serde_json::json;

use super::data::SeraData;
use super::method::{Method, Offline, Ranking};
use super::review::format_error;
use super::session::Session;
use crate::RecipeError;

impl Method {
    /// Returns true if the method ranks by the score gaps of the offline pairs, or reports its
    /// agreement with them.
    pub(crate) fn sees_gaps(self) -> bool {
        matches!(
            self.offline(),
            Offline::Top(Ranking::Margin | Ranking::ScoreGap) | Offline::Stage
        )
    }
}

impl<M: CausalLm> Session<'_, M> {
    /// Returns the judge's score of each pair's chosen answer minus that of the rejected one, and
    /// stores the scores in the run folder. Without a judge, returns the gaps of the data file if
    /// every pair has one.
    pub(crate) fn score_gaps(
        &mut self,
        data: &SeraData<'_>,
    ) -> Result<Option<Vec<f64>>, RecipeError> {
        let Some(judge) = &data.judge else {
            return Ok(data.train.iter().map(|pair| pair.score_gap).collect());
        };
        let stage = "gaps";
        let file = self.run.folder("selections")?.join("scores.json");
        let inputs = hash_json(&(&judge.name, &self.texts));
        if let StageState::Done(hash) = self.run.stage(stage, &inputs)?
            && let Ok(found) = hash_file(&file)
            && hash == json!(found)
            && let Ok(text) = std::fs::read_to_string(&file)
            && let Ok(scores) = serde_json::from_str::<Vec<[f32; 2]>>(&text)
        {
            return Ok(Some(gaps(&scores)));
        }
        let mut scores = Vec::with_capacity(data.train.len());
        let mut meter = self
            .progress
            .start("judging the pairs", 0, data.train.len() as u64);
        // In parts, so that an interrupt is noticed.
        for part in data.train.chunks(256) {
            self.check_interrupt(stage)?;
            scores.extend(judge.both(part)?);
            meter.set(scores.len() as u64, "");
        }
        let text = serde_json::to_vec(&scores).map_err(|error| format_error(&file, &error))?;
        atomic_write(&file, &text)?;
        self.run.redo(stage)?;
        self.run.stage(stage, &inputs)?;
        self.run.complete(stage, &hash_file(&file)?)?;
        Ok(Some(gaps(&scores)))
    }
}

/// Computes gaps from single-precision scores, so that scores read back from a file give the same
/// gaps to the last bit.
fn gaps(scores: &[[f32; 2]]) -> Vec<f64> {
    let gap = |[chosen, rejected]: &[f32; 2]| f64::from(*chosen) - f64::from(*rejected);
    scores.iter().map(gap).collect()
}
