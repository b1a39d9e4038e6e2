//! Values of a JSON file of a Hugging Face folder.

use serde_json::Value;

use crate::GgufError;

/// A JSON object and the name of its file. A key with the value null counts as missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a> {
    pub(crate) file: &'static str,
    pub(crate) object: &'a Value,
}

impl<'a> Json<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn wrong(&self, key: &str, message: impl Into<String>) -> GgufError {
        GgufError::folder(self.file, key, message)
    }

    /// Refuses a value other than those of a list. A missing value is fine.
    pub(crate) fn only(&self, key: &str, allowed: &[&str]) -> Result<(), GgufError> {
        match self.get(key) {
            Some(value) if !value.as_str().is_some_and(|text| allowed.contains(&text)) => {
                let message = format!(
                    "is {value}, but llama.cpp computes {}",
                    allowed.join(" or ")
                );
                Err(self.wrong(key, message))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn count(&self, key: &str) -> Result<Option<usize>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        // The format has 32 bits for most counts.
        let count = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let message = || format!("is {value}, not an integer from 0 to {}", u32::MAX);
        count
            .map(|count| Some(count as usize))
            .ok_or_else(|| self.wrong(key, message()))
    }

    pub(crate) fn need_count(&self, key: &str) -> Result<usize, GgufError> {
        self.count(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.wrong(key, format!("is {value}, not a finite number"))),
        }
    }

    pub(crate) fn need_number(&self, key: &str) -> Result<f64, GgufError> {
        self.number(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub(crate) fn truth(&self, key: &str) -> Result<Option<bool>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(truth) => Ok(Some(truth)),
            None => Err(self.wrong(key, format!("is {value}, not true or false"))),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.wrong(key, format!("is {value}, not a text"))),
        }
    }
}
