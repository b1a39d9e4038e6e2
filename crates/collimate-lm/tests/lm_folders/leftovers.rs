//! Remains of a killed save do not stay in a folder that is saved again.

use super::*;
use collimate_nn::Pooling;

const PARTS: [&str; 2] = [
    ".unfinished-4242-0-model.safetensors",
    ".unfinished-4242-1-config.json",
];

fn litter(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for part in PARTS {
        std::fs::write(dir.join(part), "half").unwrap();
    }
}

fn parts(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    names
        .filter(|n| n.to_string_lossy().starts_with(".unfinished-"))
        .count()
}

#[test]
fn a_save_removes_the_parts_of_an_earlier_one() {
    let model = Llama::load(&fixture("llama-gqa-tied"), &device()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    litter(dir.path());
    model.save(dir.path()).unwrap();
    assert_eq!(parts(dir.path()), 0);
    litter(dir.path());
    model
        .save_reward(
            &head(32, false),
            Pooling::LastToken,
            &saved(Some(0), 64),
            dir.path(),
        )
        .unwrap();
    assert_eq!(parts(dir.path()), 0);
}

#[test]
fn and_so_in_the_folders_of_modules() {
    let model = Encoder::load(&fixture("bert-mean"), &device()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folders = ["", "1_Pooling", "2_Dense"].map(|name| dir.path().join(name));
    folders.iter().for_each(|folder| litter(folder));
    model
        .save_reward(&head(32, true), Pooling::Mean, &saved(None, 32), dir.path())
        .unwrap();
    for folder in &folders {
        assert_eq!(parts(folder), 0, "{}", folder.display());
    }
}

#[test]
fn a_save_does_not_leave_an_index_of_other_weights() {
    let model = Llama::load(&fixture("llama-gqa-tied"), &device()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors.index.json"), "{}").unwrap();
    let error = model.save(dir.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors.index.json"), "{error}");
    assert!(!dir.path().join("model.safetensors").exists());
}
