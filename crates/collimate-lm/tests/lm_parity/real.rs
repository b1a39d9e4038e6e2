//! Real folders, if a variable names them.

use super::models::{check_causal, check_encoder};
use super::*;

fn real_folder(variable: &str) -> Option<PathBuf> {
    let dir = std::env::var_os(variable).map(PathBuf::from);
    if dir.is_none() {
        println!("{variable} names no folder: nothing compared");
    }
    dir
}

#[test]
fn tinystories() {
    let Some(dir) = real_folder("COLLIMATE_TINYSTORIES") else {
        return;
    };
    let expected = json(&fixtures().join("expected-tinystories.json"));
    for (device_name, device) in plain_devices() {
        let worst = check_causal(&dir, &expected, &device);
        println!("tinystories on {device_name}: largest relative error {worst:.1e}");
    }
}

#[test]
fn minilm() {
    let Some(dir) = real_folder("COLLIMATE_MINILM") else {
        return;
    };
    let expected = json(&fixtures().join("expected-minilm.json"));
    for (device_name, device) in plain_devices() {
        let worst = check_encoder(&dir, &expected, &device);
        println!("minilm on {device_name}: largest relative error {worst:.1e}");
    }
}
