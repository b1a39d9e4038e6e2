//! Options of `config.json` that would change the model's function.

use super::*;

#[test]
fn options_that_change_the_function_are_refused_by_name() {
    for (key, given) in [
        ("partial_rotary_factor", value!(0.5)),
        ("rotary_pct", value!(0.25)),
        ("logit_scale", value!(0.0625)),
        ("logits_scaling", value!(8.0)),
        ("embedding_multiplier", value!(12)),
        ("residual_multiplier", value!(0.22)),
        ("attention_multiplier", value!(0.0078125)),
        ("final_logit_softcapping", value!(30.0)),
        ("attn_logit_softcapping", value!(50.0)),
        ("query_pre_attn_scalar", value!(256)),
        ("no_rope_layers", value!([1, 0])),
        ("num_local_experts", value!(8)),
        ("use_qk_norm", value!(true)),
        ("clip_qkv", value!(8.0)),
        ("rope_local_base_freq", value!(10000.0)),
        ("pruned_heads", value!({"0": [1]})),
        ("hidden_act", value!("relu")),
    ] {
        let shown = format!("{key} = {given}");
        let dir = with("llama-gqa-tied", key, given);
        refused(dir.path(), &["config.json", &shown, "not supported"]);
    }
    for (key, given) in [
        ("is_decoder", value!(true)),
        ("add_cross_attention", value!(true)),
        ("feed_forward_type", value!("geglu")),
        ("pruned_heads", value!({"0": [1]})),
        ("position_embedding_type", value!("alibi")),
    ] {
        let shown = format!("{key} = {given}");
        let dir = with("bert-mean", key, given);
        check(
            &Encoder::load(dir.path(), &device()).unwrap_err(),
            &[&shown],
        );
    }
}

#[test]
fn options_that_change_nothing_are_taken() {
    for (key, given) in [
        ("partial_rotary_factor", value!(1.0)),
        ("logit_scale", value!(1)),
        ("pretraining_tp", value!(2)),
        ("pruned_heads", value!({})),
        ("final_logit_softcapping", value!(null)),
        ("quantization_config", value!(null)),
        ("num_local_experts", value!(0)),
    ] {
        let dir = with("llama-gqa-tied", key, given);
        let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
        assert_eq!(told, "", "{key}");
    }
}

#[test]
fn quantised_folders_are_refused_by_method() {
    for name in ["llama-gqa-tied", "bert-mean"] {
        let dir = with(
            name,
            "quantization_config",
            value!({"quant_method": "gptq", "bits": 4}),
        );
        let error = match name {
            "bert-mean" => Encoder::load(dir.path(), &device()).unwrap_err(),
            _ => Llama::load(dir.path(), &device()).unwrap_err(),
        };
        check(&error, &["quantization_config", "gptq", "not quantised"]);
    }
}

#[test]
fn ids_are_whole_numbers_of_32_bits() {
    for (given, shown) in [
        (value!(4_294_967_296_u64), "4294967296"),
        (value!(2.5), "2.5"),
        (value!("</s>"), "</s>"),
        (value!(true), "true"),
        (value!([2, -1]), "-1"),
        (value!([2, 4_294_967_296_u64]), "4294967296"),
        (value!([[2]]), "[2]"),
    ] {
        let dir = with("llama-gqa-tied", "eos_token_id", given.clone());
        refused(dir.path(), &["eos_token_id", shown, "whole number"]);
        check(
            &eos_token_ids(dir.path()).unwrap_err(),
            &["eos_token_id", shown],
        );
        let dir = copy(&fixture("llama-gqa-tied"));
        let generation = value!({"eos_token_id": given}).to_string();
        std::fs::write(dir.path().join("generation_config.json"), generation).unwrap();
        let error = eos_token_ids(dir.path()).unwrap_err();
        check(&error, &["generation_config.json", "eos_token_id", shown]);
    }
    // The first Llamas write −1 if they have no such token.
    let dir = with("llama-gqa-tied", "pad_token_id", value!(-1));
    let model = Llama::load(dir.path(), &device()).unwrap();
    assert_eq!(model.config().pad_token_id, None);
}

#[test]
fn what_is_not_of_the_right_kind_is_not_taken_for_absent() {
    for (key, given) in [
        ("architectures", value!("LlamaForSequenceClassification")),
        ("rope_scaling", value!("linear")),
        ("rope_parameters", value!([1e4])),
        ("id2label", value!(["a", "b"])),
    ] {
        let dir = with("llama-reward", key, given);
        let error = Llama::load_reward(dir.path(), &device()).unwrap_err();
        check(&error, &["config.json", key]);
    }
    let dir = copy(&fixture("llama-gqa-tied"));
    std::fs::write(dir.path().join("generation_config.json"), "{").unwrap();
    refused(dir.path(), &["generation_config.json", "malformed JSON"]);
}

#[test]
fn rules_of_training_and_code_that_are_not_used_are_told() {
    for (key, given) in [
        ("attention_dropout", value!(0.1)),
        ("auto_map", value!({"AutoModelForCausalLM": "modeling_x.X"})),
    ] {
        let dir = with("llama-gqa-tied", key, given);
        let (model, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
        assert!(told.contains(key) && told.lines().count() == 1, "{told}");
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let saved = json(&out.path().join("config.json"));
        assert_eq!(saved.get("auto_map"), None);
    }
}
