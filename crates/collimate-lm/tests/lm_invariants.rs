//! What must not depend on how a batch is laid out, adapted or differentiated.

mod common;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_lm::{Bert, BertConfig, Llama, LlamaConfig};
use collimate_nn::{
    Adaptable, Backbone, CausalLm, DeviceBatch, Forward, LoraConfig, Pack, Pooling,
    completion_logps, parameters, pool, token_logps,
};
use collimate_testkit::{Noise, assert_close, devices, host};
use common::{changed, gradients, hidden_rows, plain_devices};

fn llama(device: &Device) -> Llama {
    let config = LlamaConfig {
        vocab_size: 30,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 64,
        initializer_range: 0.3,
        ..Default::default()
    };
    Llama::new(&config, Key::new(3, "init"), device).unwrap()
}

fn bert(device: &Device) -> Bert {
    let config = BertConfig {
        vocab_size: 30,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
        initializer_range: 0.3,
        ..Default::default()
    };
    Bert::new(&config, Key::new(4, "init"), device).unwrap()
}

fn sequence(noise: &mut Noise, len: usize) -> Vec<u32> {
    (0..len).map(|_| noise.below(30) as u32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Hidden states of sequence `index`, in reading order.
fn of(hidden: &[Vec<f32>], batch: &DeviceBatch, index: usize) -> Vec<f32> {
    let rows = &batch.sequences[index].rows;
    rows.iter().flat_map(|&row| hidden[row].clone()).collect()
}

#[test]
fn a_shared_prompt_changes_nothing() {
    let mut noise = Noise::new(1);
    for (name, device) in plain_devices() {
        let model = llama(&device);
        let (mut shared, mut apart) = (Pack::new(), Pack::new());
        for (prompt, answers) in [
            (5, vec![3, 7]),
            (1, vec![1, 1]),
            (9, vec![4, 2, 6]),
            (2, vec![5]),
        ] {
            let prompt = sequence(&mut noise, prompt);
            let answers: Vec<_> = answers.iter().map(|&n| sequence(&mut noise, n)).collect();
            let slices: Vec<&[u32]> = answers.iter().map(Vec::as_slice).collect();
            shared.push_shared(&prompt, &slices);
            for answer in slices {
                apart.push_shared(&prompt, &[answer]);
            }
        }
        assert!(shared.tokens() < apart.tokens());
        let shared = shared.to_device(Llama::VISIBILITY, &device);
        let apart = apart.to_device(Llama::VISIBILITY, &device);
        let together = hidden_rows(&model, &shared, Forward::EVAL);
        let single = hidden_rows(&model, &apart, Forward::EVAL);
        for index in 0..shared.sequences.len() {
            assert_close(
                &format!("{name}: hidden states of sequence {index}"),
                &of(&together, &shared, index),
                &wide(&of(&single, &apart, index)),
                1e-5,
            );
        }
        assert_close(
            &format!("{name}: log-probabilities"),
            &host(&completion_logps(&model, &shared, Forward::EVAL)),
            &wide(&host(&completion_logps(&model, &apart, Forward::EVAL))),
            1e-5,
        );
    }
}

#[test]
fn a_shared_prompt_changes_no_gradient() {
    let mut noise = Noise::new(2);
    let prompt = sequence(&mut noise, 6);
    let answers: Vec<_> = [4, 9].iter().map(|&n| sequence(&mut noise, n)).collect();
    for (name, device) in devices() {
        let model = llama(&device);
        let grads = |packs: Vec<Pack>| {
            let mut sum: Option<burn::tensor::Tensor<1>> = None;
            for pack in packs {
                let batch = pack.to_device(Llama::VISIBILITY, &device);
                let logps = completion_logps(&model, &batch, Forward::EVAL).sum();
                sum = Some(match sum {
                    Some(sum) => sum + logps,
                    None => logps,
                });
            }
            gradients(&model, &sum.unwrap().backward())
        };
        let mut shared = Pack::new();
        shared.push_shared(&prompt, &[&answers[0], &answers[1]]);
        let apart = answers.iter().map(|answer| {
            let mut pack = Pack::new();
            pack.push_shared(&prompt, &[answer]);
            pack
        });
        let (shared, apart) = (grads(vec![shared]), grads(apart.collect()));
        assert_eq!(shared.len(), parameters(&model).len(), "{name}");
        for (path, grad) in &shared {
            assert_close(&format!("{name}: {path}"), grad, &wide(&apart[path]), 1e-4);
        }
    }
}

#[test]
fn a_token_sees_nothing_after_it_in_a_decoder() {
    for (name, device) in plain_devices() {
        let (decoder, encoder) = (llama(&device), bert(&device));
        let (a, b) = (vec![1, 5, 6, 7], vec![1, 5, 6, 9]);
        let rows = |ids: &Vec<u32>| {
            let batch = common::rows_batch(&decoder, std::slice::from_ref(ids));
            hidden_rows(&decoder, &batch, Forward::EVAL)
        };
        assert_eq!(rows(&a)[..3], rows(&b)[..3], "{name}");
        assert_ne!(rows(&a)[3], rows(&b)[3], "{name}");
        let rows = |ids: &Vec<u32>| {
            let batch = common::rows_batch(&encoder, std::slice::from_ref(ids));
            hidden_rows(&encoder, &batch, Forward::EVAL)
        };
        assert_ne!(rows(&a)[0], rows(&b)[0], "{name}");
    }
}

fn check_split<B: Backbone>(name: &str, model: &B) {
    let mut noise = Noise::new(7);
    let rows: Vec<_> = [3, 1, 8, 5, 12, 2]
        .iter()
        .map(|&n| sequence(&mut noise, n))
        .collect();
    let whole = common::rows_batch(model, &rows);
    let together = hidden_rows(model, &whole, Forward::EVAL);
    for cut in [1, 2, 4] {
        for (part, chunk) in rows.chunks(cut).enumerate() {
            let batch = common::rows_batch(model, chunk);
            let hidden = hidden_rows(model, &batch, Forward::EVAL);
            for index in 0..chunk.len() {
                assert_close(
                    &format!("{name}: row {} in parts of {cut}", part * cut + index),
                    &of(&hidden, &batch, index),
                    &wide(&of(&together, &whole, part * cut + index)),
                    1e-5,
                );
            }
        }
    }
}

#[test]
fn the_cut_into_batches_changes_nothing() {
    for (name, device) in plain_devices() {
        check_split(&format!("llama on {name}"), &llama(&device));
        check_split(&format!("bert on {name}"), &bert(&device));
    }
}

/// Adapters whose B is not zero, so that they do something.
fn lora_config() -> LoraConfig {
    LoraConfig {
        rank: 3,
        alpha: 6.0,
        dropout: 0.0,
        targets: vec![],
    }
}

fn fill_b(path: &str, values: &mut Vec<f32>) {
    if path.ends_with("lora.b") {
        let mut noise = Noise::new(values.len() as u64);
        *values = noise.values(values.len(), 0.3);
    }
}

fn check_adapters<B: Backbone>(name: &str, base: B) {
    let mut noise = Noise::new(9);
    let rows: Vec<_> = [4, 7].iter().map(|&n| sequence(&mut noise, n)).collect();
    let batch = common::rows_batch(&base, &rows);
    let out = |model: &B, f| host(&model.hidden(&batch, f));
    let plain = out(&base, Forward::EVAL);
    let mut fresh = base
        .clone()
        .with_lora(&lora_config(), Key::new(1, "lora"))
        .unwrap();
    assert!(fresh.has_lora() && !base.clone().has_lora());
    assert_eq!(
        out(&fresh, Forward::EVAL),
        plain,
        "{name}: B = 0 adds nothing"
    );
    let adapted = changed(&fresh, fill_b);
    assert_eq!(
        out(&adapted, Forward::REFERENCE),
        plain,
        "{name}: adapters off"
    );
    let on = out(&adapted, Forward::EVAL);
    let moved = collimate_testkit::max_relative_error(&on, &wide(&plain));
    assert!(
        moved > 0.05,
        "{name}: the adapters move the output by {moved} only"
    );
    let mut merged = adapted.clone().merged();
    assert!(!merged.has_lora());
    assert_close(
        &format!("{name}: merged"),
        &out(&merged, Forward::EVAL),
        &wide(&on),
        1e-5,
    );
}

#[test]
fn adapters_on_off_and_merged() {
    for (name, device) in plain_devices() {
        check_adapters(&format!("llama on {name}"), llama(&device));
        check_adapters(&format!("bert on {name}"), bert(&device));
    }
    let device = collimate_testkit::flex();
    check_adapters("llama, tracked", llama(&device));
}

#[test]
fn only_adapters_get_gradients() {
    for (name, device) in devices() {
        let base = llama(&device);
        let count = parameters(&base).len();
        let model = base.with_lora(&lora_config(), Key::new(1, "lora")).unwrap();
        let model = changed(&model, fill_b);
        let batch = common::rows_batch(&model, &[vec![1, 5, 6, 7]]);
        let logps = completion_logps(&model, &batch, Forward::EVAL).sum();
        let grads = gradients(&model, &logps.backward());
        let linears = 2 * 7;
        assert_eq!(parameters(&model).len(), count + 2 * linears);
        let paths: Vec<_> = grads.keys().collect();
        assert_eq!(grads.len(), 2 * linears, "{name}: {paths:?}");
        for (path, grad) in &grads {
            assert!(
                path.ends_with("lora.a") || path.ends_with("lora.b"),
                "{name}: {path}"
            );
            assert!(
                grad.iter().any(|&g| g != 0.0),
                "{name}: {path} has gradient zero"
            );
        }
        let trainable = parameters(&model).into_iter().filter(|p| p.trainable);
        assert_eq!(trainable.count(), 2 * linears);
    }
}

#[test]
fn targets_choose_layers() {
    let device = collimate_testkit::flex().without_autodiff();
    let config = LoraConfig {
        targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
        ..lora_config()
    };
    let mut model = llama(&device)
        .with_lora(&config, Key::new(1, "lora"))
        .unwrap();
    let with: Vec<String> = model
        .linears_mut()
        .into_iter()
        .filter(|(_, linear)| linear.lora.is_some())
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        with,
        [
            "model.layers.0.self_attn.q_proj",
            "model.layers.0.self_attn.v_proj",
            "model.layers.1.self_attn.q_proj",
            "model.layers.1.self_attn.v_proj",
        ]
    );
    // No layer's name ends in "proj" as a whole word.
    let config = LoraConfig {
        targets: vec!["proj".to_owned()],
        ..lora_config()
    };
    let error = llama(&device)
        .with_lora(&config, Key::new(1, "lora"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("lora.targets") && error.contains("q_proj"),
        "{error}"
    );
}

#[test]
fn adapters_of_two_layers_differ_and_repeat() {
    let device = collimate_testkit::flex().without_autodiff();
    let draw = || {
        let mut model = llama(&device)
            .with_lora(&lora_config(), Key::new(5, "lora"))
            .unwrap();
        let linears = model.linears_mut();
        linears
            .iter()
            .map(|(_, l)| host(&l.lora.as_ref().unwrap().a.val()))
            .collect::<Vec<_>>()
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
    // Uniform in ±1/√16.
    assert!(first.iter().flatten().take(48).all(|v| v.abs() <= 0.25));
    let mut model = llama(&device)
        .with_lora(&lora_config(), Key::new(5, "lora"))
        .unwrap();
    for (path, linear) in model.linears_mut() {
        let lora = linear.lora.as_ref().unwrap();
        assert_eq!(lora.scale, 6.0 / 3.0, "{path}");
        assert_eq!(lora.a.val().dims()[0], 3, "{path}");
    }
}

#[test]
fn dropout_depends_on_its_key_only() {
    for (name, device) in plain_devices() {
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 6, 7]]);
        let out = |f| host(&model.hidden(&batch, f));
        let key = Key::new(2, "step");
        let plain = out(Forward::EVAL);
        assert_eq!(out(Forward::train(key)), out(Forward::train(key)), "{name}");
        assert_ne!(
            out(Forward::train(key)),
            out(Forward::train(key.with(1))),
            "{name}"
        );
        assert_ne!(out(Forward::train(key)), plain, "{name}");
        // A decoder has dropout in its adapters only.
        let model = llama(&device);
        assert_eq!(
            host(&model.hidden(&batch, Forward::train(key))),
            host(&model.hidden(&batch, Forward::EVAL))
        );
        let config = LoraConfig {
            dropout: 0.5,
            ..lora_config()
        };
        let model = changed(&model.with_lora(&config, key).unwrap(), fill_b);
        let out = |f| host(&model.hidden(&batch, f));
        assert_eq!(out(Forward::train(key)), out(Forward::train(key)), "{name}");
        assert_ne!(out(Forward::train(key)), out(Forward::EVAL), "{name}");
    }
}

#[test]
fn log_probabilities_against_a_dense_softmax() {
    let mut noise = Noise::new(11);
    for (name, device) in plain_devices() {
        let model = llama(&device);
        let mut pack = Pack::new();
        let prompt = sequence(&mut noise, 4);
        let answers = [sequence(&mut noise, 3), sequence(&mut noise, 6)];
        pack.push_shared(&prompt, &[&answers[0], &answers[1]]);
        pack.push_row(&sequence(&mut noise, 5));
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        let hidden = hidden_rows(&model, &batch, Forward::EVAL);
        let weight = host(&model.output_weight());
        let width = hidden[0].len();
        let mut wanted = Vec::new();
        for s in batch.sequences.iter() {
            let mut sum = 0.0;
            for (&row, &target) in s.sources.iter().zip(&s.targets) {
                let logits: Vec<f64> = weight
                    .chunks_exact(width)
                    .map(|w| {
                        let products = w.iter().zip(&hidden[row]);
                        products.map(|(&w, &h)| f64::from(w) * f64::from(h)).sum()
                    })
                    .collect();
                let largest = logits.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
                sum += logits[target as usize] - largest - total.ln();
            }
            wanted.push(sum);
        }
        let logps = host(&completion_logps(&model, &batch, Forward::EVAL));
        assert_close(
            &format!("{name}: completion log-probs"),
            &logps,
            &wanted,
            1e-5,
        );
        let tokens = token_logps(
            model.hidden(&batch, Forward::EVAL),
            model.output_weight(),
            &batch,
        );
        assert_eq!(tokens.dims(), [3 + 6 + 4]);
    }
}

fn check_pooling<B: Backbone>(name: &str, model: &B, batch: &DeviceBatch) {
    let hidden = hidden_rows(model, batch, Forward::EVAL);
    for pooling in [Pooling::LastToken, Pooling::Mean, Pooling::Cls] {
        let pooled = host(&pool(model.hidden(batch, Forward::EVAL), batch, pooling));
        let mut wanted = Vec::new();
        for s in batch.sequences.iter() {
            let row = |row: usize| wide(&hidden[row]);
            wanted.extend(match pooling {
                Pooling::LastToken => row(*s.rows.last().unwrap()),
                Pooling::Cls => row(s.rows[0]),
                Pooling::Mean => {
                    let mut sum = vec![0.0; hidden[0].len()];
                    for &r in &s.rows {
                        for (sum, v) in sum.iter_mut().zip(row(r)) {
                            *sum += v / s.rows.len() as f64;
                        }
                    }
                    sum
                }
            });
        }
        assert_close(&format!("{name}: {pooling:?}"), &pooled, &wanted, 1e-6);
    }
}

#[test]
fn pooling_against_a_host_loop() {
    let mut noise = Noise::new(13);
    for (name, device) in plain_devices() {
        let rows: Vec<_> = [1, 4, 9].iter().map(|&n| sequence(&mut noise, n)).collect();
        let model = bert(&device);
        check_pooling(name, &model, &common::rows_batch(&model, &rows));
        let model = llama(&device);
        let mut pack = Pack::new();
        pack.push_shared(&rows[2], &[&rows[0], &rows[1], &[]]);
        pack.push_row(&rows[1]);
        check_pooling(name, &model, &pack.to_device(Llama::VISIBILITY, &device));
    }
}

/// Central differences of single weights, against the gradient of the whole network.
fn check_gradients<B: Backbone>(
    name: &str,
    model: &B,
    loss: impl Fn(&B) -> burn::tensor::Tensor<1>,
) {
    let grads = gradients(model, &loss(model).backward());
    assert_eq!(
        grads.len(),
        parameters(model).len(),
        "{name}: a parameter has no gradient"
    );
    let mut noise = Noise::new(17);
    let step = 4e-3f32;
    for (path, grad) in &grads {
        // One direction per parameter: the largest gradients of it, all at once.
        let mut order: Vec<usize> = (0..grad.len()).collect();
        order.sort_by(|&a, &b| grad[b].abs().total_cmp(&grad[a].abs()));
        let chosen: Vec<usize> = order.into_iter().take(4).collect();
        let signs: Vec<f32> = chosen
            .iter()
            .map(|_| if noise.below(2) == 0 { 1.0 } else { -1.0 })
            .collect();
        let at = |scale: f32| {
            let moved = changed(model, |p, values| {
                if p == path {
                    for (&index, sign) in chosen.iter().zip(&signs) {
                        values[index] += scale * sign;
                    }
                }
            });
            f64::from(host(&loss(&moved))[0])
        };
        let numeric = (at(step) - at(-step)) / (2.0 * f64::from(step));
        let exact: f64 = chosen
            .iter()
            .zip(&signs)
            .map(|(&index, sign)| f64::from(grad[index] * sign))
            .sum();
        let error = (numeric - exact).abs() / exact.abs().max(1.0);
        assert!(
            error < 1e-2,
            "{name}: {path}: difference {numeric}, gradient {exact}"
        );
    }
}

#[test]
fn gradients_against_finite_differences() {
    for (name, device) in devices() {
        let model = llama(&device);
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        check_gradients(&format!("llama on {name}"), &model, |m| {
            completion_logps(m, &batch, Forward::EVAL).sum()
        });
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2]]);
        check_gradients(&format!("bert on {name}"), &model, |m| {
            let pooled = pool(m.hidden(&batch, Forward::EVAL), &batch, Pooling::Mean);
            (pooled.clone() * pooled).narrow(1, 0, 5).sum()
        });
    }
}

/// `x` normalised as the configuration says: RMS, or with the mean taken off.
fn normalised(x: &[f64], eps: f64, centred: bool) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = match centred {
        true => x.iter().sum::<f64>() / n,
        false => 0.0,
    };
    let square = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    x.iter()
        .map(|v| (v - mean) / (square + eps).sqrt())
        .collect()
}

/// With every layer's output projections at zero only embeddings and norms are left.
fn without_layers<B: Backbone>(model: &B) -> B {
    changed(model, |path, values| {
        if ["o_proj", "down_proj", "output.dense"]
            .iter()
            .any(|name| path.contains(name))
        {
            values.fill(0.0);
        }
    })
}

#[test]
fn the_configured_eps_reaches_the_norms() {
    let eps = 0.3;
    for (name, device) in plain_devices() {
        let config = LlamaConfig {
            rms_norm_eps: eps,
            ..llama(&device).config().clone()
        };
        let model = without_layers(&Llama::new(&config, Key::new(3, "init"), &device).unwrap());
        let table = wide(&host(&model.output_weight()));
        let ids = [7usize, 0, 29];
        let batch = common::rows_batch(&model, &[ids.map(|id| id as u32).to_vec()]);
        let found = host(&model.hidden(&batch, Forward::EVAL));
        let wanted: Vec<f64> = ids
            .iter()
            .flat_map(|id| normalised(&table[id * 16..(id + 1) * 16], eps, false))
            .collect();
        assert_close(&format!("llama on {name}"), &found, &wanted, 1e-5);

        let config = BertConfig {
            layer_norm_eps: eps,
            ..bert(&device).config().clone()
        };
        let model = without_layers(&Bert::new(&config, Key::new(4, "init"), &device).unwrap());
        let tables = std::cell::RefCell::new(std::collections::BTreeMap::new());
        let _ = changed(&model, |path, values| {
            tables.borrow_mut().insert(path.to_owned(), wide(values));
        });
        let tables = tables.into_inner();
        let table = |name: &str| &tables[&format!("embeddings.{name}_embeddings.weight")];
        let found = host(&model.hidden(&batch, Forward::EVAL));
        let mut wanted = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            let mut x: Vec<f64> = (0..16)
                .map(|c| {
                    table("word")[id * 16 + c]
                        + table("position")[position * 16 + c]
                        + table("token_type")[c]
                })
                .collect();
            // The embeddings' norm, and two in each of two layers.
            for _ in 0..5 {
                x = normalised(&x, eps, true);
            }
            wanted.extend(x);
        }
        assert_close(&format!("bert on {name}"), &found, &wanted, 1e-5);
    }
}
