//! The small tasks: a prompt is drawn, read back, and given its right result.

use collimate_core::{Key, Purpose};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::lexicon::{
    ASKS, COLOR_OF, NAMES, NOUNS, NUMBERS, OPPOSITES, PLACE_OF, PLACES, TO, VERBS, pick, shuffle,
};

/// Kind of task that a prompt of the synthetic world asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// The sum of two digits.
    Add,
    /// A copy of the words.
    Copy,
    /// The words in reverse order.
    Reverse,
    /// Numbers in rising order.
    Sort,
    /// The colour or the place of a thing.
    LookUp,
    /// The opposite of a quality.
    Opposite,
    /// Bringing a thing to a place.
    Request,
}

impl TaskKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Add,
        Self::Copy,
        Self::Reverse,
        Self::Sort,
        Self::LookUp,
        Self::Opposite,
        Self::Request,
    ];

    /// Returns the name used in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Copy => "copy",
            Self::Reverse => "reverse",
            Self::Sort => "sort",
            Self::LookUp => "look-up",
            Self::Opposite => "opposite",
            Self::Request => "request",
        }
    }
}

/// A prompt with the result that it asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) kind: TaskKind,
    /// The right content words, in order.
    pub(crate) expected: Vec<&'static str>,
}

/// Draws the text of a prompt of one kind.
pub(crate) fn draw_prompt(kind: TaskKind, rng: &mut impl Rng) -> String {
    let who = format!("{} {} :", pick(&NAMES, rng), pick(&ASKS, rng));
    let body = match kind {
        TaskKind::Add => {
            let (a, b) = (rng.random_range(0..10usize), rng.random_range(0..10usize));
            format!("add {a} and {b}")
        }
        TaskKind::Copy => format!("copy {}", distinct(&NOUNS, 2, 4, rng).join(" ")),
        TaskKind::Reverse => format!("reverse {}", distinct(&NOUNS, 2, 3, rng).join(" ")),
        TaskKind::Sort => format!("sort {}", distinct(&NUMBERS, 2, 4, rng).join(" ")),
        TaskKind::LookUp => {
            let what = pick(&["color", "place"], rng);
            format!("{what} of {}", pick(&NOUNS, rng))
        }
        TaskKind::Opposite => format!("opposite of {}", pick(&OPPOSITES, rng)),
        TaskKind::Request => {
            let (verb, noun) = (pick(&VERBS, rng), pick(&NOUNS, rng));
            format!("{verb} the {noun} to the {}", pick(&PLACES, rng))
        }
    };
    format!("{who} {body} ?")
}

fn distinct(
    words: &[&'static str],
    least: usize,
    most: usize,
    rng: &mut impl Rng,
) -> Vec<&'static str> {
    let mut words = words.to_vec();
    shuffle(&mut words, rng);
    words.truncate(rng.random_range(least..=most));
    words
}

/// Reads a prompt back; `None` for a text that this synthetic world does not write.
pub(crate) fn read_prompt(prompt: &str) -> Option<Task> {
    let words: Vec<&str> = prompt.split_whitespace().collect();
    let [name, asks, ":", body @ .., "?"] = words.as_slice() else {
        return None;
    };
    if !NAMES.contains(name) || !ASKS.contains(asks) {
        return None;
    }
    let (kind, expected) = match body {
        ["add", a, "and", b] => {
            let sum = index(&NUMBERS[..10], a)? + index(&NUMBERS[..10], b)?;
            (TaskKind::Add, vec![NUMBERS[sum]])
        }
        ["copy", items @ ..] => (TaskKind::Copy, known(&NOUNS, items)?),
        ["reverse", items @ ..] => {
            let mut items = known(&NOUNS, items)?;
            items.reverse();
            (TaskKind::Reverse, items)
        }
        ["sort", items @ ..] => {
            let mut items = known(&NUMBERS, items)?;
            items.sort_by_key(|item| index(&NUMBERS, item));
            (TaskKind::Sort, items)
        }
        ["color", "of", noun] => (TaskKind::LookUp, vec![COLOR_OF[index(&NOUNS, noun)?]]),
        ["place", "of", noun] => (TaskKind::LookUp, vec![PLACE_OF[index(&NOUNS, noun)?]]),
        ["opposite", "of", word] => {
            // Opposites are stored in twos, so the index of the opposite differs in the last bit.
            (
                TaskKind::Opposite,
                vec![OPPOSITES[index(&OPPOSITES, word)? ^ 1]],
            )
        }
        [verb, "the", noun, "to", "the", place] if VERBS.contains(verb) => {
            let noun = NOUNS[index(&NOUNS, noun)?];
            (
                TaskKind::Request,
                vec![noun, TO, PLACES[index(&PLACES, place)?]],
            )
        }
        _ => return None,
    };
    Some(Task { kind, expected })
}

fn index(words: &[&str], word: &str) -> Option<usize> {
    words.iter().position(|known| *known == word)
}

/// Reads one or more different words of one list; `None` otherwise.
fn known(words: &[&'static str], items: &[&str]) -> Option<Vec<&'static str>> {
    let found: Vec<_> = items
        .iter()
        .map(|item| index(words, item))
        .collect::<Option<_>>()?;
    let twice = (1..found.len()).any(|i| found[..i].contains(&found[i]));
    (!found.is_empty() && !twice).then(|| found.into_iter().map(|i| words[i]).collect())
}

/// Parts into which all possible prompts fall by a hash of their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
    Fresh,
}

impl Part {
    /// Returns the part of a prompt. It depends on the text alone, so no two parts share a prompt.
    pub(crate) fn of(prompt: &str) -> Self {
        let mut key = Key::new(0, "world/part");
        for byte in prompt.bytes() {
            key = key.with(u64::from(byte));
        }
        match key.rng(Purpose::Split).random_range(0..20u32) {
            0..10 => Self::Train,
            10..16 => Self::Test,
            16..18 => Self::Validation,
            _ => Self::Fresh,
        }
    }
}
