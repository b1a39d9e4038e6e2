//! Attention by content and relative position against transformers (`golden/disentangled.py`).

use std::num::NonZeroUsize;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use collimate_core::Segment;
use collimate_ops::{
    AttentionPlan, Heads, OpsError, RelativePositions, RelativeProjections, Scores, Visibility,
    disentangled_attention, segment_attention,
};
use collimate_testkit::{GoldenCase, Noise, assert_close, devices, host, read_golden, tensor};

const WIDTH: usize = 6;

fn heads() -> Heads {
    Heads::new(2, 2, 3).unwrap()
}

fn cases(name: &str) -> Vec<GoldenCase> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/disentangled.json");
    let cases = read_golden(&path).into_iter();
    let cases: Vec<_> = cases.filter(|case| case.name == name).collect();
    assert!(cases.len() >= 3);
    cases
}

fn positions(case: &GoldenCase) -> RelativePositions {
    let [buckets, longest] = ["buckets", "longest"].map(|name| case.inputs[name][0] as usize);
    RelativePositions::new(buckets, longest).unwrap()
}

fn plan(lengths: &[usize], visibility: Visibility) -> AttentionPlan {
    let mut segments: Vec<Segment> = Vec::new();
    for &len in lengths {
        let start = segments.last().map_or(0, |last| last.range().end);
        let parent = None;
        segments.push(Segment { start, len, parent });
    }
    AttentionPlan::new(&segments, visibility).unwrap()
}

fn leaf(case: &GoldenCase, name: &str, device: &Device) -> Option<Tensor<2>> {
    let values: Vec<f32> = case.inputs.get(name)?.iter().map(|x| *x as f32).collect();
    Some(tensor::<2>(&values, [values.len() / WIDTH, WIDTH], device).require_grad())
}

#[test]
fn rows_of_distances() {
    for case in cases("rows") {
        let positions = positions(&case);
        let pairs = case.inputs["distances"].iter().zip(&case.expected["rows"]);
        for (distance, row) in pairs {
            let found = positions.row(*distance as isize);
            assert_eq!(found, *row as usize, "{positions:?}, distance {distance}");
        }
    }
}

#[test]
fn values_and_gradients_of_transformers() {
    for case in cases("attention") {
        let lengths: Vec<usize> = case.inputs["lengths"].iter().map(|x| *x as usize).collect();
        let plan = plan(&lengths, Visibility::Bidirectional);
        for (device_name, device) in devices() {
            let names = ["q", "k", "v", "keys", "queries"];
            let leaves = names.map(|name| leaf(&case, name, &device));
            let [q, k, v, keys, queries] = leaves.clone();
            let relative = RelativeProjections {
                positions: positions(&case),
                keys,
                queries,
            };
            let [q, k, v] = [q, k, v].map(Option::unwrap);
            let y = disentangled_attention(q, k, v, &relative, &plan, heads());
            let what = format!("{device_name}, {:?}, {lengths:?}", relative.positions);
            assert_close(&what, &host(&y), &case.expected["y"], 1e-5);
            let weights = leaf(&case, "weights", &device).unwrap();
            let grads = (y * weights.detach()).sum().backward();
            for (name, leaf) in names.iter().zip(leaves) {
                let Some(leaf) = leaf else { continue };
                let grad = host(&leaf.grad(&grads).unwrap());
                let expected = &case.expected[&format!("grad.{name}")];
                assert_close(&format!("{what}, {name}"), &grad, expected, 2e-5);
            }
        }
    }
}

/// Creates random contents, with projections of zero if `zero`.
fn random(device: &Device, tokens: usize, rows: usize, zero: bool) -> [Tensor<2>; 5] {
    let mut noise = Noise::new(4);
    let mut make = |count: usize, scale: f32| -> Tensor<2> {
        tensor(&noise.values(count * WIDTH, scale), [count, WIDTH], device)
    };
    let scale = if zero { 0.0 } else { 1.0 };
    let content = [(); 3].map(|()| make(tokens, 1.0));
    let [q, k, v] = content;
    [q, k, v, make(rows, scale), make(rows, scale)]
}

#[test]
fn without_relative_scores_it_is_plain_attention() {
    let positions = RelativePositions::new(6, 12).unwrap();
    for (name, device) in devices() {
        let [q, k, v, keys, queries] = random(&device, 25, positions.rows(), true);
        for kind in [Visibility::Causal, Visibility::Bidirectional] {
            for window in [None, NonZeroUsize::new(4)] {
                let scores = Scores {
                    scale: Some(0.4),
                    softcap: Some(1.5),
                };
                let plan = plan(&[18, 7], kind).with_window(window).with_scores(scores);
                let relative = RelativeProjections {
                    positions,
                    keys: Some(keys.clone()),
                    queries: Some(queries.clone()),
                };
                let [q, k, v] = [&q, &k, &v].map(Tensor::clone);
                let plain = segment_attention(q.clone(), k.clone(), v.clone(), &plan, heads());
                let found = disentangled_attention(q, k, v, &relative, &plan, heads());
                let expected: Vec<f64> = host(&plain).into_iter().map(f64::from).collect();
                assert_close(name, &host(&found), &expected, 1e-5);
            }
        }
    }
}

#[test]
fn an_answer_goes_on_where_its_prompt_ends() {
    let positions = RelativePositions::new(6, 12).unwrap();
    let segment = |start, len, parent| Segment { start, len, parent };
    let tree = [segment(0, 9, None), segment(9, 6, Some(0))];
    for (name, device) in devices() {
        let [q, k, v, keys, queries] = random(&device, 15, positions.rows(), false);
        let relative = RelativeProjections {
            positions,
            keys: Some(keys),
            queries: Some(queries),
        };
        let run = |plan: &AttentionPlan| {
            let [q, k, v] = [&q, &k, &v].map(Tensor::clone);
            host(&disentangled_attention(q, k, v, &relative, plan, heads()))
        };
        let tree = AttentionPlan::new(&tree, Visibility::Causal).unwrap();
        let whole: Vec<f64> = run(&plan(&[15], Visibility::Causal))
            .into_iter()
            .map(f64::from)
            .collect();
        assert_close(name, &run(&tree), &whole, 1e-6);
    }
}

#[test]
fn positions_without_room_are_refused() {
    for (buckets, longest) in [(0, 0), (1, 9), (8, 5), (256, 129)] {
        let error = RelativePositions::new(buckets, longest).unwrap_err();
        assert_eq!(error, OpsError::RelativePositions { buckets, longest });
    }
    assert!(RelativePositions::new(256, 130).is_ok());
}
