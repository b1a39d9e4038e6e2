//! Tags that transformers adds to Jinja.

/// Rewrites a template into the Jinja that this crate renders.
///
/// `{% generation %}`, which only marks the answers, becomes the block `{% with %}`. Every line
/// ends with a line feed. A slice that reverses a whole value becomes the filter `reverse`, which
/// also accepts an empty text.
pub(super) fn rewrite(source: &str) -> String {
    let source = reversed(&source.replace("\r\n", "\n").replace('\r', "\n"));
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        out.push_str(before);
        rest = tag;
        let inner = tag.trim_start_matches(['-', '+']).trim_start();
        for (name, with) in [("generation", "with"), ("endgeneration", "endwith")] {
            let Some(after) = inner.strip_prefix(name) else {
                continue;
            };
            let end = after.trim_start().trim_start_matches(['-', '+']);
            if end.starts_with("%}") {
                out.push_str(&tag[..tag.len() - inner.len()]);
                out.push_str(with);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

const REVERSED: &str = "[::-1]";

fn reversed(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut from = 0;
    for (at, _) in source.match_indices(REVERSED) {
        let (before, after) = (&source[..at], &source[at + REVERSED.len()..]);
        let last = |one: &str, other: &str| before.rfind(one).max(before.rfind(other));
        let in_tag = last("{{", "{%") > last("}}", "%}");
        if in_tag && !after.starts_with(['.', '[', '(']) {
            out.push_str(&source[from..at]);
            out.push_str(" | reverse");
            from = at + REVERSED.len();
        }
    }
    out.push_str(&source[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_are_rewritten() {
        let source =
            "{%- generation -%}a{% endgeneration%}\r\n{% set generation = 1 %}{% if generation %}";
        let expected = "{%- with -%}a{% endwith%}\n{% set generation = 1 %}{% if generation %}";
        assert_eq!(rewrite(source), expected);
        assert_eq!(
            rewrite("[::-1]{{ a[::-1] ~ b[::-1][0] }}"),
            "[::-1]{{ a | reverse ~ b[::-1][0] }}"
        );
        assert_eq!(
            rewrite("generation {{ generation }}"),
            "generation {{ generation }}"
        );
    }
}
