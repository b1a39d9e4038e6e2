//! Pools that a policy writes, labels of a judge, and policies that are trained.

use super::*;

#[test]
fn a_policy_writes_the_pool_and_a_killed_run_ends_with_the_same_bytes() {
    let (_place, folder) = workplace();
    let sampling = json!({"max_new_tokens": 24, "do_sample": true, "temperature": 1.0});
    fs::write(
        folder.join("base/sft/generation_config.json"),
        sampling.to_string(),
    )
    .unwrap();
    let arguments = [
        "--config",
        "options.json",
        "--labelled",
        "labels.jsonl",
        "--model",
        "base/sft",
        "--unlabelled",
        "pool.jsonl",
        "--unlabelled",
        "prompts.jsonl",
        "--policy",
        "base/sft",
        "--responses",
        "3",
    ];
    let told = text(
        &succeed(
            "ser",
            &folder,
            &[&arguments[..], &["--out", "straight"]].concat(),
        )
        .stderr,
    );
    let pool = lines(&folder.join("straight/pool.jsonl"));
    assert_eq!(
        pool.len(),
        lines(&folder.join("prompts.jsonl")).len(),
        "a row for each prompt"
    );
    assert!(
        pool.iter()
            .all(|row| row["responses"].as_array().unwrap().len() <= 3)
    );
    assert!(
        told.contains("straight/pool.jsonl: 40 rows read as candidates"),
        "{told}"
    );
    // As if the run had been killed after 32 prompts, and again after the answers.
    for (name, keep) in [("early", 32), ("late", 40)] {
        let mut child = command("ser")
            .args(arguments)
            .args(["--out", name])
            .current_dir(&folder)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let path = folder.join(name).join("pool.jsonl");
        let started = std::time::Instant::now();
        let written = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
        while written(&path) < keep && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed().as_secs() < 60, "no progress");
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        let _ = child.kill();
        child.wait().unwrap();
        succeed("ser", &folder, &["--resume", "--out", name]);
        for file in ["pool.jsonl", "model/model.safetensors"] {
            let bytes = |out: &str| fs::read(folder.join(out).join(file)).unwrap();
            assert!(bytes(name) == bytes("straight"), "{name}: {file} differs");
        }
        let summary = |out: &str| without_seconds(json(&folder.join(out).join("summary.json")));
        assert_eq!(summary(name), summary("straight"));
    }
}

#[test]
fn policies_learn_on_the_prompts_of_the_pool() {
    let (_place, folder) = workplace();
    let told = ser(&folder, "run", &POLICIES);
    let summary = json(&folder.join("run/summary.json"));
    assert!(summary["ppo"]["win_rate"]["ser"].is_f64(), "{summary}");
    assert!(told.contains("policy-ser"), "{told}");
    assert!(folder.join("run/policy-ser/model.safetensors").exists());
}

/// A server that writes a good and a bad answer to each prompt, and as a judge prefers the good
/// one. For some pairs it always prefers the first answer, and for others its reply cannot be parsed.
fn writes_and_judges(request: &Request) -> Reply {
    let question = server::prompt(request);
    let number = |text: &str| -> usize {
        let (_, rest) = text.split_once("question ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let texts = match question.split_once("[The Start of Assistant A's Answer]") {
        None => ["yes", "no"]
            .map(|word| format!("{word} , {} .", number(&question)))
            .to_vec(),
        Some((_, answers)) => {
            let first = answers.trim_start().starts_with("yes");
            vec![match number(&question) % 10 {
                7 => "[[A]]".to_owned(),
                8 => "I would rather not say.".to_owned(),
                _ if first => "The first one. [[A]]".to_owned(),
                _ => "The second one. [[B]]".to_owned(),
            }]
        }
    };
    let choices: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let message = json!({"role": "assistant", "content": text});
            json!({"index": index, "finish_reason": "stop", "message": message, "text": text})
        })
        .collect();
    Reply::good(&json!({"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}))
}

#[test]
fn a_server_writes_the_pool_and_a_judge_labels_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let prompts: Vec<String> = (0..70)
        .map(|i| json!({"prompt": format!("question {i} ?")}).to_string())
        .collect();
    write_rows(&folder.join("prompts.jsonl"), &prompts);
    let server = Server::start(writes_and_judges);
    let url = server.url();
    let base = common::fixture("bert-mean").display().to_string();
    let arguments = [
        "--unlabelled",
        "prompts.jsonl",
        "--model",
        &base,
        "--max-length",
        "32",
        "--loops",
        "1",
        "--policy",
        &url,
        "--policy-model",
        "writer",
        "--labelled-by",
        &url,
        "--labelled-by-model",
        "judge",
        "--label-count",
        "70",
        "--out",
        "run",
    ];
    let told = text(&succeed("ser", folder, &arguments).stderr);
    let says = "The judge labelled 56 of 70 pairs. Each pair was judged in both orders; 7 pairs got a tie or contrary \
                judgements, and 7 pairs an unreadable judgement.";
    assert!(told.contains(says), "{told}");
    assert!(told.contains("Pool: 14 pairs without labels"), "{told}");
    let labels = lines(&folder.join("run/judge-labels.jsonl"));
    assert_eq!(labels.len(), 56);
    assert!(
        labels
            .iter()
            .all(|row| row["chosen"].as_str().unwrap().starts_with("yes"))
    );
    // Earlier questions are not asked again.
    let asked = server.requests();
    fs::remove_file(folder.join("run/report.md")).unwrap();
    succeed("ser", folder, &["--resume", "--out", "run"]);
    assert_eq!(server.requests(), asked);
}
