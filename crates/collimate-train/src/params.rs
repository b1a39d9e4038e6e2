//! A module's parameters by path.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor, TensorData};

/// Position of a traversal, such as `layers.0.q_proj.weight`.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub(crate) fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    pub(crate) fn join(&self) -> String {
        self.0.join(".")
    }
}

/// Defines the two methods by which a visitor or mapper follows its path.
macro_rules! follow_path {
    () => {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.enter(name);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }
    };
}
pub(crate) use follow_path;

/// A parameter's tensor without its rank.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    pub(crate) flat: Tensor<1>,
}

impl Stored {
    pub(crate) fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        Self {
            shape: tensor.dims().to_vec(),
            flat: flatten(tensor.inner()),
        }
    }
}

pub(crate) fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements = tensor.dims().iter().product::<usize>();
    tensor.reshape([elements])
}

struct Collect {
    path: Path,
    found: BTreeMap<String, Stored>,
}

impl ModuleVisitor for Collect {
    follow_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.base().is_require_grad() {
            self.found
                .insert(self.path.join(), Stored::new(param.base()));
        }
    }
}

/// Collects the float parameters that are trained. The model must be on an autodiff device.
pub(crate) fn collect<M: Module>(model: &M) -> BTreeMap<String, Stored> {
    let mut visitor = Collect {
        path: Path::default(),
        found: BTreeMap::new(),
    };
    model.visit(&mut visitor);
    visitor.found
}

/// Returns a path whose parameter also occurs under an earlier path. Burn's traversal would update
/// only one of the two occurrences.
pub(crate) fn shared<M: Module>(model: &M) -> Option<String> {
    struct Shared {
        path: Path,
        seen: HashSet<ParamId>,
        found: Option<String>,
    }
    impl ModuleVisitor for Shared {
        follow_path!();

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.base().is_require_grad() && !self.seen.insert(param.id) {
                self.found.get_or_insert(self.path.join());
            }
        }
    }
    let mut visitor = Shared {
        path: Path::default(),
        seen: HashSet::new(),
        found: None,
    };
    model.visit(&mut visitor);
    visitor.found
}

/// Returns the blake3 hash of all float parameters, in hex, over paths, shapes and bytes. Tracked
/// and untracked models have the same hash.
pub fn model_hash<M: Module>(model: &M) -> String {
    hash_of(model, |_| true)
}

/// Returns the hash of the parameters that are not trained; see [`model_hash`].
pub(crate) fn frozen_hash<M: Module>(model: &M) -> String {
    hash_of(model, |trained| !trained)
}

/// Hashes the parameters for which `counts` is true of whether they are trained. Only one parameter
/// is copied at a time.
fn hash_of<M: Module>(model: &M, counts: fn(bool) -> bool) -> String {
    type Read = Box<dyn FnOnce() -> TensorData>;
    struct Hash {
        path: Path,
        counts: fn(bool) -> bool,
        found: BTreeMap<String, (Vec<usize>, Read)>,
    }
    impl ModuleVisitor for Hash {
        follow_path!();

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.base().clone();
            if (self.counts)(tensor.is_require_grad()) {
                let shape = tensor.dims().to_vec();
                let read: Read = Box::new(move || tensor.detach().into_data());
                self.found.insert(self.path.join(), (shape, read));
            }
        }
    }
    let mut visitor = Hash {
        path: Path::default(),
        counts,
        found: BTreeMap::new(),
    };
    model.visit(&mut visitor);
    let mut hasher = blake3::Hasher::new();
    for (path, (shape, read)) in visitor.found {
        hasher.update(format!("{path}\0{shape:?}\0").as_bytes());
        hasher.update(read().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

struct Accumulate<'a> {
    path: Path,
    grads: Gradients,
    sums: &'a mut BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Accumulate<'_> {
    follow_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = param.base().grad_remove(&mut self.grads) else {
            return;
        };
        let grad = flatten(grad.inner());
        let path = self.path.join();
        let sum = match self.sums.remove(&path) {
            Some(sum) => sum + grad,
            None => grad,
        };
        self.sums.insert(path, sum);
    }
}

/// Adds the gradients of a backward pass to `sums`, flat and by path.
pub(crate) fn accumulate<M: Module>(
    model: &M,
    grads: Gradients,
    sums: &mut BTreeMap<String, Tensor<1>>,
) {
    model.visit(&mut Accumulate {
        path: Path::default(),
        grads,
        sums,
    });
}

/// Replaces a parameter's value by a new leaf with the same device, id and settings.
pub(crate) fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    new: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let require_grad = old.is_require_grad();
        let strategy = old.gradient_checkpointing_strategy();
        let value = new(old.inner());
        match strategy {
            Some(strategy) => Tensor::from_inner(value)
                .with_gradient_checkpointing_strategy(strategy)
                .set_require_grad(require_grad),
            None => value,
        }
    })
}

struct Load {
    path: Path,
    data: HashMap<String, TensorData>,
    mismatch: Option<String>,
}

impl ModuleMapper for Load {
    follow_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join();
        let Some(data) = self.data.remove(&path) else {
            return param;
        };
        let (have, want) = (data.shape().to_vec(), param.base().dims().to_vec());
        if have != want {
            self.mismatch.get_or_insert(format!(
                "{path} has shape {have:?}, the model's has {want:?}"
            ));
            return param;
        }
        let dtype = data.dtype();
        replace(param, |old| Tensor::from_data(data, (&old.device(), dtype)))
    }
}

/// Loads `data` into the parameters of these paths. Every path must exist, with the same shape.
pub(crate) fn load<M: Module>(model: M, data: HashMap<String, TensorData>) -> Result<M, String> {
    let mut mapper = Load {
        path: Path::default(),
        data,
        mismatch: None,
    };
    let model = model.map(&mut mapper);
    if let Some(mismatch) = mapper.mismatch {
        return Err(mismatch);
    }
    match mapper.data.keys().min() {
        Some(path) => Err(format!("{path} is not a parameter of the model")),
        None => Ok(model),
    }
}
