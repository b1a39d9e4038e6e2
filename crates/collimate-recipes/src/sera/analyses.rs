//! What the report says about selections: agreement with the judge, overlaps, tried shares.

use collimate_run::Report;

use super::outcome::{Agreement, SeraOutcome};
use super::report::optional;

/// The section on selections, where there was one.
pub(super) fn analyses<M>(mut report: Report, outcome: &SeraOutcome<M>) -> Report {
    let selections = || {
        outcome.policies.iter().flat_map(|policy| {
            let iterations = policy.iterations.iter();
            iterations.map(|i| (policy.title.as_str(), i.iteration, &i.selection))
        })
    };
    let rows: Vec<Vec<String>> = selections()
        .filter(|(_, _, s)| s.offline_agreement.is_some() || s.own_agreement.is_some())
        .map(|(title, iteration, s)| {
            let mut row = vec![title.to_owned(), iteration.to_string()];
            for agreement in [s.offline_agreement, s.own_agreement] {
                row.extend(cells(agreement));
            }
            row
        })
        .collect();
    if !rows.is_empty() {
        report = report
            .section("Margins and scores")
            .text(
                "Does a larger implicit reward margin mean a larger gap of scores (the \
                 judge's, or the file's)? \
                 *Same sign* is the share of pairs where both prefer the same answer; the \
                 correlations are Pearson's and Spearman's. The offline pairs are all of them, the \
                 own pairs those that were trained on.",
            )
            .table(
                [
                    "policy",
                    "iteration",
                    "offline: same sign",
                    "correlation",
                    "own: same sign",
                    "correlation",
                ],
                rows,
            );
    }
    let rows: Vec<Vec<String>> = outcome
        .overlaps
        .iter()
        .map(|o| {
            vec![
                format!("{} {}", o.a.0, o.a.1),
                format!("{} {}", o.b.0, o.b.1),
                format!("{:.2}", o.jaccard),
            ]
        })
        .collect();
    let gammas: Vec<Vec<String>> = selections()
        .filter(|(_, _, s)| !s.gammas.is_empty())
        .flat_map(|(title, iteration, s)| {
            s.gammas.iter().map(move |(gamma, overlap)| {
                vec![
                    format!("{title} {iteration}"),
                    format!("γ = {gamma}"),
                    format!("{overlap:.2}"),
                ]
            })
        })
        .collect();
    if !rows.is_empty() || !gammas.is_empty() {
        report = report
            .section("Overlap of selections")
            .text(
                "Jaccard similarity of the offline pairs that two iterations selected, and of a \
                 selection with the one that another weight γ of the previous model would have made.",
            )
            .table(["selection", "and", "Jaccard"], rows.into_iter().chain(gammas).collect::<Vec<_>>());
    }
    let tried: Vec<Vec<String>> = outcome
        .policies
        .iter()
        .flat_map(|policy| {
            policy.tried.iter().map(|tried| {
                vec![
                    policy.title.clone(),
                    format!("{:.2}", tried.bootstrap_share),
                    format!("{:.3}", tried.validation),
                    if tried.chosen { "chosen" } else { "" }.to_owned(),
                ]
            })
        })
        .collect();
    if !tried.is_empty() {
        report = report
            .section("Share of own pairs")
            .text(
                "Tried on validation prompts (win rate), or without a judge on validation pairs \
                 (accuracy).",
            )
            .table(["policy", "share", "validation", ""], tried);
    }
    report
}

fn cells(agreement: Option<Agreement>) -> [String; 2] {
    [
        optional(agreement, |a| {
            format!("{:.1} % of {}", 100.0 * a.same_sign, a.pairs)
        }),
        optional(
            agreement.and_then(|a| a.correlation),
            |(pearson, spearman)| format!("{pearson:+.2} / {spearman:+.2}"),
        ),
    ]
}
