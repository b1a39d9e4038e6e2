//! Folders whose configuration ties output and embedding although their weights differ.

use super::models::check_causal;
use super::*;
use common::{edit_config, edit_tensors, read_tensors, warned};

const WEIGHTS: &str = "model.safetensors";

fn names(dir: &Path) -> Vec<String> {
    let tensors = read_tensors(&dir.join(WEIGHTS));
    tensors.into_iter().map(|(name, ..)| name).collect()
}

/// The fixture's numbers are those of transformers for two matrices. Transformers reads the changed
/// folder in the same way.
#[test]
fn two_different_matrices_are_not_tied() {
    let device = collimate_testkit::flex().without_autodiff();
    let untied = fixture("llama-untied");
    let expected = json(&untied.join("expected.json"));
    let dir = copy(&untied);
    edit_config(dir.path(), |c| c["tie_word_embeddings"] = true.into());
    let (_, told) = warned(|| check_causal(dir.path(), &expected, &device));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("lm_head.weight differs from model.embed_tokens.weight"),
        "{told}"
    );
    // The saved folder states what it holds.
    let out = tempfile::tempdir().unwrap();
    let (model, _) = warned(|| Llama::load(dir.path(), &device).unwrap());
    model.save(out.path()).unwrap();
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["tie_word_embeddings"], false);
    assert!(names(out.path()).contains(&"lm_head.weight".to_owned()));
    let (_, told) = warned(|| check_causal(out.path(), &expected, &device));
    assert_eq!(told, "");
}

#[test]
fn the_same_matrix_twice_is_one() {
    let device = collimate_testkit::flex().without_autodiff();
    let tied = fixture("llama-gqa-tied");
    let dir = copy(&tied);
    edit_tensors(dir.path(), |tensors| {
        let embedding = tensors.iter().find(|t| t.0 == "model.embed_tokens.weight");
        let mut head = embedding.unwrap().clone();
        head.0 = "lm_head.weight".to_owned();
        tensors.push(head);
    });
    let expected = json(&tied.join("expected.json"));
    let (_, told) = warned(|| check_causal(dir.path(), &expected, &device));
    assert_eq!(told, "");
    let model = Llama::load(dir.path(), &device).unwrap();
    assert!(model.config().tie_word_embeddings);
    let out = tempfile::tempdir().unwrap();
    model.save(out.path()).unwrap();
    assert!(!names(out.path()).contains(&"lm_head.weight".to_owned()));
    // A reward model of the folder leaves nothing out.
    let (_, told) = warned(|| Llama::load_reward(dir.path(), &device).unwrap());
    assert_eq!(told, "");
}

/// The output matrix is not an embedding unless the folder ties the two.
#[test]
fn an_output_does_not_stand_in_for_an_embedding() {
    let device = collimate_testkit::flex().without_autodiff();
    let dir = copy(&fixture("llama-untied"));
    edit_tensors(dir.path(), |tensors| {
        tensors.retain(|t| t.0 != "model.embed_tokens.weight");
    });
    for error in [
        Llama::load(dir.path(), &device).unwrap_err(),
        Llama::load_reward(dir.path(), &device).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("model.embed_tokens.weight"), "{error}");
        assert!(error.contains("missing"), "{error}");
    }
    // A reward model of a complete folder warns that the output is left out.
    let (_, told) = warned(|| Llama::load_reward(&fixture("llama-untied"), &device).unwrap());
    assert!(
        told.contains("neither read nor saved: lm_head.weight"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1);
}
