//! Pairs from a model's own responses.

use collimate_irm::{
    BestWorst, CutPolicy, NoPairReason, Response, ResponseCounts, best_and_worst, bootstrap_pairs,
    nested_pairs,
};

fn response(text: &str, reward: f64) -> Response<'_> {
    Response {
        text,
        reward,
        finished: true,
        unlikely: false,
    }
}

fn cut(text: &str, reward: f64) -> Response<'_> {
    Response {
        finished: false,
        ..response(text, reward)
    }
}

#[test]
fn best_and_worst_by_hand() {
    let pair = |chosen, rejected, margin| {
        Ok(BestWorst {
            chosen,
            rejected,
            margin,
        })
    };
    let a = response("a", 1.0);
    let b = response("b", -0.5);
    let cases = [
        (vec![a, b], pair(0, 1, 1.5)),
        (vec![b, a], pair(1, 0, 1.5)),
        // At equal rewards the smaller index is taken.
        (
            vec![
                response("c", 0.0),
                b,
                a,
                response("d", 1.0),
                response("e", -0.5),
            ],
            pair(2, 1, 1.5),
        ),
        // Empty responses would be best and worst.
        (
            vec![response("", 9.0), a, response(" \n", -9.0), b],
            pair(1, 3, 1.5),
        ),
        // An excluded response may have any reward.
        (
            vec![response("", f64::NAN), a, cut("c", f64::NAN), b],
            pair(1, 3, 1.5),
        ),
        (vec![], Err(NoPairReason::TooFewResponses)),
        (vec![a], Err(NoPairReason::TooFewResponses)),
        (
            vec![a, response("", 0.0)],
            Err(NoPairReason::TooFewResponses),
        ),
        (
            vec![a, b, response("c", f64::NAN)],
            Err(NoPairReason::NotFinite),
        ),
        (
            vec![response("c", f64::INFINITY), a],
            Err(NoPairReason::NotFinite),
        ),
        (vec![a, response("b", 1.0)], Err(NoPairReason::EqualRewards)),
        (vec![a, a, a], Err(NoPairReason::EqualTexts)),
        (vec![a, response("a", 0.0)], Err(NoPairReason::EqualTexts)),
        (vec![a, response("a\n", 0.0)], Err(NoPairReason::EqualTexts)),
        (
            vec![a, response("b", 0.5), response("a", 0.0)],
            Err(NoPairReason::EqualTexts),
        ),
    ];
    for (responses, expected) in cases {
        let outcome = best_and_worst(&responses, CutPolicy::Drop);
        assert_eq!(outcome, expected, "{responses:?}");
    }
}

#[test]
fn cut_responses_are_used_by_policy_only() {
    let responses = [
        cut("a", 3.0),
        response("b", 1.0),
        response("c", 0.0),
        cut("d", -1.0),
    ];
    let dropped = best_and_worst(&responses, CutPolicy::Drop).unwrap();
    assert_eq!((dropped.chosen, dropped.rejected), (1, 2));
    let all = best_and_worst(&responses, CutPolicy::Keep).unwrap();
    assert_eq!((all.chosen, all.rejected), (0, 3));
    assert_eq!(
        best_and_worst(&responses[..2], CutPolicy::Drop),
        Err(NoPairReason::TooFewResponses)
    );
}

#[test]
fn bootstrapping_counts_what_it_leaves_out() {
    let prompts = [
        vec![response("a", 1.0), response("b", 0.0), cut("c", 5.0)],
        vec![response("a", 1.0), response("a", 0.0)],
        vec![response("a", 1.0), cut("", 0.0), response("\t", 0.0)],
        vec![],
        vec![response("a", 0.0), response("b", 2.0)],
    ];
    let made = bootstrap_pairs(&prompts, CutPolicy::Drop);
    let pairs: Vec<_> = made
        .pairs()
        .map(|(prompt, pair)| (prompt, pair.chosen, pair.rejected, pair.margin))
        .collect();
    assert_eq!(pairs, [(0, 0, 1, 1.0), (4, 1, 0, 2.0)]);
    assert_eq!(
        made.dropped_by_reason(),
        [
            (NoPairReason::TooFewResponses, 2),
            (NoPairReason::EqualTexts, 1)
        ]
    );
    let counts = ResponseCounts {
        responses: 10,
        empty: 2,
        cut: 1,
        unlikely: 0,
    };
    assert_eq!(made.counts, counts);
    let made = bootstrap_pairs(&prompts, CutPolicy::Keep);
    assert_eq!(made.counts, ResponseCounts { cut: 0, ..counts });
    assert_eq!(made.outcomes[0].unwrap().chosen, 2);
}

#[test]
fn nested_pairs_use_every_response_once() {
    let all = [
        ("a", 1.0),
        ("b", 4.0),
        ("c", 4.0),
        ("d", -2.0),
        ("e", 0.5),
        ("f", 1.0),
    ];
    let responses = all.map(|(text, reward)| Response {
        text,
        reward,
        finished: true,
        unlikely: false,
    });
    let found = nested_pairs(&responses, CutPolicy::Drop).unwrap();
    assert_eq!(
        found[0],
        best_and_worst(&responses, CutPolicy::Drop).unwrap()
    );
    let found: Vec<_> = found
        .iter()
        .map(|p| (p.chosen, p.rejected, p.margin))
        .collect();
    // "a" and "f" are worth the same: they make no pair.
    assert_eq!(found, [(1, 3, 6.0), (2, 4, 3.5)]);
    assert_eq!(
        nested_pairs(&responses[..1], CutPolicy::Drop),
        Err(NoPairReason::TooFewResponses)
    );
}
