//! Lengths of sequences: allowed values, and pairs that are equal after cutting.

use collimate_core::OptionError;
use collimate_data::{TokenizeReport, TokenizedPair};

use crate::RecipeError;

/// Checks the number of tokens that a prompt keeps.
pub(crate) fn check_prompt_length(
    max_prompt_length: Option<usize>,
    max_length: usize,
) -> Result<(), OptionError> {
    match max_prompt_length {
        Some(length) if length == 0 || length >= max_length => {
            let allowed = format!(
                "at least 1 and below max_length = {max_length}, because prompt and answer share \
                 max_length"
            );
            Err(OptionError::new("max_prompt_length", length, &allowed))
        }
        _ => Ok(()),
    }
}

/// Returns true if the answers of a pair differ as tokens.
pub(crate) fn differ(pair: &TokenizedPair) -> bool {
    pair.chosen != pair.rejected
}

/// Refuses a part if every pair has equal answers; warns if more than half of the pairs have.
pub(crate) fn check_equal(
    part: &'static str,
    report: &TokenizeReport,
    max_length: usize,
) -> Result<(), RecipeError> {
    let (equal, pairs) = (report.equal_answers, report.pairs);
    if equal > 0 && equal == pairs {
        return Err(RecipeError::AllEqual {
            part,
            pairs,
            max_length,
            cut: report.truncated,
        });
    }
    if 2 * equal > pairs {
        tracing::warn!(
            "{equal} of {pairs} pairs of {part} were dropped because their answers are equal as \
             tokens ({} pairs were cut to {max_length} tokens)",
            report.truncated
        );
    }
    Ok(())
}
