//! Low-rank adapters.

use super::*;

fn lora_config() -> LoraConfig {
    LoraConfig {
        rank: 3,
        alpha: 6.0,
        dropout: 0.0,
        ..LoraConfig::default()
    }
}

fn fill_b(path: &str, values: &mut Vec<f32>) {
    if path.ends_with("lora.b") {
        let mut noise = Noise::new(values.len() as u64);
        *values = noise.values(values.len(), 0.3);
    }
}

fn check_adapters<B: Backbone>(name: &str, base: B) {
    let mut noise = Noise::new(9);
    let rows: Vec<_> = [4, 7].iter().map(|&n| sequence(&mut noise, n)).collect();
    let batch = common::rows_batch(&base, &rows);
    let out = |model: &B, f| host(&model.hidden(&batch, f));
    let plain = out(&base, Forward::EVAL);
    let mut fresh = base
        .clone()
        .with_lora(&lora_config(), Key::new(1, "lora"))
        .unwrap();
    assert!(fresh.has_lora() && !base.clone().has_lora());
    assert_eq!(
        out(&fresh, Forward::EVAL),
        plain,
        "{name}: B = 0 adds nothing"
    );
    let adapted = changed(&fresh, fill_b);
    assert_eq!(
        out(&adapted, Forward::REFERENCE),
        plain,
        "{name}: adapters off"
    );
    let on = out(&adapted, Forward::EVAL);
    let moved = collimate_testkit::max_relative_error(&on, &wide(&plain));
    assert!(
        moved > 0.05,
        "{name}: the adapters move the output by {moved} only"
    );
    let mut merged = adapted.clone().merged();
    assert!(!merged.has_lora());
    assert_close(
        &format!("{name}: merged"),
        &out(&merged, Forward::EVAL),
        &wide(&on),
        1e-5,
    );
}

#[test]
fn adapters_on_off_and_merged() {
    for (name, device) in plain_devices() {
        check_adapters(&format!("llama on {name}"), llama(&device));
        check_adapters(&format!("bert on {name}"), bert(&device));
        for (kind, model) in encoders(&device) {
            check_adapters(&format!("{kind} on {name}"), model);
        }
    }
    let device = collimate_testkit::flex();
    check_adapters("llama, tracked", llama(&device));
}

#[test]
fn only_adapters_get_gradients() {
    for (name, device) in devices() {
        let base = llama(&device);
        let count = parameters(&base).len();
        let model = base.with_lora(&lora_config(), Key::new(1, "lora")).unwrap();
        let model = changed(&model, fill_b);
        let batch = common::rows_batch(&model, &[vec![1, 5, 6, 7]]);
        let logps = completion_logps(&model, &batch, Forward::EVAL).sum();
        let grads = gradients(&model, &logps.backward());
        let linears = 2 * 7;
        assert_eq!(parameters(&model).len(), count + 2 * linears);
        let paths: Vec<_> = grads.keys().collect();
        assert_eq!(grads.len(), 2 * linears, "{name}: {paths:?}");
        for (path, grad) in &grads {
            assert!(
                path.ends_with("lora.a") || path.ends_with("lora.b"),
                "{name}: {path}"
            );
            assert!(
                grad.iter().any(|&g| g != 0.0),
                "{name}: {path} has gradient zero"
            );
        }
        let trainable = parameters(&model).into_iter().filter(|p| p.trainable);
        assert_eq!(trainable.count(), 2 * linears);
        // After the adapters are folded in, the whole model trains again.
        let merged = parameters(&model.merged());
        assert_eq!(merged.len(), count);
        for parameter in merged {
            assert!(parameter.trainable, "{name}: {}", parameter.path);
        }
    }
}

#[test]
fn adapters_are_not_overwritten() {
    let device = collimate_testkit::flex().without_autodiff();
    let key = Key::new(1, "lora");
    let some = LoraConfig {
        targets: vec!["v_proj".to_owned()],
        ..lora_config()
    };
    let adapted = llama(&device).with_lora(&some, key).unwrap();
    let error = adapted
        .clone()
        .with_lora(&lora_config(), key)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("model.layers.0.self_attn.v_proj") && error.contains("merged()"),
        "{error}"
    );
    assert!(adapted.merged().with_lora(&lora_config(), key).is_ok());
}

#[test]
fn targets_choose_layers() {
    let device = collimate_testkit::flex().without_autodiff();
    let config = LoraConfig {
        targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
        ..lora_config()
    };
    let mut model = llama(&device)
        .with_lora(&config, Key::new(1, "lora"))
        .unwrap();
    let with: Vec<String> = model
        .linears_mut()
        .into_iter()
        .filter(|(_, linear)| linear.lora.is_some())
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        with,
        [
            "model.layers.0.self_attn.q_proj",
            "model.layers.0.self_attn.v_proj",
            "model.layers.1.self_attn.q_proj",
            "model.layers.1.self_attn.v_proj",
        ]
    );
    // No layer's name ends in "proj" as a whole word.
    let config = LoraConfig {
        targets: vec!["proj".to_owned()],
        ..lora_config()
    };
    let error = llama(&device)
        .with_lora(&config, Key::new(1, "lora"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("lora.targets") && error.contains("q_proj"),
        "{error}"
    );
}

#[test]
fn adapters_of_two_layers_differ_and_repeat() {
    let device = collimate_testkit::flex().without_autodiff();
    let draw = || {
        let mut model = llama(&device)
            .with_lora(&lora_config(), Key::new(5, "lora"))
            .unwrap();
        let linears = model.linears_mut();
        linears
            .iter()
            .map(|(_, l)| host(&l.lora.as_ref().unwrap().a.val()))
            .collect::<Vec<_>>()
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
    // The weights are uniform in ±1/√16.
    assert!(first.iter().flatten().take(48).all(|v| v.abs() <= 0.25));
    let mut model = llama(&device)
        .with_lora(&lora_config(), Key::new(5, "lora"))
        .unwrap();
    for (path, linear) in model.linears_mut() {
        let lora = linear.lora.as_ref().unwrap();
        assert_eq!(lora.scale, 6.0 / 3.0, "{path}");
        assert_eq!(lora.a.val().dims()[0], 3, "{path}");
    }
}

#[test]
fn dropout_depends_on_its_key_only() {
    for (name, device) in plain_devices() {
        let model = bert(&device);
        let batch = common::rows_batch(&model, &[vec![1, 5, 6, 7]]);
        let out = |f| host(&model.hidden(&batch, f));
        let key = Key::new(2, "step");
        let plain = out(Forward::EVAL);
        assert_eq!(out(Forward::train(key)), out(Forward::train(key)), "{name}");
        assert_ne!(
            out(Forward::train(key)),
            out(Forward::train(key.with(1))),
            "{name}"
        );
        assert_ne!(out(Forward::train(key)), plain, "{name}");
        // A decoder has dropout only in its adapters.
        let model = llama(&device);
        assert_eq!(
            host(&model.hidden(&batch, Forward::train(key))),
            host(&model.hidden(&batch, Forward::EVAL))
        );
        let config = LoraConfig {
            dropout: 0.5,
            ..lora_config()
        };
        let model = changed(&model.with_lora(&config, key).unwrap(), fill_b);
        let out = |f| host(&model.hidden(&batch, f));
        assert_eq!(out(Forward::train(key)), out(Forward::train(key)), "{name}");
        assert_ne!(out(Forward::train(key)), out(Forward::EVAL), "{name}");
    }
}
