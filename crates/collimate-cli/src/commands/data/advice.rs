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
            "Nothing of this file can be used: mend its rows, or name its format with --format."
                .to_owned(),
        );
    }
    let told = |dropped: &&Dropped| dropped.reason != DropReason::Header;
    said.extend(facts.dropped.iter().filter(told).map(of_dropped));
    if !facts.columns_not_read.is_empty() {
        let names = facts
            .columns_not_read
            .iter()
            .map(|name| format!("`{name}`"));
        let names: Vec<String> = names.collect();
        said.push(format!(
            "Not read: {}; rename a column if it holds the prompt or an answer, else leave it.",
            names.join(", ")
        ));
    }
    if !facts.prompt_from.is_empty() {
        said.push(format!(
            "The prompt is read from `{}`: rename the column that you mean to `prompt`.",
            facts.prompt_from.join("`, `")
        ));
    }
    if let Some(good) = facts.labelled_good
        && (good == 0 || good == facts.kept)
    {
        let missing = if good == 0 { "good" } else { "bad" };
        said.push(format!(
            "No answer is labelled {missing}: add some, as KTO learns from good and bad answers."
        ));
    }
    let repeats = &facts.repeats;
    if repeats.equal_rows > 0 {
        said.push(format!(
            "{} an earlier one ({}): remove the copies, which count more than once in training.",
            repeat(repeats.equal_rows, "row repeats", "rows repeat"),
            named_of(&repeats.equal_lines, repeats.equal_rows)
        ));
    }
    if repeats.swapped_pairs > 0 {
        said.push(format!(
            "{} an earlier pair with the labels swapped ({}): keep the one that is right.",
            repeat(repeats.swapped_pairs, "pair is", "pairs are"),
            named_of(&repeats.swapped_lines, repeats.swapped_pairs)
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
fn named_of(lines: &[usize], all: usize) -> String {
    match all - lines.len() {
        0 => named(lines),
        more => format!("{} and {more} more", named(lines)),
    }
}

fn of_dropped(dropped: &Dropped) -> String {
    let rows = count(dropped.count, "row");
    let at = match dropped.count == dropped.lines.len() {
        true => named(&dropped.lines),
        false => format!("first: {}", named(&dropped.lines)),
    };
    match dropped.reason {
        DropReason::EqualAnswers => format!(
            "{rows} with equal answers ({at}): take them out, as equal answers compare nothing."
        ),
        DropReason::DifferentPrompts => format!(
            "{rows} whose answers belong to different prompts ({at}): give both answers one prompt."
        ),
        DropReason::SeveralTurns => format!(
            "{rows} whose answers have several turns ({at}): cut the dialogue before the answers \
             part, so that each answer is one message."
        ),
        DropReason::EmptyCompletion => {
            format!("{rows} with an empty answer ({at}): fill it in, or take the row out.")
        }
        DropReason::EqualScores => format!(
            "{rows} with equal scores ({at}): take them out, as no answer is the better one."
        ),
        DropReason::ContraryScores => format!(
            "{rows} whose rejected answer has the higher score ({at}): swap the answers or mend the \
             scores."
        ),
        DropReason::Tie => {
            format!("{rows} whose label says tie ({at}): leave them: they compare nothing.")
        }
        DropReason::NoComparison => {
            format!(
                "{rows} with fewer than two ranked answers ({at}): add an answer, or leave them."
            )
        }
        DropReason::NoAnswer => format!(
            "{rows} without an answer of the assistant ({at}): add one, or use the file as prompts."
        ),
        DropReason::NotUtf8 => {
            format!("{rows} not in UTF-8 ({at}): convert the file, for example with iconv.")
        }
        _ => {
            let first = dropped.first.as_deref();
            let first = first.map_or_else(String::new, |what| format!("; the first: {what}"));
            format!(
                "{rows} that cannot be read ({at}{first}): mend the file, or train with \
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
            "The model's chat template cannot be rendered ({problem}): mend the template in the \
             model's folder."
        ));
    }
    let texts = facts.kept - facts.conversations - facts.without_prompt;
    if template.present && texts > 0 {
        said.push(format!(
            "{} plain text, to which the model's chat template is not applied: write messages if \
             the model is to answer as an assistant.",
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
            named_of(&tokens.refused_lines, tokens.refused)
        ));
    }
    let max_length = tokens.max_length;
    if let Some(longest) = tokens.sequence.filter(|_| tokens.cut.is_none())
        && longest.max >= max_length
    {
        said.push(format!(
            "The longest prompt has {} tokens, and {max_length} is the longest sequence: shorten \
             the prompts, so that an answer fits behind them.",
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
                 to {most}, and shorten longer rows or take them out"
            ),
            Some(most) => format!(
                "the longest row has {longest} tokens, and the model takes {most}: shorten long rows, or \
                 take them out"
            ),
            None => format!("the longest needs --max-length {longest}, or take long rows out"),
        };
        said.push(format!(
            "{} cut at {max_length} tokens: {remedy}.",
            repeat(cut.truncated, "row is", "rows are")
        ));
    }
    if cut.prompts_lost > 0 {
        said.push(format!(
            "Nothing is left of {}: give prompts more room with --max-prompt-length.",
            count(cut.prompts_lost, "prompt")
        ));
    }
    if cut.ends_lost > 0 {
        said.push(format!(
            "{} an answer without its end, which teaches no stop: raise --max-length, or lower \
             --max-prompt-length.",
            repeat(cut.ends_lost, "row keeps", "rows keep")
        ));
    }
    if cut.equal_answers > 0 {
        said.push(format!(
            "{} equal answers as tokens{}: they teach nothing, so take them out.",
            repeat(cut.equal_answers, "pair has", "pairs have"),
            match cut.truncated {
                0 => ", as the vocabulary cannot tell them apart",
                _ => ", as they differ only behind the cut or in unknown characters",
            }
        ));
    }
    if cut.prompts_rewritten > 0 {
        said.push(format!(
            "The template writes the prompt of {} otherwise where an answer follows: check the \
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
