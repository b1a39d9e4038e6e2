//! Keys of stores and fingerprints of tokenizers: everything that determines ids counts.

use collimate_core::Json;
use collimate_data::{
    AnswerEnd, ChatFallback, ChatOptions, OnRewrittenPrompt, SpecialTokenIds, StoreKey,
    TextTokenizer, TokenizerOptions,
};
use tokenizers::models::unigram::Unigram;
use tokenizers::{AddedToken, ModelWrapper, PreTokenizerWrapper, Tokenizer};

use super::*;

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}\
                        {% if thinks %}<think>{% endif %}{{ tools }}";

const NO_BOS: SpecialTokenIds = SpecialTokenIds {
    bos: None,
    eos: 0,
    pad: None,
};

const SPECIAL: SpecialTokenIds = SpecialTokenIds {
    bos: Some(2),
    ..NO_BOS
};

type Cases = Vec<(&'static str, TextTokenizer)>;

/// A tokenizer with a special token, `<end>`.
fn inner() -> Tokenizer {
    let mut inner = texts::tokenizer().inner().clone();
    let end = AddedToken::from("<end>", true);
    inner.add_special_tokens([end]).unwrap();
    inner
}

fn of(inner: Tokenizer, special: SpecialTokenIds, template: Option<&str>) -> TextTokenizer {
    TextTokenizer::new(inner, special, template).unwrap()
}

fn base() -> TextTokenizer {
    of(inner(), SPECIAL, Some(TEMPLATE))
}

/// Changes of the tokenizer itself.
fn inner_tokenizers() -> Cases {
    let edited = |change: &dyn Fn(&mut Tokenizer)| {
        let mut inner = inner();
        change(&mut inner);
        of(inner, SPECIAL, Some(TEMPLATE))
    };
    let pre_tokenizer = edited(&|inner| {
        inner.with_pre_tokenizer(None::<PreTokenizerWrapper>);
    });
    let added = edited(&|inner| {
        let new = AddedToken::from("new", false);
        inner.add_tokens([new]).unwrap();
    });
    let unigram = |alpha, size| {
        let vocab = vec![("<unk>".to_owned(), 0.0), ("a".to_owned(), -1.0)];
        let mut model = Unigram::from(vocab, Some(0), false).unwrap();
        (model.alpha, model.nbest_size) = (alpha, size);
        of(Tokenizer::new(ModelWrapper::Unigram(model)), NO_BOS, None)
    };
    vec![
        ("pre-tokenizer", pre_tokenizer),
        ("added token", added),
        (
            "special",
            edited(&|inner| inner.set_encode_special_tokens(true)),
        ),
        ("unigram", unigram(None, None)),
        ("sampling", unigram(Some(0.1), None)),
        ("best", unigram(Some(0.1), Some(3))),
    ]
}

/// Changes of the settings of a tokenizer.
fn settings() -> Cases {
    let fail = OnRewrittenPrompt::Fail;
    let ids = |bos, eos| {
        let special = SpecialTokenIds {
            bos,
            eos,
            pad: None,
        };
        of(inner(), special, Some(TEMPLATE))
    };
    let plain = || of(inner(), SPECIAL, None);
    vec![
        ("base", base()),
        ("bos", ids(Some(3), 0)),
        ("no bos", ids(None, 0)),
        ("eos", ids(Some(2), 1)),
        ("no template", plain()),
        ("fallback", plain().with_chat_fallback(ChatFallback::Plain)),
        ("template", of(inner(), SPECIAL, Some("{{ messages }}"))),
        ("end", base().with_answer_end(AnswerEnd::EveryAnswer)),
        ("rewritten", base().with_on_rewritten_prompt(fail)),
        ("prompt of 7", base().with_max_prompt_length(Some(7))),
        ("prompt of 8", base().with_max_prompt_length(Some(8))),
    ]
}

fn dated(date: &str) -> ChatOptions {
    ChatOptions {
        date: Some(date.to_owned()),
        ..ChatOptions::default()
    }
}

/// Changes of the variables of the template.
fn variables() -> Cases {
    let chat = |chat| base().with_chat_options(chat).unwrap();
    let thinks = |value| {
        chat(ChatOptions {
            template_kwargs: vec![("thinks".to_owned(), Json::Bool(value))],
            ..ChatOptions::default()
        })
    };
    let tools = |names: &[&str]| {
        chat(ChatOptions {
            tools: Some(names.iter().map(|name| Json::from(*name)).collect()),
            ..ChatOptions::default()
        })
    };
    vec![
        ("thinks", thinks(true)),
        ("does not think", thinks(false)),
        ("no tools", tools(&[])),
        ("tools", tools(&["add"])),
        ("date", chat(dated("2025-01-31"))),
        ("other date", chat(dated("2025-02-01"))),
    ]
}

/// A tokenizer of a new folder with a further file.
fn from_folder(file: Option<(&str, Value)>, eos_token: Option<&str>) -> TextTokenizer {
    let dir = TempDir::new().unwrap();
    of(inner(), NO_BOS, Some(TEMPLATE))
        .save(dir.path())
        .unwrap();
    if let Some((name, value)) = file {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    let options = TokenizerOptions {
        eos_token: eos_token.map(str::to_owned),
        ..TokenizerOptions::default()
    };
    TextTokenizer::from_folder_with(dir.path(), &options).unwrap()
}

/// Changes of the files of a folder.
fn folders() -> Cases {
    let with = |name, value| from_folder(Some((name, value)), None);
    let ends = json!({"eos_token_id": [0, 7]});
    vec![
        ("end tokens", with("generation_config.json", ends)),
        (
            "known tokens",
            with("config.json", json!({"vocab_size": 6})),
        ),
        (
            "variable",
            with("special_tokens_map.json", json!({"sep_token": "a"})),
        ),
        ("eos of the options", from_folder(None, Some("f"))),
    ]
}

#[test]
fn each_setting_that_decides_about_ids_changes_the_fingerprint() {
    let mut seen = BTreeMap::new();
    let cases = [settings(), variables(), inner_tokenizers(), folders()];
    for (name, tokenizer) in cases.into_iter().flatten() {
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
    // The folder does not count, nor do files that do not affect ids.
    let folder = || from_folder(None, None);
    let config = ("config.json", json!({"vocab_size": 100, "hidden_size": 4}));
    same(&folder(), &folder());
    same(&folder(), &from_folder(Some(config), None));
    same(&folder(), &of(inner(), NO_BOS, Some(TEMPLATE)));
    // A vocabulary is written in one order, whatever the order of the hash map is.
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizers");
    for name in ["byte-level", "word-piece", "unigram", "metaspace-always"] {
        let path = dir.join(format!("{name}.json"));
        let open = || of(Tokenizer::from_file(&path).unwrap(), NO_BOS, None);
        same(&open(), &open());
    }
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
        key().text("atextb"),
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
