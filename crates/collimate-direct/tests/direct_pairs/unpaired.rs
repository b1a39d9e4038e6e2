//! KTO and BCO on single completions.

use collimate_direct::{Reference, UnpairedExample, UnpairedObjective, pair_logps};
use collimate_losses::{Bco, Kto, UnpairedLoss};
use collimate_nn::Forward;
use collimate_train::metric_names as names;

use crate::setup::{config, model, near, pairs, plain, trace};

fn examples(count: usize, seed: u64) -> Vec<UnpairedExample> {
    pairs(count, seed)
        .iter()
        .flat_map(UnpairedExample::of_pair)
        .collect()
}

fn cut_does_not_matter<L: UnpairedLoss + Clone>(loss: L) {
    let start = model(1, &plain());
    let objective = UnpairedObjective::new(
        examples(8, 4),
        loss,
        Reference::Model(model(5, &plain())),
        64,
    )
    .unwrap();
    let traced = [names::LOSS, names::GRAD_NORM, names::KL];
    let run = |cut| trace(start.clone(), &objective, &config(4, cut), &traced).1;
    let (whole, alone) = (run(None), run(Some(1)));
    near("unpaired", &whole, &alone, 1e-4);
    assert!(
        whole.iter().any(|row| row[2] != 0.0),
        "the shift takes part: {whole:?}"
    );
}

#[test]
fn micro_batches_change_nothing() {
    // Values that depend on the whole batch are computed once for all micro-batches.
    cut_does_not_matter(Kto::default());
    cut_does_not_matter(Bco::default());
}

fn learns<L: UnpairedLoss>(loss: L) {
    let start = model(1, &plain());
    let objective =
        UnpairedObjective::new(examples(64, 2), loss, Reference::Model(start.clone()), 256)
            .unwrap();
    let (end, _) = trace(start.clone(), &objective, &config(80, None), &[names::LOSS]);
    let held_out = pairs(40, 9);
    let of = |m| pair_logps(m, &held_out, Forward::EVAL, 256).unwrap();
    let (policy, reference) = (of(&end), of(&start));
    let right = policy
        .iter()
        .zip(&reference)
        .filter(|(p, r)| p.chosen - r.chosen > p.rejected - r.rejected)
        .count();
    assert!(right > 36, "{right} of 40");
}

#[test]
fn both_learn_the_preference() {
    learns(Kto::default());
    learns(Bco::default());
}
