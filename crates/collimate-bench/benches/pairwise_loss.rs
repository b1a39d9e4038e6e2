//! The pairwise loss of a reward model's batch, forward and backward.

use std::hint::black_box;

use collimate::prelude::PairwiseLoss;
use collimate_testkit::{Noise, flex, tensor};
use criterion::{BenchmarkId, Criterion, Throughput};

const PAIRS: [usize; 3] = [4, 64, 4096];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pairwise_loss");
    let device = flex();
    let loss = PairwiseLoss::default();
    for pairs in PAIRS {
        let mut noise = Noise::new(pairs as u64);
        let chosen = noise.values(pairs, 2.0);
        let rejected = noise.values(pairs, 2.0);
        group.throughput(Throughput::Elements(pairs as u64));
        group.bench_function(BenchmarkId::new("logistic", pairs), |bench| {
            bench.iter(|| {
                let chosen = tensor::<1>(&chosen, [pairs], &device).require_grad();
                let rejected = tensor::<1>(&rejected, [pairs], &device).require_grad();
                let losses = loss
                    .forward(chosen.clone(), rejected)
                    .expect("equal lengths and default options");
                chosen.grad(&black_box(losses).mean().backward())
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
