//! The allocator of the command, so that the measurement is that of the command.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the next step. Memory that is given back at once returns page by page,
/// cleared each time, and costs a tenth of a training's time. The environment variable
/// `MIMALLOC_PURGE_DELAY` takes precedence.
pub(crate) fn keep_memory() {
    // SAFETY: sets a number; the option exists in all versions since 2.0.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 10_000);
    }
}
