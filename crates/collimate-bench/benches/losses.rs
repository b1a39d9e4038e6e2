//! Times the losses of a batch, forward and backward: `cargo bench -p collimate-bench --bench losses`.

use std::hint::black_box;

use burn::tensor::Tensor;
use collimate::losses::{DirectLoss, PairLogps, PreferenceLoss};
use collimate::prelude::PairwiseLoss;
use collimate_testkit::{Noise, flex, tensor};
use criterion::{BenchmarkId, Criterion, Throughput};

const PAIRS: [usize; 3] = [4, 64, 4096];
const DIRECT: [&str; 4] = ["dpo", "ipo", "slic_hf", "simpo"];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let device = flex();
    for pairs in PAIRS {
        let mut noise = Noise::new(pairs as u64);
        let mut column = |scale| tensor::<1>(&noise.values(pairs, scale), [pairs], &device);
        let (chosen, rejected) = (column(2.0), column(2.0));
        let reference = [column(2.0), column(2.0)];
        let tracked = || {
            let fresh = |t: &Tensor<1>| t.clone().detach().require_grad();
            (fresh(&chosen), fresh(&rejected))
        };

        let mut group = criterion.benchmark_group("pairwise");
        group.throughput(Throughput::Elements(pairs as u64));
        let loss = PairwiseLoss::default();
        group.bench_function(BenchmarkId::new("logistic", pairs), |bench| {
            bench.iter(|| {
                let (chosen, rejected) = tracked();
                let losses = loss
                    .forward(chosen.clone(), rejected)
                    .expect("equal lengths and default options");
                chosen.grad(&black_box(losses).mean().backward())
            });
        });
        group.finish();

        let mut group = criterion.benchmark_group("direct");
        group.throughput(Throughput::Elements(pairs as u64));
        for name in DIRECT {
            let loss: PreferenceLoss = name.parse().expect("a loss of this name");
            group.bench_function(BenchmarkId::new(name, pairs), |bench| {
                bench.iter(|| {
                    let (chosen, rejected) = tracked();
                    let [a, b] = reference.clone();
                    let logps = PairLogps::new(chosen.clone(), rejected)
                        .with_tokens(vec![9; pairs], vec![9; pairs])
                        .with_reference(a, b);
                    let losses = loss.forward(&logps).expect("all that the loss needs");
                    chosen.grad(&black_box(losses).mean().backward())
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
