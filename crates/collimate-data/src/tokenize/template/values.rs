//! Variables of a template.

use std::collections::BTreeMap;

use collimate_core::{Json, Message};
use minijinja::Value;
use serde_json::{Map, Value as Config};

use super::ChatOptions;
use super::objects::value as value_of;

/// Names of the key for a model's reasoning, the usual name first.
pub(super) const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Converts a message as transformers does. Null keys are left out, and reasoning is stored under
/// the names that templates read.
fn message(message: &Message) -> Json {
    let content = match message.get("content") {
        Some(given) => given.clone(),
        None => Json::Text(message.content.clone()),
    };
    let mut keys = vec![
        ("role".to_owned(), Json::from(message.role.name())),
        ("content".to_owned(), content),
    ];
    let further = message.further.iter().filter(|(key, _)| key != "content");
    keys.extend(further.cloned());
    keys.retain(|(_, value)| *value != Json::Null);
    let reasoning = REASONING.iter().find_map(|name| {
        let found = keys.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    });
    if let Some(reasoning) = reasoning {
        let known = keys.iter().position(|(key, _)| key == REASONING[1]);
        let thinking = match known {
            Some(at) => keys.remove(at).1,
            None => reasoning.clone(),
        };
        keys.insert(0, (REASONING[1].to_owned(), thinking));
        match keys.iter_mut().find(|(key, _)| key == REASONING[0]) {
            Some((_, value)) => *value = reasoning,
            None => keys.push((REASONING[0].to_owned(), reasoning)),
        }
    }
    Json::Map(keys)
}

/// Returns the variables of a rendering: messages, special tokens, tools and arguments.
pub(super) fn context(
    messages: &[Message],
    add_generation_prompt: bool,
    config: &Map<String, Config>,
    options: &ChatOptions,
) -> Value {
    let text = |value: &Config| value.as_str().map(Value::from);
    let mut variables: BTreeMap<String, Value> = config
        .iter()
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect();
    let mut set = |name: &str, value: Value| {
        variables.insert(name.to_owned(), value);
    };
    // Templates test `tools is not none`, and an undefined variable would count as given.
    set("documents", Value::from(()));
    for (name, value) in &options.template_kwargs {
        set(name, value_of(value));
    }
    let messages = Json::List(messages.iter().map(message).collect());
    set("messages", value_of(&messages));
    set("add_generation_prompt", add_generation_prompt.into());
    set(
        "tools",
        match &options.tools {
            Some(tools) => value_of(&Json::List(tools.clone())),
            None => Value::from(()),
        },
    );
    Value::from(variables)
}
