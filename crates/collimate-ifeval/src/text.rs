//! Words, sentences, lists and paragraphs of a text.

use std::sync::LazyLock;

use regex::Regex;

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
// As in Python, a word has no combining signs.
pattern!(WORD, r"[\p{L}\p{N}_]+");
pattern!(PPS, r"(?i)p\.\s?p\.\s?s");
pattern!(PS, r"(?i)p\.\s?s\.");

/// Returns true for a character of a word: a letter, a digit or an underscore.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Counts the runs of letters, numbers and underscores. As in Python, the vowel signs of Indic
/// scripts separate words.
pub(crate) fn words(text: &str) -> usize {
    WORD.find_iter(text).count()
}

/// Counts the places of a text, in any case. Places do not overlap.
pub(crate) fn occurrences(part: &str, text: &str) -> usize {
    let (part, text) = (part.to_lowercase(), text.to_lowercase());
    text.matches(part.as_str()).count()
}

/// Returns true if a text occurs, in any case, with no letter, digit or underscore beside it.
pub(crate) fn has_word(word: &str, text: &str) -> bool {
    let (word, text) = (word.to_lowercase(), text.to_lowercase());
    text.match_indices(word.as_str()).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Counts headings such as `Section 1`: a word, perhaps one space, and a digit.
pub(crate) fn headings(word: &str, text: &str) -> usize {
    let numbered = |(at, found): &(usize, &str)| {
        let mut rest = text[at + found.len()..].chars().peekable();
        rest.next_if(|c| c.is_whitespace());
        rest.next().is_some_and(|c| c.is_ascii_digit())
    };
    text.match_indices(word).filter(numbered).count()
}

/// Returns true if a postscript begins with a mark. The two usual marks may have spaces after their
/// points.
pub(crate) fn has_postscript(mark: &str, text: &str) -> bool {
    match mark {
        "P.P.S" => PPS.is_match(text),
        "P.S." => PS.is_match(text),
        other => occurrences(other, text) > 0,
    }
}

/// Titles and other words that go on with a name.
const TITLES: [&str; 11] = [
    "mr", "mrs", "ms", "dr", "prof", "gen", "col", "capt", "lt", "st", "vs",
];
/// Words that are abbreviations before a number.
const NUMBERED: [&str; 6] = ["no", "nos", "fig", "vol", "p", "pp"];
/// Other abbreviations, which may also end a sentence.
const OTHERS: [&str; 9] = [
    "jr", "sr", "inc", "ltd", "co", "corp", "cf", "approx", "dept",
];
/// Words that often begin a sentence, and seldom follow an abbreviation inside one.
const STARTERS: [&str; 24] = [
    "The", "It", "He", "She", "They", "We", "You", "I", "This", "That", "These", "There", "In",
    "On", "At", "But", "And", "However", "If", "When", "For", "As", "Then", "My",
];

/// Counts the sentences. A sentence ends with `.`, `!` or `?` before white space, in the way of the
/// splitter of NLTK: a full stop after an abbreviation or an initial ends a sentence only before a
/// word that often begins one, and three points only before a capital letter.
pub(crate) fn sentences(text: &str) -> usize {
    let mut tokens = text.split_whitespace().peekable();
    let (mut count, mut open) = (0, false);
    while let Some(token) = tokens.next() {
        open = true;
        if ends_sentence(token, tokens.peek().copied()) {
            count += 1;
            open = false;
        }
    }
    count + usize::from(open)
}

fn ends_sentence(token: &str, next: Option<&str>) -> bool {
    let token = token.trim_end_matches(['"', '\'', ')', ']', '}', '*', '_', '”', '’', '»']);
    let Some(before) = token.strip_suffix('.') else {
        return token.ends_with(['!', '?']);
    };
    let next = next.unwrap_or_default();
    let next = next.trim_start_matches(|c: char| !c.is_alphanumeric());
    let starts = STARTERS.contains(&next.trim_end_matches(|c: char| !c.is_alphanumeric()));
    if before.ends_with('.') {
        return next.starts_with(char::is_uppercase);
    }
    let word = before.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    let word = word.to_lowercase();
    let dotted = word.contains('.') && word.split('.').all(|part| part.chars().count() == 1);
    let known = |words: &[&str]| words.contains(&word.as_str());
    if known(&TITLES) {
        false
    } else if known(&NUMBERED) {
        !next.starts_with(|c: char| c.is_ascii_digit())
    } else if (initial && word != "i") || dotted || known(&OTHERS) {
        starts || next.is_empty()
    } else {
        true
    }
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
    use super::{divided, has_word, highlights, is_lower, is_upper, sentences, words};

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("It's a well-kept garden, isn't it?"), 9);
        assert_eq!(words(" \n"), 0);
    }

    #[test]
    fn abbreviations_and_lines_end_no_sentence() {
        for (text, count) in [
            ("Mr. Smith met Dr. Lee. They ate 3.5 kg of rice!", 2),
            ("A title\n\nOne sentence over\ntwo lines. Another one?", 2),
            ("It was I. She left.", 2),
            ("J. Smith wrote it.", 1),
            ("i like tea. it is warm. i drink it.", 3),
            ("We met in May. 20 people came.", 2),
            ("He said no. She left. See no. 5 there.", 3),
            ("Choose plan B. She left.", 2),
            ("The U.S. Army left at 5 p.m. It was late.", 2),
            ("\"Is it?\" He said (so.) Yes", 3),
            ("Wait... no. Wait... Then go", 3),
            ("1. One point.\n2. Two points.", 4),
            ("no end", 1),
        ] {
            assert_eq!(sentences(text), count, "{text}");
        }
    }

    #[test]
    fn a_word_has_no_letter_beside_it() {
        assert!(has_word("C++", "I use c++ daily") && !has_word("C++", "C++x"));
        assert!(has_word("tea", "Tea?") && !has_word("tea", "teapot"));
        assert!(!has_word("co", "CO₂"));
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
