//! State of a labelling, as the page receives it.

use collimate_core::Prompt;
use serde::Serialize;

use super::markdown::html;
use crate::desk::Desk;
use crate::measure::Measures;
use crate::text::visible;

/// A text in the two forms that the page can show.
#[derive(Debug, Serialize)]
struct Text {
    plain: String,
    /// HTML rendered from Markdown; absent for very long texts.
    html: Option<String>,
}

impl Text {
    fn new(text: &str) -> Self {
        let plain = visible(text).into_owned();
        Self {
            html: html(&plain),
            plain,
        }
    }
}

/// One turn of the prompt.
#[derive(Debug, Serialize)]
struct Turn {
    /// Role of the speaker; absent if the prompt is a plain text.
    role: Option<&'static str>,
    #[serde(flatten)]
    text: Text,
    /// Other keys of the message, such as tool calls.
    further: Option<String>,
}

/// A pair with its sides.
#[derive(Debug, Serialize)]
struct Sides {
    prompt: Vec<Turn>,
    left: Text,
    right: Text,
}

/// Measures of one labeller, and the agreement with others.
#[derive(Debug, Serialize)]
struct Numbers {
    labels: usize,
    ties: usize,
    skips: usize,
    repeats: usize,
    consistency: Option<String>,
    left: Option<String>,
    median_seconds: Option<f64>,
    /// Agreement with each other labeller, by name.
    agreement: Vec<(String, String)>,
}

/// The data that the page shows to a labeller.
#[derive(Debug, Serialize)]
pub(super) struct View {
    labeller: String,
    /// Token for one decision or undo.
    token: String,
    /// Next pair; absent if all pairs are decided.
    pair: Option<Sides>,
    done: usize,
    total: usize,
    undoable: usize,
    numbers: Numbers,
    out: String,
    next: String,
}

impl View {
    pub(super) fn new(desk: &mut Desk, labeller: &str, next: String) -> Self {
        let pair = desk.next(labeller).map(|shown| Sides {
            prompt: turns(shown.pair.prompt()),
            left: Text::new(shown.left),
            right: Text::new(shown.right),
        });
        let progress = desk.progress(labeller);
        Self {
            labeller: labeller.to_owned(),
            token: desk.token(labeller),
            pair,
            done: progress.done,
            total: progress.total,
            undoable: progress.undoable,
            numbers: numbers(desk, labeller),
            out: desk.out().display().to_string(),
            next,
        }
    }
}

fn numbers(desk: &Desk, labeller: &str) -> Numbers {
    let Measures {
        labels,
        ties,
        skips,
        repeats,
        consistency,
        left,
        median_seconds,
    } = desk.session().measures(labeller);
    let couples = desk.session().couples().into_iter();
    let agreement = couples.filter_map(|couple| {
        let [one, other] = couple.labellers;
        let with = match (one == labeller, other == labeller) {
            (true, _) => other,
            (_, true) => one,
            _ => return None,
        };
        Some((with, couple.share.to_string()))
    });
    Numbers {
        labels,
        ties,
        skips,
        repeats,
        consistency: consistency.map(|share| share.to_string()),
        left: left.map(|share| share.to_string()),
        median_seconds,
        agreement: agreement.collect(),
    }
}

fn turns(prompt: &Prompt) -> Vec<Turn> {
    match prompt {
        Prompt::Text(text) => vec![Turn {
            role: None,
            text: Text::new(text),
            further: None,
        }],
        Prompt::Chat(messages) => messages
            .iter()
            .map(|message| Turn {
                role: Some(message.role.name()),
                text: Text::new(&message.content),
                further: further(&message.further),
            })
            .collect(),
    }
}

/// Writes the other keys of a message as lines `key: value`.
fn further(keys: &[(String, collimate_core::Json)]) -> Option<String> {
    let lines: Vec<String> = keys
        .iter()
        .filter(|(key, _)| key != "content")
        .filter_map(|(key, value)| {
            let value = serde_json::to_string(value).ok()?;
            Some(visible(&format!("{key}: {value}")).into_owned())
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
