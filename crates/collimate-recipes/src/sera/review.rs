//! The pairs of an iteration: offline ones by margin, the policy's own by implicit reward.

use std::path::Path;

use collimate_core::{Completion, Finish, LeaveReason, Left, Purpose, Selection};
use collimate_data::TokenizedPair;
use collimate_direct::pairs_hash;
use collimate_irm::{Bootstrapped, Response, bootstrap_pairs, random_k, share_count, top_k};
use collimate_nn::CausalLm;
use collimate_train::{StageState, atomic_write, hash_file, hash_json};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::Method;
use super::data::SeraData;
use super::lines::Lines;
use super::outcome::SelectionReport;
use super::rewards::{response_rewards, scores};
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
    let inputs = hash_json(&(
        session.config,
        &hashes,
        pairs_hash(&session.train),
        session.eos,
    ));
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
    let generator = session.generator(policy);
    let mut watch = super::answers::Meter::new(session, &format!("{label} responses"));
    let mut responses = generator
        .continue_ids(&prompts, &sampling, &mut watch)
        .map_err(|error| session.generation(label, error))?;
    for (prompt, responses) in prompts.iter().zip(&mut responses) {
        responses
            .iter_mut()
            .for_each(|response| fit(response, prompt.len(), config.max_length));
    }
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

/// Cuts a response that would make its pair longer than training takes.
fn fit(response: &mut Completion, prompt: usize, max_length: usize) {
    let room = max_length.saturating_sub(prompt).max(1);
    if let Some(tokens) = &mut response.tokens
        && tokens.len() > room
    {
        tokens.truncate(room);
        response.finish = Finish::Length;
    }
}
