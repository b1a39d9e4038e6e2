//! Memory of a training, and micro-batches that fit into it.

use serde_json::Value;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::common::Failure;

/// Share of the free memory that a run may take, unless the user gives a limit.
const SHARE: f64 = 0.75;

/// Memory of the program and of its buffers, in bytes.
const PROGRAM: f64 = 0.3e9;

/// Memory that a training takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) weights: f64,
    /// Gradients and the optimiser's moments.
    pub(super) state: f64,
    /// Values that are kept for the backward pass, for each token of a micro-batch.
    pub(super) per_token: f64,
    /// Copy of the weights, keys and values while answers are written. No micro-batch is in memory
    /// then.
    pub(super) writing: f64,
}

impl Memory {
    fn fixed(self) -> f64 {
        self.weights + self.state + PROGRAM
    }

    fn of(self, tokens: f64) -> f64 {
        self.fixed() + (tokens * self.per_token).max(self.writing)
    }

    /// Returns the number of tokens that fit into a limit.
    fn tokens_in(self, limit: f64) -> usize {
        ((limit - self.fixed()) / self.per_token).max(0.0) as usize
    }

    /// Describes the memory for a largest micro-batch of `tokens` tokens.
    pub(super) fn describe(self, tokens: f64) -> String {
        let mut text = format!(
            "about {:.1} GB: weights {:.2}, gradients and optimiser {:.2}, a micro-batch of \
             {tokens:.0} tokens {:.2}",
            gb(self.of(tokens)),
            gb(self.weights),
            gb(self.state),
            gb(tokens * self.per_token)
        );
        if self.writing > 0.0 {
            text += &format!(
                " (while answers are written, {:.2} instead)",
                gb(self.writing)
            );
        }
        text
    }
}

/// Memory that a run may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Limit in bytes.
    bytes: f64,
    /// If true, the user has given the limit.
    given: bool,
}

impl Limit {
    /// Returns the given limit, or three quarters of the memory that is free now.
    pub(crate) fn new(given: Option<u64>) -> Self {
        match given {
            Some(bytes) => Self {
                bytes: bytes as f64,
                given: true,
            },
            None => Self {
                bytes: SHARE * free() as f64,
                given: false,
            },
        }
    }
}

/// Returns the free memory in bytes: that of the system, or of the control group if it has less.
fn free() -> u64 {
    let memory = MemoryRefreshKind::nothing().with_ram();
    // Where the system does not tell, there is no limit.
    let Ok(system) = System::new_with_specifics(RefreshKind::nothing().with_memory(memory)) else {
        return u64::MAX;
    };
    // Pages of files that a control group has read can be given back.
    let group = system.cgroup_limits();
    let group = group.map(|limits| limits.total_memory.saturating_sub(limits.rss));
    group.map_or(system.available_memory(), |group| {
        group.min(system.available_memory())
    })
}

/// A training's memory, and what is done to keep it below a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// If true, blocks keep only their inputs for the backward pass.
    pub(crate) recompute: bool,
    /// Largest number of tokens of a micro-batch, if it must be cut.
    pub(crate) tokens: Option<usize>,
    /// Sentence on the plan; empty if nothing had to be done.
    pub(crate) told: String,
}

impl Plan {
    /// Returns the plan that changes nothing.
    pub(super) fn unchanged(recompute: bool) -> Self {
        Self {
            recompute,
            tokens: None,
            told: String::new(),
        }
    }
}

/// Plans micro-batches of at most `asked` tokens, and at least `longest`.
///
/// # Errors
/// See [`Held::plan`](super::Held::plan).
pub(super) fn fit(
    memory: impl Fn(bool) -> Memory,
    [asked, longest]: [usize; 2],
    limit: Limit,
    recompute: bool,
    advice: &str,
) -> Result<Plan, Failure> {
    let kept = memory(recompute);
    let most = limit.bytes;
    if kept.of(asked as f64) <= most {
        return Ok(Plan::unchanged(recompute));
    }
    let most_allowed = format!("{:.1} GB, three quarters of the free memory", gb(most));
    if kept.fixed() > most && !limit.given {
        return Err(format!(
            "the training needs about {:.1} GB for weights, gradients and optimiser alone, but may \
             take {most_allowed}: {advice}, take a smaller model, or allow more with --memory-limit",
            gb(kept.fixed()),
        )
        .into());
    }
    let writing = kept.fixed() + kept.writing;
    if writing > most && !limit.given {
        return Err(format!(
            "writing answers needs about {:.1} GB, but the run may take {most_allowed}: give \
             --generation-weights int8, --generation-cache int8 or a shorter --max-length, or allow \
             more with --memory-limit",
            gb(writing),
        )
        .into());
    }
    let recompute = recompute || kept.tokens_in(most) < longest;
    let kept = memory(recompute);
    let fits = kept.tokens_in(most);
    let tokens = fits.clamp(longest.min(asked), asked);
    let mut told = format!(
        "memory: {}; the limit is {:.1} GB",
        kept.describe(tokens as f64),
        gb(most)
    );
    if recompute {
        told += "; blocks are computed again in the backward pass (gradient checkpointing)";
    }
    if kept.fixed() > most {
        told += "; weights, gradients and optimiser alone are above the limit";
    } else if writing > most {
        told += "; writing answers goes beyond the limit";
    } else if fits < longest {
        told += &format!(
            "; an example of {longest} tokens may go beyond the limit: give a shorter --max-length"
        );
    }
    Ok(Plan {
        recompute,
        tokens: Some(tokens),
        told,
    })
}

/// Lowers every `micro_batch_tokens` of a configuration to `tokens`, except those that `is_fixed`
/// names by their path.
pub(crate) fn cap_micro_batches(
    config: &mut Value,
    tokens: usize,
    is_fixed: &impl Fn(&str) -> bool,
) {
    cap(config, String::new(), tokens, is_fixed);
}

fn cap(value: &mut Value, path: String, tokens: usize, is_fixed: &impl Fn(&str) -> bool) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let path = match path.as_str() {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        if name == "micro_batch_tokens" && !is_fixed(&path) {
            let asked = value.as_u64().map_or(usize::MAX, |asked| asked as usize);
            *value = Value::from(asked.min(tokens));
        }
        cap(value, path, tokens, is_fixed);
    }
}

fn gb(bytes: f64) -> f64 {
    bytes / 1e9
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MEMORY: Memory = Memory {
        weights: 1e9,
        state: 0.0,
        per_token: 1e6,
        writing: 0.0,
    };

    /// A plan for a training that keeps 1 MB for each token, or a tenth of it if it recomputes.
    fn plan(limit: f64, given: bool, recompute: bool) -> Result<Plan, Failure> {
        let memory = |recompute| Memory {
            per_token: if recompute { 1e5 } else { 1e6 },
            ..MEMORY
        };
        let limit = Limit {
            bytes: limit,
            given,
        };
        fit(memory, [8000, 1000], limit, recompute, "train less")
    }

    #[test]
    fn what_fits_is_left_alone() {
        let found = plan(9.3e9, false, false).unwrap();
        assert_eq!((found.recompute, found.tokens), (false, None));
        assert_eq!(found.told, "");
        assert!(plan(2.1e9, false, true).unwrap().tokens.is_none());
    }

    #[test]
    fn micro_batches_are_cut_before_anything_is_recomputed() {
        let found = plan(5.3e9, false, false).unwrap();
        assert_eq!((found.recompute, found.tokens), (false, Some(4000)));
        assert!(found.told.contains("4000 tokens"), "{}", found.told);
        assert!(!found.told.contains("again"), "{}", found.told);
        // Less than one example: recomputation, and then larger micro-batches again.
        let found = plan(2.2e9, false, false).unwrap();
        assert_eq!((found.recompute, found.tokens), (true, Some(8000)));
        assert!(found.told.contains("again"), "{}", found.told);
    }

    #[test]
    fn one_example_is_the_least() {
        let found = plan(1.35e9, false, false).unwrap();
        assert_eq!((found.recompute, found.tokens), (true, Some(1000)));
        assert!(found.told.contains("--max-length"), "{}", found.told);
    }

    #[test]
    fn weights_that_do_not_fit_are_refused_unless_the_user_wants_them() {
        let error = plan(1.2e9, false, false).unwrap_err().to_string();
        assert!(
            error.contains("--memory-limit") && error.contains("1.3 GB"),
            "{error}"
        );
        let found = plan(1.2e9, true, false).unwrap();
        assert_eq!(found.tokens, Some(1000));
        assert!(found.told.contains("alone are above"), "{}", found.told);
    }

    /// Answers are written while no micro-batch is in memory, so the larger of the two counts.
    #[test]
    fn written_answers_count_if_they_take_more_than_a_micro_batch() {
        let plan = |limit: f64, given: bool| {
            let memory = |_| Memory {
                writing: 5e9,
                ..MEMORY
            };
            let limit = Limit {
                bytes: limit,
                given,
            };
            fit(memory, [4000, 1000], limit, false, "train less")
        };
        assert_eq!(plan(6.4e9, false).unwrap(), Plan::unchanged(false));
        let error = plan(6.2e9, false).unwrap_err().to_string();
        assert!(
            error.contains("writing answers needs about 6.3 GB") && error.contains("int8"),
            "{error}"
        );
        // All of the micro-batch fits; only a limit that the user gives goes beyond it.
        let found = plan(6.2e9, true).unwrap();
        assert_eq!((found.recompute, found.tokens), (false, Some(4000)));
        assert!(
            found.told.contains("writing answers goes beyond"),
            "{}",
            found.told
        );
    }

    #[test]
    fn given_sizes_stay() {
        let mut config = json!({
            "micro_batch_tokens": null,
            "align": {"train": {"micro_batch_tokens": 8192, "lr": 1}},
            "sft": {"micro_batch_tokens": 100},
            "fixed": {"micro_batch_tokens": 8192},
        });
        cap_micro_batches(&mut config, 500, &|path| path == "fixed.micro_batch_tokens");
        assert_eq!(
            config,
            json!({
                "micro_batch_tokens": 500,
                "align": {"train": {"micro_batch_tokens": 500, "lr": 1}},
                "sft": {"micro_batch_tokens": 100},
                "fixed": {"micro_batch_tokens": 8192},
            })
        );
    }

    #[test]
    fn there_is_free_memory() {
        let memory = MemoryRefreshKind::nothing().with_ram();
        let system =
            System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).unwrap();
        assert!((1..=system.total_memory()).contains(&free()), "{}", free());
    }
}
