//! Words, sentences, lists and paragraphs of a text.

use std::sync::LazyLock;

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;

fn compiled(pattern: &str) -> Regex {
    // A constant of this file, and every one of them is compiled in a test.
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{pattern}: {error}"))
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| compiled($text));
    };
}

// The first character after `*` is no second `*`, which would begin a bold text.
pattern!(STAR_BULLET, r"(?m)^\s*\*[^*].*$");
pattern!(DASH_BULLET, r"(?m)^\s*-.*$");
pattern!(PLACEHOLDER, r"\[.*?\]");
pattern!(ITALIC, r"\*[^\n*]*\*");
pattern!(BOLD, r"\*\*[^\n*]*\*\*");
pattern!(TITLE, r"<<[^\n]+>>");
pattern!(DIVIDER, r"\s?\*\*\*\s?");

/// Counts the runs of letters, digits and underscores.
pub(crate) fn words(text: &str) -> usize {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c: char| !inside(c))
        .filter(|word| !word.is_empty())
        .count()
}

/// Words after which a full stop ends no sentence.
const ABBREVIATIONS: [&str; 22] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "e.g", "i.e", "inc", "ltd", "co",
    "no", "gen", "col", "capt", "lt", "fig", "cf", "approx",
];

/// Counts the sentences by the rules of Unicode (UAX 29). A full stop after a common abbreviation or
/// a single capital letter does not end a sentence, and neither does a line break.
pub(crate) fn sentences(text: &str) -> usize {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut count = 0;
    let mut continued = false;
    for sentence in line.unicode_sentences() {
        count += usize::from(!continued);
        continued = ends_with_abbreviation(sentence);
    }
    count
}

fn ends_with_abbreviation(sentence: &str) -> bool {
    let Some(before) = sentence.trim_end().strip_suffix('.') else {
        return false;
    };
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    (initial && word != "I") || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Counts the lines that begin with `*` or `-`.
pub(crate) fn bullets(text: &str) -> usize {
    STAR_BULLET.find_iter(text).count() + DASH_BULLET.find_iter(text).count()
}

/// Counts texts in square brackets.
pub(crate) fn placeholders(text: &str) -> usize {
    PLACEHOLDER.find_iter(text).count()
}

/// Counts texts between stars, in italics or bold, that are more than space. As in IFEval, a bold
/// text counts once.
pub(crate) fn highlights(text: &str) -> usize {
    let filled = |pattern: &Regex| {
        let found = pattern.find_iter(text);
        found
            .filter(|found| !found.as_str().trim_matches('*').trim().is_empty())
            .count()
    };
    filled(&ITALIC) + filled(&BOLD)
}

/// Returns true if a text in double angle brackets is more than space.
pub(crate) fn has_title(text: &str) -> bool {
    TITLE.find_iter(text).any(|found| {
        let title = found.as_str();
        let inner = title.trim_start_matches('<').trim_end_matches('>');
        !inner.trim().is_empty()
    })
}

/// Counts the parts between dividers of three stars. Returns `None` if an inner part is empty.
pub(crate) fn divided(text: &str) -> Option<usize> {
    let parts: Vec<bool> = DIVIDER
        .split(text)
        .map(|part| !part.trim().is_empty())
        .collect();
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    inner
        .iter()
        .all(|filled| *filled)
        .then(|| parts.iter().filter(|filled| **filled).count())
}

/// Counts the words in capitals: those with a letter that has two cases, all in the upper one.
pub(crate) fn capital_words(text: &str) -> usize {
    text.split_whitespace()
        .filter(|word| is_upper(word))
        .count()
}

/// Returns true if the text has letters with two cases, and all of them are in the upper one.
pub(crate) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Returns true if the text has letters with two cases, and all of them are in the lower one.
pub(crate) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::{divided, highlights, is_lower, is_upper, sentences, words};

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("It's a well-kept garden, isn't it?"), 9);
        assert_eq!(words(" \n"), 0);
    }

    #[test]
    fn abbreviations_and_lines_end_no_sentence() {
        assert_eq!(
            sentences("Mr. Smith met Dr. Lee. They ate 3.5 kg of rice!"),
            2
        );
        assert_eq!(
            sentences("A title\n\nOne sentence over\ntwo lines. Another one?"),
            2
        );
        assert_eq!(sentences("It was I. She left."), 2);
        assert_eq!(sentences("J. Smith wrote it."), 1);
        assert_eq!(sentences("..."), 0);
    }

    #[test]
    fn an_empty_inner_part_is_no_paragraph() {
        assert_eq!(divided("one *** two"), Some(2));
        assert_eq!(divided("***one***\ntwo\n***"), Some(2));
        assert_eq!(divided("one *** *** two"), None);
        assert_eq!(divided("alone"), Some(1));
    }

    #[test]
    fn stars_around_space_highlight_nothing() {
        assert_eq!(highlights("*one* and **two** and ** **"), 2);
    }

    #[test]
    fn a_text_without_letters_has_no_case() {
        assert!(is_upper("UP 2 YOU") && is_lower("up 2 you"));
        assert!(!is_upper("123") && !is_lower("123"));
    }
}
