//! The likelihood anchor in training is logged, does not depend on the micro-batches, and has its
//! effect.

use burn::module::Module;
use collimate_core::Key;
use collimate_direct::{DirectObjective, Reference, pair_logps, targets};
use collimate_losses::{Anchored, Aot, Dpo, PreferenceLoss};
use collimate_nn::Forward;
use collimate_train::Objective;
use collimate_train::metric_names as names;

use crate::setup::{config, model, near, pairs, plain, trace};

fn anchored<L>(loss: L, alpha: f64) -> Anchored<L> {
    Anchored { loss, alpha }
}

#[test]
fn the_likelihood_is_logged_and_added() {
    let start = model(1, &plain());
    let (train, held_out) = (pairs(8, 2), pairs(6, 9));
    let of = |alpha: f64| {
        let reference = Reference::Model(start.clone());
        let loss = anchored(Dpo::default(), alpha);
        DirectObjective::new(train.clone(), held_out.clone(), loss, reference, 64).unwrap()
    };
    let examples: Vec<usize> = (0..8).collect();
    let tracked = start.clone().train();
    let total = |objective: &DirectObjective<_, _>| {
        objective.begin_step(&tracked, &examples).unwrap();
        let out = objective
            .forward(&tracked, &examples, Key::new(0, "x"))
            .unwrap();
        let nll = out
            .metrics
            .iter()
            .find(|(name, ..)| *name == names::NLL_LOSS);
        let loss: f64 = out.loss_sum.inner().into_data().iter::<f64>().sum();
        (loss, nll.map(|(_, sum, weight)| sum / weight))
    };
    let mean = |rows: &[collimate_data::TokenizedPair]| {
        let logps = pair_logps(&start, rows, Forward::EVAL, 1000).unwrap();
        let each = rows.iter().zip(&logps).map(|(pair, logp)| {
            -f64::from(logp.chosen) / targets(&pair.prompt, &pair.chosen) as f64
        });
        each.sum::<f64>() / rows.len() as f64
    };
    let (bare, none) = total(&of(0.0));
    assert_eq!(none, None);
    let (loss, nll) = total(&of(0.5));
    let expected = mean(&train);
    assert!((nll.unwrap() - expected).abs() < 1e-5, "{nll:?} {expected}");
    assert!(
        (loss - bare - 0.5 * 8.0 * expected).abs() < 1e-4,
        "{loss} {bare}"
    );
    let evaluation = of(0.5).evaluate(&start).unwrap().unwrap();
    assert!((evaluation.metrics[names::NLL_LOSS] - mean(&held_out)).abs() < 1e-5);
    let plain = of(0.0).evaluate(&start).unwrap().unwrap();
    assert!(!plain.metrics.contains_key(names::NLL_LOSS));
    let risen = evaluation.metrics[names::LOSS] - plain.metrics[names::LOSS];
    assert!((risen - 0.5 * mean(&held_out)).abs() < 1e-5);
}

#[test]
fn a_step_in_parts_is_the_same_step() {
    let start = model(1, &plain());
    for loss in [
        PreferenceLoss::default(),
        PreferenceLoss::Aot(Aot::default()),
    ] {
        let loss = anchored(loss, 0.5);
        let reference = Reference::Model(model(5, &plain()));
        let objective = DirectObjective::new(pairs(8, 4), vec![], loss, reference, 20).unwrap();
        let traced = [names::LOSS, names::GRAD_NORM, names::NLL_LOSS];
        let run = |cut| trace(start.clone(), &objective, &config(3, cut), &traced).1;
        near("in parts", &run(Some(25)), &run(None), 1e-5);
    }
}

#[test]
fn chosen_answers_stay_likely() {
    let start = model(1, &plain());
    let end = |alpha: f64| {
        let train = pairs(16, 2);
        let reference = Reference::Model(start.clone());
        let loss = anchored(
            Dpo {
                beta: 0.1,
                ..Dpo::default()
            },
            alpha,
        );
        let objective = DirectObjective::new(train.clone(), vec![], loss, reference, 64).unwrap();
        let (end, _) = trace(start.clone(), &objective, &config(30, None), &[names::LOSS]);
        let logps = pair_logps(&end, &train, Forward::EVAL, 1000).unwrap();
        logps.iter().map(|logp| f64::from(logp.chosen)).sum::<f64>() / 16.0
    };
    let (free, held) = (end(0.0), end(1.0));
    assert!(held > free + 0.5, "{held} {free}");
}
