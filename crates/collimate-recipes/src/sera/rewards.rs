//! Implicit rewards and margins of the iterates.

use collimate_core::Completion;
use collimate_data::TokenizedPair;
use collimate_direct::{PairLogp, targets};
use collimate_irm::{ImplicitReward, Logps, MarginReference, ensemble};
use collimate_nn::CausalLm;

use super::method::Method;
use super::pairing::in_rows;
use super::review::History;
use super::session::Session;
use crate::RecipeError;
use crate::answers::{Answers, response_logps};

/// Implicit reward margins of the offline pairs.
#[derive(Debug, Clone)]
pub(super) struct Margins {
    /// Margins under the last iterate.
    pub(super) current: Vec<f64>,
    /// Margins under the iterate before; absent while only one model has been aligned.
    pub(super) previous: Option<Vec<f64>>,
}

/// Computes the margins of the offline pairs under the last two iterates.
pub(super) fn margins<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    history: &mut History<M>,
) -> Result<Margins, RecipeError> {
    for iterate in history.iter_mut() {
        session.offline(label, iterate)?;
    }
    let of = |index: usize| offline_margins(session, history, index);
    let last = history.len() - 1;
    Ok(Margins {
        current: of(last)?,
        previous: match last {
            1 => None,
            _ => Some(of(last - 1)?),
        },
    })
}

/// Returns the mean log-probability per token of the chosen completions under the start model.
pub(super) fn reference_logps<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    history: &mut History<M>,
) -> Result<Vec<f64>, RecipeError> {
    let logps = session.offline(label, &mut history[0])?;
    let tokens = session
        .train
        .iter()
        .map(|p| targets(&p.prompt, &p.chosen).max(1));
    Ok(logps
        .iter()
        .zip(tokens)
        .map(|(logp, tokens)| f64::from(logp.chosen) / tokens as f64)
        .collect())
}

/// Returns the index of the model that the log-ratios of iterate `index` are taken against.
fn reference_of(reference: MarginReference, index: usize) -> usize {
    match reference {
        MarginReference::Initial => 0,
        MarginReference::Previous => index - 1,
    }
}

/// Computes the implicit reward margins of the offline pairs under iterate `index`.
fn offline_margins<M: CausalLm>(
    session: &Session<'_, M>,
    history: &History<M>,
    index: usize,
) -> Result<Vec<f64>, RecipeError> {
    // KTO has no margins, so any method with margins gives the kind.
    let kind = session.config.implicit_reward(Method::Sera);
    let base = reference_of(session.config.irm.reference, index);
    let of = |index: usize| history[index].offline.as_deref().unwrap_or_default();
    let (policy, reference) = (of(index), of(base));
    let side = |logps: &[PairLogp], pick: fn(&PairLogp) -> f32| -> Vec<f32> {
        logps.iter().map(pick).collect()
    };
    let lengths = |pick: fn(&TokenizedPair) -> usize| -> Vec<usize> {
        session.train.iter().map(pick).collect()
    };
    let columns = [
        (
            side(policy, |l| l.chosen),
            side(reference, |l| l.chosen),
            lengths(|p| targets(&p.prompt, &p.chosen)),
        ),
        (
            side(policy, |l| l.rejected),
            side(reference, |l| l.rejected),
            lengths(|p| targets(&p.prompt, &p.rejected)),
        ),
    ];
    let [chosen, rejected] = columns.each_ref().map(|(policy, reference, tokens)| Logps {
        policy,
        reference: Some(reference),
        tokens: Some(tokens),
    });
    Ok(kind.margins(chosen, rejected)?)
}

/// Computes implicit rewards of responses, averaged over the last two iterates with weight γ.
pub(super) fn response_rewards<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    history: &History<M>,
    prompts: &[Vec<u32>],
    responses: &[Vec<Completion>],
) -> Result<Vec<Vec<f64>>, RecipeError> {
    let last = history.len() - 1;
    // KTO has no margins, so any method with margins gives the kind.
    let kind = session.config.implicit_reward(Method::Sera);
    let tokens: Vec<usize> = responses.iter().flatten().map(tokens).collect();
    // Two iterates may share a reference, so each model processes the responses only once.
    let mut passes: Vec<Option<Vec<f64>>> = vec![None; history.len()];
    let mut rewards = |index: usize| -> Result<Vec<f64>, RecipeError> {
        let reference = kind
            .needs_reference()
            .then(|| reference_of(session.config.irm.reference, index));
        for model in [Some(index), reference].into_iter().flatten() {
            if passes[model].is_none() {
                let (label, model_of) = (format!("{label} rewards"), &history[model].model);
                let found =
                    response_logps(&session.sampler(), &label, model_of, prompts, responses)?;
                passes[model] = Some(found);
            }
        }
        Ok(kind.rewards(Logps {
            policy: passes[index].as_deref().unwrap_or_default(),
            reference: reference.and_then(|model| passes[model].as_deref()),
            tokens: Some(&tokens),
        })?)
    };
    let current = rewards(last)?;
    let previous = match last {
        1 => None,
        _ => Some(rewards(last - 1)?),
    };
    let all = ensemble(&current, previous.as_deref(), session.config.irm.gamma)?;
    Ok(in_rows(&all, responses.iter().map(Vec::len)))
}

/// Returns the mean log-probability per token of the responses under the start model, prompt by
/// prompt.
pub(super) fn start_logps<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    start: &M,
    prompts: &[Vec<u32>],
    responses: &[Vec<Completion>],
) -> Result<Vec<f64>, RecipeError> {
    let label = format!("{label} start");
    let sums = response_logps(&session.sampler(), &label, start, prompts, responses)?;
    let tokens = responses.iter().flatten().map(tokens);
    Ok(sums
        .iter()
        .zip(tokens)
        .map(|(sum, tokens)| sum / tokens as f64)
        .collect())
}

/// Returns the number of tokens of a response, at least 1.
pub(super) fn tokens(response: &Completion) -> usize {
    response.tokens.as_ref().map_or(0, Vec::len).max(1)
}

/// Computes implicit rewards of a policy's answers against the start model.
pub(crate) fn implicit_rewards<M: CausalLm>(
    session: &Session<'_, M>,
    method: Method,
    label: &str,
    model: &M,
    ids: &[Vec<u32>],
    answers: &Answers,
) -> Result<Vec<f64>, RecipeError> {
    let kind: ImplicitReward = session.config.implicit_reward(method);
    let sampler = session.sampler();
    let of = |model: &M| response_logps(&sampler, label, model, ids, &answers.completions);
    let policy = of(model)?;
    let reference = of(session.start)?;
    let lengths = answers.completions.iter().flatten();
    Ok(policy
        .iter()
        .zip(&reference)
        .zip(lengths)
        .map(|((&policy, &reference), completion)| {
            kind.value(policy, reference, tokens(completion))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_model_is_compared_with_itself() {
        for index in 1..5 {
            assert_eq!(reference_of(MarginReference::Initial, index), 0);
            assert_eq!(reference_of(MarginReference::Previous, index), index - 1);
        }
    }
}
