//! Keys and values of one layer, in pages.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::CacheType;
use super::pages::PAGE;
use crate::Heads;

/// Keys and values of one layer.
#[derive(Debug, Default)]
pub(crate) enum Store {
    /// Initial state, before the first write.
    #[default]
    Empty,
    /// Tensors, `[slots, width]` each, for devices without a fused kernel.
    Device(Box<DeviceStore>),
    /// Plain memory for the fused kernel.
    #[cfg(feature = "flex")]
    Host(HostStore<f32>),
    /// The same, rounded to 8 bits.
    #[cfg(feature = "flex")]
    Rounded(HostStore<i8>),
}

/// Keys and values as tensors, `[slots, width]`.
#[derive(Debug)]
pub(crate) struct DeviceStore {
    pub(crate) keys: Tensor<2>,
    pub(crate) values: Tensor<2>,
}

impl DeviceStore {
    fn new(like: &Tensor<2>) -> Self {
        let empty = Tensor::zeros([0, like.dims()[1]], (&like.device(), like.dtype()));
        Self {
            keys: empty.clone(),
            values: empty,
        }
    }

    fn both(&mut self, mut change: impl FnMut(Tensor<2>) -> Tensor<2>) {
        for tensor in [&mut self.keys, &mut self.values] {
            let old = std::mem::replace(tensor, Tensor::zeros([0, 0], &tensor.device()));
            *tensor = change(old);
        }
    }

    /// Doubles the number of slots, or more, until `pages` pages fit.
    fn grow(&mut self, pages: usize) {
        let [slots, width] = self.keys.dims();
        if slots < pages * PAGE {
            let more = (pages * PAGE).max(2 * slots) - slots;
            let zeros = Tensor::zeros([more, width], (&self.keys.device(), self.keys.dtype()));
            self.both(|old| match slots {
                0 => zeros.clone(),
                _ => Tensor::cat(vec![old, zeros.clone()], 0),
            });
        }
    }

    fn copy(&mut self, pages: &[(usize, usize)]) {
        if pages.is_empty() {
            return;
        }
        let device = self.keys.device();
        let slots = |page: fn(&(usize, usize)) -> usize| {
            let slots = pages
                .iter()
                .flat_map(move |p| page(p) * PAGE..(page(p) + 1) * PAGE);
            indices(slots.collect(), &device)
        };
        let (from, to) = (slots(|p| p.0), slots(|p| p.1));
        self.both(|old| {
            let copied = old.clone().select(0, from.clone());
            old.select_assign(0, to.clone(), copied, IndexingUpdateOp::Assign)
        });
    }

    fn write(&mut self, slots: &[usize], keys: Tensor<2>, values: Tensor<2>) {
        let slots = indices(slots.to_vec(), &self.keys.device());
        let mut new = [keys, values].into_iter();
        self.both(|old| match new.next() {
            Some(new) => old.select_assign(0, slots.clone(), new, IndexingUpdateOp::Assign),
            None => old,
        });
    }
}

/// Keys and values in plain memory. The keys of a page are transposed, element by element of the
/// width, so one vector operation covers all keys of a page. The values of a page lie token by
/// token.
#[cfg(feature = "flex")]
#[derive(Debug)]
pub(crate) struct HostStore<N> {
    pub(crate) width: usize,
    pub(crate) keys: Numbers<N>,
    pub(crate) values: Numbers<N>,
}

/// Numbers of every slot.
#[cfg(feature = "flex")]
#[derive(Debug)]
pub(crate) struct Numbers<N> {
    pub(crate) numbers: Vec<N>,
    /// Factors by which the numbers must be multiplied, head by head and in each head slot by slot of
    /// a page. Empty for numbers that are stored as they are.
    pub(crate) scales: Vec<f32>,
}

/// Form in which keys and values are stored.
#[cfg(feature = "flex")]
pub(crate) trait Stored: Copy + Default + Send + Sync {
    /// True if each head of a slot has a factor.
    const SCALED: bool;

    /// Returns the factor for the elements of one head.
    fn scale(elements: &[f32]) -> f32;

    /// Returns an element as a multiple of the factor.
    fn store(element: f32, scale: f32) -> Self;

    /// Returns the multiple.
    fn number(self) -> f32;
}

#[cfg(feature = "flex")]
impl Stored for f32 {
    const SCALED: bool = false;

    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    fn store(element: f32, _: f32) -> Self {
        element
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
}

#[cfg(feature = "flex")]
impl Stored for i8 {
    const SCALED: bool = true;

    /// Returns a 127th of the largest size; it is not finite if an element is not.
    fn scale(elements: &[f32]) -> f32 {
        crate::kernels::math::largest_size(elements) / 127.0
    }

    fn store(element: f32, scale: f32) -> Self {
        // Elements that are all zero have steps of no size.
        let steps = if scale > 0.0 { element / scale } else { 0.0 };
        steps.round_ties_even().clamp(-127.0, 127.0) as Self
    }

    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self)
    }
}

#[cfg(feature = "flex")]
impl<N: Stored> Numbers<N> {
    fn new() -> Self {
        Self {
            numbers: Vec::new(),
            scales: Vec::new(),
        }
    }

    /// Returns the factors of a page for one of its heads.
    pub(crate) fn scales(&self, page: usize, head: usize, heads: usize) -> Option<&[f32; PAGE]> {
        if !N::SCALED {
            return None;
        }
        let start = (page * heads + head) * PAGE;
        Some(self.scales[start..].first_chunk().expect("a whole page"))
    }
}

#[cfg(feature = "flex")]
impl<N: Stored> HostStore<N> {
    fn new(width: usize) -> Self {
        let [keys, values] = [(); 2].map(|()| Numbers::new());
        Self {
            width,
            keys,
            values,
        }
    }

    /// Makes room for `pages` pages of `heads` heads.
    fn grow(&mut self, pages: usize, heads: usize) {
        let len = pages * PAGE * self.width;
        if self.keys.numbers.len() < len {
            for store in [&mut self.keys, &mut self.values] {
                store.numbers.resize(len, N::default());
                if N::SCALED {
                    store.scales.resize(pages * PAGE * heads, 0.0);
                }
            }
        }
    }

    fn copy(&mut self, pages: &[(usize, usize)], heads: usize) {
        let [size, scales] = [PAGE * self.width, PAGE * heads];
        for &(from, to) in pages {
            for store in [&mut self.keys, &mut self.values] {
                store
                    .numbers
                    .copy_within(from * size..(from + 1) * size, to * size);
                if N::SCALED {
                    store
                        .scales
                        .copy_within(from * scales..(from + 1) * scales, to * scales);
                }
            }
        }
    }

    fn write(&mut self, slots: &[usize], keys: &[f32], values: &[f32], head_dim: usize) {
        let (width, heads) = (self.width, self.width / head_dim);
        let rows = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (&slot, (key, value)) in slots.iter().zip(rows) {
            let page = slot / PAGE;
            let parts = key.chunks_exact(head_dim).zip(value.chunks_exact(head_dim));
            for (head, (key, value)) in parts.enumerate() {
                let scales = [key, value].map(N::scale);
                if N::SCALED {
                    let place = (page * heads + head) * PAGE + slot % PAGE;
                    [self.keys.scales[place], self.values.scales[place]] = scales;
                }
                let first = head * head_dim;
                let place = slot * width + first;
                let row = &mut self.values.numbers[place..place + head_dim];
                for (place, element) in row.iter_mut().zip(value) {
                    *place = N::store(*element, scales[1]);
                }
                let start = (page * width + first) * PAGE;
                let column = &mut self.keys.numbers[start..start + head_dim * PAGE];
                for (place, element) in column[slot % PAGE..].iter_mut().step_by(PAGE).zip(key) {
                    *place = N::store(*element, scales[0]);
                }
            }
        }
    }
}

impl Store {
    /// Makes room for `pages` pages, copies whole pages, then writes the new tokens to their slots.
    pub(crate) fn write(
        &mut self,
        pages: usize,
        copies: &[(usize, usize)],
        slots: &[usize],
        [keys, values]: [&Tensor<2>; 2],
        (heads, stored): (Heads, CacheType),
    ) {
        if matches!(self, Self::Empty) {
            *self = Self::fitting(keys, stored);
        }
        match self {
            Self::Empty => {}
            Self::Device(store) => {
                store.grow(pages);
                store.copy(copies);
                store.write(slots, keys.clone(), values.clone());
            }
            #[cfg(feature = "flex")]
            Self::Host(store) => store.take(pages, copies, slots, [keys, values], heads),
            #[cfg(feature = "flex")]
            Self::Rounded(store) => store.take(pages, copies, slots, [keys, values], heads),
        }
    }

    #[cfg_attr(not(feature = "flex"), expect(unused_variables))]
    fn fitting(keys: &Tensor<2>, stored: CacheType) -> Self {
        #[cfg(feature = "flex")]
        if crate::fused::fits(keys) {
            let width = keys.dims()[1];
            return match stored {
                CacheType::F32 => Self::Host(HostStore::new(width)),
                CacheType::Int8 => Self::Rounded(HostStore::new(width)),
            };
        }
        Self::Device(Box::new(DeviceStore::new(keys)))
    }
}

#[cfg(feature = "flex")]
impl<N: Stored> HostStore<N> {
    /// Makes room, copies whole pages, then writes the new tokens.
    fn take(
        &mut self,
        pages: usize,
        copies: &[(usize, usize)],
        slots: &[usize],
        new: [&Tensor<2>; 2],
        heads: Heads,
    ) {
        use crate::fused::{plain, slice};
        let [keys, values] = new.map(|tensor| plain(tensor.clone()));
        self.grow(pages, heads.key_value);
        self.copy(copies, heads.key_value);
        self.write(slots, slice(&keys), slice(&values), heads.head_dim);
    }
}

/// Creates a rank-1 integer tensor.
pub(crate) fn indices(values: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
