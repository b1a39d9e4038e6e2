//! Laws of each loss: the table of `docs/methods/losses.md`, checked both ways (a law that is listed as
//! false must be seen broken).

use std::f64::consts::LN_2;

use burn::tensor::DType;
use collimate_losses::{
    Aot, AotPairing, Bco, BcoShift, DirectLoss, Divergence, Dpo, Ipo, IpoNormalization,
    PreferenceLoss, SlicHf, SlicReference,
};
use collimate_testkit::{devices, f64_devices, finite_difference, flex};
use proptest::prelude::*;

use crate::batch::{Batch, batches};

struct Laws {
    loss: PreferenceLoss,
    /// Value if policy and reference agree, −10 for both completions of 5 tokens.
    at_zero: f64,
    /// The loss never rises with the chosen log-probability, and never falls with the rejected one.
    monotone: [bool; 2],
    /// A constant added to both policy log-probabilities changes nothing (equal lengths).
    common_shift: bool,
    /// f(w, l) − f(l, w) = −c·Δ.
    exchange: Option<f64>,
    /// The loss of a pair does not depend on the other pairs.
    per_pair: bool,
    /// The loss is never negative.
    not_negative: bool,
}

fn row(name: &str, at_zero: f64, monotone: [bool; 2]) -> Laws {
    Laws {
        loss: name.parse().expect("a name"),
        at_zero,
        monotone,
        common_shift: true,
        exchange: None,
        per_pair: true,
        not_negative: true,
    }
}

/// (1 − ε) and ε of EXO.
const EXO: (f64, f64) = (0.999, 0.001);

fn table() -> Vec<Laws> {
    let both = [true, true];
    let neither = [false, false];
    let beta = 0.1;
    vec![
        Laws {
            exchange: Some(beta),
            ..row("dpo", LN_2, both)
        },
        Laws {
            exchange: Some(0.8 * beta),
            ..row("cdpo", LN_2, neither)
        },
        Laws {
            exchange: Some(beta / 0.8),
            not_negative: false,
            ..row("rdpo", LN_2, both)
        },
        Laws {
            exchange: Some(2.0 / beta),
            ..row("ipo", 25.0, neither)
        },
        row("slic_hf", 1.0, both),
        Laws {
            loss: PreferenceLoss::SlicHf(SlicHf {
                reference: SlicReference::None,
                ..SlicHf::default()
            }),
            ..row("slic_hf", 1.0, both)
        },
        row("simpo", (1.0 + 0.5_f64.exp()).ln(), both),
        Laws {
            common_shift: false,
            ..row("orpo", 2.0 + 0.1 * LN_2, both)
        },
        Laws {
            exchange: Some(beta),
            ..row("spin", LN_2, both)
        },
        row(
            "exo",
            0.5 * (0.5 / EXO.0).ln() + 0.5 * (0.5 / EXO.1).ln(),
            neither,
        ),
        Laws {
            common_shift: false,
            ..row("nca", 2.0 * LN_2, [false, true])
        },
        Laws {
            common_shift: false,
            exchange: Some(2.0 / beta),
            ..row("sppo", 50.0, neither)
        },
        Laws {
            common_shift: false,
            exchange: Some(beta),
            ..row("bco", 2.0 * LN_2, both)
        },
        Laws {
            loss: PreferenceLoss::Bco(Bco {
                beta,
                shift: BcoShift::BatchMean,
            }),
            // The shift moves with the rewards; its gradient is left out, but its value is not.
            common_shift: true,
            exchange: Some(beta),
            per_pair: false,
            ..row("bco", 2.0 * LN_2, both)
        },
        Laws {
            common_shift: false,
            ..row("apo_zero", 1.0, both)
        },
        Laws {
            common_shift: false,
            ..row("apo_down", 1.0, [false, true])
        },
        Laws {
            per_pair: false,
            ..row("aot", LN_2, both)
        },
        Laws {
            loss: PreferenceLoss::Aot(Aot {
                pairing: AotPairing::Unpaired,
                ..Aot::default()
            }),
            per_pair: false,
            ..row("aot", LN_2, both)
        },
        row("discopop", (1.0 + LN_2) / 2.0, neither),
        row("dpo_norm", LN_2, both),
    ]
}

#[test]
fn the_table_has_every_loss() {
    for loss in PreferenceLoss::all() {
        assert!(table().iter().any(|row| row.loss.name() == loss.name()));
    }
}

#[test]
fn value_where_policy_and_reference_agree() {
    for (device_name, device) in f64_devices() {
        for row in table() {
            let value = Batch::one([-10.0; 4]).loss(&row.loss, &device)[0];
            let name = row.loss.name();
            assert!(
                (value - row.at_zero).abs() < 1e-9,
                "{device_name}, {name}: {value}"
            );
        }
    }
}

/// Returns true if a change of one column by positive steps ever raises (`sign` 1) or lowers (−1)
/// the loss.
fn ever_moves(loss: &PreferenceLoss, column: usize, sign: f64) -> bool {
    let device = flex();
    // Log-ratios from −100 to 100, the other completion's below, at and above the reference.
    [-121.0, -101.0, -81.0].into_iter().any(|other| {
        let values: Vec<f64> = (0..=400)
            .map(|step| {
                let mut logps = [other, other, -101.0, -101.0];
                logps[column] = -201.0 + 0.5 * f64::from(step);
                Batch::one(logps).loss(loss, &device)[0]
            })
            .collect();
        values.windows(2).any(|w| (w[1] - w[0]) * sign > 1e-9)
    })
}

#[test]
fn monotone_or_not() {
    for row in table() {
        let name = row.loss.name();
        assert_eq!(
            !ever_moves(&row.loss, 0, 1.0),
            row.monotone[0],
            "{name}, chosen"
        );
        assert_eq!(
            !ever_moves(&row.loss, 1, -1.0),
            row.monotone[1],
            "{name}, rejected"
        );
    }
}

#[test]
fn laws_that_do_not_hold_are_seen_broken() {
    let device = flex();
    let batch = Batch {
        logps: [
            vec![-12.0, -8.0, -30.0],
            vec![-14.0, -7.5, -20.0],
            vec![-12.5, -7.0, -25.0],
            vec![-13.0, -8.0, -26.0],
        ],
        tokens: [vec![6, 4, 9], vec![6, 4, 9]],
    };
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-6);
    for row in table() {
        let name = row.loss.name();
        let there = batch.loss(&row.loss, &device);
        let moved = batch.moved(&[0, 1], 1.5).loss(&row.loss, &device);
        assert_eq!(
            far(&there, &moved),
            !row.common_shift,
            "{name}, common shift"
        );
        let turned = batch.pick(&[2, 1, 0]).loss(&row.loss, &device);
        let back: Vec<f64> = turned.into_iter().rev().collect();
        let alone: Vec<f64> = (0..3)
            .flat_map(|i| batch.pick(&[i]).loss(&row.loss, &device))
            .collect();
        let coupled = far(&there, &back) || far(&there, &alone);
        assert_eq!(coupled, !row.per_pair, "{name}, per pair");
        let best = Batch::one([-1.0, -200.0, -100.0, -100.0]).loss(&row.loss, &device)[0];
        assert_eq!(best < 0.0, !row.not_negative, "{name}: {best}");
    }
}

fn losses() -> impl Strategy<Value = PreferenceLoss> {
    let mut losses: Vec<PreferenceLoss> = table().into_iter().map(|row| row.loss).collect();
    for divergence in [
        Divergence::ForwardKl,
        Divergence::JensenShannon,
        Divergence::Alpha { coefficient: 0.5 },
        Divergence::Alpha { coefficient: 1.0 },
    ] {
        losses.push(PreferenceLoss::Dpo(Dpo {
            divergence,
            ..Dpo::default()
        }));
    }
    losses.push(PreferenceLoss::Ipo(Ipo {
        normalization: IpoNormalization::Mean,
        ..Ipo::default()
    }));
    losses.push(PreferenceLoss::SlicHf(SlicHf {
        nll_weight: 0.3,
        ..SlicHf::default()
    }));
    (prop::sample::select(losses), 0.2_f64..4.0)
        .prop_map(|(loss, scale)| loss.with_beta(loss.beta() * scale))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn gradients_equal_differences(loss in losses(), batch in batches(-8.0)) {
        if let PreferenceLoss::SlicHf(slic) = loss {
            // No derivative exists at the kink.
            let rewards = batch.evaluate(&loss, &flex(), DType::F64).rewards;
            let kink = |(w, l): (&f64, &f64)| (w - l - slic.delta).abs() < 1e-3;
            prop_assume!(!rewards[0].iter().zip(&rewards[1]).any(kink));
        }
        // The shift is held fixed by definition.
        let held = matches!(loss, PreferenceLoss::Bco(Bco { shift: BcoShift::BatchMean, .. }));
        prop_assume!(!held);
        for (name, device) in f64_devices() {
            let out = batch.evaluate(&loss, &device, DType::F64);
            for column in 0..2 {
                let total = |values: &[f64]| -> f64 {
                    let mut moved = batch.clone();
                    moved.logps[column] = values.to_vec();
                    moved.loss(&loss, &device).iter().sum()
                };
                let expected = finite_difference(total, &batch.logps[column], 1e-5);
                for (a, b) in out.gradients[column].iter().zip(&expected) {
                    prop_assert!((a - b).abs() < 2e-6 * b.abs().max(1.0), "{name} {loss:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn finite_far_out(loss in losses(), batch in batches(-1e4)) {
        for (name, device) in devices() {
            let out = batch.evaluate(&loss, &device, DType::F32);
            let lists = [&out.loss, &out.gradients[0], &out.gradients[1], &out.rewards[0]];
            for list in lists {
                prop_assert!(list.iter().all(|v| v.is_finite()), "{name} {loss:?}: {out:?}");
            }
        }
    }

    #[test]
    fn laws_that_hold(index in 0..table().len(), batch in batches(-40.0), by in -3.0_f64..3.0) {
        let row = &table()[index];
        let loss = &row.loss;
        let near = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-8 * b.abs().max(1.0))
        };
        let equal = Batch {
            tokens: [batch.tokens[0].clone(), batch.tokens[0].clone()],
            ..batch.clone()
        };
        for (name, device) in f64_devices() {
            let there = batch.loss(loss, &device);
            if row.common_shift {
                let moved = equal.moved(&[0, 1], by).loss(loss, &device);
                prop_assert!(near(&equal.loss(loss, &device), &moved), "{name} {loss:?}: shift");
            }
            if loss.reference_need() == collimate_losses::ReferenceNeed::Required {
                for columns in [[0, 2], [1, 3]] {
                    let moved = batch.moved(&columns, by).loss(loss, &device);
                    prop_assert!(near(&there, &moved), "{name} {loss:?}: reference shift");
                }
            }
            if row.per_pair {
                let order: Vec<usize> = (0..batch.len()).rev().collect();
                let turned = batch.pick(&order).loss(loss, &device);
                let back: Vec<f64> = turned.into_iter().rev().collect();
                prop_assert!(near(&there, &back), "{name} {loss:?}: order");
            }
            if let Some(c) = row.exchange {
                let back = batch.exchanged().loss(loss, &device);
                let [pc, pr, rc, rr] = &batch.logps;
                let sum = |v: &[f64]| v.iter().sum::<f64>();
                let gap = sum(pc) - sum(rc) - sum(pr) + sum(rr);
                let (difference, expected) = (sum(&there) - sum(&back), -c * gap);
                prop_assert!(
                    (difference - expected).abs() < 1e-6 * expected.abs().max(1.0),
                    "{name} {loss:?}: {difference} {expected}"
                );
            }
            if row.not_negative {
                prop_assert!(there.iter().all(|&v| v > -1e-12), "{name} {loss:?}: {there:?}");
            }
        }
    }

    #[test]
    fn order_of_the_pairs_does_not_change_the_total(loss in losses(), batch in batches(-40.0)) {
        let order: Vec<usize> = (0..batch.len()).rev().collect();
        for (name, device) in f64_devices() {
            let sum = |b: &Batch| b.loss(&loss, &device).iter().sum::<f64>();
            let (there, back) = (sum(&batch), sum(&batch.pick(&order)));
            prop_assert!((there - back).abs() < 1e-8 * there.abs().max(1.0), "{name} {loss:?}");
        }
    }
}

#[test]
fn one_law_of_label_noise() {
    // rDPO is unbiased: the mean over flipped and kept labels is the clean loss.
    let device = flex();
    let batch = Batch::one([-12.0, -14.0, -12.5, -13.0]);
    let [rdpo, dpo]: [PreferenceLoss; 2] = ["rdpo", "dpo"].map(|name| name.parse().unwrap());
    let (kept, flipped) = (
        batch.loss(&rdpo, &device)[0],
        batch.exchanged().loss(&rdpo, &device)[0],
    );
    let clean = batch.loss(&dpo, &device)[0];
    assert!((0.9 * kept + 0.1 * flipped - clean).abs() < 1e-9);
}
