//! Candidates: several answers to each new task.

use collimate_core::{Completion, Finish, Prompt};
use collimate_nn::CausalLm;
use serde::{Deserialize, Serialize};

use super::outcome::CandidateCounts;
use super::session::Session;
use crate::RecipeError;

/// A prompt, its token ids and its candidate answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CandidateRow {
    pub(super) prompt: Prompt,
    pub(super) ids: Vec<u32>,
    pub(super) candidates: Vec<Completion>,
}

/// Returns true if an answer may be judged and learnt from.
pub(super) fn is_usable(candidate: &Completion) -> bool {
    candidate.finish != Finish::Length && !candidate.text.trim().is_empty()
}

/// Returns the candidates by the model of the iteration, from the run folder or written now.
pub(super) fn candidates<M: CausalLm>(
    session: &mut Session<'_>,
    folder: &str,
    model: &M,
    hash: &str,
    prompts: &[Prompt],
) -> Result<(Vec<CandidateRow>, CandidateCounts), RecipeError> {
    let (rows, seconds) = session.rows(folder, "candidates", &(hash, prompts), |session| {
        let stage = format!("{folder} candidates");
        let sampler = session.sampler();
        let ids = sampler.prompts(prompts)?;
        let seed = session.sampling_seed(&stage);
        let sampling = session
            .config
            .responses
            .with(session.config.candidates, seed);
        let mut watch = sampler.meter(&stage);
        let written = sampler
            .generator(model)
            .continue_ids(&ids, &sampling, &mut watch)
            .map_err(|error| sampler.generation(&stage, error))?;
        let longest = session.config.max_length;
        let rows = prompts.iter().zip(ids).zip(written);
        Ok(rows
            .map(|((prompt, ids), mut candidates)| {
                for candidate in &mut candidates {
                    // Training would cut this answer.
                    if ids.len() + tokens(candidate) > longest {
                        candidate.finish = Finish::Length;
                    }
                }
                CandidateRow {
                    prompt: prompt.clone(),
                    ids,
                    candidates,
                }
            })
            .collect())
    })?;
    let counts = count(&rows, seconds);
    Ok((rows, counts))
}

fn count(rows: &[CandidateRow], seconds: f64) -> CandidateCounts {
    let all = || rows.iter().flat_map(|row| &row.candidates);
    let sum: usize = all().map(tokens).sum();
    let written = all().count();
    CandidateCounts {
        written,
        empty: all().filter(|c| c.text.trim().is_empty()).count(),
        cut: all().filter(|c| c.finish == Finish::Length).count(),
        too_long: 0,
        unscored: 0,
        mean_tokens: sum as f64 / written.max(1) as f64,
        seconds,
    }
}

pub(super) fn tokens(candidate: &Completion) -> usize {
    candidate.tokens.as_ref().map_or(0, Vec::len)
}
