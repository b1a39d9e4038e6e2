//! Choices by log-likelihood, and comparison of exact answers.

/// Returns the index of the choice with the largest log-likelihood. With lengths, each
/// log-likelihood is divided by the length of the choice. Of equal choices the first is returned,
/// like NumPy's `argmax`. No choices give 0, and a length of 0 counts as 1.
///
/// The lm-evaluation-harness calls the share of right choices `acc`. With lengths in characters it
/// is `acc_norm`, and with lengths in bytes `acc_bytes`.
///
/// # Examples
/// ```
/// let logps = [-4.0, -5.0];
/// assert_eq!(collimate_eval::likeliest(&logps, None), 0);
/// assert_eq!(collimate_eval::likeliest(&logps, Some(&[2, 10])), 1);
/// ```
pub fn likeliest(logps: &[f64], lengths: Option<&[usize]>) -> usize {
    let value = |index: usize| {
        let length = lengths.and_then(|lengths| lengths.get(index));
        logps[index] / length.map_or(1.0, |&length| length.max(1) as f64)
    };
    let mut best = 0;
    for index in 1..logps.len() {
        if value(index) > value(best) {
            best = index;
        }
    }
    best
}

/// Returns the last number of a text as written, with sign, thousands separators and decimals, or
/// `None` without a number. A full stop at the end of a sentence is not part of the number.
///
/// # Examples
/// ```
/// use collimate_eval::last_number;
/// assert_eq!(last_number("He pays 3 x 4 = $1,012.50."), Some("1,012.50"));
/// assert_eq!(last_number("minus: -7"), Some("-7"));
/// assert_eq!(last_number("none"), None);
/// ```
pub fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let mut start = end - 1;
    loop {
        if start > 0 && digit(start - 1) {
            start -= 1;
        } else if start > 1 && matches!(bytes[start - 1], b'.' | b',') && digit(start - 2) {
            start -= 2;
        } else {
            break;
        }
    }
    // A sign, unless it is the hyphen of a range or the minus of a difference.
    let sign = start > 0
        && bytes[start - 1] == b'-'
        && !(start > 1 && (bytes[start - 2].is_ascii_alphanumeric() || bytes[start - 2] == b')'));
    Some(&text[start - usize::from(sign)..end])
}

/// Returns true if two answers are equal as numbers or as texts.
///
/// `1,000`, `$1000` and `1000.00` are the same number; a leading `+` or `$` and a trailing `%` are
/// ignored. Texts are compared without case, surrounding white space and a full stop at the end.
///
/// # Examples
/// ```
/// use collimate_eval::same_answer;
/// assert!(same_answer("$1,000.00", "1000") && same_answer("Paris.", "paris"));
/// assert!(!same_answer("1.5", "15") && !same_answer("-3", "3"));
/// ```
pub fn same_answer(a: &str, b: &str) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => words(a) == words(b),
    }
}

fn words(text: &str) -> String {
    text.trim().trim_end_matches('.').trim_end().to_lowercase()
}

/// Returns the sign, the digits before the point without leading zeros, and the digits after it
/// without trailing zeros. This is exact, unlike a floating-point number.
fn number(text: &str) -> Option<(bool, String, String)> {
    let text = text.trim().trim_end_matches('.').replace(',', "");
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let rest = rest.trim_start_matches('$').trim_end_matches('%');
    let (whole, part) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + part.len() == 0 || !digits(whole) || !digits(part) {
        return None;
    }
    let whole = whole.trim_start_matches('0').to_owned();
    let part = part.trim_end_matches('0').to_owned();
    let zero = whole.is_empty() && part.is_empty();
    Some((negative && !zero, whole, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_choices_is_taken() {
        assert_eq!(likeliest(&[-2.0, -1.0, -1.0], None), 1);
        // −6/3 = −2 against −8/8 = −1.
        assert_eq!(likeliest(&[-6.0, -8.0], Some(&[3, 8])), 1);
        assert_eq!(likeliest(&[], None), 0);
    }

    #[test]
    fn numbers_are_found_in_sentences() {
        for (text, number) in [
            ("#### 42", "42"),
            ("so 10 - 3 = 7 apples, or 7.5 kg.", "7.5"),
            ("5-3", "3"),
            ("x = -3.", "-3"),
            ("(-12)", "-12"),
            ("in 1,234,567 cases.", "1,234,567"),
            ("3.", "3"),
            ("1, 2, 3", "3"),
            ("é 4 é", "4"),
        ] {
            assert_eq!(last_number(text), Some(number), "{text}");
        }
    }

    #[test]
    fn equal_numbers_are_equal_as_decimals() {
        for (a, b, same) in [
            ("007", "7", true),
            ("7.0", "7", true),
            ("0.1", ".10", true),
            ("-0", "0", true),
            ("50%", "50", true),
            ("12", "21", false),
            ("0.30000000000000004", "0.3", false),
            ("nine", "Nine.", true),
            ("nine", "9", false),
        ] {
            assert_eq!(same_answer(a, b), same, "{a} {b}");
        }
    }
}
