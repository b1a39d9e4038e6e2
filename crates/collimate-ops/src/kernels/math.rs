//! Elementary functions that the compiler can vectorise, and reductions over fixed lanes.
//!
//! All functions here are inlined into a caller that runs under [`vectorised`]. They are therefore
//! compiled for AVX-512, AVX2 or NEON, as found at run time.

/// Number of lanes of a reduction: fixed, so that sums do not depend on the processor's vector
/// width.
const LANES: usize = 16;

/// Runs `work` compiled for the widest vectors of this processor.
#[inline]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Computes `eˣ` with a relative error below 2e-7; 0 below −87.3, finite up to 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.0);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    // ln 2 in two parts; the product of the first part with a whole number is exact.
    let r = power.mul_add(-0.693_359_4, clamped);
    let r = power.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let value = p.mul_add(r * r, r) + 1.0;
    let scale = f32::from_bits((exponent.wrapping_add(127) << 23) as u32);
    if x < -87.3 { 0.0 } else { value * scale }
}

/// Computes `tanh x` with a relative error below 3e-7.
///
/// Near zero, where `1 − 2 / (e²ˣ + 1)` would cancel, it uses the polynomial of Cephes (`tanhf`).
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let p = -5.704_988_7e-3f32;
    let p = p.mul_add(z, 2.063_908_8e-2);
    let p = p.mul_add(z, -5.373_971_5e-2);
    let p = p.mul_add(z, 1.333_144_2e-1);
    let p = p.mul_add(z, -3.333_328e-1);
    let near = (p * z).mul_add(x, x);
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 {
        near
    } else {
        far.copysign(x)
    }
}

/// Replaces every element by `cap · tanh(x / cap)`.
#[inline(always)]
pub(crate) fn soft_capped(values: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    for value in values.iter_mut() {
        *value = cap * tanh(*value * inverse);
    }
}

/// Applies [`soft_capped`] and stores the derivative `1 − tanh²` of every element.
#[inline(always)]
pub(crate) fn soft_capped_with_slopes(values: &mut [f32], slopes: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    for (value, slope) in values.iter_mut().zip(slopes) {
        let t = tanh(*value * inverse);
        *value = cap * t;
        *slope = t.mul_add(-t, 1.0);
    }
}

/// Computes `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Computes the normal distribution function `(1 + erf(x / √2)) / 2`.
///
/// `erfc(z) = t·exp(−z² + P(t))` with `t = 2 / (2 + z)` and the Chebyshev fit of Numerical Recipes
/// (`erfcc`). The relative error is 1.2e-7 in `erfc`, so the left tail stays accurate too.
#[inline(always)]
pub(crate) fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 2.0 / (2.0 + z);
    let p = 0.170_872_77f32;
    let p = p.mul_add(t, -0.822_152_23);
    let p = p.mul_add(t, 1.488_515_9);
    let p = p.mul_add(t, -1.135_204);
    let p = p.mul_add(t, 0.278_868_07);
    let p = p.mul_add(t, -0.186_288_06);
    let p = p.mul_add(t, 0.096_784_18);
    let p = p.mul_add(t, 0.374_091_96);
    let p = p.mul_add(t, 1.000_023_7);
    let p = p.mul_add(t, -1.265_512_2);
    let tail = 0.5 * t * exp((-z).mul_add(z, p));
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Computes the normal density.
#[inline(always)]
pub(crate) fn normal_density(x: f32) -> f32 {
    0.398_942_3 * exp(-0.5 * x * x)
}

/// The constants `√(2/π) · 2` and `√(2/π) · 2 · 0.044715`.
const LOGISTIC: [f32; 2] = [1.595_769, 0.071_354_814];

/// Computes the approximation `(1 + tanh u) / 2 = σ(2u)` of [`normal_cdf`], with
/// `u = √(2/π)·(x + 0.044715·x³)`. It is accurate in the left tail too.
#[inline(always)]
pub(crate) fn logistic_cdf(x: f32) -> f32 {
    // Beyond ±10 both tails vanish, and the cube at ±10 is far from an overflow.
    let x = x.clamp(-10.0, 10.0);
    let [a, b] = LOGISTIC;
    sigmoid(x * b.mul_add(x * x, a))
}

/// Computes the derivative of [`logistic_cdf`].
#[inline(always)]
pub(crate) fn logistic_density(x: f32) -> f32 {
    let cdf = logistic_cdf(x);
    let x = x.clamp(-10.0, 10.0);
    let [a, b] = LOGISTIC;
    cdf * (1.0 - cdf) * (3.0 * b).mul_add(x * x, a)
}

/// Returns the whole number nearest to `x`, for sizes below 2²²; the even one of two. NaN gives any
/// number.
#[inline(always)]
pub(crate) fn whole(x: f32) -> i32 {
    // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    ((x + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// Returns the largest size of an element, 0 for an empty slice. The result is not finite if an
/// element is not.
#[inline(always)]
pub(crate) fn largest_size(values: &[f32]) -> f32 {
    // The sizes of floats are in the order of their bits, and NaN has the largest bits.
    let bits = values.iter().map(|value| value.abs().to_bits());
    f32::from_bits(bits.fold(0, u32::max))
}

/// Returns the largest element; `-inf` for an empty slice.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = if value > *lane { value } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Computes the sum of `f(i)` for `i < len`, over fixed lanes.
#[inline(always)]
fn lane_sum(len: usize, mut add: impl FnMut(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = len / LANES * LANES;
    let mut base = 0;
    while base < whole {
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane = add(base + l, *lane);
        }
        base += LANES;
    }
    for (l, lane) in lanes.iter_mut().enumerate().take(len - whole) {
        *lane = add(whole + l, *lane);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Computes `Σ a`.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    lane_sum(a.len(), |i, lane| lane + a[i])
}

/// Computes `Σ a·b`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    lane_sum(a.len(), |i, lane| a[i].mul_add(b[i], lane))
}

/// Computes `Σ (a − mean)²`.
#[inline(always)]
pub(crate) fn sum_of_squared_distances(a: &[f32], mean: f32) -> f32 {
    lane_sum(a.len(), |i, lane| {
        let distance = a[i] - mean;
        distance.mul_add(distance, lane)
    })
}

/// Computes `Σ a·b·c`.
#[inline(always)]
pub(crate) fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let (b, c) = (&b[..a.len()], &c[..a.len()]);
    lane_sum(a.len(), |i, lane| (a[i] * b[i]).mul_add(c[i], lane))
}

/// Replaces every element by `exp(x − shift)`.
#[inline(always)]
pub(crate) fn exp_shifted(values: &mut [f32], shift: f32) {
    for value in values.iter_mut() {
        *value = exp(*value - shift);
    }
}

/// Computes `Σ e` and `Σ e·(x − shift)`, with `e = exp(x − shift)`.
#[inline(always)]
pub(crate) fn exp_moments(values: &[f32], shift: f32) -> (f32, f32) {
    let (mut sums, mut weighted) = ([0.0f32; LANES], [0.0f32; LANES]);
    for chunk in values.chunks(LANES) {
        for ((sum, weighted), value) in sums.iter_mut().zip(&mut weighted).zip(chunk) {
            let x = *value - shift;
            let e = exp(x);
            *sum += e;
            // A logit of −∞ contributes nothing.
            *weighted = e.mul_add(x.max(-1e4), *weighted);
        }
    }
    (sum(&sums), sum(&weighted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_range() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2e-7, "exp({x}): relative error {error:e}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn tanh_is_accurate_everywhere() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - expected).abs() / expected.abs().max(1e-30);
            assert!(error < 3e-7, "tanh({x}): relative error {error:e}");
        }
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::MIN), -1.0);
    }

    #[test]
    fn normal_cdf_has_its_symmetry_and_tails() {
        assert!((normal_cdf(0.0) - 0.5).abs() < 1e-7);
        assert!((normal_cdf(1.0) - 0.841_344_7).abs() < 2e-7);
        // Φ(−5) from tables.
        assert!((normal_cdf(-5.0) / 2.866_515_7e-7 - 1.0).abs() < 1e-5);
        assert_eq!(normal_cdf(40.0), 1.0);
        assert_eq!(normal_cdf(-40.0), 0.0);
    }

    #[test]
    fn reductions_cover_the_remainder() {
        for len in [0usize, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let n = len as f32;
            assert_eq!(sum(&a), n * (n - 1.0) / 2.0);
            assert_eq!(dot(&a, &a), (n - 1.0) * n * (2.0 * n - 1.0) / 6.0);
            assert_eq!(max(&a), if len == 0 { f32::NEG_INFINITY } else { n - 1.0 });
        }
    }
}
