//! The pairs of an iteration: offline ones by margin, the policy's own by implicit reward.

use std::path::Path;

use collimate_core::{
    Completion, Finish, LeaveReason, Left, PreferencePair, Prompt, Purpose, Selection,
};
use collimate_data::TokenizedPair;
use collimate_direct::PairLogp;
use collimate_irm::{
    Bootstrapped, Logps, MarginReference, Response, bootstrap_pairs, ensemble, random_k,
    share_count, top_k,
};
use collimate_lm::TextGenerator;
use collimate_nn::CausalLm;
use collimate_train::{StageState, atomic_write, hash_file, hash_json};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answers::response_logps;
use super::config::Method;
use super::data::SeraData;
use super::outcome::SelectionReport;
use super::session::{Iterate, Session};
use crate::RecipeError;

/// The pairs of an iteration and how they came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reviewed {
    /// Indices of the offline pairs.
    pub(crate) offline: Vec<usize>,
    /// The policy's own pairs.
    pub(crate) own: Vec<TokenizedPair>,
    pub(crate) report: SelectionReport,
}

/// The models that margins are taken from: `history[0]` is the start, the last one the policy.
pub(crate) type History<M> = [Iterate<M>];

/// Selects and bootstraps, or reads what an earlier start of this run selected.
pub(crate) fn review<M: CausalLm>(
    session: &mut Session<'_, M>,
    method: Method,
    iteration: usize,
    history: &mut History<M>,
    data: &SeraData<'_>,
) -> Result<Reviewed, RecipeError> {
    let stage = format!("{}-{iteration}-pairs", method.name());
    let file = session
        .run
        .path()
        .join("selections")
        .join(format!("{stage}.json"));
    let hashes: Vec<String> = history
        .iter()
        .map(|iterate| collimate_train::model_hash(&iterate.model))
        .collect();
    let inputs = hash_json(&(session.config, &hashes, &session.train));
    if let StageState::Done(hash) = session.run.stage(&stage, &inputs)?
        && let Ok(found) = hash_file(&file)
        && hash == json!(found)
        && let Ok(text) = std::fs::read_to_string(&file)
        && let Ok(reviewed) = serde_json::from_str(&text)
    {
        return Ok(reviewed);
    }
    let reviewed = compute(session, method, iteration, history, data)?;
    let text = serde_json::to_vec(&reviewed).map_err(|error| format_error(&file, &error))?;
    atomic_write(&file, &text)?;
    session.run.redo(&stage)?;
    session.run.stage(&stage, &inputs)?;
    session.run.complete(&stage, &hash_file(&file)?)?;
    Ok(reviewed)
}

fn format_error(path: &Path, error: &serde_json::Error) -> RecipeError {
    collimate_train::TrainError::Format {
        path: path.to_owned(),
        reason: error.to_string(),
    }
    .into()
}

fn compute<M: CausalLm>(
    session: &mut Session<'_, M>,
    method: Method,
    iteration: usize,
    history: &mut History<M>,
    data: &SeraData<'_>,
) -> Result<Reviewed, RecipeError> {
    let n = session.train.len();
    let (offline_share, own_share) = method.shares(&session.config.irm);
    let label = format!("{} {iteration}", method.name());
    let mut report = SelectionReport::default();
    let folder = session.run.folder("selections")?;
    let rows = |suffix: &str| folder.join(format!("{}-{iteration}{suffix}.jsonl", method.name()));
    let mut lines = Lines::default();

    let keep = share_count(offline_share, n)?;
    let offline = if keep == 0 {
        Vec::new()
    } else {
        let scores = scores(session, method, &label, history)?;
        let selection = match method {
            Method::RandomSelection => random_k(n, keep, session.key(&label)),
            _ => top_k(&scores, keep),
        };
        describe(&mut report, &selection, &scores, data.noisy.as_deref());
        lines.offline(&selection, &scores, data);
        selection.kept.iter().map(|kept| kept.index).collect()
    };
    let limit = share_count(own_share, n)?;
    let own = if limit == 0 {
        Vec::new()
    } else {
        own_pairs(
            session,
            &label,
            history,
            limit,
            &mut report,
            data,
            &mut lines,
        )?
    };
    report.offline = offline.len();
    report.bootstrapped = own.len();
    if offline.is_empty() && own.is_empty() {
        return Err(RecipeError::NoPairs {
            stage: label,
            dropped: report
                .dropped
                .iter()
                .map(|(reason, count)| format!("{count} × {}", json!(reason)))
                .collect::<Vec<_>>()
                .join(", "),
        });
    }
    atomic_write(&rows(""), lines.kept.as_bytes())?;
    if !lines.left.is_empty() {
        atomic_write(&rows("-left"), lines.left.as_bytes())?;
    }
    Ok(Reviewed {
        offline,
        own,
        report,
    })
}

/// The number that offline pairs are ranked by.
fn scores<M: CausalLm>(
    session: &Session<'_, M>,
    method: Method,
    label: &str,
    history: &mut History<M>,
) -> Result<Vec<f64>, RecipeError> {
    match method {
        Method::ReferenceSelection => {
            let logps = session.offline(label, &mut history[0])?;
            let tokens = session.train.iter().map(|pair| pair.chosen.len().max(1));
            Ok(logps
                .iter()
                .zip(tokens)
                .map(|(logp, tokens)| f64::from(logp.chosen) / tokens as f64)
                .collect())
        }
        _ => {
            for iterate in history.iter_mut() {
                session.offline(label, iterate)?;
            }
            let margins = |index: usize| offline_margins(session, history, index);
            let last = history.len() - 1;
            let current = margins(last)?;
            // One aligned model so far: there is nothing to mix with.
            let previous = match last {
                1 => None,
                _ => Some(margins(last - 1)?),
            };
            Ok(ensemble(
                &current,
                previous.as_deref(),
                session.config.irm.gamma,
            )?)
        }
    }
}

/// Which model the log-ratios of iterate `index` are taken against.
fn reference_of(reference: MarginReference, index: usize) -> usize {
    match reference {
        MarginReference::Initial => 0,
        MarginReference::Previous => index - 1,
    }
}

/// Implicit reward margins of the offline pairs under iterate `index`.
pub(crate) fn offline_margins<M: CausalLm>(
    session: &Session<'_, M>,
    history: &History<M>,
    index: usize,
) -> Result<Vec<f64>, RecipeError> {
    let kind = session.config.implicit_reward();
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
            lengths(|p| p.chosen.len()),
        ),
        (
            side(policy, |l| l.rejected),
            side(reference, |l| l.rejected),
            lengths(|p| p.rejected.len()),
        ),
    ];
    let [chosen, rejected] = columns.each_ref().map(|(policy, reference, tokens)| Logps {
        policy,
        reference: Some(reference),
        tokens: Some(tokens),
    });
    Ok(kind.margins(chosen, rejected)?)
}

fn describe(
    report: &mut SelectionReport,
    selection: &Selection,
    scores: &[f64],
    noisy: Option<&[bool]>,
) {
    report.left = selection.left_by_reason();
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
        (count > 0).then(|| sum / count as f64)
    };
    let kept = mean(&mut selection.kept.iter().map(|kept| scores[kept.index]));
    let finite = |left: &&Left| left.reason != LeaveReason::NotFinite;
    let left = mean(
        &mut selection
            .left
            .iter()
            .filter(finite)
            .map(|left| scores[left.index]),
    );
    report.mean_margin = kept.map(|kept| (kept, left));
    if let Some(noisy) = noisy {
        let share = |of: f64, all: usize| (all > 0).then(|| of / all as f64);
        let wrong = selection
            .kept
            .iter()
            .filter(|kept| noisy[kept.index])
            .count();
        report.noisy_share = share(wrong as f64, selection.kept.len());
        let wrong = noisy.iter().filter(|&&noisy| noisy).count();
        report.noisy_share_of_all = share(wrong as f64, noisy.len());
    }
}

/// Pairs of the policy's own responses: best against worst implicit reward, the largest margins.
fn own_pairs<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    history: &History<M>,
    limit: usize,
    report: &mut SelectionReport,
    data: &SeraData<'_>,
    lines: &mut Lines,
) -> Result<Vec<TokenizedPair>, RecipeError> {
    let config = session.config;
    let prompts: Vec<Vec<u32>> = session.train.iter().map(|p| p.prompt.clone()).collect();
    let policy = &history[history.len() - 1].model;
    let seed = session.key(label).rng(Purpose::Sampling).random();
    let sampling = config.responses.with(config.irm.responses, seed);
    let generator = TextGenerator::new(policy.clone(), session.tokenizer.clone());
    let mut watch = super::answers::Meter::new(session, &format!("{label} responses"));
    let responses = generator
        .continue_ids(&prompts, &sampling, &mut watch)
        .map_err(|error| session.generation(label, error))?;
    let rewards = response_rewards(session, label, history, &prompts, &responses)?;
    let rows: Vec<Vec<Response<'_>>> = responses
        .iter()
        .zip(&rewards)
        .map(|(responses, rewards)| {
            let row = responses
                .iter()
                .zip(rewards)
                .map(|(response, &reward)| Response {
                    text: &response.text,
                    reward,
                    finished: response.finish != Finish::Length,
                });
            row.collect()
        })
        .collect();
    let found: Bootstrapped = bootstrap_pairs(&rows, config.irm.cut);
    report.responses = found.counts;
    report.dropped = found.dropped_by_reason();
    let pairs: Vec<_> = found.pairs().collect();
    let margins: Vec<f64> = pairs.iter().map(|(_, pair)| pair.margin).collect();
    let selection = top_k(&margins, limit);
    report.over_limit = selection.left.len();
    let ids = |prompt: usize, response: usize| {
        responses[prompt][response]
            .tokens
            .clone()
            .unwrap_or_default()
    };
    Ok(selection
        .kept
        .iter()
        .map(|kept| {
            let (prompt, pair) = pairs[kept.index];
            let text = |response: usize| responses[prompt][response].clone();
            lines.own(
                &data.train[prompt].prompt,
                text(pair.chosen),
                text(pair.rejected),
                pair.margin,
            );
            TokenizedPair {
                prompt: prompts[prompt].clone(),
                chosen: ids(prompt, pair.chosen),
                rejected: ids(prompt, pair.rejected),
                truncated: false,
            }
        })
        .collect())
}

/// Ensembled implicit rewards of responses.
fn response_rewards<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    history: &History<M>,
    prompts: &[Vec<u32>],
    responses: &[Vec<Completion>],
) -> Result<Vec<Vec<f64>>, RecipeError> {
    let last = history.len() - 1;
    let kind = session.config.implicit_reward();
    let logps = |index: usize| {
        response_logps(
            session,
            &format!("{label} rewards"),
            &history[index].model,
            prompts,
            responses,
        )
    };
    let rewards = |index: usize| -> Result<Vec<f64>, RecipeError> {
        let policy = logps(index)?;
        let reference = match kind.needs_reference() {
            true => Some(logps(reference_of(session.config.irm.reference, index))?),
            false => None,
        };
        let tokens: Vec<usize> = responses
            .iter()
            .flatten()
            .map(|response| response.tokens.as_ref().map_or(0, Vec::len).max(1))
            .collect();
        Ok(kind.rewards(Logps {
            policy: &policy,
            reference: reference.as_deref(),
            tokens: Some(&tokens),
        })?)
    };
    let current = rewards(last)?;
    let previous = match last {
        1 => None,
        _ => Some(rewards(last - 1)?),
    };
    let all = ensemble(&current, previous.as_deref(), session.config.irm.gamma)?;
    let mut rest = all.as_slice();
    Ok(responses
        .iter()
        .map(|row| {
            let (own, others) = rest.split_at(row.len());
            rest = others;
            own.to_vec()
        })
        .collect())
}

/// Rows that TRL and others train from, with margin, and those that were left, with the reason.
#[derive(Default)]
struct Lines {
    kept: String,
    left: String,
}

impl Lines {
    fn push(
        &mut self,
        pair: &PreferencePair,
        margin: f64,
        source: &str,
        left: Option<LeaveReason>,
    ) {
        let prompt = match &pair.prompt {
            Prompt::Text(text) => json!(text),
            Prompt::Chat(messages) => json!(messages),
        };
        let mut row = json!({
            "prompt": prompt,
            "chosen": pair.chosen.text,
            "rejected": pair.rejected.text,
            "margin": margin,
            "source": source,
        });
        match left {
            None => self.kept += &format!("{row}\n"),
            Some(reason) => {
                row["reason"] = json!(reason);
                self.left += &format!("{row}\n");
            }
        }
    }

    fn offline(&mut self, selection: &Selection, scores: &[f64], data: &SeraData<'_>) {
        for kept in &selection.kept {
            self.push(&data.train[kept.index], scores[kept.index], "offline", None);
        }
        for left in &selection.left {
            let index = left.index;
            self.push(
                &data.train[index],
                scores[index],
                "offline",
                Some(left.reason),
            );
        }
    }

    fn own(&mut self, prompt: &Prompt, chosen: Completion, rejected: Completion, margin: f64) {
        let pair = PreferencePair::new(prompt.clone(), chosen, rejected);
        self.push(&pair, margin, "bootstrapped", None);
    }
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
