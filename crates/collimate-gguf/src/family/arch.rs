//! Architectures that have a counterpart in both formats.

use std::fmt;

/// Names of the architectures, for errors.
pub(crate) const READ: &str = "llama, qwen2, qwen3, gemma, gemma2 and gemma3";

/// Kind of a decoder, in the terms of llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    Llama,
    Qwen2,
    Qwen3,
    Gemma,
    Gemma2,
    Gemma3,
}

impl Arch {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Llama,
            Self::Qwen2,
            Self::Qwen3,
            Self::Gemma,
            Self::Gemma2,
            Self::Gemma3,
        ];
        all.into_iter().find(|arch| arch.name() == name)
    }

    /// Returns the architecture of a `model_type` of Hugging Face.
    pub(crate) fn from_model_type(name: &str) -> Option<Self> {
        match name {
            "mistral" => Some(Self::Llama),
            "gemma3_text" => Some(Self::Gemma3),
            // The model type gemma3 also reads images.
            "gemma3" => None,
            _ => Self::from_name(name),
        }
    }

    /// Returns the value of `general.architecture`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Returns the class and the model type of Hugging Face.
    pub(crate) fn class(self) -> (&'static str, &'static str) {
        match self {
            Self::Llama => ("LlamaForCausalLM", "llama"),
            Self::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Self::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
            Self::Gemma => ("GemmaForCausalLM", "gemma"),
            Self::Gemma2 => ("Gemma2ForCausalLM", "gemma2"),
            Self::Gemma3 => ("Gemma3ForCausalLM", "gemma3_text"),
        }
    }

    /// Returns true if llama.cpp stores `1 + w` where Hugging Face stores the norm weight `w`.
    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Returns true if each branch of a layer also has a norm behind the branch.
    pub(crate) fn has_post_norms(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Returns true if queries and keys have norms.
    pub(crate) fn has_qk_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Returns the number of layers after which the sequence of layers with and without a sliding
    /// window repeats. The last layer of a period has no window.
    pub(crate) fn window_period(self) -> Option<u64> {
        match self {
            Self::Gemma2 => Some(2),
            Self::Gemma3 => Some(6),
            _ => None,
        }
    }

    /// Returns the number of layers of the variant whose attention scores llama.cpp divides by the
    /// square root of `hidden_size / num_attention_heads` instead of `head_dim`.
    pub(crate) fn layers_with_other_scale(self) -> Option<usize> {
        match self {
            Self::Gemma2 => Some(46),
            Self::Gemma3 => Some(62),
            _ => None,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
