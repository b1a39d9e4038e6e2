//! Adapters of PEFT: the same numbers as PEFT, read from its folders and written again.

use collimate_nn::{AdapterBase, LoadError, SaveError, SaveOptions};

use super::*;

const FOLDERS: [&str; 11] = [
    "encoder", "gpt2", "heads", "layers", "mean", "neox", "over", "patterns", "qwen3", "rslora",
    "subset",
];

/// The largest relative error of f32 against the f64 numbers of PEFT.
const CLOSE: f64 = 1e-5;

fn adapter(name: &str) -> PathBuf {
    fixtures().join("peft").join(name)
}

/// A model of one of the tasks of PEFT.
#[derive(Clone)]
enum Model {
    Causal(Llama),
    Score(Llama, ScalarHead),
    Encoder(Encoder, ScalarHead, Pooling),
    States(Encoder),
}

impl Model {
    fn read(name: &str, dir: &Path, device: &Device) -> Result<Self, LoadError> {
        Ok(match name {
            "heads" => {
                let parts = Llama::load_reward(dir, device)?;
                Self::Score(parts.backbone, parts.head.expect("a head"))
            }
            "encoder" => {
                let parts = Encoder::load_reward(dir, device)?;
                Self::Encoder(parts.backbone, parts.head.expect("a head"), parts.pooling)
            }
            "mean" => Self::States(Encoder::load(dir, device)?),
            _ => Self::Causal(Llama::load(dir, device)?),
        })
    }

    fn save(&self, base: &AdapterBase<'_>, dir: &Path) -> Result<(), SaveError> {
        let options = SaveOptions::default();
        match self {
            Self::Causal(model) => model.save_adapter(base, &options, dir),
            Self::Score(model, head) => {
                model.save_reward_adapter(head, Pooling::LastToken, base, &options, dir)
            }
            Self::Encoder(model, head, pooling) => {
                model.save_reward_adapter(head, *pooling, base, &options, dir)
            }
            Self::States(model) => model.save_adapter(base, &options, dir),
        }
    }

    fn save_whole(&self, dir: &Path) {
        let options = saved(Some(0), 64);
        match self {
            Self::Causal(model) => model.save(dir),
            Self::Score(model, head) => model.save_reward(head, Pooling::LastToken, &options, dir),
            Self::Encoder(model, head, pooling) => model.save_reward(head, *pooling, &options, dir),
            Self::States(model) => model.save(dir),
        }
        .unwrap();
    }

    fn values(&self, ids: &[u32]) -> Vec<f32> {
        fn last<B: Backbone>(model: &B, ids: &[u32]) -> Tensor<2> {
            let batch = common::rows_batch(model, &[ids.to_vec()]);
            pool(
                model.hidden(&batch, Forward::EVAL),
                &batch,
                Pooling::LastToken,
            )
        }
        match self {
            Self::Causal(model) => {
                let batch = common::rows_batch(model, &[ids.to_vec()]);
                let hidden = model.hidden_at(&batch, &batch.sources(), Forward::EVAL);
                host(&token_logps(hidden, model.output_head(), &batch))
            }
            Self::Score(model, head) => host(&head.forward(last(model, ids))),
            Self::Encoder(model, head, pooling) => {
                let batch = common::rows_batch(model, &[ids.to_vec()]);
                let pooled = collimate_nn::pooled(model, &batch, *pooling, Forward::EVAL);
                let rows = collimate_nn::RowForward::new(Forward::EVAL, None);
                host(&head.forward(model.project(pooled, rows)))
            }
            Self::States(model) => host(&last(model, ids)),
        }
    }

    fn check(&self, what: &str, expected: &Value) -> f64 {
        let mut worst = Worst::default();
        for row in list(expected, "rows") {
            let found = self.values(&ids(&row["ids"]));
            worst.see(what, &found, &numbers(&row["values"]));
        }
        assert!(worst.0 < CLOSE, "{what}: {:e}", worst.0);
        worst.0
    }
}

/// Returns the base model's folder of a fixture: the weights under its adapters.
fn base_of(name: &str) -> PathBuf {
    let config = json(&adapter(name).join("adapter_config.json"));
    let base = adapter(name).join(config["base_model_name_or_path"].as_str().unwrap());
    base.canonicalize().unwrap()
}

#[test]
fn folders_of_peft_and_folders_written_here() {
    for (device_name, device) in plain_devices() {
        for name in FOLDERS {
            let what = format!("{name} on {device_name}");
            let expected = json(&adapter(name).join("expected.json"));
            let model = Model::read(name, &adapter(name), &device).unwrap();
            let read = model.check(&what, &expected);
            // The base model gives other numbers, so the adapter is what is compared.
            let plain = Model::read(name, &base_of(name), &device).unwrap();
            let first = &list(&expected, "rows")[0];
            let wanted = numbers(&first["values"]);
            let differs = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() > 1e-3;
            let found = plain.values(&ids(&first["ids"]));
            assert!(found.iter().zip(&wanted).any(differs), "{what}: no effect");

            let out = tempfile::tempdir().unwrap();
            let base = base_of(name);
            let base = AdapterBase {
                dir: &base,
                name: base.to_str().unwrap(),
                revision: None,
            };
            model.save(&base, out.path()).unwrap();
            let again = Model::read(name, out.path(), &device).unwrap();
            let written = again.check(&format!("{what}, written again"), &expected);
            println!("{what}: read {read:.1e}, written {written:.1e}");
            // For tests/fixtures/check_saved_adapter.py.
            if let Some(kept) = std::env::var_os("COLLIMATE_PEFT_SAVED").map(PathBuf::from) {
                model.save(&base, &kept.join(name)).unwrap();
                model.save_whole(&kept.join(format!("{name}-whole")));
            }
        }
    }
}

#[test]
fn an_adapter_over_an_adapter_is_one_adapter_for_the_innermost_base() {
    let device = collimate_testkit::flex().without_autodiff();
    let model = Llama::load(&adapter("over"), &device).unwrap();
    let out = tempfile::tempdir().unwrap();
    let base = AdapterBase {
        dir: &adapter("patterns"),
        name: "not used",
        revision: None,
    };
    let options = SaveOptions::default();
    model.save_adapter(&base, &options, out.path()).unwrap();
    let config = json(&out.path().join("adapter_config.json"));
    // q_proj has 6 and 2 ranks, k_proj and o_proj have 4 and 2, down_proj has 2.
    let named = Path::new(config["base_model_name_or_path"].as_str().unwrap());
    assert_eq!(named, fixture("llama-untied").canonicalize().unwrap());
    let q = config["rank_pattern"]["model\\.layers\\.0\\.self_attn\\.q_proj"].as_u64();
    assert_eq!(q, Some(8), "{config}");
}

#[test]
fn a_model_that_was_trained_in_full_is_no_adapter() {
    let device = collimate_testkit::flex().without_autodiff();
    let base = fixture("llama-untied");
    let base = AdapterBase {
        dir: &base,
        name: "base",
        revision: None,
    };
    let refused = |model: &Llama, part: &str| {
        let out = tempfile::tempdir().unwrap();
        let error = model.save_adapter(&base, &SaveOptions::default(), out.path());
        let text = error.expect_err("no adapter").to_string();
        assert!(text.contains(part), "{text}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    };
    let plain = Llama::load(base.dir, &device).unwrap();
    refused(&plain, "no adapter was trained");
    let model = Llama::load(&adapter("patterns"), &device).unwrap();
    for changed in [
        "model.norm.weight",
        "model.layers.0.self_attn.v_proj.weight",
    ] {
        let other = common::changed(&model, |path, values| {
            if path == changed {
                values[3] += 1e-4;
            }
        });
        refused(&other, changed);
    }
}

/// Copies an adapter, with an absolute path of its base model, and changes its options.
fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = copy(&adapter(name));
    let path = dir.path().join("adapter_config.json");
    let mut config = json(&path);
    config["base_model_name_or_path"] = base_of(name).to_str().unwrap().into();
    edit(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    dir
}

#[test]
fn options_that_change_the_function_are_refused_by_name() {
    let device = collimate_testkit::flex().without_autodiff();
    let on = Value::Bool(true);
    let cases: [(&str, Value, &str); 14] = [
        ("use_dora", on.clone(), "use_dora"),
        ("lora_bias", on.clone(), "lora_bias"),
        ("use_qalora", on.clone(), "use_qalora"),
        ("bias", "all".into(), "bias"),
        ("peft_type", "IA3".into(), "IA3"),
        ("init_lora_weights", "pissa_niter_4".into(), "pissa"),
        (
            "layer_replication",
            serde_json::json!([[0, 1]]),
            "layer_replication",
        ),
        (
            "trainable_token_indices",
            serde_json::json!([1]),
            "trainable_token_indices",
        ),
        (
            "target_parameters",
            serde_json::json!(["w"]),
            "target_parameters",
        ),
        ("use_newest_thing", on, "use_newest_thing"),
        ("r", 5.into(), "lora_A.weight has shape"),
        (
            "target_modules",
            serde_json::json!(["q_proj"]),
            "target_modules leaves out",
        ),
        ("target_modules", "(".into(), "regular expression"),
        (
            "rank_pattern",
            serde_json::json!({"q_proj": 3, "0.self_attn.q_proj": 6}),
            "single pattern",
        ),
    ];
    for (key, value, part) in cases {
        let dir = edited("patterns", |config| config[key] = value.clone());
        let error = Llama::load(dir.path(), &device).expect_err(key);
        let text = error.to_string();
        assert!(
            text.contains(part) && !text.contains('\n'),
            "{key} = {value}: {text}"
        );
    }
    // These options change nothing after training.
    for (key, value) in [
        ("lora_dropout", 0.5.into()),
        ("inference_mode", Value::Bool(false)),
    ] {
        let dir = edited("patterns", |config| config[key] = value);
        Llama::load(dir.path(), &device).unwrap();
    }
}

#[test]
fn a_folder_that_does_not_fit_its_base_is_named() {
    let device = collimate_testkit::flex().without_autodiff();
    let base = |folder: &str| fixture(folder).to_str().unwrap().to_owned();
    let cases = [
        (base("qwen3-window"), "has shape"),
        ("elsewhere/base".to_owned(), "elsewhere/base is neither"),
        (String::new(), "base_model_name_or_path"),
    ];
    for (value, part) in cases {
        let dir = edited("patterns", |config| {
            config["base_model_name_or_path"] = value.clone().into();
        });
        let error = Llama::load(dir.path(), &device).expect_err(&value);
        let text = error.to_string();
        assert!(
            text.contains(part) && !text.contains('\n'),
            "{value}: {text}"
        );
    }
    let dir = edited("patterns", |_| {});
    let own = dir.path().to_str().unwrap().to_owned();
    let path = dir.path().join("adapter_config.json");
    let mut config = json(&path);
    config["base_model_name_or_path"] = own.into();
    std::fs::write(&path, config.to_string()).unwrap();
    let text = Llama::load(dir.path(), &device).expect_err("a circle");
    assert!(text.to_string().contains("own folder"), "{text}");
    let dir = edited("patterns", |_| {});
    std::fs::remove_file(dir.path().join("adapter_model.safetensors")).unwrap();
    let text = Llama::load(dir.path(), &device).expect_err("no tensors");
    assert!(
        text.to_string().contains("adapter_model.safetensors"),
        "{text}"
    );
}

#[test]
fn an_adapter_over_a_sentence_encoder_keeps_its_modules() {
    let device = collimate_testkit::flex().without_autodiff();
    // A base model with CLS pooling: the default of the class is the mean.
    let base = copy(&base_of("mean"));
    let pooling = base.path().join("1_Pooling");
    std::fs::create_dir_all(&pooling).unwrap();
    let cls = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
    std::fs::write(pooling.join("config.json"), cls).unwrap();
    let dir = edited("mean", |config| {
        config["base_model_name_or_path"] = base.path().to_str().unwrap().into();
    });
    let parts = Encoder::load_reward(dir.path(), &device).unwrap();
    assert_eq!(parts.pooling, Pooling::Cls);
}

#[test]
fn a_head_is_written_under_the_names_of_its_modules() {
    let device = collimate_testkit::flex().without_autodiff();
    let model = Model::read("encoder", &adapter("encoder"), &device).unwrap();
    let base = base_of("encoder");
    let base = AdapterBase {
        dir: &base,
        name: "org/base",
        revision: Some("v2"),
    };
    let out = tempfile::tempdir().unwrap();
    model.save(&base, out.path()).unwrap();
    let config = json(&out.path().join("adapter_config.json"));
    let modules = serde_json::json!(["classifier", "bert.pooler.dense"]);
    assert_eq!(config["modules_to_save"], modules, "{config}");
    assert_eq!(config["revision"], "v2");
    // Whole weights and an adapter do not share a folder.
    let options = SaveOptions::default();
    let Model::Encoder(encoder, head, _) = &model else {
        panic!("a classifier");
    };
    let error = encoder.save_reward(head, Pooling::Cls, &options, out.path());
    let text = error.expect_err("an adapter is there").to_string();
    assert!(text.contains("adapter_config.json"), "{text}");
    // Another pooling than that of the base model has no place in the folder.
    let other = tempfile::tempdir().unwrap();
    let error = encoder.save_reward_adapter(head, Pooling::Mean, &base, &options, other.path());
    let text = error.expect_err("another pooling").to_string();
    assert!(text.contains("pooling"), "{text}");
}

#[test]
fn a_circle_of_adapters_is_an_error_of_one_line() {
    let [a, b] = [edited("patterns", |_| {}), edited("patterns", |_| {})];
    for (dir, other) in [(&a, &b), (&b, &a)] {
        let path = dir.path().join("adapter_config.json");
        let mut config = json(&path);
        config["base_model_name_or_path"] = other.path().to_str().unwrap().into();
        std::fs::write(&path, config.to_string()).unwrap();
    }
    let device = collimate_testkit::flex().without_autodiff();
    let model = Llama::load(a.path(), &device)
        .expect_err("a circle")
        .to_string();
    let tokenizer = collimate_data::TextTokenizer::from_folder(a.path());
    let tokenizer = tokenizer.expect_err("a circle").to_string();
    for text in [model, tokenizer] {
        assert!(text.contains("circle") && !text.contains('\n'), "{text}");
    }
}
