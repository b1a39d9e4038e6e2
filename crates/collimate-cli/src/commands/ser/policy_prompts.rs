//! Prompts of a file, for the policies to learn on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use collimate::core::{Message, PreferencePair, Prompt, Role};
use collimate::data::{DataError, Input, TextTokenizer};

use super::config::Config;
use crate::commands::eval::cases::question;
use crate::commands::generate::prompts;
use crate::common::{self, Failure};
use crate::runs;

/// Minimum number of different prompts for a policy stage.
pub(super) const FEWEST_PROMPTS: usize = 10;

/// Refuses a file of prompts that cannot be used, before a run writes anything.
pub(super) fn check(config: &Config, tokenizer: &TextTokenizer) -> Result<(), Failure> {
    let Some(path) = &config.policy_prompts else {
        return Ok(());
    };
    let mut asked = read(path)?;
    retain_short(path, &mut asked, config, tokenizer)?;
    enough(path, &asked)
}

/// Returns the different prompts of a file. Prompts on which the policies are measured are left out, and
/// prompts that leave no room for a response. If the prompts of the pairs are messages, a text becomes a message of the user, because the chat
/// template gives messages other tokens.
///
/// # Errors
/// Returns an error if the file cannot be read, or too few prompts are left.
pub(super) fn of(
    path: &PathBuf,
    pairs: &[PreferencePair],
    held: &[Prompt],
    config: &Config,
    tokenizer: &TextTokenizer,
) -> Result<Vec<Prompt>, Failure> {
    let mut asked = read(path)?;
    let shown = path.display();
    let is_chat = |prompt: &Prompt| matches!(prompt, Prompt::Chat(_));
    let chats = pairs.iter().filter(|pair| is_chat(&pair.prompt)).count();
    let texts = asked.iter().filter(|prompt| !is_chat(prompt)).count();
    if chats > 0 && chats == pairs.len() && texts > 0 {
        common::tell(&format!(
            "{shown}: {texts} texts are read as messages of the user, because the prompts of the \
             pairs are messages"
        ));
        for prompt in &mut asked {
            if let Prompt::Text(text) = prompt {
                *prompt = Prompt::Chat(vec![Message::new(Role::User, text.as_str())]);
            }
        }
    } else if chats == 0 && !pairs.is_empty() && texts < asked.len() {
        common::tell(&format!(
            "warning: {shown}: {} prompts are messages, but the prompts of the pairs are plain \
             texts: the chat template gives messages other tokens, so bring both into one form \
             (`collimate data convert`)",
            asked.len() - texts
        ));
    }
    let mut seen: HashSet<String> = held.iter().map(question).collect();
    let before = asked.len();
    asked.retain(|prompt| !seen.contains(&question(prompt)));
    let shared = before - asked.len();
    if shared > 0 {
        common::tell(&format!(
            "{shown}: prompts left out, because answers to them are watched or compared: {shared}"
        ));
    }
    asked.retain(|prompt| seen.insert(question(prompt)));
    let long = retain_short(path, &mut asked, config, tokenizer)?;
    if long > 0 {
        common::tell(&format!(
            "{shown}: prompts left out, because no response of {} tokens fits behind them: {long}",
            config.policy.ppo.max_new_tokens
        ));
    }
    enough(path, &asked)?;
    Ok(asked)
}

fn read(path: &PathBuf) -> Result<Vec<Prompt>, Failure> {
    runs::check_lasting([path])?;
    let input = Input::open(path).map_err(|error| match error {
        DataError::Missing { path } => Failure::from(format!(
            "--policy-prompts {}: no such file: check the path",
            path.display()
        )),
        error => error.into(),
    })?;
    let asked = prompts::of(Ok(input))?;
    Ok(asked.into_iter().map(|asked| asked.prompt).collect())
}

/// Removes prompts that leave no room for a response, and returns their number.
fn retain_short(
    path: &Path,
    asked: &mut Vec<Prompt>,
    config: &Config,
    tokenizer: &TextTokenizer,
) -> Result<usize, Failure> {
    let policy = &config.policy;
    let room = policy.max_length.saturating_sub(policy.ppo.max_new_tokens);
    let lengths = asked
        .iter()
        .map(|prompt| Ok(tokenizer.encode_prompt(prompt)?.len()));
    let lengths: Result<Vec<usize>, DataError> = lengths.collect();
    let lengths = lengths.map_err(|error| format!("{}: {error}", path.display()))?;
    let before = asked.len();
    let mut lengths = lengths.into_iter();
    asked.retain(|_| lengths.next().is_none_or(|length| length <= room));
    Ok(before - asked.len())
}

fn enough(path: &Path, prompts: &[Prompt]) -> Result<(), Failure> {
    let different: HashSet<String> = prompts.iter().map(question).collect();
    if different.len() < FEWEST_PROMPTS {
        return Err(format!(
            "{}: {} different prompts that can be used are too few to train a policy on: give at \
             least {FEWEST_PROMPTS}",
            path.display(),
            different.len()
        )
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use collimate::core::Completion;
    use collimate::data::ChatFallback;

    use super::*;

    fn chat(text: &str) -> Prompt {
        Prompt::Chat(vec![Message::new(Role::User, text)])
    }

    fn pair(prompt: Prompt) -> PreferencePair {
        PreferencePair::new(prompt, Completion::from("good"), Completion::from("bad"))
    }

    fn tokenizer() -> TextTokenizer {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/hf/llama-untied"
        );
        let tokenizer = TextTokenizer::from_folder(Path::new(folder)).unwrap();
        tokenizer.with_chat_fallback(ChatFallback::Plain)
    }

    fn asked(pairs: &[PreferencePair], held: &[Prompt]) -> Result<Vec<Prompt>, Failure> {
        asked_with(200, pairs, held)
    }

    /// Reads prompts `0` to `11` and `3` again, as texts.
    fn asked_with(
        max_length: usize,
        pairs: &[PreferencePair],
        held: &[Prompt],
    ) -> Result<Vec<Prompt>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.txt");
        let lines: Vec<String> = (0..12).chain([3]).map(|n| format!("{n}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let mut config = Config::default();
        config.policy.max_length = max_length;
        config.policy.ppo.max_new_tokens = 8;
        of(&path, pairs, held, &config, &tokenizer())
    }

    #[test]
    fn texts_become_messages_beside_pairs_of_messages_and_held_prompts_are_left_out() {
        let found = asked(&[pair(chat("x"))], &[chat("0"), Prompt::from("1")]).unwrap();
        let expected: Vec<Prompt> = (2..12).map(|n| chat(&n.to_string())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_stay_texts_beside_pairs_of_texts() {
        let found = asked(&[pair(Prompt::from("x"))], &[chat("0")]).unwrap();
        let expected: Vec<Prompt> = (1..12)
            .map(|n| Prompt::from(n.to_string().as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn held_prompts_do_not_count() {
        let held: Vec<Prompt> = (0..3).map(|n| chat(&n.to_string())).collect();
        let error = asked(&[pair(chat("x"))], &held).unwrap_err().to_string();
        assert!(
            error.contains("9 different prompts that can be used"),
            "{error}"
        );
    }

    #[test]
    fn prompts_without_room_for_a_response_do_not_count() {
        let error = asked_with(8, &[], &[]).unwrap_err().to_string();
        assert!(
            error.contains("0 different prompts that can be used"),
            "{error}"
        );
    }
}
