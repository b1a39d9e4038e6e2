//! Test of the READMEs. For every README, a package outside the workspace is made from the
//! `cargo add` lines and the Rust blocks printed there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::Workspace;

/// The argument of `cargo add` that the READMEs print for a crate of this workspace.
const SOURCE: &str = "--git \"$COLLIMATE\"";

/// Commands and programs of one README.
#[derive(Debug, PartialEq, Eq)]
struct Readme {
    /// Arguments of `cargo add`, one entry per line.
    adds: Vec<String>,
    /// Programs, one for each Rust block.
    programs: Vec<String>,
}

/// Type-checks every README's blocks with only the crates that its `cargo add` lines add.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let target = workspace.target().join("readmes");
    for name in workspace.published() {
        let folder = workspace.root().join("crates").join(name);
        let path = folder.join("README.md");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let readme = Readme::parse(&text);
        if readme.programs.is_empty() && name == "collimate-cli" {
            continue; // A program: its README has no library to show.
        }
        if readme.adds.is_empty() || readme.programs.is_empty() {
            return Err(format!(
                "{}: needs `cargo add` lines and a Rust block",
                path.display()
            ));
        }
        readme
            .check(workspace, &target.join(name))
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

impl Readme {
    fn parse(text: &str) -> Self {
        let mut adds = Vec::new();
        let mut programs = Vec::new();
        let mut block: Option<(bool, Vec<&str>)> = None;
        for line in text.lines() {
            match (&mut block, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let rust = language == "rust" || language.starts_with("rust,");
                    block = Some((rust, Vec::new()));
                }
                (Some(_), Some(_)) => {
                    if let Some((true, lines)) = block.take() {
                        programs.push(program(&lines));
                    }
                }
                (Some((true, lines)), None) => lines.push(line),
                (Some((false, _)), None) => {
                    adds.extend(line.strip_prefix("cargo add ").map(str::to_owned));
                }
                (None, None) => {}
            }
        }
        Self { adds, programs }
    }

    fn check(&self, workspace: &Workspace, folder: &Path) -> Result<(), String> {
        let bins = folder.join("src/bin");
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| format!("{path}: {error}")
        };
        fs::create_dir_all(&bins).map_err(io(&bins))?;
        let manifest = folder.join("Cargo.toml");
        fs::write(&manifest, manifest_of(workspace)?).map_err(io(&manifest))?;
        // Versions with which the workspace is tested.
        let lock = folder.join("Cargo.lock");
        fs::copy(workspace.root().join("Cargo.lock"), &lock).map_err(io(&lock))?;
        for (index, program) in self.programs.iter().enumerate() {
            let path = bins.join(format!("block{index}.rs"));
            fs::write(&path, program).map_err(io(&path))?;
        }
        for line in &self.adds {
            let mut arguments = vec!["add".to_owned(), "--quiet".to_owned()];
            arguments.extend(arguments_of(line, workspace.root()));
            cargo(folder, &arguments, None)?;
        }
        let check = ["check", "--quiet", "--bins"].map(str::to_owned);
        cargo(folder, &check, Some(&workspace.target()))
    }
}

/// Returns the arguments of a printed line, with the crates of this checkout instead of the repository.
fn arguments_of(line: &str, root: &Path) -> Vec<String> {
    let name = line.split_whitespace().next().unwrap_or_default();
    let path = root.join("crates").join(name).display().to_string();
    let own = line.contains(SOURCE);
    let rest = line.replace(SOURCE, "");
    let mut arguments: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if own {
        arguments.extend(["--path".to_owned(), path]);
    }
    arguments
}

/// Makes the manifest of a separate package with the workspace's profile, so that Burn is checked
/// only once for both.
fn manifest_of(workspace: &Workspace) -> Result<String, String> {
    let path = workspace.root().join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let section = |name: &str| {
        let start = text.find(name)?;
        let rest = &text[start + name.len()..];
        let end = rest
            .find("\n[")
            .map_or(text.len(), |end| start + name.len() + end);
        Some(text[start..end].trim_end())
    };
    let profile = ["[profile.dev]", "[profile.dev.package.\"*\"]"]
        .iter()
        .filter_map(|name| section(name))
        .collect::<Vec<_>>()
        .join("\n\n");
    Ok(format!(
        "[package]\nname = \"scratch\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n{profile}\n"
    ))
}

/// Makes a program of a block, as rustdoc does: hidden lines are shown, and `?` may be used.
fn program(lines: &[&str]) -> String {
    let shown: Vec<&str> = lines
        .iter()
        .map(|line| match line.trim_start() {
            "#" => "",
            hidden => hidden.strip_prefix("# ").unwrap_or(line),
        })
        .collect();
    let body = shown.join("\n");
    let allow = "#![allow(unused, dead_code)]\n";
    if body.contains("fn main(") {
        return format!("{allow}{body}\n");
    }
    let result = shown.iter().rev().find(|line| !line.trim().is_empty());
    if result.is_some_and(|line| line.starts_with("Ok::<")) {
        return format!(
            "{allow}fn main() {{\n    fn block() -> Result<(), impl std::fmt::Debug> {{\n{body}\n    }}\n    \
             block().unwrap();\n}}\n"
        );
    }
    format!("{allow}fn main() {{\n{body}\n}}\n")
}

fn cargo(folder: &Path, arguments: &[String], target: Option<&PathBuf>) -> Result<(), String> {
    let line = format!("cargo {}", arguments.join(" "));
    println!("$ {line}");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).args(arguments);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().map_err(|e| format!("{line}: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_is_taken_apart() {
        let text = "# x\n\n```rust\nlet a = 1;\n# hidden();\n# Ok::<(), E>(())\n```\n\n```rust,no_run\nb();\n```\n\n\
                    ```text\ncargo add x --git \"$COLLIMATE\" --features flex\ncargo add serde_json\ncargo run\n```\n";
        let readme = Readme::parse(text);
        assert_eq!(readme.programs.len(), 2);
        assert!(readme.programs[0].contains("\nhidden();\n"));
        assert!(readme.programs[0].contains("block().unwrap()"));
        assert!(!readme.programs[1].contains("block()"));
        assert_eq!(readme.adds.len(), 2);
        let root = Path::new("/r");
        assert_eq!(
            arguments_of(&readme.adds[0], root),
            ["x", "--features", "flex", "--path", "/r/crates/x"]
        );
        assert_eq!(arguments_of(&readme.adds[1], root), ["serde_json"]);
    }
}
