//! Agreement with rankings, compared with NumPy and SciPy; `golden/ranking.py` makes the table.

use collimate_eval::{
    EvalError, RankedScores, is_exact, kendall_tau_b, rank_agreement, ranked_outcomes,
};
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("golden/ranking.json")).expect("the table is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn lists(table: &Value) -> Vec<RankedScores> {
    let lists = table["lists"].as_array().expect("lists");
    let list = |list: &Value| RankedScores {
        scores: numbers(&list["scores"]),
        merits: numbers(&list["merits"]),
    };
    lists.iter().map(list).collect()
}

#[track_caller]
fn close(found: Option<f64>, expected: &Value) {
    let (found, expected) = (found.unwrap(), expected.as_f64().unwrap());
    assert!((found - expected).abs() < 1e-12, "{found} {expected}");
}

#[test]
fn kendall_allows_for_ties_as_scipy_does() {
    for case in table()["kendall"].as_array().unwrap() {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        close(Some(kendall_tau_b(&x, &y).unwrap()), &case["tau"]);
        close(Some(kendall_tau_b(&y, &x).unwrap()), &case["tau"]);
    }
}

#[test]
fn a_judge_is_measured_as_by_hand_and_by_scipy() {
    let table = table();
    let found = rank_agreement(&lists(&table), 5.0).unwrap();
    let expected = &table["agreement"];
    for (name, found) in [
        ("lists", found.lists),
        ("pairs", found.pairs),
        ("correct", found.correct),
        ("ties", found.ties),
        ("exact", found.exact),
        ("top", found.top),
        ("top_best", found.top_best),
        ("correlated", found.correlated),
    ] {
        assert_eq!(found as u64, expected[name], "{name}");
    }
    close(found.pairwise, &expected["pairwise"]);
    close(found.exact_match, &expected["exact_match"]);
    close(found.top_share, &expected["top_share"]);
    close(found.spearman, &expected["spearman"]);
    close(found.kendall, &expected["kendall"]);
    // The values for the bootstrap have the same mean, and each has the index of its list.
    let (outcomes, groups) = ranked_outcomes(&lists(&table));
    assert_eq!(outcomes.len(), found.pairs);
    close(
        Some(outcomes.iter().sum::<f64>() / outcomes.len() as f64),
        &expected["pairwise"],
    );
    assert!(groups.is_sorted() && groups.iter().max() < Some(&40));
}

#[test]
fn ties_of_people_want_ties_of_the_judge() {
    let list = |scores: &[f64]| RankedScores {
        scores: scores.to_vec(),
        merits: vec![0.0, -1.0, -1.0],
    };
    assert!(is_exact(&list(&[5.0, 2.0, 2.0])));
    assert!(!is_exact(&list(&[5.0, 2.0, 1.0])));
    assert!(!is_exact(&list(&[2.0, 2.0, 2.0])));
}

#[test]
fn nothing_to_measure_is_absent_and_not_zero() {
    let one = RankedScores {
        scores: vec![3.0],
        merits: vec![0.0],
    };
    let found = rank_agreement(&[one], 5.0).unwrap();
    assert_eq!((found.lists, found.pairs, found.top), (0, 0, 0));
    assert_eq!((found.pairwise, found.exact_match), (None, None));
    assert_eq!(
        (found.top_share, found.spearman, found.kendall),
        (None, None, None)
    );
}

#[test]
fn wrong_lists_are_refused() {
    let bad = |scores: &[f64]| RankedScores {
        scores: scores.to_vec(),
        merits: vec![0.0, 1.0],
    };
    let length = rank_agreement(&[bad(&[1.0])], 5.0).unwrap_err();
    assert!(matches!(
        length,
        EvalError::Length {
            left: 1,
            right: 2,
            ..
        }
    ));
    let nan = rank_agreement(&[bad(&[1.0, f64::NAN])], 5.0).unwrap_err();
    assert!(matches!(nan, EvalError::NotFinite { index: 1, .. }));
    let constant = kendall_tau_b(&[1.0, 1.0], &[0.0, 1.0]).unwrap_err();
    assert_eq!(constant, EvalError::Constant { what: "kendall" });
}
