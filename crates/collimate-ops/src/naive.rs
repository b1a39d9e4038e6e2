//! The same operations in plain tensor calls. The fused operations are tested against them, and
//! devices without fused operations run them.

use burn::tensor::{Bool, DType, FloatDType, Int, Tensor, TensorData, activation};

use crate::cache::{Append, DeviceStore, PAGE, indices};
use crate::{
    AdamW, AdamWState, AttentionPlan, DropMask, Heads, LowRankUpdate, RopeTable, Scores, Visibility,
};

/// Plain twin of [`crate::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let weight = as_type_of(&x, weight);
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze::<2>(),
        None => y,
    }
}

/// Plain twin of [`crate::linear_bf16`]. Its backward pass does not round the gradient of the result.
pub fn linear_bf16(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let dtype = FloatDType::from(x.dtype());
    let [x, weight] = [x, weight].map(|factor| factor.cast(FloatDType::BF16).cast(dtype));
    linear(x, weight, bias)
}

/// Plain twin of [`crate::adapted_linear`].
pub fn adapted_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    update: LowRankUpdate,
) -> Tensor<2> {
    adapted_linear_by(linear, x, weight, bias, update)
}

/// Computes [`adapted_linear`] with another product for each linear layer.
pub(crate) fn adapted_linear_by(
    product: impl Fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>) -> Tensor<2>,
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    update: LowRankUpdate,
) -> Tensor<2> {
    let LowRankUpdate { a, b, scale, mask } = update;
    let input = match &mask {
        Some(mask) => crate::dropped(x.clone(), mask),
        None => x.clone(),
    };
    let low = product(input, a, None).mul_scalar(scale);
    product(x, weight, bias) + product(low, b, None)
}

/// Plain twin of [`crate::dropped`].
pub fn dropped(x: Tensor<2>, mask: &DropMask) -> Tensor<2> {
    let factors = mask.to_tensor(&x.device());
    x * factors
}

/// Returns the weight in the number type of `x`.
fn as_type_of(x: &Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    match weight.dtype() == x.dtype() {
        true => weight,
        false => weight.cast(FloatDType::from(x.dtype())),
    }
}

/// Plain twin of [`crate::rms_norm`].
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
    let scale = (x.clone().square().mean_dim(1) + eps).sqrt().recip();
    x * scale * weight.unsqueeze::<2>()
}

/// Plain twin of [`crate::layer_norm`].
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let scale = (centred.clone().square().mean_dim(1) + eps).sqrt().recip();
    let y = centred * scale * weight.unsqueeze::<2>();
    match bias {
        Some(bias) => y + bias.unsqueeze::<2>(),
        None => y,
    }
}

/// Plain twin of [`crate::gelu`].
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    let cdf = ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    x * cdf
}

/// Plain twin of [`crate::gelu_tanh`].
pub fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
    x * (inner.tanh() + 1.0) * 0.5
}

/// Plain twin of [`crate::geglu`].
pub fn geglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gelu(gate) * up
}

/// Plain twin of [`crate::geglu_tanh`].
pub fn geglu_tanh(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gelu_tanh(gate) * up
}

/// Plain twin of [`crate::swiglu`].
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::sigmoid(gate.clone()) * gate * up
}

/// Plain twin of [`crate::rope`].
pub fn rope(x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let RopeTable {
        head_dim, rotary, ..
    } = *table;
    let half = rotary / 2;
    let heads = width / head_dim;
    let cos = table.cos.clone().reshape([tokens, 1, half]);
    let sin = table.sin.clone().reshape([tokens, 1, half]);
    let x = x.reshape([tokens, heads, head_dim]);
    let low = x.clone().narrow(2, 0, half);
    let high = x.clone().narrow(2, half, half);
    let rotated_low = low.clone() * cos.clone() - high.clone() * sin.clone();
    let rotated_high = high * cos + low * sin;
    let mut parts = vec![rotated_low, rotated_high];
    if rotary < head_dim {
        parts.push(x.narrow(2, rotary, head_dim - rotary));
    }
    Tensor::cat(parts, 2).reshape([tokens, width])
}

/// Plain twin of [`crate::segment_attention`]: one small dense attention per segment over the keys
/// that it sees.
///
/// # Panics
/// Panics as the fused operation does.
pub fn segment_attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    plan: &AttentionPlan,
    heads: Heads,
) -> Tensor<2> {
    heads.assert_valid();
    let Heads {
        query,
        key_value,
        head_dim,
    } = heads;
    if plan.blocks().is_empty() {
        return q;
    }
    let group = heads.group();
    let inner = q.device().without_autodiff();
    let outputs = plan.blocks().iter().map(|block| {
        let own = block.own.len();
        // Ancestors' tokens that the first query does not see are not seen by any query.
        let first = plan.seen(block, 0).start;
        let keys = block.context_len + own - first;
        let seen = |t: &Tensor<2>| {
            let ranges = block.key_rows(first);
            let parts = ranges.map(|range| t.clone().narrow(0, range.start, range.len()));
            Tensor::cat(parts.collect(), 0)
                .reshape([keys, key_value, head_dim])
                .swap_dims(0, 1)
        };
        // [key_value, group · own, head_dim]: the heads that share a key head lie together.
        let queries = q
            .clone()
            .narrow(0, block.own.start, own)
            .reshape([own, query, head_dim])
            .swap_dims(0, 1)
            .reshape([key_value, group * own, head_dim]);
        let products = queries.matmul(seen(&k).swap_dims(1, 2));
        let mut scores = scores_of(products, plan.scores(), head_dim);
        let bounded = plan.visibility() == Visibility::Causal || plan.window().is_some();
        if bounded && own > 1 {
            let hidden: Vec<bool> = (0..group * own)
                .flat_map(|row| {
                    let seen = plan.seen(block, row % own);
                    (first..first + keys).map(move |key| !seen.contains(&key))
                })
                .collect();
            let hidden = TensorData::new(hidden, [1, group * own, keys]);
            let hidden = Tensor::<3, Bool>::from_data(hidden, &inner);
            scores = scores.mask_fill(
                hidden.expand([key_value, group * own, keys]),
                f32::NEG_INFINITY,
            );
        }
        activation::softmax(scores, 2)
            .matmul(seen(&v))
            .reshape([query, own, head_dim])
            .swap_dims(0, 1)
            .reshape([own, query * head_dim])
    });
    Tensor::cat(outputs.collect(), 0)
}

fn scores_of<const D: usize>(products: Tensor<D>, form: Scores, head_dim: usize) -> Tensor<D> {
    soft_capped(products * form.factor(head_dim), form.softcap)
}

/// Applies `c · tanh(x / c)` if there is a cap `c`.
pub(crate) fn soft_capped<const D: usize>(x: Tensor<D>, cap: Option<f64>) -> Tensor<D> {
    match cap {
        Some(cap) => (x / cap).tanh() * cap,
        None => x,
    }
}

/// Plain twin of [`crate::cached_attention`] after the keys are written. All queries form one
/// padded batch.
pub(crate) fn cached_attention(
    q: Tensor<2>,
    store: &DeviceStore,
    append: &Append,
    heads: Heads,
    form: Scores,
) -> Tensor<2> {
    let Heads {
        query,
        key_value,
        head_dim,
    } = heads;
    let group = heads.group();
    let device = q.device();
    let queries = append.queries();
    let tokens = queries.len();
    let seen = queries.iter().map(|query| query.seen.len());
    let longest = seen.max().unwrap_or(0);
    let (mut slots, mut hidden) = (Vec::new(), Vec::new());
    for query in queries {
        let pages = &append.pages()[query.row];
        slots.extend((0..longest).map(|i| {
            let token = (query.seen.start + i).min(query.seen.end - 1);
            pages[token / PAGE] * PAGE + token % PAGE
        }));
        hidden.extend((0..longest).map(|i| i >= query.seen.len()));
    }
    let slots = indices(slots, &device);
    let seen = |store: &Tensor<2>| {
        let rows = store.clone().select(0, slots.clone());
        rows.reshape([tokens, longest, key_value, head_dim])
            .swap_dims(1, 2)
    };
    let hidden = TensorData::new(hidden, [tokens, 1, 1, longest]);
    let hidden = Tensor::<4, Bool>::from_data(hidden, &device);
    let products = q
        .reshape([tokens, key_value, group, head_dim])
        .matmul(seen(&store.keys).swap_dims(2, 3));
    let scores = scores_of(products, form, head_dim).mask_fill(
        hidden.expand([tokens, key_value, group, longest]),
        f32::NEG_INFINITY,
    );
    activation::softmax(scores, 3)
        .matmul(seen(&store.values))
        .reshape([tokens, query * head_dim])
}

/// Number of logits that exist at once in [`selected_logp`].
const LOGITS_AT_ONCE: usize = 1 << 22;

/// Plain twin of [`crate::selected_logp`].
pub fn selected_logp(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    selected_logp_capped(hidden, weight, targets, None)
}

/// Plain twin of [`crate::selected_logp_capped`].
pub fn selected_logp_capped(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    softcap: Option<f64>,
) -> Tensor<1> {
    let [rows, _] = hidden.dims();
    let [vocab, _] = weight.dims();
    let chunk = (LOGITS_AT_ONCE / vocab.max(1)).max(1);
    // Widened once, and not for each part.
    let weight = as_type_of(&hidden, weight);
    let parts = (0..rows).step_by(chunk).map(|start| {
        let len = chunk.min(rows - start);
        let logits = linear(hidden.clone().narrow(0, start, len), weight.clone(), None);
        let targets = targets.clone().narrow(0, start, len).reshape([len, 1]);
        activation::log_softmax(soft_capped(logits, softcap), 1)
            .gather(1, targets)
            .reshape([len])
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        hidden.sum_dim(1).reshape([0])
    } else {
        Tensor::cat(parts, 0)
    }
}

/// Plain twin of [`crate::selected_logp_entropy`].
pub fn selected_logp_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
) -> (Tensor<1>, Tensor<1>) {
    selected_logp_entropy_capped(hidden, weight, targets, None)
}

/// Plain twin of [`crate::selected_logp_entropy_capped`].
pub fn selected_logp_entropy_capped(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    softcap: Option<f64>,
) -> (Tensor<1>, Tensor<1>) {
    let rows = hidden.dims()[0];
    let logits = soft_capped(linear(hidden, weight, None), softcap);
    let logps = activation::log_softmax(logits, 1);
    let entropy = (logps.clone().exp() * logps.clone()).sum_dim(1).neg();
    let logp = logps.gather(1, targets.reshape([rows, 1]));
    (logp.reshape([rows]), entropy.reshape([rows]))
}

/// Plain twin of [`crate::embedding`].
pub fn embedding(weight: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    let rows = weight.select(0, ids);
    match rows.dtype() {
        DType::BF16 | DType::F16 => rows.cast(FloatDType::F32),
        _ => rows,
    }
}

/// Plain twin of [`crate::adamw_step`].
pub fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    state: &mut AdamWState<D>,
    step: u64,
    lr: f64,
    cfg: &AdamW,
) -> Tensor<D> {
    let (param, grad) = (param.without_autodiff(), grad.without_autodiff());
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    state.first = state.first.clone() * cfg.beta1 + grad.clone() * (1.0 - cfg.beta1);
    state.second = state.second.clone() * cfg.beta2 + grad.square() * (1.0 - cfg.beta2);
    let root = (state.second.clone() / correction(cfg.beta2)).sqrt() + cfg.eps;
    let direction = state.first.clone() / correction(cfg.beta1) / root;
    param * (1.0 - lr * cfg.weight_decay) - direction * lr
}

/// Plain twin of [`crate::sum_of_squares`].
pub fn sum_of_squares<const D: usize>(t: Tensor<D>) -> f64 {
    t.without_autodiff().square().sum().into_scalar::<f64>()
}
