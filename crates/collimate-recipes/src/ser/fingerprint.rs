//! Telling models apart.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A hash of all weights: a resumed run must start from the same ones.
pub(crate) fn fingerprint<M: Module>(model: &M) -> String {
    let mut visitor = Visitor(blake3::Hasher::new());
    model.visit(&mut visitor);
    visitor.0.finalize().to_hex().to_string()
}

struct Visitor(blake3::Hasher);

impl ModuleVisitor for Visitor {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.update(param.val().into_data().as_bytes());
    }
}
