//! Times every operation and its plain twin, forward alone and with backward, on flex:
//! `cargo bench -p collimate-bench --bench ops [-- FILTER]`.

use std::hint::black_box;
use std::num::NonZeroUsize;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate::core::Segment;
use collimate::ops::{self, AdamW, AdamWState, AttentionPlan, Heads, RopeTable, Visibility, naive};
use collimate_testkit::{Noise, flex, tensor};
use criterion::{BatchSize, Criterion};

type Op<'a> = &'a dyn Fn(&[Tensor<2>]) -> Tensor<2>;

/// Times `fused` and `plain` on tensors of these shapes, with gradients for the marked tensors.
fn compare(c: &mut Criterion, name: &str, shapes: &[([usize; 2], bool)], fused: Op, plain: Op) {
    let inputs = |device: &Device| -> Vec<Tensor<2>> {
        let make = |(i, (shape, _)): (usize, &([usize; 2], bool))| {
            let values = Noise::new(i as u64).values(shape[0] * shape[1], 1.0);
            tensor(&values, *shape, device)
        };
        shapes.iter().enumerate().map(make).collect()
    };
    let untracked = inputs(&flex().inner());
    let tracked: Vec<Tensor<2>> = inputs(&flex())
        .into_iter()
        .zip(shapes)
        .map(|(t, (_, wanted))| if *wanted { t.require_grad() } else { t })
        .collect();
    let mut group = c.benchmark_group(name);
    for (side, op) in [("fused", fused), ("plain", plain)] {
        group.bench_function(format!("{side}/forward"), |b| b.iter(|| op(&untracked)));
        group.bench_function(format!("{side}/forward+backward"), |b| {
            b.iter(|| op(black_box(&tracked)).sum().backward());
        });
    }
    group.finish();
}

fn vector(t: &Tensor<2>) -> Tensor<1> {
    t.clone().flatten(0, 1)
}

fn attention(c: &mut Criterion, name: &str, segments: &[Segment], heads: Heads) {
    let plan = AttentionPlan::new(segments, Visibility::Causal).expect("a valid table");
    attention_of(c, name, &plan, heads);
}

fn attention_of(c: &mut Criterion, name: &str, plan: &AttentionPlan, heads: Heads) {
    let tokens = plan.tokens();
    let query = ([tokens, heads.query * heads.head_dim], true);
    let key = ([tokens, heads.key_value * heads.head_dim], true);
    let of = |t: &[Tensor<2>]| [0, 1, 2].map(|i| t[i].clone());
    compare(
        c,
        &format!(
            "segment_attention {name}, {}/{} heads of {}",
            heads.query, heads.key_value, heads.head_dim
        ),
        &[query, key, key],
        &|t| {
            let [q, k, v] = of(t);
            ops::segment_attention(q, k, v, plan, heads)
        },
        &|t| {
            let [q, k, v] = of(t);
            naive::segment_attention(q, k, v, plan, heads)
        },
    );
}

fn logp(c: &mut Criterion, rows: usize, width: usize, vocab: usize) {
    let ids: Vec<i64> = (0..rows).map(|i| (i * 7919 % vocab) as i64).collect();
    let ids = TensorData::new(ids, [rows]);
    let targets = |t: &Tensor<2>| Tensor::<1, Int>::from_data(ids.clone(), &t.device());
    compare(
        c,
        &format!("selected_logp {rows}x{width}x{vocab}"),
        &[([rows, width], true), ([vocab, width], true)],
        &|t| ops::selected_logp(t[0].clone(), t[1].clone(), targets(&t[0])).unsqueeze(),
        &|t| naive::selected_logp(t[0].clone(), t[1].clone(), targets(&t[0])).unsqueeze(),
    );
}

/// Makes segments that lie end to end. With `shared`, every third segment is a prompt, and the next
/// two are completions of it.
fn segments(lens: &[usize], shared: bool) -> Vec<Segment> {
    let mut start = 0;
    let segment = |(index, &len): (usize, &usize)| {
        let parent = (shared && index % 3 > 0).then_some(index - index % 3);
        let segment = Segment { start, len, parent };
        start += len;
        segment
    };
    lens.iter().enumerate().map(segment).collect()
}

fn rows(c: &mut Criterion) {
    let (tokens, width) = (1000, 288);
    let x = ([tokens, width], true);
    let one = ([1, width], true);
    compare(
        c,
        "linear 1000x288x768",
        &[x, ([768, width], true)],
        &|t| ops::linear(t[0].clone(), t[1].clone(), None),
        &|t| naive::linear(t[0].clone(), t[1].clone(), None),
    );
    compare(
        c,
        "rms_norm 1000x288",
        &[x, one],
        &|t| ops::rms_norm(t[0].clone(), vector(&t[1]), 1e-5),
        &|t| naive::rms_norm(t[0].clone(), vector(&t[1]), 1e-5),
    );
    compare(
        c,
        "layer_norm 1000x288",
        &[x, one, one],
        &|t| ops::layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), 1e-5),
        &|t| naive::layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), 1e-5),
    );
    let inner = ([tokens, 768], true);
    compare(
        c,
        "gelu 1000x768",
        &[inner],
        &|t| ops::gelu(t[0].clone()),
        &|t| naive::gelu(t[0].clone()),
    );
    compare(
        c,
        "swiglu 1000x768",
        &[inner, inner],
        &|t| ops::swiglu(t[0].clone(), t[1].clone()),
        &|t| naive::swiglu(t[0].clone(), t[1].clone()),
    );
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let table = RopeTable::new(&positions, 48, 1e4, &flex()).expect("an even head size");
    compare(
        c,
        "rope 1000x288",
        &[x],
        &|t| ops::rope(t[0].clone(), &table),
        &|t| naive::rope(t[0].clone(), &table),
    );
    let ids: Vec<i64> = (0..tokens).map(|i| (i * 7919 % 32_000) as i64).collect();
    let ids = TensorData::new(ids, [tokens]);
    let ids = |t: &Tensor<2>| Tensor::<1, Int>::from_data(ids.clone(), &t.device());
    compare(
        c,
        "embedding 1000 of 32000x288",
        &[([32_000, width], true)],
        &|t| ops::embedding(t[0].clone(), ids(&t[0])),
        &|t| naive::embedding(t[0].clone(), ids(&t[0])),
    );
}

fn optimiser(c: &mut Criterion) {
    let device = flex().inner();
    let shape = [1024, 2048];
    let values = Noise::new(1).values(shape[0] * shape[1], 1.0);
    let grad: Tensor<2> = tensor(&values, shape, &device);
    let config = AdamW::default();
    let mut group = c.benchmark_group("adamw of 2 million");
    for (side, step) in [
        ("fused", ops::adamw_step as fn(_, _, &mut _, _, _, _) -> _),
        ("plain", naive::adamw_step),
    ] {
        let mut state = AdamWState::zeros(shape, &device);
        group.bench_function(side, |b| {
            b.iter_batched(
                || tensor::<2>(&values, shape, &device),
                |param| step(param, grad.clone(), &mut state, 1, 1e-3, &config),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    let mut group = c.benchmark_group("sum_of_squares of 2 million");
    group.bench_function("fused", |b| b.iter(|| ops::sum_of_squares(grad.clone())));
    group.bench_function("plain", |b| b.iter(|| naive::sum_of_squares(grad.clone())));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let c = &mut criterion;
    logp(c, 1000, 128, 4000);
    logp(c, 400, 288, 32_000);
    for heads in [(6, 6, 48), (8, 2, 64), (12, 12, 32)] {
        let heads = Heads::new(heads.0, heads.1, heads.2).expect("valid heads");
        attention(c, "60 texts of 30", &segments(&[30; 60], false), heads);
        let pairs = segments(&[60, 40, 40].repeat(20), true);
        attention(c, "20 pairs of 60+40+40", &pairs, heads);
        attention(c, "2 texts of 512", &segments(&[512; 2], false), heads);
    }
    let plan = AttentionPlan::new(&segments(&[2048], false), Visibility::Causal);
    let plan = plan
        .expect("a valid table")
        .with_window(NonZeroUsize::new(128));
    let heads = Heads::new(6, 6, 48).expect("valid heads");
    attention_of(c, "2048 tokens, window 128", &plan, heads);
    rows(c);
    optimiser(c);
    criterion.final_summary();
}
