//! A batch of pairs on the host, and the outputs of a loss for it.

use burn::tensor::{DType, Device, Tensor, TensorData};
use collimate_losses::{DirectLoss, PairLogps};
use proptest::prelude::*;

/// Log-probabilities of some pairs.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Policy chosen, policy rejected, reference chosen, reference rejected.
    pub(crate) logps: [Vec<f64>; 4],
    pub(crate) tokens: [Vec<usize>; 2],
}

/// Values, gradients for both policy log-probabilities, rewards.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) loss: Vec<f64>,
    pub(crate) gradients: [Vec<f64>; 2],
    pub(crate) rewards: [Vec<f64>; 2],
}

pub(crate) fn vector(values: &[f64], device: &Device, dtype: DType) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

pub(crate) fn list(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

impl Batch {
    /// Makes a batch of one pair from its four log-probabilities, in the order of the field.
    pub(crate) fn one(logps: [f64; 4]) -> Self {
        Self {
            logps: logps.map(|value| vec![value]),
            tokens: [vec![5], vec![5]],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.logps[0].len()
    }

    /// Returns the pairs `order`, in that order.
    pub(crate) fn pick(&self, order: &[usize]) -> Self {
        let pick = |v: &Vec<f64>| order.iter().map(|&i| v[i]).collect();
        let count = |v: &Vec<usize>| order.iter().map(|&i| v[i]).collect();
        Self {
            logps: self.logps.each_ref().map(pick),
            tokens: self.tokens.each_ref().map(count),
        }
    }

    /// Returns the batch with chosen and rejected exchanged.
    pub(crate) fn exchanged(&self) -> Self {
        let [a, b, c, d] = self.logps.clone();
        let [s, t] = self.tokens.clone();
        Self {
            logps: [b, a, d, c],
            tokens: [t, s],
        }
    }

    /// Returns the batch with `by` added to some of the four columns.
    pub(crate) fn moved(&self, columns: &[usize], by: f64) -> Self {
        let mut batch = self.clone();
        for &column in columns {
            batch.logps[column]
                .iter_mut()
                .for_each(|value| *value += by);
        }
        batch
    }

    pub(crate) fn evaluate(&self, loss: &dyn DirectLoss, device: &Device, dtype: DType) -> Out {
        let [pc, pr, rc, rr] = self.logps.each_ref().map(|v| vector(v, device, dtype));
        let (pc, pr) = (pc.require_grad(), pr.require_grad());
        let logps = PairLogps::new(pc.clone(), pr.clone())
            .with_reference(rc, rr)
            .with_tokens(self.tokens[0].clone(), self.tokens[1].clone());
        let out = loss.forward(&logps).expect("valid options");
        let rewards = loss.implicit_rewards(&logps).expect("valid options");
        let gradients = out.clone().sum().backward();
        // A loss that is constant here leaves no gradient.
        let gradient = |leaf: &Tensor<1>| match leaf.grad(&gradients) {
            Some(gradient) => list(gradient),
            None => vec![0.0; self.len()],
        };
        Out {
            loss: list(out),
            gradients: [gradient(&pc), gradient(&pr)],
            rewards: [list(rewards.chosen), list(rewards.rejected)],
        }
    }

    /// Computes the loss alone, in f64.
    pub(crate) fn loss(&self, loss: &dyn DirectLoss, device: &Device) -> Vec<f64> {
        self.evaluate(loss, device, DType::F64).loss
    }
}

/// Makes batches of 1 to 6 pairs with log-probabilities from `low` to −0.05.
pub(crate) fn batches(low: f64) -> impl Strategy<Value = Batch> {
    let logp = low..-0.05;
    let row = (
        [logp.clone(), logp.clone(), logp.clone(), logp],
        [1_usize..40, 1_usize..40],
    );
    prop::collection::vec(row, 1..7).prop_map(|rows| Batch {
        logps: [0, 1, 2, 3].map(|c| rows.iter().map(|(v, _)| v[c]).collect()),
        tokens: [0, 1].map(|c| rows.iter().map(|(_, t)| t[c]).collect()),
    })
}

/// Returns the precisions of a device, each with the tolerance of the golden tables: about 100 and
/// 10⁶ rounding errors of sums that cancel.
pub(crate) fn precisions(device: &Device) -> Vec<(DType, f64)> {
    let all = [(DType::F32, 1e-5), (DType::F64, 1e-9)];
    all.into_iter()
        .filter(|(dtype, _)| device.supports_dtype(*dtype))
        .collect()
}
