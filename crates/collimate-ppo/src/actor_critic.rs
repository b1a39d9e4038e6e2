//! What is trained together.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{
    Adapters, CausalLm, DeviceBatch, Forward, ScalarHead, ValueModel, separate, token_logps,
    token_logps_entropy,
};

use crate::PpoError;
use crate::config::Estimator;

/// A policy and, where the estimator wants one, what values its states: a critic of its own or a
/// head on the policy.
#[derive(Module, Debug)]
pub struct ActorCritic<M: CausalLm> {
    /// The policy.
    pub policy: M,
    /// A critic of its own.
    pub critic: Option<ValueModel<M>>,
    /// A value head on the policy's hidden states.
    pub value_head: Option<ScalarHead>,
}

impl<M: CausalLm> ActorCritic<M> {
    /// A policy alone: for RLOO and GRPO.
    pub fn policy_only(policy: M) -> Self {
        Self {
            policy,
            critic: None,
            value_head: None,
        }
    }

    /// A policy and a critic of its own, best made from a reward model's parts. The critic may be a
    /// clone of the policy, or of what the policy was cloned from: it becomes separate.
    pub fn with_critic(policy: M, critic: ValueModel<M>) -> Self {
        Self {
            critic: Some(separate(critic)),
            ..Self::policy_only(policy)
        }
    }

    /// A policy with a value head: no second model to train, and the policy's layers serve both.
    pub fn with_value_head(policy: M, head: ScalarHead) -> Self {
        Self {
            value_head: Some(head),
            ..Self::policy_only(policy)
        }
    }

    /// A policy with a fresh value head, whose values are about 0 before it has learnt anything.
    pub fn with_fresh_value_head(policy: M, key: Key) -> Self {
        let hidden = policy.hidden_size();
        let std = 0.1 / (hidden as f64).sqrt();
        let head = ScalarHead::new(hidden, true, std, key, &policy.device());
        Self::with_value_head(policy, head)
    }

    /// Whether the parts are those that the estimator needs.
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
                wrong("takes a critic of its own or a value head, not both")
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

/// Whether a model reads the ids that the policy writes.
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

/// What a forward pass says of the response tokens, `[response tokens]` each.
pub(crate) struct TokenOutputs {
    pub(crate) logps: Tensor<1>,
    pub(crate) values: Option<Tensor<1>>,
    pub(crate) entropy: Option<Tensor<1>>,
}

impl<M: CausalLm> ActorCritic<M> {
    /// Log-probabilities at a temperature, values, and the entropy where it is asked for.
    pub(crate) fn outputs(
        &self,
        batch: &DeviceBatch,
        temperature: f64,
        entropy: bool,
    ) -> TokenOutputs {
        let hidden = self.policy.hidden_at(batch, batch.sources(), Forward::EVAL);
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

/// Log-probabilities of the response tokens under one policy.
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
    let hidden = policy.hidden_at(batch, batch.sources(), forward);
    let head = policy.output_head().at_temperature(temperature);
    token_logps(hidden, head, batch)
}

/// Numbers of a tensor on the host.
pub(crate) fn host(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Numbers of the host on a device.
pub(crate) fn device(values: Vec<f32>, batch: &DeviceBatch) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), &batch.device)
}
