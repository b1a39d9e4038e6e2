//! Effects of the annotator's three parameters.

use collimate_world::{AnnotatorConfig, World, WorldConfig, WorldPair};

const EXACT: AnnotatorConfig = AnnotatorConfig {
    temperature: 0.0,
    flip_rate: 0.0,
    length_bias: 0.0,
};

fn labelled_by(annotator: AnnotatorConfig) -> Vec<WorldPair> {
    World::new(&WorldConfig {
        pairs: 4_000,
        annotator,
        ..WorldConfig::default()
    })
    .unwrap()
    .train_pairs()
}

fn agreement(rows: &[WorldPair]) -> f64 {
    rows.iter().filter(|row| row.agrees()).count() as f64 / rows.len() as f64
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn longer_chosen(rows: &[WorldPair]) -> f64 {
    let lengths = rows
        .iter()
        .map(|row| (words(&row.pair.chosen.text), words(&row.pair.rejected.text)));
    let unequal: Vec<_> = lengths
        .filter(|(chosen, rejected)| chosen != rejected)
        .collect();
    unequal
        .iter()
        .filter(|(chosen, rejected)| chosen > rejected)
        .count() as f64
        / unequal.len() as f64
}

#[test]
fn a_cold_annotator_follows_the_gold_reward() {
    assert_eq!(agreement(&labelled_by(EXACT)), 1.0);
    let nearly = agreement(&labelled_by(AnnotatorConfig {
        temperature: 1e-4,
        ..EXACT
    }));
    assert_eq!(nearly, 1.0);
}

#[test]
fn the_flip_rate_is_the_share_of_wrong_labels_of_a_cold_annotator() {
    for flip_rate in [0.1, 0.3] {
        let wrong = 1.0 - agreement(&labelled_by(AnnotatorConfig { flip_rate, ..EXACT }));
        // Four standard deviations of a binomial share over 4,000 labels.
        let bound = 4.0 * (flip_rate * (1.0 - flip_rate) / 4_000.0_f64).sqrt();
        assert!((wrong - flip_rate).abs() < bound, "{wrong} for {flip_rate}");
    }
}

#[test]
fn labels_are_as_frequent_as_the_formula_says() {
    let annotator = AnnotatorConfig {
        temperature: 0.2,
        flip_rate: 0.1,
        length_bias: 0.1,
    };
    let rows = labelled_by(annotator);
    let (mut expected, mut variance) = (0.0, 0.0);
    for row in &rows {
        let chosen = (row.gold_chosen, words(&row.pair.chosen.text));
        let rejected = (row.gold_rejected, words(&row.pair.rejected.text));
        let (better, worse) = if row.agrees() {
            (chosen, rejected)
        } else {
            (rejected, chosen)
        };
        let longer = (better.1 as f64 - worse.1 as f64) / 10.0;
        let p = 1.0 / (1.0 + (-(better.0 - worse.0 + 0.1 * longer) / 0.2).exp());
        let p = 0.9 * p + 0.1 * (1.0 - p);
        assert!((p - annotator.preference(better, worse)).abs() < 1e-12);
        expected += p / rows.len() as f64;
        variance += p * (1.0 - p) / (rows.len() as f64).powi(2);
    }
    let measured = agreement(&rows);
    assert!(
        (measured - expected).abs() < 4.0 * f64::sqrt(variance),
        "{measured} {expected}"
    );
}

#[test]
fn length_bias_makes_the_longer_answer_win_more_often() {
    let share = |length_bias| {
        longer_chosen(&labelled_by(AnnotatorConfig {
            temperature: 0.1,
            length_bias,
            ..EXACT
        }))
    };
    let (averse, none, some, strong) = (share(-0.5), share(0.0), share(0.3), share(3.0));
    assert!(averse < none - 0.05, "{averse} {none}");
    assert!(some > none + 0.05, "{some} {none}");
    assert!(strong > 0.9, "{strong}");
}

#[test]
fn the_annotator_changes_labels_and_nothing_else() {
    let texts = |rows: Vec<WorldPair>| -> Vec<[String; 3]> {
        rows.into_iter()
            .map(|row| {
                let mut answers = [row.pair.chosen.text, row.pair.rejected.text];
                answers.sort();
                let [a, b] = answers;
                [row.pair.prompt.to_plain(), a, b]
            })
            .collect()
    };
    assert_eq!(
        texts(labelled_by(EXACT)),
        texts(labelled_by(AnnotatorConfig::default()))
    );
}

#[test]
fn the_default_annotator_is_wrong_about_one_label_in_six() {
    let share = agreement(&labelled_by(AnnotatorConfig::default()));
    assert!((0.79..0.86).contains(&share), "{share}");
}

#[test]
fn lists_of_answers_are_ranked_by_the_annotator() {
    let world = |annotator| {
        World::new(&WorldConfig {
            pairs: 300,
            annotator,
            ..WorldConfig::default()
        })
        .unwrap()
    };
    let (exact, noisy) = (world(EXACT), world(AnnotatorConfig::default()));
    let mut right = 0.0;
    for row in exact.train_pairs() {
        let prompt = row.pair.prompt.to_plain();
        let list = exact.ranked_answers(&prompt, 4).unwrap();
        assert_eq!(list, exact.ranked_answers(&prompt, 4).unwrap());
        assert_eq!((list.answers.len(), list.gold.len()), (4, 4));
        for i in 0..4 {
            assert_eq!(list.gold[i], exact.gold_reward(&prompt, &list.answers[i]));
            for j in 0..i {
                assert_ne!(list.answers[i], list.answers[j]);
                assert!((list.gold[i] - list.gold[j]).abs() >= 0.02);
                let better = list.gold[i] > list.gold[j];
                assert_eq!(better, list.ranks[i] < list.ranks[j]);
            }
        }
        // The annotator changes ranks and never texts.
        let other = noisy.ranked_answers(&prompt, 4).unwrap();
        assert_eq!(other.answers, list.answers);
        let pairs = (0..4).flat_map(|i| (0..i).map(move |j| (i, j)));
        right += pairs
            .filter(|&(i, j)| (list.ranks[i] < list.ranks[j]) == (other.ranks[i] < other.ranks[j]))
            .count() as f64
            / 6.0;
    }
    // About as often as the labels of pairs are right.
    let share = right / 300.0;
    assert!((0.75..0.92).contains(&share), "{share}");
    assert!(exact.ranked_answers("no prompt of this world", 4).is_none());
}
