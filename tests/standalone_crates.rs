//! One crate of the workspace, used alone by another project.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{root, text};

const MAIN: &str = r#"//! Chooses self-labels.
use collimate_status::{FilterConfig, MinCount, PairFilter};

fn main() {
    let mut config = FilterConfig::default();
    config.thresholds.min_count = MinCount::Absolute(1);
    let scores = [(1.5, -1.5), (0.1, 0.0)];
    match PairFilter::new(config, 0.0, scores.len()) {
        Ok(filter) => println!("{:?}", filter.decide(&scores).selection),
        Err(error) => eprintln!("error: {error}"),
    }
}
"#;

/// Makes a package outside the workspace that depends on one of its crates.
fn scratch(folder: &Path) {
    let path = fs::canonicalize(root().join("crates/collimate-status")).unwrap();
    let manifest = format!(
        "[package]\nname = \"scratch\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[dependencies]\ncollimate-status = {{ path = {path:?} }}\n"
    );
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), MAIN).unwrap();
    // Versions that are available without a network.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("standalone");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn the_filter_comes_without_burn() {
    let folder = tempfile::tempdir().unwrap();
    scratch(folder.path());
    cargo(folder.path(), &["check", "--quiet", "--offline"]);
    let tree = cargo(folder.path(), &["tree", "--offline", "--prefix", "none"]);
    let names: Vec<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(names.contains(&"collimate-status"), "{tree}");
    assert!(names.contains(&"collimate-core"), "{tree}");
    let heavy = |name: &&&str| name.starts_with("burn") || ["cubecl", "tokenizers"].contains(name);
    assert_eq!(names.iter().find(heavy), None, "{tree}");
}
