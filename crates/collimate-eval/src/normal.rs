//! Intervals based on the normal distribution.

use collimate_core::{OptionError, Range};

use crate::Interval;
use crate::error::EvalError;

/// Returns the Wilson score interval of a share, for a `confidence` in (0, 1).
///
/// ```text
/// (p̂ + z²/2n ± z·√(p̂(1 − p̂)/n + z²/4n²)) / (1 + z²/n)
/// ```
///
/// `successes` may count ties as halves. Unlike the textbook interval, this interval stays inside
/// [0, 1] and has a width for 0 or n successes.
///
/// # Errors
/// [`EvalError::OutOfRange`] for no trials, for successes outside [0, trials], or for an invalid
/// confidence.
///
/// # Examples
/// ```
/// let interval = collimate_eval::wilson_interval(8.0, 10, 0.95)?;
/// assert!((interval.low - 0.490_162).abs() < 1e-6);
/// assert!((interval.high - 0.943_318).abs() < 1e-6);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn wilson_interval(
    successes: f64,
    trials: usize,
    confidence: f64,
) -> Result<Interval, EvalError> {
    let n = trials as f64;
    OptionError::check("trials", n, "at least 1", trials >= 1)?;
    let holds = (0.0..=n).contains(&successes);
    OptionError::check("successes", successes, "in [0, trials]", holds)?;
    Range::InsideOne.check("confidence", confidence)?;
    let z = normal_quantile(0.5 + confidence / 2.0);
    let share = successes / n;
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    Ok(Interval {
        estimate: share,
        low: ((centre - half) / scale).max(0.0),
        high: ((centre + half) / scale).min(1.0),
    })
}

/// Returns a quantile of the standard normal distribution by algorithm AS 241 (PPND16) of Wichura
/// (1988). The relative error is about 1e-16.
///
/// The result is NaN for p below 0 or above 1, and infinite for p = 0 and p = 1.
///
/// # Examples
/// ```
/// assert!((collimate_eval::normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * horner(&A, r) / horner(&B, r);
    }
    let tail = p.min(1.0 - p);
    if tail == 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = (-tail.ln()).sqrt();
    let value = if r <= 5.0 {
        horner(&C, r - 1.6) / horner(&D, r - 1.6)
    } else {
        horner(&E, r - 5.0) / horner(&F, r - 5.0)
    };
    value.copysign(q)
}

fn horner(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

const A: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const B: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_66e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
const C: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const D: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const E: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const F: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];
