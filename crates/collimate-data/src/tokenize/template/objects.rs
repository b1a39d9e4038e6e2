//! Lists and objects of a template, printed as Python prints them.

use std::fmt;
use std::sync::Arc;

use collimate_core::Json;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Serde};

use super::repr::string;

/// Converts a value into the form that a template sees.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::List(list) => Value::from_object(List(list.iter().map(value).collect())),
        Json::Map(map) => {
            let entries = map.iter().map(|(key, item)| (key.clone(), value(item)));
            Value::from_object(Entries(entries.collect()))
        }
        other => Value::from(Serde(other)),
    }
}

#[derive(Debug)]
struct List(Vec<Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&string(&Value::from_dyn_object(self.clone())))
    }
}

#[derive(Debug)]
struct Entries(Vec<(String, Value)>);

impl Object for Entries {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            Box::new(this.0.iter().map(|(name, _)| Value::from(name.as_str())))
        })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&string(&Value::from_dyn_object(self.clone())))
    }
}
