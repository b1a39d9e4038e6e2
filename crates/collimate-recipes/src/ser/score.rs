//! Scores of a stage's model, checked to be finite.

use collimate_data::TokenizedPair;
use collimate_nn::Backbone;
use collimate_reward::RewardModel;
use collimate_status::ScoreCentre;

use super::session::Session;
use crate::RecipeError;
use crate::scores::scores;

impl Session<'_> {
    /// Returns the score centre of a model by the options, from its scores of labelled answers.
    pub(crate) fn score_centre<B: Backbone>(
        &self,
        model: &RewardModel<B>,
        labelled: &[TokenizedPair],
        stage: &str,
    ) -> Result<f64, RecipeError> {
        match self.config.score_centre {
            ScoreCentre::SeedMean => self.centre(model, labelled, stage),
            fixed => Ok(fixed.value(&[])?),
        }
    }

    /// Returns the mean score of labelled answers, which is the score centre in the policy stage.
    pub(crate) fn centre<B: Backbone>(
        &self,
        model: &RewardModel<B>,
        labelled: &[TokenizedPair],
        stage: &str,
    ) -> Result<f64, RecipeError> {
        let scores = self.scores(model, labelled, stage, "seed")?;
        let answers: Vec<f32> = scores.into_iter().flat_map(<[f32; 2]>::from).collect();
        Ok(ScoreCentre::SeedMean.value(&answers)?)
    }

    /// Scores pairs. A score that is not finite stops the run, and so does an interrupt.
    pub(crate) fn scores<B: Backbone>(
        &self,
        model: &RewardModel<B>,
        pairs: &[TokenizedPair],
        stage: &str,
        part: &'static str,
    ) -> Result<Vec<(f32, f32)>, RecipeError> {
        scores(model, pairs, stage, part, self.interrupt, self.progress)
    }
}
