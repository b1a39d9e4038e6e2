//! Fingerprints of models.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Returns a hash of all weights. A resumed run must start from the same weights.
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
