//! Tests the session without files: order, repeats, sides, undo, resume, measurements.

use std::collections::{BTreeMap, HashMap, HashSet};

use collimate_core::{Completion, Prompt};
use collimate_label::{
    Choice, Event, LabelError, MAX_GAP, MIN_GAP, PairKey, PairSet, Session, SessionOptions,
    labeller_name,
};
use proptest::prelude::*;

/// A row of a file: prompt and two answers.
type Row = (Prompt, Completion, Completion);

fn row(i: usize) -> Row {
    let text = |what: &str| format!("{what} {i}");
    (
        text("question").into(),
        text("yes").into(),
        text("no").into(),
    )
}

fn session(pairs: usize, options: SessionOptions) -> Session {
    Session::new(PairSet::new((0..pairs).map(row)), options).unwrap()
}

fn with_repeats(repeat: f64, seed: u64) -> SessionOptions {
    SessionOptions {
        seed,
        repeat,
        limit: None,
    }
}

/// Returns everything that a labeller sees: the pair, the left answer, and whether the pair is a
/// repeat.
fn run_through(session: &mut Session, labeller: &str) -> Vec<(PairKey, String, bool)> {
    let mut seen = Vec::new();
    while let Some(shown) = session.next(labeller) {
        seen.push((shown.pair.key(), shown.left.to_owned(), shown.repeat));
        session.decide(labeller, Choice::Left, 1.0, 0).unwrap();
    }
    seen
}

/// Returns everything visible about a labeller.
fn view(session: &mut Session, name: &str) -> String {
    let shown = session.next(name);
    let next = shown.map(|s| (s.pair.key(), s.left.to_owned(), s.repeat));
    let labels = session.labels();
    let mut labels: Vec<String> = labels
        .iter()
        .filter(|label| label.labeller == name)
        .map(|label| format!("{label:?}"))
        .collect();
    // An undo of an early decision moves the label to the end.
    labels.sort();
    let numbers = (session.progress(name), session.measures(name));
    format!("{next:?} {numbers:?} {labels:?}")
}

/// Returns everything visible about a session.
fn snapshot(session: &mut Session, names: &[&str]) -> String {
    let views: Vec<String> = names.iter().map(|name| view(session, name)).collect();
    format!("{views:?} {:?} {:?}", session.labels(), session.summary())
}

proptest! {
    #[test]
    fn every_pair_once_and_repeats_apart(
        pairs in 1_usize..60, repeat in 0.0_f64..=1.0, seed in 100_u64..110,
    ) {
        let mut session = session(pairs, with_repeats(repeat, seed));
        let total = session.progress("anna").total;
        let seen = run_through(&mut session, "anna");
        prop_assert_eq!(seen.len(), total);
        let firsts: Vec<PairKey> = seen.iter().filter(|s| !s.2).map(|s| s.0).collect();
        prop_assert_eq!(firsts.len(), pairs);
        prop_assert_eq!(firsts.iter().collect::<HashSet<_>>().len(), pairs);
        let repeats: Vec<PairKey> = seen.iter().filter(|s| s.2).map(|s| s.0).collect();
        prop_assert_eq!(repeats.iter().collect::<HashSet<_>>().len(), repeats.len());
        // Half a pair may be rounded either way.
        let eligible = pairs.saturating_sub(MIN_GAP) as f64;
        let expected = (repeat * pairs as f64).min(eligible);
        prop_assert!((repeats.len() as f64 - expected).abs() <= 0.5);
        for (place, (key, _, repeat)) in seen.iter().enumerate() {
            if *repeat {
                let first = seen.iter().position(|s| s.0 == *key && !s.2).unwrap();
                prop_assert!(first < place);
                let between = seen[first + 1..place].iter().filter(|s| !s.2).count();
                prop_assert!((MIN_GAP..=MAX_GAP).contains(&between));
            }
        }
        let measures = session.measures("anna");
        prop_assert_eq!((measures.labels, measures.repeats), (pairs, repeats.len()));
        prop_assert_eq!(session.labels().len(), pairs);
    }

    /// Applies random decisions and undos of three labellers, interrupted anywhere.
    #[test]
    fn undo_restores_and_resume_is_the_uninterrupted_session(
        pairs in 1_usize..25,
        steps in prop::collection::vec((0_usize..3, 0_usize..7), 0..120),
        cut in 0_usize..120,
        seed in 100_u64..104,
    ) {
        let names = ["anna", "ben", "cleo"];
        let options = with_repeats(0.4, seed);
        let mut session = session(pairs, options);
        let mut events: Vec<Event> = Vec::new();
        let mut before: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let cut = cut.min(steps.len());
        let mut at_cut = snapshot(&mut session, &names);
        for (index, (who, what)) in steps.iter().enumerate() {
            let name = names[*who];
            let choice = [Choice::Left, Choice::Right, Choice::Tie, Choice::Skip].get(*what).copied();
            let here = view(&mut session, name);
            match choice {
                Some(choice) if session.next(name).is_some() => {
                    before.entry(name).or_default().push(here);
                    events.push(session.decide(name, choice, 0.5, index as u64).unwrap());
                }
                Some(_) => {
                    prop_assert!(session.decide(name, Choice::Left, 0.5, 0).is_err());
                }
                None => match before.get_mut(name).and_then(Vec::pop) {
                    Some(was) => {
                        events.push(session.undo(name, index as u64).unwrap());
                        prop_assert_eq!(view(&mut session, name), was);
                    }
                    None => prop_assert!(session.undo(name, 0).is_err()),
                },
            }
            if index + 1 == cut {
                at_cut = snapshot(&mut session, &names);
            }
        }
        // Sends every event through its line of the journal into a new session.
        let mut again = Session::new(session.pairs().clone(), options).unwrap();
        let mut seen_cut = snapshot(&mut again, &names) == at_cut;
        for event in &events {
            let line = serde_json::to_string(event).unwrap();
            let read: Event = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read, event);
            again.apply(&read).unwrap();
            seen_cut |= snapshot(&mut again, &names) == at_cut;
        }
        prop_assert!(seen_cut);
        prop_assert_eq!(snapshot(&mut again, &names), snapshot(&mut session, &names));
        prop_assert_eq!(session.labels().len(), naive_labels(&events));
    }

    #[test]
    fn the_order_of_two_answers_leaves_no_trace(
        pairs in 1_usize..20, swapped in prop::collection::vec(any::<bool>(), 20),
    ) {
        let rows: Vec<Row> = (0..pairs).map(row).collect();
        let turned = rows.iter().cloned().zip(swapped).map(|((p, a, b), turn)| match turn {
            true => (p, b, a),
            false => (p, a, b),
        });
        let options = SessionOptions::default();
        let mut one = Session::new(PairSet::new(rows.clone()), options).unwrap();
        let mut other = Session::new(PairSet::new(turned), options).unwrap();
        prop_assert_eq!(run_through(&mut one, "anna"), run_through(&mut other, "anna"));
    }
}

/// Counts labels by the plainest reading of a journal: decisions that were not taken back, first
/// decisions, choices.
fn naive_labels(events: &[Event]) -> usize {
    let mut stacks: HashMap<&str, Vec<&collimate_label::Decision>> = HashMap::new();
    for event in events {
        match event {
            Event::Begin { .. } => {}
            Event::Decision(decision) => {
                stacks.entry(&decision.labeller).or_default().push(decision);
            }
            Event::Undo { labeller, .. } => {
                stacks.get_mut(labeller.as_str()).unwrap().pop();
            }
        }
    }
    let choice = |d: &collimate_label::Decision| {
        !d.repeat && matches!(d.choice, Choice::Left | Choice::Right)
    };
    stacks
        .values()
        .map(|stack| stack.iter().copied().filter(|d| choice(d)).count())
        .sum()
}

#[test]
fn sides_are_drawn_for_each_showing() {
    let pairs = 400;
    let mut session = session(pairs, with_repeats(1.0, 100));
    let seen = run_through(&mut session, "anna");
    let mut sides: HashMap<PairKey, Vec<bool>> = HashMap::new();
    for (key, left, _) in &seen {
        sides.entry(*key).or_default().push(left.starts_with("yes"));
    }
    let twice: Vec<&Vec<bool>> = sides.values().filter(|s| s.len() == 2).collect();
    assert_eq!(twice.len(), pairs - MIN_GAP);
    let left = sides.values().filter(|s| s[0]).count() as f64;
    let turned = twice.iter().filter(|s| s[0] != s[1]).count() as f64;
    // Four standard deviations of a fair coin: 4 · √(400 / 4) = 40.
    assert!((left - 200.0).abs() < 40.0, "{left}");
    assert!((turned - 197.5).abs() < 40.0, "{turned}");
    // A labeller who always chooses the left side is as consistent as a coin.
    let consistency = session.measures("anna").consistency.unwrap();
    assert_eq!(consistency.of, twice.len());
    assert_eq!(consistency.count as f64, twice.len() as f64 - turned);
    let left = session.measures("anna").left.unwrap();
    assert_eq!(left.count, left.of);
}

/// A file may begin with the most useful pairs. A labeller who stops early has then labelled these.
#[test]
fn every_labeller_has_the_order_of_the_rows_and_sides_of_their_own() {
    let mut session = session(30, with_repeats(0.5, 100));
    let rows: Vec<PairKey> = (0..30)
        .map(|i| session.pairs().get(i).unwrap().key())
        .collect();
    let mut sides = HashSet::new();
    let mut repeats = HashSet::new();
    for name in ["anna", "ben"] {
        let seen = run_through(&mut session, name);
        let firsts = seen.iter().filter(|s| !s.2);
        let (keys, left): (Vec<PairKey>, Vec<String>) =
            firsts.map(|(key, left, _)| (*key, left.clone())).unzip();
        assert_eq!(keys, rows);
        sides.insert(left);
        let again = seen.iter().filter(|s| s.2).map(|s| s.0);
        repeats.insert(again.collect::<Vec<PairKey>>());
    }
    assert_eq!((sides.len(), repeats.len()), (2, 2));
}

#[test]
fn a_limit_takes_the_first_pairs_for_everybody() {
    let options = SessionOptions {
        limit: Some(7),
        repeat: 0.0,
        ..SessionOptions::default()
    };
    let mut session = session(30, options);
    let first: HashSet<PairKey> = (0..7)
        .map(|i| session.pairs().get(i).unwrap().key())
        .collect();
    for name in ["anna", "ben"] {
        let seen: HashSet<PairKey> = run_through(&mut session, name)
            .into_iter()
            .map(|s| s.0)
            .collect();
        assert_eq!(seen, first);
    }
    // With more pairs added later, the seven pairs stay decided.
    let mut more = Session::new(
        session.pairs().clone(),
        SessionOptions {
            limit: Some(12),
            ..options
        },
    )
    .unwrap();
    let mut again = self::session(30, options);
    while again.next("anna").is_some() {
        let event = again.decide("anna", Choice::Right, 1.0, 0).unwrap();
        more.apply(&event).unwrap();
    }
    assert_eq!(more.progress("anna").done, 7);
    assert_eq!(run_through(&mut more, "anna").len(), 5);
}

/// Decides every pair by a rule on the number in its prompt.
fn judge(session: &mut Session, name: &str, rule: impl Fn(usize) -> &'static str) {
    while let Some(shown) = session.next(name) {
        let prompt = shown.pair.prompt().to_plain();
        let number: usize = prompt.rsplit(' ').next().unwrap().parse().unwrap();
        let choice = match rule(number) {
            "tie" => Choice::Tie,
            "skip" => Choice::Skip,
            better if shown.left.starts_with(better) => Choice::Left,
            _ => Choice::Right,
        };
        session.decide(name, choice, 1.0, 0).unwrap();
    }
}

#[test]
fn agreement_counts_what_both_have_judged() {
    let mut session = session(8, with_repeats(0.0, 100));
    judge(&mut session, "anna", |i| {
        ["yes", "yes", "no", "tie", "tie", "skip", "yes", "skip"][i]
    });
    judge(&mut session, "ben", |i| {
        ["yes", "no", "no", "tie", "yes", "yes", "skip", "skip"][i]
    });
    let summary = session.summary();
    // Both labellers judge pairs 0 to 4. They agree on 0, 2 and 3.
    let share = summary.agreement.unwrap();
    assert_eq!((share.count, share.of), (3, 5));
    assert_eq!(summary.couples[0].labellers, ["anna", "ben"]);
    assert_eq!(
        (summary.all.labels, summary.all.ties, summary.all.skips),
        (9, 3, 4)
    );
    // If labellers contradict each other, each gets a row.
    let of_one: Vec<&str> = session
        .labels()
        .iter()
        .filter(|label| label.prompt.to_plain() == "question 1")
        .map(|label| label.chosen)
        .collect();
    assert_eq!(of_one, ["yes 1", "no 1"]);
    // Wilson's interval of 3 in 5 at 95 %: (0.6 + z²/10 ± z √(0.24/5 + z²/100)) / (1 + z²/5).
    let z: f64 = 1.959_963_984_540_054;
    let (middle, scale) = (0.6 + z * z / 10.0, 1.0 + z * z / 5.0);
    let half = z * (0.24 / 5.0 + z * z / 100.0).sqrt();
    assert!((share.interval.low - (middle - half) / scale).abs() < 1e-9);
    assert!((share.interval.high - (middle + half) / scale).abs() < 1e-9);
}

#[test]
fn only_the_first_decision_is_a_label_and_skips_are_not_repeated() {
    let mut session = session(12, with_repeats(1.0, 100));
    let mut first = true;
    while let Some(shown) = session.next("anna") {
        let yes_left = shown.left.starts_with("yes");
        // Chooses "yes" the first time and "no" the second; the very first pair is skipped.
        let choice = match (shown.repeat == yes_left, first) {
            (_, true) => Choice::Skip,
            (true, _) => Choice::Right,
            (false, _) => Choice::Left,
        };
        first = false;
        session.decide("anna", choice, 1.0, 0).unwrap();
    }
    let measures = session.measures("anna");
    assert_eq!((measures.labels, measures.skips), (11, 1));
    // Seven pairs are far enough from the end. The skipped one of them has no repeat.
    assert_eq!(measures.repeats, 12 - MIN_GAP - 1);
    assert_eq!(measures.consistency.unwrap().count, 0);
    assert!(
        session
            .labels()
            .iter()
            .all(|label| label.chosen.starts_with("yes"))
    );
    let progress = session.progress("anna");
    assert_eq!((progress.done, progress.total), (18, 18));
    assert_eq!(progress.undoable, 18);
}

/// Returns the reliability of a labeller who changes the first `changed` of the repeated decisions.
fn reliability(pairs: usize, changed: usize) -> Option<f64> {
    let mut session = session(pairs, with_repeats(1.0, 100));
    let mut to_change = changed;
    while let Some(shown) = session.next("anna") {
        let change = shown.repeat && to_change > 0;
        to_change -= usize::from(change);
        let choice = match shown.left.starts_with("yes") != change {
            true => Choice::Left,
            false => Choice::Right,
        };
        session.decide("anna", choice, 1.0, 0).unwrap();
    }
    let consistency = session.measures("anna").consistency.unwrap();
    let repeats = pairs - MIN_GAP;
    assert_eq!(
        (consistency.count, consistency.of),
        (repeats - changed, repeats)
    );
    let right = session.reliability()?;
    // Without an error, rounding may put the upper end below 1.
    assert!(0.5 < right.low && right.low <= right.estimate);
    assert!(right.estimate <= right.high + 1e-12);
    Some(right.estimate)
}

/// A decision that is right with probability c agrees with another one with probability
/// s = c² + (1 − c)².
#[test]
fn the_consistency_gives_the_reliability_of_a_label() {
    for changed in [0, 1, 2, 5] {
        let c = reliability(25, changed).unwrap();
        let s = 1.0 - changed as f64 / 20.0;
        assert!((c * c + (1.0 - c) * (1.0 - c) - s).abs() < 1e-12, "{c}");
    }
    // (1 + √(2 · 0.9 − 1)) / 2, and no error.
    assert!((reliability(25, 2).unwrap() - 0.947_213_595_5).abs() < 1e-9);
    assert_eq!(reliability(25, 0), Some(1.0));
    // Wilson's interval of 14 in 20 begins at 0.48, so the labeller may have tossed a coin.
    assert_eq!(reliability(25, 6), None);
    // 19 repeats are too few, even if all agree.
    assert_eq!(reliability(24, 0), None);
}

#[test]
fn the_median_is_the_middle_or_the_mean_of_two() {
    let mut session = session(4, with_repeats(0.0, 100));
    for (seconds, median) in [(5.0, 5.0), (1.0, 3.0), (2.0, 2.0), (9.0, 3.5)] {
        session.decide("anna", Choice::Tie, seconds, 0).unwrap();
        assert_eq!(session.measures("anna").median_seconds, Some(median));
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let new = |options| Session::new(PairSet::new((0..3).map(row)), options);
    let error = new(with_repeats(1.5, 0)).unwrap_err();
    assert_eq!(error.to_string(), "repeat is 1.5 but must be in [0, 1]");
    assert!(new(with_repeats(f64::NAN, 0)).is_err());
    let error = Session::new(PairSet::default(), SessionOptions::default()).unwrap_err();
    assert!(matches!(error, LabelError::NoPairs));
    let mut session = session(3, SessionOptions::default());
    for seconds in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(session.decide("anna", Choice::Left, seconds, 0).is_err());
    }
    let event = session.decide("anna", Choice::Left, 1.0, 0).unwrap();
    let twice = session.apply(&event).unwrap_err().to_string();
    assert!(twice.contains("anna decided pair"), "{twice}");
    let Event::Decision(decision) = event else {
        panic!("a decision");
    };
    let mut other = decision.clone();
    other.left = "0".repeat(16);
    let wrong = session.apply(&Event::Decision(other)).unwrap_err();
    assert!(
        wrong.to_string().contains("differ from this line"),
        "{wrong}"
    );
    for name in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(65)] {
        assert!(labeller_name(name).is_err(), "{name:?}");
    }
    assert_eq!(labeller_name(" Anna Ø ").unwrap(), "Anna Ø");
}

/// A changed value means that a labelling begun with an earlier version would continue with other
/// sides or repeats.
#[test]
fn value_stability() {
    let mut session = session(6, with_repeats(0.2, 42));
    let seen: Vec<String> = run_through(&mut session, "anna")
        .into_iter()
        .map(|(_, left, repeat)| format!("{left}{}", if repeat { " again" } else { "" }))
        .collect();
    assert_eq!(seen, STABLE);
}

const STABLE: [&str; 7] = [
    "no 0",
    "no 1",
    "no 2",
    "no 3",
    "yes 4",
    "yes 5",
    "yes 0 again",
];
