//! Scores of pieces from merges: llama.cpp joins the neighbours whose joined text has the highest
//! score, so the order of the merges becomes the order of the scores.

use std::collections::{HashMap, HashSet};

use super::vocab::Kind;
use super::write::{List, wrong};
use crate::GgufError;

/// Score of control tokens and other tokens that merges do not form.
const APART: f32 = -1000.0;

/// Returns one score for each token.
///
/// # Errors
/// Returns an error if scores cannot express the merges: every pair of tokens that joins to a token
/// must be a merge, and all merges that form one token must follow each other.
pub(crate) fn scores(list: &List, pairs: &[(&str, &str)]) -> Result<Vec<f32>, GgufError> {
    const KEY: &str = "model.merges";
    let texts = list.tokens.iter().enumerate();
    let ids: HashMap<&str, usize> = texts.map(|(id, text)| (text.as_str(), id)).collect();
    let mut ranks: HashMap<usize, usize> = HashMap::new();
    let mut latest = None;
    let mut known = HashSet::new();
    for (left, right) in pairs {
        let joined = format!("{left}{right}");
        let id = ids
            .get(joined.as_str())
            .or_else(|| ids.get(spaces(&joined)?.as_str()));
        let Some(id) = id.copied() else {
            let message = format!("joins {left:?} and {right:?}, which gives no token");
            return Err(wrong(KEY, message));
        };
        // Other tokens are found in the text before pieces are joined.
        if list.kinds[id] != Kind::Normal {
            continue;
        }
        let rank = ranks.len();
        if ranks.contains_key(&id) && latest != Some(id) {
            let message = format!(
                "forms {joined:?} at two places of the list, which scores cannot express: \
                 llama.cpp would split texts in another way"
            );
            return Err(wrong(KEY, message));
        }
        ranks.entry(id).or_insert(rank);
        latest = Some(id);
        known.insert((*left, *right));
    }
    complete(list, &ids, &known)?;
    let formed = ranks.len();
    let mut others = 0;
    let score = |(id, kind): (usize, &Kind)| match (ranks.get(&id), kind) {
        (Some(rank), _) => -(*rank as f32),
        (None, Kind::Normal) => {
            others += 1;
            -((formed + others - 1) as f32)
        }
        (None, Kind::Byte) => 0.0,
        (None, _) => APART,
    };
    Ok(list.kinds.iter().enumerate().map(score).collect())
}

/// Returns the text with spaces in place of marks, if the text has marks only.
fn spaces(text: &str) -> Option<String> {
    let mark = super::read::SPACE;
    let only = text.chars().all(|letter| mark.starts_with(letter));
    only.then(|| text.replace(mark, " "))
}

/// Checks that the merges contain every pair that llama.cpp would join.
fn complete(
    list: &List,
    ids: &HashMap<&str, usize>,
    known: &HashSet<(&str, &str)>,
) -> Result<(), GgufError> {
    for (text, kind) in list.tokens.iter().zip(&list.kinds) {
        if *kind != Kind::Normal {
            continue;
        }
        for (at, _) in text.char_indices().skip(1) {
            let pair @ (left, right) = text.split_at(at);
            let joins = ids.contains_key(left) && ids.contains_key(right);
            if joins && !known.contains(&pair) {
                let message = format!(
                    "lacks the pair {left:?} and {right:?}, which gives a token: llama.cpp would \
                     split texts in another way"
                );
                return Err(wrong("model.merges", message));
            }
        }
    }
    Ok(())
}
