//! Places where folders write rotary positions.

use super::*;

/// Creates a folder that has the keys of `rope` instead of `rope_theta`.
fn folder(rope: &Value) -> tempfile::TempDir {
    let dir = copy(&fixture("llama-gqa-tied"));
    edit_config(dir.path(), |c| {
        let map = c.as_object_mut().unwrap();
        map.remove("rope_theta");
        map.remove("rope_scaling");
        map.extend(rope.as_object().unwrap().clone());
    });
    dir
}

#[test]
fn the_base_is_read_wherever_it_is_written() {
    let nested = |theta: f64| value!({"rope_type": "default", "rope_theta": theta});
    for (rope, theta) in [
        (value!({}), 1e4),
        (value!({"rope_theta": 5e5}), 5e5),
        (value!({"rope_theta": 500_000}), 5e5),
        (
            value!({"rope_scaling": {"rope_theta": 5e5, "type": "default"}}),
            5e5,
        ),
        (value!({"rope_parameters": {"rope_theta": 5e5}}), 5e5),
        (
            value!({"rope_parameters": {"full_attention": nested(5e5)}}),
            5e5,
        ),
        (
            value!({"rope_parameters": {
                "full_attention": nested(5e5), "sliding_attention": null,
            }}),
            5e5,
        ),
        (
            value!({"rope_theta": 5e5, "rope_scaling": {"rope_theta": 5e5}}),
            5e5,
        ),
        (
            value!({"rope_parameters": {"rope_theta": 7.0, "partial_rotary_factor": 1.0}}),
            7.0,
        ),
    ] {
        let dir = folder(&rope);
        let model = Llama::load(dir.path(), &device()).unwrap();
        assert_eq!(model.config().rope_theta, theta, "{rope}");
        // The saved folder names the positions once.
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let saved = json(&out.path().join("config.json"));
        assert_eq!(saved["rope_theta"], theta);
        assert!(saved.get("rope_parameters").is_none() && saved["rope_scaling"].is_null());
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let two = value!({"rope_parameters": {
        "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4},
    }});
    for (rope, parts) in [
        (
            value!({"rope_theta": 1e4, "rope_scaling": {"rope_theta": 5e5}}),
            &["rope_theta = 10000", "rope_scaling.rope_theta = 500000"][..],
        ),
        (
            two,
            &[
                "full_attention.rope_theta = 1000000",
                "sliding_attention.rope_theta",
            ],
        ),
        (value!({"rope_theta": "1e4"}), &["rope_theta"]),
        (
            value!({"rope_parameters": {"rope_theta": "5e5"}}),
            &["rope_parameters.rope_theta", "expected a number"],
        ),
        (
            value!({"rope_scaling": {"rope_type": 3}}),
            &["rope_scaling.rope_type is 3"],
        ),
        (
            value!({"rope_scaling": {"rope_type": "default", "type": "linear", "factor": 2.0}}),
            &[
                "rope_scaling.rope_type is default",
                "rope_scaling.type is linear",
            ],
        ),
        (
            value!({"rope_scaling": {"factor": 2.0}}),
            &["rope_scaling.factor = 2.0"],
        ),
        (
            value!({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}),
            &[
                "rope_parameters.full_attention (yarn)",
                "missing field `factor`",
            ],
        ),
        (
            value!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
            &["rope_parameters.partial_rotary_factor = 0.5"],
        ),
        (
            value!({"rope_parameters": {"full_attention": 1e4}}),
            &["expected an object"],
        ),
        (value!({"rope_theta": 0}), &["rope_theta is 0", "above 0"]),
        (
            value!({"rope_scaling": {"type": "linear", "factor": 0}}),
            &["rope_scaling.factor is 0", "above 0"],
        ),
        (
            value!({"rope_scaling": {"type": "linear", "factor": "2"}}),
            &["rope_scaling (linear)", "string \"2\""],
        ),
        (
            value!({"rope_scaling": {"type": "dynamic"}}),
            &["rope_scaling (dynamic)", "missing field `factor`"],
        ),
        (
            value!({"rope_scaling": {"type": "dynamic", "factor": 2.0, "alpha": 1000.0}}),
            &["rope_scaling (dynamic)", "unknown field `alpha`"],
        ),
        (
            value!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}}),
            &["rope_scaling (llama3)", "missing field `high_freq_factor`"],
        ),
        (
            value!({"rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0,
            }}),
            &[
                "rope_scaling.high_freq_factor is 1",
                "above low_freq_factor = 4",
            ],
        ),
        (
            value!({"rope_scaling": {"type": "longrope", "short_factor": [1.0]}}),
            &["rope scaling longrope", "llama3, yarn"],
        ),
        (
            value!({"rope_scaling": {"type": "yarn", "factor": 2.0, "partial_rotary_factor": 0.5}}),
            &["rope_scaling.partial_rotary_factor = 0.5"],
        ),
        (
            value!({
                "original_max_position_embeddings": 32,
                "rope_scaling": {
                    "type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16,
                },
            }),
            &["original_max_position_embeddings = 32", "= 16"],
        ),
        (
            value!({"rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 2.0},
                "sliding_attention": {"rope_type": "default"},
            }}),
            &[
                "full_attention and",
                "sliding_attention scale positions differently",
            ],
        ),
        (
            value!({"rope_theta": 1, "rope_scaling": {"type": "yarn", "factor": 2.0}}),
            &["rope_theta is 1", "above 1"],
        ),
    ] {
        refused(folder(&rope).path(), parts);
    }
}

#[test]
fn scaling_is_read_and_written_in_one_form() {
    let yarn = value!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64});
    for (rope, saved) in [
        (
            value!({"rope_scaling": {"type": "linear", "factor": 2}}),
            value!({"rope_type": "linear", "factor": 2.0}),
        ),
        // Without an original length, the longest sequence is taken.
        (
            value!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": null}}),
            yarn.clone(),
        ),
        (
            value!({"rope_parameters": {
                "full_attention": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4},
                "sliding_attention": yarn,
            }}),
            yarn.clone(),
        ),
        (
            value!({
                "original_max_position_embeddings": 16,
                "rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16, "truncate": false},
            }),
            value!({
                "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                "beta_fast": 16.0, "truncate": false,
            }),
        ),
    ] {
        let model = Llama::load(folder(&rope).path(), &device()).unwrap();
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let config = json(&out.path().join("config.json"));
        let found = (&config["rope_scaling"], &config["rope_theta"]);
        assert_eq!(found, (&saved, &value!(1e4)));
        assert!(config.get("rope_parameters").is_none());
        let again = Llama::load(out.path(), &device()).unwrap();
        assert_eq!(again.config(), model.config());
    }
}
