//! `eval instructions`: prompts with instructions that a program can check.

use std::path::PathBuf;

use collimate::core::{Finish, Message, Prompt, Role, Sampling};
use collimate::data::{Input, not_used};
use collimate::ifeval::{Followed, InstructionError, InstructionTask};
use serde_json::{Value, json};

use super::out::{Out, Places};
use super::policy::Policy;
use super::scored::{About, Measure, show};
use crate::commands::generate::said;
use crate::common::{self, DeviceName, Failure};
use crate::names;
use crate::rendering::RenderArgs;
use crate::runs;

/// Let a language model answer prompts with instructions that a program can check, such as those of
/// IFEval: words, lists, sections, JSON, language.
///
/// The rows are those of IFEval (arXiv:2311.07911): {prompt, instruction_id_list, kwargs}. The model
/// answers each prompt as a user message, greedily. The strict measures check an answer as it is. The
/// loose ones forgive a first line, a last line and stars. With --against, the report has the
/// difference of two models on the same prompts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of prompts with instructions, JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder of the causal language model that answers
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder of a second language model to compare with, such as the model before alignment
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    against: Option<PathBuf>,
    /// Maximum length of an answer in tokens
    #[arg(long, value_name = "N", default_value_t = 1280)]
    max_new_tokens: usize,
    /// Use only the first N prompts
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Folder for summary.json, report.md and instructions.jsonl
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

/// A row of the file.
struct Row {
    line: usize,
    key: Value,
    task: InstructionTask,
}

/// Answer of a model to a prompt.
struct Written {
    text: String,
    followed: Followed,
    cut: bool,
}

/// Languages that the published program knows beside those that can be checked here: rows of IFEval
/// may ask for them.
const LANGDETECT: [&str; 26] = [
    "af", "ca", "cs", "cy", "da", "el", "et", "hr", "hu", "id", "lt", "lv", "mk", "nl", "no", "ro",
    "sk", "sl", "so", "sq", "sv", "sw", "tl", "tr", "zh-cn", "zh-tw",
];

/// Fields of a row.
const FIELDS: [&str; 4] = ["key", "prompt", "instruction_id_list", "kwargs"];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.first == Some(0) {
        return Err("--first is 0 but must be at least 1".into());
    }
    let sampling = Sampling {
        temperature: 0.0,
        max_new_tokens: args.max_new_tokens,
        ..Sampling::default()
    };
    sampling.check().map_err(|error| said(error, &[]))?;
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let (read, unused) = Input::open(&args.data)?.read_objects(&FIELDS, |line, row| {
        let task = match InstructionTask::from_row(row) {
            // IFEval has such rows, and a user cannot repair them.
            Err(InstructionError::Language(code)) if LANGDETECT.contains(&code.as_str()) => {
                return Ok(None);
            }
            task => task.map_err(|error| error.to_string())?,
        };
        let key = row.get("key").cloned().unwrap_or_default();
        Ok(Some(Row { line, key, task }))
    })?;
    let all = args.first.unwrap_or(usize::MAX).min(read.len());
    let rows: Vec<Row> = read.into_iter().take(all).flatten().collect();
    let unknown = all - rows.len();
    if rows.is_empty() {
        return Err(format!(
            "{}: no language of the answers can be recognised: ask for answers in others",
            args.data.display()
        )
        .into());
    }
    let rendering = args.render.rendering();
    let open = |option: &str, dir| Policy::open(option, dir, &rendering, &device);
    let mut policies = vec![open("--model", &args.model)?];
    if let Some(against) = &args.against {
        policies.push(open("--against", against)?);
    }
    common::tell(&format!(
        "{}: {} prompts with {} instructions{}",
        args.data.display(),
        rows.len(),
        rows.iter().map(|row| row.task.ids.len()).sum::<usize>(),
        not_used(&unused).map_or_else(String::new, |unused| format!("; {unused}"))
    ));
    let ask = |row: &Row| Prompt::Chat(vec![Message::new(Role::User, row.task.prompt.as_str())]);
    let prompts: Vec<Prompt> = rows.iter().map(ask).collect();
    let interrupt = runs::interrupt();
    for policy in &policies {
        let lines = rows.iter().map(|row| row.line);
        policy.check_room(&args.data, lines.zip(&prompts))?;
    }
    let mut sides: Vec<Vec<Written>> = Vec::new();
    for policy in &policies {
        let mut written: Vec<Option<Written>> = prompts.iter().map(|_| None).collect();
        policy.answer(&prompts, &sampling, &interrupt, |at, completion| {
            written[at] = Some(Written {
                followed: rows[at].task.check(&completion.text),
                cut: completion.finish == Finish::Length,
                text: completion.text,
            });
        })?;
        sides.push(written.into_iter().flatten().collect());
    }
    let measures = measures(&rows, &sides);
    let mut notes = vec![
        "strict: the answer as it is; loose: also without its first line, its last line or its \
         stars"
            .to_owned(),
    ];
    if unknown > 0 {
        notes.push(format!(
            "{unknown} rows left out: they ask for a language that cannot be recognised"
        ));
    }
    for (policy, side) in policies.iter().zip(&sides) {
        let cut = side.iter().filter(|written| written.cut).count();
        notes.push(format!(
            "{}: {cut} answers cut at {} tokens or at the end of the context",
            policy.name, args.max_new_tokens
        ));
    }
    let about = About {
        title: "Instructions followed",
        models: policies.iter().map(|policy| policy.name.clone()).collect(),
        notes,
        input: json!({
            "data": args.data, "prompts": rows.len(), "left_out": unknown, "sampling": sampling,
        }),
        counted: "count",
    };
    let lines = rows.iter().enumerate().map(|(at, row)| {
        let side = |side: usize| -> Value {
            let Written { text, followed, .. } = &sides[side][at];
            json!({"text": text, "strict": followed.strict, "loose": followed.loose})
        };
        let mut line = json!({
            "line": row.line, "key": row.key, "prompt": row.task.prompt,
            "instruction_id_list": row.task.ids, "model": side(0),
        });
        if sides.len() > 1 {
            line["against"] = side(1);
        }
        line
    });
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    show(&about, &measures, lines, "instructions.jsonl", places)
}

/// Returns the four measures of IFEval: prompts whose instructions are all followed, and single
/// instructions, each strictly and loosely. Instructions of one prompt are drawn together.
fn measures(rows: &[Row], sides: &[Vec<Written>]) -> [Measure; 4] {
    let number = |followed: bool| f64::from(u8::from(followed));
    let prompts = |name, title, all: fn(&Followed) -> bool| {
        let right = |side: &Vec<Written>| -> Vec<f64> {
            side.iter()
                .map(|written| number(all(&written.followed)))
                .collect()
        };
        Measure {
            name,
            title,
            right: right(&sides[0]),
            against: sides.get(1).map(right),
            categories: Vec::new(),
            detailed: false,
            prompts: None,
        }
    };
    let instructions = |name, title, each: fn(&Followed) -> &[bool], detailed| {
        let right = |side: &Vec<Written>| -> Vec<f64> {
            let all = side.iter().flat_map(|written| each(&written.followed));
            all.map(|followed| number(*followed)).collect()
        };
        let kinds = rows.iter().flat_map(|row| &row.task.ids);
        let of = |(at, row): (usize, &Row)| vec![at; row.task.ids.len()];
        Measure {
            name,
            title,
            right: right(&sides[0]),
            against: sides.get(1).map(right),
            categories: kinds.map(|id| Some(id.clone())).collect(),
            detailed,
            prompts: Some(rows.iter().enumerate().flat_map(of).collect()),
        }
    };
    [
        prompts("prompt_strict", "prompts, strict", Followed::all),
        prompts("prompt_loose", "prompts, loose", Followed::all_loose),
        instructions(
            "instruction_loose",
            "instructions, loose",
            |followed| &followed.loose,
            false,
        ),
        instructions(
            "instruction_strict",
            "instructions, strict",
            |followed| &followed.strict,
            true,
        ),
    ]
}
