//! Parts of a network whose intermediate results are not kept: backward computes them again.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients as Found, Tensor};

use crate::saving;

/// Computes `forward(module, x)` and keeps only `x` for backward, which runs `forward` a second
/// time. Memory then grows with the inputs of such parts instead of with all their intermediate
/// results. The price is the time of one more forward pass.
///
/// See Training deep nets with sublinear memory cost, <https://arxiv.org/abs/1604.06174>. PyTorch
/// calls it gradient checkpointing.
///
/// `forward` must depend only on the module and `x`, give the same result both times, and use no
/// other tracked tensor. Values and gradients are then those of `forward(module, x)`. On flex they
/// agree bit for bit, unless several parts share a parameter: its gradients are added in another
/// order.
///
/// The function simply calls `forward(module, x)` in three cases: on an untracked device, if
/// neither `x` nor a parameter is trained, and on a backend for which this crate has no feature.
///
/// # Examples
/// ```
/// use burn::module::Param;
/// use burn::tensor::{Device, Tensor};
/// use collimate_ops::recomputed;
///
/// let device = Device::flex().autodiff();
/// let w = Tensor::<2>::from_floats([[2.0], [3.0]], &device);
/// let w = Param::from_tensor(w);
/// let x = Tensor::<2>::from_floats([[1.0, -1.0]], &device).require_grad();
/// let y = recomputed(&w, x.clone(), |w, x| x.matmul(w.val()).square());
/// let grads = y.sum().backward();
/// let host = |t: Option<Tensor<2>>| t.unwrap().into_data().to_vec::<f32>().unwrap();
/// assert_eq!(host(x.grad(&grads)), [-4.0, -6.0]);
/// assert_eq!(host(w.val().grad(&grads)), [-2.0, 2.0]);
/// ```
pub fn recomputed<M, F>(module: &M, x: Tensor<2>, forward: F) -> Tensor<2>
where
    M: Module + 'static,
    F: Fn(&M, Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
{
    // The second pass saves activations as the first would.
    let saved = saving::current();
    let forward = move |module: &M, x| saving::scoped(saved, || forward(module, x));
    macro_rules! on {
        ($($(#[$feature:meta])? $backend:ty,)+) => {
            $(
                $(#[$feature])?
                {
                    if let Some(tracked) = <$backend as Bridge<NoCheckpointing>>::tracked(&x) {
                        return run::<$backend, NoCheckpointing, M, _>(module, x, tracked, forward);
                    }
                    if let Some(tracked) = <$backend as Bridge<BalancedCheckpointing>>::tracked(&x) {
                        return run::<$backend, BalancedCheckpointing, M, _>(
                            module, x, tracked, forward,
                        );
                    }
                }
            )+
        };
    }
    if x.device().is_autodiff() {
        on! {
            #[cfg(feature = "flex")]
            burn::backend::Flex,
            #[cfg(feature = "ndarray")]
            burn::backend::NdArray,
            #[cfg(any(feature = "cuda", feature = "metal", feature = "vulkan", feature = "wgpu"))]
            burn::backend::Cube,
        }
    }
    forward(module, x)
}

/// Conversion between tensors and a backend's primitives. Burn names neither the conversion nor its
/// condition for a backend that is a type parameter.
trait Bridge<C: CheckpointStrategy>: Backend {
    /// Returns the tensor with its node in the graph, if it lies on this backend with this
    /// strategy.
    fn tracked<const D: usize>(tensor: &Tensor<D>) -> Option<FloatTensor<Autodiff<Self, C>>>;
    /// Reverses [`Self::tracked`].
    fn tensor(tracked: FloatTensor<Autodiff<Self, C>>) -> Tensor<2>;
    /// Returns the untracked primitive.
    fn plain<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Self>;
    /// Reverses [`Self::plain`].
    fn plain_tensor(primitive: FloatTensor<Self>) -> Tensor<2>;
}

macro_rules! bridge {
    ($($(#[$feature:meta])? $backend:ty: $strategy:ty,)+) => {
        $(
            $(#[$feature])?
            impl Bridge<$strategy> for $backend {
                fn tracked<const D: usize>(
                    tensor: &Tensor<D>,
                ) -> Option<FloatTensor<Autodiff<Self, $strategy>>> {
                    let tensor = tensor.clone();
                    tensor.try_into_primitive::<Autodiff<Self, $strategy>>().ok()
                }

                fn tensor(tracked: FloatTensor<Autodiff<Self, $strategy>>) -> Tensor<2> {
                    Tensor::from_primitive::<Autodiff<Self, $strategy>>(tracked)
                }

                fn plain<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Self> {
                    let primitive = tensor.without_autodiff().try_into_primitive::<Self>();
                    primitive.expect("on the same device as the tracked input")
                }

                fn plain_tensor(primitive: FloatTensor<Self>) -> Tensor<2> {
                    Tensor::from_primitive::<Self>(primitive)
                }
            }
        )+
    };
}

bridge! {
    #[cfg(feature = "flex")]
    burn::backend::Flex: NoCheckpointing,
    #[cfg(feature = "flex")]
    burn::backend::Flex: BalancedCheckpointing,
    #[cfg(feature = "ndarray")]
    burn::backend::NdArray: NoCheckpointing,
    #[cfg(feature = "ndarray")]
    burn::backend::NdArray: BalancedCheckpointing,
    #[cfg(any(feature = "cuda", feature = "metal", feature = "vulkan", feature = "wgpu"))]
    burn::backend::Cube: NoCheckpointing,
    #[cfg(any(feature = "cuda", feature = "metal", feature = "vulkan", feature = "wgpu"))]
    burn::backend::Cube: BalancedCheckpointing,
}

fn run<B, C, M, F>(
    module: &M,
    x: Tensor<2>,
    tracked: FloatTensor<Autodiff<B, C>>,
    forward: F,
) -> Tensor<2>
where
    B: Bridge<C>,
    C: CheckpointStrategy,
    M: Module + 'static,
    F: Fn(&M, Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
{
    let mut trained = Trained::<B, C> {
        nodes: HashMap::new(),
        any: None,
    };
    module.visit(&mut trained);
    let Trained { nodes, any } = trained;
    // Gradients of the parameters are registered by their nodes. One node stands for all
    // parameters, so that the graph reaches this step even if `x` is not trained.
    let any = any.unwrap_or_else(|| tracked.clone());
    if !tracked.is_tracked() && !any.is_tracked() {
        return forward(module, x);
    }
    let parents = [tracked.node(), any.node()];
    let module = module.valid();
    let y = B::plain(forward(&module, x.without_autodiff()));
    let again = Again {
        module,
        forward: Arc::new(forward),
        nodes,
    };
    let state = tracked.primitive().clone();
    let step = Recompute::<C, M, F>(again, PhantomData);
    match step.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => B::tensor(prepared.finish(state, y)),
        OpsKind::UnTracked(prepared) => B::tensor(prepared.finish(y)),
    }
}

/// Trained parameters, by their nodes in the graph.
struct Trained<B: Backend, C: CheckpointStrategy> {
    nodes: HashMap<ParamId, NodeId>,
    any: Option<FloatTensor<Autodiff<B, C>>>,
}

impl<B: Bridge<C>, C: CheckpointStrategy> ModuleVisitor for Trained<B, C> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tracked = B::tracked(&param.val()).filter(|tracked| tracked.is_tracked());
        if let Some(tracked) = tracked {
            self.nodes.insert(param.id, tracked.id());
            self.any.get_or_insert(tracked);
        }
    }
}

/// Data with which backward runs the part again.
struct Again<M, F> {
    /// Module without autodiff.
    module: M,
    forward: Arc<F>,
    nodes: HashMap<ParamId, NodeId>,
}

struct Recompute<C, M, F>(Again<M, F>, PhantomData<C>);

impl<C, M, F> fmt::Debug for Recompute<C, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recompute")
    }
}

impl<B, C, M, F> Backward<B, 2> for Recompute<C, M, F>
where
    B: Bridge<C>,
    C: CheckpointStrategy,
    M: Module + 'static,
    F: Fn(&M, Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
{
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let Again {
            module,
            forward,
            nodes,
        } = self.0;
        let grad = B::plain_tensor(grads.consume::<B>(&ops.node));
        let [of_x, _] = &ops.parents;
        let mut x = Tensor::from_inner(B::plain_tensor(ops.state));
        if of_x.is_some() {
            x = x.require_grad();
        }
        // The second graph is separate: its new leaves share the parameters' memory.
        let module = module.map(&mut Leaves { nodes: &nodes });
        let y = forward(&module, x.clone());
        let mut found = (y * Tensor::from_inner(grad)).sum().backward();
        if let Some(node) = of_x
            && let Some(grad) = x.grad_remove(&mut found)
        {
            grads.register::<B>(node.id, B::plain(grad));
        }
        module.visit(&mut Collect::<B, C> {
            nodes: &nodes,
            found: &mut found,
            grads,
            strategy: PhantomData,
        });
    }
}

struct Leaves<'a> {
    nodes: &'a HashMap<ParamId, NodeId>,
}

impl ModuleMapper for Leaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trained = self.nodes.contains_key(&param.id);
        param.map(|tensor| {
            let tensor = Tensor::from_inner(tensor.without_autodiff());
            if trained {
                tensor.require_grad()
            } else {
                tensor
            }
        })
    }
}

/// Registers the gradients of the second graph in the first.
struct Collect<'a, B, C> {
    nodes: &'a HashMap<ParamId, NodeId>,
    found: &'a mut Found,
    grads: &'a mut Gradients,
    strategy: PhantomData<(B, C)>,
}

impl<B: Bridge<C>, C: CheckpointStrategy> ModuleVisitor for Collect<'_, B, C> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(node) = self.nodes.get(&param.id)
            && let Some(grad) = param.val().grad_remove(self.found)
        {
            self.grads.register::<B>(*node, B::plain(grad));
        }
    }
}
