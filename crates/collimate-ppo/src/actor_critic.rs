//! The models that are trained together.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{
    Adapters, CausalLm, DeviceBatch, Forward, ScalarHead, ValueModel, separate, token_logps,
    token_logps_entropy,
};

use crate::PpoError;
use crate::config::Estimator;

/// A policy with its critic, if the estimator needs one. The critic is a separate model or a value
/// head on the policy.
#[derive(Module, Debug)]
pub struct ActorCritic<M: CausalLm> {
    /// The policy.
    pub policy: M,
    /// Separate critic.
    pub critic: Option<ValueModel<M>>,
    /// Value head on the policy's hidden states.
    pub value_head: Option<ScalarHead>,
}

impl<M: CausalLm> ActorCritic<M> {
    /// Returns a policy without a critic, for RLOO and GRPO.
    pub fn policy_only(policy: M) -> Self {
        Self {
            policy,
            critic: None,
            value_head: None,
        }
    }

    /// Returns a policy with a separate critic, best made from a reward model's parts. The critic
    /// may be a clone of the policy, or of the model that the policy was cloned from; it no longer
    /// shares parameters with it.
    pub fn with_critic(policy: M, critic: ValueModel<M>) -> Self {
        Self {
            critic: Some(separate(critic)),
            ..Self::policy_only(policy)
        }
    }

    /// Returns a policy with a value head. No second model is trained; the policy's layers serve
    /// both.
    pub fn with_value_head(policy: M, head: ScalarHead) -> Self {
        Self {
            value_head: Some(head),
            ..Self::policy_only(policy)
        }
    }

    /// Returns a policy with a fresh value head. Before training, its values are about 0.
    pub fn with_fresh_value_head(policy: M, key: Key) -> Self {
        let hidden = policy.hidden_size();
        let std = 0.1 / (hidden as f64).sqrt();
        let head = ScalarHead::new(hidden, true, std, key, &policy.device());
        Self::with_value_head(policy, head)
    }

    /// Checks that the model has the parts that the estimator needs.
    pub(crate) fn check(&self, estimator: &Estimator) -> Result<(), PpoError> {
        let fits = |head: &ScalarHead, backbone: &M| {
            let width = head.weight.dims()[1];
            match width == backbone.hidden_size() {
                true => Ok(()),
                false => Err(PpoError::HeadWidth {
                    head: width,
                    hidden: backbone.hidden_size(),
                }),
            }
        };
        let wrong = |needs| {
            let estimator = estimator.name();
            Err(PpoError::Parts { estimator, needs })
        };
        match (estimator, &self.critic, &self.value_head) {
            (Estimator::Critic(_), Some(_), Some(_)) => {
                wrong("takes a separate critic or a value head, not both")
            }
            (Estimator::Critic(_), None, None) => wrong(
                "needs a critic or a value head: use ActorCritic::with_critic or with_value_head",
            ),
            (Estimator::Rloo | Estimator::Grpo { .. }, None, None) => Ok(()),
            (Estimator::Rloo | Estimator::Grpo { .. }, ..) => {
                wrong("uses no critic: use ActorCritic::policy_only")
            }
            (Estimator::Critic(_), Some(critic), None) => {
                same_tokens("the critic", &critic.backbone, &self.policy)?;
                fits(&critic.head, &critic.backbone)
            }
            (Estimator::Critic(_), None, Some(head)) => fits(head, &self.policy),
        }
    }
}

/// Checks that a model reads the token ids that the policy writes.
pub(crate) fn same_tokens<M: CausalLm>(
    model: &'static str,
    read_by: &M,
    policy: &M,
) -> Result<(), PpoError> {
    let (other, policy) = (read_by.vocab_size(), policy.vocab_size());
    match other == policy {
        true => Ok(()),
        false => Err(PpoError::Vocabulary {
            model,
            other,
            policy,
        }),
    }
}

/// Outputs of a forward pass for the response tokens, `[response tokens]` each.
pub(crate) struct TokenOutputs {
    pub(crate) logps: Tensor<1>,
    pub(crate) values: Option<Tensor<1>>,
    pub(crate) entropy: Option<Tensor<1>>,
}

impl<M: CausalLm> ActorCritic<M> {
    /// Computes log-probabilities at a temperature, values, and on request the entropy.
    pub(crate) fn outputs(
        &self,
        batch: &DeviceBatch,
        temperature: f64,
        entropy: bool,
    ) -> TokenOutputs {
        let hidden = self
            .policy
            .hidden_at(batch, &batch.sources(), Forward::EVAL);
        let values = match (&self.critic, &self.value_head) {
            (Some(critic), _) => Some(critic.values(batch, Forward::EVAL)),
            (None, Some(head)) => Some(head.forward(hidden.clone())),
            (None, None) => None,
        };
        let head = self.policy.output_head().at_temperature(temperature);
        let (logps, entropy) = if entropy {
            let (logps, entropy) = token_logps_entropy(hidden, head, batch);
            (logps, Some(entropy))
        } else {
            (token_logps(hidden, head, batch), None)
        };
        TokenOutputs {
            logps,
            values,
            entropy,
        }
    }
}

/// Computes the log-probabilities of the response tokens under a policy.
pub(crate) fn policy_logps<M: CausalLm>(
    policy: &M,
    batch: &DeviceBatch,
    temperature: f64,
    adapters: Adapters,
) -> Tensor<1> {
    let forward = Forward {
        adapters,
        dropout: None,
    };
    let hidden = policy.hidden_at(batch, &batch.sources(), forward);
    let head = policy.output_head().at_temperature(temperature);
    token_logps(hidden, head, batch)
}

/// Copies a tensor to the host.
pub(crate) fn host(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Copies values from the host to the batch's device.
pub(crate) fn device(values: Vec<f32>, batch: &DeviceBatch) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), &batch.device)
}
