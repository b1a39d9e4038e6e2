//! Renders untrusted Markdown as harmless HTML.

use markdown::{CompileOptions, Constructs, Options, ParseOptions, to_html_with_options};

/// Length in bytes of the longest text that is rendered. Longer texts are shown as plain text.
const LONGEST: usize = 50_000;

/// Beginning of a link in the renderer's output. Text cannot contain it, because the renderer
/// writes `<` as `&lt;`.
const LINK: &str = "<a href=\"";

/// Allowed schemes of a link.
const SCHEMES: [&str; 3] = ["http://", "https://", "mailto:"];

/// Renders Markdown as HTML; `None` for a text that is too long to render.
///
/// HTML in the text is shown as text, and images become links. A link leads only to a web page or a
/// mail address, and opens without passing on the address of this page.
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

/// Marks links, and removes the address from links with another scheme.
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
            // The address ends at the first quote, because quotes inside it are written as
            // `&quot;`.
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
