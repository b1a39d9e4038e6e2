//! Processor, memory and disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::preview::free_bytes;

/// The processor.
#[derive(Debug, Serialize)]
pub(super) struct Processor {
    pub(super) name: Option<String>,
    /// Instruction sets that fast code uses, and whether the processor supports each.
    pub(super) features: BTreeMap<&'static str, bool>,
}

/// Memory in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) available: u64,
}

/// Disk space for files.
#[derive(Debug, Serialize)]
pub(super) struct Disk {
    pub(super) folder: PathBuf,
    /// Free bytes in the current folder; absent if the system does not report them.
    pub(super) free: Option<u64>,
    pub(super) temporary: PathBuf,
    /// Reason why the temporary folder cannot be written; absent if it can.
    pub(super) temporary_problem: Option<String>,
}

/// Reads the facts about the processor.
pub(super) fn processor() -> Processor {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let of = |line: &str| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        };
        info.lines().find_map(of)
    };
    let flags = field("flags")
        .or_else(|| field("Features"))
        .unwrap_or_default();
    let flag = |name: &str| flags.split_whitespace().any(|known| known == name);
    Processor {
        name: field("model name").or_else(|| field("Hardware")),
        features: features(&flag),
    }
}

#[cfg(target_arch = "x86_64")]
fn features(flag: &dyn Fn(&str) -> bool) -> BTreeMap<&'static str, bool> {
    BTreeMap::from([
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512_bf16", std::is_x86_feature_detected!("avx512bf16")),
        // Stable Rust cannot detect it, so the list of the system is read.
        ("amx_bf16", flag("amx_bf16")),
    ])
}

#[cfg(not(target_arch = "x86_64"))]
fn features(flag: &dyn Fn(&str) -> bool) -> BTreeMap<&'static str, bool> {
    let names = ["asimd", "bf16", "i8mm", "sve"];
    names.into_iter().map(|name| (name, flag(name))).collect()
}

/// Reads the memory sizes; `None` on a system without /proc.
pub(super) fn memory() -> Option<Memory> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory {
        total: field("MemTotal:")?,
        available: field("MemAvailable:")?,
    })
}

/// Checks the current folder and the temporary folder.
pub(super) fn disk() -> Disk {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let temporary = std::env::temp_dir();
    Disk {
        free: free_bytes(&folder),
        temporary_problem: problem(&temporary),
        folder,
        temporary,
    }
}

/// Writes a file and removes it again; returns the reason of a failure.
fn problem(folder: &std::path::Path) -> Option<String> {
    let path = folder.join(format!("collimate-doctor-{}", std::process::id()));
    let written = std::fs::write(&path, b"written by collimate doctor\n");
    let removed = std::fs::remove_file(&path);
    written.and(removed).err().map(|error| error.to_string())
}
