//! AdamW over a module, with its state by parameter path.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};
use collimate_ops::{AdamW, AdamWState};

use crate::AdamWConfig;
use crate::params::{Path, Stored, flatten, follow_path, replace};

/// State of one parameter. A step in which the parameter has no gradient is not counted.
#[derive(Debug)]
struct Slot {
    steps: u64,
    moments: AdamWState<1>,
}

#[derive(Debug, Default)]
pub(crate) struct Optimizer {
    slots: BTreeMap<String, Slot>,
}

impl Optimizer {
    /// Updates the parameters that have a gradient. The gradient is multiplied by `grad_scale`.
    /// Each parameter is updated with the learning rate of its path.
    pub(crate) fn step<M: Module>(
        &mut self,
        model: M,
        grads: BTreeMap<String, Tensor<1>>,
        grad_scale: f64,
        learning_rate: &dyn Fn(&str) -> f64,
        config: &AdamWConfig,
    ) -> M {
        model.map(&mut Update {
            path: Path::default(),
            slots: self,
            grads,
            grad_scale,
            learning_rate,
            config,
        })
    }

    /// Returns the tensors of a checkpoint, `PATH.m` and `PATH.v`, and the number of steps of each
    /// path.
    pub(crate) fn store(&self) -> (BTreeMap<String, Stored>, BTreeMap<String, u64>) {
        let mut moments = BTreeMap::new();
        for (path, slot) in &self.slots {
            moments.insert(format!("{path}.m"), Stored::new(slot.moments.first.clone()));
            moments.insert(
                format!("{path}.v"),
                Stored::new(slot.moments.second.clone()),
            );
        }
        (
            moments,
            self.slots
                .iter()
                .map(|(path, slot)| (path.clone(), slot.steps))
                .collect(),
        )
    }

    /// Reverses [`store`](Self::store); `params` gives the device of each path.
    pub(crate) fn restore(
        mut data: HashMap<String, TensorData>,
        steps: &BTreeMap<String, u64>,
        params: &BTreeMap<String, Stored>,
    ) -> Result<Self, String> {
        let mut slots = BTreeMap::new();
        for (path, &steps) in steps {
            let param = params
                .get(path)
                .ok_or(format!("{path} is not trained by the model"))?;
            let device = param.flat.device();
            let mut moment = |name: &str| {
                let name = format!("{path}.{name}");
                let data = data.remove(&name).ok_or(format!("{name} is missing"))?;
                if data.num_elements() != param.flat.dims()[0] {
                    return Err(format!("{name} has {} elements", data.num_elements()));
                }
                let dtype: DType = data.dtype();
                Ok(Tensor::<1>::from_data(data, (&device, dtype)))
            };
            let moments = AdamWState {
                first: moment("m")?,
                second: moment("v")?,
            };
            slots.insert(path.clone(), Slot { steps, moments });
        }
        Ok(Self { slots })
    }
}

struct Update<'a> {
    path: Path,
    slots: &'a mut Optimizer,
    grads: BTreeMap<String, Tensor<1>>,
    grad_scale: f64,
    learning_rate: &'a dyn Fn(&str) -> f64,
    config: &'a AdamWConfig,
}

impl ModuleMapper for Update<'_> {
    follow_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join();
        let Some(grad) = self.grads.remove(&path) else {
            return param;
        };
        let hyper = AdamW {
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            eps: self.config.eps,
            // A vector is a bias or a norm's scale; pulling it to zero does not regularise.
            weight_decay: if D >= 2 {
                self.config.weight_decay
            } else {
                0.0
            },
        };
        let (grad_scale, learning_rate) = (self.grad_scale, (self.learning_rate)(&path));
        let slots = &mut self.slots.slots;
        replace(param, |old| {
            let shape = old.dims();
            let flat = flatten(old);
            let slot = slots.entry(path).or_insert_with(|| Slot {
                steps: 0,
                moments: AdamWState::zeros(flat.dims(), &flat.device()),
            });
            slot.steps += 1;
            let step = slot.steps;
            collimate_ops::adamw_step_scaled(
                flat,
                grad,
                grad_scale,
                &mut slot.moments,
                step,
                learning_rate,
                &hyper,
            )
            .reshape(shape)
        })
    }
}
