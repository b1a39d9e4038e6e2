//! Matches answers of two files that answer the same question.

use std::collections::HashMap;

use collimate::data::Answer;
use collimate::judge::Item;
use serde::Serialize;

use super::cases::{Case, Numbers, question, two_turns};

/// Counts of matched and unmatched answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Matched {
    /// Number of answers in file a and in file b.
    pub(crate) answers_a: usize,
    pub(crate) answers_b: usize,
    /// Number of different questions in file a and in file b.
    pub(crate) questions_a: usize,
    pub(crate) questions_b: usize,
    /// Number of questions that both files answer.
    pub(crate) questions: usize,
    /// Number of pairs of answers.
    pub(crate) pairs: usize,
    /// Number of answers of each file without a partner.
    pub(crate) alone_a: usize,
    pub(crate) alone_b: usize,
}

/// Pairs the k-th answers of both files to a question, in the order of file a.
pub(crate) fn matched(a: Vec<Answer>, b: Vec<Answer>) -> (Vec<Case>, Matched) {
    let mut count = Matched {
        answers_a: a.len(),
        answers_b: b.len(),
        ..Matched::default()
    };
    let mut of_b: HashMap<String, Vec<Answer>> = HashMap::new();
    // In reverse order, so that `pop` takes the first answer first.
    for answer in b.into_iter().rev() {
        of_b.entry(question(&answer.prompt))
            .or_default()
            .push(answer);
    }
    count.questions_b = of_b.len();
    let mut numbers = Numbers::default();
    let mut cases: Vec<Case> = Vec::new();
    for answer in a {
        let name = question(&answer.prompt);
        let group = numbers.of(&name);
        count.questions_a = count.questions_a.max(group + 1);
        let Some(partner) = of_b.get_mut(&name).and_then(Vec::pop) else {
            count.alone_a += 1;
            continue;
        };
        let shapes = [&answer.prompt, &partner.prompt].map(|prompt| two_turns(prompt).is_some());
        cases.push(Case {
            id: (group + 1).to_string(),
            category: answer.category.or(partner.category),
            turn: if shapes == [true, true] { 2 } else { 1 },
            group,
            a: Item::new(answer.prompt, answer.completion),
            b: Some(Item::new(partner.prompt, partner.completion)),
        });
    }
    count.alone_b = of_b.values().map(Vec::len).sum();
    count.pairs = cases.len();
    let mut groups: Vec<usize> = cases.iter().map(|case| case.group).collect();
    groups.sort_unstable();
    groups.dedup();
    count.questions = groups.len();
    (cases, count)
}

impl Matched {
    /// Describes the answers that were left out; `None` if all have a partner.
    pub(crate) fn left_out(&self) -> Option<String> {
        (self.alone_a + self.alone_b > 0).then(|| {
            format!(
                "not compared: {} answers of a and {} of b have no partner ({} pairs over {} \
                 questions)",
                self.alone_a, self.alone_b, self.pairs, self.questions
            )
        })
    }

    /// Describes the repeated questions; `None` if there are none.
    pub(crate) fn repeated(&self) -> Option<String> {
        let repeated = [
            self.answers_a - self.questions_a,
            self.answers_b - self.questions_b,
        ];
        (repeated != [0, 0]).then(|| {
            format!(
                "repeated questions: {} further answers in a, {} in b; the k-th answers of both are \
                 compared",
                repeated[0], repeated[1]
            )
        })
    }
}
