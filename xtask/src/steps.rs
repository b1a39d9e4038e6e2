//! Steps of the check, cheapest first.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

use crate::{layers, licences, links, prose, readmes};

/// One step: a name for `--only`, a description and a function.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<(), String>,
}

/// Root folder and packages of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// Metadata of the workspace's packages; dependencies are read by the step that needs them.
    pub(crate) own: Metadata,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, String> {
        let own = MetadataCommand::new()
            .no_deps()
            .exec()
            .map_err(|error| format!("cargo metadata: {error}"))?;
        Ok(Self {
            root: own.workspace_root.clone().into_std_path_buf(),
            own,
        })
    }

    /// Reads the metadata of all possible dependencies, including those of the CUDA backend.
    pub(crate) fn dependencies(&self) -> Result<Metadata, String> {
        // With `--locked` a lock file that is out of date fails here, in the first second.
        let options = ["--locked", "--features", "collimate/cuda"].map(String::from);
        MetadataCommand::new()
            .current_dir(&self.root)
            .other_options(options)
            .exec()
            .map_err(|error| format!("cargo metadata --locked: {error}"))
    }

    /// Returns the names of the published packages, in the order of their layers.
    pub(crate) fn published(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .own
            .workspace_packages()
            .into_iter()
            .filter(|package| package.publish.as_ref().is_none_or(|to| !to.is_empty()))
            .map(|package| package.name.as_str())
            .collect();
        names.sort_by_key(|name| (layers::layer(name), *name));
        names
    }

    fn unpublished(&self) -> Vec<&str> {
        let published = self.published();
        self.own
            .workspace_packages()
            .into_iter()
            .map(|package| package.name.as_str())
            .filter(|name| !published.contains(name))
            .collect()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of build outputs.
    pub(crate) fn target(&self) -> PathBuf {
        self.own.target_directory.clone().into_std_path_buf()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // Cargo sets CARGO for the programs that it runs, so the toolchain stays the same.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).args(arguments);
        command
    }

    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        self.cargo_with(arguments, None)
    }

    fn cargo_with(&self, arguments: &[&str], env: Option<(&str, &str)>) -> Result<(), String> {
        let mut command = self.command(arguments);
        let mut line = format!("cargo {}", arguments.join(" "));
        if let Some((name, value)) = env {
            command.env(name, value);
            line = format!("{name}={value:?} {line}");
        }
        println!("$ {line}");
        let status = command
            .status()
            .map_err(|error| format!("{line}: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{line}: {status}"))
        }
    }

    /// Runs a cargo command and returns the text of stdout.
    pub(crate) fn cargo_output(&self, arguments: &[&str]) -> Result<String, String> {
        let line = format!("cargo {}", arguments.join(" "));
        let output = self
            .command(arguments)
            .output()
            .map_err(|error| format!("{line}: {error}"))?;
        if output.status.success() {
            String::from_utf8(output.stdout).map_err(|error| format!("{line}: {error}"))
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(format!("{line}: {}", stderr.trim()))
        }
    }
}

/// Returns all steps in the order in which they run.
pub(crate) fn all() -> Vec<Step> {
    let step = |name, about, run| Step { name, about, run };
    vec![
        step("fmt", "formatting, by rustfmt", fmt),
        step(
            "prose",
            "doc comments begin with their subject and use plain words",
            prose::run,
        ),
        step(
            "licences",
            "every dependency comes from crates.io under an allowed licence",
            licences::run,
        ),
        step(
            "links",
            "relative links of Markdown files, their anchors, and the book's list of pages",
            links::run,
        ),
        step(
            "layers",
            "crates use only lower layers; those without Burn stay without it",
            layers::run,
        ),
        step("clippy", "lints as errors, all targets", clippy),
        step("test", "cargo test --workspace", test),
        step("doc", "documentation without a warning", doc),
        step(
            "alone",
            "each crate without Burn type-checks without what other crates and tests enable",
            alone,
        ),
        step(
            "readmes",
            "each README's Rust blocks compile with the `cargo add` lines printed there",
            readmes::run,
        ),
        step("cuda", "the CUDA backend type-checks", cuda),
        step("package", "every published crate packs", package),
    ]
}

fn fmt(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo(&["fmt", "--all", "--check"])
}

fn clippy(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

/// Runs the test command of the README, word for word.
fn test(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo(&["test", "--workspace"])
}

fn doc(workspace: &Workspace) -> Result<(), String> {
    let warnings = Some(("RUSTDOCFLAGS", "-D warnings"));
    workspace.cargo_with(&["doc", "--workspace", "--no-deps"], warnings)
}

/// Checks each crate without Burn alone. `cargo check` of a library leaves out dev-dependencies and the
/// features that they enable.
///
/// Of the crates with Burn, step `readmes` checks each alone with flex, and step `cuda` checks all of
/// them without flex.
fn alone(workspace: &Workspace) -> Result<(), String> {
    for name in workspace.published() {
        if layers::is_light(name) {
            workspace.cargo(&["check", "-p", name])?;
        }
    }
    Ok(())
}

/// Type-checks the CUDA backend. `DOCS_RS` makes a dependency's build script skip the download of
/// LLVM, which type-checking does not need and an offline machine does not get.
fn cuda(workspace: &Workspace) -> Result<(), String> {
    let arguments = [
        "check",
        "-p",
        "collimate",
        "--no-default-features",
        "--features",
        "cuda",
    ];
    workspace.cargo_with(&arguments, Some(("DOCS_RS", "1")))
}

/// Packs every published crate. Verification would compile each packed crate in its own folder, and
/// Burn again for each; step `alone` has already checked the same sources, hence `--no-verify`. The
/// check also runs before a commit, hence `--allow-dirty`.
fn package(workspace: &Workspace) -> Result<(), String> {
    let mut arguments = vec!["package", "--workspace", "--no-verify", "--allow-dirty"];
    for name in workspace.unpublished() {
        arguments.extend(["--exclude", name]);
    }
    workspace.cargo(&arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_the_costly_steps_come_late() {
        let names: Vec<&str> = all().iter().map(|step| step.name).collect();
        let set: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(set.len(), names.len());
        assert_eq!(names[..5], ["fmt", "prose", "licences", "links", "layers"]);
    }

    #[test]
    fn every_crate_has_a_layer_and_the_command_comes_last() {
        let workspace = Workspace::find().unwrap();
        let published = workspace.published();
        assert_eq!(published.first(), Some(&"collimate-core"));
        assert_eq!(published.last(), Some(&"collimate-cli"));
        assert!(published.iter().all(|name| layers::layer(name).is_some()));
        assert!(workspace.unpublished().contains(&"xtask"));
    }
}
