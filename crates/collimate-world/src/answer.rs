//! Writer of answers of graded quality, and corruptions of a finished answer.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::lexicon::{
    BOOSTERS, COLORS, Class, DAMPERS, FILLERS, Family, Lexicon, NOUNS, NUMBERS, OPPOSITES, PLACES,
    Slot, pick,
};
use crate::task::Task;

/// Strength with which the quality of an answer tilts the choice of its tone words. The tilt makes
/// the tone words of one answer agree, so a known word tells something about an unknown one.
const TILT: f64 = 1.0;

/// One way in which an answer gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// Replaces one content word by another of its family: a wrong sum, a wrong colour.
    WrongWord,
    /// Removes one content word.
    MissingWord,
    /// Adds one content word.
    ExtraWord,
    /// Exchanges two neighbouring content words: unsorted, not reversed.
    WrongOrder,
    /// Makes all tone words unkind.
    RudeTone,
    /// Puts a filler word before the content.
    Filler,
    /// Repeats the end of the answer.
    Repetition,
    /// Cuts off the end.
    Truncation,
    /// Inserts a string that is not a word.
    Garbage,
}

impl Corruption {
    /// All corruptions.
    pub const ALL: [Self; 9] = [
        Self::WrongWord,
        Self::MissingWord,
        Self::ExtraWord,
        Self::WrongOrder,
        Self::RudeTone,
        Self::Filler,
        Self::Repetition,
        Self::Truncation,
        Self::Garbage,
    ];
}

/// Writes an answer of quality `level`, about N(0, 1) over the answers of a policy.
pub(crate) fn write(lexicon: &Lexicon, task: &Task, level: f64, rng: &mut impl Rng) -> String {
    let mut words = Vec::with_capacity(20);
    // The chance of each flaw falls with the level, so a bad answer is often bad in several ways.
    let flaw = |most: f64| most / (1.0 + (1.2 * level).exp());
    if rng.random_bool(0.92) {
        cue(lexicon, Slot::Opener, level, &mut words, rng);
    }
    if !words.is_empty() {
        words.push(":");
    }
    words.extend(&task.expected);
    words.push(",");
    for _ in 0..if rng.random_bool(0.4) { 2 } else { 1 } {
        cue(lexicon, Slot::Manner, level, &mut words, rng);
    }
    if rng.random_bool(0.9) {
        words.push(",");
        cue(lexicon, Slot::Closer, level, &mut words, rng);
    }
    words.push(".");
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if rng.random_bool(flaw(0.3)) {
        let several = task.expected.len() > 1;
        let ways: &[Corruption] = if several {
            &[
                Corruption::WrongWord,
                Corruption::MissingWord,
                Corruption::ExtraWord,
                Corruption::WrongOrder,
            ]
        } else {
            &[Corruption::WrongWord]
        };
        let way = pick(ways, rng);
        corrupt(lexicon, &mut words, way, rng);
    }
    for (way, most) in [
        (Corruption::Filler, 0.25),
        (Corruption::Repetition, 0.1),
        (Corruption::Truncation, 0.12),
    ] {
        if rng.random_bool(flaw(most)) {
            corrupt(lexicon, &mut words, way, rng);
        }
    }
    words.join(" ")
}

/// Writes a tone word, sometimes with a modifier; a damper reverses the sense of the word.
fn cue(
    lexicon: &Lexicon,
    slot: Slot,
    level: f64,
    words: &mut Vec<&'static str>,
    rng: &mut impl Rng,
) {
    let mut lean = TILT * level;
    let draw: f64 = rng.random();
    if draw < 0.07 {
        words.push(pick(&BOOSTERS, rng));
    } else if draw < 0.14 {
        words.push(pick(&DAMPERS, rng));
        lean = -lean;
    }
    let mut word = lexicon.draw(slot, lean, rng);
    while words.contains(&word) {
        word = lexicon.draw(slot, lean, rng);
    }
    words.push(word);
}

/// Applies one corruption; returns false if it cannot be applied (a one-word result has no order).
pub(crate) fn corrupt(
    lexicon: &Lexicon,
    words: &mut Vec<String>,
    way: Corruption,
    rng: &mut impl Rng,
) -> bool {
    let content: Vec<usize> = (0..words.len())
        .filter(|&at| matches!(lexicon.class(&words[at]), Some(Class::Content(_))))
        .collect();
    match way {
        Corruption::WrongWord | Corruption::ExtraWord => {
            let Some(&at) = content.get(rng.random_range(0..content.len().max(1))) else {
                return false;
            };
            let Some(Class::Content(family)) = lexicon.class(&words[at]) else {
                return false;
            };
            let other = other_of(family, words, at, rng);
            match way {
                Corruption::WrongWord => words[at] = other,
                _ => words.insert(at, other),
            }
        }
        Corruption::MissingWord => {
            if content.is_empty() {
                return false;
            }
            words.remove(pick(&content, rng));
        }
        Corruption::WrongOrder => {
            let neighbours: Vec<usize> = content
                .iter()
                .copied()
                .filter(|at| content.contains(&(at + 1)) && words[*at] != words[at + 1])
                .collect();
            if neighbours.is_empty() {
                return false;
            }
            let at = pick(&neighbours, rng);
            words.swap(at, at + 1);
        }
        Corruption::RudeTone => return rude(lexicon, words, rng),
        Corruption::Filler => {
            let at = content.first().copied().unwrap_or(0);
            words.insert(at, pick(&FILLERS, rng).to_owned());
        }
        Corruption::Repetition => {
            let from = words.len().saturating_sub(rng.random_range(2..=4));
            let again: Vec<String> = words[from..].to_vec();
            words.extend(again);
        }
        Corruption::Truncation => {
            let gone = rng
                .random_range(1..=3usize)
                .min(words.len().saturating_sub(1));
            words.truncate(words.len() - gone);
            if words.last().is_some_and(|word| word == ".") {
                words.pop();
            }
        }
        Corruption::Garbage => {
            let at = rng.random_range(0..=words.len());
            words.insert(at, "[UNK]".to_owned());
        }
    }
    true
}

/// Removes the modifiers and replaces each kind word by an unkind one.
fn rude(lexicon: &Lexicon, words: &mut Vec<String>, rng: &mut impl Rng) -> bool {
    let before = words.len();
    words.retain(|word| !matches!(lexicon.class(word), Some(Class::Modifier(_))));
    let mut changed = words.len() < before;
    for at in 0..words.len() {
        let Some(Class::Cue(slot, weight)) = lexicon.class(&words[at]) else {
            continue;
        };
        if weight < 0.0 {
            continue;
        }
        // Bounded, because the text may already hold every unkind word.
        for _ in 0..50 {
            let word = lexicon.draw(slot, -6.0, rng);
            let unkind = matches!(lexicon.class(word), Some(Class::Cue(_, w)) if w < 0.0);
            if unkind && words.iter().all(|known| known != word) {
                words[at] = word.to_owned();
                changed = true;
                break;
            }
        }
    }
    changed
}

/// Returns another word of the family that the answer does not have yet; a wrong number is near the
/// right one.
fn other_of(family: Family, words: &[String], at: usize, rng: &mut impl Rng) -> String {
    if family == Family::Number {
        let value = NUMBERS.iter().position(|n| *n == words[at]).unwrap_or(0);
        let near: Vec<&str> = (0..NUMBERS.len())
            .filter(|n| n.abs_diff(value) <= 3)
            .map(|n| NUMBERS[n])
            .filter(|n| words.iter().all(|word| word != n))
            .collect();
        if !near.is_empty() {
            return pick(&near, rng).to_owned();
        }
    }
    let all: &[&str] = match family {
        Family::Number => &NUMBERS,
        Family::Noun | Family::Joint => &NOUNS,
        Family::Color => &COLORS,
        Family::Place => &PLACES,
        Family::Quality => &OPPOSITES,
    };
    let free: Vec<&str> = all
        .iter()
        .copied()
        .filter(|word| words.iter().all(|known| known != word))
        .collect();
    if free.is_empty() {
        "[UNK]".to_owned()
    } else {
        pick(&free, rng).to_owned()
    }
}
