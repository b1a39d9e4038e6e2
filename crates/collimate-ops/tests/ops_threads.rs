//! The number of threads does not change any bit of the results.

use burn::tensor::{Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{
    AdamW, AdamWState, AttentionPlan, Heads, RopeTable, Visibility, adamw_step, embedding, gelu,
    layer_norm, linear, rms_norm, rope, segment_attention, selected_logp, sum_of_squares, swiglu,
};
use collimate_testkit::{Noise, flex, host, tensor};

/// Runs a small model's forward, backward and update, and returns all numbers.
fn everything() -> Vec<Vec<f32>> {
    let device = flex();
    let (tokens, width, vocab) = (300, 128, 500);
    let mut noise = Noise::new(1);
    let mut leaf = |rows: usize, columns: usize| -> Tensor<2> {
        let values = noise.values(rows * columns, 0.3);
        tensor(&values, [rows, columns], &device).require_grad()
    };
    let table = leaf(vocab, width);
    let [q, k, v, gate, up] = [width, 64, 64, 256, 256].map(|out| leaf(out, width));
    let down = leaf(width, 256);
    let [scale, shift] = [(); 2].map(|()| leaf(1, width));
    let vector = |t: &Tensor<2>| t.clone().flatten::<1>(0, 1);
    let ids: Vec<i64> = (0..tokens).map(|i| (i * 7919 % vocab) as i64).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [tokens]), &device);
    let segments = [
        (0, 100, None),
        (100, 120, Some(0)),
        (220, 50, Some(0)),
        (270, 30, None),
    ]
    .map(|(start, len, parent)| Segment { start, len, parent });
    let plan = AttentionPlan::new(&segments, Visibility::Causal).unwrap();
    let heads = Heads::new(4, 2, 32).unwrap();
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let angles = RopeTable::new(&positions, 32, 1e4, &device).unwrap();

    let x = embedding(table.clone(), ids.clone());
    let y = rms_norm(x.clone(), vector(&scale), 1e-5);
    let attended = segment_attention(
        rope(linear(y.clone(), q.clone(), None), &angles),
        rope(linear(y.clone(), k.clone(), None), &angles),
        linear(y, v.clone(), Some(vector(&scale).narrow(0, 0, 64))),
        &plan,
        heads,
    );
    let x = x + attended;
    let y = layer_norm(x.clone(), vector(&scale), Some(vector(&shift)), 1e-5);
    let fed = swiglu(
        linear(y.clone(), gate.clone(), None),
        linear(gelu(y), up.clone(), None),
    );
    let x = x + linear(fed, down.clone(), None);
    let logp = selected_logp(x, table.clone(), ids);
    let grads = logp.clone().sum().backward();

    let mut results = vec![host(&logp)];
    for leaf in [&table, &q, &k, &v, &gate, &up, &down, &scale, &shift] {
        let grad = leaf.grad(&grads).expect("every leaf takes part");
        let mut state = AdamWState::zeros(leaf.dims(), &device);
        results.push(vec![sum_of_squares(grad.clone()) as f32]);
        results.push(host(&grad));
        let cfg = AdamW::default();
        results.push(host(&adamw_step(
            leaf.clone(),
            grad,
            &mut state,
            1,
            0.1,
            &cfg,
        )));
    }
    results
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(everything)
    };
    let one = run(1);
    assert!(one.iter().flatten().all(|x| x.is_finite()));
    for threads in [2, 3, 7] {
        assert!(run(threads) == one, "{threads} threads differ from one");
    }
}
