//! Refused inputs, and the error messages.

use burn::module::Module;
use collimate_core::Key;
use collimate_direct::{DirectObjective, PairLogp, Reference, UnpairedExample, UnpairedObjective};
use collimate_lm::Llama;
use collimate_losses::{Dpo, Kto, PreferenceLoss, SimPo};
use collimate_train::{FitContext, Objective, fit};

use crate::setup::{config, model, pairs, plain};

fn message<L: collimate_losses::DirectLoss>(
    loss: L,
    rows: Vec<collimate_data::TokenizedPair>,
    reference: Reference<Llama>,
) -> String {
    match DirectObjective::new(rows, vec![], loss, reference, 64) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_does_not_fit_together() {
    let rows = || pairs(3, 1);
    let text = message(Dpo::default(), rows(), Reference::None);
    assert!(
        text.starts_with("dpo compares with a reference model: give a reference model"),
        "{text}"
    );
    assert!(
        DirectObjective::<Llama, _>::new(rows(), vec![], SimPo::default(), Reference::None, 64)
            .is_ok()
    );
    let bad = Dpo {
        beta: 0.0,
        ..Dpo::default()
    };
    assert!(message(bad, rows(), Reference::AdaptersOff).contains("dpo: beta is 0"));
    let logp = PairLogp {
        chosen: -1.0,
        rejected: -2.0,
    };
    let few = Reference::Logps {
        train: vec![logp; 2],
        held_out: vec![],
    };
    let text = message(Dpo::default(), rows(), few);
    assert!(
        text.contains("2 reference log-probabilities were given for 3 training pairs"),
        "{text}"
    );
    let nan = PairLogp {
        rejected: f32::NAN,
        ..logp
    };
    let broken = Reference::Logps {
        train: vec![logp, logp, nan],
        held_out: vec![],
    };
    let text = message(Dpo::default(), rows(), broken);
    assert!(text.contains("of training pair 2 are not finite"), "{text}");
    let mut empty = rows();
    empty[1].rejected.clear();
    let text = message(Dpo::default(), empty, Reference::AdaptersOff);
    assert!(
        text.contains("training pair 1 has a completion without tokens"),
        "{text}"
    );
}

#[test]
fn adapters_that_are_not_there() {
    // Policy and reference would be the same model, so the loss could never change.
    let objective = DirectObjective::new(
        pairs(8, 1),
        vec![],
        Dpo::default(),
        Reference::AdaptersOff,
        64,
    )
    .unwrap();
    let fitted = fit(
        model(1, &plain()),
        &objective,
        &config(1, None),
        &FitContext::silent(),
    );
    let text = fitted.err().unwrap().to_string();
    assert!(text.contains("the policy has no adapters"), "{text}");
}

#[test]
fn sequences_that_the_model_cannot_take() {
    let mut rows = pairs(8, 1);
    rows[5].chosen = vec![6; 40];
    let objective =
        DirectObjective::new(rows, vec![], SimPo::default(), Reference::None, 64).unwrap();
    let policy = model(1, &plain()).train();
    let text = objective
        .forward(&policy, &[4, 5], Key::new(0, "x"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        text.contains("training pair 5: ") && text.contains("at most 24"),
        "{text}"
    );
}

#[test]
fn log_probabilities_that_are_not_finite_stop_the_run() {
    let objective = DirectObjective::new(
        pairs(8, 1),
        vec![],
        PreferenceLoss::default(),
        Reference::Model(model(2, &plain())),
        64,
    )
    .unwrap();
    let wild = collimate_train::TrainConfig {
        learning_rate: 1.0,
        max_grad_norm: None,
        ..config(200, None)
    };
    let nan = model(1, &plain()).map(&mut Poison);
    let text = fit(nan, &objective, &wild, &FitContext::silent())
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("step 1: the loss is NaN"), "{text}");
}

/// Turns every weight into NaN.
struct Poison;

impl burn::module::ModuleMapper for Poison {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<burn::tensor::Tensor<D>>,
    ) -> burn::module::Param<burn::tensor::Tensor<D>> {
        param.map(|tensor| tensor.mul_scalar(f32::NAN))
    }
}

#[test]
fn unpaired_wants_a_live_reference() {
    let rows = || -> Vec<UnpairedExample> {
        pairs(3, 1)
            .iter()
            .flat_map(UnpairedExample::of_pair)
            .collect()
    };
    let text = |reference: Reference<Llama>| {
        UnpairedObjective::new(rows(), Kto::default(), reference, 64)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(text(Reference::None).contains("kto compares with a reference"));
    let file = Reference::Logps {
        train: vec![],
        held_out: vec![],
    };
    assert!(text(file).contains("give a reference model, not a file"));
    let objective =
        UnpairedObjective::new(rows(), Kto::default(), Reference::AdaptersOff, 64).unwrap();
    let policy = model(1, &plain()).train();
    let error = objective.begin_step(&policy, &[0, 1, 2]).unwrap_err();
    assert!(error.to_string().contains("no adapters"), "{error}");
}
