//! Reports as HTML pages that need no other file.

use std::collections::BTreeMap;

use markdown::{CompileOptions, Constructs, Options, ParseOptions};

use crate::RunError;

/// Style sheet of a page, for light and dark screens and for print.
const STYLE: &str = include_str!("../assets/report.css");

/// Script of a page: sorts tables.
const SCRIPT: &str = include_str!("../assets/report.js");

/// Makes a page of a report in Markdown. `figures` holds the SVG texts by the path under which the
/// report shows them.
pub(crate) fn page(text: &str, figures: &BTreeMap<String, String>) -> Result<String, RunError> {
    let options = Options {
        parse: ParseOptions {
            // Bare addresses in the texts of models stay texts.
            constructs: Constructs {
                gfm_autolink_literal: false,
                ..Constructs::gfm()
            },
            ..ParseOptions::gfm()
        },
        // HTML of the texts is shown and not run: texts of users and models are in a report.
        compile: CompileOptions {
            allow_dangerous_html: false,
            allow_dangerous_protocol: false,
            ..CompileOptions::gfm()
        },
    };
    let body =
        markdown::to_html_with_options(text, &options).map_err(|message| RunError::Template {
            place: "report.html".to_owned(),
            reason: message.to_string(),
        })?;
    let body = with_figures(&body, figures)
        .replace("<table>", "<div class=\"table\"><table>")
        .replace("</table>", "</table></div>");
    let title = title(&body);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    ))
}

/// Puts the SVG of each figure in the place of its image.
fn with_figures(body: &str, figures: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, image)) = rest.split_once("<img src=\"") {
        out += before;
        let found = image.split_once('"').and_then(|(path, tail)| {
            let (attributes, after) = tail.split_once("/>")?;
            Some((path, attributes, after))
        });
        let Some((path, attributes, after)) = found else {
            out += "<img src=\"";
            rest = image;
            continue;
        };
        match figures.get(path) {
            Some(svg) => {
                let label = attributes.trim().strip_prefix("alt=").unwrap_or("\"\"");
                out +=
                    &format!("<span class=\"figure\" role=\"img\" aria-label={label}>{svg}</span>");
            }
            None => out += &format!("<img src=\"{path}\"{attributes}/>"),
        }
        rest = after;
    }
    out + rest
}

/// Returns the text of the first heading.
fn title(body: &str) -> String {
    let heading = body
        .split_once("<h1>")
        .and_then(|(_, rest)| rest.split_once("</h1>"));
    let mut inside = false;
    let text = heading.map_or("Report", |(heading, _)| heading);
    text.chars()
        .filter(|&c| {
            let shown = !inside && c != '<';
            inside = (inside || c == '<') && c != '>';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(text: &str) -> String {
        let svg = "<svg width=\"8\"><text>loss</text></svg>".to_owned();
        let figures = BTreeMap::from([("plots/loss.svg".to_owned(), svg)]);
        page(text, &figures).unwrap()
    }

    #[test]
    fn figures_are_inside_the_page() {
        let page = page_of("# A `small` run\n\n![Loss & co](plots/loss.svg)\n\nNats.\n");
        assert!(page.contains("<title>A small run</title>"), "{page}");
        assert!(
            page.contains("aria-label=\"Loss &amp; co\"><svg width=\"8\">"),
            "{page}"
        );
        assert!(!page.contains("<img"), "{page}");
    }

    #[test]
    fn tables_are_tables() {
        let page = page_of("| a | b |\n|---|--:|\n| 1 | 2 |\n");
        assert!(page.contains("<div class=\"table\"><table>"), "{page}");
        assert!(page.contains("<td align=\"right\">2</td>"), "{page}");
    }

    #[test]
    fn texts_of_models_are_shown_and_not_run() {
        let text = "> <script>alert(1)</script> [x](javascript:alert(1)) ![y](http://host/y.png)\n";
        let page = page_of(text);
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(!page.contains("href=\"javascript"), "{page}");
        // An image of another place stays, and the policy of the page forbids to load it.
        assert!(page.contains("default-src 'none'"), "{page}");
    }
}
