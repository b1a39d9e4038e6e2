//! `eval pairs`: measures how often a model prefers the chosen answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    Format, HhTurns, Labels, OnBadRow, ReadOptions, ReadReport, read_labelled_pairs,
};
use collimate::lm::Architecture;
use collimate::prelude::Device;
use serde_json::Value;

use super::accuracy::Found;
use super::cases::as_chat;
use super::lists::{self, Lists};
use super::out::{Out, Places};
use crate::commands::score::{self, Rows, Task};
use crate::common::{self, DeviceName, Failure, Interrupted};
use crate::names;
use crate::rendering::RenderArgs;
use crate::runs;

/// Measure the preference accuracy of a reward model, or of a language model's implicit reward.
///
/// A pair is right if the chosen answer has the larger reward; a tie counts one half. With
/// --reference, the reward of a causal language model is log pi(y|x) - log pi_ref(y|x), summed over
/// the answer. Without it, the reward is the mean log-probability per token (as in SimPO).
/// RewardBench's subsets are combined into its sections and its score. For other files, each value
/// of a column makes a table row. Rows whose chosen and rejected are lists of texts are treated as
/// RewardBench 2: the best right answer must have the highest reward of all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs in any format that the command score reads, optionally with a column of subsets
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder of a reward model or of a causal language model
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder of the causal language model that --model started from
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    reference: Option<PathBuf>,
    /// Label of the reward model whose score is the reward, by name or number, if the model has
    /// several labels
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Column whose values make the rows of the table [default: subset, otherwise category, if any
    /// row has it]
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Use only the first N pairs
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Maximum sequence length in tokens; by default the length that the model was trained with,
    /// otherwise the model's maximum, at most 2048
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Format of the file; detected by default
    #[arg(long, value_parser = common::json_name::<Format>, value_name = "NAME")]
    format: Option<Format>,
    /// Prompt of an hh-rlhf dialogue: last_turn_only (as in ser) or full
    #[arg(long, value_parser = common::json_name::<HhTurns>, default_value = "last_turn_only")]
    #[arg(value_name = "TURNS")]
    hh_turns: HhTurns,
    /// Turn prompts that are texts into one user message, for a model with a chat template
    #[arg(long)]
    as_chat: bool,
    #[command(flatten)]
    render: RenderArgs,
    /// Handling of rows that cannot be read: fail, or drop and count them
    #[arg(long, value_parser = common::json_name::<OnBadRow>, default_value = "fail")]
    #[arg(value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Folder for summary.json, report.md and scores.jsonl
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the numbers of summary.json instead of tables
    #[arg(long)]
    json: bool,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.first == Some(0) {
        return Err("--first is 0 but must be at least 1".into());
    }
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let kind = common::architecture(&args.model)?;
    if kind != Architecture::Decoder && args.reference.is_some() {
        return Err(
            "--reference works only with a causal language model, but --model is a reward model: \
             remove --reference"
                .into(),
        );
    }
    if let (Architecture::Decoder, Some(label)) = (kind, &args.label) {
        let text = format!(
            "--label {label} works only with a reward model, but --model is a causal language \
             model: remove --label"
        );
        return Err(text.into());
    }
    if let Some(reference) = &args.reference {
        let kind = common::architecture(reference)
            .map_err(|error| error.to_string().replacen("--model", "--reference", 1))?;
        if kind != Architecture::Decoder {
            let shown = reference.display();
            return Err(
                format!("--reference {shown}: name a folder of a causal language model").into(),
            );
        }
    }
    if lists::holds(&args.data)? {
        return of_lists(args, kind, out.as_ref(), &device);
    }
    let (pairs, labels, report) = read(args)?;
    let scores = scores(args, kind, &pairs, report.clone(), &device)?;
    let found = Found::new(&pairs, labels, scores)?;
    let notes = notes(args, kind);
    let places = Places {
        out: out.as_ref(),
        json: args.json,
    };
    found.show(&notes, &report, &pairs, places)
}

/// Describes the model and the reward in words.
fn notes(args: &Args, kind: Architecture) -> [String; 2] {
    let reward = match (kind, &args.reference) {
        (Architecture::Decoder, Some(reference)) => format!(
            "log pi(y|x) - log pi_ref(y|x), summed over the answer; reference `{}`",
            reference.display()
        ),
        (Architecture::Decoder, None) => {
            "mean log pi(y|x) per token, without a reference (SimPO's)".to_owned()
        }
        _ => "the reward model's score".to_owned(),
    };
    [
        format!("model: `{}`", args.model.display()),
        format!("reward: {reward}"),
    ]
}

/// Evaluates rows with lists of right and wrong answers.
fn of_lists(
    args: &Args,
    kind: Architecture,
    out: Option<&Out>,
    device: &Device,
) -> Result<(), Failure> {
    let for_pairs = [
        ("--by", args.by.is_some()),
        ("--format", args.format.is_some()),
        ("--hh-turns", args.hh_turns != HhTurns::LastTurnOnly),
        ("--on-bad-row", args.on_bad_row != OnBadRow::Fail),
    ];
    if let Some((name, _)) = for_pairs.into_iter().find(|(_, given)| *given) {
        let data = args.data.display();
        return Err(format!(
            "{name} works only with pairs, but {data} has lists of answers: remove the option"
        )
        .into());
    }
    let lists = Lists {
        data: &args.data,
        model: &args.model,
        reference: args.reference.as_deref(),
        kind,
        label: args.label.as_ref(),
        first: args.first,
        max_length: args.max_length,
        as_chat: args.as_chat,
        rendering: args.render.rendering(),
    };
    let places = Places {
        out,
        json: args.json,
    };
    lists.run(&notes(args, kind), device, places)
}

fn read(args: &Args) -> Result<(Vec<PreferencePair>, Option<Labels>, ReadReport), Failure> {
    let options = ReadOptions {
        format: args.format,
        on_bad_row: args.on_bad_row,
        hh_turns: args.hh_turns,
        ..ReadOptions::default()
    };
    let columns = match &args.by {
        Some(column) => vec![column.as_str()],
        None => vec!["subset", "category"],
    };
    let (mut pairs, mut labels, report) = read_labelled_pairs(&args.data, &options, &columns)?;
    if report.kept == 0 {
        return Err(format!("{report}: no row is left: correct the file").into());
    }
    if let (Some(column), None) = (&args.by, &labels) {
        let data = args.data.display();
        return Err(format!("--by {column}: no row of {data} has this column").into());
    }
    let most = args.first.unwrap_or(usize::MAX);
    pairs.truncate(most);
    if args.as_chat {
        pairs.iter_mut().for_each(|pair| as_chat(&mut pair.prompt));
    }
    labels
        .iter_mut()
        .for_each(|labels| labels.values.truncate(most));
    Ok((pairs, labels, report))
}

/// Computes the rewards of each pair's answers.
fn scores(
    args: &Args,
    kind: Architecture,
    pairs: &[PreferencePair],
    report: ReadReport,
    device: &Device,
) -> Result<Vec<(f32, f32)>, Failure> {
    let rows = Rows::Pairs(pairs.to_vec());
    let columns = |dir: &Path| -> Result<BTreeMap<&str, Vec<Value>>, Failure> {
        let task = Task {
            tokenizer: args.render.rendering().open(dir)?,
            max_length: args.max_length,
            label: args.label.clone(),
            interrupt: runs::interrupt(),
        };
        let model = task.open(dir, kind, kind == Architecture::Decoder, device)?;
        let columns = task.columns(dir, &*model, &rows)?;
        let (done, all) = (score::scored(&columns), pairs.len());
        if done < all {
            let text = format!(
                "stopped: {done} of {all} pairs are scored, but nothing is written, because the \
                 accuracy needs all pairs"
            );
            return Err(Interrupted(text).into());
        }
        Ok(columns.into_iter().collect())
    };
    let of_model = columns(&args.model)?;
    common::tell(&report.to_string());
    let numbers = |columns: &BTreeMap<&str, Vec<Value>>, name: &str| -> Vec<f64> {
        let values = columns.get(name).into_iter().flatten();
        values
            .map(|value| value.as_f64().unwrap_or(f64::NAN))
            .collect()
    };
    let side = |side: &str| -> Vec<f64> { numbers(&of_model, &format!("{side}_logps")) };
    let sides = match (kind, &args.reference) {
        (Architecture::Decoder, Some(reference)) => {
            let of_reference = columns(reference)?;
            ["chosen", "rejected"].map(|name| {
                let reference = numbers(&of_reference, &format!("{name}_logps"));
                side(name)
                    .iter()
                    .zip(reference)
                    .map(|(own, other)| own - other)
                    .collect()
            })
        }
        (Architecture::Decoder, None) => ["chosen", "rejected"].map(|name| {
            let tokens = numbers(&of_model, &format!("{name}_tokens"));
            let means = side(name).into_iter().zip(tokens);
            means
                .map(|(sum, tokens)| sum / tokens)
                .collect::<Vec<f64>>()
        }),
        _ => ["chosen", "rejected"].map(|name| numbers(&of_model, &format!("{name}_score"))),
    };
    let [chosen, rejected] = sides;
    let pairs = chosen.into_iter().zip(rejected);
    Ok(pairs
        .map(|(chosen, rejected)| (chosen as f32, rejected as f32))
        .collect())
}
