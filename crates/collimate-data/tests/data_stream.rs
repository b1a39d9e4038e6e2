//! Decoding of ids one at a time: the pieces join to the text.

use collimate_data::{SpecialTokenIds, TextStream, TextTokenizer};
use proptest::prelude::*;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::{AddedToken, Tokenizer};

fn wrap(mut tokenizer: Tokenizer) -> TextTokenizer {
    let special = ["<s>", "</s>"].map(|text| AddedToken::from(text, true));
    tokenizer.add_special_tokens(special).unwrap();
    let special = SpecialTokenIds {
        bos: Some(0),
        eos: 1,
        pad: None,
    };
    TextTokenizer::new(tokenizer, special, None).unwrap()
}

fn bpe(tokens: Vec<String>, fallback: bool) -> Tokenizer {
    let vocab: Vocab = tokens.into_iter().zip(0..).collect();
    let model = BPE::builder().vocab_and_merges(vocab, vec![]);
    Tokenizer::new(model.byte_fallback(fallback).build().unwrap())
}

/// A tokenizer like GPT-2's, in which every byte is a token.
fn byte_level() -> TextTokenizer {
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    let mut tokens = vec!["<s>".to_owned(), "</s>".to_owned()];
    tokens.extend(letters.into_iter().map(String::from));
    let mut tokenizer = bpe(tokens, false);
    let bytes = ByteLevel::new(false, false, false);
    tokenizer.with_pre_tokenizer(Some(bytes));
    tokenizer.with_decoder(Some(bytes));
    wrap(tokenizer)
}

/// A tokenizer like Llama 2's: a visible space before every word, bytes for text without a token,
/// and the first space removed.
fn byte_fallback() -> TextTokenizer {
    let mut tokens = vec!["<s>".to_owned(), "</s>".to_owned()];
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["\u{2581}", "a", "b", "é"].map(String::from));
    let mut tokenizer = bpe(tokens, true);
    let spaces = Replace::new(" ", "\u{2581}").unwrap();
    tokenizer.with_normalizer(Some(spaces)).unwrap();
    tokenizer.with_decoder(Some(Sequence::new(vec![
        Replace::new("\u{2581}", " ").unwrap().into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
        Strip::new(' ', 1, 0).into(),
    ])));
    wrap(tokenizer)
}

/// Returns the pieces, the last one from `finish`.
fn pieces(tokenizer: &TextTokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = TextStream::new(tokenizer);
    let mut pieces = Vec::new();
    for &id in ids {
        pieces.push(stream.push(id).unwrap().to_owned());
        assert_eq!(stream.text(), pieces.concat());
    }
    pieces.push(stream.finish().unwrap().to_owned());
    assert_eq!(stream.text(), pieces.concat());
    assert_eq!(stream.finish().unwrap(), "", "nothing is left twice");
    pieces
}

#[test]
fn a_character_comes_with_its_last_byte() {
    for tokenizer in [byte_level(), byte_fallback()] {
        let ids = tokenizer.encode_text("a€b").unwrap();
        assert_eq!(ids.len(), 5);
        assert_eq!(pieces(&tokenizer, &ids), ["a", "", "", "€", "b", ""]);
        assert_eq!(pieces(&tokenizer, &ids[..1]), ["a", ""]);
        let cut = pieces(&tokenizer, &ids[..3]);
        assert_eq!(cut[..3], ["a", "", ""]);
        assert_eq!(cut.concat(), tokenizer.decode(&ids[..3]).unwrap());
    }
}

#[test]
fn spaces_between_pieces_stay() {
    let tokenizer = byte_fallback();
    let ids = tokenizer.encode_text(" a b").unwrap();
    assert_eq!(pieces(&tokenizer, &ids).concat(), "a b");
    // A special token between two words does not remove the space.
    let (a, b) = ids.split_at(2);
    let broken = [a, &[0], b].concat();
    assert_eq!(pieces(&tokenizer, &broken).concat(), "a b");
}

#[test]
fn special_and_unknown_ids_write_nothing() {
    let tokenizer = byte_level();
    assert_eq!(pieces(&tokenizer, &[0, 1, 9999]), ["", "", "", ""]);
}

/// Returns the ids of bytes that are written as these characters.
fn bytes(tokenizer: &TextTokenizer, bytes: &str) -> Vec<u32> {
    let id = |c: char| {
        let level = tokenizer.inner().token_to_id(&c.to_string());
        let fallback = format!("<0x{:02X}>", u32::from(c));
        tokenizer.inner().token_to_id(&fallback).or(level).unwrap()
    };
    bytes.chars().map(id).collect()
}

#[test]
fn letters_after_bad_bytes_appear() {
    let tokenizer = byte_fallback();
    let letters = tokenizer.encode_text("ab").unwrap();
    // The whole list has three U+FFFD here, because the bad byte spoils the good ones beside it.
    let ids = [&letters[..1], &bytes(&tokenizer, "Ã©ÿ"), &letters].concat();
    let wanted = ["a", "", "é", "", "\u{FFFD}a", "b", ""];
    assert_eq!(pieces(&tokenizer, &ids), wanted);
    assert_eq!(pieces(&tokenizer, &ids[..4]).concat(), "aé\u{FFFD}");
    let spaced = tokenizer.encode_text(" b").unwrap();
    let ids = [ids, spaced].concat();
    assert_eq!(pieces(&tokenizer, &ids).concat(), "aé\u{FFFD}ab b");
}

#[test]
fn ids_that_never_become_text_do_not_pile_up() {
    let push = |stream: &mut TextStream<'_>, ids: &[u32]| {
        for &id in ids {
            stream.push(id).unwrap();
        }
    };
    for bad in ["ÿ", "â", "Ã©ÿ", "ðÃ", "©"] {
        for tokenizer in [byte_level(), byte_fallback()] {
            let ids = bytes(&tokenizer, bad).repeat(3000);
            let mut stream = TextStream::new(&tokenizer);
            push(&mut stream, &ids);
            // Most of the text appears before anything else follows.
            let shown = stream.text().chars().count();
            assert!(shown + 200 > ids.len() / 2, "{bad}: {shown}");
            push(&mut stream, &tokenizer.encode_text("ab").unwrap());
            assert!(stream.text().ends_with("\u{FFFD}ab"), "{bad}");
        }
    }
    let tokenizer = byte_level();
    let mut stream = TextStream::new(&tokenizer);
    push(&mut stream, &[0, 1, 9999].repeat(50_000));
    assert_eq!(stream.text(), "");
    push(&mut stream, &tokenizer.encode_text("ab").unwrap());
    assert_eq!(stream.text(), "ab");
}

proptest! {
    #[test]
    fn any_bad_bytes_of_a_byte_level_tokenizer(bad in "[ÿÃ©âð]{0,300}") {
        let tokenizer = byte_level();
        let ids = bytes(&tokenizer, &bad);
        prop_assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn bad_bytes_spoil_no_letter_and_no_space(text in "([ab ]|[ÿÃ©]{1,3}|[ÿÃ©]{90}){0,20}") {
        let tokenizer = byte_fallback();
        let mut ids = Vec::new();
        for part in text.split_inclusive(|c| "ab ".contains(c)) {
            let letter = part.trim_start_matches(|c| !"ab ".contains(c));
            ids.extend(bytes(&tokenizer, &part[..part.len() - letter.len()]));
            ids.extend(tokenizer.encode_text(letter).unwrap());
        }
        let letters = |text: &str| text.replace(|c| !"ab ".contains(c), "");
        let whole = tokenizer.decode(&ids).unwrap();
        prop_assert_eq!(letters(&pieces(&tokenizer, &ids).concat()), letters(&whole));
    }

    #[test]
    fn any_ids_of_a_byte_level_tokenizer(ids in prop::collection::vec(0u32..258, 0..40)) {
        let tokenizer = byte_level();
        prop_assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn any_text(text in "[ abé€🙂]{0,12}") {
        for tokenizer in [byte_level(), byte_fallback()] {
            let ids = tokenizer.encode_text(&text).unwrap();
            prop_assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }
    }
}
