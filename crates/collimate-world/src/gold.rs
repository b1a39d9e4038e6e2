//! The gold reward: a graded score in [0, 1] of any text as an answer to any prompt.

use std::collections::HashSet;

use serde::Serialize;

use crate::lexicon::{Class, Family, Lexicon, NUMBERS, Slot};
use crate::task::Task;

/// Weight of each part in the gold reward; the weights sum to one.
const CONTENT: f64 = 0.32;
const TONE: f64 = 0.50;
const FORM: f64 = 0.18;
/// Number of tone words that count: further tone words make the answer longer, not kinder.
const COUNTED_CUES: usize = 4;
/// Summed weight at which the tone is as good (or bad) as possible.
const FULL_TONE: f64 = 3.0;
/// Number of words that an answer may have beside its content.
const SPARE_WORDS: usize = 14;

/// Parts of the gold reward, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GoldParts {
    /// Similarity of the content words to the right result; 1 only for the exact result.
    pub content: f64,
    /// Tone: ½ is neutral.
    pub tone: f64,
    /// Form: parts in order, all present, no filler, a full stop at the end.
    pub form: f64,
    /// Share of the reward that remains after unknown or stray words, repetition and excess length.
    pub health: f64,
    /// Share of tone and form that remains; content that is off the task reduces it.
    pub relevance: f64,
}

impl GoldParts {
    const NOTHING: Self = Self {
        content: 0.0,
        tone: 0.0,
        form: 0.0,
        health: 0.0,
        relevance: 0.0,
    };

    /// Returns the gold reward of these parts, in [0, 1].
    pub fn reward(&self) -> f64 {
        let manners = TONE * self.tone + FORM * self.form;
        (self.health * (CONTENT * self.content + self.relevance * manners)).clamp(0.0, 1.0)
    }
}

/// Judges a text. A prompt that the synthetic world does not write has no right result.
pub(crate) fn judge(lexicon: &Lexicon, task: Option<&Task>, completion: &str) -> GoldParts {
    let words: Vec<&str> = completion.split_whitespace().collect();
    if words.is_empty() {
        return GoldParts::NOTHING;
    }
    let classes: Vec<Option<Class>> = words.iter().map(|word| lexicon.class(word)).collect();
    let expected = task.map_or(&[][..], |task| &task.expected);
    let similarity = similarity(lexicon, &words, &classes, expected);
    GoldParts {
        content: if similarity >= 1.0 {
            1.0
        } else {
            0.7 * similarity
        },
        tone: tone(&words, &classes),
        form: form(&words, &classes),
        health: health(&words, &classes, expected.len()),
        relevance: 0.15 + 0.85 * (similarity / 0.2).min(1.0),
    }
}

/// Returns one minus the edit distance to the right result, per word of the longer one.
fn similarity(
    lexicon: &Lexicon,
    words: &[&str],
    classes: &[Option<Class>],
    expected: &[&str],
) -> f64 {
    let given: Vec<&str> = words
        .iter()
        .zip(classes)
        .filter(|(_, class)| matches!(class, Some(Class::Content(_))))
        .map(|(word, _)| *word)
        // A result many times too long is wrong whatever follows; the limit bounds the work.
        .take(8 * expected.len().max(1))
        .collect();
    if given.is_empty() || expected.is_empty() {
        return 0.0;
    }
    let mut row: Vec<f64> = (0..=expected.len()).map(|j| j as f64).collect();
    for (i, word) in given.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = (i + 1) as f64;
        for (j, right) in expected.iter().enumerate() {
            let replaced = diagonal + mistake(lexicon, word, right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1.0).min(diagonal + 1.0);
        }
    }
    let distance = row[expected.len()];
    (1.0 - distance / given.len().max(expected.len()) as f64).clamp(0.0, 1.0)
}

/// Returns the cost of writing `word` for `right`: near numbers, and words of one family, cost less
/// than a full edit.
fn mistake(lexicon: &Lexicon, word: &str, right: &str) -> f64 {
    if word == right {
        return 0.0;
    }
    let family = |word| match lexicon.class(word) {
        Some(Class::Content(family)) => Some(family),
        _ => None,
    };
    match (family(word), family(right)) {
        (Some(Family::Number), Some(Family::Number)) => {
            let value = |word| NUMBERS.iter().position(|n| *n == word).unwrap_or(0) as f64;
            0.55 + 0.35 * ((value(word) - value(right)).abs() / 5.0).min(1.0)
        }
        (a, b) if a == b => 0.75,
        _ => 1.0,
    }
}

fn tone(words: &[&str], classes: &[Option<Class>]) -> f64 {
    let sum: f64 = counted_weights(words, classes).iter().sum();
    0.5 + 0.5 * (sum / FULL_TONE).clamp(-1.0, 1.0)
}

/// Returns true if no counted tone word of a text is unkind together with its modifier.
pub(crate) fn is_kind(lexicon: &Lexicon, text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let classes: Vec<Option<Class>> = words.iter().map(|word| lexicon.class(word)).collect();
    counted_weights(&words, &classes)
        .iter()
        .all(|weight| *weight > 0.0)
}

/// Returns the weights of the tone words that count, each with the modifier before it.
fn counted_weights(words: &[&str], classes: &[Option<Class>]) -> Vec<f64> {
    let mut seen = HashSet::new();
    let mut weights = Vec::new();
    for (at, class) in classes.iter().enumerate() {
        let Some(Class::Cue(_, weight)) = class else {
            continue;
        };
        if !seen.insert(words[at]) {
            continue;
        }
        if seen.len() > COUNTED_CUES {
            break;
        }
        let factor = match at.checked_sub(1).and_then(|before| classes[before]) {
            Some(Class::Modifier(factor)) => factor,
            _ => 1.0,
        };
        weights.push(factor * weight);
    }
    weights
}

fn form(words: &[&str], classes: &[Option<Class>]) -> f64 {
    let mut lost = 0.0;
    let stops = words.iter().filter(|word| **word == ".").count();
    if words.last() != Some(&".") {
        lost += 0.5;
    }
    lost += 0.2 * stops.saturating_sub(1) as f64;
    let mut present = [false; 3];
    let mut last = 0;
    for class in classes.iter().flatten() {
        match class {
            Class::Cue(slot, _) => present[*slot as usize] = true,
            Class::Filler => lost += 0.15,
            _ => {}
        }
        if let Some(place) = place(class) {
            lost += if place < last { 0.2 } else { 0.0 };
            last = place;
        }
    }
    lost += 0.15 * present.iter().filter(|there| !**there).count() as f64;
    lost += 0.1 * slips(words, classes) as f64;
    (1.0_f64 - lost).max(0.0)
}

/// Returns the position to which a word belongs: opener, content, manner, closer.
fn place(class: &Class) -> Option<usize> {
    match class {
        Class::Cue(Slot::Opener, _) => Some(0),
        Class::Content(_) => Some(1),
        Class::Cue(Slot::Manner, _) => Some(2),
        Class::Cue(Slot::Closer, _) => Some(3),
        _ => None,
    }
}

/// Counts slips: a modifier with no tone word after it; punctuation that opens the answer, follows
/// punctuation or lies inside a part; a question mark.
fn slips(words: &[&str], classes: &[Option<Class>]) -> usize {
    let class = |at: usize| classes.get(at).and_then(Option::as_ref);
    let slip = |at: usize| match class(at) {
        Some(Class::Modifier(_)) => !matches!(class(at + 1), Some(Class::Cue(..))),
        Some(Class::Punctuation) if at == 0 || words[at] == "?" => true,
        Some(Class::Punctuation) => {
            let mut next = at + 1;
            while let Some(Class::Modifier(_)) = class(next) {
                next += 1;
            }
            let before = class(at - 1).and_then(place);
            let inside = before.is_some() && before == class(next).and_then(place);
            inside || matches!(class(at - 1), Some(Class::Punctuation))
        }
        _ => false,
    };
    (0..words.len()).filter(|&at| slip(at)).count()
}

fn health(words: &[&str], classes: &[Option<Class>], expected: usize) -> f64 {
    let total = words.len() as f64;
    let foreign = classes
        .iter()
        .filter(|class| matches!(class, None | Some(Class::Stray)))
        .count();
    let mut bigrams = HashSet::new();
    let mut cues = HashSet::new();
    let mut repeated = 0usize;
    for at in 0..words.len() {
        let again =
            at > 0 && (words[at] == words[at - 1] || !bigrams.insert((words[at - 1], words[at])));
        let cue = matches!(classes[at], Some(Class::Cue(..))) && !cues.insert(words[at]);
        repeated += usize::from(again || cue);
    }
    let limit = (expected + SPARE_WORDS) as f64;
    let share = |count: usize| 1.0 - count as f64 / total;
    share(foreign).powi(3) * share(repeated).powi(2) * (limit / total).min(1.0).powi(2)
}
