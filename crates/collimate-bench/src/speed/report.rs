//! Result line of a measurement.

use collimate::run::peak_memory_bytes;
use serde_json::{Value, json};

use super::options::Work;
use super::peak::gemm_peak;

/// Work done in the measured time.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) seconds: f64,
    /// Number of pairs, if the work is on pairs.
    pub(crate) pairs: Option<f64>,
    /// Number of tokens as a library without shared prompts counts them.
    pub(crate) tokens: f64,
    /// Floating-point operations of the matrix products that the work needs.
    pub(crate) flops: f64,
    /// Losses of all steps, including those before the clock starts.
    pub(crate) losses: Vec<f64>,
    /// Further values of this kind of work.
    pub(crate) more: Vec<(&'static str, Value)>,
}

/// Returns the measurement as a JSON object. Call it last: it runs a matrix product for comparison,
/// which needs memory.
pub(crate) fn report(work: &Work, done: Done) -> Value {
    let memory = peak_memory_bytes().map(|bytes| round(bytes as f64 / (1 << 20) as f64, 1));
    let peak = gemm_peak();
    let per_second = |count: f64| round(count / done.seconds, 2);
    let mut line = json!({
        "work": work.name(),
        "library": concat!("collimate ", env!("CARGO_PKG_VERSION")),
        "pairs_per_s": done.pairs.map(per_second),
        "real_tokens_per_s": per_second(done.tokens),
        "tokens": done.tokens,
        "seconds": round(done.seconds, 4),
        "steps": work.common().steps,
        "batch": work.batch(),
        "peak_rss_mb": memory,
        "gemm_share": round(done.flops / done.seconds / peak, 4),
        "gemm_peak_gflops": round(peak / 1e9, 1),
        "gflops": round(done.flops / done.seconds / 1e9, 1),
        "threads": threads(),
        "losses": done.losses,
    });
    for (name, value) in done.more {
        line[name] = value;
    }
    line
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Number of threads of the parallel loops.
fn threads() -> usize {
    let set = std::env::var("RAYON_NUM_THREADS").ok();
    set.and_then(|text| text.parse().ok())
        .filter(|&threads| threads > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}
