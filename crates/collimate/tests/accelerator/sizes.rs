//! Operations on no row and on one row, and shapes that change with every call.

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate::core::Segment;
use collimate::ops::{self, AttentionPlan, Heads, RopeTable, Visibility};
use collimate_testkit::{Noise, host, tensor};

use crate::setup::{device, flex, near};

const WIDTH: usize = 8;

type Operation = fn(usize, &Device) -> Tensor<2>;

/// Draws a tracked matrix of `rows` rows of which only the first `rows` matter: the same numbers on
/// every device.
fn rows(rows: usize, seed: u64, device: &Device) -> Tensor<2> {
    let values = Noise::new(seed).values(rows * WIDTH, 1.0);
    tensor(&values, [rows, WIDTH], device).require_grad()
}

fn scale(device: &Device) -> Tensor<1> {
    tensor(&Noise::new(9).values(WIDTH, 1.0), [WIDTH], device)
}

fn ids(count: usize, device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i32> = (0..count).map(|i| (i * 3 % 5) as i32).collect();
    Tensor::from_data(TensorData::new(ids, [count]), device)
}

fn column(values: Tensor<1>) -> Tensor<2> {
    values.unsqueeze_dim(1)
}

const OPERATIONS: [(&str, Operation); 9] = [
    ("linear", |n, d| {
        ops::linear(rows(n, 1, d), rows(5, 2, d), None)
    }),
    ("rms_norm", |n, d| {
        ops::rms_norm(rows(n, 1, d), scale(d), 1e-6)
    }),
    ("layer_norm", |n, d| {
        ops::layer_norm(rows(n, 1, d), scale(d), None, 1e-6)
    }),
    ("gelu", |n, d| ops::gelu(rows(n, 1, d))),
    ("swiglu", |n, d| ops::swiglu(rows(n, 1, d), rows(n, 2, d))),
    ("embedding", |n, d| ops::embedding(rows(5, 1, d), ids(n, d))),
    ("selected_logp", |n, d| {
        column(ops::selected_logp(rows(n, 1, d), rows(5, 2, d), ids(n, d)))
    }),
    ("rope", |n, d| {
        let positions: Vec<u32> = (0..n as u32).collect();
        ops::rope(
            rows(n, 1, d),
            &RopeTable::new(&positions, 4, 1e4, d).unwrap(),
        )
    }),
    ("segment_attention", |n, d| {
        let segments: Vec<Segment> = (n > 0)
            .then_some(Segment {
                start: 0,
                len: n,
                parent: None,
            })
            .into_iter()
            .collect();
        let plan = AttentionPlan::new(&segments, Visibility::Causal).unwrap();
        let heads = Heads::new(2, 2, 4).unwrap();
        ops::segment_attention(rows(n, 1, d), rows(n, 2, d), rows(n, 3, d), &plan, heads)
    }),
];

/// Tolerance: a few roundings of sums of eight f32 products.
#[test]
fn every_number_of_rows() {
    let (name, device) = device();
    let device = device.autodiff();
    for (op, run) in OPERATIONS {
        // Products of no rows divide by zero in burn-ndarray 0.22.1.
        let none = usize::from(name == "ndarray" && op == "linear");
        for n in [none, 1, 7, 2, 33, none, 3] {
            let (found, wanted) = (run(n, &device), run(n, &flex().autodiff()));
            let what = format!("{op} of {n} rows on {name}");
            assert_eq!(found.dims(), wanted.dims(), "{what}");
            assert_eq!(found.dims()[0], n, "{what}");
            let [a, b] = [&found, &wanted].map(|t| host(t).into_iter().map(f64::from));
            let (a, b): (Vec<f64>, Vec<f64>) = (a.collect(), b.collect());
            if n > 0 {
                near(&what, &a, &b, 1e-5);
                let _ = found.sum().backward();
            }
        }
    }
}
