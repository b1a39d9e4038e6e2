//! Reading of panels: the elements of two inputs at a time, as f32.

use pulp::Simd;

/// Form of the elements in a panel. All forms give the same sums in the same order: the elements
/// that they return are exact.
pub(super) trait Form<S: Simd> {
    /// Unit of the panel.
    type Unit: Copy + Send + Sync;

    /// Number of vectors of units that hold the elements of two inputs.
    const VECTORS: usize;

    /// Largest number of rows for which elements are widened as they are read. For more rows, a
    /// panel is widened once, in memory.
    const DIRECT: usize;

    /// Returns the elements for inputs `2·pair` and `2·pair + 1`, of two vectors each.
    ///
    /// # Safety
    /// The panel at `panel` must hold more than `pair` pairs of inputs.
    #[allow(unsafe_code)]
    unsafe fn pair(simd: S, panel: *const Self::Unit, pair: usize) -> [[S::f32s; 2]; 2];
}

/// Returns a vector of a panel.
///
/// # Safety
/// The panel must hold more than `vector` vectors of this type.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn vector<T, V: Copy>(panel: *const T, vector: usize) -> V {
    // SAFETY: by the caller's promise. Vectors are read without alignment.
    unsafe { panel.cast::<V>().add(vector).read_unaligned() }
}

/// Elements of f32.
pub(super) struct F32s;

impl<S: Simd> Form<S> for F32s {
    type Unit = f32;

    const VECTORS: usize = 4;
    const DIRECT: usize = usize::MAX;

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn pair(_: S, panel: *const f32, pair: usize) -> [[S::f32s; 2]; 2] {
        let first = 4 * pair;
        // SAFETY: by the caller's promise.
        unsafe {
            [
                [vector(panel, first), vector(panel, first + 1)],
                [vector(panel, first + 2), vector(panel, first + 3)],
            ]
        }
    }
}

/// Elements of bf16, two in a unit.
pub(super) struct Bf16s;

impl<S: Simd> Form<S> for Bf16s {
    type Unit = u32;

    const VECTORS: usize = 2;
    const DIRECT: usize = 6;

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn pair(simd: S, panel: *const u32, pair: usize) -> [[S::f32s; 2]; 2] {
        // SAFETY: by the caller's promise.
        unsafe {
            [
                halves(simd, vector(panel, 2 * pair)),
                halves(simd, vector(panel, 2 * pair + 1)),
            ]
        }
    }
}

/// Returns the low and the high halves of the units as the upper halves of f32.
#[inline(always)]
fn halves<S: Simd>(simd: S, units: S::u32s) -> [S::f32s; 2] {
    let low = simd.wrapping_dyn_shl_u32s(units, simd.splat_u32s(16));
    let high = simd.and_u32s(units, simd.splat_u32s(0xffff_0000));
    [
        simd.transmute_f32s_u32s(low),
        simd.transmute_f32s_u32s(high),
    ]
}
