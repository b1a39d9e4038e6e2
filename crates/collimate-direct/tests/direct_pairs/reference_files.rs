//! Reference log-probabilities on disk.

use burn::module::Module;
use collimate_direct::{load_reference_logps, pair_logps, save_reference_logps};
use collimate_nn::Forward;
use collimate_train::model_hash;

use crate::setup::{model, pairs, plain};

#[test]
fn written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.safetensors");
    let (reference, rows) = (model(1, &plain()), pairs(7, 2));
    let logps = pair_logps(&reference, &rows, Forward::EVAL, 64).unwrap();
    let hash = model_hash(&reference);
    save_reference_logps(&path, &hash, &rows, &logps).unwrap();
    assert_eq!(load_reference_logps(&path, &hash, &rows).unwrap(), logps);
    // The hash does not depend on whether gradients are tracked.
    assert_eq!(model_hash(&reference.clone().train()), hash);
    let message = |hash: &str, rows: &[_]| {
        load_reference_logps(&path, hash, rows)
            .unwrap_err()
            .to_string()
    };
    let other = model_hash(&model(2, &plain()));
    assert!(message(&other, &rows).contains("another reference model"));
    let mut turned = rows.clone();
    turned.swap(0, 1);
    assert!(message(&hash, &turned).contains("other pairs, another order"));
    let mut cut = rows.clone();
    cut[3].rejected.pop();
    assert!(message(&hash, &cut).contains("other pairs"));
    assert!(message(&hash, &rows[..6]).contains("other pairs"));
    assert!(save_reference_logps(&path, &hash, &rows, &logps[1..]).is_err());

    let bytes = std::fs::read(&path).unwrap();
    for broken in [
        &bytes[..bytes.len() - 3],
        &bytes[..20],
        b"no such file".as_slice(),
        b"",
    ] {
        std::fs::write(&path, broken).unwrap();
        let text = message(&hash, &rows);
        assert!(
            text.contains("not a file of reference log-probabilities"),
            "{text}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(message(&hash, &rows).contains("reference.safetensors"));
}
