//! Judgements as tables, notes, report and summary.

use std::fmt::Write;

use collimate::judge::{ParseReport, PositionBias};
use collimate::run::{BarChart, BarSeries, Figures};
use serde_json::{Value, json};

use super::cases::Case;
use super::out::Places;
use super::sheet::{BiasShares, Sheet};
use super::stats::{By, GroupStats, LengthCorrelation, Rate, length_correlations, stats};
use super::table::{Table, interval, number, per_cent};
use crate::common::Failure;
use crate::templates::TEMPLATES;

/// Description of the evaluation: a title, the names of the sides, and notes.
pub(crate) struct About {
    pub(crate) title: String,
    pub(crate) a: String,
    pub(crate) b: Option<String>,
    pub(crate) judge: String,
    pub(crate) notes: Vec<String>,
    /// Counts of rows that were read and left out, for the summary.
    pub(crate) input: Value,
}

/// Prints the tables of a judging and saves everything in --out.
pub(crate) fn show(
    about: &About,
    cases: &[Case],
    sheet: &Sheet,
    places: Places<'_>,
) -> Result<(), Failure> {
    let groups = stats(cases, sheet)?;
    let tables = tables(&groups, sheet);
    let notes = notes(about, cases, sheet);
    let mut text = String::new();
    for table in &tables {
        text += &table.text();
        text.push('\n');
    }
    for note in &notes {
        writeln!(text, "{note}")?;
    }
    let correlations = sheet
        .single
        .as_ref()
        .map(|single| length_correlations(cases, single));
    let summary = json!({
        "title": about.title, "a": about.a, "b": about.b, "judge": about.judge,
        "input": about.input, "groups": groups,
        "score_and_length": correlations,
        "position_bias": sheet.pairwise.as_ref().map(|p| BiasShares::from(p.bias)),
        "single_judgements": sheet.single.as_ref().and_then(|s| s.report.as_ref()),
        "side_by_side_judgements": sheet.pairwise.as_ref().map(|p| &p.report),
    });
    places.print(&text, &summary)?;
    let Some(out) = places.out else {
        return Ok(());
    };
    out.lines(
        "judgements.jsonl",
        (0..cases.len()).map(|at| judgement(&cases[at], at, sheet)),
    )?;
    let values = json!({"title": about.title, "notes": notes, "tables": tables});
    let figures: Figures = chart(&groups)
        .map(|chart| ("categories".to_owned(), chart.into()))
        .into_iter()
        .collect();
    let report = TEMPLATES.render("eval.md", &values, figures)?;
    out.finish(&report, &summary)
}

fn tables(groups: &[GroupStats], sheet: &Sheet) -> Vec<Table> {
    let mut tables = Vec::new();
    let two_sides = groups.iter().any(|group| group.b.is_some());
    if sheet.single.is_some() {
        let mut table = match two_sides {
            true => Table::new("Scores", ["", "answers", "a", "95 %", "b", "95 %"]),
            false => Table::new("Scores", ["", "answers", "score", "95 %"]),
        };
        for group in groups {
            let mut row = vec![group.name.clone(), group.cases.to_string()];
            for side in std::iter::once(&group.a).chain(&group.b) {
                row.push(number(side.score.map(|score| score.estimate)));
                row.push(interval(side.score));
            }
            table.row(row);
        }
        tables.push(table);
    }
    let mut rates = |title: &str, of: fn(&GroupStats) -> Option<&Rate>| {
        let header = [
            "",
            "win",
            "tie",
            "lose",
            "undecided",
            "win rate of a",
            "95 %",
            "equal length",
        ];
        let mut table = Table::new(title, header);
        for group in groups {
            let Some(rate) = of(group) else { continue };
            let share = |at: usize| rate.per_cent.map(|shares| shares[at] / 100.0);
            let counts = [rate.counts.win, rate.counts.tie, rate.counts.lose];
            let mut row = vec![group.name.clone()];
            row.extend((0..3).map(|at| format!("{} ({})", counts[at], per_cent(share(at)))));
            row.push(rate.counts.undecided.to_string());
            row.push(number(rate.win_rate.map(|rate| rate.estimate)));
            row.push(interval(rate.win_rate));
            row.push(number(rate.length_controlled));
            table.row(row);
        }
        if !table.rows.is_empty() {
            tables.push(table);
        }
    };
    rates("Who wins by score", |group| group.by_score.as_ref());
    rates("Who wins side by side, in both orders", |group| {
        group.side_by_side.as_ref()
    });
    let mut lengths = match two_sides {
        true => Table::new(
            "Length",
            ["", "characters of a", "empty", "characters of b", "empty"],
        ),
        false => Table::new("Length", ["", "characters", "empty"]),
    };
    for group in groups {
        let mut row = vec![group.name.clone()];
        for side in std::iter::once(&group.a).chain(&group.b) {
            row.push(format!("{:.0}", side.characters));
            row.push(side.empty.to_string());
        }
        lengths.row(row);
    }
    tables.push(lengths);
    tables
}

fn notes(about: &About, cases: &[Case], sheet: &Sheet) -> Vec<String> {
    let mut notes = vec![format!("a: {}", about.a)];
    notes.extend(about.b.as_ref().map(|b| format!("b: {b}")));
    notes.push(format!("judge: {}", about.judge));
    if let Some(single) = &sheet.single {
        for (side, found) in length_correlations(cases, single) {
            let of = match single.b.is_empty() {
                true => String::new(),
                false => format!(" ({side})"),
            };
            notes.push(format!(
                "score and length{of}: {}",
                correlation_words(&found)
            ));
        }
        notes.extend(
            single
                .report
                .iter()
                .map(|report| parsing("single answers", report)),
        );
    }
    if let Some(pairwise) = &sheet.pairwise {
        notes.push(bias(pairwise.bias));
        notes.push(parsing("side by side", &pairwise.report));
    }
    notes.extend(about.notes.iter().cloned());
    notes
}

/// Describes both coefficients in words.
pub(crate) fn correlation_words(found: &LengthCorrelation) -> String {
    let (pearson, spearman) = (number(found.pearson), number(found.spearman));
    format!(
        "Pearson {pearson}, Spearman {spearman}, {} answers",
        found.answers
    )
}

fn parsing(what: &str, report: &ParseReport) -> String {
    let refused = match &report.refusal {
        Some(reason) => format!("; {} refused, the first: {reason}", report.refused()),
        None => String::new(),
    };
    format!(
        "{what}: {} of {} judgements parsed ({}); {} new, {} from the cache, {} of equal \
         answers{refused}",
        report.parsed,
        report.judgements,
        per_cent(report.parse_rate()),
        report.generated,
        report.cached,
        report.repeated,
    )
}

fn bias(bias: PositionBias) -> String {
    format!(
        "position bias: of {} pairs judged in both orders, {} got the same verdict ({}), {} the \
         answer shown first ({}), {} the answer shown second ({}), {} a tie in one order; {} \
         unparsed",
        bias.parsed(),
        bias.consistent,
        per_cent(bias.consistency_rate()),
        bias.first_shown,
        per_cent(bias.first_shown_rate()),
        bias.second_shown,
        per_cent(bias.second_shown_rate()),
        bias.half_tie,
        bias.unparsed,
    )
}

fn judgement(case: &Case, at: usize, sheet: &Sheet) -> Value {
    let mut row = json!({
        "id": case.id, "category": case.category, "turn": case.turn,
        "prompt": case.a.prompt, "a": case.a.answer.text,
    });
    let mut put = |name: &str, value: Value| {
        row[name] = value;
    };
    if let Some(b) = &case.b {
        put("b", json!(b.answer.text));
        if b.prompt != case.a.prompt {
            put("prompt_b", json!(b.prompt));
        }
    }
    if let Some(single) = &sheet.single {
        put("score_a", json!(single.a[at]));
        if let Some(score) = single.b.get(at) {
            put("score_b", json!(score));
        }
        if let Some(outcome) = single.outcomes.get(at) {
            put("by_score", json!(outcome));
        }
        if let Some([a, b]) = &single.grades {
            put("votes_a", json!(a[at].votes));
            if let Some(grade) = b.get(at) {
                put("votes_b", json!(grade.votes));
            }
        }
    }
    if let Some(result) = sheet.pairwise.as_ref().and_then(|p| p.results.get(at)) {
        put("side_by_side", json!(result));
    }
    row
}

/// Charts the win rates of categories, side by side if that was requested, otherwise by score.
/// Without a second side, charts mean scores.
fn chart(groups: &[GroupStats]) -> Option<BarChart> {
    let groups: Vec<&GroupStats> = groups
        .iter()
        .filter(|group| group.by == By::Category)
        .collect();
    let first = groups.first()?;
    let rate = |group: &GroupStats| {
        let rate = group.side_by_side.as_ref().or(group.by_score.as_ref());
        rate.and_then(|rate| rate.win_rate)
    };
    let score = |group: &GroupStats| group.a.score;
    let has_rate = first.side_by_side.is_some() || first.by_score.is_some();
    let (label, values): (&str, Vec<_>) = match has_rate {
        true => (
            "win rate of a",
            groups.iter().map(|group| rate(group)).collect(),
        ),
        false => ("score", groups.iter().map(|group| score(group)).collect()),
    };
    let heights = values
        .iter()
        .map(|value| value.map_or(f64::NAN, |v| v.estimate))
        .collect();
    let ends = values
        .iter()
        .map(|value| value.map_or((f64::NAN, f64::NAN), |v| (v.low, v.high)));
    let names = groups.iter().map(|group| group.name.clone()).collect();
    let series = BarSeries::new(label, heights).with_intervals(ends.collect());
    let any = values.iter().any(Option::is_some);
    any.then(|| BarChart::new("By category", "category", label, names).with(series))
}
