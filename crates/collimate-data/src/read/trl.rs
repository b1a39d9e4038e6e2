//! Preference rows as TRL's trainers read them.

use collimate_core::{Message, PreferencePair, Prompt, Role};

use super::fields::{Content, Object, content};
use super::{Bad, DropReason, Sink};

/// A comparison before it is checked; `None` where the two answers do not continue one prompt.
pub(super) type Comparison = Option<(Prompt, String, String)>;

/// Columns that say how much better the chosen answer is and that are not used here.
const UNUSED: [&str; 2] = ["margin", "score_gap"];

/// Notes in the report what the row says and nobody reads.
pub(super) fn note_unused<T>(row: &Object, sink: &mut Sink<T>) {
    for name in UNUSED {
        if row.get(name).is_some_and(|value| !value.is_null()) {
            sink.unused.insert(name.to_owned());
        }
    }
}

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    note_unused(row, sink);
    push(comparison(row)?, None, sink);
    Ok(())
}

pub(super) fn push(pair: Comparison, score_gap: Option<f64>, sink: &mut Sink<PreferencePair>) {
    match pair {
        Some((prompt, chosen, rejected)) => sink.pair(prompt, chosen, rejected, score_gap),
        None => sink.drop_one(DropReason::DifferentPrompts),
    }
}

/// Prompt and answers of a row of any of TRL's forms: standard or conversational, the prompt
/// given or implied by what both answers begin with.
pub(super) fn comparison(row: &Object) -> Result<Comparison, Bad> {
    let prompt = match row.get("prompt") {
        None => None,
        Some(value) if value.is_null() => None,
        Some(_) => Some(content(row, "prompt")?),
    };
    match (prompt, content(row, "chosen")?, content(row, "rejected")?) {
        (Some(prompt), Content::Text(chosen), Content::Text(rejected)) => {
            let prompt = match prompt {
                Content::Text(text) => Prompt::Text(text),
                Content::Chat(messages) => Prompt::Chat(messages),
            };
            Ok(Some((prompt, chosen, rejected)))
        }
        (None, Content::Text(chosen), Content::Text(rejected)) => {
            let at = implicit_prompt(&chosen, &rejected);
            let prompt = Prompt::Text(chosen[..at].to_owned());
            Ok(Some((
                prompt,
                chosen[at..].to_owned(),
                rejected[at..].to_owned(),
            )))
        }
        (prompt, Content::Chat(chosen), Content::Chat(rejected)) => {
            Ok(chat(prompt, &chosen, &rejected))
        }
        _ => Err(Bad::fields(
            "one of `chosen` and `rejected` is a text, the other a list of messages",
        )),
    }
}

fn chat(prompt: Option<Content>, chosen: &[Message], rejected: &[Message]) -> Comparison {
    let mut prompt = match prompt {
        None => Vec::new(),
        // Rows of UltraFeedback repeat the prompt as the first message.
        Some(Content::Text(text)) => {
            let repeated = [chosen, rejected].iter().all(|answer| {
                answer
                    .iter()
                    .any(|m| m.role == Role::User && m.content == text)
            });
            let message = Message {
                role: Role::User,
                content: text,
            };
            if repeated { Vec::new() } else { vec![message] }
        }
        Some(Content::Chat(messages)) => messages,
    };
    let (mut chosen, mut rejected) = (chosen, rejected);
    if !prompt.is_empty() && chosen.starts_with(&prompt) && rejected.starts_with(&prompt) {
        (chosen, rejected) = (&chosen[prompt.len()..], &rejected[prompt.len()..]);
    }
    // Equal last messages stay in place: they are equal answers, not a common beginning.
    let longest = chosen.len().min(rejected.len()).saturating_sub(1);
    let common = (0..longest)
        .take_while(|&i| chosen[i] == rejected[i])
        .count();
    prompt.extend_from_slice(&chosen[..common]);
    match (&chosen[common..], &rejected[common..]) {
        ([c], [r]) if c.role == Role::Assistant && r.role == Role::Assistant => {
            Some((Prompt::Chat(prompt), c.content.clone(), r.content.clone()))
        }
        _ => None,
    }
}

/// Where the common beginning of two texts ends at a word boundary, at most one character short of
/// either end, so that no answer comes out empty.
///
/// A space goes to the answers, a line break stays with the prompt. No word is cut in two: the
/// tokens of the parts would be others than those of the whole.
///
/// # Differs from
/// TRL cuts at the first differing character, inside a word too.
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
