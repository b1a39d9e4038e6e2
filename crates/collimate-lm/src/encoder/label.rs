//! Label of a classification head whose score is the reward.

use collimate_nn::LoadError;
use serde_json::Value;

use crate::hf::JsonConfig;

/// Number of labels that an error names; further labels are counted.
const SHOWN: usize = 8;

/// One label of a classification head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Number of labels, the rows of the head's last layer.
    pub(super) labels: usize,
    /// Row of the label.
    pub(super) row: usize,
    /// Name of the label.
    pub(super) name: String,
}

impl Label {
    /// Finds the label whose name or number is `wanted`. Without `wanted`, finds the only label.
    /// The head's last layer has `rows` rows; this is the number of labels if `config.json` does
    /// not give one.
    pub(super) fn choose(
        json: &JsonConfig,
        rows: usize,
        wanted: Option<&str>,
    ) -> Result<Self, LoadError> {
        let map = json.object("id2label")?;
        // Transformers stores the number of labels as the size of `id2label`.
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
                    "num_labels = 1, or one of the labels chosen by name or number (--label, if \
                     the command has this option)",
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
