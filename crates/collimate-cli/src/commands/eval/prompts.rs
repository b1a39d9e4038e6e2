//! `eval prompts`: a benchmark's prompts, answered and judged.

use std::path::PathBuf;

use collimate::core::Sampling;
use collimate::data::{Input, not_used};
use serde_json::json;

use super::judge_args::JudgeArgs;
use super::judging::judge;
use super::out::{Out, Places};
use super::policy::Policy;
use super::show::{About, show};
use super::talks::{OnLongPrompt, Talks};
use crate::commands::generate::said;
use crate::common::{self, DeviceName, Failure};
use crate::names;
use crate::rendering::RenderArgs;
use crate::runs;

/// Let a model answer a benchmark's prompts, alone or beside another model, and judge the answers.
///
/// Reads prompt files of MT-bench, Vicuna, AlpacaEval, Arena-Hard, Evol-Instruct, and
/// Self-Instruct's seed tasks, which are recognised by their fields. MT-bench's second turns are
/// asked with the first answer in the conversation.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of prompts, JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Folder of the causal language model that answers
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder of a second model to compare with
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    against: Option<PathBuf>,
    /// Use only the first N questions
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Softmax temperature of the answers; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f64,
    /// Sample from the smallest set of tokens with at least this total probability; 1 means all
    /// tokens
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Maximum length of an answer in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Seed of the random numbers for the answers
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Handling of a prompt that, with the conversation before it, leaves no room for an answer
    #[arg(long, value_enum, default_value_t = OnLongPrompt::Fail)]
    on_long_prompt: OnLongPrompt,
    /// Folder for answers.jsonl (and answers-against.jsonl), summary.json, report.md,
    /// judgements.jsonl and plots
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
    #[command(flatten)]
    judge: JudgeArgs,
}

/// Names of the files of answers, in the order of the models.
const FILES: [&str; 2] = ["answers.jsonl", "answers-against.jsonl"];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let sampling = Sampling {
        temperature: args.temperature,
        top_p: args.top_p,
        max_new_tokens: args.max_new_tokens,
        seed: args.seed,
        ..Sampling::default()
    };
    sampling.check().map_err(|error| said(error, &[]))?;
    if args.first == Some(0) {
        return Err("--first is 0 but must be at least 1".into());
    }
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let (mut questions, format, unused) = Input::open(&args.prompts)?.read_questions()?;
    questions.truncate(args.first.unwrap_or(usize::MAX));
    if let Some(long) = questions.iter().find(|question| question.turns.len() > 2) {
        return Err(format!(
            "{}: question {} has {} turns, but a judge is shown at most two: remove the question",
            args.prompts.display(),
            long.id,
            long.turns.len()
        )
        .into());
    }
    let rendering = args.render.rendering();
    let open = |option: &str, dir| Policy::open(option, dir, &rendering, &device);
    let mut policies = vec![open("--model", &args.model)?];
    if let Some(against) = &args.against {
        policies.push(open("--against", against)?);
    }
    let interrupt = runs::interrupt();
    let two_sides = policies.len() == 2;
    let mut judging = args
        .judge
        .open(two_sides, rendering.chat_fallback, &device, &interrupt)?;
    let turns: usize = questions.iter().map(|question| question.turns.len()).sum();
    common::tell(&format!(
        "{}: {} questions with {turns} turns, read as {format}{}",
        args.prompts.display(),
        questions.len(),
        not_used(&unused).map_or_else(String::new, |unused| format!("; {unused}"))
    ));
    let mut talks = Talks::new(&questions, &policies, args.on_long_prompt);
    let answered = (0..2).try_for_each(|turn| talks.ask(turn, &sampling, &interrupt));
    if let Some(out) = &out {
        for (side, name) in FILES.iter().enumerate().take(policies.len()) {
            out.lines(name, talks.rows(side))?;
        }
    }
    answered?;
    let cases = talks.cases();
    if cases.is_empty() {
        return Err("every prompt was too long: take a model with a longer context".into());
    }
    judging.cache_in(out.as_ref())?;
    let sheet = judge(&judging, &cases, &interrupt)?;
    let about = About {
        title: "Prompts answered and judged".to_owned(),
        a: policies[0].name.clone(),
        b: policies.get(1).map(|policy| policy.name.clone()),
        judge: judging.name,
        notes: talks.notes(),
        input: json!({
            "prompts": args.prompts, "format": format, "questions": questions.len(),
            "turns": turns, "too_long": talks.too_long, "sampling": sampling,
        }),
    };
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    show(&about, &cases, &sheet, places)
}
