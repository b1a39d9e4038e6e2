//! Writes a saved model in another form: `collimate export --help`.

use std::path::PathBuf;

use clap::ValueEnum;
use collimate::data::TextTokenizer;
use collimate::files::remove_unfinished;
use collimate::gguf::OutType;
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::nn::{HfFolder, HfReward, SaveOptions};
use collimate::prelude::{Device, RewardModel};

use crate::common::{self, DeviceName, Failure};
use crate::loading;
use crate::names;
use crate::options::FileArgs;

/// Write a saved model in another number type, in files of another size, or with its adapters
/// folded in.
///
/// The model is a Hugging Face folder, an adapter folder of PEFT, or a GGUF file. The output is a
/// Hugging Face folder with model, tokenizer and chat template, which this program, transformers and
/// others open, or a GGUF file. An adapter is folded into the weights of its base model.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "merge")]
#[command(mut_arg("dtype", |flag| flag.hide_short_help(false)))]
#[command(mut_arg("shard_size", |flag| flag.hide_short_help(false)))]
pub(crate) struct Args {
    /// Folder of a model or adapter, GGUF file, or name on a hub
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder to write, empty or new; with --gguf the file to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    files: FileArgs,
    /// Write a GGUF file for llama.cpp and Ollama instead of a folder, with matrices of this type;
    /// --out names the file
    #[arg(long, value_name = "TYPE", value_enum, conflicts_with_all = ["dtype", "shard_size"])]
    gguf: Option<GgufType>,
}

/// Types of matrices in a GGUF file.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum GgufType {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 16 bits with the range of f32
    Bf16,
    /// 8 bits, with a factor for each 32 values
    #[value(name = "q8_0")]
    Q80,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (dir, out) = (&args.model, &args.out);
    let architecture = common::architecture(dir)?;
    if let Some(kind) = args.gguf {
        return gguf(args, kind, architecture);
    }
    // An interrupted export may have left unfinished files.
    remove_unfinished(out)?;
    if out.is_file() || out.exists() && std::fs::read_dir(out)?.next().is_some() {
        return Err(format!(
            "--out {} is a file or a folder that is not empty: name a new folder",
            out.display()
        )
        .into());
    }
    let device = DeviceName::Flex.open()?;
    let tokenizer = TextTokenizer::from_folder(dir)?;
    let options = SaveOptions {
        pad_token_id: tokenizer.special().pad,
        max_length: tokenizer.max_length(),
        ..args.files.options()
    };
    match architecture {
        Architecture::Decoder => {
            Llama::load(dir, loading::frozen(&device))?.save_with(&options, out)?
        }
        Architecture::DecoderReward => scored::<Llama>(args, &options, &device)?,
        _ => scored::<Encoder>(args, &options, &device)?,
    }
    tokenizer.save(out)?;
    common::tell(&format!("model: {}", out.display()));
    Ok(())
}

/// Writes a GGUF file, and tells what the file cannot hold.
fn gguf(args: &Args, kind: GgufType, architecture: Architecture) -> Result<(), Failure> {
    let (dir, out) = (&args.model, &args.out);
    if architecture != Architecture::Decoder {
        return Err(format!(
            "--gguf: {} is a reward model or an encoder: a GGUF file takes language models only",
            dir.display()
        )
        .into());
    }
    common::check_writable(out)?;
    common::check_other(out, dir)?;
    let tokenizer = TextTokenizer::from_folder(dir)?;
    let kind = match kind {
        GgufType::F32 => OutType::F32,
        GgufType::F16 => OutType::F16,
        GgufType::Bf16 => OutType::Bf16,
        GgufType::Q80 => OutType::Q8_0,
    };
    let model = Llama::load(dir, &DeviceName::Flex.open()?)?;
    let export = model.save_gguf(&tokenizer, kind, out)?;
    for what in &export.left_out {
        common::tell(&format!("warning: {}: left out: {what}", out.display()));
    }
    let megabytes = export.bytes as f64 / 1e6;
    common::tell(&format!("model: {} ({megabytes:.1} MB)", out.display()));
    Ok(())
}

/// Writes a model with its reward head, if it has one.
fn scored<B: HfReward>(args: &Args, options: &SaveOptions, device: &Device) -> Result<(), Failure> {
    let parts = B::load_reward(&args.model, loading::frozen(device))?;
    match parts.head {
        None => parts.backbone.save_with(options, &args.out)?,
        Some(head) => RewardModel::from_parts(parts.backbone, head, parts.pooling)
            .save_with(options, &args.out)?,
    }
    Ok(())
}
