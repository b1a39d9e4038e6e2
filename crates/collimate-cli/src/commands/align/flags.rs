//! Flags of alignment.

use super::Aligned;
use crate::options::Flag;
use crate::own::flags;

/// Returns the flags for the files, the model and the judge.
pub(crate) fn judged_inputs<C>() -> Vec<Flag<C>> {
    let mut all = flags::inputs();
    all.push(Flag::of("judge", "DIR", &["judge"]));
    all
}

/// Help of `--loss`.
const LOSS: &str = "Loss: dpo, cdpo, rdpo, ipo, slic_hf, simpo, orpo, spin, exo, nca, sppo, bco, \
                    apo_zero, apo_down, aot, discopop or dpo_norm (formulas: docs/methods/losses.md) [default: dpo]";

/// Returns the flags for the loss and for its strength, whose help names the default.
pub(crate) fn loss_flags<C: flags::HasLoss + 'static>(beta: &'static str) -> Vec<Flag<C>> {
    vec![
        flags::loss(&["align.loss"], LOSS),
        flags::beta(&["align.loss"], beta),
        flags::nll_anchor(&["align.nll_anchor"]),
    ]
}

/// Returns the flags for the steps and the lengths of the training.
pub(crate) fn training_flags<C: Aligned + 'static>() -> Vec<Flag<C>> {
    vec![
        Flag::of("lr", "RATE", &["align.train.learning_rate"]),
        Flag::of("batch", "N", &["align.train.batch_size"]),
        Flag::change(
            "accumulate",
            "N",
            &["align.train.batch_size"],
            "Number of batches whose gradients are added up before a step [default: 1]",
            |config: &mut C, text, _| {
                let times: usize = text.parse().map_err(|_| "not a whole number")?;
                let train = config.train_mut();
                let batch = train.batch_size;
                train.batch_size = batch.checked_mul(times).ok_or_else(|| {
                    let most = usize::MAX;
                    format!("--batch {batch} times {times} must be at most {most} pairs")
                })?;
                Ok(())
            },
        )
        .rare(),
        Flag::of("steps", "N", &["align.train.max_steps"]),
        Flag::of("epochs", "N", &["align.train.epochs"]),
        Flag::of("max-length", "N", &["align.max_length"]),
        Flag::of("max-prompt-length", "N", &["align.max_prompt_length"]).rare(),
    ]
}

/// Returns the flags for adapters, the seed, and the way in which files are read.
pub(crate) fn last_flags<C: Aligned + 'static>() -> Vec<Flag<C>> {
    let mut all = vec![
        flags::lora(&["align.adaptation"], flags::LORA),
        Flag::of("seed", "N", &["align.seed"]),
    ];
    all.extend(flags::lora_form(&["align.adaptation"]));
    all.push(flags::generation_weights());
    all.push(flags::generation_cache());
    all.extend([flags::precision(), flags::saved_activations()]);
    all.extend(flags::reading());
    all
}

/// Returns the flag for the share of labels that are swapped.
pub(crate) fn label_noise<C>() -> Flag<C> {
    Flag::of("label-noise", "P", &["label_noise"]).rare()
}
