//! `eval choices`: multiple-choice questions by log-likelihood.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use collimate::core::Prompt;
use collimate::data::{
    ChoiceFormat, ChoiceQuestion, Input, SftExample, TextTokenizer, Truncation, not_used,
};
use collimate::eval::likeliest;
use collimate::lm::Llama;
use collimate::nn::{Backbone, HfFolder};
use collimate::prelude::Device;
use collimate::train::{Interrupt, Progress};
use serde_json::json;

use super::out::{Out, Places};
use super::scored::{About, Measure, show};
use crate::commands::score::logps::{Group, score};
use crate::common::{self, DeviceName, Failure, Interrupted};
use crate::loading;
use crate::names;
use crate::runs;

/// Let a language model choose among given answers by the log-likelihood of each.
///
/// The rows are {question, choices, answer}, where the answer is an index from 0, a letter or a
/// text; or those of ARC, HellaSwag or MMLU. The model's answer is the choice with the largest
/// log-likelihood (accuracy). The log-likelihood is also divided by the number of characters
/// (accuracy_norm) or bytes (accuracy_bytes) of the choice. With --against, the report has the
/// difference of two models on the same questions: the alignment tax in accuracy.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of questions, JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder of a causal language model
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder of a second language model to compare with, such as the model before alignment
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    against: Option<PathBuf>,
    /// Form of a question: text ("Question: …\nAnswer:", then the text of a choice), letters (the
    /// choices are listed, and a letter is chosen) or ending (each choice continues the text of the
    /// question) [default: letters for MMLU, ending for HellaSwag, otherwise text]
    #[arg(long, value_enum, value_name = "FORM")]
    ask: Option<Ask>,
    /// Use only the first N questions
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Folder for summary.json, report.md and choices.jsonl
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the numbers of summary.json instead of tables
    #[arg(long)]
    json: bool,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

/// Form in which a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ask {
    Text,
    Letters,
    Ending,
}

impl Ask {
    fn of(format: ChoiceFormat) -> Self {
        match format {
            ChoiceFormat::Mmlu => Self::Letters,
            ChoiceFormat::HellaSwag => Self::Ending,
            _ => Self::Text,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Letters => "letters",
            Self::Ending => "ending",
        }
    }

    /// Returns the text before the choices, and the choices as continuations. A blank separates the
    /// two.
    fn put(self, question: &ChoiceQuestion) -> (String, Vec<String>) {
        let text = question.question.as_str();
        let choices = question.choices.iter();
        match self {
            Self::Text => (
                format!("Question: {text}\nAnswer:"),
                choices.cloned().collect(),
            ),
            Self::Ending => (text.trim_end().to_owned(), choices.cloned().collect()),
            Self::Letters => {
                let listed = choices.zip(LETTERS.chars());
                let lines: String = listed
                    .map(|(choice, letter)| format!("{letter}. {choice}\n"))
                    .collect();
                let letters = LETTERS.chars().take(question.choices.len());
                let context = format!("{}\n{lines}Answer:", text.trim());
                (context, letters.map(String::from).collect())
            }
        }
    }
}

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A question in the form that the model reads.
struct Put {
    context: String,
    choices: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.first == Some(0) {
        return Err("--first is 0 but must be at least 1".into());
    }
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    common::check_writer("--model", &args.model)?;
    if let Some(against) = &args.against {
        common::check_writer("--against", against)?;
    }
    let (mut questions, format, unused) = Input::open(&args.data)?.read_choices()?;
    questions.truncate(args.first.unwrap_or(usize::MAX));
    let ask = args.ask.unwrap_or(Ask::of(format));
    let data = args.data.display();
    let many = |question: &&ChoiceQuestion| question.choices.len() > LETTERS.len();
    if let (Ask::Letters, Some(question)) = (ask, questions.iter().find(many)) {
        let (line, count) = (question.line, question.choices.len());
        let text = format!("{data}:{line}: {count} choices, but only 26 letters: give --ask text");
        return Err(text.into());
    }
    common::tell(&format!(
        "{data}: {} questions, read as {format}, asked as {}{}",
        questions.len(),
        ask.name(),
        not_used(&unused).map_or_else(String::new, |unused| format!("; {unused}"))
    ));
    let put: Vec<Put> = questions
        .iter()
        .map(|question| {
            let (context, choices) = ask.put(question);
            Put { context, choices }
        })
        .collect();
    let interrupt = runs::interrupt();
    let models = [Some(&args.model), args.against.as_ref()];
    let mut logps = Vec::new();
    for dir in models.into_iter().flatten() {
        logps.push(likelihoods(
            dir, &put, &questions, &args.data, &device, &interrupt,
        )?);
    }
    let measures = MEASURES.map(|(name, title, length)| {
        let right = |logps: &Vec<Vec<f64>>| -> Vec<f64> {
            let each = logps.iter().zip(&put).zip(&questions);
            each.map(|((logps, put), question)| {
                let lengths = length.map(|length| put.choices.iter().map(|c| length(c)).collect());
                let lengths: Option<Vec<usize>> = lengths;
                let chosen = likeliest(logps, lengths.as_deref());
                f64::from(u8::from(chosen == question.answer))
            })
            .collect()
        };
        Measure {
            name,
            title,
            right: right(&logps[0]),
            against: logps.get(1).map(right),
            categories: questions
                .iter()
                .map(|question| question.category.clone())
                .collect(),
            detailed: name == "accuracy",
            prompts: None,
        }
    });
    let shown = models
        .into_iter()
        .flatten()
        .map(|dir| format!("`{}`", dir.display()));
    let about = About {
        title: "Multiple choice",
        models: shown.collect(),
        notes: vec![format!(
            "asked as {}; the model's answer is the choice with the largest log-likelihood",
            ask.name()
        )],
        input: json!({
            "data": args.data, "format": format, "ask": ask.name(), "questions": questions.len(),
        }),
        counted: "questions",
    };
    let rows = questions
        .iter()
        .zip(&put)
        .enumerate()
        .map(|(at, (question, put))| {
            let mut row = json!({
                "line": question.line, "prompt": put.context, "choices": put.choices,
                "answer": question.answer, "category": question.category, "logps": logps[0][at],
            });
            if let Some(against) = logps.get(1) {
                row["against_logps"] = json!(against[at]);
            }
            row
        });
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    show(&about, &measures, rows, "choices.jsonl", places)
}

/// Length of a choice.
type Length = fn(&str) -> usize;

/// Measures: name in summary.json, name in words, and the length that log-likelihoods are divided
/// by.
const MEASURES: [(&str, &str, Option<Length>); 3] = [
    ("accuracy", "by log-likelihood", None),
    (
        "accuracy_norm",
        "per character",
        Some(|text| text.chars().count()),
    ),
    ("accuracy_bytes", "per byte", Some(str::len)),
];

/// Returns the log-likelihood of each choice of each question, without an end token.
fn likelihoods(
    dir: &Path,
    put: &[Put],
    questions: &[ChoiceQuestion],
    data: &Path,
    device: &Device,
    interrupt: &Interrupt,
) -> Result<Vec<Vec<f64>>, Failure> {
    let tokenizer = TextTokenizer::from_folder(dir)?;
    let model = Llama::load(dir, loading::frozen(device))?;
    let most = model.max_positions();
    let mut ids = Vec::new();
    for (put, question) in put.iter().zip(questions) {
        let choices = encode(&tokenizer, put)?;
        let longest = choices
            .iter()
            .map(|(prompt, choice)| prompt.len() + choice.len())
            .max();
        if longest.is_some_and(|longest| longest > most) {
            let (data, line, longest) = (data.display(), question.line, longest.unwrap_or(0));
            return Err(format!(
                "{data}:{line}: {longest} tokens with a choice, but {} takes {most}: remove the \
                 row",
                dir.display()
            )
            .into());
        }
        ids.push(choices);
    }
    let groups: Vec<Group<'_>> = ids
        .iter()
        .map(|choices| {
            let prompt = choices.first().map_or(&[][..], |(prompt, _)| prompt);
            (
                prompt,
                choices
                    .iter()
                    .map(|(_, choice)| choice.as_slice())
                    .collect(),
            )
        })
        .collect();
    let mut meter = Progress::Auto.start("log-probabilities", 0, groups.len() as u64);
    let (logps, _) = score(&model, &groups, &mut |done| {
        meter.set(done as u64, "rows");
        match interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    let all: usize = put.iter().map(|put| put.choices.len()).sum();
    if logps.len() < all {
        let text = format!(
            "stopped: {} of {all} choices are scored, but nothing is written",
            logps.len()
        );
        return Err(Interrupted(text).into());
    }
    let mut logps = logps.into_iter();
    let mut found = Vec::new();
    for (put, question) in put.iter().zip(questions) {
        let of_question: Vec<f64> = logps
            .by_ref()
            .take(put.choices.len())
            .map(|value| value.as_f64().unwrap_or(f64::NAN))
            .collect();
        if of_question.iter().any(|value| !value.is_finite()) {
            let (dir, line) = (dir.display(), question.line);
            return Err(format!(
                "{dir}: a log-likelihood of line {line} is not a number: the model is broken"
            )
            .into());
        }
        found.push(of_question);
    }
    Ok(found)
}

/// Tokens of a context, and of a choice after it.
type Encoded = (Vec<u32>, Vec<u32>);

/// Returns the tokens of the context and of each choice after it. A blank separates the two.
fn encode(tokenizer: &TextTokenizer, put: &Put) -> Result<Vec<Encoded>, Failure> {
    let each = put.choices.iter().map(|choice| {
        let example = SftExample {
            prompt: Prompt::Text(put.context.clone()),
            completion: format!(" {choice}").into(),
        };
        let ids = tokenizer.encode_example(&example, MOST_TOKENS, Truncation::KeepEnd)?;
        let mut completion = ids.completion;
        // The token that ends an answer is not part of a choice.
        if completion.last() == Some(&tokenizer.special().eos) {
            completion.pop();
        }
        Ok((ids.prompt, completion))
    });
    each.collect()
}

/// Maximum number of tokens: more than any question has, so that nothing is cut.
const MOST_TOKENS: usize = 1 << 20;
