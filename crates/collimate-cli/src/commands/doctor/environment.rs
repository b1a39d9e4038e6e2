//! Environment variables that the program, or a library in it, reads.

use serde::Serialize;

/// A variable that is set.
#[derive(Debug, Serialize)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// The value; `set` if the value may hold a password.
    pub(super) value: String,
    pub(super) effect: &'static str,
}

/// A known variable: name, effect, and whether the value may be printed.
type Known = (&'static str, &'static str, bool);

const KNOWN: [Known; 15] = [
    ("RUST_LOG", "messages that are logged", true),
    ("NO_COLOR", "no colours", true),
    ("RAYON_NUM_THREADS", "threads of the pool", true),
    (
        "COLLIMATE_BF16",
        "units for products of bf16: avx512 hides AMX, f32 hides AVX-512 too, other values hide nothing",
        true,
    ),
    (
        "MIMALLOC_PURGE_DELAY",
        "milliseconds until freed memory is returned to the system",
        true,
    ),
    ("RUST_BACKTRACE", "call stacks of panics", true),
    ("TMPDIR", "folder of temporary files", true),
    ("CUDA_VISIBLE_DEVICES", "GPUs that the program sees", true),
    ("CUDA_PATH", "folder of CUDA", true),
    ("HTTP_PROXY", "proxy for remote models", false),
    ("HTTPS_PROXY", "proxy for remote models", false),
    ("ALL_PROXY", "proxy for remote models", false),
    ("NO_PROXY", "hosts without a proxy", true),
    ("SSL_CERT_FILE", "certificates", true),
    ("OPENAI_API_KEY", "key of remote models", false),
];

/// Returns the known variables that are set, in a fixed order.
pub(super) fn all() -> Vec<Set> {
    let set = |(name, effect, printable): Known| {
        let value = std::env::var_os(name)?;
        Some(Set {
            name,
            value: match printable {
                true => value.to_string_lossy().into_owned(),
                false => "set".to_owned(),
            },
            effect,
        })
    };
    KNOWN.into_iter().filter_map(set).collect()
}
