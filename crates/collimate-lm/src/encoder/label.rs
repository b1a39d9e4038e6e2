//! The label of a classification head whose score is the reward.

use collimate_nn::LoadError;
use serde_json::Value;

use crate::hf::JsonConfig;

/// Labels that an error names; more are counted.
const SHOWN: usize = 8;

/// One label of those that a head gives a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Rows of the head's last layer.
    pub(super) labels: usize,
    /// The label's row.
    pub(super) row: usize,
    /// The label's name.
    pub(super) name: String,
}

impl Label {
    /// Finds the label whose name or number is `wanted`; without `wanted`, the only label. The
    /// head's last layer has `rows` rows, which is the number of labels where `config.json` does
    /// not say it.
    pub(super) fn choose(
        json: &JsonConfig,
        rows: usize,
        wanted: Option<&str>,
    ) -> Result<Self, LoadError> {
        let map = json.object("id2label")?;
        // Transformers stores the number as the size of id2label.
        let stored = map.map_or(rows, serde_json::Map::len);
        let labels: usize = json.get("num_labels")?.unwrap_or(stored);
        let name = |row: usize| match map.and_then(|map| map.get(&row.to_string())) {
            Some(Value::String(name)) => name.clone(),
            _ => format!("LABEL_{row}"),
        };
        let shown = || {
            let names = (0..labels.min(SHOWN)).map(|row| format!("{row} = {:?}", name(row)));
            let more = match labels.saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            names.collect::<Vec<_>>().join(", ") + &more
        };
        let row = match wanted {
            None if labels == 1 => Some(0),
            None => {
                return Err(json.unsupported(
                    format!("num_labels = {labels} ({})", shown()),
                    "num_labels = 1, or one of the labels chosen by name or number (--label, where a \
                     command has it)",
                ));
            }
            Some(wanted) => {
                let named = (0..labels.min(rows)).find(|&row| name(row) == wanted);
                let number = wanted.parse().ok().filter(|&row: &usize| row < labels);
                named.or(number)
            }
        };
        match row {
            Some(row) => Ok(Self {
                labels,
                row,
                name: name(row),
            }),
            None => Err(json.invalid(format!(
                "has no label {:?}: choose one of {}",
                wanted.unwrap_or_default(),
                shown()
            ))),
        }
    }
}
