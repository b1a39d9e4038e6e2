//! Learning without a neural network: a linear Bradley–Terry model on words learns from the pairs,
//! and clearly more from all labels than from 15 % of them. An experiment with few labels needs this.

use std::collections::{HashMap, HashSet};

use collimate_world::{World, WorldConfig, WorldPair};

/// Returns the features of chosen minus those of rejected: words, pairs of neighbours, the last
/// word, the length, and the share that is repeated or taken from the prompt.
fn difference(
    row: &WorldPair,
    index: &mut HashMap<String, usize>,
    grow: bool,
) -> Vec<(usize, f64)> {
    let prompt = row.pair.prompt.to_plain();
    let prompt: HashSet<&str> = prompt.split(' ').skip(3).collect();
    let mut counts: HashMap<usize, f64> = HashMap::new();
    for (text, sign) in [
        (&row.pair.chosen.text, 1.0),
        (&row.pair.rejected.text, -1.0),
    ] {
        let words: Vec<&str> = text.split(' ').collect();
        let distinct: HashSet<&str> = words.iter().copied().collect();
        let mut named = vec![
            (format!("last {}", words[words.len() - 1]), 1.0),
            ("#length".to_owned(), words.len() as f64 / 10.0),
            (
                "#repeated".to_owned(),
                (words.len() - distinct.len()) as f64,
            ),
            (
                format!("#copied {}", row.task.name()),
                distinct.intersection(&prompt).count() as f64,
            ),
        ];
        named.extend(words.iter().map(|word| ((*word).to_owned(), 1.0)));
        named.extend(words.windows(2).map(|two| (two.join(" "), 0.5)));
        for (name, value) in named {
            let next = index.len();
            let at = match index.get(&name) {
                Some(&at) => at,
                None if grow => *index.entry(name).or_insert(next),
                None => continue,
            };
            *counts.entry(at).or_insert(0.0) += sign * value;
        }
    }
    let mut features: Vec<(usize, f64)> = counts.into_iter().filter(|(_, v)| *v != 0.0).collect();
    // A map's order differs from run to run, and with it the rounding of sums.
    features.sort_by_key(|(at, _)| *at);
    features
}

/// Returns the test accuracy of the ridge-penalised logistic fit.
fn accuracy(train: &[WorldPair], test: &[WorldPair]) -> f64 {
    let mut index = HashMap::new();
    let rows: Vec<_> = train
        .iter()
        .map(|row| difference(row, &mut index, true))
        .collect();
    let mut weights = vec![0.0; index.len()];
    let mut squares = vec![1e-8; index.len()];
    for _ in 0..150 {
        let mut gradient: Vec<f64> = weights.iter().map(|w| 5.0 * w).collect();
        for row in &rows {
            let margin: f64 = row.iter().map(|&(at, value)| weights[at] * value).sum();
            let slope = -1.0 / (1.0 + f64::exp(margin));
            for &(at, value) in row {
                gradient[at] += slope * value;
            }
        }
        for ((weight, square), g) in weights.iter_mut().zip(&mut squares).zip(gradient) {
            *square += g * g;
            *weight -= 0.3 * g / square.sqrt();
        }
    }
    let right = test.iter().filter(|row| {
        let features = difference(row, &mut index, false);
        features
            .iter()
            .map(|&(at, value)| weights[at] * value)
            .sum::<f64>()
            > 0.0
    });
    right.count() as f64 / test.len() as f64
}

#[test]
fn few_labels_teach_clearly_less_than_all() {
    let world = World::new(&WorldConfig::default()).unwrap();
    let (train, test) = (world.train_pairs(), world.test_pairs());
    // The reward-model part of 0.30 : 0.65 : 0.05.
    let part = &train[1_800..5_700];
    let few = accuracy(&part[..585], &test);
    let all = accuracy(part, &test);
    println!("15 % of the labels {few:.4}, all labels {all:.4}");
    assert!(few > 0.70, "few labels: {few}");
    assert!(all > 0.81, "all labels: {all}");
    assert!(all > few + 0.05, "few labels: {few}, all labels: {all}");
}
