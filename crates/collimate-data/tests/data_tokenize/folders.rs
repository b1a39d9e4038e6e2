//! Reading and writing of tokenizer folders.

use super::*;

#[test]
fn a_saved_folder_opens_again() {
    let dir = TempDir::new().unwrap();
    let t = TextTokenizer::new(inner(), special(), Some(TEMPLATE)).unwrap();
    t.save(dir.path()).unwrap();
    let config = fs::read_to_string(dir.path().join("tokenizer_config.json")).unwrap();
    assert!(config.contains("PreTrainedTokenizerFast"));
    let back = TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(
        (back.special(), back.vocab_size()),
        (special(), WORDS.len())
    );
    assert_eq!(back.chat_template().unwrap().source(), TEMPLATE);
    let pair = PreferencePair::new(chat(&[(Role::User, "a")]), "d", "e f");
    assert_eq!(
        encode(&back, &pair, 64, Truncation::KeepEnd),
        encode(&t, &pair, 64, Truncation::KeepEnd)
    );
}

/// BOS is the token that the tokenizer writes before a text, as in `transformers`. A token that is
/// only named `bos_token` is not written.
#[test]
fn a_bos_token_is_written_only_by_a_tokenizer_that_writes_one() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let config = r#"{"bos_token":"<s>","eos_token":"</s>","add_bos_token":true}"#;
    fs::write(at("tokenizer_config.json"), config).unwrap();
    let mut bare = inner();
    bare.with_post_processor(None::<PostProcessorWrapper>);
    bare.save(at("tokenizer.json"), false).unwrap();
    let load = || TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(load().special().bos, None);
    assert_eq!(load().encode_prompt(&"a".into()).unwrap(), vec![7]);
    inner().save(at("tokenizer.json"), false).unwrap();
    assert_eq!(load().encode_prompt(&"a".into()).unwrap(), vec![BOS, 7]);
    // A saved folder stores BOS where every library reads it.
    for bos in [None, Some(BOS)] {
        let special = SpecialTokenIds { bos, ..special() };
        let t = TextTokenizer::new(bare.clone(), special, None).unwrap();
        t.save(dir.path()).unwrap();
        assert_eq!(load().special(), special);
        let saved = Tokenizer::from_file(at("tokenizer.json")).unwrap();
        let ids = saved.encode("a", true).unwrap().get_ids().to_vec();
        assert_eq!(ids, t.encode_prompt(&"a".into()).unwrap());
    }
    let options = TokenizerOptions {
        bos_token: Some("<|user|>".into()),
        ..Default::default()
    };
    let t = TextTokenizer::from_folder_with(dir.path(), &options).unwrap();
    assert_eq!(t.encode_prompt(&"a".into()).unwrap(), vec![4, 7]);
    // More than one token on a side is refused.
    let post = TemplateProcessing::builder()
        .try_single("<s> <|user|> $A")
        .unwrap()
        .special_tokens(vec![("<s>", BOS), ("<|user|>", 4)])
        .build()
        .unwrap();
    bare.with_post_processor(Some(post));
    bare.save(at("tokenizer.json"), false).unwrap();
    let error = TextTokenizer::from_folder(dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("writes 2 tokens before a text"), "{error}");
}

/// An answer ends with EOS or another end token of the model's files, and gets no second end.
#[test]
fn further_end_tokens_end_an_answer() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut tokenizer = inner();
    tokenizer.with_post_processor(None::<PostProcessorWrapper>);
    tokenizer.save(at("tokenizer.json"), false).unwrap();
    fs::write(at("tokenizer_config.json"), r#"{"eos_token":"</s>"}"#).unwrap();
    let answer = |text: &str| {
        let t = TextTokenizer::from_folder(dir.path()).unwrap();
        let pair = PreferencePair::new("a", text, "b");
        encode(&t, &pair, 64, Truncation::KeepEnd).1
    };
    assert_eq!(answer("c <|end|>"), vec![9, 6, EOS]);
    fs::write(at("config.json"), r#"{"eos_token_id":[2,6]}"#).unwrap();
    assert_eq!(answer("c <|end|>"), vec![9, 6]);
    assert_eq!(answer("c"), vec![9, EOS]);
    // The lists of both files count.
    let list = |ids: &str| {
        let text = format!(r#"{{"eos_token_id":{ids}}}"#);
        fs::write(at("generation_config.json"), text).unwrap();
    };
    list("2");
    assert_eq!(answer("c <|end|>"), vec![9, 6]);
    fs::write(at("config.json"), r#"{"eos_token_id":2}"#).unwrap();
    assert_eq!(answer("c <|end|>"), vec![9, 6, EOS]);
    list("[2, 6]");
    assert_eq!(answer("c <|end|>"), vec![9, 6]);
    let t = TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(t.end_tokens(), [EOS, 6]);
    // A template that ends its turns with the other token, and a line break after it.
    let template = "{% for m in messages %}{{ m.role ~ ' ' ~ m.content ~ ' <|end|>\n' }}{% endfor %}{% if add_generation_prompt %}assistant{% endif %}";
    fs::write(at("chat_template.jinja"), template).unwrap();
    let t = TextTokenizer::from_folder(dir.path()).unwrap();
    let pair = PreferencePair::new(chat(&[(Role::User, "a")]), "c", "d");
    assert_eq!(encode(&t, &pair, 64, Truncation::KeepEnd).1, vec![9, 6]);
}

#[test]
fn a_saved_folder_keeps_what_the_folder_says_beside_its_class() {
    let dir = TempDir::new().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    inner().save(from.join("tokenizer.json"), false).unwrap();
    let config = r#"{"eos_token":"</s>","tokenizer_class":"Own","auto_map":{"x":"y"},
        "extra_special_tokens":{"image":"<unk>"},"split_special_tokens":false,"made_up":[1],
        "chat_template":[{"name":"default","template":"x"},{"name":"tool_use","template":"y"}]}"#;
    fs::write(from.join("tokenizer_config.json"), config).unwrap();
    TextTokenizer::from_folder(&from)
        .unwrap()
        .save(&to)
        .unwrap();
    let read = |dir: &std::path::Path| -> serde_json::Value {
        let text = fs::read_to_string(dir.join("tokenizer_config.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (mut before, mut after) = (read(&from), read(&to));
    assert_eq!(after["tokenizer_class"], "PreTrainedTokenizerFast");
    for value in [&mut before, &mut after] {
        let map = value.as_object_mut().unwrap();
        for name in [
            "tokenizer_class",
            "auto_map",
            "clean_up_tokenization_spaces",
        ] {
            map.remove(name);
        }
    }
    assert_eq!(before, after);
}

/// Plain texts need no template, so a template that does not compile does not prevent loading.
#[test]
fn a_template_that_does_not_compile_is_refused_where_it_is_rendered() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    inner().save(at("tokenizer.json"), false).unwrap();
    fs::write(at("tokenizer_config.json"), r#"{"eos_token":"</s>"}"#).unwrap();
    fs::write(at("chat_template.jinja"), "{% unheard %}").unwrap();
    let t = TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(t.encode_prompt(&"a".into()).unwrap(), vec![BOS, 7]);
    let error = t.encode_prompt(&chat(&[(Role::User, "a")])).unwrap_err();
    assert!(error.to_string().contains("unheard"), "{error}");
    let to = at("saved");
    t.save(&to).unwrap();
    let again = TextTokenizer::from_folder(&to).unwrap();
    assert_eq!(again.chat_template().unwrap().source(), "{% unheard %}");
    // A template given by the user must compile.
    let options = TokenizerOptions {
        chat_template: Some("{% unheard %}".into()),
        ..Default::default()
    };
    assert!(TextTokenizer::from_folder_with(dir.path(), &options).is_err());
}

#[test]
fn special_tokens_of_a_folder() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let load = || TextTokenizer::from_folder(dir.path());
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("no tokenizer.json")
    );
    assert!(
        TextTokenizer::from_folder(at("none"))
            .unwrap_err()
            .to_string()
            .contains("no such folder")
    );
    // Without a named end token, and without a token after every text, there is no EOS.
    let mut bare = inner();
    bare.with_post_processor(None::<PostProcessorWrapper>);
    bare.save(at("tokenizer.json"), false).unwrap();
    assert!(load().unwrap_err().to_string().contains("eos_token"));
    let bert = SpecialTokenIds {
        pad: None,
        ..special()
    };
    inner().save(at("tokenizer.json"), false).unwrap();
    assert_eq!(load().unwrap().special(), bert);
    let map = r#"{"cls_token":{"content":"<s>"},"sep_token":"</s>"}"#;
    fs::write(at("special_tokens_map.json"), map).unwrap();
    assert_eq!(load().unwrap().special(), bert);

    let config = |text: &str| fs::write(at("tokenizer_config.json"), text).unwrap();
    config(
        r#"{"eos_token":"<|end|>","bos_token":"<s>","add_bos_token":false,"pad_token":"<pad>","chat_template":[{"name":"tool_use","template":"x"},{"name":"default","template":"y"}]}"#,
    );
    let t = load().unwrap();
    assert_eq!(
        t.special(),
        SpecialTokenIds {
            // The tokenizer writes BOS, whatever `add_bos_token` says.
            bos: Some(BOS),
            eos: 6,
            pad: Some(0)
        }
    );
    assert_eq!(t.chat_template().unwrap().source(), "y");
    fs::write(at("chat_template.jinja"), "z").unwrap();
    assert_eq!(load().unwrap().chat_template().unwrap().source(), "z");

    config(r#"{"eos_token":"</s>","pad_token":"</s>"}"#);
    assert_eq!(
        (load().unwrap().special().pad, load().unwrap().special().eos),
        (None, EOS)
    );
    let options = TokenizerOptions {
        pad_token: Some("<unk>".into()),
        ..Default::default()
    };
    let t = TextTokenizer::from_folder_with(dir.path(), &options).unwrap();
    assert_eq!(t.special().pad, Some(3));
    config(r#"{"eos_token":"nowhere"}"#);
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("not in the vocabulary")
    );
    config("{");
    assert!(matches!(load(), Err(DataError::Tokenizer { .. })));
    fs::write(at("tokenizer.json"), "{}").unwrap();
    assert!(load().unwrap_err().to_string().contains("not a tokenizer"));
    let pad = SpecialTokenIds {
        pad: Some(EOS),
        ..special()
    };
    let unpadded = TextTokenizer::new(inner(), pad, None).unwrap();
    assert_eq!(unpadded.special().pad, None);
    unpadded.save(dir.path()).unwrap();
    assert_eq!(load().unwrap().special(), unpadded.special());
    let out = SpecialTokenIds {
        eos: 999,
        ..special()
    };
    assert!(TextTokenizer::new(inner(), out, None).is_err());
}
