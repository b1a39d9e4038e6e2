//! Products of bf16 matrices on the tile registers of newer Xeons (AMX): 16 rows of 64 bytes each.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::LazyLock;

use super::{BLOCK, DEPTH, Registers, TILE};

/// Number of the system call `arch_prctl` and its request for the permission to use a feature.
const ARCH_PRCTL: usize = 158;
const REQUEST: usize = 0x1023;
/// Number of the tile data among the processor's features.
const TILE_DATA: usize = 18;

static AVAILABLE: LazyLock<bool> = LazyLock::new(|| has_tiles() && request());

/// Returns true if the processor has tiles that multiply bf16, and the system lets this process use
/// them.
pub(super) fn is_available() -> bool {
    *AVAILABLE
}

fn has_tiles() -> bool {
    // The highest leaf is asked first.
    let most = __cpuid_count(0, 0).eax;
    if most < 7 {
        return false;
    }
    let found = __cpuid_count(7, 0).edx;
    let [bf16, tile] = [22, 24].map(|bit| found >> bit & 1 == 1);
    bf16 && tile
}

/// Asks the system for the permission to use tiles, which Linux gives since 5.16.
#[allow(unsafe_code)]
fn request() -> bool {
    #[cfg(target_os = "linux")]
    {
        let mut result = ARCH_PRCTL as isize;
        // SAFETY: the system call only sets a permission of this process. It changes `rcx` and `r11`.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") result,
                in("rdi") REQUEST,
                in("rsi") TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Layout of the tile registers: all eight have 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    columns: [u16; 16],
    rows: [u8; 16],
}

/// The tile registers of this thread while they are set up. Dropping gives them back, so a thread
/// has at most one of these at a time: a task that holds one waits for no other task.
#[derive(Debug)]
pub(super) struct Tiles(PhantomData<*const ()>);

impl Registers for Tiles {
    #[allow(unsafe_code)]
    fn new() -> Self {
        assert!(is_available(), "a processor without tiles");
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            columns: [0; 16],
            rows: [0; 16],
        };
        config.columns[..8].fill(64);
        config.rows[..8].fill(16);
        // SAFETY: the processor has the instruction, and the configuration is one that it takes.
        unsafe {
            asm!("ldtilecfg [{config}]", config = in(reg) &raw const config, options(nostack));
        }
        Self(PhantomData)
    }

    #[allow(unsafe_code)]
    fn block(
        &self,
        a: &[u16],
        row: usize,
        b: [&[u16]; 2],
        tiles: usize,
        out: &mut [f32; BLOCK * BLOCK],
    ) {
        assert!(a.len() >= (BLOCK - 1) * row + tiles * DEPTH, "32 rows");
        assert!(
            b.iter().all(|b| b.len() == tiles * TILE),
            "a column of tiles"
        );
        if tiles == 0 {
            out.fill(0.0);
            return;
        }
        let out = out.as_mut_ptr();
        // SAFETY: by the assertions, all loads lie in the slices; the stores cover `out`, row by row.
        // The registers are set up, because `Tiles` exists.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a0} + {row}]",
                "tileloadd tmm5, [{a1} + {row}]",
                "tileloadd tmm6, [{b0} + {line}]",
                "tileloadd tmm7, [{b1} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {tiles}",
                "jnz 2b",
                "tilestored [{out} + {wide}], tmm0",
                "tilestored [{out} + {wide} + 64], tmm1",
                "tilestored [{below} + {wide}], tmm2",
                "tilestored [{below} + {wide} + 64], tmm3",
                a0 = inout(reg) a.as_ptr() => _,
                a1 = inout(reg) a.as_ptr().add(16 * row) => _,
                b0 = inout(reg) b[0].as_ptr() => _,
                b1 = inout(reg) b[1].as_ptr() => _,
                row = in(reg) row * 2,
                line = in(reg) 64usize,
                tiles = inout(reg) tiles => _,
                out = in(reg) out,
                below = in(reg) out.add(16 * BLOCK),
                wide = in(reg) BLOCK * 4,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the processor has the instruction.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
