use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One row of a golden table: named inputs and their golden values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenCase {
    /// Name of the case: the subject that it covers.
    pub name: String,
    /// Flat inputs by name.
    pub inputs: BTreeMap<String, Vec<f64>>,
    /// Flat golden values by name; gradients as `grad.<input>`.
    pub expected: BTreeMap<String, Vec<f64>>,
}

/// Reads the cases of a JSON file.
///
/// # Panics
/// Panics if the file is missing or is not a list of cases.
pub fn read_golden(path: &Path) -> Vec<GoldenCase> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Computes central differences of `f` at `x` with step `h`, in f64: error `O(h²)`.
pub fn finite_difference(f: impl Fn(&[f64]) -> f64, x: &[f64], h: f64) -> Vec<f64> {
    let mut point = x.to_vec();
    (0..x.len())
        .map(|i| {
            point[i] = x[i] + h;
            let above = f(&point);
            point[i] = x[i] - h;
            let below = f(&point);
            point[i] = x[i];
            (above - below) / (2.0 * h)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn central_differences_of_a_cubic() {
        let slope = finite_difference(|x| x[0].powi(3) + 2.0 * x[1], &[2.0, 5.0], 1e-5);
        assert!((slope[0] - 12.0).abs() < 1e-6 && (slope[1] - 2.0).abs() < 1e-6);
    }
}
