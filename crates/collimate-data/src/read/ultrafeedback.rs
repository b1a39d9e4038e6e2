//! UltraFeedback rows: TRL rows with two scores.

use collimate_core::PreferencePair;
use serde_json::Value;

use super::fields::{Object, number};
use super::{Bad, DropReason, Sink, trl};

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    trl::note_unused(row, sink);
    let scores = row
        .get("metadata")
        .and_then(Value::as_object)
        .filter(|metadata| metadata.contains_key("score_chosen"))
        .unwrap_or(row);
    let gap = number(scores, "score_chosen")? - number(scores, "score_rejected")?;
    let pair = trl::comparison(row)?;
    if gap == 0.0 {
        sink.drop_one(DropReason::EqualScores);
    } else if gap < 0.0 {
        sink.drop_one(DropReason::ContraryScores);
    } else {
        trl::push(pair, Some(gap), sink);
    }
    Ok(())
}
