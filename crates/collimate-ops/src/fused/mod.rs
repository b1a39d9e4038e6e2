//! Conversion between tensors and slices: runs a kernel on flex, tracked or not.

pub(crate) mod saved;

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, DispatchDevice, Flex};
use burn::tensor::{DType, GradientCheckpointingStrategy, Int, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::kernels::half::HalfMatrix;
pub(crate) use saved::Save;
use saved::{Saved, remember, save};

type Tracked = FloatTensor<Autodiff<Flex>>;

/// Runs the fused kernel and returns its result if every tensor fits the kernel.
macro_rules! fused {
    ([$($tensor:expr),+], $shape:expr, $kernel:expr) => {
        if $($crate::fused::fits(&$tensor))&&+ {
            let (kernel, shape) = ($kernel, $shape);
            return $crate::fused::run(kernel, [$($crate::fused::input($tensor)),+], shape);
        }
    };
}

pub(crate) use fused;

/// A differentiable computation on contiguous slices, with `N` inputs.
pub(crate) trait Kernel<const N: usize>: Clone + Send + Sync + Debug + 'static {
    /// Values that forward keeps for backward, besides the inputs.
    type Saved: Clone + Send + Debug + 'static;

    /// If true, an operation that saves the output saves how to compute it again instead.
    const CHEAP: bool = false;

    /// Returns what backward reads of the inputs, if gradients of the inputs marked in `tracked`
    /// are asked for.
    fn saves(&self, tracked: [bool; N]) -> [Save; N];

    /// Computes the output and the values that backward needs.
    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Self::Saved);

    /// Computes the output alone, for calls without a backward pass.
    fn infer(&self, inputs: [&[f32]; N]) -> Vec<f32> {
        self.forward(inputs).0
    }

    /// Computes the gradients of the inputs marked in `wanted`; the others may be `None`. Inputs of
    /// which [`Self::saves`] saves nothing are empty.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        saved: &Self::Saved,
        grad: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N];

    /// True if [`Self::add_gradient`] is cheaper than adding a separate gradient, because almost
    /// all elements of the gradient are zero. For kernels with one input.
    const ADDS: bool = false;

    /// Adds the gradient of the only input to a gradient that the input already has.
    fn add_gradient(&self, grad: &[f32], sum: &mut [f32]) {
        let _ = (grad, sum);
        unreachable!("only where ADDS says so");
    }
}

/// Returns true if a fused kernel can take this tensor: f32 on flex, tracked or not.
pub(crate) fn fits<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && has_elements_on_flex(tensor)
}

/// Returns true for a tensor of 16-bit floats on flex.
pub(crate) fn is_half<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::BF16 | DType::F16) && has_elements_on_flex(tensor)
}

fn has_elements_on_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device().inner();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_)) && tensor.shape().num_elements() > 0
}

/// Returns true for a tensor of f32 on flex that no gradient reaches.
pub(crate) fn is_frozen<const D: usize>(tensor: &Tensor<D>) -> bool {
    fits(tensor)
        && match input(tensor.clone()) {
            Input::Plain(_) => true,
            Input::Tracked(tensor, _) => !tensor.is_tracked(),
        }
}

/// Returns a matrix of 16-bit floats on flex that no gradient reaches, or `None` for other tensors.
pub(crate) fn frozen_half(tensor: &Tensor<2>) -> Option<HalfMatrix> {
    if !is_half(tensor) {
        return None;
    }
    match input(tensor.clone()) {
        Input::Plain(tensor) => HalfMatrix::new(tensor),
        Input::Tracked(tensor, _) if tensor.is_tracked() => None,
        Input::Tracked(tensor, _) => HalfMatrix::new(tensor.into_primitive()),
    }
}

/// Returns `tensor` on the device of `like`: with a graph that it is not part of, if `like` has one.
pub(crate) fn beside<const D: usize, const E: usize>(
    tensor: Tensor<D>,
    like: &Tensor<E>,
) -> Tensor<D> {
    match like.gradient_checkpointing_strategy() {
        Some(strategy) => Tensor::from_inner(tensor).with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}

/// Returns the values of an index tensor, checked against `bound`.
///
/// # Panics
/// Panics if an index is not below `bound`.
pub(crate) fn indices(ids: Tensor<1, Int>, bound: usize) -> Vec<usize> {
    let check = |id: i64| match usize::try_from(id) {
        Ok(id) if id < bound => id,
        _ => panic!("index {id} lies outside 0..{bound}"),
    };
    ids.into_data().iter::<i64>().map(check).collect()
}

/// An input of a kernel: untracked, or with its node in the graph.
#[derive(Debug)]
pub(crate) enum Input {
    /// Tensor on the untracked device.
    Plain(FlexTensor),
    /// Tensor on the tracked device, with the device's checkpointing strategy.
    Tracked(Tracked, GradientCheckpointingStrategy),
}

/// Takes the primitive out of a tensor that [`fits`].
pub(crate) fn input<const D: usize>(tensor: Tensor<D>) -> Input {
    const TAKEN: &str = "the device was checked";
    match tensor.gradient_checkpointing_strategy() {
        None => Input::Plain(tensor.try_into_primitive::<Flex>().expect(TAKEN)),
        Some(strategy @ GradientCheckpointingStrategy::Disabled) => {
            let tensor = tensor.try_into_primitive::<Autodiff<Flex, NoCheckpointing>>();
            Input::Tracked(tensor.expect(TAKEN), strategy)
        }
        Some(strategy @ GradientCheckpointingStrategy::Balanced) => {
            let tensor = tensor.try_into_primitive::<Autodiff<Flex, BalancedCheckpointing>>();
            Input::Tracked(tensor.expect(TAKEN), strategy)
        }
    }
}

/// Returns the same elements, row-major and without gaps.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Returns the elements of a tensor made by [`contiguous`].
pub(crate) fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous")
}

/// Returns the untracked primitive of a tensor that [`fits`]; it covers its whole buffer.
pub(crate) fn plain<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let tensor = tensor.without_autodiff().try_into_primitive::<Flex>();
    whole(tensor.expect("the device was checked"))
}

/// Returns the same elements, covering their whole buffer in row-major order.
fn whole(tensor: FlexTensor) -> FlexTensor {
    // A view of a larger buffer can be contiguous, although its storage holds more than its
    // elements.
    let whole = tensor.as_slice::<f32>().map(<[f32]>::len) == Some(tensor.storage::<f32>().len());
    if whole {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn made(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Creates an untracked tensor of these values.
pub(crate) fn made_tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(made(values, shape))
}

/// Runs a kernel whose output has shape `shape`.
///
/// A graph node is made only if an input requires a gradient.
pub(crate) fn run<K: Kernel<N>, const N: usize, const D: usize>(
    kernel: K,
    inputs: [Input; N],
    shape: [usize; D],
) -> Tensor<D> {
    let strategy = inputs.iter().find_map(|input| match input {
        Input::Plain(_) => None,
        Input::Tracked(_, strategy) => Some(*strategy),
    });
    match strategy {
        None => {
            let inputs = inputs.map(|input| match input {
                Input::Plain(tensor) => contiguous(tensor),
                Input::Tracked(tensor, _) => contiguous(tensor.into_primitive()),
            });
            let out = kernel.infer(inputs.each_ref().map(slice));
            Tensor::from_primitive::<Flex>(made(out, shape))
        }
        Some(GradientCheckpointingStrategy::Disabled) => {
            let out = run_tracked::<NoCheckpointing, K, N, D>(kernel, inputs, shape);
            Tensor::from_primitive::<Autodiff<Flex, NoCheckpointing>>(out)
        }
        Some(GradientCheckpointingStrategy::Balanced) => {
            let out = run_tracked::<BalancedCheckpointing, K, N, D>(kernel, inputs, shape);
            Tensor::from_primitive::<Autodiff<Flex, BalancedCheckpointing>>(out)
        }
    }
}

fn run_tracked<C: CheckpointStrategy, K: Kernel<N>, const N: usize, const D: usize>(
    kernel: K,
    inputs: [Input; N],
    shape: [usize; D],
) -> Tracked {
    let inputs = inputs.map(|input| match input {
        Input::Plain(tensor) => Tracked::new(tensor),
        Input::Tracked(tensor, _) => tensor,
    });
    let each = inputs.each_ref().map(Tracked::is_tracked);
    let tracked = each.contains(&true);
    let nodes = inputs.each_ref().map(Tracked::node);
    let adds = (K::ADDS && N == 1 && tracked).then(|| inputs[0].clone());
    let inputs = inputs.map(|tensor| contiguous(tensor.into_primitive()));
    if !tracked {
        let out = kernel.infer(inputs.each_ref().map(slice));
        return Tracked::new(made(out, shape));
    }
    let (out, saved) = kernel.forward(inputs.each_ref().map(slice));
    let out = made(out, shape);
    let shapes = inputs
        .each_ref()
        .map(|input| input.layout().shape().clone());
    let saves = kernel.saves(each);
    let inputs = std::array::from_fn(|index| save(&inputs[index], saves[index]));
    if K::CHEAP {
        remember(&out, &kernel, &inputs);
    }
    match Fused(kernel).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let state = State {
                inputs,
                shapes,
                saved,
                adds,
            };
            prepared.finish(state, out)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    }
}

#[derive(Debug, Clone)]
struct State<S, const N: usize> {
    inputs: [Saved; N],
    shapes: [Shape; N],
    saved: S,
    /// Input that may already have a part of its gradient.
    adds: Option<Tracked>,
}

#[derive(Debug)]
struct Fused<K>(K);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Fused<K> {
    type State = State<K::Saved, N>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let State {
            inputs,
            shapes,
            saved,
            adds,
        } = ops.state;
        if let (Some(input), Some(node)) = (adds, &ops.parents[0])
            && let Some(sum) = grads.remove::<Flex>(&input)
        {
            let mut sum = whole(sum);
            self.0.add_gradient(slice(&grad), sum.storage_mut());
            grads.register::<Flex>(node.id, sum);
            return;
        }
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let inputs = inputs.each_ref().map(Saved::values);
        let slices = inputs.each_ref().map(AsRef::as_ref);
        let results = self.0.backward(slices, &saved, slice(&grad), wanted);
        for ((parent, result), shape) in ops.parents.iter().zip(results).zip(shapes) {
            if let (Some(node), Some(result)) = (parent, result) {
                grads.register::<Flex>(node.id, made(result, shape));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, FloatDType};

    #[test]
    fn only_f32_on_flex_is_fused() {
        let flex = Device::flex();
        assert!(fits(&Tensor::<2>::zeros([2, 3], &flex)));
        assert!(fits(&Tensor::<2>::zeros([2, 3], &flex.clone().autodiff())));
        assert!(!fits(&Tensor::<2>::zeros([0, 3], &flex)));
        assert!(!fits(
            &Tensor::<2>::zeros([2, 3], &flex).cast(FloatDType::F64)
        ));
        #[cfg(feature = "ndarray")]
        {
            #[allow(deprecated)]
            let other = Device::ndarray();
            assert!(!fits(&Tensor::<2>::zeros([2, 3], &other)));
        }
    }

    #[test]
    #[should_panic(expected = "index 5 lies outside 0..5")]
    fn an_index_beyond_the_table_names_itself() {
        indices(Tensor::from_ints([0, 5], &Device::flex()), 5);
    }
}
