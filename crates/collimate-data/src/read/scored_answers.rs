//! Answers with scores, such as votes.

use collimate_core::{PreferencePair, Prompt};

use super::fields::{Object, list, number, text};
use super::{Bad, DropReason, Sink};

/// Makes all pairs of answers with different scores. Pairs with equal scores are dropped and
/// counted.
pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &["question", "answers"])?;
    let question = text(row, "question")?;
    let mut answers = Vec::new();
    for (i, answer) in list(row, "answers")?.iter().enumerate() {
        let answer = answer
            .as_object()
            .ok_or_else(|| Bad::fields(format!("`answers[{i}]` is not a JSON object")))?;
        answers.push((number(answer, "pm_score")?, text(answer, "text")?));
    }
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    if answers.len() < 2 {
        sink.drop_one(DropReason::NoComparison);
    }
    for (i, (better, chosen)) in answers.iter().enumerate() {
        for (worse, rejected) in &answers[i + 1..] {
            if better == worse {
                sink.drop_one(DropReason::EqualScores);
                continue;
            }
            let prompt = Prompt::Text(question.to_owned());
            let gap = Some(better - worse);
            sink.pair(prompt, (*chosen).to_owned(), (*rejected).to_owned(), gap);
        }
    }
    Ok(())
}
