//! Scores of a reward model.

use std::ops::ControlFlow;
use std::path::Path;

use collimate::data::{AnswerEnd, TextTokenizer, TokenizeReport};
use collimate::nn::HfReward;
use collimate::prelude::Device;
use collimate::reward::{RewardModel, score_pairs_with, score_sequences_with};
use serde_json::{Value, json};

use super::{Column, Rows, ScoreModel, TOKENS_PER_PACK, Task};
use crate::common::Failure;
use crate::loading;

/// A reward model. It gives the columns `score`, or `chosen_score` and `rejected_score`.
pub(crate) struct Rewards<B: HfReward> {
    model: RewardModel<B>,
    tokenizer: TextTokenizer,
    length: usize,
}

impl<B: HfReward> Rewards<B> {
    pub(crate) fn open(dir: &Path, task: &Task, device: &Device) -> Result<Self, Failure> {
        let model =
            RewardModel::<B>::load_label(dir, task.label.as_deref(), loading::frozen(device))?;
        let length = task.max_length(model.backbone.max_positions())?;
        // As in training, an answer that was cut gets an end token too.
        let tokenizer = task.tokenizer.clone();
        Ok(Self {
            model,
            tokenizer: tokenizer.with_answer_end(AnswerEnd::EveryAnswer),
            length,
        })
    }
}

impl<B: HfReward> ScoreModel for Rewards<B> {
    fn length(&self) -> usize {
        self.length
    }

    fn score(
        &self,
        rows: &Rows,
        done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(Vec<Column>, TokenizeReport), Failure> {
        let column =
            |scores: Vec<f32>| -> Vec<Value> { scores.into_iter().map(|s| json!(s)).collect() };
        let (model, length, cut) = (&self.model, self.length, Task::TRUNCATION);
        match rows {
            Rows::Single(rows) => {
                let (ids, cut) = self.tokenizer.encode_examples(rows, length, cut)?;
                let scores = score_sequences_with(model, &ids, TOKENS_PER_PACK, |n, _| done(n))?;
                Ok((vec![("score", column(scores))], cut))
            }
            Rows::Pairs(rows) => {
                let (ids, cut) = self.tokenizer.encode_pairs(rows, length, cut)?;
                let scores = score_pairs_with(model, &ids, TOKENS_PER_PACK, |n, _| done(n))?;
                let (chosen, rejected) = scores.into_iter().unzip();
                let columns = vec![
                    ("chosen_score", column(chosen)),
                    ("rejected_score", column(rejected)),
                ];
                Ok((columns, cut))
            }
        }
    }
}
