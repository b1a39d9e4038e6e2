//! A save in shards that is killed at any moment. The test has no harness, because it starts itself
//! as the process that is killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use collimate_core::Key;
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::{HfFolder, SaveOptions};

const FOLDER: &str = "COLLIMATE_SAVE_TEST_FOLDER";
const INDEX: &str = "model.safetensors.index.json";
const ROUNDS: u64 = 40;
/// Sizes of shards: each gives another number of files.
const SIZES: [u64; 3] = [60_000, 150_000, 400_000];

fn main() {
    match std::env::var(FOLDER) {
        Ok(folder) => child(Path::new(&folder)),
        Err(_) => a_killed_save_leaves_no_half_model_that_opens(),
    }
}

fn device() -> Device {
    collimate_testkit::flex().without_autodiff()
}

fn model(seed: u64) -> Llama {
    let config = LlamaConfig {
        vocab_size: 1000,
        hidden_size: 64,
        intermediate_size: 192,
        ..LlamaConfig::default()
    };
    Llama::new(&config, Key::new(seed, "init"), &device()).unwrap()
}

fn save(model: &Llama, shard_bytes: Option<u64>, folder: &Path) {
    let options = SaveOptions {
        shard_bytes,
        ..SaveOptions::default()
    };
    model.save_with(&options, folder).unwrap();
}

/// The process that is killed: it saves two models in turn. After each save it waits as long as the
/// save took, so that about half of the kills find a whole model on any machine.
fn child(folder: &Path) {
    let models = [model(0), model(1)];
    for (turn, size) in SIZES.iter().cycle().enumerate() {
        let started = Instant::now();
        save(&models[turn % 2], Some(*size), folder);
        thread::sleep(started.elapsed());
    }
}

/// Returns the bytes of a model in one file.
fn bytes(model: &Llama) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    save(model, None, folder.path());
    fs::read(folder.path().join("model.safetensors")).unwrap()
}

/// Returns the number of files with weights.
fn shards(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".safetensors"))
        .count()
}

fn a_killed_save_leaves_no_half_model_that_opens() {
    let known = [bytes(&model(0)), bytes(&model(1))];
    assert!(known[0] != known[1]);
    let folder = tempfile::tempdir().unwrap();
    let (mut whole, mut refused) = (0, 0);
    // A busy machine saves slowly: the rounds become longer until a save is finished.
    let mut patience = 1;
    let started = Instant::now();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(patience * (40 + round * 37 % 160)));
        if round % 10 == 9 && whole == 0 {
            patience *= 3;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match Llama::load(folder.path(), &device()) {
            Ok(found) => {
                assert!(
                    known.contains(&bytes(&found)),
                    "round {round}: half a model opens"
                );
                whole += 1;
            }
            Err(error) => {
                let text = error.to_string();
                let index = folder.path().join(INDEX);
                assert!(!index.exists(), "round {round}: {text}");
                refused += 1;
            }
        }
    }
    let seconds = started.elapsed().as_secs();
    println!("{ROUNDS} kills in {seconds} s: {whole} whole models, {refused} refused");
    assert!(
        whole >= 1 && refused >= 3,
        "{whole} whole, {refused} refused"
    );
    // A save after all these kills leaves neither parts nor shards of earlier saves.
    save(&model(0), Some(SIZES[1]), folder.path());
    let index = fs::read_to_string(folder.path().join(INDEX)).unwrap();
    let last = (1..100).take_while(|n| index.contains(&format!("model-{n:05}-of-")));
    assert_eq!(shards(folder.path()), last.count());
    assert_eq!(
        bytes(&Llama::load(folder.path(), &device()).unwrap()),
        known[0]
    );
}
