//! Prompts with instructions that a program can check, made from a file of prompts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

/// Words that an answer must have, or must not have.
const WORDS: [[&str; 2]; 5] = [
    ["example", "reason"],
    ["people", "time"],
    ["first", "finally"],
    ["simple", "useful"],
    ["question", "answer"],
];

/// Options of the command.
#[derive(Debug, Args)]
pub struct InstructionArgs {
    /// Files of prompts, JSON lines: the first text of `turns`, or `instruction`, or `prompt`
    #[arg(long, value_name = "FILE.jsonl", num_args = 1.., required = true)]
    prompts: Vec<PathBuf>,
    /// Number of rows for each prompt, each with another instruction
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10))]
    each: u16,
    /// File of the rows, in the form of IFEval, for `collimate eval instructions`
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
}

/// Writes rows of IFEval ([arXiv:2311.07911](https://arxiv.org/abs/2311.07911)): every prompt with an
/// instruction of one of ten kinds, in turn. No random numbers are used: the same prompts give the
/// same rows.
///
/// # Errors
/// Returns an error if a file cannot be read or written, or a line has no prompt.
pub fn instructions(args: &InstructionArgs) -> Result<ExitCode> {
    let mut prompts = Vec::new();
    for path in &args.prompts {
        prompts.extend(read(path)?);
    }
    let rows = prompts.iter().enumerate().flat_map(|(index, prompt)| {
        // Neighbours have different kinds, and a prompt has kinds that lie apart.
        (0..usize::from(args.each)).map(move |turn| (index + 3 * turn, turn, prompt))
    });
    let rows = rows.enumerate().map(|(key, (kind, turn, prompt))| {
        let (text, id, kwargs) = instruction(kind, kind / 10 + turn);
        json!({
            "key": key, "prompt": format!("{prompt} {text}"),
            "instruction_id_list": [id], "kwargs": [kwargs],
        })
    });
    let lines: Vec<String> = rows.map(|row| row.to_string() + "\n").collect();
    fs::write(&args.out, lines.concat()).with_context(|| args.out.display().to_string())?;
    eprintln!("wrote {} rows: {}", lines.len(), args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Reads the prompts of a file, without white space at their ends.
fn read(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let prompts = lines.map(|(index, line)| {
        let named = || format!("{}:{}", path.display(), index + 1);
        let row: Value = serde_json::from_str(line).with_context(named)?;
        let found = ["/turns/0", "/instruction", "/prompt"]
            .iter()
            .find_map(|place| row.pointer(place)?.as_str());
        let found = found.map(str::trim).filter(|text| !text.is_empty());
        found
            .map(str::to_owned)
            .with_context(|| format!("{}: no text in turns, instruction or prompt", named()))
    });
    let prompts: Vec<String> = prompts.collect::<Result<_>>()?;
    ensure!(!prompts.is_empty(), "{}: no prompts", path.display());
    Ok(prompts)
}

/// Returns an instruction: its text, its id in IFEval, and the arguments of the check.
fn instruction(kind: usize, turn: usize) -> (String, &'static str, Value) {
    let [a, b] = WORDS[turn % WORDS.len()];
    let (text, id, kwargs) = match kind % 10 {
        0 => (
            "Answer in less than 60 words.".to_owned(),
            "length_constraints:number_words",
            json!({ "relation": "less than", "num_words": 60 }),
        ),
        1 => (
            "Answer with exactly 3 bullet points in markdown, such as: * This is a point."
                .to_owned(),
            "detectable_format:number_bullet_lists",
            json!({ "num_bullets": 3 }),
        ),
        2 => (
            "Write the whole answer as JSON, between ```json and ```.".to_owned(),
            "detectable_format:json_format",
            json!({}),
        ),
        3 => (
            format!("Use the words \"{a}\" and \"{b}\" in the answer."),
            "keywords:existence",
            json!({ "keywords": [a, b] }),
        ),
        4 => (
            format!("Do not use the words \"{a}\" and \"{b}\" in the answer."),
            "keywords:forbidden_words",
            json!({ "forbidden_words": [a, b] }),
        ),
        5 => (
            "Do not use any commas in the answer.".to_owned(),
            "punctuation:no_comma",
            json!({}),
        ),
        6 => (
            "Write the whole answer in lowercase letters, without capital letters.".to_owned(),
            "change_case:english_lowercase",
            json!({}),
        ),
        7 => (
            "Give the answer a title in double angular brackets, such as <<my title>>.".to_owned(),
            "detectable_format:title",
            json!({}),
        ),
        8 => (
            "End the answer with these words, and nothing after them: I hope that this helps."
                .to_owned(),
            "startend:end_checker",
            json!({ "end_phrase": "I hope that this helps." }),
        ),
        _ => (
            "Answer in less than 4 sentences.".to_owned(),
            "length_constraints:number_sentences",
            json!({ "relation": "less than", "num_sentences": 4 }),
        ),
    };
    (text, id, kwargs)
}
