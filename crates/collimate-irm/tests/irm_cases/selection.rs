//! Selection by scores.

use collimate_core::{Key, LeaveReason};
use collimate_irm::{random_k, share_count, top_k};

use super::*;

fn left(selection: &Selection) -> Vec<(usize, LeaveReason)> {
    selection
        .left
        .iter()
        .map(|left| (left.index, left.reason))
        .collect()
}

#[test]
fn top_k_by_hand() {
    use LeaveReason::{NotFinite, OverLimit};
    let scores = [
        0.5,
        f64::NAN,
        2.0,
        -1.0,
        0.5,
        f64::INFINITY,
        0.5,
        f64::NEG_INFINITY,
    ];
    let selection = top_k(&scores, 3);
    assert_eq!(kept(&selection), [0, 2, 4]);
    assert_eq!(
        left(&selection),
        [
            (1, NotFinite),
            (3, OverLimit),
            (5, NotFinite),
            (6, OverLimit),
            (7, NotFinite)
        ]
    );
    assert!(selection.kept.iter().all(|kept| !kept.swapped));
    assert_eq!(
        selection
            .kept
            .iter()
            .map(|kept| kept.score)
            .collect::<Vec<_>>(),
        [0.5, 2.0, 0.5]
    );

    assert_eq!(kept(&top_k(&scores, 5)), [0, 2, 3, 4, 6]);
    assert_eq!(top_k(&scores, usize::MAX), top_k(&scores, 5));
    assert!(top_k(&scores, 0).kept.is_empty());
    assert_eq!(top_k(&scores, 0).left.len(), 8);
    assert_eq!(top_k(&[], 3), Selection::default());
    assert_eq!(left(&top_k(&[f64::NAN], 1)), [(0, NotFinite)]);
}

#[test]
fn top_k_at_the_ends_of_the_number_line() {
    let tiny = f64::from_bits(1);
    let scores = [-f64::MAX, -tiny, -0.0, 0.0, tiny, f64::MAX];
    for k in 0..=6 {
        let expected: Vec<usize> = match k {
            // −0 and 0 are equal: the smaller index comes first.
            3 => vec![2, 4, 5],
            _ => (6 - k..6).collect(),
        };
        assert_eq!(kept(&top_k(&scores, k)), expected, "{k}");
    }
}

#[test]
fn shares_round_to_the_nearest_count() {
    for (share, n, expected) in [
        (0.7, 10, 7),
        (0.3, 10, 3),
        (0.5, 3, 2),
        (0.3, 1, 0),
        (0.7, 1, 1),
        (1.0, 12_345_678, 12_345_678),
        (0.0, 9, 0),
        (0.7, 0, 0),
    ] {
        assert_eq!(share_count(share, n), Ok(expected), "{share} of {n}");
    }
    for share in [-0.1, 1.1, f64::NAN] {
        assert!(share_count(share, 10).is_err());
    }
}

/// Any change of this selection changes results for users: the changelog must say so.
#[test]
fn value_stability() {
    let selection = random_k(20, 6, Key::new(42, "sera2"));
    assert_eq!(kept(&selection), [0, 5, 7, 9, 16, 18]);
    assert_eq!(selection.kept[0].score, 0.666_132_274_186_893_8);
}
