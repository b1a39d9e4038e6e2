//! Task on which a policy is trained.

use collimate_core::{Completion, Prompt, ScoreError, Scorer};
use collimate_data::TextTokenizer;
use collimate_nn::{Adapters, CausalLm};

use crate::actor_critic::same_tokens;
use crate::config::PpoConfig;
use crate::{ActorCritic, PpoError};

/// Reference model that the policy is kept close to.
#[derive(Debug, Clone)]
pub enum KlReference<M> {
    /// The policy with its adapters off; no second model is in memory.
    AdaptersOff,
    /// A frozen model, usually a copy of the policy before training.
    Model(M),
}

/// Prompts, reward and reference of a training.
#[derive(Clone)]
pub struct PpoTask<'a, M> {
    /// Tokenizer of the policy.
    pub tokenizer: &'a TextTokenizer,
    /// Tokens that end a response, in addition to the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Training prompts; each pass over them has a new order.
    pub prompts: Vec<Prompt>,
    /// Prompts whose answers are shown during training; may be empty.
    pub watched: Vec<Prompt>,
    /// Scorer of the responses: a reward model, a judge, a closure. A resumed run must be given the
    /// same scorer; this cannot be verified.
    pub reward: &'a dyn Scorer,
    /// Reference model that the policy is kept close to.
    pub reference: KlReference<M>,
}

impl<M> std::fmt::Debug for PpoTask<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PpoTask")
            .field("prompts", &self.prompts.len())
            .field("watched", &self.watched.len())
            .finish_non_exhaustive()
    }
}

impl<M: CausalLm> PpoTask<'_, M> {
    /// Returns the task with an untracked reference.
    pub(crate) fn untracked(&self) -> Self {
        let reference = match &self.reference {
            KlReference::AdaptersOff => KlReference::AdaptersOff,
            KlReference::Model(model) => KlReference::Model(model.valid()),
        };
        Self {
            reference,
            ..self.clone()
        }
    }

    /// Encodes the prompts and checks that each leaves room for a response.
    pub(crate) fn encode(
        &self,
        prompts: &[Prompt],
        model: &ActorCritic<M>,
        config: &PpoConfig,
    ) -> Result<Vec<Vec<u32>>, PpoError> {
        let mut contexts = vec![("the policy", model.policy.max_positions())];
        if let Some(critic) = &model.critic {
            contexts.push(("the critic", critic.backbone.max_positions()));
        }
        if let KlReference::Model(reference) = &self.reference {
            contexts.push(("the reference", reference.max_positions()));
        }
        let response = config.max_new_tokens;
        let encode = |(index, prompt): (usize, &Prompt)| {
            let ids = self.tokenizer.encode_prompt(prompt)?;
            if ids.is_empty() {
                return Err(PpoError::EmptyPrompt { prompt: index });
            }
            match contexts
                .iter()
                .find(|(_, most)| ids.len() + response > *most)
            {
                Some(&(model, context)) => Err(PpoError::TooLong {
                    prompt: index,
                    tokens: ids.len(),
                    response,
                    model,
                    context,
                }),
                None => Ok(ids),
            }
        };
        prompts.iter().enumerate().map(encode).collect()
    }

    /// Checks that there are prompts and that the reference fits the policy.
    pub(crate) fn check(&self, model: &ActorCritic<M>) -> Result<(), PpoError> {
        if self.prompts.is_empty() {
            return Err(PpoError::NoPrompts);
        }
        match &self.reference {
            KlReference::AdaptersOff if !model.policy.clone().has_lora() => {
                Err(PpoError::NoAdapters)
            }
            KlReference::AdaptersOff => Ok(()),
            KlReference::Model(reference) => same_tokens("the reference", reference, &model.policy),
        }
    }

    /// Returns one finite score per item. `before` items of the rollout have been scored already.
    pub(crate) fn score(
        &self,
        rollout: u64,
        before: usize,
        items: &[(Prompt, Completion)],
    ) -> Result<Vec<f32>, PpoError> {
        let wrong = |source| {
            let source = match source {
                ScoreError::NotFinite { index, value } => ScoreError::NotFinite {
                    index: before + index,
                    value,
                },
                source => source,
            };
            PpoError::Score { rollout, source }
        };
        let scores = self.reward.score(items).map_err(wrong)?;
        if scores.len() != items.len() {
            let (items, scores) = (items.len(), scores.len());
            return Err(wrong(ScoreError::Count { items, scores }));
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => Err(wrong(ScoreError::NotFinite {
                index,
                value: scores[index],
            })),
            None => Ok(scores),
        }
    }
}

impl<M> KlReference<M> {
    /// Returns the model that gives the reference's log-probabilities, and the state of its
    /// adapters.
    pub(crate) fn of<'m>(&'m self, policy: &'m M) -> (&'m M, Adapters) {
        match self {
            Self::AdaptersOff => (policy, Adapters::Off),
            Self::Model(model) => (model, Adapters::On),
        }
    }
}
