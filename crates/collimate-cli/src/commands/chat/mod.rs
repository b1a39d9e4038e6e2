//! A conversation with a model in the terminal.

mod history;
mod input;
mod interrupt;
mod reply;
mod settings;
mod side;
mod talk;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use collimate::core::{Completion, Message, Prompt, Role, Sampling, Scorer};
use collimate::lm::FolderSampling;

use crate::common::{self, DeviceName, Failure};
use crate::names;
use crate::sampling::SamplingArgs;
use crate::scorer::reward_model;

use interrupt::Stop;
use side::Side;
use talk::Chat;

/// Talk to a language model in the terminal.
///
/// The answer is shown while it is written, and the conversation is kept: the model's chat template
/// renders all of it for every answer. Ctrl-C stops an answer and keeps the conversation. Ctrl-D
/// ends the program. Lines that begin with / are commands; /help lists them. If standard input is
/// not a terminal, each line is a message, and only the answers are written to standard output.
///
/// With --against, two models answer every message, one after the other, marked A and B. Each model
/// sees the conversation with its own answers. With --reward, a line with the score of every answer
/// follows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a causal language model with its tokenizer and chat template
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// Folder of a second model, which answers the same messages
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    against: Option<PathBuf>,
    /// Folder of a reward model, which scores the answers
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    reward: Option<PathBuf>,
    /// System message before all turns
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

/// Checks before the conversation begins that the reward model can read one.
fn check_reward(reward: &dyn Scorer) -> Result<(), Failure> {
    let asked = Prompt::Chat(vec![Message::new(Role::User, "Hello")]);
    let tried = reward.score(&[(asked, Completion::from("Hello"))]);
    tried.map_err(|error| format!("--reward: {error}"))?;
    Ok(())
}

/// Reports sampling options in the folder of the second model that are not applied, because both
/// models are sampled alike.
fn tell_second(dir: &Path, base: &Sampling) -> Result<(), Failure> {
    let found = FolderSampling::read(dir, base)?;
    if !found.taken.is_empty() {
        let (dir, taken) = (dir.display(), found.taken.join(", "));
        common::tell(&format!(
            "{dir}/generation_config.json: {taken} not applied: both models are sampled with the \
             options of --model"
        ));
    }
    Ok(())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let device = args.device.open()?;
    common::architecture(&args.model)?;
    let base = Sampling {
        max_new_tokens: 512,
        ..Sampling::default()
    };
    let settled = args.sampling.settle("chat", &args.model, &base)?;
    let rendering = &settled.rendering;
    let system = args.system.as_deref();
    let open = |option, dir| Side::open(option, dir, &settled, system, &device);
    let mut sides = vec![open("--model", &args.model)?];
    if let Some(against) = &args.against {
        sides.push(open("--against", against)?);
        for (side, mark) in sides.iter_mut().zip(["A", "B"]) {
            side.mark = Some(mark);
        }
    }
    let reward = match &args.reward {
        Some(dir) => Some(reward_model(
            "--reward",
            dir,
            rendering.chat_fallback,
            &device,
        )?),
        None => None,
    };
    if let Some(reward) = &reward {
        check_reward(reward.as_ref())?;
    }
    settled.tell();
    if let Some(against) = &args.against {
        tell_second(against, &base)?;
    }
    let terminal = std::io::stdin().is_terminal();
    if let (Some(against), true) = (&args.against, terminal) {
        let (model, against) = (args.model.display(), against.display());
        common::tell(&format!("A is {model}, B is {against}"));
    }
    if terminal {
        common::tell("write a message, or /help; Ctrl-C stops an answer, Ctrl-D ends the program");
    }
    Chat {
        sides,
        sampling: settled.sampling,
        reward,
        tries: 0,
        terminal,
        stop: Stop::new(terminal)?,
    }
    .talk()
}
