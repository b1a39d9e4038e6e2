//! A last layer that is computed for some rows only.

use burn::tensor::{Tensor, TensorData};
use collimate_nn::pooled;

use super::*;

/// Rows in another order; one occurs twice, and most do not occur.
const ROWS: [usize; 4] = [6, 2, 4, 2];

/// Computes a weighted sum of a model's values at some rows, so that every row counts differently.
fn loss(rows: Tensor<2>) -> Tensor<1> {
    let [count, width] = rows.dims();
    let weights = Noise::new(7).values(count * width, 1.0);
    let weights = TensorData::new(weights, [count, width]);
    (rows.clone() * Tensor::from_data(weights, &rows.device())).sum()
}

fn check<B: Backbone>(name: &str, model: &B, batch: &DeviceBatch) {
    let f = Forward::EVAL;
    let some = model.hidden_at(batch, &ROWS, f);
    let all = model.hidden(batch, f).select(0, batch.indices(ROWS));
    assert_eq!(some.dims(), [ROWS.len(), model.hidden_size()]);
    assert_close(name, &host(&some), &wide(&host(&all)), 1e-5);

    let [some, all] = [some, all].map(|states| gradients(model, &loss(states).backward()));
    assert_eq!(some.len(), parameters(model).len(), "{name}");
    for (path, some) in &some {
        let what = format!("{name}: gradient of {path}");
        assert_close(&what, some, &wide(&all[path]), 1e-4);
    }

    let again = model.clone().with_recompute(true);
    let again = loss(again.hidden_at(batch, &ROWS, f));
    for (path, again) in gradients(model, &again.backward()) {
        let what = format!("{name}: gradient of {path}, recomputed");
        assert_close(&what, &again, &wide(&some[&path]), 1e-5);
    }
}

#[test]
fn some_rows_are_those_of_all_and_learn_the_same() {
    for (name, device, model) in decoders(devices()) {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        check(&format!("llama on {name}"), &model, &batch);
    }
    for (name, device) in devices() {
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2, 8]]);
        check(&format!("bert on {name}"), &model, &batch);
        for (kind, model) in encoders(&device) {
            let rows = [vec![1, 5, 9, 2, 4, 4, 7], vec![3, 2, 8]];
            let batch = common::rows_batch(&model, &rows);
            check(&format!("{kind} on {name}"), &model, &batch);
        }
    }
}

/// Burn's own checkpointing requires that all inputs of an operation have the same setting.
#[test]
fn blocks_computed_again_beside_burns_own_checkpointing() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let mut pack = Pack::new();
    pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
    let batch = pack.to_device(Llama::VISIBILITY, &device);
    check("llama", &llama(&device), &batch);
    let model = bert(&device);
    let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2, 8]]);
    check("bert", &model, &batch);
}

#[test]
fn no_rows_are_nothing() {
    for (name, device) in devices() {
        let (llama, bert) = (llama(&device), bert(&device));
        let batch = common::rows_batch(&llama, &[vec![1, 5, 9, 2]]);
        let f = Forward::EVAL;
        assert_eq!(llama.hidden_at(&batch, &[], f).dims(), [0, 16], "{name}");
        assert_eq!(bert.hidden_at(&batch, &[], f).dims(), [0, 16], "{name}");
    }
}

#[test]
fn scores_are_pooled_from_the_rows_that_they_need() {
    for (name, device) in plain_devices() {
        let (llama, bert) = (llama(&device), bert(&device));
        let rows = [vec![1, 5, 9, 2], vec![3, 2, 8]];
        let batch = common::rows_batch(&llama, &rows);
        for pooling in [Pooling::LastToken, Pooling::Mean, Pooling::Cls] {
            let f = Forward::EVAL;
            let some = host(&pooled(&llama, &batch, pooling, f));
            let all = host(&pool(llama.hidden(&batch, f), &batch, pooling));
            assert_close(&format!("llama on {name}"), &some, &wide(&all), 1e-5);
        }
        let batch = common::rows_batch(&bert, &rows);
        for pooling in [Pooling::LastToken, Pooling::Mean, Pooling::Cls] {
            let f = Forward::EVAL;
            let some = host(&pooled(&bert, &batch, pooling, f));
            let all = host(&pool(bert.hidden(&batch, f), &batch, pooling));
            assert_close(&format!("bert on {name}"), &some, &wide(&all), 1e-5);
        }
    }
}

#[test]
#[should_panic(expected = "batch.sources()")]
fn log_probabilities_of_all_rows_are_refused() {
    let device = plain_devices().remove(0).1;
    let model = llama(&device);
    let mut pack = Pack::new();
    pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
    let batch = pack.to_device(Llama::VISIBILITY, &device);
    let all = model.hidden(&batch, Forward::EVAL);
    token_logps(all, model.output_head(), &batch);
}
