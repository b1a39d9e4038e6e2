//! The allocator of the program.
//!
//! Training allocates and frees large blocks all the time. The system's allocator returns each
//! block to the kernel and gets it back page by page. That costs a tenth of the time.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the next step. Memory that is returned to the system at once is later
/// handed out page by page, cleared each time. That takes a tenth of a training's time. The
/// environment variable `MIMALLOC_PURGE_DELAY` takes precedence.
pub(crate) fn keep_memory() {
    // SAFETY: sets a number; the option exists in all versions since 2.0.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 10_000);
    }
}
