//! Activations that operations save: what they cost, and what they do to values and gradients.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, Ordering};

use burn::tensor::{Device, Tensor};
use collimate_core::Segment;
use collimate_ops::{
    AttentionPlan, DropMask, Heads, LowRankUpdate, SavedType, Visibility, adapted_linear,
    layer_norm, linear, recomputed, rms_norm, saving, segment_attention, swiglu,
};
use collimate_testkit::{Noise, flex, host, tensor};

/// Counts the bytes that are allocated now.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Lets one test run at a time, because the bytes of all are counted.
static ALONE: Mutex<()> = Mutex::new(());

const ROWS: usize = 256;
const WIDTH: usize = 128;
const INNER: usize = 384;
const RANK: usize = 4;
const LAYERS: usize = 6;

fn noise<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = Noise::new(seed).values(shape.iter().product(), 0.2);
    tensor(&values, shape, device)
}

/// Weights of a layer like a decoder's: norm, attention, gate, up and down with adapters.
struct Layer {
    norm: Tensor<1>,
    matrices: Vec<Tensor<2>>,
    adapters: Vec<[Tensor<2>; 2]>,
    trained: bool,
}

const SHAPES: [[usize; 2]; 7] = [
    [WIDTH, WIDTH],
    [WIDTH, WIDTH],
    [WIDTH, WIDTH],
    [WIDTH, WIDTH],
    [INNER, WIDTH],
    [INNER, WIDTH],
    [WIDTH, INNER],
];

impl Layer {
    fn new(seed: u64, trained: bool, device: &Device) -> Self {
        let matrices = SHAPES.into_iter().zip(10 * seed..);
        Self {
            norm: Tensor::ones([WIDTH], device),
            matrices: matrices
                .clone()
                .map(|(shape, seed)| noise(seed, shape, device).set_require_grad(trained))
                .collect(),
            adapters: matrices
                .map(|([output, input], seed)| {
                    let a = noise(seed + 1000, [RANK, input], device);
                    let b = noise(seed + 2000, [output, RANK], device);
                    [a, b].map(|leaf| leaf.set_require_grad(!trained))
                })
                .collect(),
            trained,
        }
    }

    fn linear(&self, index: usize, x: Tensor<2>) -> Tensor<2> {
        let weight = self.matrices[index].clone();
        if self.trained {
            return linear(x, weight, None);
        }
        let [a, b] = self.adapters[index].clone();
        let update = LowRankUpdate {
            a,
            b,
            scale: 2.0,
            mask: None,
        };
        adapted_linear(x, weight, None, update)
    }

    fn forward(&self, x: Tensor<2>, plan: &AttentionPlan) -> Tensor<2> {
        let heads = Heads {
            query: 4,
            key_value: 4,
            head_dim: WIDTH / 4,
        };
        let normed = rms_norm(x.clone(), self.norm.clone(), 1e-5);
        let [q, k, v] = [0, 1, 2].map(|index| self.linear(index, normed.clone()));
        let x = x + self.linear(3, segment_attention(q, k, v, plan, heads));
        let normed = rms_norm(x.clone(), self.norm.clone(), 1e-5);
        let [gate, up] = [4, 5].map(|index| self.linear(index, normed.clone()));
        x + self.linear(6, swiglu(gate, up))
    }

    fn leaves(&self) -> Vec<Tensor<2>> {
        match self.trained {
            true => self.matrices.clone(),
            false => self.adapters.iter().flatten().cloned().collect(),
        }
    }
}

/// Result of a pass: value, gradients, and the bytes that the graph held before the backward pass.
fn run(trained: bool, saved: Option<SavedType>) -> (Vec<f32>, Vec<Vec<f32>>, isize) {
    let device = flex();
    let layers: Vec<Layer> = (0..LAYERS as u64)
        .map(|seed| Layer::new(seed, trained, &device))
        .collect();
    let whole = Segment {
        start: 0,
        len: ROWS,
        parent: None,
    };
    let plan = AttentionPlan::new(&[whole], Visibility::Causal).expect("one sequence");
    let x = noise(77, [ROWS, WIDTH], &device);
    let before = LIVE.load(Ordering::Relaxed);
    let pass = || {
        layers
            .iter()
            .fold(x.clone(), |x, layer| layer.forward(x, &plan))
    };
    let y = match saved {
        Some(saved) => saving(saved, pass),
        None => pass(),
    };
    let held = LIVE.load(Ordering::Relaxed) - before;
    let value = host(&y);
    let grads = (y * noise(78, [ROWS, WIDTH], &device)).sum().backward();
    let leaves = layers.iter().flat_map(Layer::leaves);
    let grads = leaves.map(|leaf| host(&leaf.grad(&grads).expect("a gradient")));
    (value, grads.collect(), held)
}

#[test]
fn f32_changes_no_bit_and_saves_no_result_that_can_be_computed_again() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for trained in [true, false] {
        let (value, grads, held) = run(trained, None);
        let (same, again, less) = run(trained, Some(SavedType::F32));
        assert_eq!(value, same);
        assert!(grads == again, "gradients differ, trained: {trained}");
        // Of 8 rows of the width and 3 inner rows, two rows of the width and an inner row go.
        let share = less as f64 / held as f64;
        assert!(share < 0.8, "trained: {trained}, {less} of {held} bytes");
    }
}

#[test]
fn bf16_keeps_the_value_and_halves_the_memory() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for trained in [true, false] {
        let (value, grads, held) = run(trained, Some(SavedType::F32));
        let (same, rounded, less) = run(trained, Some(SavedType::Bf16));
        assert_eq!(value, same, "the forward pass is the same");
        // Queries and keys stay f32.
        let share = less as f64 / held as f64;
        assert!(share < 0.68, "trained: {trained}, {less} of {held} bytes");
        assert!(grads != rounded, "nothing was rounded");
        for (found, exact) in rounded.iter().zip(&grads) {
            // Single elements may cancel, so the whole gradients are compared.
            let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
                values.map(|value| f64::from(value).powi(2)).sum()
            };
            let error = square(&mut found.iter().zip(exact).map(|(found, exact)| found - exact));
            let error = (error / square(&mut exact.iter().copied())).sqrt();
            assert!(error < 0.02, "trained: {trained}, gradient off by {error}");
        }
    }
}

#[test]
fn a_part_that_is_computed_again_saves_as_its_surroundings() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    use burn::module::Param;
    let device = flex();
    let weight = Param::from_tensor(noise(5, [WIDTH, WIDTH], &device));
    let run = |saved: SavedType, recompute: bool| {
        let x = noise(6, [ROWS, WIDTH], &device);
        let part = |w: &Param<Tensor<2>>, x: Tensor<2>| {
            let x = linear(x, w.val(), None);
            swiglu(x.clone(), x)
        };
        let y = saving(saved, || match recompute {
            true => recomputed(&weight, x, part),
            false => part(&weight, x),
        });
        host(&weight.val().grad(&y.sum().backward()).expect("a gradient"))
    };
    for saved in [SavedType::F32, SavedType::Bf16] {
        assert_eq!(run(saved, true), run(saved, false), "{saved:?}");
    }
    assert_ne!(run(SavedType::F32, true), run(SavedType::Bf16, true));
}

#[test]
fn a_rule_ends_with_its_call() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let device = flex();
    let x = noise(1, [ROWS, WIDTH], &device).require_grad();
    let gradient = |saved: Option<SavedType>| {
        let pass = || swiglu(x.clone(), x.clone());
        let y = match saved {
            Some(saved) => saving(saved, pass),
            None => pass(),
        };
        host(&x.grad(&y.sum().backward()).expect("a gradient"))
    };
    let exact = gradient(None);
    let panicked =
        std::panic::catch_unwind(|| saving(SavedType::Bf16, || panic!("as a caller may")));
    assert!(panicked.is_err());
    assert_eq!(gradient(None), exact, "after a panic");
    let inner = saving(SavedType::F32, || {
        let rounded = gradient(Some(SavedType::Bf16));
        assert_ne!(rounded, exact);
        gradient(None)
    });
    assert_eq!(inner, exact, "the outer rule is back");
}

/// Rounding to bf16 moves a number near 50 by up to an eighth, more than the deviations here.
#[test]
fn a_norm_of_rows_with_a_large_mean_is_exact() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let device = flex();
    let x = (noise(3, [ROWS, WIDTH], &device) + 50.0).require_grad();
    let ones = Tensor::<1>::ones([WIDTH], &device);
    let factors = noise(4, [ROWS, WIDTH], &device);
    let gradient = |saved: SavedType| {
        let biases = [None, Some(ones.clone())];
        biases.map(|bias| {
            let y = saving(saved, || layer_norm(x.clone(), ones.clone(), bias, 1e-5));
            let loss = (y * factors.clone()).sum();
            host(&x.grad(&loss.backward()).expect("a gradient"))
        })
    };
    assert_eq!(gradient(SavedType::F32), gradient(SavedType::Bf16));
}

/// An adapter with dropout reads the rounded input through its mask.
#[test]
fn a_masked_adapter_learns_from_rounded_inputs() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let device = flex();
    let weight = noise(5, [INNER, WIDTH], &device);
    let a = noise(6, [RANK, WIDTH], &device).require_grad();
    let b = noise(7, [INNER, RANK], &device).require_grad();
    // A wide input that requires a gradient, as within a network.
    let x = noise(8, [ROWS, WIDTH], &device).require_grad();
    let bytes: Vec<u8> = (0..2 * ROWS * WIDTH)
        .map(|i| (i * 97 % 251) as u8)
        .collect();
    let mask = DropMask::new([ROWS, WIDTH], 0.3, &bytes);
    let gradients = |saved: SavedType| {
        let update = LowRankUpdate {
            a: a.clone(),
            b: b.clone(),
            scale: 2.0,
            mask: Some(mask.clone()),
        };
        let y = saving(saved, || {
            adapted_linear(x.clone(), weight.clone(), None, update)
        });
        let grads = (y.clone() * y).sum().backward();
        [&a, &b, &x].map(|leaf| host(&leaf.grad(&grads).expect("a gradient")))
    };
    let (exact, rounded) = (gradients(SavedType::F32), gradients(SavedType::Bf16));
    assert_ne!(exact[0], rounded[0], "nothing was rounded");
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let largest = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
        let apart = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0f32, f32::max);
        assert!(apart < 0.02 * largest, "{apart} of {largest}");
    }
}
