//! Writes completions with a saved model: `collimate generate --help`.

pub(crate) mod prompts;
pub(crate) mod show;

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use collimate::core::{Completion, Finish, GenerateError, Prompt, Sampling};
use collimate::data::TextTokenizer;
use collimate::files::atomic_write;
use collimate::lm::{BatchLimits, Llama, TextGenerator};
use collimate::nn::HfFolder;
use serde::Serialize;

use crate::common::{self, DeviceName, Failure, Interrupted};
use crate::loading;
use crate::names;
use crate::runs;
use crate::sampling::SamplingArgs;

use prompts::Asked;
use show::Show;

/// Write completions of prompts with a language model in any form: a Hugging Face folder, an adapter of PEFT, a
/// GGUF file, or a name on a hub.
///
/// One prompt with one completion is written to standard output while it is generated. Otherwise
/// the output is one JSON object per prompt: `prompt` and `completions`. Each completion has
/// `text`, `tokens` (the ids, including EOS) and `finish`: eos, stop (a stop text, which is not
/// part of the text) or length.
///
/// On flex, the same seed gives bit-identical completions, regardless of the other prompts in the
/// same call. On other devices they agree up to rounding, which can change a token. If a prompt
/// occurs twice in one call, the second copy continues with further samples. Ctrl-C stops the
/// command. Finished completions are written, also after an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a causal language model with its tokenizer
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Prompt; may be given several times
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// File or pipe of prompts: one prompt per line; JSON lines with `prompt` (a text or a list of
    /// messages) or `messages`, if the first line is an object or the name ends in .jsonl or .json;
    /// or a table with a column `prompt`. Use - for standard input, which is also read if no prompt
    /// is given
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompts: Option<PathBuf>,
    /// Number of completions per prompt
    #[arg(long, value_name = "N", default_value_t = Sampling::default().n)]
    n: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// File for the JSON lines, written once any completion is finished; by default standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Number of completions generated at a time: higher values are faster, but keep the keys and
    /// values of up to ROWS times (longest prompt + --max-new-tokens) tokens in memory
    #[arg(long, value_name = "ROWS", default_value_t = BatchLimits::default().rows)]
    batch: usize,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

impl Args {
    /// Returns limits that allow `--batch` completions at a time, of any length.
    fn limits(&self, tokenizer: &TextTokenizer, most: usize, asked: &[Asked]) -> BatchLimits {
        // A prompt that cannot be encoded is refused later, with its place.
        let lengths = asked.iter().filter_map(|asked| {
            let ids = tokenizer.encode_prompt(&asked.prompt).ok()?;
            Some(ids.len().saturating_add(most))
        });
        let longest = lengths.max().unwrap_or_default();
        let tokens = self.batch.saturating_mul(longest);
        BatchLimits {
            rows: self.batch,
            tokens: tokens.max(BatchLimits::default().tokens),
            ..BatchLimits::default()
        }
    }
}

/// Explains why a model that was not trained to chat may write nothing.
pub(crate) const NO_TEMPLATE: &str = "an answer is empty: this model has no chat template and only \
                                      continues text: write the beginning of a text as the prompt";

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.sampling.check(args.n)?;
    if args.batch == 0 {
        return Err("--batch is 0 but must be at least 1".into());
    }
    let device = args.device.open()?;
    if let Some(out) = &args.out {
        common::check_writable(out)?;
        if let Some(prompts) = &args.prompts {
            common::check_other(out, prompts)?;
        }
    }
    common::architecture(&args.model)?;
    let asked = prompts::read(&args.prompt, args.prompts.as_deref())?;
    let base = Sampling {
        n: args.n,
        ..Sampling::default()
    };
    let settled = args.sampling.settle("generate", &args.model, &base)?;
    let tokenizer = settled.rendering.open(&args.model)?;
    let limits = args.limits(&tokenizer, settled.sampling.max_new_tokens, &asked);
    let model = Llama::load(&args.model, loading::frozen(&device))?;
    let generator = TextGenerator::new(settled.writes_with(model), tokenizer)
        .with_eos_of(&args.model)?
        .with_limits(limits)?;
    settled.tell();
    write(args, &settled.sampling, &generator, &asked)
}

fn write(
    args: &Args,
    sampling: &Sampling,
    generator: &TextGenerator<Llama>,
    asked: &[Asked],
) -> Result<(), Failure> {
    let prompts: Vec<Prompt> = asked.iter().map(|asked| asked.prompt.clone()).collect();
    let one = prompts.len() == 1 && sampling.n == 1;
    let live = one && (args.out.is_none() || std::io::stdout().is_terminal());
    let mut show = Show::new(prompts.len(), sampling.n, live, runs::interrupt());
    let ended = generator.generate_watched(&prompts, sampling, &mut show);
    let mut found = show.into_finished();
    let lost = found.lost.take();
    let done = found.count();
    let kept = match done {
        0 => Ok(()),
        _ => keep(args.out.as_deref(), live, asked, &found),
    };
    let empty = found
        .completions
        .iter()
        .flatten()
        .any(|c| c.text.trim().is_empty());
    if empty && generator.tokenizer().chat_template().is_none() {
        common::tell(NO_TEMPLATE);
    }
    tell_without_text(generator.tokenizer(), found.completions.iter().flatten());
    if let Some(error) = lost {
        kept?;
        return Err(error.into());
    }
    match ended {
        Ok(_) => kept,
        Err(GenerateError::Interrupted) => {
            kept?;
            let all = prompts.len().saturating_mul(sampling.n);
            Err(Interrupted(format!("stopped: {done} of {all} completions")).into())
        }
        Err(error) => {
            if let Err(lost) = kept {
                common::tell(&format!("the finished completions are lost: {lost}"));
            }
            Err(said(error, asked))
        }
    }
}

/// Reports tokens that have no text: weights that are padded beyond the vocabulary can produce
/// them.
pub(crate) fn tell_without_text<'a>(
    tokenizer: &TextTokenizer,
    completions: impl Iterator<Item = &'a Completion>,
) {
    let ids = completions.filter_map(|completion| completion.tokens.as_deref());
    let unknown: usize = ids.map(|ids| tokenizer.without_text(ids)).sum();
    if unknown > 0 {
        common::tell(&format!(
            "{unknown} generated tokens have no text, because the tokenizer does not have their \
             ids (the model has more rows than the {} tokens)",
            tokenizer.vocab_size()
        ));
    }
}

/// Writes the finished completions, unless they were shown while they were generated, and prints a
/// summary.
fn keep(
    out: Option<&Path>,
    live: bool,
    asked: &[Asked],
    found: &show::Found,
) -> Result<(), Failure> {
    if let Some(out) = out {
        atomic_write(out, lines(asked, &found.completions)?.as_bytes())?;
        common::tell(&format!("wrote {}", out.display()));
    } else if !live {
        common::print(&lines(asked, &found.completions)?)?;
    }
    common::tell(&summary(found));
    Ok(())
}

#[derive(Serialize)]
struct Row<'a> {
    prompt: &'a Prompt,
    completions: &'a [Completion],
}

/// Writes one JSON object for each prompt that has a finished completion.
fn lines(asked: &[Asked], completions: &[Vec<Completion>]) -> Result<String, Failure> {
    let mut text = String::new();
    for (asked, completions) in asked.iter().zip(completions).filter(|(_, c)| !c.is_empty()) {
        let row = Row {
            prompt: &asked.prompt,
            completions,
        };
        writeln!(text, "{}", serde_json::to_string(&row)?)?;
    }
    Ok(text)
}

fn summary(found: &show::Found) -> String {
    let all = found.completions.iter().flatten();
    let ended = |finish| all.clone().filter(|c| c.finish == finish).count();
    let seconds = found.elapsed.as_secs_f64();
    format!(
        "{} completions of {} prompts ({} eos, {} stop, {} length): {} tokens in {seconds:.1} s, \
         {:.0} tokens/s",
        found.count(),
        found.completions.len(),
        ended(Finish::Eos),
        ended(Finish::Stop),
        ended(Finish::Length),
        found.tokens,
        found.tokens as f64 / seconds.max(1e-9),
    )
}

/// Converts the error into the words of the command line: options as they are typed, prompts by
/// their place.
pub(crate) fn said(error: GenerateError, asked: &[Asked]) -> Failure {
    let index = match &error {
        GenerateError::Option {
            option,
            value,
            allowed,
        } => {
            return format!(
                "--{} is {value} but must be {allowed}",
                option.replace('_', "-")
            )
            .into();
        }
        GenerateError::PromptTooLong { index, .. }
        | GenerateError::Prompt { index, .. }
        | GenerateError::NotFinite { index, .. } => *index,
        _ => return error.into(),
    };
    let text = error.to_string();
    match asked.get(index) {
        Some(asked) => text
            .replacen(&format!("prompt {index}"), &asked.place, 1)
            .into(),
        None => text.into(),
    }
}
