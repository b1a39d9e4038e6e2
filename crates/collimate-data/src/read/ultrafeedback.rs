//! UltraFeedback rows: TRL rows with two scores.

use collimate_core::PreferencePair;
use serde_json::Value;

use super::fields::{Object, number};
use super::report::Note;
use super::sink::Sink;
use super::{Bad, DropReason, trl};

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &trl::COLUMNS)?;
    let scores = row
        .get("metadata")
        .and_then(Value::as_object)
        .filter(|metadata| metadata.contains_key("score_chosen"))
        .unwrap_or(row);
    let names = ["score_chosen", "score_rejected"];
    // Libraries fill missing columns with null. Such a row has no scores but is still labelled.
    let scored = names
        .iter()
        .any(|name| scores.get(*name).is_some_and(|v| !v.is_null()));
    let gap = match scored {
        true => Some(number(scores, names[0])? - number(scores, names[1])?),
        false => None,
    };
    let pair = trl::comparison(row, &mut sink.seen)?;
    match gap {
        Some(0.0) => sink.drop_one(DropReason::EqualScores),
        Some(gap) if gap < 0.0 => sink.drop_one(DropReason::ContraryScores),
        Some(_) => trl::push(pair, gap, sink),
        None => {
            sink.seen.tell(Note::NoScores);
            trl::push(pair, None, sink);
        }
    }
    Ok(())
}
