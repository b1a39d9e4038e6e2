//! Gradients, and the norms' eps.

use collimate_nn::pooled;

use super::*;

/// Compares central differences of single weights with the gradient of the whole network.
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
        // One direction per parameter changes the weights with the largest gradients together.
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

/// Computes the loss and every gradient.
fn learned<B: Backbone>(
    model: B,
    recompute: bool,
    loss: impl Fn(&B, Forward) -> burn::tensor::Tensor<1>,
) -> (Vec<f32>, std::collections::BTreeMap<String, Vec<f32>>) {
    let model = model.with_recompute(recompute);
    let loss = loss(&model, Forward::train(Key::new(8, "dropout")));
    (host(&loss), gradients(&model, &loss.backward()))
}

#[test]
fn recomputed_blocks_learn_the_same_bit_by_bit() {
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let key = Key::new(1, "lora");
    for (name, device, model) in decoders(devices()) {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        let loss = |m: &Llama, f| completion_logps(m, &batch, f).sum();
        // Adapters start at zero, so their first halves would have no gradient.
        let adapted = changed(
            &model.clone().with_lora(&lora, key).unwrap(),
            |path, values| {
                if path.contains("lora.b") {
                    values.fill(0.1);
                }
            },
        );
        for model in [model, adapted] {
            let plain = learned(model.clone(), false, loss);
            assert!(!plain.1.is_empty());
            // Without a norm before the projections, four parts read a block's input, and their
            // gradients are summed in another order.
            let sums_otherwise = model.config().model_type == Some(collimate_lm::ModelType::Olmo2);
            let again = learned(model, true, loss);
            if sums_otherwise {
                assert_close(&name, &again.0, &wide(&plain.0), 1e-6);
                for (path, values) in &again.1 {
                    assert_close(
                        &format!("{name}, {path}"),
                        values,
                        &wide(&plain.1[path]),
                        1e-4,
                    );
                }
                continue;
            }
            assert!(
                again == plain,
                "llama on {name}: recomputed blocks learn otherwise"
            );
        }
    }
    for (name, device) in devices() {
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2]]);
        let loss = |m: &Encoder, f| {
            pool(m.hidden(&batch, f), &batch, Pooling::Mean)
                .sum_dim(1)
                .sum()
        };
        let plain = learned(model.clone(), false, loss);
        assert_eq!(learned(model.clone(), true, loss), plain, "bert on {name}");
        let loss = |m: &Encoder, f| pooled(m, &batch, Pooling::Cls, f).sum_dim(1).sum();
        let plain = learned(model.clone(), false, loss);
        assert!(
            learned(model, true, loss) == plain,
            "bert's first on {name}"
        );
    }
}

#[test]
fn gradients_against_finite_differences() {
    for (name, device, model) in decoders(devices()) {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        check_gradients(&format!("llama on {name}"), &model, |m| {
            completion_logps(m, &batch, Forward::EVAL).sum()
        });
    }
    for (name, device) in devices() {
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2]]);
        check_gradients(&format!("bert on {name}"), &model, |m| {
            let pooled = pool(m.hidden(&batch, Forward::EVAL), &batch, Pooling::Mean);
            (pooled.clone() * pooled).narrow(1, 0, 5).sum()
        });
    }
}

/// Normalises `x` as the configuration says: RMS, or with the mean subtracted.
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

/// Sets every layer's output projections to zero, so that only embeddings and norms remain.
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

        let config = EncoderConfig {
            layer_norm_eps: eps,
            ..bert(&device).config().clone()
        };
        let model = without_layers(&Encoder::new(&config, Key::new(4, "init"), &device).unwrap());
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
            // The norms are that of the embeddings and two in each of two layers.
            for _ in 0..5 {
                x = normalised(&x, eps, true);
            }
            wanted.extend(x);
        }
        assert_close(&format!("bert on {name}"), &found, &wanted, 1e-5);
    }
}
