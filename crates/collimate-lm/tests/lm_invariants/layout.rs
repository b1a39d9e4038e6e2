//! A batch's layout changes nothing.

use super::*;

#[test]
fn a_shared_prompt_changes_nothing() {
    let mut noise = Noise::new(1);
    for (name, device, model) in decoders(plain_devices()) {
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
    for (name, device, model) in decoders(devices()) {
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
        for (kind, model) in encoders(&device) {
            check_split(&format!("{kind} on {name}"), &model);
        }
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
            model.hidden_at(&batch, &batch.sources(), Forward::EVAL),
            model.output_head(),
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
