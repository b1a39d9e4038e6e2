//! Overlap of the pairs that iterations select.

use collimate_eval::jaccard;

use super::outcome::Overlap;

/// Returns the Jaccard similarities of successive iterations of one method, and of the same
/// iteration in two methods.
pub(super) fn overlaps(selected: &[((String, usize), Vec<usize>)]) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    for (i, (a, first)) in selected.iter().enumerate() {
        for (b, second) in &selected[i + 1..] {
            if (a.0 == b.0 && b.1 == a.1 + 1) || (a.0 != b.0 && a.1 == b.1) {
                overlaps.push(Overlap {
                    a: a.clone(),
                    b: b.clone(),
                    jaccard: jaccard(first, second),
                });
            }
        }
    }
    overlaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_method_and_the_same_iteration_of_two() {
        let one = |name: &str, t, set: &[usize]| ((name.to_owned(), t), set.to_vec());
        let selected = [
            one("a", 2, &[1, 2, 3]),
            one("a", 3, &[2, 3, 4]),
            one("b", 3, &[4, 5, 6]),
        ];
        let found = overlaps(&selected);
        let values: Vec<(usize, usize, f64)> =
            found.iter().map(|o| (o.a.1, o.b.1, o.jaccard)).collect();
        assert_eq!(values, [(2, 3, 0.5), (3, 3, 0.2)]);
        assert_eq!(found[1].b.0, "b");
    }
}
