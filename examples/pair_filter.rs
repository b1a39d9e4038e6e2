//! The pair filters of self-evolved reward learning alone: scores in, pairs to train on out. Only
//! `collimate-status` is needed: no Burn, no model, no files.
//!
//! ```text
//! cargo run --example pair_filter
//! ```
//!
//! A simulated reward model scores both answers of 5,000 pairs, and orders about three of four right. Each filter
//! says which of its labels to keep.

use collimate::core::{Key, Purpose, Selection};
use collimate::status::{
    CalibratedConfig, CalibratedFilter, FilterConfig, PairCalibration, PairFilter, PairRule,
    ScoreCentre, StatusError,
};
use rand::{Rng, RngExt};

/// A pair: the true quality of both answers, and the scores that the reward model gives them.
struct Pair {
    quality: [f64; 2],
    scores: (f32, f32),
}

fn noise(rng: &mut impl Rng) -> f64 {
    (0..3).map(|_| rng.random_range(-1.0..1.0)).sum()
}

fn pairs(count: usize, stage: &str) -> Vec<Pair> {
    let mut rng = Key::new(0, stage).rng(Purpose::Data);
    let pair = |_| {
        let quality = [noise(&mut rng), noise(&mut rng)];
        let [first, second] = quality.map(|quality| (quality + noise(&mut rng)) as f32);
        Pair {
            quality,
            scores: (first, second),
        }
    };
    (0..count).map(pair).collect()
}

/// A line on the labels that a filter keeps.
fn report(name: &str, status: &str, pool: &[Pair], selection: &Selection) {
    let right = |kept: &&collimate::core::Kept| {
        let [first, second] = pool[kept.index].quality;
        // `swapped`: the second answer becomes the chosen one.
        (second > first) == kept.swapped
    };
    let kept = selection.kept.len();
    let precision = selection.kept.iter().filter(right).count() as f64 / kept.max(1) as f64;
    println!("{name:<12} {status:<22} {kept:>6} {precision:>10.3}");
}

fn main() -> Result<(), StatusError> {
    let pool = pairs(5_000, "pool");
    let scores: Vec<(f32, f32)> = pool.iter().map(|pair| pair.scores).collect();
    // A few pairs with human labels, which the reward model has not been trained on.
    let labelled = pairs(300, "labelled");

    println!(
        "{:<12} {:<22} {:>6} {:>10}",
        "filter", "status", "kept", "precision"
    );

    // A pairwise loss leaves the offset of scores free: the mean score of labelled answers is worth p = ½.
    let seed: Vec<f32> = labelled
        .iter()
        .flat_map(|p| [p.scores.0, p.scores.1])
        .collect();
    let centre = ScoreCentre::SeedMean.value(&seed)?;
    for (name, rule) in [
        ("unfiltered", PairRule::Unfiltered),
        ("paper", PairRule::default()),
    ] {
        let config = FilterConfig {
            rule,
            ..FilterConfig::default()
        };
        let decision = PairFilter::new(config, centre, pool.len())?.decide(&scores);
        let status = decision
            .status
            .map_or("none".to_owned(), |status| format!("{status:?}"));
        report(name, &status, &pool, &decision.selection);
    }

    // The paper's thresholds do not say how many labels are wrong. A calibration does: it turns the gap of two
    // scores into the probability that their order is right, from labels that the model has not seen.
    let gap = |pair: &Pair| {
        let gap = f64::from(pair.scores.0 - pair.scores.1);
        if pair.quality[0] > pair.quality[1] {
            gap
        } else {
            -gap
        }
    };
    let calibration = PairCalibration::fit(&labelled.iter().map(gap).collect::<Vec<_>>())?;
    for precision in [0.8, 0.9, 0.95] {
        let config = CalibratedConfig {
            precision,
            ..CalibratedConfig::default()
        };
        let decision = CalibratedFilter::new(config, calibration, pool.len())?.decide(&scores);
        let status = decision
            .status
            .map_or("none".to_owned(), |status| format!("{status:?}"));
        let name = format!("at {precision}");
        report(&name, &status, &pool, &decision.selection);
    }
    Ok(())
}
