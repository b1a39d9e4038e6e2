//! A row as sequences of tokens, with the tokens that are learned from and those that are cut.

use collimate::data::{DataError, TextStream, TextTokenizer};
use serde::Serialize;

use super::tokens::Encoded;

/// One sequence that a model reads.
#[derive(Debug, Serialize)]
pub(super) struct Sequence {
    /// Names of the parts in order, such as `prompt + chosen`.
    pub(super) name: String,
    pub(super) tokens: Vec<Token>,
    /// Parts that are left out because the sequence is too long.
    pub(super) cut: Vec<Cut>,
}

/// One token.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    pub(super) id: u32,
    /// The token as the vocabulary spells it.
    pub(super) token: String,
    /// Text that is complete with this token; empty if a character needs the next token too.
    pub(super) text: String,
    /// True for BOS, EOS and the other special tokens.
    pub(super) special: bool,
    /// True if the loss covers this token because it belongs to the answer.
    pub(super) learned: bool,
}

/// Tokens that are left out.
#[derive(Debug, Serialize)]
pub(super) struct Cut {
    /// Part that lost the tokens.
    pub(super) part: &'static str,
    /// Place of the cut: `start` or `end` of the part.
    pub(super) at: &'static str,
    pub(super) tokens: usize,
    pub(super) text: String,
}

/// Returns the sequences of a row. `whole` holds the ids before anything was cut.
pub(super) fn sequences(
    tokenizer: &TextTokenizer,
    fitted: &Encoded,
    whole: &Encoded,
) -> Result<Vec<Sequence>, DataError> {
    let parts = |encoded: &Encoded| -> Vec<(&'static str, Vec<u32>)> {
        match encoded {
            Encoded::Pair(pair) => vec![
                ("prompt", pair.prompt.clone()),
                ("chosen", pair.chosen.clone()),
                ("rejected", pair.rejected.clone()),
            ],
            Encoded::Example(example) => vec![
                ("prompt", example.prompt.clone()),
                ("completion", example.completion.clone()),
            ],
            Encoded::Prompt(ids) => vec![("prompt", ids.clone())],
        }
    };
    let (fitted, whole) = (parts(fitted), parts(whole));
    let [(prompt_name, prompt), answers @ ..] = &fitted[..] else {
        return Ok(Vec::new());
    };
    let lost_prompt = lost_start(tokenizer, prompt, &whole[0].1)?;
    if answers.is_empty() {
        return Ok(vec![Sequence {
            name: (*prompt_name).to_owned(),
            tokens: tokens(tokenizer, prompt, &[])?,
            cut: Vec::new(),
        }]);
    }
    let mut found = Vec::new();
    for ((name, answer), (_, full)) in answers.iter().zip(&whole[1..]) {
        let mut cut: Vec<Cut> = Vec::new();
        if let Some((tokens, text)) = &lost_prompt {
            cut.push(Cut {
                part: prompt_name,
                at: "start",
                tokens: *tokens,
                text: text.clone(),
            });
        }
        if let Some((tokens, text)) = lost_end(tokenizer, answer, full)? {
            cut.push(Cut {
                part: name,
                at: "end",
                tokens,
                text,
            });
        }
        found.push(Sequence {
            name: format!("{prompt_name} + {name}"),
            tokens: tokens(tokenizer, prompt, answer)?,
            cut,
        });
    }
    Ok(found)
}

/// Returns the tokens that a prompt lost after BOS.
fn lost_start(
    tokenizer: &TextTokenizer,
    kept: &[u32],
    whole: &[u32],
) -> Result<Option<(usize, String)>, DataError> {
    let lost = whole.len() - kept.len().min(whole.len());
    if lost == 0 {
        return Ok(None);
    }
    let bos = usize::from(whole.first().copied() == tokenizer.special().bos && !whole.is_empty());
    let end = (bos + lost).min(whole.len());
    Ok(Some((lost, tokenizer.decode(&whole[bos..end])?)))
}

/// Returns the tokens that an answer lost at its end. EOS may have taken their place.
fn lost_end(
    tokenizer: &TextTokenizer,
    kept: &[u32],
    whole: &[u32],
) -> Result<Option<(usize, String)>, DataError> {
    let lost = whole.len() - kept.len().min(whole.len());
    if lost == 0 {
        return Ok(None);
    }
    let common = kept.iter().zip(whole).take_while(|(a, b)| a == b).count();
    Ok(Some((lost, tokenizer.decode(&whole[common..])?)))
}

fn tokens(
    tokenizer: &TextTokenizer,
    prompt: &[u32],
    answer: &[u32],
) -> Result<Vec<Token>, DataError> {
    let mut stream = TextStream::new(tokenizer);
    let inner = tokenizer.inner();
    let added = inner.get_added_vocabulary();
    let known = tokenizer.special();
    let named = [known.bos, Some(known.eos), known.pad];
    let mut found = Vec::with_capacity(prompt.len() + answer.len());
    for (at, &id) in prompt.iter().chain(answer).enumerate() {
        let token = inner.id_to_token(id).unwrap_or_default();
        let special = named.contains(&Some(id))
            || tokenizer.end_tokens().contains(&id)
            || added.is_special_token(&token);
        found.push(Token {
            text: stream.push(id)?.to_owned(),
            id,
            token,
            special,
            learned: at >= prompt.len(),
        });
    }
    Ok(found)
}
