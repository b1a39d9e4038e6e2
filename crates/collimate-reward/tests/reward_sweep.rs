//! Compares scores of random shapes of every family with transformers.
//! `tests/fixtures/sweep_families.py OUT` makes the folders; `COLLIMATE_FAMILY_SWEEP=OUT` names
//! them here.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use collimate_lm::{Encoder, Llama};
use collimate_nn::{Forward, HfFolder, HfReward, Pack};
use collimate_reward::RewardModel;
use collimate_testkit::{host, max_relative_error};
use serde_json::Value;

fn expected(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the largest relative error of the scores; `Err` if the folder is refused.
fn error<B: HfReward>(dir: &Path, expected: &Value) -> Result<f64, String> {
    let device = collimate_testkit::flex().without_autodiff();
    let model = RewardModel::<B>::load(dir, &device).map_err(|error| error.to_string())?;
    let (mut pack, mut wanted) = (Pack::new(), Vec::new());
    for row in expected["sequences"].as_array().unwrap() {
        let ids = row["ids"].as_array().unwrap().iter();
        let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
        if ids.len() <= model.backbone.max_positions() {
            pack.push_row(&ids);
            wanted.push(row["score"].as_f64().unwrap());
        }
    }
    let batch = pack.to_device(B::VISIBILITY, &device);
    let scores = host(&model.score(&batch, Forward::EVAL));
    Ok(max_relative_error(&scores, &wanted))
}

#[test]
fn scores_of_odd_shapes() {
    let Some(all) = std::env::var_os("COLLIMATE_FAMILY_SWEEP").map(PathBuf::from) else {
        println!(
            "skipped: COLLIMATE_FAMILY_SWEEP names no folder of tests/fixtures/sweep_families.py"
        );
        return;
    };
    let entries = std::fs::read_dir(&all).unwrap_or_else(|e| panic!("{}: {e}", all.display()));
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    dirs.retain(|dir| dir.join("expected.json").exists());
    dirs.sort();
    // Numbers of folders and of refused folders, the largest error, and the largest error of
    // transformers in float32.
    let mut table: BTreeMap<String, (usize, usize, f64, f64)> = BTreeMap::new();
    let (mut notes, mut wrong) = (String::new(), 0);
    for dir in &dirs {
        let expected = expected(dir);
        let compare = || match expected["kind"].as_str() {
            Some("decoder_reward") => Some(error::<Llama>(dir, &expected)),
            Some("encoder_reward") => Some(error::<Encoder>(dir, &expected)),
            _ => None,
        };
        let found = catch_unwind(AssertUnwindSafe(compare)).unwrap_or(Some(Ok(f64::INFINITY)));
        let Some(found) = found else { continue };
        let family = expected["family"].as_str().unwrap().to_owned();
        let row = table.entry(family).or_default();
        let gap = expected["float32_gap"].as_f64().unwrap();
        row.0 += 1;
        row.3 = row.3.max(gap);
        match found {
            Err(error) => {
                let error = error.split("; supported").next().unwrap();
                notes += &format!("refused: {error}\n");
                row.1 += 1;
                wrong += 1;
            }
            Ok(error) => {
                row.2 = row.2.max(error);
                if error > (5.0 * gap).max(1e-4) {
                    let (name, shape) = (dir.display(), &expected["shape"]);
                    notes += &format!("{name}: relative error {error:.1e}\n    {shape}\n");
                    wrong += 1;
                }
            }
        }
    }
    assert!(!table.is_empty(), "no reward models in {}", all.display());
    println!("family       shapes refused   scores  float32");
    for (family, (shapes, refused, worst, gap)) in table {
        println!("{family:12} {shapes:6} {refused:7} {worst:8.1e} {gap:8.1e}");
    }
    println!("{notes}float32: how far transformers' own float32 pass is from float64");
    assert_eq!(wrong, 0, "folders that differ, named above");
}
