//! Keys and values of one layer, in pages.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::pages::PAGE;

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
    Host(HostStore),
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
pub(crate) struct HostStore {
    pub(crate) width: usize,
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
}

#[cfg(feature = "flex")]
impl HostStore {
    fn grow(&mut self, pages: usize) {
        let len = pages * PAGE * self.width;
        if self.keys.len() < len {
            self.keys.resize(len, 0.0);
            self.values.resize(len, 0.0);
        }
    }

    fn copy(&mut self, pages: &[(usize, usize)]) {
        let size = PAGE * self.width;
        for &(from, to) in pages {
            for store in [&mut self.keys, &mut self.values] {
                store.copy_within(from * size..(from + 1) * size, to * size);
            }
        }
    }

    fn write(&mut self, slots: &[usize], keys: &[f32], values: &[f32]) {
        let width = self.width;
        let rows = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (&slot, (key, value)) in slots.iter().zip(rows) {
            self.values[slot * width..(slot + 1) * width].copy_from_slice(value);
            let page = slot / PAGE * PAGE * width;
            let column = &mut self.keys[page + slot % PAGE..page + PAGE * width];
            for (place, element) in column.iter_mut().step_by(PAGE).zip(key) {
                *place = *element;
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
        keys: &Tensor<2>,
        values: &Tensor<2>,
    ) {
        if matches!(self, Self::Empty) {
            *self = Self::fitting(keys);
        }
        match self {
            Self::Empty => {}
            Self::Device(store) => {
                store.grow(pages);
                store.copy(copies);
                store.write(slots, keys.clone(), values.clone());
            }
            #[cfg(feature = "flex")]
            Self::Host(store) => {
                use crate::fused::{plain, slice};
                let (keys, values) = (plain(keys.clone()), plain(values.clone()));
                store.grow(pages);
                store.copy(copies);
                store.write(slots, slice(&keys), slice(&values));
            }
        }
    }

    fn fitting(keys: &Tensor<2>) -> Self {
        #[cfg(feature = "flex")]
        if crate::fused::fits(keys) {
            return Self::Host(HostStore {
                width: keys.dims()[1],
                keys: Vec::new(),
                values: Vec::new(),
            });
        }
        Self::Device(Box::new(DeviceStore::new(keys)))
    }
}

/// Creates a rank-1 integer tensor.
pub(crate) fn indices(values: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
