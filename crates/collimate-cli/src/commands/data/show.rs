//! The results of a check as tables.

use std::fmt::Write;

use super::check::Checked;
use super::counts::{Lengths, Parts};
use super::facts::Facts;
use super::lines::{count, named};

/// Writes the results of the whole check.
pub(super) fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for (index, facts) in checked.files.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text += &file(facts);
    }
    for shared in &checked.shared_prompts {
        let [a, b] = &shared.files;
        let _ = write!(
            text,
            "\n{} and {} share {}: separate them if one file tests a model that the other file \
             trains.\n",
            a.display(),
            b.display(),
            count(shared.prompts, "prompt")
        );
    }
    text
}

fn file(facts: &Facts) -> String {
    let mut text = format!("{}\n", facts.file.display());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<18}{value}");
    };
    line(
        "format",
        format!("{} ({})", facts.format, facts.recognised_by),
    );
    line("rows", facts.rows.to_string());
    line("used", count(facts.kept, facts.kind));
    for dropped in &facts.dropped {
        let at = named(facts.unit, &dropped.lines);
        let more = if dropped.count > dropped.lines.len() {
            ", …"
        } else {
            ""
        };
        line(
            "dropped",
            format!("{}: {} ({at}{more})", dropped.reason, dropped.count),
        );
    }
    if !facts.columns_not_read.is_empty() {
        line("not read", facts.columns_not_read.join(", "));
    }
    for note in &facts.notes {
        line("note", note.clone());
    }
    if facts.conversations > 0 {
        line("conversations", facts.conversations.to_string());
    }
    if facts.without_prompt > 0 {
        line("without prompt", facts.without_prompt.to_string());
    }
    if facts.with_scores > 0 {
        line("with scores", facts.with_scores.to_string());
    }
    if facts.with_margins > 0 {
        line("with margins", facts.with_margins.to_string());
    }
    if facts.with_weights > 0 {
        line("with weights", facts.with_weights.to_string());
    }
    if let Some(good) = facts.labelled_good {
        line("labels", format!("{good} good, {} bad", facts.kept - good));
    }
    let repeats = &facts.repeats;
    line("equal rows", repeats.equal_rows.to_string());
    line("equal prompts", repeats.equal_prompts.to_string());
    if facts.kind == "pair" {
        line("swapped labels", repeats.swapped_pairs.to_string());
    }
    if let Some(template) = &facts.template {
        line("chat template", of_template(template));
    }
    if !facts.characters.is_empty() {
        text += &lengths("characters", &facts.characters, None);
    }
    if let Some(tokens) = &facts.tokens {
        text += &lengths("tokens", &tokens.lengths, tokens.sequence);
        if let Some(cut) = &tokens.cut {
            let _ = writeln!(
                text,
                "  at --max-length {}: {} of {} rows cut ({} tokens), {} prompts cut, {} prompts \
                 lost, {} ends lost, {} with equal answers",
                tokens.max_length,
                cut.truncated,
                cut.pairs,
                cut.tokens_cut,
                cut.prompts_cut,
                cut.prompts_lost,
                cut.ends_lost,
                cut.equal_answers
            );
        }
    }
    match facts.problems.is_empty() {
        true => text += "  no problem found\n",
        false => {
            for problem in &facts.problems {
                let _ = writeln!(text, "  * {problem}");
            }
        }
    }
    text
}

fn of_template(template: &super::tokens::Template) -> String {
    match (template.present, &template.problem, template.takes_system) {
        (false, _, _) => "none".to_owned(),
        (true, Some(problem), _) => format!("cannot be rendered: {problem}"),
        (true, None, Some(false)) => "renders, but refuses a system message".to_owned(),
        (true, None, _) => "renders".to_owned(),
    }
}

/// Writes a table of lengths.
fn lengths(unit: &str, parts: &Parts, sequence: Option<Lengths>) -> String {
    let mut text = format!("  {unit:<18}{:>9}{:>9}{:>9}\n", "median", "95 %", "maximum");
    let whole = sequence.map(|lengths| ("prompt + answer", lengths));
    for (name, lengths) in parts.iter().copied().chain(whole) {
        let _ = writeln!(
            text,
            "    {name:<16}{:>9}{:>9}{:>9}",
            lengths.median, lengths.p95, lengths.max
        );
    }
    text
}
