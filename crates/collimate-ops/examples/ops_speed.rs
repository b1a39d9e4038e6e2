//! Times every fused operation against its plain twin on flex, forward and forward + backward:
//! `cargo run --example ops_speed`. Medians of repeated runs, in milliseconds.

use std::num::NonZeroUsize;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{
    AdamW, AdamWState, AttentionPlan, Heads, RopeTable, Visibility, adamw_step, naive,
    sum_of_squares,
};
use collimate_testkit::{Noise, flex, tensor};

const RUNS: usize = 9;

fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn row(name: &str, fused: f64, plain: f64) {
    println!(
        "{name:<58} {fused:>9.3} {plain:>9.3} {:>6.1}×",
        plain / fused
    );
}

/// Times `op` on tensors of these shapes, plain and with gradients for those marked.
fn compare(
    name: &str,
    shapes: &[([usize; 2], bool)],
    fused: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
    plain: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    let inputs = |device: &Device| -> Vec<Tensor<2>> {
        let make = |(i, (shape, _)): (usize, &([usize; 2], bool))| {
            let values = Noise::new(i as u64).values(shape[0] * shape[1], 1.0);
            tensor(&values, *shape, device)
        };
        shapes.iter().enumerate().map(make).collect()
    };
    let untracked = inputs(&flex().inner());
    let forward = |op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>| median(|| drop(op(&untracked)));
    row(&format!("{name}, forward"), forward(fused), forward(plain));
    let tracked: Vec<Tensor<2>> = inputs(&flex())
        .into_iter()
        .zip(shapes)
        .map(|(t, (_, wanted))| if *wanted { t.require_grad() } else { t })
        .collect();
    let both =
        |op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>| median(|| drop(op(&tracked).sum().backward()));
    row(
        &format!("{name}, forward + backward"),
        both(fused),
        both(plain),
    );
}

fn vector(t: &Tensor<2>) -> Tensor<1> {
    t.clone().flatten(0, 1)
}

fn attention(name: &str, segments: &[Segment], window: Option<usize>, heads: Heads) {
    let plan = AttentionPlan::new(segments, Visibility::Causal).expect("a valid table");
    let plan = plan.with_window(window.and_then(NonZeroUsize::new));
    let tokens = plan.tokens();
    let query = ([tokens, heads.query * heads.head_dim], true);
    let key = ([tokens, heads.key_value * heads.head_dim], true);
    compare(
        &format!(
            "attention {name} {}/{}×{}",
            heads.query, heads.key_value, heads.head_dim
        ),
        &[query, key, key],
        &|t| {
            let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
            collimate_ops::segment_attention(q, k, v, &plan, heads)
        },
        &|t| {
            let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
            naive::segment_attention(q, k, v, &plan, heads)
        },
    );
}

fn logp(rows: usize, width: usize, vocab: usize, frozen: bool) {
    let ids: Vec<i64> = (0..rows).map(|i| (i * 7919 % vocab) as i64).collect();
    let ids = TensorData::new(ids, [rows]);
    let targets = |t: &Tensor<2>| Tensor::<1, Int>::from_data(ids.clone(), &t.device());
    let note = if frozen { ", frozen weight" } else { "" };
    compare(
        &format!("selected_logp {rows}×{width}×{vocab}{note}"),
        &[([rows, width], true), ([vocab, width], !frozen)],
        &|t| collimate_ops::selected_logp(t[0].clone(), t[1].clone(), targets(&t[0])).unsqueeze(),
        &|t| naive::selected_logp(t[0].clone(), t[1].clone(), targets(&t[0])).unsqueeze(),
    );
}

fn main() {
    println!(
        "{:<58} {:>9} {:>9} {:>7}",
        "operation (ms)", "fused", "plain", "gain"
    );
    logp(1000, 64, 300, false);
    logp(1000, 128, 4000, false);
    logp(400, 256, 32000, false);
    logp(400, 256, 32000, true);

    let run = |lens: &[usize]| -> Vec<Segment> {
        let mut start = 0;
        let segment = |&len: &usize| {
            let segment = Segment {
                start,
                len,
                parent: None,
            };
            start += len;
            segment
        };
        lens.iter().map(segment).collect()
    };
    let mut pairs = run(&[60, 40, 40].repeat(20));
    for (index, segment) in pairs.iter_mut().enumerate() {
        segment.parent = (index % 3 > 0).then_some(index - index % 3);
    }
    for heads in [(4, 4, 16), (4, 2, 64), (12, 12, 32)] {
        let heads = Heads::new(heads.0, heads.1, heads.2).expect("valid heads");
        attention("60 × 30 tokens", &run(&[30; 60]), None, heads);
        attention("20 pairs of 60+40+40", &pairs, None, heads);
        attention("4 × 512", &run(&[512; 4]), None, heads);
    }
    let heads = Heads::new(4, 2, 64).expect("valid heads");
    attention("1 × 2048", &run(&[2048]), None, heads);
    attention("1 × 2048, window 128", &run(&[2048]), Some(128), heads);

    let (tokens, width) = (2000, 256);
    compare(
        "linear 2000×256→1024",
        &[([tokens, width], true), ([1024, width], true)],
        &|t| collimate_ops::linear(t[0].clone(), t[1].clone(), None),
        &|t| naive::linear(t[0].clone(), t[1].clone(), None),
    );
    compare(
        "linear with bias 2000×256→1024",
        &[
            ([tokens, width], true),
            ([1024, width], true),
            ([1, 1024], true),
        ],
        &|t| collimate_ops::linear(t[0].clone(), t[1].clone(), Some(vector(&t[2]))),
        &|t| naive::linear(t[0].clone(), t[1].clone(), Some(vector(&t[2]))),
    );
    compare(
        "rms_norm 2000×256",
        &[([tokens, width], true), ([1, width], true)],
        &|t| collimate_ops::rms_norm(t[0].clone(), vector(&t[1]), 1e-5),
        &|t| naive::rms_norm(t[0].clone(), vector(&t[1]), 1e-5),
    );
    compare(
        "layer_norm 2000×256",
        &[
            ([tokens, width], true),
            ([1, width], true),
            ([1, width], true),
        ],
        &|t| collimate_ops::layer_norm(t[0].clone(), vector(&t[1]), vector(&t[2]), 1e-5),
        &|t| naive::layer_norm(t[0].clone(), vector(&t[1]), vector(&t[2]), 1e-5),
    );
    compare(
        "gelu 2000×1024",
        &[([tokens, 1024], true)],
        &|t| collimate_ops::gelu(t[0].clone()),
        &|t| naive::gelu(t[0].clone()),
    );
    compare(
        "swiglu 2000×768",
        &[([tokens, 768], true), ([tokens, 768], true)],
        &|t| collimate_ops::swiglu(t[0].clone(), t[1].clone()),
        &|t| naive::swiglu(t[0].clone(), t[1].clone()),
    );
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let table = RopeTable::new(&positions, 32, 1e4, &flex()).expect("an even head size");
    compare(
        "rope 2000×256",
        &[([tokens, width], true)],
        &|t| collimate_ops::rope(t[0].clone(), &table),
        &|t| naive::rope(t[0].clone(), &table),
    );
    let ids: Vec<i64> = (0..tokens).map(|i| (i * 7919 % 8000) as i64).collect();
    let ids = TensorData::new(ids, [tokens]);
    let ids = |t: &Tensor<2>| Tensor::<1, Int>::from_data(ids.clone(), &t.device());
    compare(
        "embedding 2000 of 8000×256",
        &[([8000, width], true)],
        &|t| collimate_ops::embedding(t[0].clone(), ids(&t[0])),
        &|t| naive::embedding(t[0].clone(), ids(&t[0])),
    );
    optimiser();
}

fn optimiser() {
    let device = flex().inner();
    let shape = [1024, 2048];
    let values = Noise::new(1).values(shape[0] * shape[1], 1.0);
    let grad: Tensor<2> = tensor(&values, shape, &device);
    let step = |fused: bool| {
        let mut param = Some(tensor::<2>(&values, shape, &device));
        let mut state = AdamWState::zeros(shape, &device);
        let mut count = 0;
        median(|| {
            count += 1;
            let op = if fused { adamw_step } else { naive::adamw_step };
            let held = param.take().expect("put back below");
            param = Some(op(
                held,
                grad.clone(),
                &mut state,
                count,
                1e-3,
                &AdamW::default(),
            ));
        })
    };
    row("adamw_step of 2 million", step(true), step(false));
    let plain = median(|| _ = naive::sum_of_squares(grad.clone()));
    row(
        "sum_of_squares of 2 million",
        median(|| _ = sum_of_squares(grad.clone())),
        plain,
    );
}
