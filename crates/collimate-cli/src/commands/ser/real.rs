//! Options of a run on the user's own labels and an unlabelled pool.

use collimate::core::Key;
use collimate::recipes::ser::Control;

use super::config::{Config, PolicyReward};
use crate::common::{Failure, tell, usage};
use crate::options::{Flag, Given, Inputs, MOST_TEXTS, check_count};
use crate::own::{OnData, flags};
use crate::runs::changed;

/// Maximum number of pairs from one prompt, and of answers to it.
const MOST: usize = 1000;

/// Returns the flags for files, models, the judge and the policy that writes answers.
pub(super) fn flags() -> Vec<Flag<Config>> {
    let mut all = vec![
        Flag::of("labelled", "FILE", &["labelled"]),
        Flag::of("unlabelled", "FILE", &["unlabelled"]),
        Flag::of("validation", "FILE", &["validation"]).rare(),
        Flag::of("policy", "DIR|URL", &["policy_source"]),
        Flag::of("policy-model", "NAME", &["policy_model"]).rare(),
        Flag::of("policy-key-env", "VAR", &["policy_key_env"]).rare(),
        Flag::of("responses", "N", &["responses"]).rare(),
        Flag::of("labelled-by", "DIR|URL", &["labelled_by"]),
        Flag::of("labelled-by-model", "NAME", &["labelled_by_model"]).rare(),
        Flag::of("labelled-by-key-env", "VAR", &["labelled_by_key_env"]).rare(),
        Flag::of("label-count", "N", &["label_count"]).rare(),
        Flag::of("pairs-per-prompt", "N", &["pairs_per_prompt"]).rare(),
    ];
    all.extend(flags::tested_inputs());
    all.push(Flag::switch(
        "simulate",
        &["simulate"],
        "With --data: use a share of the labels and hide the others, to measure what SER would \
         bring",
        |config: &mut Config, _, _| {
            config.simulate = true;
            Ok(())
        },
    ));
    all
}

/// Sets options that follow from the kind of the run, and refuses contradictory kinds.
pub(super) fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
    check_count("pairs_per_prompt", config.pairs_per_prompt, 1..=MOST)?;
    check_count("responses", config.responses, 2..=MOST)?;
    let refuse = |text: &str| Err(usage(text));
    check_count("label_count", config.label_count, 20..=MOST_TEXTS)?;
    let no_labels = config.labelled.is_empty() && config.labelled_by.is_none();
    match (no_labels, config.unlabelled.is_empty()) {
        (true, false) => {
            return refuse(
                "--unlabelled needs --labelled or --labelled-by: give the pairs that you have \
                 labelled, or a judge",
            );
        }
        (false, true) => {
            return refuse(
                "--labelled and --labelled-by need --unlabelled: give the pairs without labels too",
            );
        }
        (false, false) if !config.data.is_empty() => {
            return refuse(
                "--data is for simulations, --labelled and --unlabelled are for your own labels: \
                 give one or the other",
            );
        }
        (false, false) if config.simulate => {
            return refuse(
                "--simulate hides labels of --data, but there is no --data: remove --simulate",
            );
        }
        (false, false) if config.model.is_none() => {
            return refuse("labelled and model go together: give --model DIR too");
        }
        _ => {}
    }
    if config.is_real() && !config.measures() && !given.has("ser.controls") {
        // Without held-out pairs, controls cannot be compared.
        config.ser.controls.clear();
    }
    if config.is_real() && config.ser.controls == Control::ALL {
        // `--controls all` means all that can be run. The pool's labels are not known.
        let known = |control: &Control| *control != Control::OracleLabels;
        config.ser.controls.retain(known);
        tell("controls: oracle_labels is not run, because the labels of the pool are not known");
    }
    config.writer().check()?;
    config.labeller().check()?;
    Ok(())
}

/// Refuses options that have no effect on this kind of run.
pub(super) fn check(config: &Config, given: &Given) -> Result<(), Failure> {
    if !config.is_real() {
        return check_simulation(config, given);
    }
    let of_simulations = [
        ("ser.seed_share", given.typed("ser.seed_share")),
        ("ser.baseline", given.typed("ser.baseline")),
        ("sft", changed(&config.sft, &Config::default().sft)),
    ];
    if let Some((name, _)) = of_simulations.iter().find(|(_, given)| *given) {
        return Err(format!(
            "{name} works only with simulations and the synthetic world: remove {name}"
        )
        .into());
    }
    if config.ser.controls.contains(&Control::OracleLabels) {
        let text = "controls has oracle_labels, but the labels of the pool are not known: remove \
                    oracle_labels";
        return Err(text.into());
    }
    if given.typed("responses") && config.policy_source.is_none() {
        let text = "responses is the number of answers that a policy writes: give --policy DIR or \
                    URL too, or remove responses";
        return Err(text.into());
    }
    if given.typed("label_count") && config.labelled_by.is_none() {
        let text = "label_count is the number of labels that a judge gives: give --labelled-by DIR \
                    or URL too, or remove label_count";
        return Err(text.into());
    }
    if !config.ser.controls.is_empty() && !config.measures() {
        let text = "controls are compared on held-out pairs: give --test FILE or --validation \
                    FILE, or remove --controls";
        return Err(text.into());
    }
    if config.trains_policies() && config.policy_rewards.contains(&PolicyReward::Full) {
        let text = "policy_rewards has full, but the labels of the pool are not known: remove full";
        return Err(text.into());
    }
    Ok(())
}

fn check_simulation(config: &Config, given: &Given) -> Result<(), Failure> {
    match (config.data.is_empty(), config.simulate) {
        (false, false) => {
            return Err(usage(
                "--data alone is ambiguous: to learn from your labels and a pool without labels, \
                 give --labelled FILE --unlabelled FILE; to hide most labels of --data and measure \
                 what SER would bring, add --simulate",
            ));
        }
        (true, true) => {
            return Err(usage(
                "--simulate hides labels of --data: give --data and --model too; the synthetic world is a \
                 simulation by itself",
            ));
        }
        _ => {}
    }
    let real = [
        ("validation", !config.validation.is_empty()),
        ("policy_source", config.policy_source.is_some()),
        ("responses", given.typed("responses")),
        ("label_count", given.typed("label_count")),
        ("pairs_per_prompt", given.typed("pairs_per_prompt")),
    ];
    match real.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(format!(
            "{name} works only with your own labels: give --labelled and --unlabelled too"
        )
        .into()),
        None => Ok(()),
    }
}

/// Returns the files and folders that a run reads.
pub(super) fn inputs(config: &Config) -> Inputs<'_> {
    let mut inputs = config.own().inputs();
    if !config.labelled.is_empty() {
        inputs.files.extend(&config.unlabelled);
    }
    inputs.files.extend(&config.validation);
    inputs.files.extend(&config.policy_prompts);
    inputs
}

/// The key of everything that is drawn for the pool.
pub(super) fn pool_key(config: &Config) -> Key {
    Key::new(config.ser.seed, "pool")
}
