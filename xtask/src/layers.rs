//! Layers of the crates: a crate may use only lower layers.

use cargo_metadata::DependencyKind;

use crate::steps::Workspace;

/// The layer of each published crate: it may use crates of lower layers only.
const LAYERS: [(&str, u8); 30] = [
    ("collimate-core", 0),
    ("collimate-files", 0),
    ("collimate-status", 1),
    ("collimate-irm", 1),
    ("collimate-ifeval", 1),
    ("collimate-world", 1),
    ("collimate-eval", 1),
    ("collimate-gguf", 1),
    ("collimate-hub", 1),
    ("collimate-remote", 1),
    ("collimate-ops", 1),
    ("collimate-losses", 1),
    ("collimate-data", 2),
    ("collimate-nn", 2),
    ("collimate-lm", 3),
    ("collimate-train", 3),
    ("collimate-run", 4),
    ("collimate-direct", 5),
    ("collimate-ppo", 5),
    ("collimate-reward", 5),
    ("collimate-judge", 5),
    ("collimate-label", 5),
    ("collimate-recipes", 6),
    ("collimate-learner", 6),
    ("collimate", 7),
    ("collimate-cli", 8),
    // Unpublished; they may use anything.
    ("collimate-testkit", UNPUBLISHED),
    ("collimate-bench", UNPUBLISHED),
    ("collimate-examples", UNPUBLISHED),
    ("collimate-experiments", UNPUBLISHED),
];

/// Layer above all published crates.
const UNPUBLISHED: u8 = 9;

/// Crates that must build without Burn.
const LIGHT: [&str; 14] = [
    "collimate-core",
    "collimate-files",
    "collimate-status",
    "collimate-ifeval",
    "collimate-irm",
    "collimate-data",
    "collimate-world",
    "collimate-eval",
    "collimate-gguf",
    "collimate-hub",
    "collimate-remote",
    "collimate-judge",
    "collimate-label",
    "collimate-experiments",
];

/// Crates of the workspace that tests may use although their layer is not lower.
const FOR_TESTS: [&str; 2] = ["collimate-testkit", "collimate-experiments"];

pub(crate) fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, layer)| layer)
}

pub(crate) fn is_light(name: &str) -> bool {
    LIGHT.contains(&name)
}

pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let mut problems = Vec::new();
    for package in workspace.own.workspace_packages() {
        let name = package.name.as_str();
        if name == "xtask" {
            continue;
        }
        if layer(name).is_none() {
            problems.push(format!(
                "{name} has no layer: add it to xtask/src/layers.rs"
            ));
        }
        for dependency in &package.dependencies {
            let test_only = dependency.kind == DependencyKind::Development;
            problems.extend(objection(name, &dependency.name, test_only));
        }
    }
    for name in LIGHT {
        let tree = workspace.cargo_output(&[
            "tree", "-p", name, "-e", "normal", "--prefix", "none", "--target", "all",
        ])?;
        problems.extend(burn_in(&tree).map(|line| format!("{name} must not use Burn: {line}")));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Returns the reason why `user` may not use `used`, if there is one.
fn objection(user: &str, used: &str, test_only: bool) -> Option<String> {
    let below = layer(used)?;
    let above = layer(user)?;
    if above == UNPUBLISHED || below < above || (test_only && FOR_TESTS.contains(&used)) {
        return None;
    }
    Some(format!(
        "{user} (layer {above}) must not use {used} (layer {below}): only lower layers"
    ))
}

/// Returns the first line of a `cargo tree` listing that is a crate of Burn or a crate under it.
fn burn_in(tree: &str) -> Option<&str> {
    tree.lines().find(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        name == "burn" || name.starts_with("burn-") || name.starts_with("cubecl")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_layers_and_what_is_for_tests() {
        assert_eq!(objection("collimate-nn", "collimate-ops", false), None);
        assert_eq!(objection("collimate-nn", "serde", false), None);
        assert_eq!(objection("collimate-ops", "collimate-testkit", true), None);
        assert_eq!(objection("collimate-testkit", "collimate-ops", false), None);
        let (cli, plans) = ("collimate-cli", "collimate-experiments");
        assert_eq!(objection(cli, plans, true), None);
        assert!(objection(cli, plans, false).is_some());
        assert!(objection("collimate-ops", "collimate-testkit", false).is_some());
        assert!(objection("collimate-ops", "collimate-nn", false).is_some());
        assert!(objection("collimate-status", "collimate-eval", false).is_some());
        assert!(objection("collimate-status", "collimate-eval", true).is_some());
    }

    #[test]
    fn burn_is_found_by_name() {
        assert_eq!(
            burn_in("collimate-data v0.1.0\nburnt v1.0.0\nserde v1"),
            None
        );
        assert_eq!(
            burn_in("a v1\nburn-flex v0.22.1 (*)"),
            Some("burn-flex v0.22.1 (*)")
        );
        assert_eq!(burn_in("burn v0.22.1"), Some("burn v0.22.1"));
    }
}
