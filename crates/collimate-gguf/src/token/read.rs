//! `tokenizer.json` of the tokenizer in a GGUF file.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::pre;
use super::vocab::{Algorithm, Kind, Vocabulary, filler};
use crate::GgufError;

/// The mark that SentencePiece puts in place of a space.
pub(crate) const SPACE: &str = "\u{2581}";

/// Returns `tokenizer.json`.
pub(crate) fn tokenizer(vocabulary: &Vocabulary<'_>) -> Result<Value, GgufError> {
    let (own, adds_bos) = match vocabulary.algorithm {
        Algorithm::Bytes => byte_pairs(vocabulary)?,
        Algorithm::Pieces => (pieces(vocabulary)?, true),
    };
    let mut tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(vocabulary),
        "post_processor": around(vocabulary, adds_bos)?,
    });
    for (key, value) in own {
        tokenizer[key] = value;
    }
    Ok(tokenizer)
}

/// Returns true if the tokenizer adds BOS although the file does not say so.
pub(crate) fn adds_bos_if_absent(vocabulary: &Vocabulary<'_>) -> Result<bool, GgufError> {
    match vocabulary.algorithm {
        Algorithm::Bytes => rule(vocabulary).map(|rule| rule.adds_bos),
        Algorithm::Pieces => Ok(true),
    }
}

fn rule(vocabulary: &Vocabulary<'_>) -> Result<&'static pre::Pre, GgufError> {
    let name = vocabulary.text("pre")?.ok_or_else(|| {
        let message = "is missing, so the splits into words are unknown: convert the model again \
                       with a newer llama.cpp";
        vocabulary.wrong("pre", message)
    })?;
    pre::named(name).ok_or_else(|| {
        let message = format!(
            "is {name}, but these splits into words are read: {}",
            pre::names()
        );
        vocabulary.wrong("pre", message)
    })
}

/// Entries of a tokenizer that merges bytes, and true if llama.cpp adds BOS by itself.
fn byte_pairs(vocabulary: &Vocabulary<'_>) -> Result<(Map<String, Value>, bool), GgufError> {
    let rule = rule(vocabulary)?;
    let merges = vocabulary.strings("merges")?;
    let merges = merges.ok_or_else(|| vocabulary.wrong("merges", "is missing"))?;
    let ids = ids(vocabulary);
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        // A token may begin with a space, so the search starts behind the first character.
        let space = merge
            .char_indices()
            .skip(1)
            .find(|(_, letter)| *letter == ' ');
        let pair = space.map(|(at, _)| (&merge[..at], &merge[at + 1..]));
        let known = |(left, right): &(&str, &str)| {
            let joined = format!("{left}{right}");
            [*left, *right, &joined]
                .iter()
                .all(|text| ids.contains_key(*text))
        };
        let Some((left, right)) = pair.filter(known) else {
            let message = format!("holds {merge:?}, which does not join two tokens to a token");
            return Err(vocabulary.wrong("merges", message));
        };
        pairs.push(json!([left, right]));
    }
    let normalizer = match rule.composes {
        true => json!({"type": "NFC"}),
        false => Value::Null,
    };
    let bytes = json!({
        "type": "ByteLevel",
        "add_prefix_space": true,
        "trim_offsets": true,
        "use_regex": true,
    });
    let entries = Map::from_iter([
        ("normalizer".to_owned(), normalizer),
        ("pre_tokenizer".to_owned(), rule.to_json()),
        ("decoder".to_owned(), bytes),
        (
            "model".to_owned(),
            json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": rule.ignore_merges,
                "vocab": vocab(vocabulary),
                "merges": pairs,
            }),
        ),
    ]);
    Ok((entries, rule.adds_bos))
}

/// Entries of a tokenizer that merges pieces by their scores.
///
/// The normalizer puts a space before the text and before the text behind each special token, even
/// if there is a space already, because SentencePiece and llama.cpp do so.
fn pieces(vocabulary: &Vocabulary<'_>) -> Result<Map<String, Value>, GgufError> {
    let prefix = vocabulary.truth("add_space_prefix")?.unwrap_or(true);
    let mark = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let normalizer = match prefix {
        true => json!({
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": SPACE}, mark],
        }),
        false => mark,
    };
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = vocabulary.id("unknown_token_id")?;
    Ok(Map::from_iter([
        ("normalizer".to_owned(), normalizer),
        ("pre_tokenizer".to_owned(), Value::Null),
        (
            "decoder".to_owned(),
            json!({"type": "Sequence", "decoders": decoders}),
        ),
        (
            "model".to_owned(),
            json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": unknown.map(|id| &vocabulary.tokens[id]),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": true,
                "ignore_merges": false,
                "vocab": vocab(vocabulary),
                "merges": merges_of_scores(vocabulary)?,
            }),
        ),
    ]))
}

/// A pair of tokens whose joined text is a token.
struct Merge<'a> {
    left: &'a str,
    right: &'a str,
    score: f32,
}

/// Returns every pair of tokens that joins to a piece of text, the piece with the highest score
/// first. Pairs of one piece, or of one score, are ordered by the lengths of the two texts, the
/// longest first. Control tokens and user-defined tokens are found before pieces are joined.
fn merges_of_scores(vocabulary: &Vocabulary<'_>) -> Result<Vec<Value>, GgufError> {
    let scores = vocabulary.scores()?;
    let ids = ids(vocabulary);
    let mut merges = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if vocabulary.kinds[id] != Kind::Normal {
            continue;
        }
        let mut own = Vec::new();
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(first), Some(second)) = (ids.get(left), ids.get(right)) {
                let score = scores[id];
                own.push(((first, second), Merge { left, right, score }));
            }
        }
        own.sort_by_key(|(ids, _)| *ids);
        merges.extend(own.into_iter().map(|(_, merge)| merge));
    }
    let lengths = |merge: &Merge<'_>| (merge.left.chars().count(), merge.right.chars().count());
    merges.sort_by(|one, other| {
        let scores = other
            .score
            .partial_cmp(&one.score)
            .unwrap_or(Ordering::Equal);
        scores.then_with(|| lengths(other).cmp(&lengths(one)))
    });
    Ok(merges
        .iter()
        .map(|merge| json!([merge.left, merge.right]))
        .collect())
}

fn ids<'a>(vocabulary: &Vocabulary<'a>) -> HashMap<&'a str, usize> {
    let tokens = vocabulary.tokens.iter().enumerate();
    tokens.map(|(id, token)| (token.as_str(), id)).collect()
}

/// Returns the id of each token, except fillers.
fn vocab(vocabulary: &Vocabulary<'_>) -> Map<String, Value> {
    let tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate();
    let named =
        tokens.filter(|(id, (token, kind))| **kind != Kind::Unused || **token != filler(*id));
    named
        .map(|(id, (token, _))| (token.clone(), json!(id)))
        .collect()
}

/// Returns the tokens that are found in the text before words are split.
fn added_tokens(vocabulary: &Vocabulary<'_>) -> Vec<Value> {
    let tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate();
    let added = tokens.filter_map(|(id, (token, kind))| {
        let special = match kind {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => false,
            Kind::Normal | Kind::Unused | Kind::Byte => return None,
        };
        // An empty text would be found everywhere.
        let added = json!({
            "id": id,
            "content": token,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": special,
        });
        Some(added).filter(|_| !token.is_empty())
    });
    added.collect()
}

/// Returns the entry that puts BOS before a text and EOS behind, or null.
fn around(vocabulary: &Vocabulary<'_>, absent: bool) -> Result<Value, GgufError> {
    let id = |name: &str, key: &str, adds: bool| match (adds, vocabulary.id(name)?) {
        (false, _) => Ok(None),
        (true, Some(id)) => Ok(Some(id)),
        (true, None) => Err(vocabulary.wrong(name, format!("is missing, but {key} is true"))),
    };
    let bos = id(
        "bos_token_id",
        "add_bos_token",
        vocabulary.adds_bos(absent)?,
    )?;
    let eos = id("eos_token_id", "add_eos_token", vocabulary.adds_eos()?)?;
    if bos.is_none() && eos.is_none() {
        return Ok(Value::Null);
    }
    let part = |sequence: &str, kind: usize| {
        let special =
            |id: usize| json!({"SpecialToken": {"id": vocabulary.tokens[id], "type_id": kind}});
        let text = json!({"Sequence": {"id": sequence, "type_id": kind}});
        bos.map(special)
            .into_iter()
            .chain([text])
            .chain(eos.map(special))
    };
    let special = |id: usize| {
        let token = &vocabulary.tokens[id];
        (
            token.clone(),
            json!({"id": token, "ids": [id], "tokens": [token]}),
        )
    };
    let specials: Map<String, Value> = [bos, eos].into_iter().flatten().map(special).collect();
    Ok(json!({
        "type": "TemplateProcessing",
        "single": part("A", 0).collect::<Vec<_>>(),
        "pair": part("A", 0).chain(part("B", 1)).collect::<Vec<_>>(),
        "special_tokens": specials,
    }))
}
