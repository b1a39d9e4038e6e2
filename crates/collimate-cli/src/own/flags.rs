//! Flags that the commands on data share.

use collimate::losses::{DirectLoss, PreferenceLoss};
use collimate::nn::{LoraConfig, LoraScaling};
use collimate::recipes::Adaptation;

use crate::common::Failure;
use crate::options::Flag;

/// A configuration that selects the parameters to train.
pub(crate) trait Adapts {
    /// Returns the parameters to train, to be changed.
    fn adaptation(&mut self) -> &mut Adaptation;

    /// Returns the adapters that a flag switches on.
    fn fresh_adapters(&self) -> LoraConfig {
        LoraConfig::default()
    }
}

/// A configuration with a loss on pairs.
pub(crate) trait HasLoss {
    /// Returns the loss, to be changed.
    fn loss(&mut self) -> &mut PreferenceLoss;
}

/// Returns the flags for the files and the model.
pub(crate) fn inputs<C>() -> Vec<Flag<C>> {
    vec![
        Flag::of("data", "FILE", &["data"]),
        Flag::of("model", "DIR", &["model"]),
    ]
}

/// Returns the flags for the files, the test files and the model, for a command that measures a
/// reward model.
pub(crate) fn tested_inputs<C>() -> Vec<Flag<C>> {
    let mut flags = inputs();
    flags.insert(1, Flag::of("test", "FILE", &["test"]));
    flags
}

/// Returns the flags for reading files.
pub(crate) fn reading<C>() -> Vec<Flag<C>> {
    vec![
        Flag::of("format", "NAME", &["format"]).rare(),
        Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
        Flag::of("hh-turns", "TURNS", &["hh_turns"]).rare(),
        Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
        Flag::of("chat-template", "NAME", &["chat_template"]).rare(),
        Flag::of("chat-template-kwargs", "JSON", &["chat_template_kwargs"]).rare(),
        Flag::of("template-date", "DATE", &["template_date"]).rare(),
        Flag::of("on-rewritten-prompt", "POLICY", &["on_rewritten_prompt"]).rare(),
    ]
}

/// Returns the flag for the pairs that several answers with scores give.
pub(crate) fn answer_pairs<C>() -> Flag<C> {
    Flag::of("answer-pairs", "WHICH", &["answer_pairs"]).rare()
}

/// A configuration with a weight for each source of data.
pub(crate) trait Weighs {
    /// Returns the weights, to be changed.
    fn data_weights(&mut self) -> &mut Vec<f64>;
}

/// Returns the flag for the weights of the data.
pub(crate) fn data_weights<C: Weighs + 'static>() -> Flag<C> {
    let help = "Weight of each --data in the loss, above 0, such as 1,0.25 [default: 1 each]";
    let flag = Flag::change(
        "data-weights",
        "W,W",
        &["data_weights"],
        help,
        |config: &mut C, text, _| {
            let weights = text
                .split(',')
                .map(|weight| number("--data-weights", weight.trim()));
            *config.data_weights() = weights.collect::<Result<_, _>>()?;
            Ok(())
        },
    );
    flag.rare()
}

/// Returns the flag for the folder that keeps tokens on disk.
pub(crate) fn token_store<C>() -> Flag<C> {
    Flag::of("token-store", "DIR", &["token_store"]).rare()
}

/// Returns the flag that trains low-rank adapters instead of all weights.
pub(crate) fn lora<C: Adapts + 'static>(
    paths: &'static [&'static str],
    help: &'static str,
) -> Flag<C> {
    Flag::switch("lora", paths, help, |config: &mut C, _, _| {
        adapters(config);
        Ok(())
    })
}

/// Returns the flags for the form of the adapters. Each flag also switches adapters on.
pub(crate) fn lora_form<C: Adapts + 'static>(paths: &'static [&'static str]) -> Vec<Flag<C>> {
    let flags = vec![
        Flag::change(
            "lora-rank",
            "R",
            paths,
            "Rank of the adapters, 1 or more; switches --lora on",
            |config: &mut C, text, _| {
                adapters(config).rank = number("--lora-rank", text)?;
                Ok(())
            },
        ),
        Flag::change(
            "lora-alpha",
            "ALPHA",
            paths,
            "Scale of the adapters, above 0; switches --lora on",
            |config: &mut C, text, _| {
                let alpha: f64 = number("--lora-alpha", text)?;
                if !alpha.is_finite() {
                    return Err(format!("--lora-alpha {text}: not a finite number").into());
                }
                adapters(config).alpha = alpha;
                Ok(())
            },
        ),
        Flag::change(
            "lora-targets",
            "NAMES",
            paths,
            "Linear layers that get an adapter, such as q_proj,v_proj; switches --lora on",
            |config: &mut C, text, _| {
                let names = text.split(',').map(|name| name.trim().to_owned());
                adapters(config).targets = names.filter(|name| !name.is_empty()).collect();
                Ok(())
            },
        ),
        Flag::switch(
            "rslora",
            paths,
            "Multiply the adapters by alpha / √rank instead of alpha / rank (rsLoRA); switches \
             --lora on",
            |config: &mut C, _, _| {
                adapters(config).scaling = LoraScaling::RankStabilised;
                Ok(())
            },
        ),
    ];
    flags.into_iter().map(Flag::rare).collect()
}

/// Returns the options of the adapters, after switching adapters on.
fn adapters<C: Adapts>(config: &mut C) -> &mut LoraConfig {
    let fresh = config.fresh_adapters();
    let adaptation = config.adaptation();
    if matches!(adaptation, Adaptation::Full) {
        *adaptation = Adaptation::Lora(fresh);
    }
    match adaptation {
        Adaptation::Lora(lora) => lora,
        Adaptation::Full => unreachable!("adapters are switched on"),
    }
}

fn number<N: std::str::FromStr>(flag: &str, text: &str) -> Result<N, Failure> {
    text.parse()
        .map_err(|_| format!("{flag} {text}: not a number of this kind").into())
}

/// Returns the flag for the precision of products.
pub(crate) fn precision<C>() -> Flag<C> {
    Flag::of("product-precision", "TYPE", &["precision"]).rare()
}

/// Returns the flag for the activations that are saved for the backward pass.
pub(crate) fn saved_activations<C>() -> Flag<C> {
    Flag::of("saved-activations", "TYPE", &["saved_activations"]).rare()
}

/// Returns the flag for the weights that answers are written with.
pub(crate) fn generation_weights<C>() -> Flag<C> {
    Flag::of("generation-weights", "TYPE", &["generation_weights"]).rare()
}

/// Returns the flag for the keys and values that are kept while answers are written.
pub(crate) fn generation_cache<C>() -> Flag<C> {
    Flag::of("generation-cache", "TYPE", &["generation_cache"]).rare()
}

/// Help of `--lora` for commands that train nothing but the adapters.
pub(crate) const LORA: &str =
    "Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights";

/// Returns the flag for the loss on pairs.
pub(crate) fn loss<C: HasLoss + 'static>(
    paths: &'static [&'static str],
    help: &'static str,
) -> Flag<C> {
    Flag::change("loss", "NAME", paths, help, |config: &mut C, name, _| {
        let loss = name.parse::<PreferenceLoss>()?;
        // A loss that is already set keeps its options.
        if loss.name() != config.loss().name() {
            *config.loss() = loss;
        }
        Ok(())
    })
}

/// Returns the flag for the likelihood term that is added to the loss.
pub(crate) fn nll_anchor<C>(paths: &'static [&'static str]) -> Flag<C> {
    Flag::of("nll-anchor", "ALPHA", paths).rare()
}

/// Returns the flag for the strength of the loss.
pub(crate) fn beta<C: HasLoss + 'static>(
    paths: &'static [&'static str],
    help: &'static str,
) -> Flag<C> {
    Flag::change("beta", "BETA", paths, help, |config: &mut C, text, _| {
        let beta = text.parse().map_err(|_| "not a number")?;
        *config.loss() = config.loss().with_beta(beta);
        Ok(())
    })
}
