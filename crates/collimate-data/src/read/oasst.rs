//! OpenAssistant message trees.

use collimate_core::{Message, PreferencePair, Prompt, Role};
use serde_json::Value;

use super::fields::{Object, field, list, optional, text};
use super::sink::Sink;
use super::{Bad, DropReason};

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &["prompt", "message_tree_id"])?;
    // Collect first, so that a tree with one bad message gives either all its pairs or none.
    let mut pairs = Vec::new();
    visit(row, &mut |path, _, replies| {
        compare(path, replies, &mut pairs)
    })?;
    if pairs.is_empty() {
        sink.drop_one(DropReason::NoComparison);
    }
    for (prompt, chosen, rejected, gap) in pairs {
        sink.pair(Prompt::Chat(prompt), chosen, rejected, Some(gap));
    }
    Ok(())
}

type Ranked = (Vec<Message>, String, String, f64);

/// Compares the ranked replies to a message in pairs.
fn compare(path: &[Message], mut replies: Vec<Reply>, pairs: &mut Vec<Ranked>) {
    replies.sort_by_key(|reply| reply.rank);
    for (i, chosen) in replies.iter().enumerate() {
        for rejected in &replies[i + 1..] {
            if rejected.rank > chosen.rank {
                let gap = (rejected.rank - chosen.rank) as f64;
                let texts = (chosen.text.clone(), rejected.text.clone());
                pairs.push((path.to_vec(), texts.0, texts.1, gap));
            }
        }
    }
}

/// A ranked reply of the assistant that was not deleted.
pub(super) struct Reply {
    /// Rank among the replies to the same message; 0 is best.
    pub(super) rank: i64,
    pub(super) text: String,
    pub(super) language: Option<String>,
}

/// Callback for a message with everything before it, its language, and the ranked replies to it.
type Each<'a> = dyn FnMut(&[Message], Option<&str>, Vec<Reply>) + 'a;

/// Calls `each` for every message of a tree that has ranked replies, from the root down.
pub(super) fn visit(row: &Object, each: &mut Each<'_>) -> Result<(), Bad> {
    walk(object(field(row, "prompt")?)?, &mut Vec::new(), each)
}

fn walk(node: &Object, path: &mut Vec<Message>, each: &mut Each<'_>) -> Result<(), Bad> {
    path.push(message(node)?);
    let replies: Vec<&Object> = match node.get("replies") {
        None | Some(Value::Null) => Vec::new(),
        Some(_) => list(node, "replies")?
            .iter()
            .map(object)
            .collect::<Result<_, _>>()?,
    };
    let mut ranked = Vec::new();
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
            ranked.push(Reply {
                rank,
                text: answer.content,
                language: optional(reply, "lang")?.map(str::to_owned),
            });
        }
    }
    if !ranked.is_empty() {
        each(path, optional(node, "lang")?, ranked);
    }
    for reply in replies {
        walk(reply, path, each)?;
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
