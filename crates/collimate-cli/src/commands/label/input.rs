//! Pairs to label from the user's files. Labels in the files are ignored.

use std::path::PathBuf;

use collimate::core::{Completion, Key, Prompt};
use collimate::data::{ReadOptions, UnlabelledPair, read_unlabelled};

use crate::common::{self, Failure};

/// A prompt and two answers in an order without meaning.
pub(super) type Pair = (Prompt, Completion, Completion);

/// Returns the pairs of all files, in order. A prompt with many answers gives up to `per_prompt`
/// pairs.
pub(super) fn pairs_to_label(
    files: &[PathBuf],
    options: &ReadOptions,
    per_prompt: usize,
    seed: u64,
) -> Result<Vec<Pair>, Failure> {
    let key = Key::new(seed, "label");
    let mut rows = Vec::new();
    for path in files {
        let (candidates, report) = read_unlabelled(path, options)?;
        common::tell(&report.to_string());
        let pairs = UnlabelledPair::of(&candidates, per_prompt, key);
        if pairs.is_empty() {
            return Err(format!(
                "{}: no row has two answers: `collimate generate --n 2` writes answers to prompts",
                path.display()
            )
            .into());
        }
        rows.extend(pairs.into_iter().map(|pair| {
            let [one, other] = pair.answers;
            (pair.prompt, one, other)
        }));
    }
    Ok(rows)
}
