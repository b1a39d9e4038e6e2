//! The conversations in which models answer.

use clap::ValueEnum;
use collimate::core::{Completion, Finish, Message, Prompt, Role, Sampling};
use collimate::data::Question;
use collimate::judge::Item;
use collimate::train::Interrupt;
use serde_json::{Value, json};

use super::cases::{Case, user};
use super::policy::Policy;
use crate::common::Failure;

/// Handling of a prompt that is too long for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLongPrompt {
    /// Stop with an error
    Fail,
    /// Leave it out on both sides, and count it
    Drop,
}

/// An answer, with the question and prompt that it answers.
struct Said {
    question: usize,
    turn: usize,
    prompt: Prompt,
    completion: Completion,
}

/// The conversations of all sides.
pub(crate) struct Talks<'a> {
    questions: &'a [Question],
    policies: &'a [Policy],
    on_long_prompt: OnLongPrompt,
    /// Messages of each question, for each side; `None` if the question was left out.
    so_far: Vec<Option<Vec<Vec<Message>>>>,
    /// Answers of each side.
    said: Vec<Vec<Said>>,
    /// Number of turns that were left out, including the turns after them.
    pub(crate) too_long: usize,
}

impl<'a> Talks<'a> {
    pub(crate) fn new(
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

    /// Asks every question that has this turn, counted from 0.
    pub(crate) fn ask(
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
                    sides[side].push(Message::new(role, content));
                }
            }
        }
        Ok(())
    }

    /// Returns true if every side has room for an answer.
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
                    "question {}, turn {} has {tokens} tokens, but {} takes {context} in all: give \
                     --on-long-prompt drop to skip such questions{}",
                    self.questions[index].id,
                    messages.len().div_ceil(2),
                    policy.name,
                    match messages.len() {
                        1 => "",
                        _ => ", or lower --max-new-tokens",
                    }
                )
                .into());
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Returns the answers of every side, question by question.
    pub(crate) fn cases(&self) -> Vec<Case> {
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

    /// Returns a side's answers as rows that `eval answers` reads.
    pub(crate) fn rows(&self, side: usize) -> impl Iterator<Item = Value> {
        self.said[side].iter().map(|said| {
            let question = &self.questions[said.question];
            json!({
                "question_id": question.id, "category": question.category, "turn": said.turn + 1,
                "prompt": said.prompt, "completion": said.completion.text,
                "finish": said.completion.finish,
            })
        })
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.too_long > 0 {
            notes.push(format!(
                "skipped: {} turns that were too long",
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
