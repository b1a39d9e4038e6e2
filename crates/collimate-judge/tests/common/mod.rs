//! A judge made of a function.

// Each test file uses a part of this module.
#![allow(dead_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{Completion, GenerateError, Generator, Prompt, Sampling};
use collimate_judge::{Judge, JudgeOptions};

/// Answers each prompt with a function of its text and the number of the sample.
pub(crate) struct Toy<F> {
    answer: F,
    /// Number of judgements written.
    pub(crate) written: AtomicUsize,
    /// Number of calls.
    pub(crate) calls: AtomicUsize,
    /// The texts of all prompts, in the order of the calls.
    pub(crate) prompts: Mutex<Vec<String>>,
    /// The samplings of all calls.
    pub(crate) samplings: Mutex<Vec<Sampling>>,
}

impl<F, C> Toy<F>
where
    F: Fn(&str, usize) -> C + Send + Sync,
    C: Into<Completion>,
{
    pub(crate) fn new(answer: F) -> Self {
        Self {
            answer,
            written: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            prompts: Mutex::default(),
            samplings: Mutex::default(),
        }
    }

    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl<F, C> Generator for Toy<F>
where
    F: Fn(&str, usize) -> C + Send + Sync,
    C: Into<Completion>,
{
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.samplings.lock().unwrap().push(sampling.clone());
        let answer = |prompt: &Prompt| {
            let text = prompt.to_plain();
            self.prompts.lock().unwrap().push(text.clone());
            self.written.fetch_add(sampling.n, Ordering::Relaxed);
            (0..sampling.n)
                .map(|sample| (self.answer)(&text, sample).into())
                .collect()
        };
        Ok(prompts.iter().map(answer).collect())
    }
}

/// Accepts any parse rate.
pub(crate) fn lenient() -> JudgeOptions {
    JudgeOptions {
        min_parse_rate: 0.0,
        ..JudgeOptions::default()
    }
}

pub(crate) fn judge<G: Generator>(generator: &G, options: JudgeOptions) -> Judge<&G> {
    Judge::new("toy", generator, options).unwrap()
}

/// Returns the text between two marks.
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).expect("the start mark") + start.len();
    let len = text[from..].find(end).expect("the end mark");
    &text[from..from + len]
}

/// Returns the two answers in MT-bench's pairwise prompt.
pub(crate) fn shown_pair(prompt: &str) -> (&str, &str) {
    let answer = |name: &str| {
        let start = format!("[The Start of Assistant {name}'s Answer]\n");
        let end = format!("\n[The End of Assistant {name}'s Answer]");
        between(prompt, &start, &end)
    };
    (answer("A"), answer("B"))
}

/// Prefers the answer with the larger number, and gives a tie for equal numbers.
pub(crate) fn by_number(prompt: &str) -> String {
    let (first, second) = shown_pair(prompt);
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let verdict = match number(first).cmp(&number(second)) {
        std::cmp::Ordering::Greater => "[[A]]",
        std::cmp::Ordering::Less => "[[B]]",
        std::cmp::Ordering::Equal => "[[C]]",
    };
    format!("I compared them. {verdict}")
}
