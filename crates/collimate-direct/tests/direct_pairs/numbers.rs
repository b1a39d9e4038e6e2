//! Margins and weights of pairs, and pairs on disk.

use collimate_core::Key;
use collimate_data::{Begun, StoreBuilder, TokenStore, TokenizeReport, TokenizedPair};
use collimate_direct::{DirectObjective, Reference, pair_logps, targets};
use collimate_lm::Llama;
use collimate_losses::{Aot, DirectLoss, Dpo, Ipo, PreferenceLoss, SimPo, SlicHf};
use collimate_nn::Forward;
use collimate_train::{Objective, metric_names as names};

use crate::setup::{config, model, near, pairs, plain, trace};

fn objective<L: DirectLoss>(rows: Vec<TokenizedPair>, loss: L) -> DirectObjective<Llama, L> {
    let reference = Reference::Model(model(7, &plain()));
    DirectObjective::new(rows, vec![], loss, reference, 64).unwrap()
}

/// Returns the loss of a step over all pairs.
fn loss<L: DirectLoss>(policy: &Llama, objective: &DirectObjective<Llama, L>) -> f64 {
    let all: Vec<usize> = (0..objective.len()).collect();
    objective.begin_step(policy, &all).unwrap();
    let out = objective
        .forward(policy, &all, Key::new(0, "step"))
        .unwrap();
    let sum: f64 = out.loss_sum.into_data().iter::<f64>().sum();
    sum / objective.weight(&all)
}

/// With a loss that looks across pairs a copy changes the other pairs, so these are left out.
#[test]
fn a_weight_counts_like_copies_of_the_pair() {
    let policy = model(1, &plain());
    let mut weighted = pairs(6, 5);
    let mut copied = weighted.clone();
    weighted[1].weight = Some(3.0);
    copied.extend([copied[1].clone(), copied[1].clone()]);
    for form in PreferenceLoss::all() {
        if form.across_pairs() {
            continue;
        }
        let a = loss(&policy, &objective(weighted.clone(), form));
        let b = loss(&policy, &objective(copied.clone(), form));
        let far = (a - b).abs() / b.abs().max(1.0);
        assert!(far < 1e-5, "{}: {a} is not {b}", form.name());
    }
    let objective = objective(weighted, Dpo::default());
    let traced = [names::LOSS, names::GRAD_NORM];
    let (_, whole) = trace(policy.clone(), &objective, &config(3, None), &traced);
    let (_, parts) = trace(policy, &objective, &config(3, Some(1)), &traced);
    near("micro-batches of weighted pairs", &parts, &whole, 1e-5);
}

/// DPO: −log σ(βΔ − m). SimPO: −log σ(β(mean_w − mean_l) − γ − m). SLiC-HF: max(0, δ − (βΔ − m)).
#[test]
fn a_margin_is_subtracted_from_the_difference_of_the_rewards() {
    let policy = model(1, &plain());
    let mut rows = pairs(6, 5);
    let margins = [0.5, 0.0, -0.25, 2.0, 1.0, 0.125];
    for (row, margin) in rows.iter_mut().zip(margins) {
        row.margin = (margin != 0.0).then_some(margin);
    }
    let logps = |model: &Llama| pair_logps(model, &rows, Forward::EVAL, 64).unwrap();
    let (policy_logps, reference_logps) = (logps(&policy), logps(&model(7, &plain())));
    let mean = |of: &dyn Fn(usize) -> f64| (0..rows.len()).map(of).sum::<f64>() / 6.0;
    let log_ratio = |i: usize| {
        let (p, r) = (policy_logps[i], reference_logps[i]);
        f64::from(p.chosen - r.chosen) - f64::from(p.rejected - r.rejected)
    };
    let means = |i: usize| {
        let (row, p) = (&rows[i], policy_logps[i]);
        let count = |answer: &[u32]| targets(&row.prompt, answer) as f64;
        f64::from(p.chosen) / count(&row.chosen) - f64::from(p.rejected) / count(&row.rejected)
    };
    let minus_log_sigmoid = |x: f64| (-x).exp().ln_1p();
    let near = |name: &str, found: f64, expected: f64| {
        let far = (found - expected).abs();
        assert!(far < 1e-5, "{name}: {found} is not {expected}");
    };
    let m = |i: usize| f64::from(margins[i]);
    near(
        "dpo",
        loss(&policy, &objective(rows.clone(), Dpo::default())),
        mean(&|i| minus_log_sigmoid(0.1 * log_ratio(i) - m(i))),
    );
    near(
        "simpo",
        loss(&policy, &objective(rows.clone(), SimPo::default())),
        mean(&|i| minus_log_sigmoid(2.0 * means(i) - 0.5 - m(i))),
    );
    let slic = SlicHf::default();
    near(
        "slic_hf",
        loss(&policy, &objective(rows.clone(), slic)),
        mean(&|i| {
            let (margin, nll) = (slic.beta * log_ratio(i) - m(i), policy_logps[i].chosen);
            (slic.delta - margin).max(0.0) - slic.nll_weight * f64::from(nll)
        }),
    );
    let takes: Vec<&str> = PreferenceLoss::all()
        .iter()
        .filter(|loss| loss.takes_margins())
        .map(|loss| loss.name())
        .collect();
    assert_eq!(takes, ["dpo", "slic_hf", "simpo"]);
    let reference = || Reference::Model(model(7, &plain()));
    let refused = DirectObjective::new(rows, vec![], Ipo::default(), reference(), 64).unwrap_err();
    let says = "training pair 0 has a margin, but ipo takes none";
    assert!(refused.to_string().starts_with(says), "{refused}");
    let mut rows = pairs(3, 5);
    rows[2].weight = Some(2.0);
    let refused = DirectObjective::new(rows, vec![], Aot::default(), reference(), 64).unwrap_err();
    let says = "training pair 2 has a weight, but aot takes none";
    assert!(refused.to_string().starts_with(says), "{refused}");
}

fn stored(folder: &std::path::Path, rows: &[TokenizedPair]) -> TokenStore<TokenizedPair> {
    let Begun::Building(mut builder) = StoreBuilder::begin(folder, "key").unwrap() else {
        panic!("the folder is new");
    };
    for row in rows {
        builder.push(row).unwrap();
    }
    let report = TokenizeReport::default();
    builder.rows_done(rows.len() as u64, &report).unwrap();
    builder.finish(report, serde_json::Value::Null).unwrap()
}

#[test]
fn pairs_on_disk_train_like_pairs_in_memory() {
    let mut rows = pairs(12, 9);
    rows[3].margin = Some(0.5);
    rows[7].weight = Some(2.5);
    let folder = tempfile::tempdir().unwrap();
    let store = stored(folder.path(), &rows);
    let traced = [names::LOSS, names::GRAD_NORM, names::REWARDS_MARGINS];
    let reference = || Reference::Model(model(7, &plain()));
    let dpo = Dpo::default();
    let on_disk = DirectObjective::new(store, vec![], dpo, reference(), 64).unwrap();
    let in_memory = DirectObjective::new(rows, vec![], dpo, reference(), 64).unwrap();
    for budget in [None, Some(40)] {
        let run = |objective| trace(model(1, &plain()), objective, &config(4, budget), &traced).1;
        assert_eq!(run(&on_disk), run(&in_memory));
    }
    assert!(on_disk.fingerprint() != in_memory.fingerprint());
    // Margins and weights are part of what a resumed run compares.
    let mut other = pairs(12, 9);
    other[3].margin = Some(0.25);
    let other = DirectObjective::new(other, vec![], dpo, reference(), 64).unwrap();
    assert!(other.fingerprint() != in_memory.fingerprint());
}
