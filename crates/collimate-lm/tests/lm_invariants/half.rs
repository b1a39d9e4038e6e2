//! Models whose matrices are held in 16 bits.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use collimate_nn::{
    Adapters, HfFolder, HfReward, KvCache, LoadOptions, SaveOptions, StoredType, WeightType,
    set_trainable,
};
use collimate_ops::{CacheType, PackedType};

use super::*;

/// Number types of the parameters, by path.
fn types<M: Module>(model: &M) -> Vec<(String, DType)> {
    #[derive(Default)]
    struct Types(Vec<String>, Vec<(String, DType)>);
    impl ModuleVisitor for Types {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.join("."), param.val().dtype()));
        }
    }
    let mut types = Types::default();
    model.visit(&mut types);
    types.1
}

fn load<M: HfFolder>(dir: &Path, device: &Device, weights: WeightType) -> M {
    M::load(dir, LoadOptions::from(device).with_weights(weights)).unwrap()
}

/// Saves a model with a number type.
fn stored<M: HfFolder>(model: &M, dtype: StoredType) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = SaveOptions {
        dtype,
        ..SaveOptions::default()
    };
    model.save_with(&options, dir.path()).unwrap();
    dir
}

/// Returns the folder's model as f32 and with matrices of 16 bits, after a look at their types.
fn both<M: Backbone + HfFolder>(what: &str, dir: &Path, device: &Device, dtype: DType) -> [M; 2] {
    let held = load::<M>(dir, device, WeightType::Stored);
    let found = types(&held);
    for (path, found) in &found {
        let norm = path.to_lowercase().contains("norm") || path.ends_with("bias");
        assert!(!norm || *found == DType::F32, "{what}: {path} is {found:?}");
    }
    let halves = found.iter().filter(|(_, found)| *found == dtype).count();
    assert!(halves > found.len() / 4, "{what}: {found:?}");
    [load(dir, device, WeightType::F32), held]
}

fn same_states<B: Backbone>(what: &str, models: &[B; 2]) {
    let mut noise = Noise::new(9);
    let rows: Vec<_> = [4, 7, 1].iter().map(|&n| sequence(&mut noise, n)).collect();
    let [wide_states, half_states] = models.each_ref().map(|model| {
        let batch = common::rows_batch(model, &rows);
        host(&model.hidden(&batch, Forward::EVAL))
    });
    assert_close(what, &half_states, &wide(&wide_states), 1e-6);
}

const TYPES: [(StoredType, DType); 2] = [
    (StoredType::Bf16, DType::BF16),
    (StoredType::F16, DType::F16),
];

#[test]
fn the_values_of_a_folder_do_not_change() {
    let device = collimate_testkit::flex();
    for (stored_type, dtype) in TYPES {
        for (name, _, model) in decoders([("flex", device.clone())]) {
            let dir = stored(&model, stored_type);
            let models = both::<Llama>(&name, dir.path(), &device, dtype);
            same_states(&name, &models);
            // Log-probabilities, and the logits of the cache.
            let ids = vec![3, 7, 1, 20];
            let [expected, found] = models.each_ref().map(|model| {
                let batch = common::rows_batch(model, std::slice::from_ref(&ids));
                host(&completion_logps(model, &batch, Forward::EVAL))
            });
            assert_close(&name, &found, &wide(&expected), 1e-6);
            let [expected, found] = models.each_ref().map(|model| {
                let mut cache = model.new_cache(Adapters::On);
                let row = cache.push();
                let first = host(&model.extend(&[(row, &ids)], &mut cache));
                [first, host(&model.extend(&[(row, &[5])], &mut cache))].concat()
            });
            assert_close(&format!("{name}: cache"), &found, &wide(&expected), 1e-5);
        }
        let mut others = encoders(&device);
        others.push(("bert", bert(&device)));
        for (name, model) in others {
            let dir = stored(&model, stored_type);
            same_states(name, &both::<Encoder>(name, dir.path(), &device, dtype));
        }
    }
}

/// Returns the largest difference from `exact`, as a share of the largest size in `exact`.
fn relative_error(found: &[f32], exact: &[f32]) -> f32 {
    let size = exact.iter().fold(0f32, |most, logit| most.max(logit.abs()));
    let errors = found.iter().zip(exact).map(|(a, b)| (a - b).abs() / size);
    errors.fold(0f32, f32::max)
}

/// Copies of another type change the logits a little, and nothing but the cache.
#[test]
fn caches_with_rounded_weights() {
    let device = collimate_testkit::flex();
    let model = llama(&device);
    let ids = vec![3, 7, 1, 20, 5, 5, 9];
    let logits = |model: &Llama| {
        let mut cache = model.new_cache(Adapters::On);
        let row = cache.push();
        host(&model.extend(&[(row, &ids)], &mut cache))
    };
    let exact = logits(&model);
    for (packed, largest) in [(PackedType::Bf16, 0.02), (PackedType::Int8, 0.04)] {
        let rounded = model.clone().with_packed(Some(packed));
        let error = relative_error(&logits(&rounded), &exact);
        assert!(error > 1e-5 && error < largest, "{packed:?}: {error}");
        let batch = common::rows_batch(&rounded, std::slice::from_ref(&ids));
        let [expected, found] =
            [&model, &rounded].map(|model| host(&completion_logps(model, &batch, Forward::EVAL)));
        assert_eq!(found, expected);
        assert_eq!(logits(&rounded.with_packed(None)), exact);
    }
    assert_eq!(logits(&model.with_packed(Some(PackedType::F32))), exact);
}

/// Keys and values of 8 bits change the logits a little, and nothing but the cache.
#[test]
fn caches_of_8_bits() {
    let device = collimate_testkit::flex();
    let model = llama(&device);
    let ids = vec![3, 7, 1, 20, 5, 5, 9];
    let logits = |model: &Llama| {
        let mut cache = model.new_cache(Adapters::On).fresh();
        let row = cache.push();
        // Single tokens, because a prompt sees its own keys and values as they are.
        let read = |id: &u32| host(&model.extend(&[(row, &[*id])], &mut cache));
        ids.iter().flat_map(read).collect::<Vec<f32>>()
    };
    let exact = logits(&model);
    let rounded = model.clone().with_cache_type(CacheType::Int8).valid();
    let found = logits(&rounded);
    let error = relative_error(&found, &exact);
    assert!(error > 1e-5 && error < 0.02, "{error}");
    // The first token sees only itself, as it is.
    assert_eq!(found[..30], exact[..30]);
    let batch = common::rows_batch(&rounded, std::slice::from_ref(&ids));
    let [expected, found] =
        [&model, &rounded].map(|model| host(&completion_logps(model, &batch, Forward::EVAL)));
    assert_eq!(found, expected);
    assert_eq!(logits(&rounded.with_cache_type(CacheType::F32)), exact);
}

/// A folder of f32 is rounded once, like a folder that was saved as bf16.
#[test]
fn f32_is_rounded_to_bf16() {
    let device = collimate_testkit::flex();
    let model = llama(&device);
    let (rounded, exact) = (
        stored(&model, StoredType::Bf16),
        stored(&model, StoredType::F32),
    );
    let expected: Llama = load(rounded.path(), &device, WeightType::Stored);
    let found: Llama = load(exact.path(), &device, WeightType::Bf16);
    assert_eq!(types(&found), types(&expected));
    // Norms keep their values, so only matrices can be compared: those of the cache's output.
    let outputs = [&found, &expected].map(|model| host(&model.output_weight()));
    assert_eq!(outputs[0], outputs[1]);
    let kept: Llama = load(exact.path(), &device, WeightType::Stored);
    assert!(types(&kept).iter().all(|(_, dtype)| *dtype == DType::F32));
}

#[test]
fn adapters_learn_beside_frozen_matrices() {
    let device = collimate_testkit::flex();
    for (stored_type, dtype) in TYPES {
        let dir = stored(&llama(&device), stored_type);
        let lora = LoraConfig {
            rank: 3,
            dropout: 0.0,
            ..LoraConfig::default()
        };
        let models = both::<Llama>("llama", dir.path(), &device, dtype);
        let models = models.map(|model| model.with_lora(&lora, Key::new(1, "lora")).unwrap());
        let [expected, found] = models.each_ref().map(|model| {
            let batch = common::rows_batch(model, &[vec![1, 5, 6, 7]]);
            let logps = completion_logps(model, &batch, Forward::EVAL).sum();
            gradients(model, &logps.backward())
        });
        assert_eq!(found.len(), expected.len());
        assert!(found.values().any(|grad| grad.iter().any(|&g| g != 0.0)));
        for (path, grad) in &found {
            assert!(path.contains("lora"), "{path}");
            assert_close(path, grad, &wide(&expected[path]), 1e-5);
        }
        // After a training, frozen matrices stay as they are, with the adapters beside them.
        let at_rest = models.each_ref().map(|model| model.clone().settled());
        let adapters = |model: &Llama| model.clone().has_lora();
        assert_eq!(at_rest.each_ref().map(adapters), [false, true]);
        assert_eq!(types(&at_rest[1]), types(&models[1]));
        same_states("settled", &at_rest);
        let [folded, files] = [&at_rest[1], &at_rest[0]].map(|model| {
            let dir = stored(model, StoredType::F32);
            (load::<Llama>(dir.path(), &device, WeightType::F32), dir)
        });
        assert!(!adapters(&folded.0));
        same_states("saved", &[files.0, folded.0]);
        // A sum of weight and update would round the update away in 16 bits.
        let merged = models.map(Adaptable::without_adapters);
        assert!(!merged.iter().any(adapters));
        assert_eq!(types(&merged[0]), types(&merged[1]));
        same_states("merged", &merged);
    }
}

/// A matrix of 16 bits is frozen, and one that is made trainable is f32.
#[test]
fn trained_weights_are_f32() {
    let device = collimate_testkit::flex();
    let dir = stored(&llama(&device), StoredType::Bf16);
    let [exact, held] = both::<Llama>("llama", dir.path(), &device, DType::BF16);
    for parameter in parameters(&held) {
        let norm = parameter.path.contains("norm");
        assert_eq!(parameter.trainable, norm, "{}", parameter.path);
    }
    let all = set_trainable(held, |_| true);
    assert!(parameters(&all).iter().all(|parameter| parameter.trainable));
    assert_eq!(types(&all), types(&exact));
    let ids = [vec![1, 5, 6, 7]];
    let [expected, found] = [exact, all].map(|model| {
        let batch = common::rows_batch(&model, &ids);
        gradients(
            &model,
            &completion_logps(&model, &batch, Forward::EVAL)
                .sum()
                .backward(),
        )
    });
    assert_eq!(found, expected);
}

/// Saved files hold the values of the folder, in every type.
#[test]
fn what_is_held_in_16_bits_is_saved_unchanged() {
    let device = collimate_testkit::flex().without_autodiff();
    for (stored_type, dtype) in TYPES {
        let dir = stored(&llama(&device), stored_type);
        let [_, held] = both::<Llama>("llama", dir.path(), &device, dtype);
        let again = stored(&held, stored_type);
        let bytes =
            |dir: &tempfile::TempDir| std::fs::read(dir.path().join("model.safetensors")).unwrap();
        assert!(bytes(&again) == bytes(&dir), "{stored_type}");
        let wide_again = stored(&held, StoredType::F32);
        let exact: Llama = load(dir.path(), &device, WeightType::F32);
        assert!(bytes(&wide_again) == bytes(&stored(&exact, StoredType::F32)));
    }
}

/// A reward model scores the same, and its head stays f32.
#[test]
fn reward_models_with_frozen_matrices() {
    let device = collimate_testkit::flex();
    let dir = common::copy(&common::fixture("llama-reward"));
    let exact = Llama::load_reward(dir.path(), &device).unwrap();
    let half = stored_reward(&exact);
    let load = |weights| {
        Llama::load_reward(
            half.path(),
            LoadOptions::from(&device).with_weights(weights),
        )
        .unwrap()
    };
    let [exact, held] = [load(WeightType::F32), load(WeightType::Stored)];
    assert!(
        types(&held.backbone)
            .iter()
            .any(|(_, dtype)| *dtype == DType::BF16)
    );
    assert!(
        types(&held.head.unwrap())
            .iter()
            .all(|(_, dtype)| *dtype == DType::F32)
    );
    same_states("reward", &[exact.backbone, held.backbone]);
}

fn stored_reward(parts: &collimate_nn::RewardParts<Llama>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = SaveOptions {
        dtype: StoredType::Bf16,
        ..SaveOptions::default()
    };
    let head = parts.head.as_ref().unwrap();
    parts
        .backbone
        .save_reward(head, parts.pooling, &options, dir.path())
        .unwrap();
    dir
}
