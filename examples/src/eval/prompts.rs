//! `eval prompts`: a benchmark's prompts, answered and judged.

use std::path::PathBuf;

use clap::ValueEnum;
use collimate::core::{Completion, Finish, Message, Prompt, Role, Sampling};
use collimate::data::{ChatFallback, Question, read_questions};
use collimate::judge::Item;
use collimate::train::Interrupt;
use serde_json::{Value, json};

use super::cases::{Case, user};
use super::judge::JudgeArgs;
use super::judging::judge;
use super::out::{About, Out, show};
use super::policy::Policy;
use crate::common::{self, DeviceName, Failure};
use crate::generate::said;
use crate::runs;

/// What becomes of a prompt that is longer than a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLongPrompt {
    /// Stop with an error
    Fail,
    /// Leave it out, of both sides, and count it
    Drop,
}

/// Let a model answer a benchmark's prompts, alone or beside another one, and judge the answers.
///
/// Prompt files of MT-bench (second turns are asked with the first answer in the conversation), Vicuna,
/// AlpacaEval, Arena-Hard, Evol-Instruct, and Self-Instruct's seed tasks, recognised by their fields.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Args {
    /// File of prompts, JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Folder of the causal language model that answers
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder of another one, to compare with
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Softmax temperature of the answers; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f64,
    /// Draw from the smallest set of tokens with at least this probability; 1 is all
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Seed of the answers' random numbers
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// A prompt, with what was said before, that leaves no room for an answer
    #[arg(long, value_enum, default_value_t = OnLongPrompt::Fail)]
    on_long_prompt: OnLongPrompt,
    /// Folder for answers.jsonl (and answers-against.jsonl), summary.json, report.md,
    /// judgements.jsonl and plots
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Models without chat template: refuse them, or ask in plain text with roles
    #[arg(long, value_parser = common::json_name::<ChatFallback>, default_value = "refuse")]
    #[arg(value_name = "HOW")]
    chat_fallback: ChatFallback,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
    #[command(flatten)]
    judge: JudgeArgs,
}

/// The names of the files of answers, side by side with the models.
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
        return Err("--first 0: at least 1".into());
    }
    let out = Out::check(args.out.as_deref())?;
    let device = args.device.open()?;
    let (mut questions, format) = read_questions(&args.prompts)?;
    questions.truncate(args.first.unwrap_or(usize::MAX));
    if let Some(long) = questions.iter().find(|question| question.turns.len() > 2) {
        return Err(format!(
            "{}: question {} has {} turns: judges are shown two at most",
            args.prompts.display(),
            long.id,
            long.turns.len()
        )
        .into());
    }
    let open = |option: &str, dir| Policy::open(option, dir, args.chat_fallback, &device);
    let mut policies = vec![open("--model", &args.model)?];
    if let Some(against) = &args.against {
        policies.push(open("--against", against)?);
    }
    let interrupt = runs::interrupt();
    let two_sides = policies.len() == 2;
    let mut judging = args
        .judge
        .open(two_sides, args.chat_fallback, &device, &interrupt)?;
    let turns: usize = questions.iter().map(|question| question.turns.len()).sum();
    common::tell(&format!(
        "{}: {} questions with {turns} turns, read as {format}",
        args.prompts.display(),
        questions.len()
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
    show(&about, &cases, &sheet, out.as_ref())
}

/// An answer, and what it answers.
struct Said {
    question: usize,
    turn: usize,
    prompt: Prompt,
    completion: Completion,
}

/// The conversations of all sides.
struct Talks<'a> {
    questions: &'a [Question],
    policies: &'a [Policy],
    on_long_prompt: OnLongPrompt,
    /// What was said to each question, for each side; none where it was left out.
    so_far: Vec<Option<Vec<Vec<Message>>>>,
    /// Answers of each side.
    said: Vec<Vec<Said>>,
    /// Turns that were left out, those after them included.
    too_long: usize,
}

impl<'a> Talks<'a> {
    fn new(
        questions: &'a [Question],
        policies: &'a [Policy],
        on_long_prompt: OnLongPrompt,
    ) -> Self {
        Self {
            questions,
            policies,
            on_long_prompt,
            so_far: vec![Some(vec![Vec::new(); policies.len()]); questions.len()],
            said: policies.iter().map(|_| Vec::new()).collect(),
            too_long: 0,
        }
    }

    /// Asks every question that has this turn, from 0.
    fn ask(
        &mut self,
        turn: usize,
        sampling: &Sampling,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let mut asked = Vec::new();
        for (index, question) in self.questions.iter().enumerate() {
            let Some(text) = question.turns.get(turn) else {
                continue;
            };
            if let Some(sides) = &mut self.so_far[index] {
                sides.iter_mut().for_each(|side| side.push(user(text)));
            }
            if self.fits(index)? {
                asked.push(index);
            } else {
                self.so_far[index] = None;
                self.too_long += 1;
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        for (side, policy) in self.policies.iter().enumerate() {
            let so_far = |&index: &usize| self.so_far[index].as_ref().map(|sides| &sides[side]);
            let prompts = asked.iter().filter_map(so_far);
            let prompts: Vec<Prompt> = prompts.cloned().map(Prompt::Chat).collect();
            let said = &mut self.said[side];
            let mut answers = Vec::new();
            let ended = policy.answer(&prompts, sampling, interrupt, |at, completion| {
                answers.push((asked[at], completion.text.clone()));
                said.push(Said {
                    question: asked[at],
                    turn,
                    prompt: prompts[at].clone(),
                    completion,
                });
            });
            ended?;
            for (index, content) in answers {
                if let Some(sides) = &mut self.so_far[index] {
                    let role = Role::Assistant;
                    sides[side].push(Message { role, content });
                }
            }
        }
        Ok(())
    }

    /// Whether every side has room for an answer.
    fn fits(&self, index: usize) -> Result<bool, Failure> {
        let Some(sides) = &self.so_far[index] else {
            return Ok(false);
        };
        for (messages, policy) in sides.iter().zip(self.policies) {
            let (tokens, context) = policy.room(&Prompt::Chat(messages.clone()))?;
            if tokens < context {
                continue;
            }
            if self.on_long_prompt == OnLongPrompt::Fail {
                return Err(format!(
                    "question {}, turn {}: has {tokens} tokens, {} takes {context} in all: \
                     --on-long-prompt drop leaves such questions out{}",
                    self.questions[index].id,
                    messages.len().div_ceil(2),
                    policy.name,
                    match messages.len() {
                        1 => "",
                        _ => ", fewer --max-new-tokens leave more room",
                    }
                )
                .into());
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// What every side has answered, question by question.
    fn cases(&self) -> Vec<Case> {
        let item = |said: &Said| Item::new(said.prompt.clone(), said.completion.clone());
        let mut places: Vec<usize> = (0..self.said[0].len()).collect();
        places.sort_by_key(|&at| (self.said[0][at].question, self.said[0][at].turn));
        let case = |at: usize| {
            let a = &self.said[0][at];
            let question = &self.questions[a.question];
            Case {
                id: question.id.clone(),
                category: question.category.clone(),
                turn: a.turn + 1,
                group: a.question,
                a: item(a),
                b: self.said.get(1).map(|said| item(&said[at])),
            }
        };
        places.into_iter().map(case).collect()
    }

    /// A side's answers as rows that `eval answers` reads.
    fn rows(&self, side: usize) -> impl Iterator<Item = Value> {
        self.said[side].iter().map(|said| {
            let question = &self.questions[said.question];
            json!({
                "question_id": question.id, "category": question.category, "turn": said.turn + 1,
                "prompt": said.prompt, "completion": said.completion.text,
                "finish": said.completion.finish,
            })
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.too_long > 0 {
            notes.push(format!(
                "left out: {} turns that were too long",
                self.too_long
            ));
        }
        for (policy, said) in self.policies.iter().zip(&self.said) {
            let cut = said
                .iter()
                .filter(|said| said.completion.finish == Finish::Length);
            notes.push(format!(
                "{}: {} of {} answers did not end by themselves",
                policy.name,
                cut.count(),
                said.len()
            ));
        }
        notes
    }
}
