//! Attention under a sliding window, compared with its definition, and its blindness beyond the
//! window.

use std::num::NonZeroUsize;

use burn::tensor::{Device, Tensor};
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Heads, Scores, Visibility, naive};
use collimate_testkit::{Noise, assert_close, devices, flex, host, tensor};
use proptest::prelude::*;

fn segment(start: usize, len: usize, parent: Option<usize>) -> Segment {
    Segment { start, len, parent }
}

/// Returns one sequence, a prompt with answers, and trees of separated segments, three deep.
fn tables() -> [Vec<Segment>; 3] {
    [
        vec![segment(0, 150, None)],
        vec![
            segment(0, 45, None),
            segment(45, 70, Some(0)),
            segment(115, 33, Some(0)),
            segment(148, 1, Some(0)),
        ],
        vec![
            segment(0, 40, None),
            segment(40, 37, Some(0)),
            segment(77, 9, None),
            segment(86, 66, Some(1)),
            segment(152, 5, Some(1)),
            segment(157, 20, Some(0)),
            segment(177, 30, Some(5)),
            segment(207, 3, Some(2)),
        ],
    ]
}

const KINDS: [Visibility; 2] = [Visibility::Causal, Visibility::Bidirectional];

fn plan(table: &[Segment], kind: Visibility, window: usize) -> AttentionPlan {
    let plan = AttentionPlan::new(table, kind).unwrap();
    plan.with_window(NonZeroUsize::new(window))
}

/// Returns, for each token of a pack, the rows of its sequence that it sees under a window.
fn seen(table: &[Segment], kind: Visibility, window: usize) -> Vec<Vec<usize>> {
    let histories = histories(table);
    let ends: Vec<usize> = table
        .iter()
        .flat_map(|s| vec![s.range().end; s.len])
        .collect();
    let tokens = histories.into_iter().zip(ends).enumerate();
    tokens
        .map(|(token, (history, end))| {
            let mut seen = history[history.len().saturating_sub(window)..].to_vec();
            if kind == Visibility::Bidirectional {
                seen.extend(token + 1..end.min(token.saturating_add(window)));
            }
            seen
        })
        .collect()
}

/// Returns, for each token of a pack, the rows of its sequence up to itself, in reading order.
fn histories(table: &[Segment]) -> Vec<Vec<usize>> {
    let mut sequences: Vec<Vec<usize>> = Vec::new();
    let mut histories = Vec::new();
    for segment in table {
        let mut rows = segment
            .parent
            .map_or(Vec::new(), |parent| sequences[parent].clone());
        for row in segment.range() {
            rows.push(row);
            histories.push(rows.clone());
        }
        sequences.push(rows);
    }
    histories
}

struct Case {
    heads: Heads,
    tokens: usize,
    inputs: [Vec<f32>; 3],
}

impl Case {
    fn new(heads: [usize; 3], tokens: usize, seed: u64) -> Self {
        let [query, key_value, head_dim] = heads;
        let mut noise = Noise::new(seed);
        let widths = [query, key_value, key_value].map(|heads| heads * head_dim);
        Self {
            heads: Heads::new(query, key_value, head_dim).unwrap(),
            tokens,
            inputs: widths.map(|width| noise.values(tokens * width, 1.5)),
        }
    }

    fn tensors(&self, device: &Device) -> [Tensor<2>; 3] {
        let put = |values: &Vec<f32>| {
            let shape = [self.tokens, values.len() / self.tokens];
            tensor::<2>(values, shape, device).require_grad()
        };
        self.inputs.each_ref().map(put)
    }

    /// Computes the output, then the gradients of q, k and v for an output gradient of `weights`.
    fn outcome(
        &self,
        plan: &AttentionPlan,
        weights: &[f32],
        device: &Device,
        fused: bool,
    ) -> [Vec<f32>; 4] {
        let [q, k, v] = self.tensors(device);
        let op = match fused {
            true => collimate_ops::segment_attention,
            false => naive::segment_attention,
        };
        let out = op(q.clone(), k.clone(), v.clone(), plan, self.heads);
        let weights = tensor(weights, out.dims(), device);
        let grads = (out.clone() * weights).sum().backward();
        let grad = |t: &Tensor<2>| host(&t.grad(&grads).unwrap());
        [host(&out), grad(&q), grad(&k), grad(&v)]
    }

    fn weights(&self) -> Vec<f32> {
        Noise::new(8).values(self.inputs[0].len(), 1.0)
    }

    /// Computes in f64 a softmax over the tokens that each token sees.
    fn definition(&self, seen: &[Vec<usize>]) -> Vec<f64> {
        let Heads {
            query,
            key_value,
            head_dim,
        } = self.heads;
        let [q, k, v] = &self.inputs;
        let at = |values: &[f32], token: usize, heads: usize, head: usize, d: usize| {
            f64::from(values[(token * heads + head) * head_dim + d])
        };
        let mut out = Vec::new();
        for (token, seen) in seen.iter().enumerate() {
            for head in 0..query {
                let shared = head / (query / key_value);
                let mut scores = Vec::new();
                for &key in seen {
                    let dot: f64 = (0..head_dim)
                        .map(|d| at(q, token, query, head, d) * at(k, key, key_value, shared, d))
                        .sum();
                    scores.push((dot / (head_dim as f64).sqrt()).exp());
                }
                let total: f64 = scores.iter().sum();
                for d in 0..head_dim {
                    let parts = seen.iter().zip(&scores);
                    let sum: f64 = parts
                        .map(|(&key, score)| score * at(v, key, key_value, shared, d))
                        .sum();
                    out.push(sum / total);
                }
            }
        }
        out
    }
}

#[test]
fn a_window_by_its_definition() {
    for table in tables() {
        let tokens = table.iter().map(|s| s.len).sum();
        for heads in [[1, 1, 2], [4, 2, 16], [3, 3, 20], [6, 1, 5]] {
            let case = Case::new(heads, tokens, 1);
            let weights = case.weights();
            let windows = [1, 2, 15, 16, 17, 31, 32, 33, 50, 100, 1000];
            for (window, kind) in windows
                .into_iter()
                .flat_map(|w| KINDS.map(|kind| (w, kind)))
            {
                let plan = plan(&table, kind, window);
                let expected = case.definition(&seen(&table, kind, window));
                let fused = case.outcome(&plan, &weights, &flex(), true);
                let what = format!("window {window}, {kind:?}, {heads:?}, {table:?}");
                assert_close(&what, &fused[0], &expected, 1e-5);
                for (name, device) in devices() {
                    let plain = case.outcome(&plan, &weights, &device, false);
                    let what = format!("{what}, plain on {name}");
                    assert_close(&what, &plain[0], &expected, 1e-5);
                    for (part, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
                        let plain: Vec<f64> = plain.iter().map(|&x| f64::from(x)).collect();
                        assert_close(&format!("{what}, result {part}"), fused, &plain, 1e-5);
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_over_everything_changes_no_bit() {
    let bits = |results: [Vec<f32>; 4]| results.map(|r| r.into_iter().map(f32::to_bits).collect());
    for table in tables() {
        let tokens = table.iter().map(|s| s.len).sum();
        let longest = histories(&table).iter().map(Vec::len).max().unwrap();
        let case = Case::new([4, 2, 12], tokens, 2);
        let weights = case.weights();
        for ((_, device), kind) in devices()
            .into_iter()
            .flat_map(|d| KINDS.map(|kind| (d.clone(), kind)))
        {
            let run = |plan: &AttentionPlan| -> [Vec<u32>; 4] {
                bits(case.outcome(plan, &weights, &device, true))
            };
            let whole = AttentionPlan::new(&table, kind).unwrap();
            assert_eq!(whole.window(), None);
            let expected = run(&whole);
            for window in [longest, longest + 1, usize::MAX] {
                assert_eq!(
                    run(&plan(&table, kind, window)),
                    expected,
                    "window {window}"
                );
            }
            let narrow = plan(&table, kind, longest - 1);
            assert_ne!(run(&narrow)[0], expected[0]);
            assert_eq!(run(&narrow.with_window(None)), expected);
        }
    }
}

#[test]
fn scores_of_the_default_form_change_no_bit() {
    let bits = |results: [Vec<f32>; 4]| results.map(|r| r.into_iter().map(f32::to_bits).collect());
    let table = &tables()[1];
    let case = Case::new([4, 2, 12], table.iter().map(|s| s.len).sum(), 2);
    for ((_, device), kind) in devices()
        .into_iter()
        .flat_map(|d| KINDS.map(|kind| (d.clone(), kind)))
    {
        let run = |scores: Scores| -> [Vec<u32>; 4] {
            let plan = plan(table, kind, 40).with_scores(scores);
            bits(case.outcome(&plan, &case.weights(), &device, true))
        };
        let form = |scale, softcap| Scores { scale, softcap };
        let expected = run(Scores::default());
        assert_eq!(run(form(Some(1.0 / 12f64.sqrt()), None)), expected);
        for other in [form(Some(0.3), None), form(None, Some(20.0))] {
            assert_ne!(run(other)[0], expected[0], "{other:?}");
            assert_eq!(plan(table, kind, 40).with_scores(other).scores(), other);
        }
    }
}

#[test]
#[should_panic(expected = "softcap -1 must be positive")]
fn a_negative_cap_is_refused() {
    let softcap = Some(-1.0);
    let _ = plan(&tables()[0], KINDS[0], 1).with_scores(Scores {
        scale: None,
        softcap,
    });
}

/// Draws random lengths, and for each segment either a parent among the earlier segments or none.
fn random_tables() -> impl Strategy<Value = Vec<Segment>> {
    prop::collection::vec((1usize..50, any::<u32>()), 1..7).prop_map(|draws| {
        let mut table: Vec<Segment> = Vec::new();
        for (index, (len, draw)) in draws.into_iter().enumerate() {
            let start = table.last().map_or(0, |last| last.range().end);
            let parent = (draw as usize % (index + 1)).checked_sub(1);
            table.push(segment(start, len, parent));
        }
        table
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_a_window_hides_has_no_influence(
        table in random_tables(),
        window in 1usize..70,
        causal in any::<bool>(),
        place in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let tokens = table.iter().map(|s| s.len).sum();
        let changed = place.index(tokens);
        let kind = KINDS[usize::from(!causal)];
        let seen = seen(&table, kind, window);
        let sees = |token: usize| seen[token].contains(&changed);
        let case = Case::new([4, 2, 6], tokens, seed);
        let mut other = Case::new([4, 2, 6], tokens, seed);
        for values in &mut other.inputs[1..] {
            values[changed * 12..(changed + 1) * 12].iter_mut().for_each(|x| *x += 1.0);
        }
        // Only the outputs of tokens that do not see this token are differentiated.
        let mut weights = case.weights();
        for token in (0..tokens).filter(|&token| sees(token)) {
            weights[token * 24..(token + 1) * 24].fill(0.0);
        }
        let plan = plan(&table, kind, window);
        for (_, device) in devices() {
            let before = case.outcome(&plan, &weights, &device, true);
            let after = other.outcome(&plan, &weights, &device, true);
            for token in 0..tokens {
                let bits = |out: &[f32]| -> Vec<u32> {
                    out[token * 24..(token + 1) * 24].iter().map(|x| x.to_bits()).collect()
                };
                prop_assert_eq!(bits(&before[0]) != bits(&after[0]), sees(token), "token {}", token);
            }
            for grad in &before[2..] {
                prop_assert!(grad[changed * 12..(changed + 1) * 12].iter().all(|&x| x == 0.0));
            }
        }
    }
}
