//! A conversation with a model in the terminal.

mod history;
mod input;
mod interrupt;
mod reply;

use std::io::IsTerminal;
use std::path::PathBuf;

use collimate::core::{GenerateError, Message, Prompt, Role, Sampling};
use collimate::data::{ChatFallback, TextTokenizer};
use collimate::lm::{Llama, TextGenerator};
use collimate::nn::{Backbone, HfFolder};

use crate::common::{self, DeviceName, Failure};

use history::History;
use input::{Command, Lines};
use interrupt::Stop;
use reply::Reply;

/// Talk to a language model in the terminal.
///
/// The answer is shown while it grows, and the conversation is kept: the model's chat template writes
/// all of it for every answer. Ctrl-C stops an answer and keeps the conversation, Ctrl-D ends the
/// program. Lines that begin with / are commands: /help lists them. Where standard input is no
/// terminal, each line is a message, and the answers alone are written to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a causal language model with its tokenizer and chat template
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The system's message, before all turns
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Softmax temperature; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = Sampling::default().temperature)]
    temperature: f64,
    /// Draw from the smallest set of tokens with at least this probability; 1 is all
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p)]
    top_p: f64,
    /// Draw from this many of the likeliest tokens; 0 is all
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Above 1: tokens that were there already become less likely; 1 changes nothing
    #[arg(long, value_name = "R", default_value_t = Sampling::default().repetition_penalty)]
    repetition_penalty: f64,
    /// Longest answer in tokens, EOS included; the model's context may end it earlier
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// A text that ends an answer, or a special token; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Seed of the random numbers
    #[arg(long, value_name = "SEED", default_value_t = Sampling::default().seed)]
    seed: u64,
    /// A model without chat template: refuse, or plain text with the roles
    #[arg(long, value_parser = common::json_name::<ChatFallback>, default_value = "refuse")]
    #[arg(value_name = "HOW")]
    chat_fallback: ChatFallback,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

impl Args {
    /// The sampling of one answer. Plain text has no token that ends a turn: the next turn does.
    fn sampling(&self, plain: bool) -> Sampling {
        let mut stop = self.stop.clone();
        if plain {
            stop.push("\n\nUser:".to_owned());
        }
        Sampling {
            n: 1,
            seed: self.seed,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
            stop,
        }
    }
}

/// A conversation that goes on.
struct Chat {
    generator: TextGenerator<Llama>,
    sampling: Sampling,
    history: History,
    /// Answers to the last message so far: each more draws other random numbers.
    tries: u64,
    /// True if a person sits at the terminal.
    terminal: bool,
    /// True if the model has no chat template.
    plain: bool,
    stop: Stop,
}

/// Does what the options say.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let device = args.device.open()?;
    common::architecture(&args.model)?;
    let tokenizer = TextTokenizer::from_folder(&args.model)?.with_chat_fallback(args.chat_fallback);
    let plain = check_template(args, &tokenizer)?;
    let sampling = args.sampling(plain);
    let in_words = |error| super::generate::said(error, &[]);
    sampling.check().map_err(in_words)?;
    let model = Llama::load(&args.model, &device)?;
    let generator = TextGenerator::new(model, tokenizer).with_eos_of(&args.model)?;
    let terminal = std::io::stdin().is_terminal();
    let mut chat = Chat {
        generator,
        sampling,
        history: History::new(args.system.clone()),
        tries: 0,
        terminal,
        plain,
        stop: Stop::new(terminal)?,
    };
    if terminal {
        common::tell("a message, or /help; Ctrl-C stops an answer, Ctrl-D ends");
    }
    chat.talk()
}

/// Refuses a model whose conversations cannot be written; true if they are plain text.
fn check_template(args: &Args, tokenizer: &TextTokenizer) -> Result<bool, Failure> {
    let shown = args.model.display();
    let plain = tokenizer.chat_template().is_none();
    if plain && args.chat_fallback == ChatFallback::Refuse {
        return Err(format!(
            "--model {shown}: has no chat template: name a model that was trained to chat, or give \
             --chat-fallback plain"
        )
        .into());
    }
    let hello = Message::new(Role::User, "Hello");
    let mut messages = History::new(args.system.clone()).messages();
    messages.push(hello);
    tokenizer
        .encode_prompt(&Prompt::Chat(messages))
        .map_err(|error| {
            let system = match args.system {
                Some(_) => ", or leave --system out",
                None => "",
            };
            format!("--model {shown}: {error}: mend the template of the folder{system}")
        })?;
    Ok(plain)
}

impl Chat {
    /// Reads lines until there are no more.
    fn talk(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::new(self.terminal);
        while let Some(line) = lines.next()? {
            let done = match Command::of(&line) {
                Command::Nothing => Ok(()),
                Command::Say(text) => self.say(text),
                Command::Clear => {
                    self.history.clear();
                    self.tell("the conversation is empty again");
                    Ok(())
                }
                Command::System(text) => {
                    self.history.set_system(text);
                    self.tell("the next answer follows the new system message");
                    Ok(())
                }
                Command::Retry => self.retry(),
                Command::Help => {
                    common::tell(input::HELP);
                    Ok(())
                }
                Command::Quit => return Ok(()),
                Command::Unknown(name) => Err(format!(
                    "{name}: no such command: /help lists them; a message that begins with / is \
                     written with //"
                )
                .into()),
            };
            match done {
                // A person can try again; a script cannot.
                Err(error) if self.terminal => common::tell(&format!("error: {error}")),
                other => other?,
            }
        }
        Ok(())
    }

    fn tell(&self, line: &str) {
        if self.terminal {
            common::tell(line);
        }
    }

    fn say(&mut self, text: String) -> Result<(), Failure> {
        self.history.say(text);
        self.tries = 0;
        let answered = self.answer();
        if answered.is_err() {
            self.history.unsay();
        }
        answered
    }

    fn retry(&mut self) -> Result<(), Failure> {
        let before = self.history.take_answer();
        if !self.history.awaits_answer() {
            return Err("/retry: there is no message yet: write one first".into());
        }
        self.tries += 1;
        let answered = self.answer();
        if let (Err(_), Some(before)) = (&answered, before) {
            self.history.answer(before);
        }
        answered
    }

    /// Writes the answer to the last message, and keeps it.
    fn answer(&mut self) -> Result<(), Failure> {
        let ids = self.fit()?;
        let sampling = Sampling {
            seed: self.sampling.seed.wrapping_add(self.tries),
            ..self.sampling.clone()
        };
        let flag = self.stop.begin();
        let mut reply = Reply::new(flag, self.plain);
        let ended = self.generator.continue_ids(&[ids], &sampling, &mut reply);
        self.stop.end();
        let stopped = matches!(ended, Err(GenerateError::Interrupted));
        let text = reply.finish()?;
        if !stopped {
            ended.map_err(|error| super::generate::said(error, &[]))?;
            if self.plain && text.trim().is_empty() {
                common::tell(super::generate::NO_TEMPLATE);
            }
        }
        // An answer that was stopped before its first word is none: /retry writes another.
        if !(stopped && text.is_empty()) {
            self.history.answer(text);
        }
        Ok(())
    }

    /// The ids of the conversation, without the oldest turns where they leave no room for an answer.
    fn fit(&mut self) -> Result<Vec<u32>, Failure> {
        let context = self.generator.model().max_positions();
        let room = self.sampling.max_new_tokens.min(context / 4).max(1);
        let mut history = self.history.clone();
        let mut dropped = 0;
        loop {
            let prompt = Prompt::Chat(history.messages());
            let ids = self.generator.tokenizer().encode_prompt(&prompt)?;
            let fits = ids.len().saturating_add(room) <= context;
            let more = if fits { 0 } else { history.drop_oldest() };
            dropped += more;
            if more > 0 {
                continue;
            }
            if ids.len() >= context {
                return Err(format!(
                    "the message has {} tokens with the system's, the model takes {context} in \
                     all, the answer's included: write a shorter one",
                    ids.len()
                )
                .into());
            }
            if dropped > 0 {
                common::tell(&format!(
                    "the conversation is longer than the model's {context} tokens: the oldest \
                     {dropped} messages are dropped"
                ));
            }
            self.history = history;
            return Ok(ids);
        }
    }
}
