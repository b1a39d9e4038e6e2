//! Time and memory of ranking N margins, as one line of JSON.
//!
//! ```text
//! cargo run --release -p collimate-irm --example rank_margins [N]
//! ```
//!
//! The same numbers as in the workspace's `peers/rank_margins.py`.

use std::time::Instant;

use collimate_irm::{share_count, top_k};
use rayon::prelude::*;

/// The i-th margin, uniform in [−4, 4): SplitMix64 of i, of which 28 bits are used, so that sums
/// of 10 million are exact in f64 and agree in any order.
fn margin(i: u64) -> f64 {
    let mut z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 36) as f64 / (1_u64 << 25) as f64 - 4.0
}

/// The process's peak memory in MB, where the system says it.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n: u64 = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|error| format!("N = {text:?}: {error}"))?,
        None => 10_000_000,
    };
    let margins: Vec<f64> = (0..n).into_par_iter().map(margin).collect();
    let k = share_count(0.7, margins.len())?;
    let mut seconds = Vec::new();
    let mut kept_sum = 0.0;
    for _ in 0..5 {
        let start = Instant::now();
        let selection = top_k(&margins, k);
        seconds.push(start.elapsed().as_secs_f64());
        kept_sum = selection.kept.iter().map(|kept| kept.score).sum();
    }
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "n": n,
        "k": k,
        "seconds": seconds[2],
        "peak_rss_mb": peak_rss_mb(),
        "kept_sum": kept_sum,
    });
    println!("{line}");
    Ok(())
}
