//! Runs the tests of the operations, losses, models and trainings on a GPU device, or on a driver
//! that computes Vulkan on the CPU.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::steps::Workspace;

/// Options of `cargo xtask gpu`.
#[derive(Debug, Args)]
pub(crate) struct Gpu {
    /// Device to test; the build has the feature of the same name. Mesa 22.3's software driver crashes
    /// on the shaders of `vulkan`
    #[arg(long, value_enum, default_value_t = Backend::Wgpu)]
    device: Backend,
    /// Let `vulkan` and `wgpu` take the machine's own driver, not Mesa's software driver
    #[arg(long)]
    hardware: bool,
    /// Run only this test program (may be given several times)
    #[arg(long, value_name = "PROGRAM")]
    only: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// Vulkan
    Vulkan,
    /// The interface that wgpu prefers
    Wgpu,
    /// Apple's Metal
    Metal,
    /// NVIDIA's CUDA
    Cuda,
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
        }
    }
}

/// Test programs that run on every device of the test kit, by package.
const PROGRAMS: [(&str, &[&str]); 9] = [
    (
        "collimate-ops",
        &[
            "ops_adapted",
            "ops_cached",
            "ops_disentangled",
            "ops_golden",
            "ops_host",
            "ops_naive",
            "ops_properties",
            "ops_recompute",
            "ops_window",
        ],
    ),
    (
        "collimate-losses",
        &["losses_direct", "losses_golden", "losses_properties"],
    ),
    ("collimate-nn", &["nn_dropout", "nn_layers", "nn_packs"]),
    (
        "collimate-lm",
        &["lm_generate", "lm_invariants", "lm_parity"],
    ),
    ("collimate-train", &["train_fit"]),
    ("collimate-direct", &["direct_pairs", "direct_sft"]),
    ("collimate-reward", &["reward_numbers", "reward_training"]),
    (
        "collimate-ppo",
        &["ppo_golden", "ppo_properties", "ppo_training"],
    ),
    ("collimate", &["accelerator", "accelerator_reads"]),
];

/// Packages of Debian with the loader and the software driver.
const PACKAGES: [&str; 2] = ["libvulkan1", "mesa-vulkan-drivers"];

pub(crate) fn run(options: &Gpu) -> Result<(), String> {
    let name = options.device.name();
    let software = matches!(options.device, Backend::Vulkan | Backend::Wgpu) && !options.hardware;
    let driver = software.then(software_driver).transpose()?;
    let workspace = Workspace::find()?;
    let mut arguments = vec!["test", "--no-fail-fast", "-p", "collimate-testkit"];
    let feature = format!("collimate-testkit/{name}");
    arguments.extend(["--features", feature.as_str()]);
    for unknown in &options.only {
        let known = PROGRAMS.iter().flat_map(|(_, all)| *all);
        if !known.clone().any(|program| program == unknown) {
            let known: Vec<&str> = known.copied().collect();
            return Err(format!(
                "there is no test program {unknown:?} for devices; there are {}",
                known.join(", ")
            ));
        }
    }
    let chosen =
        |program: &str| options.only.is_empty() || options.only.iter().any(|only| only == program);
    // All packages are always built with the same features, so `--only` builds nothing anew.
    for (package, programs) in PROGRAMS {
        arguments.extend(["-p", package]);
        for program in programs.iter().filter(|program| chosen(program)) {
            arguments.extend(["--test", program]);
        }
    }
    // One test at a time shows which test is slow, and a software driver has no room for more.
    arguments.extend(["--", "--test-threads", "1"]);
    let mut command = workspace.command(&arguments);
    command.env("COLLIMATE_TEST_DEVICE", name);
    if let Some(driver) = &driver {
        println!("driver: {}", driver.display());
        command
            .env("VK_DRIVER_FILES", driver)
            .env("VK_ICD_FILENAMES", driver);
    }
    println!(
        "$ COLLIMATE_TEST_DEVICE={name} cargo {}",
        arguments.join(" ")
    );
    let begin = Instant::now();
    let counts = follow(command)?;
    let seconds = begin.elapsed().as_secs_f64();
    for failed in &counts.failed {
        println!("failed: {failed}");
    }
    println!(
        "{name}: {} tests passed, {} failed, in {seconds:.0} s with the build",
        counts.passed,
        counts.failed.len()
    );
    match counts.ended_well && counts.failed.is_empty() && counts.passed > 0 {
        true => Ok(()),
        false => Err(format!("not every test passed on {name}")),
    }
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: Vec<String>,
    ended_well: bool,
}

impl Counts {
    /// Reads one line of a test program, such as `test name ... ok`.
    fn read(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test ") else {
            return;
        };
        match rest.rsplit_once(" ... ") {
            Some((_, "ok")) => self.passed += 1,
            Some((name, "FAILED")) => self.failed.push(name.to_owned()),
            _ => {}
        }
    }
}

/// Runs the command, shows its output, and counts the tests.
fn follow(mut command: Command) -> Result<Counts, String> {
    let told = |error: std::io::Error| format!("cargo test: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(told)?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(told)?;
            println!("{line}");
            counts.read(&line);
        }
    }
    counts.ended_well = child.wait().map_err(told)?.success();
    Ok(counts)
}

/// Returns the file that names Mesa's software driver to the Vulkan loader. Installs the driver if
/// it is missing and this user may install packages.
fn software_driver() -> Result<PathBuf, String> {
    if let Some(found) = find_driver() {
        return Ok(found);
    }
    let install = format!("apt-get install -y {}", PACKAGES.join(" "));
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root {
        return Err(format!(
            "Mesa's software driver for Vulkan is missing: run `{install}` as root, or name your \
             own driver with --hardware"
        ));
    }
    println!("$ {install}");
    let status = Command::new("apt-get")
        .args(["install", "-y"])
        .args(PACKAGES)
        .status();
    match status {
        Ok(status) if status.success() => {
            find_driver().ok_or(format!("{install}: the driver is still missing"))
        }
        Ok(status) => Err(format!("{install}: {status}")),
        Err(error) => Err(format!("{install}: {error}")),
    }
}

fn find_driver() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let entries = folders.map(|folder| Path::new(folder).read_dir().ok());
    let files = entries.into_iter().flatten().flatten().flatten();
    files.map(|entry| entry.path()).find(|path| is_driver(path))
}

/// The name is `lvp_icd.x86_64.json` or, since Mesa 24, `lvp_icd.json`.
fn is_driver(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with("lvp_icd.") && name.ends_with(".json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lines_are_counted() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test setup::one ... ok",
            "test two ... FAILED",
            "test three ... ignored",
            "test result: FAILED. 1 passed; 1 failed",
        ] {
            counts.read(line);
        }
        assert_eq!((counts.passed, counts.failed), (1, vec!["two".to_owned()]));
    }

    /// Returns true if a file or a folder's files mention a list of devices.
    fn on_devices(path: &Path) -> bool {
        let Ok(entries) = path.read_dir() else {
            let text = std::fs::read_to_string(path).unwrap();
            return ["devices()", "accelerator()"]
                .iter()
                .any(|name| text.contains(name));
        };
        entries.flatten().any(|entry| on_devices(&entry.path()))
    }

    #[test]
    fn every_program_on_devices_is_listed() {
        let workspace = Workspace::find().unwrap();
        let mut found = BTreeSet::new();
        for package in workspace.own.workspace_packages() {
            for target in package.targets.iter().filter(|target| target.is_test()) {
                let file = target.src_path.as_std_path();
                let whole = match file.file_name().is_some_and(|name| name == "main.rs") {
                    true => file.parent().unwrap(),
                    false => file,
                };
                if on_devices(whole) && package.name.as_str() != "xtask" {
                    found.insert((package.name.to_string(), target.name.clone()));
                }
            }
        }
        let listed = PROGRAMS.iter().flat_map(|(package, programs)| {
            let of = |program: &&str| (package.to_string(), program.to_string());
            programs.iter().map(of).collect::<Vec<_>>()
        });
        assert_eq!(found, listed.collect());
    }
}
