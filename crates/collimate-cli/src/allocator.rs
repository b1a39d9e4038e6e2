//! The allocator of the program.
//!
//! Training asks for large blocks and gives them back all the time; the system's allocator hands
//! each to the kernel and gets it back page by page, which costs a tenth of the time.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the next step: given back at once, it comes back page by page, cleared
/// each time, a tenth of a training's time. `MIMALLOC_PURGE_DELAY` of the environment goes first.
pub(crate) fn keep_memory() {
    // SAFETY: sets a number; the option exists in all versions since 2.0.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 10_000);
    }
}
