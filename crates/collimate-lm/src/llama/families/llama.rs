//! Llama.

use super::{Absent, Family, ModelType, windows};

pub(super) const FAMILY: Family = Family {
    kind: ModelType::Llama,
    model_type: "llama",
    class: "Llama",
    may: &["attention_bias", "mlp_bias"],
    must: &[],
    own_keys: &[],
    absent: Absent::LLAMA,
    read: |json, mut config| {
        config.sliding_window = windows::uniform(json, false)?;
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        config.mlp_bias = json.get("mlp_bias")?.unwrap_or(false);
        Ok(config)
    },
    write: |_, _| {},
};
