//! Pairs without labels in an estimate.

use std::path::PathBuf;

use collimate::core::{Key, PreferencePair};
use collimate::data::{ReadOptions, UnlabelledPair, read_unlabelled};

use crate::common::Failure;

/// Files of answers without labels.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) files: Vec<PathBuf>,
    /// Maximum number of pairs from one prompt.
    pub(crate) per_prompt: usize,
    pub(crate) key: Key,
    /// Number of answers that a policy writes to a prompt without answers; 0 without a policy.
    pub(crate) responses: usize,
}

/// The pairs of a pool.
pub(super) struct Counted {
    /// Pairs that already exist.
    pub(super) pairs: Vec<PreferencePair>,
    /// Maximum number of pairs from the answers that a policy will write.
    pub(super) written: usize,
    /// A sentence on each file, and one on the pairs.
    pub(super) lines: Vec<String>,
}

impl Pool {
    pub(super) fn read(&self, reading: &ReadOptions) -> Result<Counted, Failure> {
        // A format that the user names applies to the labelled files only.
        let options = ReadOptions {
            format: None,
            ..reading.clone()
        };
        let (mut candidates, mut lines) = (Vec::new(), Vec::new());
        for path in &self.files {
            let (part, report) = read_unlabelled(path, &options)?;
            candidates.extend(part);
            lines.push(report.to_string());
        }
        let alone = candidates.iter().filter(|c| c.responses.is_empty()).count();
        let n = self.responses;
        let written = alone * (n * n.saturating_sub(1) / 2).min(self.per_prompt);
        let pairs = UnlabelledPair::of(&candidates, self.per_prompt, self.key);
        lines.push(match alone {
            0 => format!("{} pairs without labels", pairs.len()),
            _ => format!(
                "{} pairs without labels, and at most {written} of {n} answers to each of {alone} prompts",
                pairs.len()
            ),
        });
        let shown = pairs.into_iter().map(UnlabelledPair::shown);
        Ok(Counted {
            pairs: shown.collect(),
            written,
            lines,
        })
    }
}
