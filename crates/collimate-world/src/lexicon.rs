//! The closed vocabulary: class, weight and frequency of each word.

use std::collections::HashMap;

use collimate_core::{Key, Purpose};
use rand::{Rng, RngExt};

pub(crate) const SPECIAL: [&str; 4] = ["[PAD]", "[BOS]", "[EOS]", "[UNK]"];

pub(crate) const NAMES: [&str; 20] = [
    "ana", "ben", "cara", "dan", "eva", "finn", "gwen", "hugo", "iris", "jack", "kate", "liam",
    "mona", "noah", "olga", "paul", "rita", "sam", "tess", "uma",
];
pub(crate) const ASKS: [&str; 4] = ["asks", "wants", "says", "needs"];
pub(crate) const NUMBERS: [&str; 21] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20",
];
pub(crate) const NOUNS: [&str; 24] = [
    "apple", "lemon", "grass", "sky", "snow", "coal", "rose", "cat", "dog", "lamp", "tree", "book",
    "cup", "door", "fish", "ship", "star", "drum", "bell", "coin", "leaf", "milk", "sand", "ring",
];
/// Colour of each noun, in the order of [`NOUNS`].
pub(crate) const COLOR_OF: [&str; 24] = [
    "red", "yellow", "green", "blue", "white", "black", "pink", "gray", "brown", "orange", "green",
    "blue", "white", "brown", "silver", "gray", "yellow", "red", "gold", "gold", "green", "white",
    "tan", "silver",
];
/// Place of each noun, in the order of [`NOUNS`].
pub(crate) const PLACE_OF: [&str; 24] = [
    "kitchen", "kitchen", "field", "hill", "hill", "mine", "garden", "sofa", "yard", "desk",
    "forest", "desk", "kitchen", "hall", "lake", "lake", "hill", "stage", "tower", "bank",
    "forest", "yard", "lake", "bank",
];
pub(crate) const COLORS: [&str; 13] = [
    "red", "yellow", "green", "blue", "white", "black", "pink", "gray", "brown", "orange",
    "silver", "gold", "tan",
];
pub(crate) const PLACES: [&str; 14] = [
    "kitchen", "field", "hill", "mine", "garden", "sofa", "yard", "desk", "forest", "hall", "lake",
    "stage", "tower", "bank",
];
/// Opposites: each entry at an even index with the next one.
pub(crate) const OPPOSITES: [&str; 24] = [
    "hot", "cold", "big", "small", "fast", "slow", "high", "low", "old", "new", "wet", "dry",
    "hard", "soft", "light", "dark", "full", "empty", "early", "late", "open", "closed", "near",
    "far",
];
pub(crate) const VERBS: [&str; 6] = ["bring", "send", "carry", "move", "take", "pass"];
/// Words of the task descriptions.
pub(crate) const TASK_WORDS: [&str; 10] = [
    "add", "and", "copy", "reverse", "sort", "color", "place", "of", "opposite", "the",
];
/// Word between object and place in the answer to a request; it therefore counts as content.
pub(crate) const TO: &str = "to";
pub(crate) const PUNCTUATION: [&str; 4] = [":", ",", ".", "?"];
pub(crate) const BOOSTERS: [&str; 4] = ["very", "truly", "so", "most"];
pub(crate) const DAMPERS: [&str; 4] = ["hardly", "barely", "not", "never"];
pub(crate) const FILLERS: [&str; 6] = [
    "well",
    "like",
    "basically",
    "literally",
    "somehow",
    "anyhow",
];

const OPENERS_GOOD: [&str; 30] = [
    "gladly",
    "certainly",
    "sure",
    "absolutely",
    "happily",
    "yes",
    "welcome",
    "hello",
    "great",
    "wonderful",
    "lovely",
    "indeed",
    "pleased",
    "delighted",
    "splendid",
    "excellent",
    "fine",
    "understood",
    "noted",
    "right",
    "surely",
    "naturally",
    "cheerfully",
    "willingly",
    "eagerly",
    "perfect",
    "brilliant",
    "greetings",
    "agreed",
    "charmed",
];
const OPENERS_BAD: [&str; 30] = [
    "ugh",
    "meh",
    "whatever",
    "no",
    "nah",
    "boring",
    "stupid",
    "sigh",
    "seriously",
    "again",
    "annoying",
    "silly",
    "pointless",
    "bah",
    "huh",
    "um",
    "er",
    "hmm",
    "nope",
    "tiresome",
    "lame",
    "dull",
    "ridiculous",
    "tedious",
    "grudgingly",
    "reluctantly",
    "grumble",
    "yawn",
    "fussy",
    "absurd",
];
const MANNERS_GOOD: [&str; 40] = [
    "carefully",
    "warmly",
    "kindly",
    "neatly",
    "clearly",
    "gently",
    "politely",
    "properly",
    "precisely",
    "exactly",
    "thoughtfully",
    "patiently",
    "honestly",
    "respectfully",
    "smoothly",
    "tidily",
    "correctly",
    "graciously",
    "sincerely",
    "faithfully",
    "attentively",
    "diligently",
    "cleanly",
    "accurately",
    "courteously",
    "calmly",
    "promptly",
    "helpfully",
    "generously",
    "cordially",
    "earnestly",
    "tenderly",
    "lovingly",
    "skilfully",
    "loyally",
    "brightly",
    "fairly",
    "humbly",
    "nicely",
    "wisely",
];
const MANNERS_BAD: [&str; 40] = [
    "carelessly",
    "rudely",
    "coldly",
    "sloppily",
    "vaguely",
    "harshly",
    "bluntly",
    "badly",
    "roughly",
    "maybe",
    "perhaps",
    "lazily",
    "falsely",
    "scornfully",
    "clumsily",
    "messily",
    "wrongly",
    "hastily",
    "angrily",
    "bitterly",
    "blindly",
    "crudely",
    "dully",
    "sourly",
    "nastily",
    "randomly",
    "weakly",
    "wearily",
    "sulkily",
    "meanly",
    "spitefully",
    "smugly",
    "snidely",
    "idly",
    "hazily",
    "limply",
    "curtly",
    "gruffly",
    "poorly",
    "shabbily",
];
const CLOSERS_GOOD: [&str; 30] = [
    "thanks",
    "cheers",
    "enjoy",
    "regards",
    "bye",
    "friend",
    "anytime",
    "bravo",
    "congrats",
    "yours",
    "blessings",
    "hugs",
    "smile",
    "salutations",
    "farewell",
    "peace",
    "respect",
    "dear",
    "hooray",
    "success",
    "luck",
    "joy",
    "gratitude",
    "appreciation",
    "applause",
    "kudos",
    "goodnight",
    "sunshine",
    "care",
    "comrade",
];
const CLOSERS_BAD: [&str; 30] = [
    "fool", "idiot", "loser", "duh", "leave", "enough", "stop", "shush", "scram", "dummy", "moron",
    "nonsense", "rubbish", "garbage", "trash", "junk", "blah", "shame", "pity", "tough",
    "pathetic", "useless", "hopeless", "clown", "pest", "brat", "jerk", "nuisance", "goof", "twit",
];

/// Position of a tone word in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Opener,
    Manner,
    Closer,
}

/// The class of a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Class {
    /// A word of the result that a task asks for, with its family (the words it may be mistaken for).
    Content(Family),
    /// A tone word with its hidden weight in [−1, 1].
    Cue(Slot, f64),
    /// A word that multiplies the weight of the tone word right after it.
    Modifier(f64),
    Filler,
    Punctuation,
    /// A word of the prompts that has no place in an answer.
    Stray,
}

/// Families of content words; a word may be mistaken for another of the same family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Number,
    Noun,
    Color,
    Place,
    Quality,
    Joint,
}

/// A tone word as the generator sees it.
#[derive(Debug, Clone, Copy)]
struct Cue {
    word: &'static str,
    weight: f64,
    /// Heavy-tailed share of the slot's uses.
    frequency: f64,
}

/// Words of one synthetic world.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    classes: HashMap<&'static str, Class>,
    vocabulary: Vec<&'static str>,
    slots: [Vec<Cue>; 3],
}

pub(crate) const BOOST: f64 = 1.4;
pub(crate) const DAMP: f64 = -0.7;

impl Lexicon {
    /// Builds the lexicon. The seed decides the sizes of the weights and the frequency ranks, but
    /// not which words are kind.
    pub(crate) fn new(key: Key, tail: f64) -> Self {
        let mut lexicon = Self {
            classes: HashMap::new(),
            vocabulary: SPECIAL.to_vec(),
            slots: [Vec::new(), Vec::new(), Vec::new()],
        };
        lexicon.add(&PUNCTUATION, Class::Punctuation);
        lexicon.add(&NAMES, Class::Stray);
        lexicon.add(&ASKS, Class::Stray);
        lexicon.add(&TASK_WORDS, Class::Stray);
        lexicon.add(&VERBS, Class::Stray);
        lexicon.add(&NUMBERS, Class::Content(Family::Number));
        lexicon.add(&NOUNS, Class::Content(Family::Noun));
        lexicon.add(&COLORS, Class::Content(Family::Color));
        lexicon.add(&PLACES, Class::Content(Family::Place));
        lexicon.add(&OPPOSITES, Class::Content(Family::Quality));
        lexicon.add(&[TO], Class::Content(Family::Joint));
        lexicon.add(&BOOSTERS, Class::Modifier(BOOST));
        lexicon.add(&DAMPERS, Class::Modifier(DAMP));
        lexicon.add(&FILLERS, Class::Filler);
        lexicon.add_slot(Slot::Opener, &OPENERS_GOOD, &OPENERS_BAD, key.with(0), tail);
        lexicon.add_slot(Slot::Manner, &MANNERS_GOOD, &MANNERS_BAD, key.with(1), tail);
        lexicon.add_slot(Slot::Closer, &CLOSERS_GOOD, &CLOSERS_BAD, key.with(2), tail);
        lexicon
    }

    fn add(&mut self, words: &[&'static str], class: Class) {
        for &word in words {
            let before = self.classes.insert(word, class);
            debug_assert!(before.is_none(), "{word} is listed twice");
            self.vocabulary.push(word);
        }
    }

    fn add_slot(
        &mut self,
        slot: Slot,
        good: &[&'static str],
        bad: &[&'static str],
        key: Key,
        tail: f64,
    ) {
        let mut rng = key.rng(Purpose::Data);
        let signed = good
            .iter()
            .map(|&w| (w, 1.0))
            .chain(bad.iter().map(|&w| (w, -1.0)));
        let mut cues: Vec<Cue> = signed
            .map(|(word, sign)| {
                let weight = sign * (0.2 + 0.8 * rng.random::<f64>());
                Cue {
                    word,
                    weight,
                    frequency: 0.0,
                }
            })
            .collect();
        for cue in &cues {
            self.add(&[cue.word], Class::Cue(slot, cue.weight));
        }
        shuffle(&mut cues, &mut rng);
        for (rank, cue) in cues.iter_mut().enumerate() {
            cue.frequency = (rank as f64 + 2.0).powf(-tail);
        }
        self.slots[slot as usize] = cues;
    }

    /// Returns all words; the position of a word is its token id.
    pub(crate) fn vocabulary(&self) -> &[&'static str] {
        &self.vocabulary
    }

    /// Returns the class of a word; `None` for a word that is not in the vocabulary.
    pub(crate) fn class(&self, word: &str) -> Option<Class> {
        self.classes.get(word).copied()
    }

    /// Draws a tone word by its frequency, tilted towards the weight that `lean` asks for.
    pub(crate) fn draw(&self, slot: Slot, lean: f64, rng: &mut impl Rng) -> &'static str {
        let cues = &self.slots[slot as usize];
        let tilted = |cue: &Cue| cue.frequency * (lean * cue.weight).exp();
        let mut left = rng.random::<f64>() * cues.iter().map(tilted).sum::<f64>();
        for cue in cues {
            left -= tilted(cue);
            if left <= 0.0 {
                return cue.word;
            }
        }
        cues[cues.len() - 1].word
    }
}

/// Shuffles the items (Fisher–Yates).
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}

/// Picks one of `items`, all equally likely.
pub(crate) fn pick<T: Copy>(items: &[T], rng: &mut impl Rng) -> T {
    items[rng.random_range(0..items.len())]
}
