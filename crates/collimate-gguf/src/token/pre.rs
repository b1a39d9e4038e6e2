//! Rules that split a text into words before bytes are merged, by their names in llama.cpp.

use serde_json::{Value, json};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pre {
    /// Names in `tokenizer.ggml.pre`. The first is written.
    pub(crate) names: &'static [&'static str],
    steps: &'static [Step],
    /// If true, a word that is a token is not built from merges.
    pub(crate) ignore_merges: bool,
    /// If true, llama.cpp adds BOS unless the file says otherwise.
    pub(crate) adds_bos: bool,
    /// If true, the tokenizers in Hugging Face's format compose characters first.
    pub(crate) composes: bool,
}

/// A step of a rule. Each step splits the words of the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Each digit is a word.
    Digits,
    /// A match of the expression is a word, and so is the text between two matches.
    Split(&'static str),
    /// GPT-2's expression, then bytes become characters.
    Words,
    /// Bytes become characters.
    Bytes,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const PLAIN: Pre = Pre {
    names: &[],
    steps: &[],
    ignore_merges: false,
    adds_bos: false,
    composes: false,
};

const ALL: &[Pre] = &[
    Pre {
        names: &["gpt-2", "phi-2"],
        steps: &[Step::Words],
        ..PLAIN
    },
    Pre {
        names: &["smollm", "starcoder", "refact"],
        steps: &[Step::Digits, Step::Words],
        ..PLAIN
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3"],
        steps: &[Step::Split(LLAMA3), Step::Bytes],
        ignore_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    Pre {
        names: &["smaug-bpe", "dbrx"],
        steps: &[Step::Split(LLAMA3), Step::Bytes],
        ..PLAIN
    },
    Pre {
        names: &["qwen2", "deepseek-r1-qwen"],
        steps: &[Step::Split(QWEN2), Step::Bytes],
        composes: true,
        ..PLAIN
    },
    Pre {
        names: &["default"],
        steps: &[
            Step::Split(r"[\p{P}\$\+<=>\^~\|]+"),
            Step::Split(GPT2),
            Step::Split(r"\p{N}+"),
            Step::Split("[0-9][0-9][0-9]"),
            Step::Bytes,
        ],
        ..PLAIN
    },
];

/// Returns all names, for errors.
pub(crate) fn names() -> String {
    let names: Vec<&str> = ALL.iter().flat_map(|pre| pre.names).copied().collect();
    names.join(", ")
}

/// Returns the rule with a name of llama.cpp.
pub(crate) fn named(name: &str) -> Option<&'static Pre> {
    ALL.iter().find(|pre| pre.names.contains(&name))
}

/// Returns the rule that a `tokenizer.json` describes. `steps` is the entry `pre_tokenizer`.
pub(crate) fn described(steps: &Value, ignore_merges: bool) -> Option<&'static Pre> {
    let steps = match steps["pretokenizers"].as_array() {
        Some(list) if steps["type"] == "Sequence" => list.iter().map(Step::from_json).collect(),
        _ => Step::from_json(steps).map(|step| vec![step]),
    };
    let steps: Vec<Step> = steps?;
    let same = |pre: &&Pre| pre.steps == steps && pre.ignore_merges == ignore_merges;
    ALL.iter().find(same)
}

impl Pre {
    /// Returns the entry `pre_tokenizer` of a `tokenizer.json`.
    pub(crate) fn to_json(self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(|step| step.to_json()).collect();
        match steps.as_slice() {
            [step] => step.clone(),
            steps => json!({"type": "Sequence", "pretokenizers": steps}),
        }
    }
}

impl Step {
    fn to_json(self) -> Value {
        let bytes = |use_regex: bool| {
            json!({
                "type": "ByteLevel",
                "add_prefix_space": false,
                "trim_offsets": true,
                "use_regex": use_regex,
            })
        };
        match self {
            Self::Digits => json!({"type": "Digits", "individual_digits": true}),
            Self::Split(expression) => json!({
                "type": "Split",
                "pattern": {"Regex": expression},
                "behavior": "Isolated",
                "invert": false,
            }),
            Self::Words => bytes(true),
            Self::Bytes => bytes(false),
        }
    }

    fn from_json(step: &Value) -> Option<Self> {
        match step["type"].as_str()? {
            "ByteLevel" if step["add_prefix_space"] == true => None,
            "ByteLevel" if step["use_regex"] == false => Some(Self::Bytes),
            // Files of older versions lack the entry, which then counts as true.
            "ByteLevel" => Some(Self::Words),
            "Digits" if step["individual_digits"] == true => Some(Self::Digits),
            "Split" if step["behavior"] == "Isolated" && step["invert"] == false => {
                let expression = step["pattern"]["Regex"].as_str()?;
                let mut all = ALL.iter().flat_map(|pre| pre.steps);
                let same = |known: &&Step| matches!(known, Self::Split(own) if *own == expression);
                all.find(same).copied()
            }
            _ => None,
        }
    }
}
