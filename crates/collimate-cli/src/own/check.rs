//! Refusals of options that have no effect on a run.

use collimate::train::TrainConfig;

use super::{OnData, Own};
use crate::common::{Failure, usage};
use crate::options::{Given, MOST_TEXTS, check_count};
use crate::runs::changed;

/// Checks the options that the commands share. A run uses either files and a model, or the
/// synthetic world. Options of the other kind are refused.
pub(crate) fn check<C: OnData + Default>(config: &C, given: &Given) -> Result<(), Failure> {
    let own = config.own();
    check_inputs(&own, given)?;
    let default = C::default();
    match own.data.is_empty() {
        true => Ok(()),
        false => refuse(
            &of_world(&own, &default.own()),
            "the synthetic world: remove the option, or remove --data and --model",
        ),
    }
}

/// Performs the same check for a command that also trains the synthetic world's stages on files.
pub(crate) fn check_inputs(own: &Own<'_>, given: &Given) -> Result<(), Failure> {
    for training in own.sft.into_iter().chain([own.pretrain]) {
        training.validate()?;
    }
    check_count("pretrain_texts", own.pretrain_texts, 0..=MOST_TEXTS)?;
    if own.data.is_empty() == own.model.is_some() {
        return Err(usage(
            "data and model go together: give both --data and --model, or neither",
        ));
    }
    match own.data.is_empty() {
        true => refuse(
            &of_files(own, given),
            "data files: give --data and --model too, or remove the option",
        ),
        false => Ok(()),
    }
}

/// Returns the options that have no effect with the synthetic world.
fn of_files(own: &Own<'_>, given: &Given) -> [(&'static str, bool); 16] {
    [
        ("judge", own.judge.is_some()),
        ("test", !own.test.is_empty()),
        ("format", own.reading.format.is_some()),
        ("pooling", own.pooling),
        ("label", own.label),
        ("on_bad_row", given.typed("on_bad_row")),
        ("hh_turns", given.typed("hh_turns")),
        ("chat_fallback", given.typed("chat_fallback")),
        ("chat_template", given.typed("chat_template")),
        ("chat_template_kwargs", given.typed("chat_template_kwargs")),
        ("template_date", given.typed("template_date")),
        ("on_rewritten_prompt", given.typed("on_rewritten_prompt")),
        ("answer_pairs", given.typed("answer_pairs")),
        ("data_weights", given.typed("data_weights")),
        ("token_store", given.typed("token_store")),
        ("align.use_margins", given.typed("align.use_margins")),
    ]
}

/// Returns the options of the synthetic world, which have no effect with files.
fn of_world(own: &Own<'_>, default: &Own<'_>) -> [(&'static str, bool); 5] {
    // The memory plan also lowers the micro-batches of trainings that a run does not make.
    let differ = |a: &TrainConfig, b: &TrainConfig| {
        let a = &TrainConfig {
            micro_batch_tokens: b.micro_batch_tokens,
            ..a.clone()
        };
        match own.one_seed {
            true => changed(a, b),
            false => a != b,
        }
    };
    let sft = own.sft.zip(default.sft);
    [
        ("world", own.world != default.world),
        ("llama", own.llama != default.llama),
        (
            "pretrain_texts",
            own.pretrain_texts != default.pretrain_texts,
        ),
        ("pretrain", differ(own.pretrain, default.pretrain)),
        ("sft", sft.is_some_and(|(a, b)| differ(a, b))),
    ]
}

/// Refuses the first option that is given.
fn refuse(options: &[(&'static str, bool)], of: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(format!("{name} works only with {of}").into()),
        None => Ok(()),
    }
}
