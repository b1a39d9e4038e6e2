//! The published prompts, extracted at compile time from the one file that quotes them.

const FILE: &str = include_str!("../assets/prompts.md");

pub(crate) const ADDITIVE: &str = section("<!-- begin additive -->\n");
pub(crate) const SINGLE_SYSTEM: &str = section("<!-- begin single-system -->\n");
pub(crate) const SINGLE: &str = section("<!-- begin single -->\n");
pub(crate) const SINGLE_TURNS_SYSTEM: &str = section("<!-- begin single-turns-system -->\n");
pub(crate) const SINGLE_TURNS: &str = section("<!-- begin single-turns -->\n");
pub(crate) const PAIR_SYSTEM: &str = section("<!-- begin pair-system -->\n");
pub(crate) const PAIR: &str = section("<!-- begin pair -->\n");
pub(crate) const PAIR_TURNS_SYSTEM: &str = section("<!-- begin pair-turns-system -->\n");
pub(crate) const PAIR_TURNS: &str = section("<!-- begin pair-turns -->\n");

/// Returns the text between a marker and the next end marker. A missing marker is a compile error.
const fn section(begin: &str) -> &'static str {
    let (_, rest) = FILE.split_at(find(FILE, begin, 0) + begin.len());
    rest.split_at(find(rest, "\n<!-- end -->", 0)).0
}

/// Returns the first position of `needle` in `text` from `at` on.
const fn find(text: &str, needle: &str, mut at: usize) -> usize {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    loop {
        let mut same = 0;
        while same < needle.len() && text[at + same] == needle[same] {
            same += 1;
        }
        if same == needle.len() {
            return at;
        }
        at += 1;
    }
}
