//! Orders and coin flips that depend on the content of a pair. They do not depend on the place of
//! the pair in the file, nor on the order of the two answers.

use collimate_core::{Completion, Key, PreferencePair, Prompt, Purpose, Role};
use rand::Rng;

/// Returns the digest of a prompt. A text and a conversation never collide.
pub(crate) fn prompt_hash(prompt: &Prompt) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    match prompt {
        Prompt::Text(text) => {
            hasher.update(b"text");
            part(&mut hasher, text);
        }
        Prompt::Chat(messages) => {
            hasher.update(b"chat");
            for message in messages {
                hasher.update(match message.role {
                    Role::System => b"s",
                    Role::User => b"u",
                    Role::Assistant => b"a",
                    Role::Tool => b"t",
                });
                part(&mut hasher, &message.content);
                for (key, value) in &message.further {
                    part(&mut hasher, key);
                    part(&mut hasher, &value.to_string());
                }
            }
        }
    }
    *hasher.finalize().as_bytes()
}

/// Returns the digest of a text.
pub(crate) fn text_hash(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// Returns the digest of a prompt and two answers. Exchanging the answers does not change it.
pub(crate) fn unordered_hash(prompt: &Prompt, a: &Completion, b: &Completion) -> [u8; 32] {
    let (low, high) = if answer_order(a) <= answer_order(b) {
        (a, b)
    } else {
        (b, a)
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&prompt_hash(prompt));
    for answer in [low, high] {
        part(&mut hasher, &answer.text);
        for token in answer.tokens.iter().flatten() {
            hasher.update(&token.to_le_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

/// Returns the key that sorts two answers canonically: every field in which they can differ.
pub(crate) fn answer_order(answer: &Completion) -> (&str, &Option<Vec<u32>>, u8) {
    (&answer.text, &answer.tokens, answer.finish as u8)
}

/// Returns a keyed digest: one unrelated value per (key, purpose, content).
pub(crate) fn keyed(content: &[u8; 32], secret: &[u8; 32]) -> [u8; 32] {
    *blake3::keyed_hash(secret, content).as_bytes()
}

/// Returns the secret of [`keyed`] for one purpose of a key.
pub(crate) fn secret(key: Key, purpose: Purpose) -> [u8; 32] {
    let mut secret = [0; 32];
    key.rng(purpose).fill_bytes(&mut secret);
    secret
}

/// Returns the indices of `pairs` in a random order. Sorting the file or exchanging answers does
/// not change the order of the contents.
pub(crate) fn keyed_order(pairs: &[PreferencePair], key: Key, purpose: Purpose) -> Vec<usize> {
    let secret = secret(key, purpose);
    let digests: Vec<[u8; 32]> = pairs
        .iter()
        .map(|p| keyed(&unordered_hash(&p.prompt, &p.chosen, &p.rejected), &secret))
        .collect();
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|&index| digests[index]);
    order
}

/// Adds a text to a digest.
pub(crate) fn part(hasher: &mut blake3::Hasher, text: &str) {
    // The length is hashed first, so that ("ab", "c") and ("a", "bc") differ.
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_core::Message;

    #[test]
    fn direction_does_not_matter_and_boundaries_do() {
        let hash = |p: &str, a: &str, b: &str| unordered_hash(&p.into(), &a.into(), &b.into());
        assert_eq!(hash("q", "a", "b"), hash("q", "b", "a"));
        assert_ne!(hash("q", "ab", "c"), hash("q", "a", "bc"));
        assert_ne!(hash("q", "a", "b"), hash("r", "a", "b"));
        let chat = Prompt::Chat(vec![Message::new(Role::User, "q")]);
        assert_ne!(prompt_hash(&chat), prompt_hash(&"q".into()));
    }
}
