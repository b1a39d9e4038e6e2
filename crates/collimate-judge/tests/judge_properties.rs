//! Properties of judging with noisy, biased and sometimes unreadable judges.

mod common;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use collimate_core::Key;
use collimate_eval::Bootstrap;
use collimate_judge::{
    AnswerPair, Cache, Item, JudgeError, JudgeOptions, LengthControl, Outcome, Record, Rubric,
    ScoreRange, Template, Unparsed, parse_verdict,
};
use common::{Toy, judge, lenient};
use proptest::prelude::*;

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// A judge of pairs with arbitrary but deterministic answers.
fn moody(prompt: &str) -> &'static str {
    let says = [
        "[[A]]",
        "[[A]]",
        "[[B]]",
        "[[C]]",
        "prose",
        "[[A]] [[B]]",
        "",
    ];
    says[(hash(prompt) % 7) as usize]
}

/// A judge of single answers with arbitrary but deterministic answers.
fn grumpy(prompt: &str, sample: usize) -> String {
    match hash((prompt, sample)) % 9 {
        score @ 0..=6 => format!("So.\nScore: {score}"),
        7 => "Score: 2\nScore: 3".to_owned(),
        _ => "prose".to_owned(),
    }
}

fn duels() -> impl Strategy<Value = Vec<AnswerPair>> {
    let answer = || prop::sample::select(vec!["yes", "no", "perhaps so", "[[A]]", "{answer_b}"]);
    let duel = (0_u8..4, answer(), answer());
    let duel = duel.prop_map(|(q, a, b)| AnswerPair::new(format!("question {q}"), a, b));
    prop::collection::vec(duel, 1..12)
}

fn turned(outcome: Option<Outcome>) -> Option<Outcome> {
    outcome.map(|outcome| match outcome {
        Outcome::Win => Outcome::Lose,
        Outcome::Tie => Outcome::Tie,
        Outcome::Lose => Outcome::Win,
    })
}

proptest! {
    #[test]
    fn exchanging_the_sides_turns_wins_into_losses(duels in duels(), seed in any::<u64>()) {
        let toy = Toy::new(|prompt: &str, _| moody(prompt));
        let judge = judge(&toy, lenient());
        let key = Key::new(seed, "judging");
        let compare = |duels: &[AnswerPair]| judge.compare(&Template::mt_bench_pair(), duels, key).unwrap();
        let forth = compare(&duels);
        let swapped: Vec<AnswerPair> = duels.iter().cloned().map(AnswerPair::swapped).collect();
        let back = compare(&swapped);
        let outcomes: Vec<_> = forth.record.outcomes.iter().copied().map(turned).collect();
        prop_assert_eq!(&back.record.outcomes, &outcomes);
        prop_assert_eq!(back.bias, forth.bias);
        prop_assert_eq!(&back.report, &forth.report);
        prop_assert_eq!(back.bias.parsed() + back.bias.unparsed, back.report.judgements / 2);
    }

    #[test]
    fn the_order_of_duels_does_not_matter(duels in duels(), turn in any::<prop::sample::Index>()) {
        let toy = Toy::new(|prompt: &str, _| moody(prompt));
        let judge = judge(&toy, lenient());
        let key = Key::new(3, "judging");
        let compare = |duels: &[AnswerPair]| judge.compare(&Template::mt_bench_pair(), duels, key).unwrap();
        let mut rotated = duels.clone();
        let by = turn.index(duels.len());
        rotated.rotate_left(by);
        let (mut plain, rotated) = (compare(&duels), compare(&rotated));
        plain.results.rotate_left(by);
        prop_assert_eq!(plain.results, rotated.results);
        prop_assert_eq!(plain.bias, rotated.bias);
        prop_assert_eq!(plain.record.counts(), rotated.record.counts());
        prop_assert_eq!(plain.report.parse_rate(), rotated.report.parse_rate());
    }

    /// Compares with a hand-written table of outcomes.
    #[test]
    fn outcomes_are_those_of_the_table(duels in duels()) {
        let toy = Toy::new(|prompt: &str, _| moody(prompt));
        let judge = judge(&toy, lenient());
        let comparison = judge.compare(&Template::mt_bench_pair(), &duels, Key::new(3, "j")).unwrap();
        let said: HashMap<(String, String, String), &str> = toy.prompts.lock().unwrap().iter().map(|prompt| {
            let question = common::between(prompt, "[User Question]\n", "\n\n[The Start").to_owned();
            let (first, second) = common::shown_pair(prompt);
            ((question, first.to_owned(), second.to_owned()), moody(prompt))
        }).collect();
        for (duel, result) in duels.iter().zip(&comparison.results) {
            let question = duel.a.prompt.to_plain();
            let (a, b) = (&duel.a.answer.text, &duel.b.answer.text);
            if a == b {
                prop_assert_eq!(result.outcome, Some(Outcome::Tie));
                continue;
            }
            let verdict = |first: &String, second: &String| {
                parse_verdict(&said[&(question.clone(), first.clone(), second.clone())].into()).ok()
            };
            use collimate_judge::Verdict::{A, B};
            let expected = match (verdict(a, b), verdict(b, a)) {
                (None, _) | (_, None) => None,
                (Some(A), Some(B)) => Some(Outcome::Win),
                (Some(B), Some(A)) => Some(Outcome::Lose),
                _ => Some(Outcome::Tie),
            };
            prop_assert_eq!(result.outcome, expected);
        }
    }

    #[test]
    fn grades_hold_what_the_votes_say(answers in prop::collection::vec("[a-c ]{1,3}", 1..10), samples in 1_usize..5) {
        let toy = Toy::new(grumpy);
        let options = JudgeOptions { samples, empty_answers: collimate_judge::EmptyAnswers::Judge, ..lenient() };
        let items: Vec<Item> = answers.iter().map(|a| Item::new("q", a.as_str())).collect();
        let grades = judge(&toy, options).grade(&Rubric::additive(), &items).unwrap();
        let rate = grades.report.parse_rate().unwrap();
        prop_assert!((0.0..=1.0).contains(&rate));
        prop_assert_eq!(grades.report.judgements, samples * items.len());
        let unparsed: usize = grades.report.unparsed.values().sum();
        prop_assert_eq!(grades.report.parsed + unparsed, grades.report.judgements);
        let report = &grades.report;
        prop_assert_eq!(report.generated + report.cached + report.repeated, report.judgements);
        prop_assert_eq!(report.generated, toy.written());
        for grade in &grades.grades {
            let parsed: Vec<f64> = grade.votes.iter().filter_map(|vote| vote.score).collect();
            prop_assert_eq!(grade.score.is_some(), !parsed.is_empty());
            if let Some(score) = grade.score {
                prop_assert_eq!(score, parsed.iter().sum::<f64>() / parsed.len() as f64);
                prop_assert!((0.0..=5.0).contains(&score));
            }
            prop_assert!(grade.votes.iter().all(|vote| vote.score.is_some() != vote.unparsed.is_some()));
        }
        // The bound is exact.
        let grade = |min_parse_rate| {
            let options = JudgeOptions { min_parse_rate, samples, empty_answers: collimate_judge::EmptyAnswers::Judge, ..JudgeOptions::default() };
            judge(&toy, options).grade(&Rubric::additive(), &items)
        };
        prop_assert!(grade(rate).is_ok());
        if rate < 1.0 {
            let refused = matches!(grade(rate + 1e-9), Err(JudgeError::ParseRate { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn a_cached_result_is_the_uncached_one(
        answers in prop::collection::vec("[a-c]{1,2}", 1..8),
        known in any::<prop::sample::Index>(),
        batch in 1_usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let toy = Toy::new(grumpy);
        let options = || JudgeOptions { batch, ..lenient() };
        let items: Vec<Item> = answers.iter().map(|a| Item::new("q", a.as_str())).collect();
        let plain = judge(&toy, options()).grade(&Rubric::additive(), &items).unwrap();
        let open = || Arc::new(Cache::open(folder.path().join("c.jsonl")).unwrap());
        // Some of the items are cached before.
        let some = &items[known.index(items.len())..];
        let first = judge(&toy, options()).with_cache(open());
        first.grade(&Rubric::additive(), some).unwrap();
        let second = judge(&toy, options()).with_cache(open());
        let cached = second.grade(&Rubric::additive(), &items).unwrap();
        prop_assert_eq!(&cached.grades, &plain.grades);
        prop_assert_eq!(cached.report.parsed, plain.report.parsed);
        let third = judge(&toy, options()).with_cache(open());
        prop_assert_eq!(third.grade(&Rubric::additive(), &items).unwrap().report.generated, 0);
    }

    #[test]
    fn nothing_that_a_judge_writes_makes_it_panic(text in "(?s).{0,60}", marks in "[\\[\\]0-9.A-C:Score \n-]{0,40}") {
        for text in [text, marks] {
            for rubric in [Rubric::additive(), Rubric::mt_bench()] {
                let parsed = rubric.format().parse(&text.as_str().into(), rubric.range());
                if let Ok(score) = parsed {
                    prop_assert!(rubric.range().contains(score));
                }
                let everything = ScoreRange { min: f64::MIN, max: f64::MAX };
                let wide = rubric.format().parse(&text.as_str().into(), everything);
                let outside = parsed == Err(Unparsed::OutOfRange);
                prop_assert!(parsed == wide || outside);
            }
            let _ = parse_verdict(&text.as_str().into());
        }
    }

    #[test]
    fn length_control_is_fair_to_both_sides(
        duels in prop::collection::vec((0_u8..3, -500_i32..500), 2..60),
        ridge in 0.001_f64..10.0,
    ) {
        let control = LengthControl { ridge };
        let forth: Vec<(f64, f64)> = duels.iter().map(|&(y, d)| (f64::from(y) / 2.0, f64::from(d))).collect();
        prop_assume!(forth.iter().any(|duel| duel.1 != forth[0].1));
        let back: Vec<(f64, f64)> = forth.iter().map(|&(y, d)| (1.0 - y, -d)).collect();
        let (forth, back) = (control.fit(&forth).unwrap(), control.fit(&back).unwrap());
        prop_assert!((forth.win_rate + back.win_rate - 1.0).abs() < 1e-9);
        prop_assert!((forth.length_weight - back.length_weight).abs() < 1e-8);
        prop_assert!(forth.win_rate > 0.0 && forth.win_rate < 1.0);
    }

    #[test]
    fn win_rates_count_ties_as_halves(outcomes in prop::collection::vec(0_u8..4, 1..40)) {
        let outcome = |&code: &u8| [None, Some(Outcome::Win), Some(Outcome::Tie), Some(Outcome::Lose)][usize::from(code)];
        let record = Record {
            outcomes: outcomes.iter().map(outcome).collect(),
            prompts: (0..outcomes.len()).map(|index| index / 2).collect(),
            length_differences: vec![0.0; outcomes.len()],
        };
        let counts = record.counts();
        prop_assert_eq!(counts.decided() + counts.undecided, outcomes.len());
        let bootstrap = Bootstrap { resamples: 200, ..Bootstrap::default() };
        match record.win_rate(&bootstrap, Key::new(1, "r")) {
            Ok(rate) => {
                let expected = (counts.win as f64 + 0.5 * counts.tie as f64) / counts.decided() as f64;
                prop_assert!((rate.interval.estimate - expected).abs() < 1e-12);
                prop_assert!(rate.interval.contains(rate.interval.estimate));
                let shares = counts.percentages().unwrap();
                prop_assert!((shares.iter().sum::<f64>() - 100.0).abs() < 1e-9);
            }
            Err(_) => prop_assert_eq!(counts.decided(), 0),
        }
    }
}
