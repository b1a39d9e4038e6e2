//! `eval exact`: questions with one exact answer, answered greedily.

use std::path::PathBuf;

use clap::ValueEnum;
use collimate::core::{Finish, Message, Prompt, Role, Sampling};
use collimate::data::{ExactQuestion, Input, not_used};
use collimate::eval::{last_number, same_answer};
use serde_json::{Value, json};

use super::out::{Out, Places};
use super::policy::Policy;
use super::scored::{About, Measure, show};
use crate::commands::generate::said;
use crate::common::{self, DeviceName, Failure};
use crate::names;
use crate::rendering::RenderArgs;
use crate::runs;

/// Let a language model answer questions that have one right answer, such as those of GSM8K.
///
/// The rows are {question, answer}. If an answer contains ####, only the text after this mark
/// counts. The model writes greedily. Its answer is the last number that it writes, or the text
/// after a mark (--after). With --against, the report has the difference of two models on the same
/// questions: the alignment tax in accuracy.
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
    /// Form of a question: text ("Question: …\nAnswer:") or chat (a user message, for a model with
    /// a chat template)
    #[arg(long, value_enum, default_value_t = Ask::Text, value_name = "FORM")]
    ask: Ask,
    /// Mark before the answer, such as "####" or "The answer is"; the answer is the rest of the
    /// line after the last mark [default: none, and the answer is the last number]
    #[arg(long, value_name = "TEXT")]
    after: Option<String>,
    /// Text that ends an answer; may be given several times [default: "Question:" if questions are
    /// texts]
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Maximum length of an answer in tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_new_tokens: usize,
    /// Use only the first N questions
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Folder for summary.json, report.md and exact.jsonl
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the numbers of summary.json instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    render: RenderArgs,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

/// Form in which a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ask {
    Text,
    Chat,
}

/// Answer of a model to a question.
struct Written {
    text: String,
    /// Answer that was found in the text.
    answer: Option<String>,
    right: bool,
    cut: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.first == Some(0) {
        return Err("--first is 0 but must be at least 1".into());
    }
    if args
        .after
        .as_ref()
        .is_some_and(|mark| mark.trim().is_empty())
    {
        return Err("--after is empty: give the text before the answer".into());
    }
    let mut stop = args.stop.clone();
    if stop.is_empty() && args.ask == Ask::Text {
        stop.push("Question:".to_owned());
    }
    let sampling = Sampling {
        temperature: 0.0,
        max_new_tokens: args.max_new_tokens,
        stop,
        ..Sampling::default()
    };
    sampling.check().map_err(|error| said(error, &[]))?;
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let (mut questions, unused) = Input::open(&args.data)?.read_exact()?;
    questions.truncate(args.first.unwrap_or(usize::MAX));
    let rendering = args.render.rendering();
    let open = |option: &str, dir| Policy::open(option, dir, &rendering, &device);
    let mut policies = vec![open("--model", &args.model)?];
    if let Some(against) = &args.against {
        policies.push(open("--against", against)?);
    }
    common::tell(&format!(
        "{}: {} questions{}",
        args.data.display(),
        questions.len(),
        not_used(&unused).map_or_else(String::new, |unused| format!("; {unused}"))
    ));
    if unused.contains("choices") {
        common::tell(
            "warning: the rows have choices, which the model does not see here; `collimate eval \
             choices` compares the likelihoods of the choices",
        );
    }
    let prompts: Vec<Prompt> = questions
        .iter()
        .map(|question| put(question, args.ask))
        .collect();
    let interrupt = runs::interrupt();
    for policy in &policies {
        let lines = questions.iter().map(|row| row.line);
        policy.check_room(&args.data, lines.zip(&prompts))?;
    }
    let mut sides: Vec<Vec<Written>> = Vec::new();
    for policy in &policies {
        let mut written: Vec<Option<Written>> = prompts.iter().map(|_| None).collect();
        policy.answer(&prompts, &sampling, &interrupt, |at, completion| {
            let answer = found(&completion.text, args.after.as_deref());
            let right = |answer: &String| same_answer(answer, &questions[at].answer);
            written[at] = Some(Written {
                right: answer.as_ref().is_some_and(right),
                cut: completion.finish == Finish::Length,
                text: completion.text,
                answer,
            });
        })?;
        sides.push(written.into_iter().flatten().collect());
    }
    let right = |side: &Vec<Written>| -> Vec<f64> {
        side.iter()
            .map(|written| f64::from(u8::from(written.right)))
            .collect()
    };
    let measures = [Measure {
        name: "accuracy",
        title: "right",
        right: right(&sides[0]),
        against: sides.get(1).map(right),
        categories: questions
            .iter()
            .map(|question| question.category.clone())
            .collect(),
        detailed: true,
        prompts: None,
    }];
    let mut notes = vec![match &args.after {
        Some(mark) => format!("the text after the last {mark:?} is the answer"),
        None => "the last number is the answer".to_owned(),
    }];
    for (policy, side) in policies.iter().zip(&sides) {
        let none = side
            .iter()
            .filter(|written| written.answer.is_none())
            .count();
        let cut = side.iter().filter(|written| written.cut).count();
        notes.push(format!(
            "{}: {none} without an answer, {cut} cut at {} tokens",
            policy.name, args.max_new_tokens
        ));
    }
    let about = About {
        title: "Exact answers",
        models: policies.iter().map(|policy| policy.name.clone()).collect(),
        notes,
        input: json!({"data": args.data, "questions": questions.len(), "sampling": sampling}),
        counted: "questions",
    };
    let rows = questions.iter().enumerate().map(|(at, question)| {
        let side = |side: usize| -> Value {
            let written = &sides[side][at];
            json!({"text": written.text, "answer": written.answer, "right": written.right})
        };
        let mut row = json!({
            "line": question.line, "question": question.question, "answer": question.answer,
            "category": question.category, "model": side(0),
        });
        if sides.len() > 1 {
            row["against"] = side(1);
        }
        row
    });
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    show(&about, &measures, rows, "exact.jsonl", places)
}

fn put(question: &ExactQuestion, ask: Ask) -> Prompt {
    let text = &question.question;
    match ask {
        Ask::Text => Prompt::Text(format!("Question: {text}\nAnswer:")),
        Ask::Chat => Prompt::Chat(vec![Message::new(Role::User, text.as_str())]),
    }
}

/// Finds the answer in a text: the rest of the line after the last mark, or the last number.
fn found(text: &str, mark: Option<&str>) -> Option<String> {
    let Some(mark) = mark else {
        return last_number(text).map(str::to_owned);
    };
    let (_, behind) = text.rsplit_once(mark)?;
    let line = behind.trim_start().lines().next().unwrap_or_default();
    let line = line.trim_start_matches(':').trim();
    (!line.is_empty()).then(|| line.to_owned())
}
