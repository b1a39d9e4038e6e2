//! Arguments of an instruction in a row.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{InstructionError, Relation};

/// Reads the arguments of one instruction, and notes which of them were read.
pub(crate) struct Arguments<'a> {
    id: &'a str,
    values: &'a Map<String, Value>,
    read: BTreeSet<&'static str>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(id: &'a str, values: &'a Map<String, Value>) -> Self {
        Self {
            id,
            values,
            read: BTreeSet::new(),
        }
    }

    /// Returns an argument. An argument that is `null` is absent, as in tables of IFEval, which have
    /// a column for every argument of every instruction.
    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        self.values.get(name).filter(|value| !value.is_null())
    }

    fn refuse<T>(&self, name: &'static str, wanted: &'static str) -> Result<T, InstructionError> {
        Err(InstructionError::Argument {
            id: self.id.to_owned(),
            name,
            wanted,
        })
    }

    /// Returns a whole number, which tables may hold as a float.
    pub(crate) fn count(&mut self, name: &'static str) -> Result<usize, InstructionError> {
        let value = self.value(name).and_then(|value| {
            let whole = |x: f64| (x.fract() == 0.0 && (0.0..1e9).contains(&x)).then_some(x as u64);
            value.as_u64().or_else(|| value.as_f64().and_then(whole))
        });
        match value {
            Some(count) => Ok(count as usize),
            None => self.refuse(name, "a whole number, at least 0"),
        }
    }

    /// Returns a text without the space around it.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, InstructionError> {
        match self.value(name).and_then(Value::as_str).map(str::trim) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => self.refuse(name, "a text that is not empty"),
        }
    }

    /// Returns a list of texts that has at least one element.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, InstructionError> {
        let values = self.value(name).and_then(Value::as_array);
        let texts = values.and_then(|values| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            values.iter().map(text).collect::<Option<Vec<String>>>()
        });
        match texts {
            Some(texts) if !texts.is_empty() && texts.iter().all(|text| !text.is_empty()) => {
                Ok(texts)
            }
            _ => self.refuse(name, "a list of texts that are not empty"),
        }
    }

    pub(crate) fn relation(&mut self, name: &'static str) -> Result<Relation, InstructionError> {
        match self.value(name).and_then(Value::as_str) {
            Some("less than") => Ok(Relation::LessThan),
            Some("at least") => Ok(Relation::AtLeast),
            _ => self.refuse(name, "\"less than\" or \"at least\""),
        }
    }

    /// Refuses arguments that no check has read.
    pub(crate) fn finish(self) -> Result<(), InstructionError> {
        let unread = self
            .values
            .iter()
            .find(|(name, value)| !value.is_null() && !self.read.contains(name.as_str()));
        match unread {
            None => Ok(()),
            Some((name, _)) => Err(InstructionError::Unused {
                id: self.id.to_owned(),
                name: name.clone(),
            }),
        }
    }
}
