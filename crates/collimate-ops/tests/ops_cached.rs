//! Attention over a cache, and products row by row: values on every device, and changes that must
//! not affect them.

use std::num::NonZeroUsize;

use burn::tensor::{Device, Tensor};
use collimate_ops::{
    Append, CacheType, Heads, KvPages, PackedLinear, Scores, cached_attention, is_fused, linear,
};
use collimate_testkit::{Noise, assert_close, devices, host, tensor};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Inputs of every row of the cache.
struct Plain {
    heads: Heads,
    window: Option<usize>,
    scores: Scores,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Plain {
    /// Computes softmax attention in f64 of one query over the last tokens of the first `seen` of a
    /// row.
    fn attend(&self, row: usize, seen: usize, q: &[f32]) -> Vec<f64> {
        let Heads {
            query,
            key_value,
            head_dim,
        } = self.heads;
        let stride = key_value * head_dim;
        let at = |store: &[Vec<f32>], token: usize, head: usize, d: usize| {
            f64::from(store[row][token * stride + head * head_dim + d])
        };
        let mut out = Vec::new();
        let first = self.window.map_or(0, |window| seen.saturating_sub(window));
        for head in 0..query {
            let shared = head / self.heads.group();
            let scores: Vec<f64> = (first..seen)
                .map(|token| {
                    let dot: f64 = (0..head_dim)
                        .map(|d| {
                            f64::from(q[head * head_dim + d]) * at(&self.keys, token, shared, d)
                        })
                        .sum();
                    let scale = self.scores.scale.unwrap_or(1.0 / (head_dim as f64).sqrt());
                    match self.scores.softcap {
                        Some(cap) => (cap * (scale * dot / cap).tanh()).exp(),
                        None => (scale * dot).exp(),
                    }
                })
                .collect();
            let total: f64 = scores.iter().sum();
            out.extend((0..head_dim).map(|d| {
                let sum = (first..seen).map(|t| scores[t - first] * at(&self.values, t, shared, d));
                sum.sum::<f64>() / total
            }));
        }
        out
    }
}

/// A cache on a device, with the plain lists beside it.
struct Both {
    name: &'static str,
    device: Device,
    cache: KvPages,
    plain: Plain,
    noise: Noise,
    /// True if the cache rounds keys and values to 8 bits.
    rounds: bool,
}

/// Rounds each head to multiples of a 127th of its largest size.
fn rounded(values: &[f32], head_dim: usize) -> Vec<f32> {
    let heads = values.chunks(head_dim).flat_map(|head| {
        let unit = head.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
        head.iter()
            .map(move |x| (x / unit).round_ties_even() * unit)
    });
    heads.collect()
}

impl Both {
    fn extend(&mut self, what: &str, rows: &[(usize, usize)]) {
        let Heads {
            query,
            key_value,
            head_dim,
        } = self.plain.heads;
        let (width, stride) = (query * head_dim, key_value * head_dim);
        let tokens = rows.iter().map(|(_, count)| count).sum();
        let append: Append = self.cache.append(rows);
        // Both layers get the same input, so that neither may use the other's pages.
        let [q, k, v] = [width, stride, stride].map(|w| self.noise.values(tokens * w, 1.0));
        let make = |values: &[f32], w| -> Tensor<2> { tensor(values, [tokens, w], &self.device) };
        let mut found = Vec::new();
        for layer in 0..2 {
            let [q, k, v] = [make(&q, width), make(&k, stride), make(&v, stride)];
            found.push(cached_attention(q, k, v, &mut self.cache, layer, &append));
        }
        let mut wanted = Vec::new();
        let mut token = 0;
        // Tokens that are read together into empty rows see each other as they are.
        let fresh = rows.iter().all(|&(row, _)| self.plain.keys[row].is_empty());
        let stored = |values: &[f32], fresh: bool| match self.rounds && !fresh {
            true => rounded(values, head_dim),
            false => values.to_vec(),
        };
        for &(row, count) in rows {
            for _ in 0..count {
                let part = token * stride..(token + 1) * stride;
                self.plain.keys[row].extend(stored(&k[part.clone()], fresh));
                self.plain.values[row].extend(stored(&v[part], fresh));
                let seen = self.plain.keys[row].len() / stride;
                assert_eq!(append.positions()[token] as usize, seen - 1);
                let q = &q[token * width..(token + 1) * width];
                wanted.extend(self.plain.attend(row, seen, q));
                token += 1;
            }
        }
        for &(row, _) in rows.iter().filter(|_| fresh) {
            for store in [&mut self.plain.keys[row], &mut self.plain.values[row]] {
                *store = stored(store, false);
            }
        }
        for (layer, found) in found.iter().enumerate() {
            assert!(!found.device().is_autodiff());
            let what = format!("{what} on {}, layer {layer}", self.name);
            assert_close(&what, &host(found), &wanted, 1e-5);
        }
    }

    fn push(&mut self) -> usize {
        self.plain.keys.push(Vec::new());
        self.plain.values.push(Vec::new());
        self.cache.push()
    }

    fn keep(&mut self, rows: &[usize]) {
        self.cache.keep(rows);
        for store in [&mut self.plain.keys, &mut self.plain.values] {
            *store = rows.iter().map(|&row| store[row].clone()).collect();
        }
    }
}

#[test]
fn attention_over_a_cache() {
    for window in [None, Some(1), Some(5), Some(16), Some(30), Some(1000)] {
        over_a_cache(window, Scores::default(), CacheType::F32);
    }
    let capped = |scale, cap| Scores {
        scale,
        softcap: Some(cap),
    };
    over_a_cache(None, capped(Some(0.8), 1.5), CacheType::F32);
    over_a_cache(Some(16), capped(None, 0.7), CacheType::F32);
}

#[test]
fn attention_over_a_cache_of_8_bits() {
    for window in [None, Some(5), Some(16)] {
        over_a_cache(window, Scores::default(), CacheType::Int8);
    }
}

/// Elements that cannot be rounded are not hidden.
#[test]
fn a_cache_of_8_bits_keeps_what_is_not_a_number() {
    let (heads, device) = (Heads::new(1, 1, 2).unwrap(), Device::flex());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut cache = KvPages::new(1, heads).with_type(CacheType::Int8).fresh();
        let row = cache.push();
        let mut last = Vec::new();
        for value in [[0.0, 0.0], [bad, 1.0], [3.0, 1.0]] {
            let append = cache.append(&[(row, 1)]);
            let [q, v] = [[1.0, 1.0], value].map(|x| tensor::<2>(&x, [1, 2], &device));
            last = host(&cached_attention(q.clone(), q, v, &mut cache, 0, &append));
        }
        assert!(last.iter().all(|x| x.is_nan()), "{bad}: {last:?}");
    }
}

#[test]
fn a_fresh_cache_has_the_same_scores() {
    let heads = Heads::new(1, 1, 1).unwrap();
    let scores = Scores {
        scale: Some(1.0),
        softcap: Some(2.0),
    };
    let mut cache = KvPages::new(1, heads).with_scores(scores).fresh();
    let device = Device::flex();
    let row = cache.push();
    for (key, expected) in [
        (0.0, 1.0),
        (100.0, (1.0 + 2.0 * 2f64.exp()) / (1.0 + 2f64.exp())),
    ] {
        let append = cache.append(&[(row, 1)]);
        let one = |x: f64| tensor::<2>(&[x as f32], [1, 1], &device);
        let value = if key == 0.0 { 1.0 } else { 2.0 };
        let out = cached_attention(one(1.0), one(key), one(value), &mut cache, 0, &append);
        // The scores are 0 and the cap.
        assert_close("fresh", &host(&out), &[expected], 1e-6);
    }
}

fn over_a_cache(window: Option<usize>, scores: Scores, stored: CacheType) {
    for (query, key_value, head_dim) in [(4, 2, 12), (3, 3, 5), (6, 1, 48)] {
        for (name, device) in devices() {
            let heads = Heads::new(query, key_value, head_dim).unwrap();
            let fused = is_fused(&Tensor::<1>::zeros([1], &device));
            let mut both = Both {
                name,
                device,
                rounds: fused && stored == CacheType::Int8,
                cache: KvPages::new(2, heads)
                    .with_window(window.and_then(NonZeroUsize::new))
                    .with_scores(scores)
                    .with_type(stored),
                plain: Plain {
                    heads,
                    window,
                    scores,
                    keys: Vec::new(),
                    values: Vec::new(),
                },
                noise: Noise::new(9),
            };
            (0..3).for_each(|_| {
                both.push();
            });
            both.extend("three prompts", &[(0, 15), (1, 33), (2, 1)]);
            for _ in 0..3 {
                both.extend("a step", &[(0, 1), (1, 1), (2, 1)]);
            }
            both.keep(&[1, 0, 1, 1]);
            both.extend("forked rows go apart", &[(0, 1), (2, 1), (3, 1), (1, 1)]);
            both.extend("several tokens for some", &[(3, 20), (1, 2)]);
            let row = both.push();
            both.extend("old and new rows", &[(row, 4), (0, 1)]);
            both.keep(&[4, 2]);
            both.extend("pages used again", &[(0, 40), (1, 40)]);
            both.extend("the last step", &[(1, 1), (0, 1)]);
        }
    }
}

#[test]
fn a_window_bounds_what_a_row_holds() {
    let heads = Heads::new(1, 1, 2).unwrap();
    for (window, most) in [(1, 1), (16, 2), (17, 2), (40, 4)] {
        let mut cache = KvPages::new(0, heads).with_window(NonZeroUsize::new(window));
        let row = cache.push();
        for _ in 0..300 {
            cache.append(&[(row, 1)]);
        }
        assert_eq!(cache.tokens(row), 300);
        let pages = cache.capacity() / 16;
        assert!(pages <= most, "window {window}: {pages} pages");
    }
}

#[test]
fn packed_layers_equal_plain_ones() {
    let mut noise = Noise::new(3);
    for [rows, input, output] in [[1, 8, 5], [5, 33, 67], [9, 48, 130], [26, 7, 1]] {
        let x = noise.values(rows * input, 1.0);
        let w = noise.values(output * input, 1.0);
        let b = noise.values(output, 1.0);
        for (name, device) in devices() {
            let x: Tensor<2> = tensor(&x, [rows, input], &device);
            let w: Tensor<2> = tensor(&w, [output, input], &device);
            let b: Tensor<1> = tensor(&b, [output], &device);
            let half = w.clone().narrow(0, 0, output.div_ceil(2));
            let layers = [(w.clone(), None), (half, None), (w, Some(b))];
            let packed = PackedLinear::new(layers.to_vec());
            let found: [Tensor<2>; 3] = packed.forward(x.clone());
            for (part, (found, (w, b))) in found.iter().zip(layers).enumerate() {
                let wanted = host(&linear(x.clone(), w, b));
                let what = format!("{name}, {rows}×{input}×{output}, part {part}");
                assert_close(&what, &host(found), &wide(&wanted), 1e-5);
            }
        }
    }
}

#[test]
#[should_panic(expected = "results asked for")]
fn a_packed_layer_gives_one_result() {
    let w = Tensor::<2>::zeros([2, 3], &Device::flex());
    let _: [Tensor<2>; 2] = PackedLinear::new(vec![(w.clone(), None)]).forward(w);
}

#[test]
fn a_row_does_not_depend_on_the_number_of_rows() {
    let (rows, input, output) = (37, 288, 300);
    let mut noise = Noise::new(4);
    let x = noise.values(rows * input, 1.0);
    let w: Tensor<2> = tensor(
        &noise.values(output * input, 1.0),
        [output, input],
        &Device::flex(),
    );
    let packed = PackedLinear::new(vec![(w, None)]);
    let product = |count: usize| {
        let x: Tensor<2> = tensor(&x[..count * input], [count, input], &Device::flex());
        let [y] = packed.forward(x);
        host(&y)
    };
    let whole = product(rows);
    for count in 1..rows {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            bits(&product(count)),
            bits(&whole[..count * output]),
            "{count} rows"
        );
    }
}
