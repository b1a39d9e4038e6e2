//! Scores of a reward model.

use std::path::Path;

use collimate::data::AnswerEnd;
use collimate::nn::HfReward;
use collimate::prelude::Device;
use collimate::reward::{RewardModel, score_pairs_with, score_sequences_with};
use collimate::train::Progress;
use serde_json::{Value, json};

use super::{Column, Rows, Task};
use crate::common::Failure;

const TOKENS_PER_PACK: usize = 4096;

/// Computes the columns `score`, or `chosen_score` and `rejected_score`.
pub(crate) fn columns<B: HfReward>(
    dir: &Path,
    task: &Task,
    device: &Device,
) -> Result<Vec<Column>, Failure> {
    let model = RewardModel::<B>::load_label(dir, task.label.as_deref(), device)?;
    let length = task.max_length(model.backbone.max_positions())?;
    // As in training, an answer that was cut gets an end token too.
    let tokenizer = task.tokenizer.clone();
    let tokenizer = tokenizer.with_answer_end(AnswerEnd::EveryAnswer);
    let column =
        |scores: Vec<f32>| -> Vec<Value> { scores.into_iter().map(|s| json!(s)).collect() };
    let progress = |rows: usize| Progress::Auto.start("score", 0, rows as u64);
    match &task.rows {
        Rows::Single(rows) => {
            let (ids, cut) = tokenizer.encode_examples(rows, length, Task::TRUNCATION)?;
            task.tell(&cut, length);
            let mut meter = progress(rows.len());
            let scores = score_sequences_with(&model, &ids, TOKENS_PER_PACK, |done, _| {
                meter.set(done as u64, "rows");
                task.flow()
            })?;
            Ok(vec![("score", column(scores))])
        }
        Rows::Pairs(rows) => {
            let (ids, cut) = tokenizer.encode_pairs(rows, length, Task::TRUNCATION)?;
            task.tell(&cut, length);
            let mut meter = progress(rows.len());
            let scores = score_pairs_with(&model, &ids, TOKENS_PER_PACK, |done, _| {
                meter.set(done as u64, "pairs");
                task.flow()
            })?;
            let (chosen, rejected) = scores.into_iter().unzip();
            Ok(vec![
                ("chosen_score", column(chosen)),
                ("rejected_score", column(rejected)),
            ])
        }
    }
}
