//! A refused question stops no other question, and no written judgement is lost.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{
    Answers, Completion, GenerateError, Generator, Key, Prompt, Sampling, Scorer,
};
use collimate_judge::{
    AnswerPair, Cache, Item, JudgeError, JudgeOptions, JudgeScorer, Outcome, Rubric, Template,
    Unparsed, UnparsedPolicy,
};
use common::{judge, lenient};

const REASON: &str = "400: content_filter";

/// Refuses prompts with "fish". Writes one judgement for prompts with "half" and then refuses.
/// Loses its connection once it is asked about "down".
#[derive(Default)]
struct Picky {
    asked: AtomicUsize,
}

impl Picky {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Generator for Picky {
    fn generate(&self, _: &[Prompt], _: &Sampling) -> Result<Vec<Vec<Completion>>, GenerateError> {
        panic!("a judge asks by hand_out");
    }

    fn hand_out(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        take: &mut dyn FnMut(usize, Answers),
    ) -> Result<(), GenerateError> {
        let mut ended = Ok(());
        for (index, prompt) in prompts.iter().enumerate() {
            let text = prompt.to_plain();
            self.asked.fetch_add(1, Ordering::Relaxed);
            if text.contains("down") {
                ended = Err(GenerateError::Other("no connection".to_owned()));
                continue;
            }
            let written = match (text.contains("fish"), text.contains("half")) {
                (true, _) => 0,
                (_, true) => 1,
                _ => sampling.n,
            };
            let refused = (written < sampling.n).then(|| REASON.to_owned());
            let judgement = Completion::from("[[A]]\nScore: 4");
            let completions = vec![judgement; written];
            take(
                index,
                Answers {
                    completions,
                    refused,
                },
            );
        }
        ended
    }
}

fn items(answers: &[&str]) -> Vec<Item> {
    answers.iter().map(|&a| Item::new("q", a)).collect()
}

fn cache(folder: &Path) -> Arc<Cache> {
    Arc::new(Cache::open(folder.join("judge.jsonl")).unwrap())
}

#[test]
fn a_refused_question_has_no_score_and_the_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let picky = Picky::default();
    let items = items(&["cat", "fish", "dog", "fish"]);
    let judge = judge(&picky, JudgeOptions::default()).with_cache(cache(folder.path()));
    let grades = judge.grade(&Rubric::additive(), &items).unwrap();
    let scores: Vec<Option<f64>> = grades.grades.iter().map(|grade| grade.score).collect();
    assert_eq!(scores, [Some(4.0), None, Some(4.0), None]);
    let votes = &grades.grades[1].votes;
    assert_eq!(votes.len(), 3);
    assert_eq!(votes[0].unparsed, Some(Unparsed::Refused));
    assert_eq!(votes[0].text, REASON);
    let report = &grades.report;
    assert_eq!(
        (report.judgements, report.parsed, report.refused()),
        (12, 6, 6)
    );
    assert_eq!(
        (report.generated, report.cached, report.repeated),
        (6, 0, 3)
    );
    assert_eq!(report.refusal.as_deref(), Some(REASON));
    assert_eq!(report.example, None);
    // The next start asks only about the refused questions.
    let asked = picky.asked();
    let again = judge.grade(&Rubric::additive(), &items).unwrap();
    assert_eq!(picky.asked() - asked, 1);
    assert_eq!(again.grades, grades.grades);
    assert_eq!((again.report.generated, again.report.cached), (0, 6));
}

#[test]
fn what_arrived_before_an_error_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let picky = Picky::default();
    let run = |answers: &[&str]| {
        let judge = judge(&picky, lenient()).with_cache(cache(folder.path()));
        judge.grade(&Rubric::additive(), &items(answers))
    };
    let error = run(&["cat", "down", "fish", "dog", "half"]).unwrap_err();
    assert!(matches!(error, JudgeError::Generate(_)), "{error}");
    // Three judgements each of cat and dog, and one of half.
    assert_eq!(cache(folder.path()).len(), 7);
    let asked = picky.asked();
    let grades = run(&["cat", "dog", "half"]).unwrap();
    assert_eq!(picky.asked() - asked, 1);
    assert_eq!(grades.report.cached, 7);
    // The item had one judgement and now has a second one.
    let half: Vec<Option<Unparsed>> = grades.grades[2].votes.iter().map(|v| v.unparsed).collect();
    assert_eq!(half, [None, None, Some(Unparsed::Refused)]);
    assert_eq!(grades.grades[2].score, Some(4.0));
}

#[test]
fn a_duel_with_a_refused_order_has_no_outcome() {
    let picky = Picky::default();
    let duels = [
        AnswerPair::new("q", "cat", "dog"),
        AnswerPair::new("q", "cat", "fish"),
        AnswerPair::new("q", "bird", "dog"),
    ];
    let judge = judge(&picky, JudgeOptions::greedy());
    let key = Key::new(1, "judging");
    let found = judge.compare(&Template::mt_bench_pair(), &duels, key);
    let found = found.unwrap();
    let tie = Some(Outcome::Tie);
    assert_eq!(found.record.outcomes, [tie, None, tie]);
    assert_eq!((found.bias.first_shown, found.bias.unparsed), (2, 1));
    assert_eq!(found.report.unparsed[&Unparsed::Refused], 2);
}

#[test]
fn too_many_refusals_are_an_error_that_says_why() {
    let picky = Picky::default();
    let options = JudgeOptions {
        batch: 2,
        ..JudgeOptions::greedy()
    };
    let grade = |answers: &[&str], options: &JudgeOptions| {
        judge(&picky, options.clone()).grade(&Rubric::additive(), &items(answers))
    };
    // Most are refused, so the share is below min_parse_rate.
    let error = grade(&["cat", "fish", "fish 2"], &options).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            JudgeError::ParseRate {
                refused: 2,
                parsed: 1,
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("2 were refused") && text.contains(REASON),
        "{text}"
    );
    // The whole first batch is refused, so the rest is not asked.
    let fishes: Vec<String> = (0..20).map(|n| format!("fish {n}")).collect();
    let cats: Vec<String> = (0..40).map(|n| format!("cat {n}")).collect();
    let many: Vec<&str> = fishes.iter().chain(&cats).map(String::as_str).collect();
    let asked = picky.asked();
    let error = grade(&many, &options).unwrap_err();
    assert_eq!(picky.asked() - asked, 2);
    assert!(
        matches!(&error, JudgeError::Refused { questions: 2, reason } if reason == REASON),
        "{error}"
    );
    let accepting = JudgeOptions {
        min_parse_rate: 0.0,
        ..options
    };
    let grades = grade(&many, &accepting).unwrap();
    assert_eq!(grades.report.refused(), 20);
}

#[test]
fn a_refused_item_of_a_scorer_has_the_score_that_was_named() {
    let picky = Picky::default();
    let scored = |policy: UnparsedPolicy| {
        let judge = judge(&picky, lenient());
        let scorer = JudgeScorer::new(judge, Rubric::additive(), policy).unwrap();
        scorer.score(&[("q".into(), "cat".into()), ("q".into(), "fish".into())])
    };
    assert_eq!(scored(UnparsedPolicy::Score(-1.0)).unwrap(), [4.0, -1.0]);
    let error = scored(UnparsedPolicy::Refuse).unwrap_err().to_string();
    assert!(
        error.contains("item 1") && error.contains(REASON),
        "{error}"
    );
}
