//! Golden values and gradients from PyTorch and transformers (`golden/ops.py`), on every device.

use std::num::NonZeroUsize;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{self as ops, AttentionPlan, Heads, RopeTable, Scores, Visibility};
use collimate_testkit::{GoldenCase, assert_close, devices, host, read_golden, tensor};

/// Returns an input of a case by name; f32 represents its numbers exactly.
fn floats(case: &GoldenCase, name: &str) -> Vec<f32> {
    case.inputs[name].iter().map(|x| *x as f32).collect()
}

fn whole<const N: usize>(case: &GoldenCase, name: &str) -> [usize; N] {
    let numbers: Vec<usize> = case.inputs[name].iter().map(|x| *x as usize).collect();
    numbers.try_into().unwrap()
}

/// Returns a number, or `None` if it is zero.
fn optional(case: &GoldenCase, name: &str) -> Option<f64> {
    Some(case.inputs[name][0]).filter(|x| *x != 0.0)
}

fn vector(t: &Tensor<2>) -> Tensor<1> {
    t.clone().flatten(0, 1)
}

fn attention(case: &GoldenCase, [q, k, v]: [Tensor<2>; 3]) -> Tensor<2> {
    let [query, key_value, head_dim] = whole(case, "heads");
    let heads = Heads::new(query, key_value, head_dim).unwrap();
    let segment = Segment {
        start: 0,
        len: q.dims()[0],
        parent: None,
    };
    let kind = match whole(case, "causal") {
        [1] => Visibility::Causal,
        _ => Visibility::Bidirectional,
    };
    let [window] = whole(case, "window");
    let scores = Scores {
        scale: optional(case, "scale"),
        softcap: optional(case, "softcap"),
    };
    let plan = AttentionPlan::new(&[segment], kind).unwrap();
    let plan = plan
        .with_window(NonZeroUsize::new(window))
        .with_scores(scores);
    ops::segment_attention(q, k, v, &plan, heads)
}

fn rope(case: &GoldenCase, x: Tensor<2>, device: &Device) -> Tensor<2> {
    let positions: [usize; 5] = whole(case, "positions");
    let ([head_dim], [turned]) = (whole(case, "head_dim"), whole(case, "turned"));
    let table = RopeTable::new(&positions.map(|p| p as u32), turned, 1e4, device);
    ops::rope(x, &table.unwrap().partial(head_dim).unwrap())
}

/// Computes the output of a case. The inputs are in the order of their names in this function.
fn run(case: &GoldenCase, inputs: &[Tensor<2>], device: &Device) -> Tensor<2> {
    let at = |index: usize| inputs[index].clone();
    let targets = || -> Tensor<1, Int> {
        let ids: Vec<i64> = case.inputs["targets"].iter().map(|x| *x as i64).collect();
        let n = ids.len();
        Tensor::from_data(TensorData::new(ids, [n]), device)
    };
    match case.name.as_str() {
        "gelu" => ops::gelu(at(0)),
        "gelu_tanh" => ops::gelu_tanh(at(0)),
        "geglu" => ops::geglu(at(0), at(1)),
        "geglu_tanh" => ops::geglu_tanh(at(0), at(1)),
        "layer_norm without bias" => ops::layer_norm(at(1), vector(&at(0)), None, 1e-5),
        "rms_norm with unit offset" => ops::rms_norm(at(1), vector(&at(0)) + 1.0, 1e-6),
        "partial rope" => rope(case, at(0), device),
        "attention" => attention(case, [at(1), at(0), at(2)]),
        "selected_logp_capped" => {
            let cap = optional(case, "softcap");
            let logp = ops::selected_logp_capped(at(0), at(1), targets(), cap);
            logp.unsqueeze_dim(1)
        }
        "selected_logp_entropy_capped" => {
            let cap = optional(case, "softcap");
            let (logp, entropy) = ops::selected_logp_entropy_capped(at(0), at(1), targets(), cap);
            Tensor::stack(vec![logp, entropy], 1)
        }
        name => panic!("no such case: {name}"),
    }
}

/// Returns the names of the inputs that have a gradient, in the order in which [`run`] takes them.
fn names(case: &GoldenCase) -> Vec<&str> {
    let gradients = case
        .expected
        .keys()
        .filter_map(|key| key.strip_prefix("grad."));
    let mut names: Vec<&str> = gradients.collect();
    if let Some(place) = names.iter().position(|name| *name == "q") {
        assert_eq!(place, 1, "k, q, v");
    }
    names.sort_unstable();
    names
}

#[test]
fn values_and_gradients_of_other_libraries() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ops.json");
    let cases = read_golden(&path);
    assert_eq!(cases.len(), 16);
    for case in &cases {
        for (device_name, device) in devices() {
            let names = names(case);
            let inputs: Vec<Tensor<2>> = names
                .iter()
                .map(|name| {
                    let shape = &case.inputs[&format!("shape.{name}")];
                    let columns = *shape.last().unwrap() as usize;
                    let values = floats(case, name);
                    let shape = [values.len() / columns, columns];
                    tensor::<2>(&values, shape, &device).require_grad()
                })
                .collect();
            let y = run(case, &inputs, &device);
            let what = format!("{} on {device_name}", case.name);
            assert_close(&what, &host(&y), &case.expected["y"], 1e-5);
            let weights: Tensor<2> = tensor(&floats(case, "weights"), y.dims(), &device);
            let grads = (y * weights).sum().backward();
            for (name, input) in names.iter().zip(&inputs) {
                let grad = host(&input.grad(&grads).unwrap());
                let expected = &case.expected[&format!("grad.{name}")];
                assert_close(&format!("{what}, {name}"), &grad, expected, 2e-5);
            }
        }
    }
}
