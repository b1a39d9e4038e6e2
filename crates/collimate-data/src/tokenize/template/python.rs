//! Texts as Python writes and reads them.

/// Writes a number like Python's `repr`. The digits are the fewest that give the same number when
/// they are read. Numbers below 0.0001 and from 10¹⁶ on have an exponent.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let written = format!("{number:e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = number.to_string();
    match plain.contains('.') {
        true => plain,
        false => format!("{plain}.0"),
    }
}

/// Returns true for white space according to Python's `str.strip`.
pub(super) fn is_space(sign: char) -> bool {
    sign.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&sign)
}

/// Strips the characters in `chars`, or white space, from the ends of a text.
pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, [start, end]: [bool; 2]) -> &'a str {
    let drop = |sign: char| match chars {
        Some(chars) => chars.contains(sign),
        None => is_space(sign),
    };
    let text = if start {
        text.trim_start_matches(drop)
    } else {
        text
    };
    if end {
        text.trim_end_matches(drop)
    } else {
        text
    }
}

/// Returns the words of a text like `str.split()`, with at most `most` splits from the left.
pub(super) fn words(text: &str, most: Option<usize>) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text.trim_start_matches(is_space));
    while !rest.is_empty() {
        let end = match most {
            Some(most) if found.len() >= most => None,
            _ => rest.find(is_space),
        };
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(word);
        rest = after.trim_start_matches(is_space);
    }
    found
}

/// Returns the lines of a text like `str.splitlines`.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end = |sign: char| {
        matches!(
            sign,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let Some(at) = rest.find(is_end) else {
            found.push(rest);
            break;
        };
        let behind = match rest[at..].starts_with("\r\n") {
            true => at + 2,
            false => at + rest[at..].chars().next().map_or(0, char::len_utf8),
        };
        found.push(&rest[..if keep { behind } else { at }]);
        rest = &rest[behind..];
    }
    found
}

/// Capitalises every word of a text like `str.title`. A word is a run of letters.
pub(super) fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match inside {
            true => out.extend(sign.to_lowercase()),
            false => out.extend(sign.to_uppercase()),
        }
        inside = sign.is_alphabetic();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are printed by Python.
    #[test]
    fn numbers_and_words_are_pythons() {
        let numbers = [
            1.0,
            0.1,
            1e-5,
            1.5e-7,
            1e16,
            123456789012345680.0,
            1e22,
            0.0001,
            -2.5,
        ];
        let written: Vec<String> = numbers.into_iter().map(float).collect();
        assert_eq!(
            written,
            [
                "1.0",
                "0.1",
                "1e-05",
                "1.5e-07",
                "1e+16",
                "1.2345678901234568e+17",
                "1e+22",
                "0.0001",
                "-2.5"
            ]
        );
        assert_eq!(words("  a b\u{1c}c ", None), ["a", "b", "c"]);
        assert_eq!(words(" a b  c ", Some(1)), ["a", "b  c "]);
        assert_eq!(lines("a\r\nb\n\nc\u{2028}", false), ["a", "b", "", "c"]);
        assert_eq!(lines("a\nb", true), ["a\n", "b"]);
        assert_eq!(title("they're bill's 3rd"), "They'Re Bill'S 3Rd");
        assert_eq!(strip("\u{1f} a\u{a0}", None, [true, true]), "a");
    }
}
