//! Listing and freezing a model's parameters by path.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, FloatDType, Tensor};

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Field names from the root, joined by dots.
    pub path: String,
    /// Shape of the parameter.
    pub shape: Vec<usize>,
    /// True if training changes the parameter. Known only for a model in training mode.
    pub trainable: bool,
}

impl ParameterInfo {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns true if the parameter holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns all float parameters of a model, in the order of its fields.
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

/// Makes trainable exactly the parameters whose path `trainable` accepts. Those of 16 bits become
/// f32, because training changes them by less than 16 bits can show.
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
            let half = matches!(param.dtype(), DType::BF16 | DType::F16);
            let param = match wanted && half {
                true => param.map(|values| values.cast(FloatDType::F32).detach()),
                false => param,
            };
            param.set_require_grad(wanted)
        }
    }
    model.map(&mut Mapper {
        path: Vec::new(),
        trainable,
    })
}

/// Returns the same weights as separate parameters. A module that was cloned from another module
/// shares the identities and gradients of its parameters. Separate it before training it beside the
/// original.
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
