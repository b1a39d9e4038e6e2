//! Log-probabilities under a causal language model.

use std::ops::ControlFlow;
use std::path::Path;

use collimate::data::{TextTokenizer, TokenizeReport, TokenizedExample};
use collimate::lm::Llama;
use collimate::nn::{Backbone, Forward, HfFolder, Pack, completion_logps};
use collimate::prelude::Device;
use serde_json::{Value, json};

use super::{Column, Rows, ScoreModel, TOKENS_PER_PACK, Task};
use crate::common::Failure;
use crate::loading;

/// A causal language model. It gives the columns `logps` and `tokens`, or both for each answer of a
/// pair.
pub(crate) struct Logps {
    model: Llama,
    tokenizer: TextTokenizer,
    length: usize,
}

impl Logps {
    pub(crate) fn open(dir: &Path, task: &Task, device: &Device) -> Result<Self, Failure> {
        let model = Llama::load(dir, loading::frozen(device))?;
        Ok(Self {
            length: task.max_length(model.max_positions())?,
            tokenizer: task.tokenizer.clone(),
            model,
        })
    }
}

impl ScoreModel for Logps {
    fn length(&self) -> usize {
        self.length
    }

    fn score(
        &self,
        rows: &Rows,
        done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(Vec<Column>, TokenizeReport), Failure> {
        let (length, cut) = (self.length, Task::TRUNCATION);
        match rows {
            Rows::Single(rows) => {
                let (ids, cut) = self.tokenizer.encode_examples(rows, length, cut)?;
                let groups: Vec<_> = ids.iter().map(single).collect();
                let (logps, tokens) = score(&self.model, &groups, done)?;
                Ok((vec![("logps", logps), ("tokens", tokens)], cut))
            }
            Rows::Pairs(rows) => {
                let (ids, cut) = self.tokenizer.encode_pairs(rows, length, cut)?;
                let groups: Vec<_> = ids
                    .iter()
                    .map(|p| {
                        (
                            p.prompt.as_slice(),
                            vec![p.chosen.as_slice(), p.rejected.as_slice()],
                        )
                    })
                    .collect();
                let (logps, tokens) = score(&self.model, &groups, done)?;
                let part = |values: &[Value], which| {
                    values.iter().skip(which).step_by(2).cloned().collect()
                };
                let columns = vec![
                    ("chosen_logps", part(&logps, 0)),
                    ("rejected_logps", part(&logps, 1)),
                    ("chosen_tokens", part(&tokens, 0)),
                    ("rejected_tokens", part(&tokens, 1)),
                ];
                Ok((columns, cut))
            }
        }
    }
}

/// A prompt and its completions.
pub(crate) type Group<'a> = (&'a [u32], Vec<&'a [u32]>);

fn single(example: &TokenizedExample) -> Group<'_> {
    (&example.prompt, vec![&example.completion])
}

/// Computes log-probability and token count of every completion, in order. `done` is called with the
/// number of groups after each pack, until it breaks.
pub(crate) fn score(
    model: &Llama,
    groups: &[Group<'_>],
    done: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let (mut logps, mut tokens) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < groups.len() {
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
        if done(end).is_break() {
            break;
        }
    }
    Ok((logps, tokens))
}
