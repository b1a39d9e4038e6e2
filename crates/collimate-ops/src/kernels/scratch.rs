//! One large buffer that outlives its calls: memory that a process asks the system for anew is
//! cleared page by page, which costs as much as a pass over the logits.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// The buffer between two calls.
static SPARE: Mutex<Vec<f32>> = Mutex::new(Vec::new());

/// Largest buffer that is kept, in elements (48 MiB).
const KEPT: usize = 12 << 20;

/// Memory of unspecified content; the next caller's when it is dropped.
#[derive(Clone)]
pub(crate) struct Scratch(Vec<f32>);

impl Scratch {
    /// `len` elements, whatever they are.
    pub(crate) fn new(len: usize) -> Self {
        let mut spare = std::mem::take(&mut *SPARE.lock().unwrap_or_else(PoisonError::into_inner));
        // Growing would copy what nobody wants.
        if spare.capacity() < len {
            spare = Vec::new();
        }
        spare.resize(len, 0.0);
        Self(spare)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.capacity() > KEPT {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.capacity() < buffer.capacity() {
            *spare = buffer;
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scratch({} elements)", self.0.len())
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
