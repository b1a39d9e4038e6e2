//! Ends of completions and the text that they have.

use super::*;
use std::collections::HashMap;
use std::ops::ControlFlow;

use collimate_core::{Finish, Generator, Prompt};

/// Watcher that records every call.
#[derive(Default)]
struct Recorder {
    texts: HashMap<Place, Vec<String>>,
    finished: Vec<(Place, Completion)>,
    progress: Vec<GenerationProgress>,
}

impl Watch for Recorder {
    fn text(&mut self, place: Place, piece: &str) {
        assert!(!piece.is_empty());
        self.texts.entry(place).or_default().push(piece.to_owned());
    }

    fn finished(&mut self, place: Place, completion: &Completion) {
        self.finished.push((place, completion.clone()));
    }

    fn progress(&mut self, progress: GenerationProgress) -> ControlFlow<()> {
        self.progress.push(progress);
        ControlFlow::Continue(())
    }
}

/// Returns the completion of a model that spells `script` after BOS, and the pieces that were
/// shown.
fn spell(script: &[u32], max_new_tokens: usize, stop: &[&str]) -> (Completion, Vec<String>) {
    let sampling = Sampling {
        stop: stop.iter().map(|&stop| stop.to_owned()).collect(),
        ..greedy_sampling(max_new_tokens)
    };
    let mut recorder = Recorder::default();
    let found = generator(scripted(script, &Device::flex()))
        .generate_watched(&[Prompt::from("")], &sampling, &mut recorder)
        .unwrap();
    let place = Place {
        prompt: 0,
        sample: 0,
    };
    let pieces = recorder.texts.remove(&place).unwrap_or_default();
    let completion = found[0][0].clone();
    assert_eq!(
        pieces.concat(),
        completion.text,
        "pieces joined are the text"
    );
    assert_eq!(recorder.finished, [(place, completion.clone())]);
    (completion, pieces)
}

fn with_eos(text: &str) -> Vec<u32> {
    [spelled(text), vec![EOS]].concat()
}

#[test]
fn eos_ends_and_is_kept_as_a_token_only() {
    let script = with_eos("abc");
    let (completion, pieces) = spell(&script, 20, &[]);
    assert_eq!(completion.text, "abc");
    assert_eq!(completion.finish, Finish::Eos);
    assert_eq!(tokens(&completion), script);
    assert_eq!(pieces, ["a", "b", "c"]);
}

#[test]
fn eos_at_once_is_an_empty_text() {
    let model = scripted(&[EOS], &Device::flex());
    let sampling = Sampling {
        n: 3,
        ..Sampling::default()
    };
    let prompts = ["a", "b", ""].map(Prompt::from);
    let found = generator(model).generate(&prompts, &sampling).unwrap();
    for completion in found.iter().flatten() {
        assert_eq!(
            (
                completion.text.as_str(),
                completion.finish,
                tokens(completion)
            ),
            ("", Finish::Eos, &[EOS][..])
        );
    }
    assert_eq!(found.iter().flatten().count(), 9);
}

#[test]
fn the_length_counts_eos() {
    let script = with_eos("abc");
    let (completion, _) = spell(&script, 3, &[]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("abc", Finish::Length)
    );
    let (completion, _) = spell(&script, 4, &[]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("abc", Finish::Eos)
    );
    assert_eq!(tokens(&completion).len(), 4);
}

#[test]
fn the_context_is_the_longest() {
    let model = scripted(&spelled("ab"), &Device::flex());
    let prompt = vec![vec![5; CONTEXT - 7], vec![5; CONTEXT - 1]];
    let found = generator(model)
        .continue_ids(&prompt, &greedy_sampling(500), &mut ())
        .unwrap();
    let lengths: Vec<_> = found.iter().map(|f| tokens(&f[0]).len()).collect();
    assert_eq!(lengths, [7, 1]);
    assert!(found.iter().all(|f| f[0].finish == Finish::Length));
}

#[test]
fn other_ids_can_end_a_completion() {
    let script = spelled("abcd");
    let model = scripted(&script, &Device::flex());
    let generator = generator(model).with_eos(vec![script[3], script[2]]);
    let found = generator
        .continue_ids(&[vec![0]], &greedy_sampling(9), &mut ())
        .unwrap();
    assert_eq!(tokens(&found[0][0]), &script[..3]);
    assert_eq!(
        (found[0][0].text.as_str(), found[0][0].finish),
        ("ab", Finish::Eos)
    );
}

#[test]
fn stop_texts_end_and_are_not_in_the_text() {
    let script = with_eos("why catsd");
    let of = |stop: &[&str]| {
        let (completion, pieces) = spell(&script, 30, stop);
        (
            completion.text.clone(),
            completion.finish,
            tokens(&completion).len(),
            pieces,
        )
    };
    // The cases: one token; several tokens; the earliest of two stop texts; a stop text that only
    // begins; the whole text.
    let (text, finish, length, _) = of(&["c"]);
    assert_eq!((text.as_str(), finish, length), ("why ", Finish::Stop, 5));
    let (text, finish, length, pieces) = of(&["cat"]);
    assert_eq!((text.as_str(), finish, length), ("why ", Finish::Stop, 7));
    assert_eq!(pieces, ["w", "h", "y", " "]);
    let (text, ..) = of(&["at", "cat", "xyz"]);
    assert_eq!(text, "why ");
    let (text, finish, _, pieces) = of(&["cab", "sda"]);
    assert_eq!((text.as_str(), finish), ("why catsd", Finish::Eos));
    assert_eq!(pieces, ["w", "h", "y", " ", "cat", "sd"]);
    let (text, finish, length, pieces) = of(&["wh"]);
    assert_eq!((text.as_str(), finish, length), ("", Finish::Stop, 2));
    assert!(pieces.is_empty());
    // The beginning of a stop text is shown once the length ends the text.
    let (completion, pieces) = spell(&script, 6, &["cat"]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("why ca", Finish::Length)
    );
    assert_eq!(pieces.last().map(String::as_str), Some("ca"));
}

#[test]
fn a_special_token_can_be_a_stop_text() {
    let script = [spelled("ab"), vec![0]].concat();
    let (completion, pieces) = spell(&script, 20, &["<s>"]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("ab", Finish::Stop)
    );
    assert_eq!(tokens(&completion), script);
    assert_eq!(pieces, ["a", "b"]);
    // A stop text that is the EOS token ends the completion as EOS.
    let script = with_eos("ab");
    let (completion, _) = spell(&script, 20, &["</s>"]);
    assert_eq!(completion.finish, Finish::Eos);
    let sampling = Sampling {
        stop: vec!["</s>".into()],
        ..greedy_sampling(20)
    };
    let found = generator(scripted(&script, &Device::flex()))
        .with_eos(vec![])
        .continue_ids(&[vec![0]], &sampling, &mut ())
        .unwrap();
    assert_eq!(tokens(&found[0][0]), script);
    assert_eq!(
        (found[0][0].text.as_str(), found[0][0].finish),
        ("ab", Finish::Stop)
    );
}

#[test]
fn characters_come_whole() {
    let script = with_eos("aéb");
    assert_eq!(script.len(), 5);
    let (completion, pieces) = spell(&script, 20, &[]);
    assert_eq!(completion.text, "aéb");
    assert_eq!(pieces, ["a", "é", "b"]);
    let (completion, pieces) = spell(&script, 20, &["é"]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("a", Finish::Stop)
    );
    assert_eq!(pieces, ["a"]);
    // If the completion ends in the middle of a character, the text is that of the whole list of
    // tokens.
    let (completion, _) = spell(&script, 2, &[]);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("a\u{FFFD}", Finish::Length)
    );
    let (completion, pieces) = spell(&[31, 3, EOS], 9, &[]);
    assert_eq!(completion.text, "\u{FFFD}b");
    assert_eq!(pieces, ["\u{FFFD}b"]);
}

#[test]
fn random_text_is_what_its_tokens_decode_to() {
    let tokenizer = tokenizer();
    let sampling = Sampling {
        n: 20,
        temperature: 2.0,
        max_new_tokens: 60,
        ..Sampling::default()
    };
    let mut recorder = Recorder::default();
    let prompts = prompts(40, &[2, 11]);
    let found = generator(random_model(&Device::flex()))
        .continue_ids(&prompts, &sampling, &mut recorder)
        .unwrap();
    for (prompt, completions) in found.iter().enumerate() {
        for (sample, completion) in completions.iter().enumerate() {
            let whole = tokenizer.decode(tokens(completion)).unwrap();
            assert_eq!(completion.text, whole);
            let pieces = recorder.texts.get(&Place { prompt, sample });
            assert_eq!(pieces.map(|p| p.concat()).unwrap_or_default(), whole);
        }
    }
    let last = recorder.progress.last().unwrap();
    let written: usize = found.iter().flatten().map(|c| tokens(c).len()).sum();
    assert_eq!((last.finished, last.total, last.tokens), (40, 40, written));
    assert_eq!(recorder.finished.len(), 40);
}

#[test]
fn a_folder_names_what_ends_its_texts() {
    let dir = common::copy(&common::fixture("llama-gqa-tied"));
    let path = dir.path();
    let generation = path.join("generation_config.json");
    let named = || collimate_lm::eos_token_ids(path).map_err(|error| error.to_string());
    assert_eq!(named(), Ok(vec![2]), "config.json");
    for (text, ids) in [
        ("{\"eos_token_id\": 7}", vec![7]),
        ("{\"eos_token_id\": [9, 7]}", vec![9, 7]),
        ("{\"temperature\": 1}", vec![2]),
        ("{\"eos_token_id\": null}", vec![2]),
    ] {
        std::fs::write(&generation, text).unwrap();
        assert_eq!(named(), Ok(ids), "{text}");
    }
    std::fs::write(&generation, "{\"eos_token_id\": [9, 7]}").unwrap();
    let generator = generator(random_model(&Device::flex()))
        .with_eos_of(path)
        .unwrap();
    assert_eq!(generator.eos(), [EOS, 7, 9], "the tokenizer's as well");
    std::fs::write(&generation, "{\"eos_token_id\": [\"a\"]}").unwrap();
    let error = named().unwrap_err();
    assert!(
        error.contains("generation_config.json") && error.contains("eos_token_id"),
        "{error}"
    );
    std::fs::remove_file(&generation).unwrap();
    common::edit_config(path, |config| {
        config.as_object_mut().unwrap().remove("eos_token_id");
    });
    assert_eq!(named(), Ok(vec![]));
}
