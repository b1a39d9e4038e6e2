//! Values that operations save from the forward pass to the backward pass.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use burn_flex::FlexTensor;

use super::{Kernel, slice};
use crate::kernels::narrow::{narrowed, widened};
use crate::saving::SavedType;

/// Number of results that are remembered, in case the next operations read them.
const RECENT: usize = 4;

/// Form in which an operation saves an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Save {
    /// The backward pass does not read the input.
    Nothing,
    /// The values themselves, such as those of a parameter.
    Exact,
    /// Values that may be rounded or computed again, as [`saving`](crate::saving) says.
    Activation,
}

/// An input, as it is saved. Contiguous.
#[derive(Debug, Clone)]
pub(super) enum Saved {
    Nothing,
    Exact(FlexTensor),
    /// Values rounded to bf16.
    Rounded(Arc<Vec<u16>>),
    /// Result of a cheap operation, computed again from the inputs that the operation saved.
    Again(Arc<dyn Again>),
}

impl Saved {
    /// Returns the values; none if nothing was saved.
    pub(super) fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Nothing => Cow::Borrowed(&[]),
            Self::Exact(tensor) => Cow::Borrowed(slice(tensor)),
            Self::Rounded(bits) => Cow::Owned(widened(bits)),
            Self::Again(again) => Cow::Owned(again.values()),
        }
    }
}

/// A result that can be computed again.
pub(super) trait Again: Debug + Send + Sync {
    fn values(&self) -> Vec<f32>;
}

#[derive(Debug)]
struct Result<K, const N: usize> {
    kernel: K,
    inputs: [Saved; N],
}

impl<K: Kernel<N>, const N: usize> Again for Result<K, N> {
    fn values(&self) -> Vec<f32> {
        let inputs = self.inputs.each_ref().map(Saved::values);
        self.kernel.infer(inputs.each_ref().map(AsRef::as_ref))
    }
}

/// Rule of the passes inside a call of [`scoped`], and their last results.
struct Scope {
    saved: SavedType,
    recent: VecDeque<(FlexTensor, Saved)>,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Puts the scope outside back, also when `work` panics.
struct Outer(Option<Scope>);

impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        SCOPE.with_borrow_mut(|scope| *scope = outer);
    }
}

/// Runs `work`, whose operations save their activations as `saved` says.
pub(crate) fn scoped<R>(saved: Option<SavedType>, work: impl FnOnce() -> R) -> R {
    let inner = saved.map(|saved| Scope {
        saved,
        recent: VecDeque::with_capacity(RECENT),
    });
    let _outer = Outer(SCOPE.with_borrow_mut(|scope| std::mem::replace(scope, inner)));
    work()
}

/// Returns the rule that applies on this thread now.
pub(crate) fn current() -> Option<SavedType> {
    SCOPE.with_borrow(|scope| scope.as_ref().map(|scope| scope.saved))
}

/// Saves a contiguous input.
pub(super) fn save(tensor: &FlexTensor, form: Save) -> Saved {
    match form {
        Save::Nothing => Saved::Nothing,
        Save::Exact => Saved::Exact(tensor.clone()),
        Save::Activation => SCOPE.with_borrow_mut(|scope| match scope {
            Some(scope) => scope.save(tensor),
            None => Saved::Exact(tensor.clone()),
        }),
    }
}

/// Remembers the result of a cheap operation, so that an operation that saves this result can
/// compute it again instead.
pub(super) fn remember<K: Kernel<N>, const N: usize>(
    out: &FlexTensor,
    kernel: &K,
    inputs: &[Saved; N],
) {
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            let (kernel, inputs) = (kernel.clone(), inputs.clone());
            let again = Saved::Again(Arc::new(Result { kernel, inputs }));
            scope.push(out.clone(), again);
        }
    });
}

impl Scope {
    fn save(&mut self, tensor: &FlexTensor) -> Saved {
        // A tensor in the list is alive, so no other tensor has the same address.
        let place = |tensor: &FlexTensor| (slice(tensor).as_ptr(), slice(tensor).len());
        let own = place(tensor);
        let found = self.recent.iter().find(|(recent, _)| place(recent) == own);
        if let Some((_, saved)) = found {
            return saved.clone();
        }
        match self.saved {
            SavedType::F32 => Saved::Exact(tensor.clone()),
            SavedType::Bf16 => {
                let saved = Saved::Rounded(Arc::new(narrowed(slice(tensor))));
                self.push(tensor.clone(), saved.clone());
                saved
            }
        }
    }

    fn push(&mut self, tensor: FlexTensor, saved: Saved) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((tensor, saved));
    }
}
