//! Products of bf16 on vectors of 512 bits (AVX-512 BF16).

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use super::{BLOCK, DEPTH, Registers, TILE};

/// Number of rows whose sums stay in registers: each has two vectors.
const ROWS: usize = 8;

/// Returns true if the processor has the instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f")
}

/// The vector registers, which need no set-up.
#[derive(Debug)]
pub(super) struct Vectors(());

impl Registers for Vectors {
    fn new() -> Self {
        assert!(is_available(), "a processor without AVX-512 BF16");
        Self(())
    }

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
        for first in (0..BLOCK).step_by(ROWS) {
            // SAFETY: the instructions are there, by `new`. By the assertions, all loads lie in the
            // slices; the stores cover `ROWS` rows of `out`.
            #[allow(unsafe_code)]
            unsafe {
                let out = out.as_mut_ptr().add(first * BLOCK);
                rows(
                    a.as_ptr().add(first * row),
                    row,
                    b.map(<[u16]>::as_ptr),
                    tiles,
                    out,
                );
            }
        }
    }
}

/// Computes some rows of a block.
///
/// # Safety
/// The processor must have AVX-512 BF16. `a` must have `ROWS` rows of `tiles · 32` elements, `row`
/// elements apart, each of `b` must have `tiles` tiles, and `out` must have `ROWS` rows of a block.
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(unsafe_code)]
unsafe fn rows(a: *const u16, row: usize, b: [*const u16; 2], tiles: usize, out: *mut f32) {
    // SAFETY: by the caller's promise. Vectors are read and written without alignment.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for pair in 0..tiles * DEPTH / 2 {
            let left: [__m512i; 2] = [
                _mm512_loadu_si512(b[0].add(pair * 32).cast()),
                _mm512_loadu_si512(b[1].add(pair * 32).cast()),
            ];
            let right: [__m512bh; 2] = std::mem::transmute(left);
            for (m, sums) in sums.iter_mut().enumerate() {
                let two = a.add(m * row + 2 * pair).cast::<i32>().read_unaligned();
                let two: __m512bh = std::mem::transmute(_mm512_set1_epi32(two));
                sums[0] = _mm512_dpbf16_ps(sums[0], two, right[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], two, right[1]);
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            _mm512_storeu_ps(out.add(m * BLOCK), sums[0]);
            _mm512_storeu_ps(out.add(m * BLOCK + 16), sums[1]);
        }
    }
}
