//! OpenAssistant message trees.

use collimate_core::{Message, PreferencePair, Prompt, Role};
use serde_json::Value;

use super::fields::{Object, field, list, text};
use super::{Bad, DropReason, Sink};

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &["prompt", "message_tree_id"])?;
    let root = object(field(row, "prompt")?)?;
    // Collected first: a tree with one bad message gives either all its pairs or none.
    let mut pairs = Vec::new();
    let mut path = Vec::new();
    walk(root, &mut path, &mut pairs)?;
    if pairs.is_empty() {
        sink.drop_one(DropReason::NoComparison);
    }
    for (prompt, chosen, rejected, gap) in pairs {
        sink.pair(Prompt::Chat(prompt), chosen, rejected, Some(gap));
    }
    Ok(())
}

type Ranked = (Vec<Message>, String, String, f64);

/// Compares the ranked replies to `node` by pairs, then goes on below each of them.
fn walk(node: &Object, path: &mut Vec<Message>, pairs: &mut Vec<Ranked>) -> Result<(), Bad> {
    path.push(message(node)?);
    let replies: Vec<&Object> = match node.get("replies") {
        None | Some(Value::Null) => Vec::new(),
        Some(_) => list(node, "replies")?
            .iter()
            .map(object)
            .collect::<Result<_, _>>()?,
    };
    let mut ranked: Vec<(i64, String)> = Vec::new();
    for reply in &replies {
        let deleted = reply
            .get("deleted")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let answer = message(reply)?;
        if let Some(rank) = reply.get("rank").and_then(Value::as_i64)
            && answer.role == Role::Assistant
            && !deleted
        {
            ranked.push((rank, answer.content));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    for (i, (better, chosen)) in ranked.iter().enumerate() {
        for (worse, rejected) in &ranked[i + 1..] {
            if worse > better {
                let gap = (worse - better) as f64;
                pairs.push((path.clone(), chosen.clone(), rejected.clone(), gap));
            }
        }
    }
    for reply in replies {
        walk(reply, path, pairs)?;
    }
    path.pop();
    Ok(())
}

fn message(node: &Object) -> Result<Message, Bad> {
    let role = match text(node, "role")? {
        "prompter" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(Bad::fields(format!(
                "role {other:?}, expected prompter or assistant"
            )));
        }
    };
    Ok(Message::new(role, text(node, "text")?))
}

fn object(value: &Value) -> Result<&Object, Bad> {
    value
        .as_object()
        .ok_or_else(|| Bad::fields("a message of the tree is not a JSON object"))
}
