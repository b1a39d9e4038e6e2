//! Markdown of strangers as HTML that does no harm.

use markdown::{CompileOptions, Constructs, Options, ParseOptions, to_html_with_options};

/// Bytes of the longest text that is rendered; longer ones are shown as they stand.
const LONGEST: usize = 50_000;

/// How a link of the renderer begins. Text has no `<`: the renderer writes it as `&lt;`.
const LINK: &str = "<a href=\"";

/// The schemes that a link may have.
const SCHEMES: [&str; 3] = ["http://", "https://", "mailto:"];

/// Returns Markdown as HTML, or nothing for a text that is too long to render.
///
/// HTML in the text is shown as text, images are links, and a link leads to a web page or a mail address
/// only, opened without a trace of this page.
pub(super) fn html(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let options = Options {
        parse: ParseOptions {
            constructs: Constructs {
                html_flow: false,
                html_text: false,
                label_start_image: false,
                gfm_strikethrough: true,
                gfm_table: true,
                ..Constructs::default()
            },
            ..ParseOptions::default()
        },
        compile: CompileOptions::default(),
    };
    let rendered = to_html_with_options(text, &options).ok()?;
    Some(tame_links(&rendered))
}

/// Marks links, and takes the address from those with another scheme.
fn tame_links(html: &str) -> String {
    let mut parts = html.split(LINK);
    let mut tamed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let lower: String = part.chars().take(8).collect();
        let lower = lower.to_ascii_lowercase();
        match SCHEMES.iter().any(|scheme| lower.starts_with(scheme)) {
            true => {
                tamed += "<a target=\"_blank\" rel=\"noopener noreferrer nofollow\" href=\"";
                tamed += part;
            }
            // The address ends at the first quote: quotes in it are written as `&quot;`.
            false => match part.split_once('"') {
                Some((_, rest)) => {
                    tamed += "<a";
                    tamed += rest;
                }
                None => tamed += "<a>",
            },
        }
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        html(text).unwrap()
    }

    #[test]
    fn markdown_is_rendered() {
        assert_eq!(
            shown("**a** `b`"),
            "<p><strong>a</strong> <code>b</code></p>"
        );
        let list = shown("- a\n- b");
        assert!(list.contains("<li>a</li>"), "{list}");
        let table = shown("| a |\n|---|\n| b |");
        assert!(table.contains("<td>b</td>"), "{table}");
    }

    #[test]
    fn html_is_text() {
        for hostile in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<svg/onload=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<!-- <script> -->",
            "`<script>`",
            "```html\n<script>alert(1)</script>\n```",
            "```\"><script>\nx\n```",
            "[a](http://x.y \"\"><script>alert(1)</script>\")",
            "[<script>]: http://x.y\n\n[<script>]",
            "| <script> |\n|---|\n| <script> |",
        ] {
            let rendered = shown(hostile);
            for tag in ["<script", "<img", "<svg", "<!--", "href=\"java"] {
                assert!(!rendered.contains(tag), "{hostile}: {rendered}");
            }
        }
        assert_eq!(
            shown("<b>x</b> *y*"),
            "<p>&lt;b&gt;x&lt;/b&gt; <em>y</em></p>"
        );
    }

    #[test]
    fn links_lead_out_and_nowhere_else() {
        let good = shown("[x](https://e.org) <mailto:a@e.org>");
        assert_eq!(
            good.matches("rel=\"noopener noreferrer nofollow\"").count(),
            2
        );
        assert!(good.contains("href=\"https://e.org\""), "{good}");
        for bad in [
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](vbscript:x)",
            "[x](/api/finish)",
            "[x](//e.org)",
            "[x](#key=1)",
            "[x](irc://e.org)",
            "<javascript:alert(1)>",
            "<irc:x>",
            "[x]\n\n[x]: javascript:alert(1)",
        ] {
            let rendered = shown(bad);
            assert!(!rendered.contains("href"), "{bad}: {rendered}");
        }
    }

    #[test]
    fn an_image_is_a_link() {
        let rendered = shown("![cat](http://e.org/cat.png)");
        assert!(!rendered.contains("<img"), "{rendered}");
        assert!(
            rendered.contains("href=\"http://e.org/cat.png\""),
            "{rendered}"
        );
    }

    #[test]
    fn long_and_deep_texts_are_answered() {
        assert_eq!(html(&"x".repeat(LONGEST + 1)), None);
        for part in [
            ">",
            "- ",
            "* a **b ",
            "[",
            "![",
            "`",
            "<",
            "&#",
            "\\",
            "|a|\n|-|\n",
            "_a",
            "(",
            "](",
            "\t-",
        ] {
            let text = part.repeat(LONGEST / part.len());
            let begin = std::time::Instant::now();
            html(&text);
            println!("{part:?}: {:?}", begin.elapsed());
        }
    }
}
