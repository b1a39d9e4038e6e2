//! A step in Burn's Learner equals a step of collimate's own loop on the same batch.

use std::fmt::Debug;

use burn::module::{Module, ModuleDisplay};
use burn_train::{InferenceStep, TrainStep};
use collimate_core::Key;
use collimate_direct::{DirectObjective, Reference, SftObjective, pair_logps};
use collimate_learner::{DirectTask, Losses, ReferencedPair, RewardTask, SftTask, Task, Trainee};
use collimate_losses::{Aot, AotPairing, Bco, BcoShift, Dpo, PairwiseLoss, PreferenceLoss, SimPo};
use collimate_nn::Forward;
use collimate_reward::RewardObjective;
use collimate_testkit::host;
use collimate_train::{FitContext, Objective, TrainConfig, fit, metric_names as names};

use crate::setup::{adapted, by_path, examples, mean, model, pairs, reward_model};

fn trainee<M: Module + ModuleDisplay, T: Task<M>>(model: M, task: T) -> Trainee<M, T> {
    Trainee::new(model, task, Key::new(0, "learner")).unwrap()
}

/// Compares loss and gradients of a step through the adapter and through the objective, bit by bit,
/// and with the log of `fit` for its first step.
fn check<O, T>(what: &str, model: O::Model, objective: &O, task: T, items: Vec<T::Item>)
where
    O: Objective<Model: ModuleDisplay + Clone + Debug>,
    T: Task<O::Model>,
{
    let trainee = trainee(model.clone(), task);
    let out = TrainStep::step(&trainee, items.clone());
    let found = by_path(&trainee.model, &out.grads);

    let all: Vec<usize> = (0..items.len()).collect();
    let weight = objective.weight(&all);
    let forwarded = objective
        .forward(&trainee.model, &all, Key::new(0, "x"))
        .unwrap();
    let sum = f64::from(host(&forwarded.loss_sum)[0]);
    let losses = out.item.losses();
    assert_eq!(losses.dims()[0] as f64, weight, "{what}: what is averaged");
    assert_eq!(f64::from(host(&losses.sum())[0]), sum, "{what}: the loss");
    let grads = forwarded.loss_sum.div_scalar(weight).backward();
    let wanted = by_path(&trainee.model, &grads);
    assert!(wanted.values().flatten().any(|&g| g != 0.0), "{what}");
    assert_eq!(found, wanted, "{what}: the gradients");

    let config = TrainConfig {
        batch_size: items.len(),
        max_steps: Some(1),
        ..Default::default()
    };
    let fitted = fit(model, objective, &config, &FitContext::silent()).unwrap();
    let near = |name: &str, value: f64| {
        let logged = fitted.metrics[name];
        let far = (logged - value).abs() / logged.abs().max(1.0);
        assert!(far < 1e-5, "{what}: {name} {logged} is not {value}");
    };
    near(names::LOSS, mean(&out.item));
    let square = |g: &f32| f64::from(*g).powi(2);
    near(
        names::GRAD_NORM,
        found.values().flatten().map(square).sum::<f64>().sqrt(),
    );
}

#[test]
fn fine_tuning_equals_the_objective() {
    let rows = examples(7, 1);
    let objective = SftObjective::new(rows.clone(), vec![], 64).unwrap();
    check("sft", model(1), &objective, SftTask, rows);
}

#[test]
fn a_reward_step_equals_the_objective() {
    for loss in [
        PairwiseLoss::default(),
        PairwiseLoss::Hinge { margin: 0.5 },
        PairwiseLoss::Logistic {
            margin: 0.1,
            center_coefficient: 0.01,
        },
    ] {
        let rows = pairs(6, 2);
        let objective = RewardObjective::new(rows.clone(), vec![], loss, 64).unwrap();
        let task = RewardTask::new(loss).unwrap();
        check(
            &format!("{loss:?}"),
            reward_model(1),
            &objective,
            task,
            rows,
        );
    }
}

#[test]
fn every_direct_loss_equals_the_objective() {
    let mut losses = PreferenceLoss::all();
    losses.push(PreferenceLoss::Aot(Aot {
        pairing: AotPairing::Unpaired,
        ..Aot::default()
    }));
    losses.push(PreferenceLoss::Bco(Bco {
        shift: BcoShift::BatchMean,
        ..Bco::default()
    }));
    for loss in losses {
        let (rows, reference) = (pairs(8, 3), || Reference::Model(model(5)));
        let objective = DirectObjective::new(rows.clone(), vec![], loss, reference(), 64).unwrap();
        let task = DirectTask::new(loss, reference()).unwrap();
        let items = rows.into_iter().map(ReferencedPair::from).collect();
        check(&format!("{loss:?}"), model(1), &objective, task, items);
    }
}

#[test]
fn adapters_off_equals_the_objective() {
    let (rows, loss) = (pairs(8, 3), Dpo::default());
    let reference = Reference::AdaptersOff;
    let objective = DirectObjective::new(rows.clone(), vec![], loss, reference, 64).unwrap();
    let task = DirectTask::new(loss, Reference::AdaptersOff).unwrap();
    let items = rows.into_iter().map(ReferencedPair::from).collect();
    check("adapters", adapted(1, 0.0), &objective, task, items);
}

#[test]
fn logps_that_pairs_bring_along_equal_a_live_reference() {
    let (policy, reference) = (model(1), model(5));
    let rows = pairs(8, 3);
    let logps = pair_logps(&reference, &rows, Forward::EVAL, 1000).unwrap();
    let brought: Vec<_> = rows
        .iter()
        .cloned()
        .zip(logps)
        .map(|(pair, logp)| ReferencedPair::new(pair, logp))
        .collect();
    let bare: Vec<_> = rows.into_iter().map(ReferencedPair::from).collect();
    let losses = |reference, items: &[ReferencedPair]| {
        let task = DirectTask::new(Dpo::default(), reference).unwrap();
        let out = InferenceStep::step(&trainee(policy.clone(), task), items.to_vec());
        host(&out.loss)
    };
    let live = losses(Reference::Model(reference.clone()), &bare);
    assert!(
        live.iter()
            .all(|l| (l - std::f32::consts::LN_2).abs() > 1e-4)
    );
    assert_eq!(losses(Reference::None, &brought), live);
    // Pairs of one batch are not compared with two references.
    let mut mixed = brought;
    mixed[2].reference = None;
    let other = Reference::Model(policy.clone());
    let own = losses(other, &mixed);
    assert!(
        own.iter()
            .all(|l| (l - std::f32::consts::LN_2).abs() < 1e-6)
    );
}

#[test]
fn a_loss_without_reference_looks_at_none() {
    let (policy, rows) = (model(1), pairs(4, 3));
    let task = DirectTask::new(SimPo::default(), Reference::Model(model(5))).unwrap();
    assert!(format!("{task:?}").contains("reference: None"));
    let items = rows.into_iter().map(ReferencedPair::from).collect();
    TrainStep::step(&trainee(policy, task), items);
}

#[test]
fn validation_makes_no_graph() {
    let (rows, loss) = (pairs(4, 2), PairwiseLoss::default());
    let reward = trainee(reward_model(1), RewardTask::new(loss).unwrap());
    let out = InferenceStep::step(&reward, rows.clone());
    for tensor in [out.loss, out.chosen_rewards, out.rejected_rewards] {
        assert!(!tensor.is_autodiff() && !tensor.is_tracked());
    }
    let task = DirectTask::new(Dpo::default(), Reference::Model(model(5))).unwrap();
    let items: Vec<_> = rows.into_iter().map(ReferencedPair::from).collect();
    let out = InferenceStep::step(&trainee(model(1), task), items);
    for tensor in [out.loss, out.chosen_rewards, out.rejected_rewards] {
        assert!(!tensor.is_autodiff() && !tensor.is_tracked());
    }
    let out = InferenceStep::step(&trainee(model(1), SftTask), examples(4, 1));
    assert!(!out.loss.is_autodiff() && !out.loss.is_tracked());
}

#[test]
fn dropout_is_new_in_each_step_and_off_in_validation() {
    let rows = examples(6, 1);
    let run = || {
        let mut model = adapted(1, 0.5);
        // At the start an adapter adds nothing, whatever is dropped out.
        model = shift(model);
        trainee(model, SftTask)
    };
    let one = run();
    let losses = [0, 1].map(|_| mean(&TrainStep::step(&one, rows.clone()).item));
    assert_ne!(losses[0], losses[1]);
    let again = run();
    assert_eq!(mean(&TrainStep::step(&again, rows.clone()).item), losses[0]);
    let valid = [0, 1].map(|_| mean(&InferenceStep::step(&one, rows.clone())));
    assert_eq!(valid[0], valid[1]);
    assert!(losses.iter().all(|&l| l != valid[0]));
}

/// Makes every parameter a little larger.
fn shift<M: Module>(model: M) -> M {
    use burn::module::{ModuleMapper, Param};
    use burn::tensor::Tensor;
    struct Shift;
    impl ModuleMapper for Shift {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.add_scalar(0.05))
        }
    }
    model.map(&mut Shift)
}
