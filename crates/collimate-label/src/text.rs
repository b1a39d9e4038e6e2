//! Characters that change how the text around them looks.

/// Returns true for characters that change the direction of the text around them: overrides,
/// embeddings, isolates.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the text with visible forms of characters that would turn or hide the text around them.
/// Such a character is shown by its number, as `[U+202E]`.
#[cfg(feature = "server")]
pub(crate) fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    use std::fmt::Write;

    let hides = |c: char| {
        is_bidi_control(c)
            || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || c == '\u{feff}'
    };
    if !text.contains(hides) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hides(c) {
            // Writing to a string cannot fail.
            true => {
                let _ = write!(shown, "[U+{:04X}]", u32::from(c));
            }
            false => shown.push(c),
        }
    }
    shown.into()
}
