//! Prompts of a file, for the policies to learn on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use collimate::core::{Message, PreferencePair, Prompt, Role};
use collimate::data::{DataError, Input};

use super::config::Config;
use crate::commands::eval::cases::question;
use crate::commands::generate::prompts;
use crate::common::{self, Failure};
use crate::runs;

/// Minimum number of different prompts for a policy stage.
pub(super) const FEWEST_PROMPTS: usize = 10;

/// Refuses a file of prompts that cannot be used, before a run writes anything.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    match &config.policy_prompts {
        Some(path) => read(path).and_then(|read| enough(path, &read)),
        None => Ok(()),
    }
}

/// Returns the different prompts of a file. Prompts on which the policies are measured are left out.
/// If the prompts of the pairs are messages, a text becomes a message of the user, because the chat
/// template gives messages other tokens.
///
/// # Errors
/// Returns an error if the file cannot be read, or too few prompts are left.
pub(super) fn of(
    path: &PathBuf,
    pairs: &[PreferencePair],
    held: &[Prompt],
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
            "{shown}: prompts left out, because answers to them are compared: {shared}"
        ));
    }
    asked.retain(|prompt| seen.insert(question(prompt)));
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

fn enough(path: &Path, prompts: &[Prompt]) -> Result<(), Failure> {
    let different: HashSet<String> = prompts.iter().map(question).collect();
    if different.len() < FEWEST_PROMPTS {
        return Err(format!(
            "{}: {} different prompts are too few to train a policy on: give at least \
             {FEWEST_PROMPTS}",
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

    use super::*;

    fn chat(text: &str) -> Prompt {
        Prompt::Chat(vec![Message::new(Role::User, text)])
    }

    fn pair(prompt: Prompt) -> PreferencePair {
        PreferencePair::new(prompt, Completion::from("good"), Completion::from("bad"))
    }

    /// Reads prompts `0` to `11` and `3` again, as texts.
    fn asked(pairs: &[PreferencePair], held: &[Prompt]) -> Result<Vec<Prompt>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.txt");
        let lines: Vec<String> = (0..12).chain([3]).map(|n| format!("{n}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        of(&path, pairs, held)
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
        assert!(error.contains("9 different prompts are too few"), "{error}");
    }
}
