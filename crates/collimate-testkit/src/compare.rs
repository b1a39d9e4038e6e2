/// Returns the largest `|a − b| / max(1, |b|)` over two lists of equal length; infinite if a value
/// is not a number or the lengths differ.
pub fn max_relative_error(actual: &[f32], expected: &[f64]) -> f64 {
    if actual.len() != expected.len() {
        return f64::INFINITY;
    }
    let error = |(&a, &b): (&f32, &f64)| {
        let error = (f64::from(a) - b).abs() / b.abs().max(1.0);
        if error.is_nan() { f64::INFINITY } else { error }
    };
    actual.iter().zip(expected).map(error).fold(0.0, f64::max)
}

/// Checks that [`max_relative_error`] is at most `tolerance`.
///
/// # Panics
/// Panics with the name, the error and the first offending index.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths differ");
    for (index, (a, b)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*a) - b).abs() / b.abs().max(1.0);
        assert!(
            error <= tolerance,
            "{what}: element {index} is {a}, expected {b} (relative error {error:e} > {tolerance:e})"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_lengths_are_errors() {
        assert_eq!(max_relative_error(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(max_relative_error(&[1.0], &[]), f64::INFINITY);
        assert_eq!(max_relative_error(&[3.0], &[2.0]), 0.5);
    }

    #[test]
    #[should_panic(expected = "element 1")]
    fn a_nan_does_not_pass() {
        assert_close("x", &[0.0, f32::NAN], &[0.0, 0.0], 1.0);
    }
}
