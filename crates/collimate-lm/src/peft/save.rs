//! Writing of the adapters that a model has learned.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Tensor;
use collimate_nn::{Adaptable, AdapterBase, LoadError, LowRank, SaveError, SaveOptions};
use serde_json::json;

use super::unchanged::{Place, check_unchanged};
use super::{CONFIG, Chain, PREFIX, TENSORS};
use crate::hf::{INDEX, JsonConfig, SINGLE, Weights, Written, prepare, write_json, write_tensors};

/// A module that is written whole, such as a head.
pub(crate) struct Whole {
    /// Name in `modules_to_save`.
    pub(crate) module: String,
    pub(crate) tensors: Vec<Written>,
}

/// Parts of an adapter folder that depend on the kind of model.
pub(crate) struct Form {
    /// `task_type` of PEFT.
    pub(crate) task: Option<&'static str>,
    /// True if the base model stores the matrices of layers as `[in, out]`.
    pub(crate) transposed: bool,
    /// Prefix of the layers' paths in the class of the base model.
    pub(crate) prefix: String,
    pub(crate) whole: Vec<Whole>,
}

/// Update of one layer.
struct Update {
    a: Tensor<2>,
    b: Tensor<2>,
    rank: usize,
    alpha: f64,
}

impl Update {
    /// Joins updates of one layer: `Σ sᵢ·Bᵢ·Aᵢ` is one product of matrices with the ranks added.
    fn of(learned: &[LowRank]) -> Self {
        if let [one] = learned {
            let rank = one.a.dims()[0];
            return Self {
                a: one.a.clone(),
                b: one.b.clone(),
                rank,
                alpha: one.scale * rank as f64,
            };
        }
        let a = Tensor::cat(learned.iter().map(|one| one.a.clone()).collect(), 0);
        let scaled = learned
            .iter()
            .map(|one| one.b.clone().mul_scalar(one.scale));
        let rank = a.dims()[0];
        Self {
            b: Tensor::cat(scaled.collect(), 1),
            a,
            rank,
            alpha: rank as f64,
        }
    }
}

/// Writes what the adapters of `model` have learned beyond the weights of `base` as a folder of
/// PEFT. `place` says where a parameter is stored in the base model; it leaves out the parameters
/// that [`Form::whole`] holds.
pub(crate) fn save_adapter<M: Adaptable>(
    model: &M,
    base: &AdapterBase<'_>,
    options: &SaveOptions,
    form: Form,
    dir: &Path,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<(), SaveError> {
    let wrong = |message: String| SaveError::Serialize {
        path: dir.to_owned(),
        message,
    };
    let unread = |error: LoadError| wrong(error.to_string());
    let root = super::root(base.dir).map_err(unread)?;
    let (name, revision) = base_name(base, &root).map_err(unread)?;
    let mut learned: BTreeMap<String, Vec<LowRank>> = BTreeMap::new();
    let mut all = Vec::new();
    for (path, linear) in model.clone().linears_mut() {
        all.push(path.clone());
        let linear = linear.clone().merged();
        if !linear.learned.is_empty() {
            learned.insert(path, linear.learned);
        }
    }
    if learned.is_empty() {
        return Err(SaveError::NoAdapter {
            path: dir.to_owned(),
        });
    }
    let weights = Weights::open(&root).map_err(unread)?;
    check_unchanged(model, &learned, &weights, place).map_err(wrong)?;

    let mut tensors = Vec::new();
    let mut updates = BTreeMap::new();
    let full = |path: &str| format!("{}{path}", form.prefix);
    for (path, learned) in &learned {
        let path = full(path);
        let Update { a, b, rank, alpha } = Update::of(learned);
        tensors.push(Written::of(format!("{PREFIX}{path}.lora_A.weight"), a));
        tensors.push(Written::of(format!("{PREFIX}{path}.lora_B.weight"), b));
        updates.insert(path, (rank, alpha));
    }
    let modules: Vec<String> = form.whole.iter().map(|w| w.module.clone()).collect();
    let all: Vec<String> = all.iter().map(|path| full(path)).collect();
    for tensor in form.whole.into_iter().flat_map(|whole| whole.tensors) {
        tensors.push(tensor.with_prefix(PREFIX));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));

    let rank = most_frequent(updates.values().map(|(rank, _)| *rank));
    let alpha = f64::from_bits(most_frequent(updates.values().map(|(_, a)| a.to_bits())));
    let pattern = |path: &str| path.replace('.', "\\.");
    let ranks = updates.iter().filter(|(_, update)| update.0 != rank);
    let alphas = updates.iter().filter(|(_, update)| update.1 != alpha);
    if dir.join(SINGLE).exists() || dir.join(INDEX).exists() {
        return Err(wrong(
            "the folder holds the weights of a model: save the adapter into another folder"
                .to_owned(),
        ));
    }
    prepare(dir)?;
    // New tensors must not meet old options, also after a kill.
    match std::fs::remove_file(dir.join(CONFIG)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(wrong(format!("{CONFIG} cannot be replaced: {error}")));
        }
        _ => {}
    }
    write_tensors(&dir.join(TENSORS), &tensors, options.dtype)?;
    write_json(
        &dir.join(CONFIG),
        &json!({
            "peft_type": "LORA",
            "task_type": form.task,
            "base_model_name_or_path": name,
            "revision": revision,
            "inference_mode": true,
            "r": rank,
            "lora_alpha": number(alpha),
            "lora_dropout": 0.0,
            "target_modules": targets(&all, &updates),
            "exclude_modules": null,
            "modules_to_save": (!modules.is_empty()).then_some(modules),
            "rank_pattern": ranks.map(|(path, (rank, _))| (pattern(path), json!(rank)))
                .collect::<serde_json::Map<_, _>>(),
            "alpha_pattern": alphas.map(|(path, (_, alpha))| (pattern(path), number(*alpha)))
                .collect::<serde_json::Map<_, _>>(),
            "bias": "none",
            "fan_in_fan_out": form.transposed,
            "init_lora_weights": true,
            "use_rslora": false,
            "use_dora": false,
        }),
    )
}

/// Returns name and revision of the base model for `adapter_config.json`. If the base is an adapter,
/// its update is part of the new one, and the name is that of the adapter's base model. A path
/// relative to that adapter's folder becomes absolute.
fn base_name(base: &AdapterBase<'_>, root: &Path) -> Result<(String, Option<String>), LoadError> {
    let (mut dir, mut name) = (base.dir.to_owned(), base.name.to_owned());
    let mut revision = base.revision.map(str::to_owned);
    while dir != root {
        let config = JsonConfig::read_file(dir.join(CONFIG))?;
        name = config.require("base_model_name_or_path")?;
        revision = config.string("revision")?;
        let beside = dir.join(&name);
        let next = super::base_of(&dir)?.unwrap_or_else(|| root.to_owned());
        if next == beside && !Path::new(&name).exists() {
            let whole = beside.canonicalize().unwrap_or(beside);
            let whole = whole.to_string_lossy();
            // Other programs do not read the verbatim paths of Windows.
            name = whole.strip_prefix(r"\\?\").unwrap_or(&whole).to_owned();
        }
        dir = next;
    }
    Ok((name, revision))
}

/// Returns the last parts of the layers' paths, if they select these layers and no others, else the
/// whole paths.
fn targets(all: &[String], updates: &BTreeMap<String, (usize, f64)>) -> Vec<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let names: BTreeSet<String> = updates.keys().map(|path| last(path)).collect();
    let selected = all.iter().filter(|path| names.contains(&last(path)));
    match selected.count() == updates.len() {
        true => names.into_iter().collect(),
        false => updates.keys().cloned().collect(),
    }
}

/// Returns the most frequent value; on a tie, the smallest.
fn most_frequent<V: Ord + Copy + Default>(values: impl Iterator<Item = V>) -> V {
    let mut counts: BTreeMap<V, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|&(_, count)| count);
    most.map(|(value, _)| value).unwrap_or_default()
}

/// Returns a whole number without a fraction, as PEFT writes alphas.
fn number(value: f64) -> serde_json::Value {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => json!(value as i64),
        false => json!(value),
    }
}

impl Chain {
    /// Returns true if an adapter brings the tensor `name`.
    pub(crate) fn brings(&self, name: &str) -> bool {
        self.adapters
            .iter()
            .any(|adapter| adapter.whole.contains_key(name))
    }

    /// Replaces tensors of the base model by the adapters' whole tensors.
    pub(crate) fn replace(&self, weights: &mut Weights) {
        for adapter in &self.adapters {
            adapter.replace(weights);
        }
    }

    /// Folds all adapters into a model. `names` gives the paths that a layer may have in a file.
    pub(crate) fn apply<M: Adaptable>(
        &self,
        model: M,
        names: impl Fn(&str) -> Vec<String>,
    ) -> Result<M, LoadError> {
        let mut adapters = self.adapters.iter();
        adapters.try_fold(model, |model, adapter| adapter.apply(model, &names))
    }
}
