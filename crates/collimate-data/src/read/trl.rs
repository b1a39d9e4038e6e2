//! Preference rows as TRL's trainers read them.

use collimate_core::{Message, PreferencePair, Prompt, Role};

use super::fields::{Content, Object, content};
use super::further::spoken;
use super::prompt_column::{by_other_name, check_held};
use super::report::Note;
use super::seen::Seen;
use super::sink::Sink;
use super::{Bad, DropReason};

/// A comparison before it is checked, or the reason why a row has none.
pub(super) type Compared = Result<(Prompt, String, String), DropReason>;

/// The columns of a row that are read.
pub(super) const COLUMNS: [&str; 3] = ["prompt", "chosen", "rejected"];

/// Smallest length in bytes of a prompt that is removed from answers that begin with it. A shorter
/// match may be a coincidence.
const TELLING: usize = 10;

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &COLUMNS)?;
    let compared = comparison(row, &mut sink.seen)?;
    push(compared, None, sink);
    Ok(())
}

pub(super) fn push(pair: Compared, score_gap: Option<f64>, sink: &mut Sink<PreferencePair>) {
    match pair {
        Ok((prompt, chosen, rejected)) => sink.pair(prompt, chosen, rejected, score_gap),
        Err(reason) => sink.drop_one(reason),
    }
}

/// Reads prompt and answers of a row in any of TRL's forms, standard or conversational. The prompt
/// is given, is in a column with another name, or is the common beginning of both answers.
pub(super) fn comparison(row: &Object, seen: &mut Seen) -> Result<Compared, Bad> {
    let prompt = match row.get("prompt") {
        None => None,
        Some(value) if value.is_null() => None,
        Some(value) if value.as_str().is_some_and(|text| text.trim().is_empty()) => {
            // Beside a question, an empty prompt does not count.
            Some(by_other_name(row, seen)?.unwrap_or(content(row, "prompt", seen)?))
        }
        Some(_) => Some(content(row, "prompt", seen)?),
    };
    let chosen = content(row, "chosen", seen)?;
    match (chosen, content(row, "rejected", seen)?) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            let prompt = match prompt {
                Some(prompt) => Some(prompt),
                None => by_other_name(row, seen)?,
            };
            Ok(match prompt {
                Some(prompt) => standard(prompt, chosen, rejected, seen),
                None => {
                    let at = implicit_prompt(&chosen, &rejected);
                    let prompt = Prompt::Text(chosen[..at].to_owned());
                    Ok((prompt, chosen[at..].to_owned(), rejected[at..].to_owned()))
                }
            })
        }
        (Content::Chat(chosen), Content::Chat(rejected)) => {
            let asks = |messages: &[Message]| messages.iter().any(|m| m.role == Role::User);
            let prompt = match prompt {
                Some(prompt) => Some(prompt),
                None if asks(&chosen) || asks(&rejected) => {
                    check_held(row, &chosen)?;
                    None
                }
                None => by_other_name(row, seen)?,
            };
            chat(prompt, &chosen, &rejected, seen)
        }
        _ => Err(Bad::fields(
            "one of `chosen` and `rejected` is a text, the other a list of messages",
        )),
    }
}

/// Reads a row of a table. Its answers are texts as they are.
pub(super) fn table_row(row: &Object, seen: &mut Seen) -> Result<Compared, Bad> {
    seen.cells(row, &COLUMNS)?;
    let prompt = match row.contains_key("prompt") {
        true => content(row, "prompt", seen)?,
        false => by_other_name(row, seen)?.unwrap_or(Content::Text(String::new())),
    };
    match (
        content(row, "chosen", seen)?,
        content(row, "rejected", seen)?,
    ) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            Ok(standard(prompt, chosen, rejected, seen))
        }
        _ => Err(Bad::fields("a cell is not a text")),
    }
}

/// Returns a prompt and two answers. If both answers begin with the prompt, it is removed from
/// them.
fn standard(
    prompt: Content,
    mut chosen: String,
    mut rejected: String,
    seen: &mut Seen,
) -> Compared {
    let asked = match &prompt {
        Content::Text(text) => text.as_str(),
        Content::Chat(messages) => messages.last().map_or("", |m| m.content.as_str()),
    };
    let rests = [&chosen, &rejected].map(|answer| after(asked, answer));
    if let [Some(after_chosen), Some(after_rejected)] = rests {
        (chosen, rejected) = (after_chosen.to_owned(), after_rejected.to_owned());
        seen.tell(Note::PromptTakenOff);
    }
    Ok((prompt.into_prompt(), chosen, rejected))
}

/// Returns the text after a prompt at the beginning of an answer. Returns `None` if the answer does
/// not begin with the prompt, or if the prompt is too short to tell.
pub(super) fn after<'a>(prompt: &str, answer: &'a str) -> Option<&'a str> {
    let asked = prompt.trim();
    if asked.len() < TELLING {
        return None;
    }
    let rest = answer.trim_start().strip_prefix(asked)?;
    // White space at the end of the prompt is not repeated in the answer.
    let tail = &prompt[prompt.trim_end().len()..];
    let rest = rest.strip_prefix(tail).unwrap_or(rest);
    let last_in_word = asked.ends_with(char::is_alphanumeric);
    let cut = last_in_word && rest.starts_with(char::is_alphanumeric);
    (!cut).then_some(rest)
}

/// Returns true if messages are equal apart from white space at both ends.
fn same(a: &Message, b: &Message) -> bool {
    a.role == b.role && a.content.trim() == b.content.trim() && a.further == b.further
}

fn chat(
    prompt: Option<Content>,
    chosen: &[Message],
    rejected: &[Message],
    seen: &mut Seen,
) -> Result<Compared, Bad> {
    let answers = [chosen, rejected];
    let lasts = answers.map(|answer| answer.len().saturating_sub(1));
    let mut prompt = match prompt {
        None => Vec::new(),
        Some(Content::Text(content)) => {
            let turn = Message::new(Role::User, content);
            let holds = |by: fn(&Message, &Message) -> bool| {
                answers
                    .iter()
                    .all(|answer| answer.iter().any(|m| by(m, &turn)))
            };
            // Rows of UltraFeedback repeat the prompt as the first message.
            if holds(|a, b| a == b) {
                Vec::new()
            } else if holds(same) {
                seen.tell(Note::RepeatedTurn);
                Vec::new()
            } else {
                vec![turn]
            }
        }
        Some(Content::Chat(messages)) => messages,
    };
    let (mut chosen, mut rejected) = (chosen, rejected);
    if let Some(length) = overlap(&prompt, answers) {
        let exact =
            length == prompt.len() && answers.iter().all(|answer| answer.starts_with(&prompt));
        if !exact {
            seen.tell(Note::RepeatedTurn);
        }
        (chosen, rejected) = (&chosen[length..], &rejected[length..]);
    }
    let asked = prompt.last().is_some_and(|m| m.role == Role::User);
    let asks = |answer: &[Message]| answer.first().is_some_and(|m| m.role != Role::Assistant);
    if asked && (asks(chosen) || asks(rejected)) {
        return Err(Bad::fields(
            "`prompt` ends with the user's turn, but `chosen` or `rejected` does not begin with \
             the assistant's: give the prompt once",
        ));
    }
    // Equal last messages stay, because they are equal answers, not a common beginning.
    let longest = chosen.len().min(rejected.len()).saturating_sub(1);
    let common = (0..longest)
        .take_while(|&i| chosen[i] == rejected[i])
        .count();
    prompt.extend_from_slice(&chosen[..common]);
    let (chosen, rejected) = (&chosen[common..], &rejected[common..]);
    let answers = |answer: &[Message]| answer.first().is_some_and(|m| m.role == Role::Assistant);
    Ok(match (chosen, rejected) {
        ([c], [r]) if c.role == Role::Assistant && r.role == Role::Assistant => {
            let [last_chosen, last_rejected] = lasts;
            let c = spoken(c, "chosen", last_chosen)?;
            let r = spoken(r, "rejected", last_rejected)?;
            Ok((Prompt::Chat(prompt), c, r))
        }
        _ if answers(chosen) && answers(rejected) => Err(DropReason::SeveralTurns),
        _ => Err(DropReason::DifferentPrompts),
    })
}

/// Counts the messages at the end of the prompt with which both answers begin.
fn overlap(prompt: &[Message], answers: [&[Message]; 2]) -> Option<usize> {
    (1..=prompt.len()).rev().find(|&length| {
        let turns = &prompt[prompt.len() - length..];
        answers.iter().all(|answer| {
            answer.len() >= length && turns.iter().zip(*answer).all(|(a, b)| same(a, b))
        })
    })
}

/// Returns the end of the common beginning of two texts, at a word boundary. The end is at least
/// one character before the end of each text, so that no answer is empty.
///
/// A space goes to the answers, and a line break stays with the prompt. No word is cut in two,
/// because the parts would have other tokens than the whole.
///
/// # Differs from
/// TRL cuts at the first differing character, also inside a word.
fn implicit_prompt(chosen: &str, rejected: &str) -> usize {
    if chosen == rejected {
        return 0;
    }
    let shorter = chosen.len().min(rejected.len());
    let common = chosen
        .char_indices()
        .zip(rejected.chars())
        .find(|((_, c), r)| c != r)
        .map_or(shorter, |((at, _), _)| at);
    (0..=common.min(shorter - usize::from(shorter > 0)))
        .rev()
        .find(|&at| is_boundary(chosen, rejected, at, common))
        .unwrap_or(0)
}

fn is_boundary(chosen: &str, rejected: &str, at: usize, common: usize) -> bool {
    if !chosen.is_char_boundary(at) || !rejected.is_char_boundary(at) {
        return false;
    }
    let mut before = chosen[..at].chars().rev();
    let in_word = |text: &str| {
        text[at..]
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || "'’-_".contains(c))
    };
    match before.next() {
        None | Some('\n') => true,
        Some(':') => before.next().is_some_and(char::is_alphabetic),
        Some(c) if c.is_whitespace() => false,
        Some(_) if at < common => chosen[at..].starts_with(char::is_whitespace),
        Some(_) => !in_word(chosen) && !in_word(rejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(chosen: &str, rejected: &str) -> String {
        chosen[..implicit_prompt(chosen, rejected)].to_owned()
    }

    #[test]
    fn the_implied_prompt_ends_at_a_word() {
        assert_eq!(
            prompt("The sky is blue.", "The sky is green."),
            "The sky is"
        );
        assert_eq!(prompt("The cat sat", "The car sat"), "The");
        assert_eq!(prompt("Q?\nyes", "Q?\nno"), "Q?\n");
        assert_eq!(
            prompt("User: hi\n\nAssistant:Yes", "User: hi\n\nAssistant:No"),
            "User: hi\n\nAssistant:"
        );
        assert_eq!(prompt("at 12:30", "at 12:45"), "at");
        assert_eq!(prompt("It's", "It'd"), "");
        assert_eq!(prompt("é ü", "é ö"), "é");
        assert_eq!(prompt("yes", "no"), "");
    }

    #[test]
    fn no_answer_comes_out_empty() {
        assert_eq!(
            prompt("I cooked breakfast.", "I cooked breakfast. It burnt."),
            "I cooked"
        );
        assert_eq!(prompt("I cooked", "I cooked breakfast"), "I");
        assert_eq!(prompt("", "x"), "");
        assert_eq!(prompt("same", "same"), "");
    }
}
