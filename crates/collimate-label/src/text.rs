//! Characters that change how the text around them looks.

/// True for characters that turn the direction of the text around them: overrides, embeddings, isolates.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the text with characters made visible that would turn or hide what stands around them: by
/// their number, as `[U+202E]`.
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
            // Writing to a text cannot fail.
            true => {
                let _ = write!(shown, "[U+{:04X}]", u32::from(c));
            }
            false => shown.push(c),
        }
    }
    shown.into()
}
