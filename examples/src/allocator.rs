//! The allocator of all examples.
//!
//! Training asks for large blocks and gives them back all the time; the system's allocator hands
//! each to the kernel and gets it back page by page, which costs a tenth of the time.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
