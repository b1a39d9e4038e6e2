//! Pairs of the policy's own responses.

use collimate_core::{Completion, Finish, Key, Prompt, Purpose};
use collimate_data::TokenizedPair;
use collimate_irm::{CutPolicy, Response, bootstrap_pairs};
use collimate_nn::CausalLm;
use rand::RngExt;

use super::data::SeraData;
use super::devices::compare_devices;
use super::method::Own;
use super::outcome::{Agreement, NoOwnPairs, SelectionReport};
use super::pairing::{Pairing, Rewards, pair, response};
use super::review::{Notes, Policies, Step};
use super::rewards::{response_rewards, start_logps};
use super::session::Session;
use crate::RecipeError;

/// Responses of a policy to the prompt of every pair, and their rewards.
#[derive(Debug, Clone)]
pub(crate) struct Responses {
    completions: Vec<Vec<Completion>>,
    /// Rewards of the responses; empty if the method needs none.
    rewards: Rewards,
}

/// A pair to train on, before it has ids.
struct Found {
    prompt: usize,
    /// Index of the chosen response; `None` means the offline pair's chosen answer.
    chosen: Option<usize>,
    rejected: usize,
    margin: Option<f64>,
}

/// Makes at most `limit` pairs from the last model's own responses.
pub(super) fn own_pairs<M: CausalLm>(
    session: &Session<'_, M>,
    step: Step<'_>,
    policies: Policies<'_, M>,
    limit: usize,
    notes: &mut Notes,
    shared: &mut Option<Responses>,
) -> Result<Vec<TokenizedPair>, RecipeError> {
    let Step { variant, data, .. } = step;
    let history = policies.history;
    let Notes { report, lines } = notes;
    let kind = variant.method.own();
    let cut = variant.irm.cut;
    // The first iterate is the same model for every method that ranks by implicit reward.
    let common = kind == Own::Implicit && history.len() == 2;
    let mut alone = None;
    let slot = if common { shared } else { &mut alone };
    if slot.is_none() {
        let written = write(session, step, policies)?;
        *slot = Some(written);
    }
    let Some(responses) = slot else {
        return Ok(Vec::new());
    };
    report.asked = limit;
    let found = match kind {
        Own::None => Vec::new(),
        Own::Implicit | Own::Judged => {
            let samples = session.start_samples.as_ref();
            let how = Pairing {
                anchors: &variant.anchors,
                samples: samples
                    .map(|samples| samples.mean_logps.as_slice())
                    .unwrap_or_default(),
                cut,
                limit,
                key: session.key(&format!("{} own pairs", step.label())),
            };
            if kind == Own::Implicit {
                responses.complete(session, step, policies)?;
                if step.compares(session.config) {
                    let (own, all) = (&session.config.anchors, &*responses);
                    report.devices =
                        compare_devices(&all.completions, &all.rewards, own, how, data)?;
                }
            }
            best_and_worst(responses, how, &step.label(), report)?
        }
        Own::Target => against_chosen(responses, cut, limit, data, report),
    };
    // The report says nothing on the pairs of a second policy, so the judge need not see them.
    let judge = data.judge.as_ref().filter(|_| !step.second);
    let completion = |prompt: usize, response: usize| &responses.completions[prompt][response];
    let mut pairs = Vec::with_capacity(found.len());
    let mut texts: Vec<(Prompt, Completion)> = Vec::new();
    for one in &found {
        let (offline, prompt) = (&session.train[one.prompt], &data.train[one.prompt].prompt);
        let rejected = completion(one.prompt, one.rejected);
        let ids = |c: &Completion| c.tokens.clone().unwrap_or_default();
        let (chosen, chosen_ids) = match one.chosen {
            Some(index) => {
                let chosen = completion(one.prompt, index);
                (chosen.clone(), ids(chosen))
            }
            None => (
                data.train[one.prompt].chosen.clone(),
                offline.chosen.clone(),
            ),
        };
        let source = match kind {
            Own::Target => "target",
            Own::Judged => "judged",
            _ => "bootstrapped",
        };
        if kind == Own::Implicit && judge.is_some() {
            texts.push((prompt.clone(), chosen.clone()));
            texts.push((prompt.clone(), rejected.clone()));
        }
        pairs.push(TokenizedPair {
            prompt: offline.prompt.clone(),
            chosen: chosen_ids,
            rejected: ids(rejected),
            ..TokenizedPair::default()
        });
        lines.own(prompt, chosen, rejected.clone(), one.margin, source);
    }
    if let Some(judge) = judge
        && !texts.is_empty()
    {
        let scores = judge.scores(&texts)?;
        let gaps: Vec<f64> = scores.chunks(2).map(|pair| pair[0] - pair[1]).collect();
        let margins: Vec<f64> = found.iter().filter_map(|one| one.margin).collect();
        report.own_agreement = Agreement::of(&margins, &gaps);
    }
    Ok(pairs)
}

impl Responses {
    /// Adds the values that the devices need: the start model's likelihoods and the second policy's
    /// rewards.
    fn complete<M: CausalLm>(
        &mut self,
        session: &Session<'_, M>,
        step: Step<'_>,
        policies: Policies<'_, M>,
    ) -> Result<(), RecipeError> {
        let Self {
            completions,
            rewards,
        } = self;
        let compares = step.compares(session.config);
        let label = &step.label();
        let prompts: Vec<Vec<u32>> = session.train.iter().map(|p| p.prompt.clone()).collect();
        if rewards.start.is_none() && (step.variant.anchors.asks_the_start() || compares) {
            let start = &policies.history[0].model;
            let found = start_logps(session, label, start, &prompts, completions)?;
            rewards.start = Some(found);
        }
        if rewards.second.is_none() && !policies.second.is_empty() {
            let label = format!("{label} second");
            let found = response_rewards(session, &label, policies.second, &prompts, completions)?;
            rewards.second = Some(found);
        }
        Ok(())
    }
}

/// Samples responses and computes their rewards.
fn write<M: CausalLm>(
    session: &Session<'_, M>,
    step: Step<'_>,
    policies: Policies<'_, M>,
) -> Result<Responses, RecipeError> {
    let history = policies.history;
    let Step {
        variant,
        iteration,
        data,
        ..
    } = step;
    let label = &step.label();
    let kind = variant.method.own();
    let prompts: Vec<Vec<u32>> = session.train.iter().map(|p| p.prompt.clone()).collect();
    let policy = &history[history.len() - 1].model;
    // One stream per iteration: methods differ by what they do with the responses. A second policy
    // has streams of its own.
    let seed = match step.second {
        true => session.second_seed(),
        false => session.config.seed,
    };
    let key = Key::new(seed, &format!("responses {iteration}"));
    let n = match kind {
        Own::Target => 1,
        Own::Judged => 2,
        _ => variant.irm.responses,
    };
    let completions = sample(session, label, policy, n, key)?;
    let rewards = match kind {
        Own::Implicit => response_rewards(session, label, history, &prompts, &completions)?,
        Own::Judged => {
            let judge = data.judge.as_ref().ok_or(RecipeError::NoJudge)?;
            let rows = data.train.iter().zip(&completions);
            let items: Vec<(Prompt, Completion)> = rows
                .flat_map(|(pair, row)| row.iter().map(|c| (pair.prompt.clone(), c.clone())))
                .collect();
            let scores = judge.scores(&items)?;
            scores.chunks(n).map(<[f64]>::to_vec).collect()
        }
        _ => Vec::new(),
    };
    Ok(Responses {
        completions,
        rewards: Rewards {
            rows: rewards,
            ..Rewards::default()
        },
    })
}

/// Samples `n` responses to the prompt of every pair, and cuts those that would make a pair too
/// long.
pub(super) fn sample<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    policy: &M,
    n: usize,
    key: Key,
) -> Result<Vec<Vec<Completion>>, RecipeError> {
    let prompts: Vec<Vec<u32>> = session.train.iter().map(|p| p.prompt.clone()).collect();
    let seed = key.rng(Purpose::Sampling).random();
    let sampling = session.config.responses.with(n, seed);
    let sampler = session.sampler();
    let mut watch = sampler.meter(&format!("{label} responses"));
    let mut completions = sampler
        .generator(policy)
        .continue_ids(&prompts, &sampling, &mut watch)
        .map_err(|error| sampler.generation(label, error))?;
    for (prompt, responses) in prompts.iter().zip(&mut completions) {
        for response in responses {
            fit(session, response, prompt.len());
        }
    }
    Ok(completions)
}

/// Pairs the responses with the largest and the smallest reward, for the prompts that the rule
/// keeps. Warns if a device leaves no pair.
fn best_and_worst(
    responses: &Responses,
    how: Pairing<'_>,
    label: &str,
    report: &mut SelectionReport,
) -> Result<Vec<Found>, RecipeError> {
    let paired = pair(&responses.completions, &responses.rewards, how)?;
    report.responses = paired.counts;
    report.dropped = paired.dropped;
    report.over_limit = paired.over_limit;
    report.policy_agreement = paired.agreement;
    report.disagreeing = paired.disagreeing;
    report.refused = paired.refused;
    report.no_own_pairs = paired.none;
    match paired.none {
        Some(NoOwnPairs::Unlikely) => tracing::warn!(
            "{label}: no own pairs, because the gate excludes {} of {} responses as unlikely under \
             the start model: lower anchors.gate",
            paired.counts.unlikely,
            paired.counts.responses
        ),
        Some(NoOwnPairs::Disagreement) => tracing::warn!(
            "{label}: no own pairs, because the second policy agrees on too few of {}: the \
             iteration trains on all offline pairs",
            paired.refused
        ),
        None => {}
    }
    let found = paired.pairs.into_iter().map(|(prompt, pair)| Found {
        prompt,
        chosen: Some(pair.chosen),
        rejected: pair.rejected,
        margin: Some(pair.margin),
    });
    Ok(found.collect())
}

/// Pairs the offline chosen answer with the policy's response.
fn against_chosen(
    responses: &Responses,
    cut: CutPolicy,
    limit: usize,
    data: &SeraData<'_>,
    report: &mut SelectionReport,
) -> Vec<Found> {
    let rows: Vec<Vec<Response<'_>>> = responses
        .completions
        .iter()
        .zip(&data.train)
        .map(|(completions, pair)| {
            // The offline answer is the better one by definition.
            vec![
                response(&completions[0], 0.0),
                Response {
                    text: &pair.chosen.text,
                    reward: 1.0,
                    finished: true,
                    unlikely: false,
                },
            ]
        })
        .collect();
    let made = bootstrap_pairs(&rows, cut);
    report.responses = made.counts;
    report.responses.responses = responses.completions.len();
    report.dropped = made.dropped_by_reason();
    let found: Vec<Found> = made
        .pairs()
        .take(limit)
        .map(|(prompt, _)| Found {
            prompt,
            chosen: None,
            rejected: 0,
            margin: None,
        })
        .collect();
    report.over_limit = made.pairs().count() - found.len();
    found
}

/// Cuts a response that would make its pair longer than `max_length`.
fn fit<M>(session: &Session<'_, M>, response: &mut Completion, prompt: usize) {
    let room = session.config.max_length.saturating_sub(prompt).max(1);
    if let Some(tokens) = &mut response.tokens
        && tokens.len() > room
    {
        tokens.truncate(room);
        if let Ok(text) = session.tokenizer.decode(tokens) {
            response.text = text;
        }
        response.finish = Finish::Length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sera::Anchors;
    use crate::sera::review::offline_share;

    /// Policies that agree on no pair at all are a refusal like any other: the report says so, and
    /// all offline pairs are kept.
    #[test]
    fn a_refusal_without_any_agreement_keeps_all_offline_pairs() {
        let row = |texts: [&str; 2]| texts.map(Completion::from).to_vec();
        let responses = Responses {
            completions: vec![row(["a", "b"]), row(["c", "d"])],
            rewards: Rewards {
                rows: vec![vec![1.0, 0.0]; 2],
                second: Some(vec![vec![0.0, 1.0]; 2]),
                ..Rewards::default()
            },
        };
        let anchors = Anchors {
            agreement: Some(0.6),
            ..Anchors::OFF
        };
        let how = Pairing {
            anchors: &anchors,
            samples: &[],
            cut: CutPolicy::Drop,
            limit: 2,
            key: Key::new(0, "own pairs"),
        };
        let mut report = SelectionReport::default();
        assert_eq!(offline_share(0.7, &report), 0.7);
        let found = best_and_worst(&responses, how, "anchored-dpo 2", &mut report).unwrap();
        assert!(found.is_empty());
        assert_eq!((report.refused, report.disagreeing), (2, 0));
        assert_eq!(report.no_own_pairs, Some(NoOwnPairs::Disagreement));
        assert_eq!(offline_share(0.7, &report), 1.0);
        // A gate that excludes every response says nothing against the offline margins.
        report.no_own_pairs = Some(NoOwnPairs::Unlikely);
        assert_eq!(offline_share(0.7, &report), 0.7);
    }
}
