//! Packs, pooling, sums and linear layers compared with host loops.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use collimate_core::{Key, check_segments};
use collimate_nn::{
    DeviceBatch, Forward, Linear, Lora, LoraConfig, OutputHead, Pack, PackError, Pooling,
    Precision, ScalarHead, pool, sum_by_sequence, token_logps,
};
use collimate_ops::Visibility;
use collimate_testkit::{Noise, assert_close, devices, host, tensor};
use proptest::prelude::*;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Groups of a prompt and its completions, as lengths.
type Groups = Vec<(usize, Vec<usize>)>;

fn groups() -> impl Strategy<Value = Groups> {
    prop::collection::vec((0usize..5, prop::collection::vec(0usize..5, 1..4)), 1..5)
}

/// Packs groups. Returns the pack, and each sequence's ids with the length of its prompt.
fn packed(groups: &Groups, seed: u64) -> (Pack, Vec<(Vec<u32>, usize)>) {
    let mut noise = Noise::new(seed);
    let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| noise.below(50) as u32).collect() };
    let mut pack = Pack::new();
    let mut sequences = Vec::new();
    for (prompt, completions) in groups {
        let prompt = draw(*prompt);
        // A sequence has at least one token.
        let least = usize::from(prompt.is_empty());
        let completions: Vec<_> = completions.iter().map(|&n| draw(n.max(least))).collect();
        let slices: Vec<&[u32]> = completions.iter().map(Vec::as_slice).collect();
        pack.push_shared(&prompt, &slices);
        for completion in slices {
            sequences.push(([&prompt, completion].concat(), prompt.len()));
        }
    }
    (pack, sequences)
}

fn ids(batch: &DeviceBatch) -> Vec<u32> {
    batch
        .ids
        .to_data()
        .iter::<i64>()
        .map(|id| id as u32)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pack_holds_its_sequences(groups in groups(), seed in 0u64..1000) {
        let (pack, sequences) = packed(&groups, seed);
        prop_assert_eq!(check_segments(pack.segments(), pack.tokens()), Ok(()));
        let longest = sequences.iter().map(|(ids, _)| ids.len()).max().unwrap();
        prop_assert_eq!(pack.context(), longest);
        prop_assert_eq!(pack.check(50, longest), Ok(()));
        let short = pack.check(50, longest - 1);
        let too_long = matches!(short, Err(PackError::Length { length, .. }) if length == longest);
        prop_assert!(too_long, "{:?}", short);
        let device = &devices()[0].1;
        let batch = pack.to_device(Visibility::Causal, device);
        let all = ids(&batch);
        prop_assert_eq!(batch.sequences.len(), sequences.len());
        for (s, (wanted, prompt)) in batch.sequences.iter().zip(&sequences) {
            let mine: Vec<u32> = s.rows.iter().map(|&row| all[row]).collect();
            prop_assert_eq!(&mine, wanted);
            let positions: Vec<u32> = s.rows.iter().map(|&row| batch.positions[row]).collect();
            prop_assert_eq!(positions, (0..wanted.len() as u32).collect::<Vec<_>>());
            prop_assert_eq!(s.last, *s.rows.last().unwrap());
            let first = (*prompt).max(1);
            prop_assert_eq!(&s.targets[..], wanted.get(first..).unwrap_or_default());
            prop_assert_eq!(&s.sources[..], &s.rows[first - 1..s.rows.len() - 1]);
        }
    }

    #[test]
    fn pooling_and_sums_against_host_loops(groups in groups(), seed in 0u64..1000) {
        let (pack, _) = packed(&groups, seed);
        let width = 3;
        let values = Noise::new(seed).values(pack.tokens() * width, 2.0);
        for (name, device) in devices() {
            let batch = pack.clone().to_device(Visibility::Causal, &device);
            let hidden = tensor(&values, [batch.tokens(), width], &device);
            let row = |r: usize| wide(&values[r * width..(r + 1) * width]);
            for pooling in [Pooling::LastToken, Pooling::Mean, Pooling::Cls] {
                let wanted: Vec<f64> = batch
                    .sequences
                    .iter()
                    .flat_map(|s| match pooling {
                        Pooling::LastToken => row(*s.rows.last().unwrap()),
                        Pooling::Cls => row(s.rows[0]),
                        Pooling::Mean => (0..width)
                            .map(|c| s.rows.iter().map(|&r| row(r)[c]).sum::<f64>() / s.rows.len() as f64)
                            .collect(),
                    })
                    .collect();
                let pooled = host(&pool(hidden.clone(), &batch, pooling));
                assert_close(&format!("{name} {pooling:?}"), &pooled, &wanted, 1e-5);
            }
            let targets: usize = batch.sequences.iter().map(|s| s.targets.len()).sum();
            let tokens = Noise::new(seed + 1).values(targets, 3.0);
            let mut rest = tokens.as_slice();
            let wanted: Vec<f64> = batch.sequences.iter().map(|s| {
                let (mine, after) = rest.split_at(s.targets.len());
                rest = after;
                mine.iter().map(|&v| f64::from(v)).sum()
            }).collect();
            let sums = host(&sum_by_sequence(tensor(&tokens, [targets], &device), &batch));
            assert_close(&format!("{name} sums"), &sums, &wanted, 1e-5);
        }
    }
}

#[test]
#[should_panic(expected = "push_row")]
fn an_encoder_takes_no_shared_prompt() {
    let mut pack = Pack::new();
    pack.push_row(&[1, 2]);
    pack.push_shared(&[1, 2], &[&[3], &[4, 5]]);
    pack.to_device(Visibility::Bidirectional, &devices()[0].1);
}

#[test]
fn token_log_probabilities_against_a_dense_softmax() {
    let mut noise = Noise::new(5);
    let (pack, _) = packed(&vec![(3, vec![2, 4]), (0, vec![5]), (1, vec![0, 1])], 1);
    let (width, vocab) = (4, 50);
    let (h, w) = (
        noise.values(pack.tokens() * width, 2.0),
        noise.values(vocab * width, 1.0),
    );
    for (name, device) in devices() {
        let batch = pack.clone().to_device(Visibility::Causal, &device);
        let mut wanted = Vec::new();
        for s in batch.sequences.iter() {
            for (&row, &target) in s.sources.iter().zip(&s.targets) {
                let logits: Vec<f64> = w
                    .chunks_exact(width)
                    .map(|w| {
                        (0..width)
                            .map(|c| f64::from(w[c]) * f64::from(h[row * width + c]))
                            .sum()
                    })
                    .collect();
                let total: f64 = logits.iter().map(|l| l.exp()).sum();
                wanted.push(logits[target as usize] - total.ln());
            }
        }
        let logps = token_logps(
            tensor(&h, [batch.tokens(), width], &device).select(0, batch.indices(batch.sources())),
            OutputHead {
                weight: tensor(&w, [vocab, width], &device),
                divisor: 1.0,
                softcap: None,
            },
            &batch,
        );
        assert_close(name, &host(&logps), &wanted, 1e-5);
    }
}

#[test]
fn the_gradient_of_a_mean_is_spread_evenly() {
    for (name, device) in devices() {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 2], &[&[3], &[4, 5]]);
        let batch = pack.to_device(Visibility::Causal, &device);
        let hidden = Tensor::<2>::ones([5, 1], &device).require_grad();
        let weights = tensor(&[1.0, 10.0], [2, 1], &device);
        let loss = (pool(hidden.clone(), &batch, Pooling::Mean) * weights).sum();
        let grad = host(&hidden.grad(&loss.backward()).unwrap());
        let (a, b) = (1.0 / 3.0, 10.0 / 4.0);
        assert_close(name, &grad, &[a + b, a + b, a, b, b], 1e-6);
    }
}

fn layer(noise: &mut Noise, device: &Device) -> Linear {
    let param = |values: &[f32], shape| Param::from_tensor(tensor::<2>(values, shape, device));
    Linear {
        weight: param(&noise.values(15, 1.0), [5, 3]),
        bias: Some(Param::from_tensor(tensor(
            &noise.values(5, 1.0),
            [5],
            device,
        ))),
        lora: Some(Lora {
            a: param(&noise.values(6, 1.0), [2, 3]),
            b: param(&noise.values(10, 1.0), [5, 2]),
            scale: 1.5,
            dropout: 0.0,
        }),
        precision: Precision::F32,
        learned: Vec::new(),
    }
}

#[test]
fn a_linear_layer_with_an_adapter_against_a_host_loop() {
    for (name, device) in devices() {
        let mut noise = Noise::new(2);
        let linear = layer(&mut noise, &device);
        let x = noise.values(12, 1.0);
        let lora = linear.lora.as_ref().unwrap();
        let (w, bias) = (
            host(&linear.weight.val()),
            host(&linear.bias.as_ref().unwrap().val()),
        );
        let (a, b) = (host(&lora.a.val()), host(&lora.b.val()));
        let at = |m: &[f32], width: usize, r: usize, c: usize| f64::from(m[r * width + c]);
        let expected = |scale: f64| -> Vec<f64> {
            let mut out = Vec::new();
            for t in 0..4 {
                for (o, &offset) in bias.iter().enumerate() {
                    let mut y = f64::from(offset);
                    for i in 0..3 {
                        let mut weight = at(&w, 3, o, i);
                        for r in 0..2 {
                            weight += scale * at(&b, 2, o, r) * at(&a, 3, r, i);
                        }
                        y += weight * at(&x, 3, t, i);
                    }
                    out.push(y);
                }
            }
            out
        };
        let x = tensor::<2>(&x, [4, 3], &device);
        let on = host(&linear.forward(x.clone(), Forward::EVAL));
        assert_close(name, &on, &expected(1.5), 1e-5);
        let off = host(&linear.forward(x.clone(), Forward::REFERENCE));
        assert_close(name, &off, &expected(0.0), 1e-5);
        let merged = linear.merged();
        assert!(merged.lora.is_none());
        assert_close(
            name,
            &host(&merged.forward(x, Forward::REFERENCE)),
            &expected(1.5),
            1e-5,
        );
    }
}

#[test]
fn a_merged_layer_trains_if_it_trained_before() {
    let device = collimate_testkit::flex();
    let linear = layer(&mut Noise::new(2), &device);
    assert!(linear.clone().merged().weight.val().is_require_grad());
    let frozen = Linear {
        weight: linear.weight.clone().set_require_grad(false),
        ..linear
    };
    assert!(!frozen.merged().weight.val().is_require_grad());
}

#[test]
fn a_head_is_a_weighted_sum() {
    for (name, device) in devices() {
        let head = ScalarHead {
            weight: Param::from_tensor(tensor(&[1.0, -2.0, 0.5], [1, 3], &device)),
            bias: Some(Param::from_tensor(tensor(&[0.25], [1], &device))),
        };
        let x = tensor(&[1.0, 1.0, 2.0, 0.0, 3.0, -1.0], [2, 3], &device);
        assert_close(name, &host(&head.forward(x)), &[0.25, -6.25], 1e-6);
    }
    // The draws have the requested spread.
    let device = &devices()[0].1;
    let head = ScalarHead::new(10_000, false, 0.1, Key::new(1, "head"), device);
    let values = host(&head.weight.val());
    let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    assert!(((square / 1e4).sqrt() - 0.1).abs() < 0.005);
}

#[test]
fn adapter_options_are_checked() {
    let bad = [
        (
            LoraConfig {
                rank: 0,
                ..Default::default()
            },
            "lora.rank",
        ),
        (
            LoraConfig {
                alpha: 0.0,
                ..Default::default()
            },
            "lora.alpha",
        ),
        (
            LoraConfig {
                alpha: f64::NAN,
                ..Default::default()
            },
            "lora.alpha",
        ),
        (
            LoraConfig {
                dropout: 1.0,
                ..Default::default()
            },
            "lora.dropout",
        ),
        (
            LoraConfig {
                dropout: -0.1,
                ..Default::default()
            },
            "lora.dropout",
        ),
    ];
    for (config, name) in bad {
        assert_eq!(config.check().unwrap_err().path, name);
    }
    LoraConfig::default().check().unwrap();
}
