//! A model's parameters by path.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Field names from the root, joined by dots.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// True if training changes it (known for a model in training mode only).
    pub trainable: bool,
}

impl ParameterInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All float parameters of a model, in the order of its fields.
pub fn parameters<M: Module>(model: &M) -> Vec<ParameterInfo> {
    struct Visitor {
        path: Vec<String>,
        found: Vec<ParameterInfo>,
    }
    impl ModuleVisitor for Visitor {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.push(ParameterInfo {
                path: self.path.join("."),
                shape: param.val().dims().to_vec(),
                trainable: param.val().is_require_grad(),
            });
        }
    }
    let mut visitor = Visitor {
        path: Vec::new(),
        found: Vec::new(),
    };
    model.visit(&mut visitor);
    visitor.found
}

/// Sets which parameters train: those whose path `trainable` accepts.
pub fn set_trainable<M: Module>(model: M, trainable: impl Fn(&str) -> bool) -> M {
    struct Mapper<F> {
        path: Vec<String>,
        trainable: F,
    }
    impl<F: Fn(&str) -> bool> ModuleMapper for Mapper<F> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let wanted = (self.trainable)(&self.path.join("."));
            param.set_require_grad(wanted)
        }
    }
    model.map(&mut Mapper {
        path: Vec::new(),
        trainable,
    })
}

/// The same weights as parameters of their own: a module that was cloned from another, and is to be
/// trained beside it, would otherwise share its parameters' identities and gradients.
pub fn separate<M: Module>(model: M) -> M {
    struct Mapper;
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (_, tensor, mapper) = param.consume();
            let require_grad = tensor.is_require_grad();
            let own = match tensor.gradient_checkpointing_strategy() {
                Some(strategy) => Tensor::from_inner(tensor.inner())
                    .with_gradient_checkpointing_strategy(strategy)
                    .set_require_grad(require_grad),
                None => tensor,
            };
            Param::from_mapped_value(ParamId::new(), own, mapper)
        }
    }
    model.map(&mut Mapper)
}
