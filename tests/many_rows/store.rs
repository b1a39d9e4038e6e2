//! Training pairs as tokens on disk: `--token-store`.

use super::*;
use crate::common::rows;

const STEPS: [&str; 8] = [
    "--max-length",
    "48",
    "--steps",
    "4",
    "--batch",
    "8",
    "--lr",
    "1e-3",
];

/// Runs a command in memory, then with a store, then with the same store again.
fn three_runs(command: &str, more: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_rows(&path.join("pairs.jsonl"), &rows(80));
    let model = model();
    let files = ["--data", "pairs.jsonl", "--model", &model];
    let start = |out: &str, store: &[&str]| {
        let all = [&files[..], &STEPS, more, store, &["--out", out]].concat();
        text(&succeed(command, path, &all).stderr)
    };
    start("memory", &[]);
    let told = start("disk", &["--token-store", "store"]);
    assert!(
        told.contains("tokens of the training pairs: store/"),
        "{told}"
    );
    assert!(told.contains("80 rows read as trl, 80 kept"), "{told}");
    let made = fs::metadata(store(path).join("ids.u32"))
        .unwrap()
        .modified()
        .unwrap();
    let told = start("again", &["--token-store", "store"]);
    assert!(told.contains("80 rows read as trl, 80 kept"), "{told}");
    let ids = fs::metadata(store(path).join("ids.u32")).unwrap();
    assert_eq!(ids.modified().unwrap(), made, "the store is built once");
    for name in ["loss", "grad_norm"] {
        near(
            &logged(&path.join("disk"), name),
            &logged(&path.join("memory"), name),
        );
        assert_eq!(
            logged(&path.join("again"), name),
            logged(&path.join("disk"), name)
        );
    }
    folder
}

/// Returns the only store in the folder.
fn store(folder: &Path) -> std::path::PathBuf {
    let mut stores = fs::read_dir(folder.join("store")).unwrap();
    let store = stores.next().unwrap().unwrap().path();
    assert!(stores.next().is_none());
    store
}

#[test]
fn dpo_on_disk_is_dpo_in_memory() {
    let folder = three_runs("dpo", &[]);
    let path = folder.path();
    let accuracy = |run: &str| {
        let summary = json(&path.join(run).join("summary.json"));
        summary["policies"][0]["validation_accuracy"].clone()
    };
    assert!(accuracy("memory").is_number());
    assert_eq!(accuracy("disk"), accuracy("memory"));
    three_runs("dpo", &["--lora", "--loss", "slic_hf"]);
}

#[test]
fn a_reward_model_on_disk_is_one_in_memory() {
    let folder = three_runs("reward", &[]);
    let path = folder.path();
    let test = |run: &str| json(&path.join(run).join("summary.json"))["test"].clone();
    assert!(test("memory")["accuracy"].is_number());
    assert_eq!(test("disk"), test("memory"));
    // Other data get a store of their own beside the first one.
    write_rows(&path.join("pairs.jsonl"), &rows(90));
    let model = model();
    let files = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--token-store",
        "store",
    ];
    succeed(
        "reward",
        path,
        &[&files[..], &STEPS, &["--out", "other"]].concat(),
    );
    assert_eq!(fs::read_dir(path.join("store")).unwrap().count(), 2);
}

#[test]
fn a_damaged_store_and_swapped_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_rows(&path.join("pairs.jsonl"), &rows(40));
    let model = model();
    let files = [
        "--data",
        "pairs.jsonl",
        "--model",
        &model,
        "--token-store",
        "store",
    ];
    let output = run(
        "dpo",
        path,
        &[&files[..], &["--label-noise", "0.2"]].concat(),
    );
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("leave out --label-noise or --token-store"),
        "{told}"
    );
    succeed(
        "dpo",
        path,
        &[&files[..], &STEPS, &["--out", "first"]].concat(),
    );
    let ids = fs::File::options()
        .write(true)
        .open(store(path).join("ids.u32"))
        .unwrap();
    ids.set_len(8).unwrap();
    let output = run(
        "dpo",
        path,
        &[&files[..], &STEPS, &["--out", "second"]].concat(),
    );
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("delete the folder"),
        "{told}"
    );
    assert!(!told.contains("panicked"), "{told}");
}
