//! Checks that the sizes and numbers of a configuration fit together.

use collimate_core::{OptionError, Range};

use super::config::LlamaConfig;
use super::design::Qkv;
use super::layer::LayerKind;
use crate::bounds::MOST_PARAMETERS;

const TOO_LARGE: &str = "at most 2^32 − 1, as must heads × head_dim";

impl LlamaConfig {
    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// Names the first value that does not fit.
    pub fn check(&self) -> Result<(), OptionError> {
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("sliding_window", self.sliding_window.unwrap_or(1)),
        ] {
            OptionError::check(name, value, "at least 1", value >= 1)?;
            // Ids and positions have 32 bits; valid values of the other sizes are far smaller.
            OptionError::check(name, value, TOO_LARGE, u32::try_from(value).is_ok())?;
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            return Err(OptionError::new(
                "num_key_value_heads",
                self.num_key_value_heads,
                &format!(
                    "a divisor of num_attention_heads = {}",
                    self.num_attention_heads
                ),
            ));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(OptionError::new(
                "num_attention_heads",
                self.num_attention_heads,
                &format!("a divisor of hidden_size = {}", self.hidden_size),
            ));
        }
        self.check_heads()?;
        let parameters = self.parameter_count();
        if parameters > MOST_PARAMETERS {
            let allowed = format!(
                "smaller: a model has at most 2^40 parameters, and hidden_size = {}, \
                 intermediate_size = {} and vocab_size = {} make {parameters}",
                self.hidden_size, self.intermediate_size, self.vocab_size
            );
            let layers = self.num_hidden_layers;
            return Err(OptionError::new("num_hidden_layers", layers, &allowed));
        }
        self.family().check(self)?;
        if self.family().design.learned_positions
            && self.attention_multiplier.is_some_and(|m| m != 1.0)
        {
            let multiplier = self.attention_multiplier.unwrap_or(1.0);
            let allowed = "absent or 1 in a GPT-2";
            return Err(OptionError::new(
                "attention_multiplier",
                multiplier,
                allowed,
            ));
        }
        self.check_layers()?;
        for (name, value) in [
            ("rms_norm_eps", Some(self.rms_norm_eps)),
            ("initializer_range", Some(self.initializer_range)),
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
            ("embedding_multiplier", self.embedding_multiplier),
            ("residual_multiplier", self.residual_multiplier),
            ("attention_multiplier", self.attention_multiplier),
            ("logits_scaling", self.logits_scaling),
        ] {
            value.map_or(Ok(()), |value| Range::Positive.check(name, value))?;
        }
        for rope in self.ropes() {
            rope.check(self.rotary_pairs())?;
        }
        Ok(())
    }

    /// Checks the size and the number of heads.
    fn check_heads(&self) -> Result<(), OptionError> {
        let d = self.head_dim();
        for heads in [self.num_attention_heads, self.num_key_value_heads] {
            let width = heads.checked_mul(d);
            if d == 0 || width.is_none_or(|width| u32::try_from(width).is_err()) {
                let allowed = if d == 0 { "at least 1" } else { TOO_LARGE };
                return Err(OptionError::new("head_dim", d, allowed));
            }
        }
        let design = self.family().design;
        if design.qkv == Qkv::ByHead || design.learned_positions {
            let (name, count) = ("num_key_value_heads", self.num_key_value_heads);
            let allowed = format!(
                "equal to num_attention_heads = {}",
                self.num_attention_heads
            );
            OptionError::check(name, count, &allowed, count == self.num_attention_heads)?;
        }
        if design.learned_positions {
            return Ok(());
        }
        if let Some(part) = self.partial_rotary_factor {
            let (name, allowed) = ("partial_rotary_factor", "above 0, at most 1");
            OptionError::check(name, part, allowed, part > 0.0 && part <= 1.0)?;
        }
        let pairs = self.rotary_pairs();
        let even = "even and positive, because rotary positions turn pairs";
        OptionError::check("head_dim", d, even, pairs > 0 && 2 * pairs <= d)
    }

    /// Checks the lists that have an entry for each layer.
    fn check_layers(&self) -> Result<(), OptionError> {
        let layers = self.num_hidden_layers;
        let lengths = [
            ("layer_types", self.layer_types.as_ref().map(Vec::len)),
            ("no_rope_layers", self.no_rope_layers.as_ref().map(Vec::len)),
        ];
        for (name, length) in lengths {
            let length = length.unwrap_or(layers);
            let allowed = format!("a list of num_hidden_layers = {layers} entries");
            let value = format!("a list of {length}");
            OptionError::check(name, value, &allowed, length == layers)?;
        }
        let slides = |kinds: &Vec<LayerKind>| kinds.contains(&LayerKind::SlidingAttention);
        if self.layer_types.as_ref().is_some_and(slides) && self.sliding_window.is_none() {
            let reason = "set if layer_types has sliding_attention";
            return Err(OptionError::new("sliding_window", "null", reason));
        }
        let mut switches = self.no_rope_layers.iter().flatten();
        match switches.find(|&&on| on > 1) {
            None => Ok(()),
            Some(other) => Err(OptionError::new(
                "no_rope_layers",
                other,
                "0 or 1 for each layer",
            )),
        }
    }
}
