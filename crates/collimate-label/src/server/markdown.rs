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
