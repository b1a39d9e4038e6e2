//! Random odd shapes of every family against transformers. `tests/fixtures/sweep_families.py OUT`
//! makes the folders, and `COLLIMATE_FAMILY_SWEEP=OUT` names them here. With
//! `COLLIMATE_FAMILY_SAVED` each model is also saved into a folder there, which
//! `sweep_families.py OUT --saved DIR` opens in transformers.

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use collimate_lm::Llama;
use collimate_nn::{
    Adapters, Backbone, CausalLm, Forward, HfFolder, KvCache, Pack, completion_logps,
};
use collimate_testkit::{host, max_relative_error};
use common::{changed, gradients, ids, json, numbers, read_tensors};
use serde_json::Value;

/// Difference of two logits below which their order may change.
const TIE: f64 = 1e-3;

/// Relative errors of values and of gradients above which they are reported.
const TARGETS: [f64; 2] = [1e-5, 1e-4];

/// Result for one folder.
#[derive(Default)]
struct Outcome {
    values: f64,
    gradients: f64,
    greedy: [usize; 3],
    too_long: usize,
    faults: Vec<String>,
    /// Errors above [`TARGETS`].
    above: Vec<String>,
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("a list")
}

impl Outcome {
    fn see(&mut self, what: &str, actual: &[f32], wanted: &[f64], allowed: f64) {
        let error = max_relative_error(actual, wanted);
        self.values = self.values.max(error);
        if error > allowed {
            self.faults
                .push(format!("{what}: relative error {error:.1e}"));
        } else if error > TARGETS[0] {
            self.above.push(format!("{what} {error:.1e}"));
        }
    }
}

/// Compares log-probabilities of whole sequences, and the logits after each, read in one piece and
/// in several.
fn sequences(out: &mut Outcome, model: &Llama, expected: &Value, allowed: f64) {
    let (mut pack, mut sums) = (Pack::new(), Vec::new());
    for row in list(expected, "sequences") {
        let tokens = ids(&row["ids"]);
        if tokens.len() > model.max_positions() {
            out.too_long += 1;
            continue;
        }
        pack.push_shared(&tokens[..1], &[&tokens[1..]]);
        sums.push(numbers(&row["token_logps"]).iter().sum());
        let logits = numbers(&row["last_logits"]);
        let cut = tokens.len() / 2;
        for parts in [vec![&tokens[..]], vec![&tokens[..cut], &tokens[cut..]]] {
            let mut cache = model.new_cache(Adapters::On);
            let at = cache.push();
            let mut last = Vec::new();
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                last = host(&model.extend(&[(at, part)], &mut cache));
            }
            let what = format!("logits after {} tokens", tokens.len());
            out.see(&what, &last, &logits, allowed);
        }
    }
    let batch = pack.to_device(Llama::VISIBILITY, &model.device());
    let found = host(&completion_logps(model, &batch, Forward::EVAL));
    out.see("log-probabilities", &found, &sums, allowed);
}

/// Compares greedy texts through the cache.
fn greedy(out: &mut Outcome, model: &Llama, expected: &Value) {
    for case in list(expected, "greedy") {
        let (prompt, wanted) = (ids(&case["prompt"]), ids(&case["new_ids"]));
        if prompt.len() + wanted.len() > model.max_positions() {
            out.too_long += 1;
            continue;
        }
        let mut cache = model.new_cache(Adapters::On);
        let row = cache.push();
        let (mut next, mut differs) = (prompt, None);
        for (at, &token) in wanted.iter().enumerate() {
            let logits = host(&model.extend(&[(row, &next)], &mut cache));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            if best != Some(token as usize) {
                differs = Some(at);
                break;
            }
            next = vec![token];
        }
        match differs {
            None => out.greedy[0] += 1,
            Some(at) if numbers(&case["margins"])[at] < TIE => out.greedy[1] += 1,
            Some(at) => {
                out.greedy[2] += 1;
                let margin = numbers(&case["margins"])[at];
                out.faults.push(format!(
                    "greedy text differs at token {at}, margin {margin:.1e}"
                ));
            }
        }
    }
}

/// Compares the loss of one DPO step, its log-probabilities and its gradients.
fn dpo(out: &mut Outcome, dir: &Path, model: &Llama, expected: &Value, allowed: f64) {
    let (mut pack, mut wanted) = (Pack::new(), Vec::new());
    let pairs = list(expected, "pairs");
    for pair in pairs {
        let [prompt, chosen, rejected] =
            ["prompt", "chosen", "rejected"].map(|key| ids(&pair[key]));
        if prompt.len() + chosen.len().max(rejected.len()) > model.max_positions() {
            out.too_long += 1;
            return;
        }
        pack.push_shared(&prompt, &[&chosen, &rejected]);
        wanted.extend(numbers(&pair["logps"]));
    }
    let batch = pack.to_device(Llama::VISIBILITY, &model.device());
    let logps = completion_logps(model, &batch, Forward::EVAL);
    out.see("pairs", &host(&logps), &wanted, allowed);
    let logps: Tensor<2> = logps.reshape([pairs.len(), 2]);
    let margins = logps.clone().narrow(1, 0, 1) - logps.narrow(1, 1, 1);
    let beta = expected["dpo_beta"].as_f64().unwrap();
    let loss = log_sigmoid(margins.mul_scalar(beta)).mean().neg();
    out.see(
        "loss",
        &host(&loss),
        &numbers(&expected["dpo_loss"]),
        allowed,
    );
    let grads = gradients(model, &loss.backward());
    let saved = |with: &dyn Fn(&str, usize) -> Vec<f32>| {
        let folder = tempfile::tempdir().unwrap();
        let model = changed(model, |path, values| *values = with(path, values.len()));
        model.save(folder.path()).unwrap();
        tensors(&folder.path().join("model.safetensors"))
    };
    // The gradients are laid out as in a file, whatever a loaded model adds to its weights.
    let zeros = saved(&|_, len| vec![0.0; len]);
    let found = saved(&|path, len| grads.get(path).cloned().unwrap_or(vec![0.0; len]));
    let wanted = tensors(&dir.join("gradients.safetensors"));
    if !found.keys().eq(wanted.keys()) {
        let (found, wanted) = (found.keys(), wanted.keys());
        out.faults
            .push(format!("tensors are {found:?}, not {wanted:?}"));
        return;
    }
    let largest = |values: &[f32]| values.iter().fold(0f32, |most, v| most.max(v.abs()));
    // Gradients that are zero except for rounding are compared in the scale of the others.
    let floor = 1e-3 * wanted.values().map(|v| largest(v)).fold(0.0, f32::max);
    let gap = expected["float32_gradient_gap"].as_f64().unwrap();
    let allowed = (5.0 * gap).max(1e-3);
    for (name, wanted) in &wanted {
        let both = found[name].iter().zip(&zeros[name]).zip(wanted);
        // NaN counts as an infinite difference.
        let apart = |((f, z), w): ((&f32, &f32), &f32)| match f64::from((f - z - w).abs()) {
            far if far.is_nan() => f64::INFINITY,
            far => far,
        };
        let far = both.map(apart).fold(0.0, f64::max);
        let error = far / f64::from(largest(wanted).max(floor));
        out.gradients = out.gradients.max(error);
        if found[name].len() != wanted.len() || error > allowed {
            out.faults
                .push(format!("gradient of {name}: relative error {error:.1e}"));
        } else if error > TARGETS[1] {
            let name = format!("gradient of {name}");
            out.above
                .push(format!("{name} {error:.1e} (float32 {gap:.1e})"));
        }
    }
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let all = read_tensors(path).into_iter();
    all.map(|(name, _, _, bytes)| {
        let values = bytes.chunks_exact(4);
        let value = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
        (name, values.map(value).collect())
    })
    .collect()
}

/// Compares one folder; `Err` means that the folder is refused.
fn compare(dir: &Path, index: usize, saved: Option<&Path>) -> Result<Outcome, String> {
    let expected = json(&dir.join("expected.json"));
    let device = collimate_testkit::flex();
    let plain = device.clone().without_autodiff();
    let model = Llama::load(dir, &plain).map_err(|error| error.to_string())?;
    let mut out = Outcome::default();
    let allowed = (5.0 * expected["float32_gap"].as_f64().unwrap()).max(1e-4);
    sequences(&mut out, &model, &expected, allowed);
    greedy(&mut out, &model, &expected);
    if let Some(saved) = saved {
        let path = saved.join(dir.file_name().unwrap());
        model.save(&path).map_err(|error| error.to_string())?;
    }
    let tracked = Llama::load(dir, &device).map_err(|error| error.to_string())?;
    let tracked = tracked.with_recompute(index % 2 == 1);
    dpo(&mut out, dir, &tracked, &expected, allowed);
    Ok(out)
}

/// Lists the folders of language models by family.
fn folders(all: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let entries = std::fs::read_dir(all).unwrap_or_else(|e| panic!("{}: {e}", all.display()));
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    for dir in dirs
        .into_iter()
        .filter(|dir| dir.join("expected.json").exists())
    {
        let expected = json(&dir.join("expected.json"));
        if expected["kind"] == "causal_lm" {
            let family = expected["family"].as_str().unwrap().to_owned();
            found.entry(family).or_default().push(dir);
        }
    }
    found
}

#[test]
fn odd_shapes_of_every_family() {
    let Some(all) = std::env::var_os("COLLIMATE_FAMILY_SWEEP").map(PathBuf::from) else {
        println!(
            "skipped: COLLIMATE_FAMILY_SWEEP names no folder of tests/fixtures/sweep_families.py"
        );
        return;
    };
    let saved = std::env::var_os("COLLIMATE_FAMILY_SAVED").map(PathBuf::from);
    let (mut table, mut notes, mut wrong) = (String::new(), String::new(), 0);
    let found = folders(&all);
    assert!(!found.is_empty(), "no folders in {}", all.display());
    for (family, dirs) in found {
        let (mut sum, mut refused, mut gaps) = (Outcome::default(), 0, [0f64; 2]);
        for (index, dir) in dirs.iter().enumerate() {
            let name = dir.file_name().unwrap().to_string_lossy();
            let compared = catch_unwind(AssertUnwindSafe(|| compare(dir, index, saved.as_deref())));
            let out = match compared {
                Ok(Ok(out)) => out,
                Ok(Err(error)) => {
                    let error = error.split("; supported").next().unwrap();
                    notes += &format!("refused: {error}\n");
                    refused += 1;
                    wrong += 1;
                    continue;
                }
                Err(_) => {
                    let faults = vec!["panics".to_owned()];
                    Outcome {
                        faults,
                        ..Outcome::default()
                    }
                }
            };
            let expected = json(&dir.join("expected.json"));
            let keys = ["float32_gap", "float32_gradient_gap"];
            let own = keys.map(|key| expected[key].as_f64().unwrap());
            for (most, own) in gaps.iter_mut().zip(own) {
                *most = most.max(own);
            }
            if !out.faults.is_empty() {
                let (faults, shape) = (out.faults.join("; "), &expected["shape"]);
                notes += &format!("{name}: {faults}\n    {shape}\n");
                wrong += 1;
            }
            if !out.above.is_empty() {
                let (above, [values, gradients]) = (out.above.join(", "), own);
                notes += &format!(
                    "above the target: {name}: {above} (float32 {values:.1e}, gradients {gradients:.1e})\n"
                );
            }
            sum.values = sum.values.max(out.values);
            sum.gradients = sum.gradients.max(out.gradients);
            sum.too_long += out.too_long;
            for (all, one) in sum.greedy.iter_mut().zip(out.greedy) {
                *all += one;
            }
        }
        let Outcome {
            values,
            gradients,
            greedy: [equal, ties, differ],
            too_long,
            ..
        } = sum;
        table += &format!(
            "{family:12} {:4} {refused:7} {values:8.1e} {:8.1e} {gradients:9.1e} {:8.1e} {equal:6} {ties:5} {differ:6} {too_long:8}\n",
            dirs.len(),
            gaps[0],
            gaps[1],
        );
    }
    println!(
        "family    shapes refused   values  float32 gradients  float32 greedy  ties differ too long"
    );
    println!("{table}{notes}float32: how far transformers' own float32 pass is from float64");
    assert_eq!(wrong, 0, "folders that differ, named above");
}
