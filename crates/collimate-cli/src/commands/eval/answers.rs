//! `eval answers`: compares two files of answers to the same prompts.

use std::path::{Path, PathBuf};

use collimate::core::Prompt;
use collimate::data::{Answer, ChatFallback, Input, not_used};
use serde_json::json;

use super::cases::as_chat;
use super::judge_args::JudgeArgs;
use super::judging::judge;
use super::matching::matched;
use super::out::{Out, Places};
use super::show::{About, show};
use crate::common::{self, DeviceName, Failure};
use crate::runs;

/// Compare two files of answers to the same prompts: report how often each side wins, also at equal
/// length.
///
/// The files are JSON lines or a JSON array of {prompt, completion}, {prompt, completions} (as the
/// command generate writes), {instruction, output} (AlpacaEval's model outputs) or {messages}. A
/// category, subset or dataset in the rows gives each value its own table row. Answers are matched
/// by their prompts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Answers of side a, the side whose wins are counted
    #[arg(long, value_name = "FILE")]
    a: PathBuf,
    /// Answers of side b
    #[arg(long, value_name = "FILE")]
    b: PathBuf,
    /// Folder for summary.json, report.md, judgements.jsonl and plots
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the numbers of summary.json instead of tables
    #[arg(long)]
    json: bool,
    /// Turn prompts that are texts into one user message, for a reward model with a chat template
    #[arg(long)]
    as_chat: bool,
    /// Handling of messages if a judging model has no chat template: refuse them, or write them as
    /// plain text with their roles
    #[arg(long, value_parser = common::json_name::<ChatFallback>, default_value = "refuse")]
    #[arg(value_name = "HOW")]
    chat_fallback: ChatFallback,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
    #[command(flatten)]
    judge: JudgeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let ((a, unused_a), (b, unused_b)) = (read(&args.a)?, read(&args.b)?);
    let examples = [first(&a), first(&b)];
    let (mut cases, count) = matched(a, b);
    if cases.is_empty() {
        return Err(format!(
            "0 of the {} prompts of {} are among the {} of {}: both files must answer the same \
             prompts; the first prompts are {:?} and {:?}",
            count.questions_a,
            args.a.display(),
            count.questions_b,
            args.b.display(),
            examples[0],
            examples[1],
        )
        .into());
    }
    let interrupt = runs::interrupt();
    let mut judging = args
        .judge
        .open(true, args.chat_fallback, &device, &interrupt)?;
    if args.as_chat && !judging.renders_prompts {
        return Err("--as-chat works only with a reward model as --judge: remove --as-chat".into());
    }
    if args.as_chat {
        for case in &mut cases {
            let b = case.b.as_mut().map(|item| &mut item.prompt);
            std::iter::once(&mut case.a.prompt)
                .chain(b)
                .for_each(as_chat);
        }
    }
    judging.cache_in(out.as_ref())?;
    let sheet = judge(&judging, &cases, &interrupt)?;
    let shown = |path: &Path| format!("`{}`", path.display());
    let mut notes: Vec<String> = count.left_out().into_iter().collect();
    notes.extend(count.repeated());
    notes.extend(unused_a.into_iter().chain(unused_b));
    let about = About {
        title: "Answers compared".to_owned(),
        a: shown(&args.a),
        b: Some(shown(&args.b)),
        judge: judging.name,
        notes,
        input: json!(count),
    };
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    show(&about, &cases, &sheet, places)
}

/// Reads the answers of a file, with a note on unused columns.
fn read(path: &Path) -> Result<(Vec<Answer>, Option<String>), Failure> {
    let (answers, unused) = Input::open(path)?.read_answers()?;
    let note = not_used(&unused).map(|unused| format!("{}: {unused}", path.display()));
    Ok((answers, note))
}

/// Returns the beginning of the first prompt, for a message.
fn first(answers: &[Answer]) -> String {
    let prompt = answers.first().map(|answer| &answer.prompt);
    let text = prompt.map(Prompt::to_plain).unwrap_or_default();
    text.chars().take(60).collect()
}
