//! One large buffer that outlives its calls. The system clears new memory page by page, which costs
//! as much as a pass over the logits.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffer that is kept between two calls.
static SPARE: Mutex<Vec<f32>> = Mutex::new(Vec::new());

/// Largest buffer that is kept, in elements (48 MiB).
pub(crate) const KEPT: usize = 12 << 20;

/// Memory of unspecified content. When it is dropped, the next caller can reuse it.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Initialised once, by the system.
    buffer: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// Returns `len` elements of unspecified value.
    pub(crate) fn new(len: usize) -> Self {
        if len == 0 {
            return Self::default();
        }
        let spare = std::mem::take(&mut *SPARE.lock().unwrap_or_else(PoisonError::into_inner));
        // The largest size is allocated at once. The system gives memory only when it is first
        // written, and a growing buffer would leave its smaller predecessors behind.
        let buffer = match spare.len() < len {
            true => vec![0.0; len.max(KEPT)],
            false => spare,
        };
        Self { buffer, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() > KEPT {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < buffer.len() {
            *spare = buffer;
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scratch({} elements)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_are_two() {
        let mut a = Scratch::new(8);
        let mut b = Scratch::new(4);
        a.fill(1.0);
        b.fill(2.0);
        assert_eq!((a.len(), b.len()), (8, 4));
        assert!(a.iter().all(|&x| x == 1.0));
        drop((a, b));
        assert_eq!(Scratch::new(6).len(), 6);
    }
}
