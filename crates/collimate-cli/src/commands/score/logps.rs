//! Log-probabilities under a causal language model.

use std::ops::ControlFlow;
use std::path::Path;

use collimate::data::TokenizedExample;
use collimate::lm::Llama;
use collimate::nn::{Backbone, Forward, HfFolder, Pack, completion_logps};
use collimate::prelude::Device;
use collimate::train::Progress;
use serde_json::{Value, json};

use super::{Column, Rows, Task};
use crate::common::Failure;

const TOKENS_PER_PACK: usize = 4096;

/// Computes the columns `logps` and `tokens`, or both for each answer of a pair.
pub(crate) fn columns(dir: &Path, task: &Task, device: &Device) -> Result<Vec<Column>, Failure> {
    let model = Llama::load(dir, device)?;
    let length = task.max_length(model.max_positions())?;
    match &task.rows {
        Rows::Single(rows) => {
            let (ids, cut) = task
                .tokenizer
                .encode_examples(rows, length, Task::TRUNCATION)?;
            task.tell(&cut, length);
            let groups: Vec<_> = ids.iter().map(single).collect();
            let (logps, tokens) = score(&model, &groups, &|| task.flow())?;
            Ok(vec![("logps", logps), ("tokens", tokens)])
        }
        Rows::Pairs(rows) => {
            let (ids, cut) = task
                .tokenizer
                .encode_pairs(rows, length, Task::TRUNCATION)?;
            task.tell(&cut, length);
            let groups: Vec<_> = ids
                .iter()
                .map(|p| {
                    (
                        p.prompt.as_slice(),
                        vec![p.chosen.as_slice(), p.rejected.as_slice()],
                    )
                })
                .collect();
            let (logps, tokens) = score(&model, &groups, &|| task.flow())?;
            let part =
                |values: &[Value], which| values.iter().skip(which).step_by(2).cloned().collect();
            Ok(vec![
                ("chosen_logps", part(&logps, 0)),
                ("rejected_logps", part(&logps, 1)),
                ("chosen_tokens", part(&tokens, 0)),
                ("rejected_tokens", part(&tokens, 1)),
            ])
        }
    }
}

/// A prompt and its completions.
pub(crate) type Group<'a> = (&'a [u32], Vec<&'a [u32]>);

fn single(example: &TokenizedExample) -> Group<'_> {
    (&example.prompt, vec![&example.completion])
}

/// Computes log-probability and token count of every completion, in order, until `flow` breaks.
pub(crate) fn score(
    model: &Llama,
    groups: &[Group<'_>],
    flow: &dyn Fn() -> ControlFlow<()>,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut meter = Progress::Auto.start("log-probabilities", 0, groups.len() as u64);
    let (mut logps, mut tokens) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < groups.len() && flow().is_continue() {
        let mut pack = Pack::new();
        let mut end = start;
        while end < groups.len() && (end == start || pack.tokens() < TOKENS_PER_PACK) {
            pack.push_shared(groups[end].0, &groups[end].1);
            end += 1;
        }
        pack.check(model.vocab_size(), model.max_positions())
            .map_err(|error| error.after(logps.len()))?;
        tokens.extend(pack.sequences().iter().map(|s| json!(s.targets.len())));
        let batch = pack.to_device(Llama::VISIBILITY, &model.device());
        let values = completion_logps(model, &batch, Forward::EVAL).into_data();
        logps.extend(values.iter::<f32>().map(|v| json!(v)));
        start = end;
        meter.set(end as u64, "rows");
    }
    Ok((logps, tokens))
}
