//! Wrong options, configuration files and output paths.

use super::*;

#[test]
fn options() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let cases: [(&[&str], &[&str]); 13] = [
        (
            &["--tau-high", ".4", "--tau-low", ".6"],
            &["tau_low = 0.6", "tau_high = 0.4"],
        ),
        (
            &["--tau-high", ".4"],
            &["tau_high = 0.4", "<= tau_high < 1"],
        ),
        (
            &["--seed-share", "0"],
            &["seed_share is 0", "between 0 and 1"],
        ),
        (
            &["--seed-share", "1"],
            &["seed_share is 1", "between 0 and 1"],
        ),
        (
            &["--seed-share", "NaN"],
            &["--seed-share NaN", "not a number"],
        ),
        (&["--lr", "2"], &["learning_rate is 2", "at most 1"]),
        (&["--batch", "0"], &["batch_size is 0"]),
        (&["--max-kept", "0"], &["max_kept is 0"]),
        (&["--max-length", "2"], &["max_length is 2"]),
        (
            &["--max-length", "9999"],
            &["max_length is 9999", "at most"],
        ),
        (&["--controls", "no"], &["--controls no", "longer_seed"]),
        (
            &["--pooling", "cls"],
            &["pooling works only with data files"],
        ),
        (&["--resume"], &["--resume: out holds no run"]),
    ];
    for (arguments, says) in cases {
        refused("ser", folder, arguments, says);
    }
    let files = ["--data", "good.jsonl", "--model", &model];
    let long = [&files[..], &["--max-length", "65"]].concat();
    let simulated = [&long[..], &["--simulate"]].concat();
    refused(
        "ser",
        folder,
        &simulated,
        &["max_length is 65", "at most 64 tokens"],
    );
    refused(
        "score",
        folder,
        &long,
        &["--max-length is 65", "at most 64 tokens"],
    );
    let pooled = [&files[..], &["--simulate", "--pooling", "mean"]].concat();
    refused("ser", folder, &pooled, &["pooling is \"mean\"", "decoder"]);
    for (name, built) in [
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("wgpu", cfg!(feature = "wgpu")),
    ] {
        if !built {
            let (device, told) = (["--device", name], format!("--features {name}"));
            refused("ser", folder, &device, &[&told]);
            let on_it = [&files[..], &device].concat();
            refused("score", folder, &on_it, &[&told]);
        }
    }
}

#[test]
fn configuration_files() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let config = |text: &str, says: &[&str]| {
        fs::write(folder.join("config.json"), text).unwrap();
        refused("ser", folder, &["--config", "config.json"], says);
    };
    config(
        "{\"bogus\": 1}",
        &["config.json:1: bogus: unknown field `bogus`"],
    );
    config(
        "{\"ser\":\n{\"train\": {\"lr\": 1}}}",
        &["config.json:2: ser.train.lr: unknown field `lr`"],
    );
    config(
        "{\"ser\": {\"loss\": {\"hinge\": {\"margin\": -1}}}}",
        &["margin"],
    );
    config("{\"world\": {\"pairs\": 0}}", &["pairs is 0"]);
    config(
        "{\"data\": \"good.jsonl\"}",
        &["data and model go together"],
    );
    config("not JSON", &["config.json:1: "]);
    refused(
        "ser",
        folder,
        &["--config", "none.json"],
        &["none.json", "no such file"],
    );
}

#[test]
fn a_loop_without_a_policy_is_refused() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let rounds = ["--policy-in-loop", "1"];
    let paper = ["--stop-after", "ppo", "--recipe", "paper"];
    for (more, says) in [
        (&["--stop-after", "rm"][..], "--stop-after ppo"),
        (&["--stop-after", "ppo"], "--recipe paper"),
        (
            &[&paper[..], &["--policy-rewards", "gold"]].concat(),
            "--policy-rewards",
        ),
        (&[&paper[..], &["--loops", "0"]].concat(), "--loops"),
    ] {
        refused(
            "ser",
            folder,
            &[&rounds[..], more].concat(),
            &["--policy-in-loop", says],
        );
    }
    let encoder = fixture("bert-mean").display().to_string();
    let files = [
        "--simulate",
        "--data",
        "good.jsonl",
        "--model",
        &encoder,
        "--max-length",
        "32",
    ];
    let arguments = [&rounds[..], &files].concat();
    refused(
        "ser",
        folder,
        &arguments,
        &["--policy-in-loop 1", "trains no policy"],
    );
}

#[test]
fn usage_errors_name_the_option() {
    let (folder, model) = workplace();
    for (name, arguments, says) in [
        ("ser", vec!["--device", "tpu"], "--device"),
        ("ser", vec!["--data", "good.jsonl"], "--model"),
        ("ser", vec!["--format", "xml"], "--format"),
        ("ser", vec!["--stop-after", "tea"], "--stop-after"),
        ("ser", vec!["--bogus"], "--bogus"),
        ("score", vec!["--model", &model], "--data"),
        (
            "score",
            vec!["--data", "good.jsonl", "--model", &model, "--device", "tpu"],
            "--device",
        ),
    ] {
        let output = run(name, folder.path(), &arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
        assert!(
            stderr.starts_with("error:") && stderr.contains(says),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!folder.path().join("runs").exists());
    }
}

#[test]
fn a_resumed_run_looks_for_its_files_where_it_was_started() {
    let (folder, model) = workplace();
    let out = folder.path().join("run");
    fs::create_dir(&out).unwrap();
    let config = json!({"data": "elsewhere.jsonl", "simulate": true, "model": model});
    fs::write(out.join("config.json"), config.to_string()).unwrap();
    let output = run("ser", folder.path(), &["--resume", "--out", "run"]);
    let stderr = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("elsewhere.jsonl") && stderr.contains("started in"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "left something");
}

#[test]
fn places_to_write() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let place = |name: &str, arguments: &[&str], out: &str, says: &[&str]| {
        let output = run(name, folder, &[arguments, &["--out", out]].concat());
        let stderr = text(&output.stderr);
        assert!(!output.status.success(), "{stderr}");
        assert_eq!(
            stderr.lines().filter(|l| l.starts_with("error:")).count(),
            1,
            "{stderr}"
        );
        for part in says {
            assert!(stderr.contains(part), "{part:?} is not in {stderr}");
        }
    };
    let config = tiny_world(folder).display().to_string();
    let world = ["--config", config.as_str()];
    fs::create_dir_all(folder.join("run")).unwrap();
    fs::write(folder.join("run/config.json"), "{\"kept\": true}").unwrap();
    place("ser", &world, "run", &["run holds a run", "--resume"]);
    assert_eq!(
        fs::read(folder.join("run/config.json")).unwrap(),
        b"{\"kept\": true}"
    );
    assert_eq!(fs::read_dir(folder.join("run")).unwrap().count(), 1);
    fs::create_dir_all(folder.join("photos")).unwrap();
    fs::write(folder.join("photos/cat.png"), "cat").unwrap();
    place(
        "ser",
        &world,
        "photos",
        &["photos/cat.png", "does not belong to a run"],
    );
    assert_eq!(fs::read_dir(folder.join("photos")).unwrap().count(), 1);
    place("ser", &world, "good.jsonl", &["good.jsonl is a file"]);
    let score = ["--data", "good.jsonl", "--model", &model];
    place(
        "score",
        &score,
        "none/scores",
        &["--out none/scores", "does not exist"],
    );
    place(
        "score",
        &score,
        "photos",
        &["--out photos: this is a folder"],
    );
}
