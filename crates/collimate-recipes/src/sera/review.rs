//! Review: chooses the pairs of an iteration, offline pairs by a ranking and own pairs by rewards.

use std::path::Path;

use collimate_core::{LeaveReason, Left, Selection};
use collimate_data::TokenizedPair;
use collimate_direct::pairs_hash;
use collimate_eval::jaccard;
use collimate_files::atomic_write;
use collimate_irm::{IrmConfig, ensemble, random_k, share_count, share_count_up_to, top_k};
use collimate_nn::CausalLm;
use collimate_run::{RunError, StageState, hash_file};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::anchors::{Anchors, CompareDevices};
use super::config::SeraConfig;
use super::data::SeraData;
use super::lines::Lines;
use super::method::{Method, Offline, Own, Ranking};
use super::outcome::{Agreement, NoOwnPairs, SelectionReport};
use super::own::{Responses, own_pairs};
use super::rewards::{Margins, margins, reference_logps};
use super::session::{Iterate, Session};
use crate::RecipeError;

/// Pairs of an iteration and the report of their selection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reviewed {
    /// Indices of the offline pairs.
    pub(crate) offline: Vec<usize>,
    /// The policy's own pairs.
    pub(crate) own: Vec<TokenizedPair>,
    pub(crate) report: SelectionReport,
}

/// A method with its options. Best-SeRA has one variant per share.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) method: Method,
    /// Name of the variant in stages and files.
    pub(crate) title: String,
    pub(crate) irm: IrmConfig,
    pub(crate) anchors: Anchors,
}

/// The iteration of a method, and the data that it selects from.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) variant: &'a Variant,
    pub(crate) iteration: usize,
    pub(crate) data: &'a SeraData<'a>,
    /// True if a second policy reviews for itself.
    pub(crate) second: bool,
}

impl Step<'_> {
    /// Returns the name used in messages and on progress bars.
    pub(crate) fn label(&self) -> String {
        let second = if self.second { " second" } else { "" };
        format!("{} {}{second}", self.variant.title, self.iteration)
    }

    /// Returns the name of stages and files.
    pub(crate) fn stage(&self) -> String {
        let second = if self.second { "-second" } else { "" };
        format!("{}-{}{second}", self.variant.title, self.iteration)
    }

    /// Returns true if the review compares the anchor devices.
    pub(super) fn compares(&self, config: &SeraConfig) -> bool {
        config.devices != CompareDevices::Off && !self.second
    }

    /// Returns true if the review compares responses with samples of the start model.
    fn asks_the_start_samples(&self, config: &SeraConfig) -> bool {
        let Variant {
            method,
            irm,
            anchors,
            ..
        } = self.variant;
        let writes = method.own() == Own::Implicit && method.shares(irm).1 > 0.0;
        writes && (anchors.gate > 0.0 || self.compares(config))
    }
}

/// The report of a selection and its rows.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) report: SelectionReport,
    pub(super) lines: Lines,
}

/// The models that margins are taken from: `history[0]` is the start, the last one the policy.
pub(crate) type History<M> = [Iterate<M>];

/// Models that reward the responses.
#[derive(Debug)]
pub(crate) struct Policies<'a, M> {
    pub(crate) history: &'a History<M>,
    /// Models of a second policy, trained with another seed; empty without a second policy.
    pub(crate) second: &'a History<M>,
}

impl<M> Clone for Policies<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Policies<'_, M> {}

/// Selects offline pairs and makes own pairs, or reads the selection of an earlier start of this
/// run. `shared` are the first iterate's responses, which all methods that rank by implicit reward
/// have in common.
pub(crate) fn review<M: CausalLm>(
    session: &mut Session<'_, M>,
    step: Step<'_>,
    (history, second): (&mut History<M>, &History<M>),
    shared: &mut Option<Responses>,
) -> Result<Reviewed, RecipeError> {
    let variant = step.variant;
    let stage = format!("{}-pairs", step.stage());
    let file = session
        .run
        .path()
        .join("selections")
        .join(format!("{stage}.json"));
    let mut hashes: Vec<String> = history
        .iter()
        .chain(second)
        .map(|iterate| collimate_train::model_hash(&iterate.model))
        .collect();
    if step.asks_the_start_samples(session.config) {
        hashes.push(session.sample_start()?);
    }
    if step.second {
        // A second policy samples from another random stream.
        hashes.push("second".to_owned());
    }
    let inputs = hash_json(&(
        session.config,
        (&variant.irm, &variant.anchors),
        &hashes,
        pairs_hash(&session.train),
        &session.texts,
        &session.gaps,
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
    let reviewed = compute(session, step, (history, second), shared)?;
    let text = serde_json::to_vec(&reviewed).map_err(|error| format_error(&file, &error))?;
    atomic_write(&file, &text)?;
    session.run.redo(&stage)?;
    session.run.stage(&stage, &inputs)?;
    session.run.complete(&stage, &hash_file(&file)?)?;
    Ok(reviewed)
}

pub(super) fn format_error(path: &Path, error: &serde_json::Error) -> RecipeError {
    RunError::Format {
        path: path.to_owned(),
        reason: error.to_string(),
    }
    .into()
}

fn compute<M: CausalLm>(
    session: &mut Session<'_, M>,
    step: Step<'_>,
    (history, second): (&mut History<M>, &History<M>),
    shared: &mut Option<Responses>,
) -> Result<Reviewed, RecipeError> {
    let variant = step.variant;
    let (_, own_share) = variant.method.shares(&variant.irm);
    let folder = session.run.folder("selections")?;
    let rows = |suffix: &str| folder.join(format!("{}{suffix}.jsonl", step.stage()));
    let mut notes = Notes::default();
    let most = variant.irm.max_bootstrap_share();
    let limit = share_count_up_to(own_share, most, session.train.len())?;
    let own = if limit == 0 {
        Vec::new()
    } else {
        let policies = Policies { history, second };
        own_pairs(session, step, policies, limit, &mut notes, shared)?
    };
    // Files list the offline pairs first.
    let own_lines = std::mem::take(&mut notes.lines.kept);
    let offline = offline(session, step, history, &mut notes)?;
    notes.lines.kept += &own_lines;
    let Notes { mut report, lines } = notes;
    report.offline = offline.len();
    report.bootstrapped = own.len();
    if offline.is_empty() && own.is_empty() {
        return Err(RecipeError::NoPairs {
            stage: step.label(),
            dropped: report
                .dropped
                .iter()
                .map(|(reason, count)| format!("{count} × {}", json!(reason)))
                .collect::<Vec<_>>()
                .join(", "),
            advice: match variant.method {
                Method::Curry => "give fewer iterations or more pairs",
                Method::Oaif => "give a judge that tells answers apart, or a higher temperature",
                _ => "raise irm.offline_share, the temperature or the number of new tokens",
            },
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

/// Weights γ with which a selection is compared.
const GAMMAS: [f64; 5] = [0.0, 0.15, 0.3, 0.5, 1.0];

/// Returns the offline pairs of an iteration, in rising order of their indices.
fn offline<M: CausalLm>(
    session: &Session<'_, M>,
    step: Step<'_>,
    history: &mut History<M>,
    notes: &mut Notes,
) -> Result<Vec<usize>, RecipeError> {
    let Step {
        variant,
        iteration,
        data,
        ..
    } = step;
    let Notes { report, lines } = notes;
    let n = session.train.len();
    let label = step.label();
    let gaps = || session.gaps.as_deref().ok_or(RecipeError::NoJudge);
    let (share, _) = variant.method.shares(&variant.irm);
    let keep = share_count(offline_share(share, report), n)?;
    let (selection, scores) = match variant.method.offline() {
        Offline::None => return Ok(Vec::new()),
        Offline::All => {
            report.noisy_share = data.noisy.as_deref().map(share_of);
            report.noisy_share_of_all = report.noisy_share;
            return Ok((0..n).collect());
        }
        Offline::Stage => {
            let scores = gaps()?.to_vec();
            let stages = session.config.iterations;
            (stage(&scores, iteration, stages), scores)
        }
        Offline::Top(_) if keep == 0 => return Ok(Vec::new()),
        Offline::Top(Ranking::Random) => {
            let selection = random_k(n, keep, session.key(&label));
            (selection, Vec::new())
        }
        Offline::Top(Ranking::ScoreGap) => {
            let scores = gaps()?.to_vec();
            (top_k(&scores, keep), scores)
        }
        Offline::Top(Ranking::ReferenceLogp) => {
            let scores = reference_logps(session, &label, history)?;
            (top_k(&scores, keep), scores)
        }
        Offline::Top(Ranking::Margin) => {
            let found = margins(session, &label, history)?;
            let scores = found.mixed(variant.irm.gamma)?;
            let selection = top_k(&scores, keep);
            report.gammas = gammas(&found, keep, &selection)?;
            if let Some(gaps) = &session.gaps {
                report.offline_agreement = Agreement::of(&scores, gaps);
            }
            (selection, scores)
        }
    };
    let number = match variant.method.offline() {
        Offline::Top(Ranking::Margin) => Some("margin"),
        Offline::Top(Ranking::ReferenceLogp) => Some("log_probability"),
        Offline::Top(Ranking::ScoreGap) | Offline::Stage => Some("score_gap"),
        _ => None,
    };
    describe(report, &selection, data.noisy.as_deref());
    if number == Some("margin") {
        report.mean_margin = means(&selection, &scores);
    }
    let column = number.map(|name| (name, scores.as_slice()));
    lines.offline(&selection, column, data);
    Ok(selection.kept.iter().map(|kept| kept.index).collect())
}

/// Returns the share of the offline pairs to keep. If the policies disagree on own pairs, their
/// margins select no offline pairs either: all pairs are kept.
pub(super) fn offline_share(share: f64, report: &SelectionReport) -> f64 {
    match report.no_own_pairs {
        Some(NoOwnPairs::Disagreement) => 1.0,
        _ => share,
    }
}

/// Selects the `iteration`-th of `stages` equal parts, largest scores first.
fn stage(scores: &[f64], iteration: usize, stages: usize) -> Selection {
    let (n, done) = (scores.len(), iteration.min(stages));
    let upto = |part: usize| top_k(scores, n * part / stages);
    let (now, before) = (upto(done), upto(done.saturating_sub(1)));
    let earlier: std::collections::HashSet<usize> = before.kept.iter().map(|k| k.index).collect();
    let (seen, kept): (Vec<_>, Vec<_>) = now
        .kept
        .into_iter()
        .partition(|kept| earlier.contains(&kept.index));
    let mut left = now.left;
    left.extend(seen.iter().map(|kept| Left {
        index: kept.index,
        reason: LeaveReason::OverLimit,
    }));
    left.sort_unstable_by_key(|left| left.index);
    Selection { kept, left }
}

/// Returns the overlap (Jaccard) of the selection with the selections for other weights γ. Empty
/// while only one model has been aligned.
fn gammas(
    margins: &Margins,
    keep: usize,
    selection: &Selection,
) -> Result<Vec<(f64, f64)>, RecipeError> {
    if margins.previous.is_none() {
        return Ok(Vec::new());
    }
    let indices = |selection: &Selection| -> Vec<usize> {
        selection.kept.iter().map(|kept| kept.index).collect()
    };
    let own = indices(selection);
    GAMMAS
        .iter()
        .map(|&gamma| {
            let other = top_k(&margins.mixed(gamma)?, keep);
            Ok((gamma, jaccard(&own, &indices(&other))))
        })
        .collect()
}

impl Margins {
    fn mixed(&self, gamma: f64) -> Result<Vec<f64>, RecipeError> {
        Ok(ensemble(&self.current, self.previous.as_deref(), gamma)?)
    }
}

pub(crate) fn share_of(flags: &[bool]) -> f64 {
    flags.iter().filter(|&&flag| flag).count() as f64 / flags.len().max(1) as f64
}

/// Returns the mean scores of the kept pairs and of the pairs left out.
fn means(selection: &Selection, scores: &[f64]) -> Option<(f64, Option<f64>)> {
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
    kept.map(|kept| (kept, left))
}

fn describe(report: &mut SelectionReport, selection: &Selection, noisy: Option<&[bool]>) {
    report.left = selection.left_by_reason();
    if let Some(noisy) = noisy {
        let kept: Vec<bool> = selection.kept.iter().map(|k| noisy[k.index]).collect();
        report.noisy_share = (!kept.is_empty()).then(|| share_of(&kept));
        report.noisy_share_of_all = Some(share_of(noisy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_go_from_large_to_small_and_cover_everything_once() {
        let scores = [0.1, 0.9, 0.5, -0.2, 0.7, 0.3, 0.0];
        let parts: Vec<Vec<usize>> = (1..=3)
            .map(|t| {
                let part = stage(&scores, t, 3);
                assert_eq!(part.kept.len() + part.left.len(), 7);
                part.kept.iter().map(|kept| kept.index).collect()
            })
            .collect();
        assert_eq!(parts, [vec![1, 4], vec![2, 5], vec![0, 3, 6]]);
    }
}
