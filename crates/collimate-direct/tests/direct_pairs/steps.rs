//! A step does not depend on its micro-batches, even for losses that look across pairs and with
//! dropout.

use collimate_core::Key;
use collimate_direct::{
    DirectObjective, Reference, UnpairedExample, UnpairedObjective, pair_logps,
};
use collimate_lm::Llama;
use collimate_losses::{
    Aot, AotPairing, Bco, BcoShift, DirectLoss, Kto, PreferenceLoss, UnpairedLoss,
};
use collimate_nn::{Adaptable, Forward, LoraConfig};
use collimate_train::Objective;
use collimate_train::metric_names as names;

use crate::setup::{config, model, near, pairs, plain, trace};

/// Returns every loss, and the options that look across pairs.
fn losses() -> Vec<PreferenceLoss> {
    let mut losses = PreferenceLoss::all();
    losses.push(PreferenceLoss::Aot(Aot {
        pairing: AotPairing::Unpaired,
        ..Aot::default()
    }));
    losses.push(PreferenceLoss::Bco(Bco {
        shift: BcoShift::BatchMean,
        ..Bco::default()
    }));
    losses
}

/// Returns the same policy with all weights trained, and with adapters that drop half of their
/// input.
fn policies() -> [(&'static str, Llama); 2] {
    let lora = LoraConfig {
        dropout: 0.5,
        ..LoraConfig::default()
    };
    let start = model(1, &plain());
    let adapted = start.clone().with_lora(&lora, Key::new(2, "lora")).unwrap();
    [("all weights", start), ("dropout", adapted)]
}

/// Micro-batches of one pair (8 × 1), of about two pairs, and of about four pairs.
const BUDGETS: [usize; 3] = [1, 25, 50];

/// Compares three whole steps with the same steps in micro-batches: loss, gradient norm and the
/// log-probabilities after them.
fn same_steps<O: Objective<Model = Llama>>(what: &str, start: &Llama, objective: &O) {
    let held_out = pairs(6, 11);
    let traced = [names::LOSS, names::GRAD_NORM];
    let run = |cut| {
        let (end, rows) = trace(start.clone(), objective, &config(3, cut), &traced);
        let logps = pair_logps(&end, &held_out, Forward::EVAL, 1000).unwrap();
        let column =
            |l: &collimate_direct::PairLogp| vec![f64::from(l.chosen), f64::from(l.rejected)];
        (rows, logps.iter().map(column).collect::<Vec<_>>())
    };
    let (whole, weights) = run(None);
    for budget in BUDGETS {
        let (parts, moved) = run(Some(budget));
        near(
            &format!("{what} in parts of {budget}: first step"),
            &parts[..1],
            &whole[..1],
            1e-6,
        );
        near(
            &format!("{what} in parts of {budget}"),
            &parts,
            &whole,
            1e-5,
        );
        near(
            &format!("{what} in parts of {budget}: weights"),
            &moved,
            &weights,
            1e-5,
        );
    }
}

#[test]
fn every_loss_sees_the_whole_step() {
    for (kind, start) in policies() {
        for loss in losses() {
            let reference = Reference::Model(model(5, &plain()));
            // A small pack, so that the pass over the whole step is cut too.
            let objective = DirectObjective::new(pairs(8, 4), vec![], loss, reference, 20).unwrap();
            same_steps(&format!("{} with {kind}", loss.name()), &start, &objective);
        }
    }
}

#[test]
fn losses_on_single_completions_see_the_whole_step() {
    fn check<L: UnpairedLoss + Clone>(loss: L) {
        for (kind, start) in policies() {
            let train: Vec<_> = pairs(8, 4)
                .iter()
                .flat_map(UnpairedExample::of_pair)
                .collect();
            let reference = Reference::Model(model(5, &plain()));
            let what = format!("{} with {kind}", loss.name());
            let objective = UnpairedObjective::new(train, loss.clone(), reference, 20).unwrap();
            same_steps(&what, &start, &objective);
        }
    }
    check(Kto::default());
    check(Bco::default());
}

#[test]
fn adapters_off_are_a_reference_for_the_whole_step_too() {
    let [_, (_, start)] = policies();
    let loss = Aot::default();
    let objective =
        DirectObjective::new(pairs(8, 4), vec![], loss, Reference::AdaptersOff, 64).unwrap();
    same_steps("adapters off", &start, &objective);
}

#[test]
fn half_of_the_input_is_dropped() {
    // Without an effect of dropout, the tests above would prove nothing.
    let [_, (_, start)] = policies();
    use burn::module::Module;
    let objective = DirectObjective::new(
        pairs(8, 4),
        vec![],
        PreferenceLoss::default(),
        Reference::Model(model(5, &plain())),
        64,
    )
    .unwrap();
    let all: Vec<usize> = (0..8).collect();
    let trained = trace(start, &objective, &config(2, None), &[names::LOSS])
        .0
        .train();
    let loss = |key: u64| -> Vec<f64> {
        let key = Key::new(key, "x");
        let out = objective.forward(&trained, &all, key).unwrap();
        out.loss_sum.inner().into_data().iter().collect()
    };
    assert_eq!(loss(1), loss(1));
    assert_ne!(loss(1), loss(2));
}

#[test]
fn a_part_of_a_step_that_never_began_is_refused() {
    use burn::module::Module;
    let reference = Reference::Model(model(5, &plain()));
    let objective =
        DirectObjective::new(pairs(8, 4), vec![], Aot::default(), reference, 64).unwrap();
    let start = model(1, &plain()).train();
    objective.begin_step(&start, &[0, 1, 2, 3]).unwrap();
    let error = objective.forward(&start, &[4, 5], Key::new(0, "x")).err();
    let message = error.unwrap().to_string();
    assert!(
        message.contains("aot looks across the pairs of an optimiser step"),
        "{message}"
    );
}

#[test]
fn another_fingerprint_for_other_data_loss_or_reference() {
    let of = |train: u64, held_out: u64, loss: PreferenceLoss, reference: Reference<Llama>| {
        let objective =
            DirectObjective::new(pairs(8, train), pairs(4, held_out), loss, reference, 64);
        objective.unwrap().fingerprint()
    };
    let reference = |seed| Reference::Model(model(seed, &plain()));
    let dpo = PreferenceLoss::default();
    let all = [
        of(1, 2, dpo, reference(5)),
        of(3, 2, dpo, reference(5)),
        of(1, 3, dpo, reference(5)),
        of(1, 2, dpo.with_beta(0.2), reference(5)),
        of(1, 2, dpo, reference(6)),
        of(1, 2, dpo, Reference::AdaptersOff),
    ];
    let mut different = all.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), all.len());
    assert_eq!(of(1, 2, dpo, reference(5)), all[0]);
}
