//! Advice for a file, one sentence for each problem.

use collimate::data::DropReason;

use super::facts::{Dropped, Facts};
use super::lines::{count, named};
use super::tokens::Tokens;

/// Returns the advice for a file.
pub(super) fn of(facts: &Facts) -> Vec<String> {
    let mut said = Vec::new();
    if facts.kept == 0 {
        said.push(
            "No row of this file can be used: correct the rows, or name the format with --format."
                .to_owned(),
        );
    }
    let told = |dropped: &&Dropped| dropped.reason != DropReason::Header;
    said.extend(
        facts
            .dropped
            .iter()
            .filter(told)
            .map(|dropped| of_dropped(facts.unit, dropped)),
    );
    if !facts.columns_not_read.is_empty() {
        let names = facts
            .columns_not_read
            .iter()
            .map(|name| format!("`{name}`"));
        let names: Vec<String> = names.collect();
        said.push(format!(
            "Columns not read: {}. Rename a column only if it holds the prompt or an answer.",
            names.join(", ")
        ));
    }
    if !facts.prompt_from.is_empty() {
        said.push(format!(
            "The prompt is read from `{}`: if this is wrong, rename the right column to `prompt`.",
            facts.prompt_from.join("`, `")
        ));
    }
    if let Some(good) = facts.labelled_good
        && (good == 0 || good == facts.kept)
    {
        let missing = if good == 0 { "good" } else { "bad" };
        said.push(format!(
            "No answer is labelled {missing}: add such answers, because KTO learns from good and \
             bad answers."
        ));
    }
    if facts.with_weight_zero > 0 {
        said.push(format!(
            "{} weight 0: training leaves such pairs out.",
            repeat(facts.with_weight_zero, "pair has", "pairs have")
        ));
    }
    let repeats = &facts.repeats;
    if repeats.equal_rows > 0 {
        said.push(format!(
            "{} an earlier row ({}): remove the copies, because they count more than once in \
             training.",
            repeat(repeats.equal_rows, "row repeats", "rows repeat"),
            named_of(facts.unit, &repeats.equal_lines, repeats.equal_rows)
        ));
    }
    if repeats.swapped_pairs > 0 {
        said.push(format!(
            "{} an earlier pair with the labels swapped ({}): keep the pair with the right label.",
            repeat(repeats.swapped_pairs, "pair is", "pairs are"),
            named_of(facts.unit, &repeats.swapped_lines, repeats.swapped_pairs)
        ));
    }
    said.extend(of_template(facts));
    if let Some(tokens) = &facts.tokens {
        said.extend(of_tokens(facts, tokens));
    }
    said
}

/// Returns a number with the verb form that belongs to it.
fn repeat(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Lists line numbers of which only the first are known.
fn named_of(unit: &str, lines: &[usize], all: usize) -> String {
    match all - lines.len() {
        0 => named(unit, lines),
        more => format!("{} and {more} more", named(unit, lines)),
    }
}

fn of_dropped(unit: &str, dropped: &Dropped) -> String {
    let rows = count(dropped.count, "row");
    let at = match dropped.count == dropped.lines.len() {
        true => named(unit, &dropped.lines),
        false => format!("first: {}", named(unit, &dropped.lines)),
    };
    match dropped.reason {
        DropReason::EqualAnswers => format!(
            "{rows} with equal answers ({at}): remove them, because equal answers show no \
             preference."
        ),
        DropReason::DifferentPrompts => format!(
            "{rows} whose answers belong to different prompts ({at}): give both answers the same \
             prompt."
        ),
        DropReason::SeveralTurns => format!(
            "{rows} whose answers have several turns ({at}): move the shared turns into the \
             prompt, so that each answer is one message."
        ),
        DropReason::EmptyCompletion => {
            format!("{rows} with an empty answer ({at}): write the answer, or remove the row.")
        }
        DropReason::EqualScores => format!(
            "{rows} with equal scores ({at}): remove them, because neither answer is better."
        ),
        DropReason::ContraryScores => format!(
            "{rows} whose rejected answer has the higher score ({at}): swap the answers or correct \
             the scores."
        ),
        DropReason::Tie => {
            format!(
                "{rows} whose label says tie ({at}): no change is needed, because ties are not \
                 used."
            )
        }
        DropReason::NoComparison => {
            format!(
                "{rows} with fewer than two ranked answers ({at}): add an answer, or ignore such \
                 rows."
            )
        }
        DropReason::NoAnswer => format!(
            "{rows} without an answer of the assistant ({at}): add an answer, or use the file as \
             prompts."
        ),
        DropReason::NotUtf8 => {
            format!("{rows} not in UTF-8 ({at}): convert the file, for example with iconv.")
        }
        _ => {
            let first = dropped.first.as_deref();
            let first = first.map_or_else(String::new, |what| format!("; the first: {what}"));
            format!(
                "{rows} that cannot be read ({at}{first}): correct the file, or train with \
                 --on-bad-row drop."
            )
        }
    }
}

fn of_template(facts: &Facts) -> Vec<String> {
    let Some(template) = &facts.template else {
        return Vec::new();
    };
    let mut said = Vec::new();
    if let Some(problem) = &template.problem {
        said.push(format!(
            "The model's chat template cannot be rendered ({problem}): correct the template in the \
             model's folder."
        ));
    }
    let texts = facts.kept - facts.conversations - facts.without_prompt;
    if template.present && texts > 0 {
        said.push(format!(
            "{} plain text, so the model's chat template is not applied: write messages if the \
             model should answer as an assistant.",
            repeat(texts, "prompt is", "prompts are")
        ));
    }
    said
}

fn of_tokens(facts: &Facts, tokens: &Tokens) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(why) = &tokens.refused_why {
        said.push(format!(
            "{} no tokens ({}): {why}.",
            repeat(tokens.refused, "row gives", "rows give"),
            named_of(facts.unit, &tokens.refused_lines, tokens.refused)
        ));
    }
    let max_length = tokens.max_length;
    if let Some(longest) = tokens.sequence.filter(|_| tokens.cut.is_none())
        && longest.max >= max_length
    {
        said.push(format!(
            "The longest prompt has {} tokens, but a sequence holds at most {max_length}: shorten \
             the prompts to leave room for an answer.",
            longest.max
        ));
    }
    let Some(cut) = &tokens.cut else {
        return said;
    };
    if cut.truncated > 0 {
        let longest = tokens.sequence.map_or(0, |sequence| sequence.max);
        let remedy = match tokens.model_max_length.filter(|&most| longest > most) {
            Some(most) if max_length < most => format!(
                "the longest row has {longest} tokens, and the model takes {most}: raise --max-length up \
                 to {most}, and shorten or remove longer rows"
            ),
            Some(most) => format!(
                "the longest row has {longest} tokens, and the model takes {most}: shorten or remove long rows"
            ),
            None => {
                format!("give --max-length {longest} to keep all rows whole, or remove long rows")
            }
        };
        said.push(format!(
            "{} cut at {max_length} tokens: {remedy}.",
            repeat(cut.truncated, "row is", "rows are")
        ));
    }
    if cut.prompts_lost > 0 {
        said.push(format!(
            "Cutting leaves nothing of {}: give prompts more room with --max-prompt-length.",
            count(cut.prompts_lost, "prompt")
        ));
    }
    if cut.ends_lost > 0 {
        let remedy = match tokens.model_max_length {
            Some(most) if max_length >= most => "shorten the answer",
            _ => "raise --max-length",
        };
        said.push(format!(
            "{} an answer without its end, so the model does not learn to stop: {remedy}, or lower \
             --max-prompt-length.",
            repeat(cut.ends_lost, "row keeps", "rows keep")
        ));
    }
    if cut.equal_answers > 0 {
        said.push(format!(
            "{} answers that are equal as tokens{}: remove such pairs, because they teach nothing.",
            repeat(cut.equal_answers, "pair has", "pairs have"),
            match cut.truncated {
                0 => ", because the vocabulary cannot distinguish them",
                _ => ", because they differ only after the cut or in unknown characters",
            }
        ));
    }
    if cut.prompts_rewritten > 0 {
        said.push(format!(
            "The template writes the prompt of {} differently if an answer follows: check the \
             sequences with `collimate data show-tokens {}`.",
            count(cut.prompts_rewritten, "row"),
            facts.file.display()
        ));
    }
    if cut.keys_unread > 0 {
        said.push(format!(
            "{} keys of messages that the chat template does not read: the model does not learn from them.",
            repeat(cut.keys_unread, "row has", "rows have")
        ));
    }
    said
}
