//! Keys of stores and fingerprints of tokenizers: everything that determines ids counts.

use std::path::PathBuf;

use collimate_core::Json;
use collimate_data::{
    AnswerEnd, ChatFallback, ChatOptions, OnRewrittenPrompt, SpecialTokenIds, StoreKey,
    TextTokenizer, TokenizerOptions,
};
use tokenizers::models::unigram::Unigram;
use tokenizers::{AddedToken, ModelWrapper, Tokenizer};

use super::*;

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}\
                        {% if thinks %}<think>{% endif %}{{ tools }}";

/// A tokenizer with a special token, `<end>`.
fn inner() -> Tokenizer {
    let mut inner = texts::tokenizer().inner().clone();
    inner
        .add_special_tokens([AddedToken::from("<end>", true)])
        .unwrap();
    inner
}

const SPECIAL: SpecialTokenIds = SpecialTokenIds {
    bos: Some(2),
    eos: 0,
    pad: None,
};

fn of(inner: Tokenizer, special: SpecialTokenIds, template: Option<&str>) -> TextTokenizer {
    TextTokenizer::new(inner, special, template).unwrap()
}

fn base() -> TextTokenizer {
    of(inner(), SPECIAL, Some(TEMPLATE))
}

/// Adds a change to the tokenizer itself.
fn edited(change: impl FnOnce(&mut Tokenizer)) -> TextTokenizer {
    let mut inner = inner();
    change(&mut inner);
    of(inner, SPECIAL, Some(TEMPLATE))
}

fn with_chat(chat: ChatOptions) -> TextTokenizer {
    base().with_chat_options(chat).unwrap()
}

fn thinks(value: bool) -> ChatOptions {
    ChatOptions {
        template_kwargs: vec![("thinks".to_owned(), Json::Bool(value))],
        ..ChatOptions::default()
    }
}

fn tools(names: &[&str]) -> ChatOptions {
    ChatOptions {
        tools: Some(names.iter().map(|name| Json::from(*name)).collect()),
        ..ChatOptions::default()
    }
}

fn dated(date: &str) -> ChatOptions {
    ChatOptions {
        date: Some(date.to_owned()),
        ..ChatOptions::default()
    }
}

/// A tokenizer of a folder with further files.
fn from_folder(
    dir: &TempDir,
    further: &[(&str, Value)],
    options: TokenizerOptions,
) -> TextTokenizer {
    texts::tokenizer().save(dir.path()).unwrap();
    for (name, value) in further {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    TextTokenizer::from_folder_with(dir.path(), &options).unwrap()
}

#[test]
fn each_setting_that_decides_about_ids_changes_the_fingerprint() {
    let special = |bos, eos| {
        of(
            inner(),
            SpecialTokenIds {
                bos,
                eos,
                pad: None,
            },
            Some(TEMPLATE),
        )
    };
    let unigram = |alpha, size| {
        let vocab = vec![("<unk>".to_owned(), 0.0), ("a".to_owned(), -1.0)];
        let mut model = Unigram::from(vocab, Some(0), false).unwrap();
        (model.alpha, model.nbest_size) = (alpha, size);
        let inner = Tokenizer::new(ModelWrapper::Unigram(model));
        of(
            inner,
            SpecialTokenIds {
                bos: None,
                eos: 0,
                pad: None,
            },
            None,
        )
    };
    let dir = TempDir::new().unwrap();
    let folder =
        |further: &[(&str, Value)]| from_folder(&dir, further, TokenizerOptions::default());
    let tokenizers = [
        ("base", base()),
        ("without template", of(inner(), SPECIAL, None)),
        ("template", of(inner(), SPECIAL, Some("{{ messages }}"))),
        (
            "fallback",
            of(inner(), SPECIAL, None).with_chat_fallback(ChatFallback::Plain),
        ),
        ("bos", special(Some(3), 0)),
        ("no bos", special(None, 0)),
        ("eos", special(Some(2), 1)),
        ("answer end", base().with_answer_end(AnswerEnd::EveryAnswer)),
        (
            "rewritten",
            base().with_on_rewritten_prompt(OnRewrittenPrompt::Fail),
        ),
        ("prompt length", base().with_max_prompt_length(Some(7))),
        (
            "other prompt length",
            base().with_max_prompt_length(Some(8)),
        ),
        ("thinks", with_chat(thinks(true))),
        ("does not think", with_chat(thinks(false))),
        ("no tools", with_chat(tools(&[]))),
        ("tools", with_chat(tools(&["add"]))),
        ("date", with_chat(dated("2025-01-31"))),
        ("other date", with_chat(dated("2025-02-01"))),
        (
            "pre-tokenizer",
            edited(|inner| {
                inner.with_pre_tokenizer(None::<tokenizers::PreTokenizerWrapper>);
            }),
        ),
        (
            "added token",
            edited(|inner| {
                inner.add_tokens([AddedToken::from("new", false)]).unwrap();
            }),
        ),
        (
            "special texts",
            edited(|inner| inner.set_encode_special_tokens(true)),
        ),
        ("unigram", unigram(None, None)),
        ("sampling", unigram(Some(0.1), None)),
        ("best", unigram(Some(0.1), Some(3))),
        ("folder", folder(&[])),
        (
            "ends",
            folder(&[("generation_config.json", json!({"eos_token_id": [0, 7]}))]),
        ),
        (
            "known",
            folder(&[
                ("generation_config.json", json!({})),
                ("config.json", json!({"vocab_size": 6})),
            ]),
        ),
        (
            "eos of the options",
            from_folder(
                &dir,
                &[("config.json", json!({}))],
                TokenizerOptions {
                    eos_token: Some("f".to_owned()),
                    ..TokenizerOptions::default()
                },
            ),
        ),
    ];
    let mut seen = BTreeMap::new();
    for (name, tokenizer) in tokenizers {
        let before = seen.insert(tokenizer.fingerprint().unwrap(), name);
        assert_eq!(before, None, "{name}");
    }
}

#[test]
fn the_same_settings_have_the_same_fingerprint() {
    let same = |a: &TextTokenizer, b: &TextTokenizer| {
        assert_eq!(a.fingerprint().unwrap(), b.fingerprint().unwrap());
    };
    same(&base(), &base());
    same(&base(), &base().clone());
    // The folder does not count, nor do files that do not affect ids.
    let [one, two] = [(); 2].map(|()| TempDir::new().unwrap());
    let config = ("config.json", json!({"vocab_size": 100, "hidden_size": 4}));
    let options = TokenizerOptions::default;
    same(
        &from_folder(&one, &[], options()),
        &from_folder(&two, &[config], options()),
    );
    // Every order of the vocabulary is written in the same way, whatever the hash maps do.
    for name in fs::read_dir(tokenizers_dir()).unwrap() {
        let path = name.unwrap().path();
        if path.file_name().unwrap() == "trl.json" || path.extension().unwrap() != "json" {
            continue;
        }
        let open = || {
            let special = SpecialTokenIds {
                bos: None,
                eos: 0,
                pad: None,
            };
            TextTokenizer::new(Tokenizer::from_file(&path).unwrap(), special, None).unwrap()
        };
        same(&open(), &open());
    }
}

fn tokenizers_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizers")
}

#[test]
fn a_template_that_writes_the_date_has_the_fingerprint_of_the_day() {
    let template = "{{ strftime_now('%Y-%m-%d') }}";
    let tokenizer = of(inner(), SPECIAL, Some(template));
    // The test may run at midnight.
    let day = || tokenizer.chat_text(&[], true).unwrap();
    let (before, fingerprint, behind) = (day(), tokenizer.fingerprint().unwrap(), day());
    let days = [before, behind].map(|day| {
        let dated = tokenizer.clone().with_chat_options(dated(&day)).unwrap();
        dated.fingerprint().unwrap()
    });
    assert!(days.contains(&fingerprint));
}

#[test]
fn parts_of_a_key_do_not_run_together() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a"), "ab").unwrap();
    fs::write(path("b"), "abc").unwrap();
    let key = || StoreKey::new("pairs");
    let digest = blake3::hash(b"ab").to_hex();
    let keys = [
        key(),
        StoreKey::new("examples"),
        key().text(""),
        key().text("ab"),
        key().text("a").text("b"),
        key().text("b").text("a"),
        key().text("").text("ab"),
        key().text(&digest),
        key().file(path("a")).unwrap(),
        key().file(path("b")).unwrap(),
        key().file(path("a")).unwrap().file(path("b")).unwrap(),
        key().file(path("b")).unwrap().file(path("a")).unwrap(),
        key().tokenizer(&base()).unwrap(),
        key().text(&base().fingerprint().unwrap()),
    ];
    let mut keys: Vec<String> = keys.into_iter().map(StoreKey::finish).collect();
    assert!(keys.iter().all(|key| key.len() == 64));
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn the_bytes_of_a_file_count_and_not_its_name() {
    let dir = TempDir::new().unwrap();
    let key = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        StoreKey::new("pairs").file(path).unwrap().finish()
    };
    // More than one block.
    let mut bytes = vec![7; (2 << 20) + 1];
    let first = key("first", &bytes);
    assert_eq!(key("second", &bytes), first);
    *bytes.last_mut().unwrap() = 8;
    assert_ne!(key("first", &bytes), first);
    assert_ne!(key("first", &bytes[1..]), first);
    let missing = StoreKey::new("pairs").file(dir.path().join("none"));
    assert!(matches!(missing, Err(DataError::Missing { .. })));
    let folder = StoreKey::new("pairs").file(dir.path());
    assert!(matches!(folder, Err(DataError::Store { .. })));
}
