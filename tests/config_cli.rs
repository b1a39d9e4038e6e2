//! Layers of options (defaults, a file, flags, `--set`) and how they are printed.

mod common;

use std::fs;
use std::path::Path;

use collimate_experiments::Plan;
use common::{run, succeed, text};
use serde_json::Value;

/// Returns the options that a command would use.
fn options(folder: &Path, command: &str, arguments: &[&str]) -> Value {
    let output = succeed(command, folder, &[arguments, &["--print-config"]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(folder: &Path, command: &str, arguments: &[&str], says: &[&str]) -> Option<i32> {
    let output = run(command, folder, arguments);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    for part in says {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
    output.status.code()
}

#[test]
fn the_same_file_in_three_syntaxes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let yaml = "# a comment\nalign:\n  loss:\n    ipo:\n      beta: 0.2\n  train:\n    \
                learning_rate: 1e-5\n    max_steps: 7\nprompts: 12\n";
    let toml = "prompts = 12\n[align.loss.ipo]\nbeta = 0.2\n[align.train]\nlearning_rate = 1e-5\n\
                max_steps = 7\n";
    let json = r#"{"prompts": 12, "align": {"loss": {"ipo": {"beta": 0.2}},
                  "train": {"learning_rate": 1e-5, "max_steps": 7}}}"#;
    let read = |name: &str, content: &str| {
        fs::write(folder.join(name), content).unwrap();
        options(folder, "dpo", &["--config", name])
    };
    let found = read("a.yaml", yaml);
    assert_eq!(found["align"]["loss"]["ipo"]["beta"], 0.2);
    assert_eq!(found["align"]["train"]["learning_rate"], 1e-5);
    assert_eq!(found["align"]["train"]["max_steps"], 7);
    assert_eq!(found["prompts"], 12);
    assert_eq!(read("b.toml", toml), found);
    assert_eq!(read("c.json", json), found);
}

#[test]
fn flags_over_the_file_and_set_over_flags() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("a.yml"),
        "align: {seed: 3, train: {batch_size: 4, epochs: 2}}",
    )
    .unwrap();
    let file = ["--config", "a.yml"];
    let rate = |value: &Value| value["align"]["train"]["learning_rate"].clone();
    let found = options(folder, "dpo", &file);
    assert_eq!(
        (found["align"]["seed"].clone(), rate(&found)),
        (3.into(), 1e-4.into())
    );
    let flags = [&file[..], &["--seed", "5", "--lr", "2e-5"]].concat();
    let found = options(folder, "dpo", &flags);
    assert_eq!(
        (found["align"]["seed"].clone(), rate(&found)),
        (5.into(), 2e-5.into())
    );
    assert_eq!(found["align"]["train"]["batch_size"], 4);
    let sets = [
        "--set",
        "align.train.learning_rate=.5",
        "--set",
        "align.max_length=99",
    ];
    let found = options(folder, "dpo", &[&flags[..], &sets].concat());
    assert_eq!(
        (found["align"]["max_length"].clone(), rate(&found)),
        (99.into(), 0.5.into())
    );
    // Another variant of an enum replaces the variant that was set before.
    let ppo = ["--set", "policy.ppo.kl.fixed.coefficient=.05"];
    let found = options(folder, "ppo", &ppo);
    let kl = serde_json::json!({"fixed": {"coefficient": 0.05}});
    assert_eq!(found["policy"]["ppo"]["kl"], kl);
    let model = common::fixture("llama-untied").display().to_string();
    let own = [&["--model", &model][..], &ppo].concat();
    assert_eq!(options(folder, "ppo", &own)["policy"]["ppo"]["kl"], kl);
}

#[test]
fn the_loss_that_is_there_keeps_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let loss = |arguments: &[&str]| options(folder, "dpo", arguments)["align"]["loss"].clone();
    assert_eq!(loss(&["--loss", "dpo"]), loss(&[]));
    assert_eq!(
        loss(&["--loss", "ipo", "--beta", "0.7"])["ipo"]["beta"],
        0.7
    );
    assert_eq!(loss(&["--set", "align.loss=ipo"]), loss(&["--loss", "ipo"]));
    assert_eq!(
        loss(&["--set", "align.loss.dpo.beta=0.9"])["dpo"]["beta"],
        0.9
    );
}

#[test]
fn one_seed_for_all_stages_unless_a_file_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let seeds = |found: &Value| {
        [
            &found["ser"]["seed"],
            &found["sft"]["seed"],
            &found["pretrain"]["seed"],
            &found["policy"]["ppo"]["seed"],
        ]
        .map(|seed| seed.as_u64().unwrap())
    };
    assert_eq!(seeds(&options(folder, "ser", &["--seed", "4"])), [4; 4]);
    fs::write(
        folder.join("a.json"),
        r#"{"ser": {"seed": 2}, "sft": {"seed": 9}}"#,
    )
    .unwrap();
    let found = options(folder, "ser", &["--config", "a.json"]);
    assert_eq!(seeds(&found), [2, 9, 2, 2]);
}

#[test]
fn an_error_names_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("a.yaml"),
        "align:\n  train:\n    lerning_rate: 1\n",
    )
    .unwrap();
    let says = ["a.yaml:3", "`lerning_rate`", "did you mean `learning_rate`"];
    refused(folder, "dpo", &["--config", "a.yaml"], &says);
    fs::write(folder.join("b.toml"), "prompts = \"many\"\n").unwrap();
    refused(
        folder,
        "dpo",
        &["--config", "b.toml"],
        &["b.toml:1", "usize"],
    );
    fs::write(folder.join("c.yaml"), "align: {train: {batch_size: 0}}\n").unwrap();
    refused(
        folder,
        "dpo",
        &["--config", "c.yaml"],
        &["batch_size is 0", "from c.yaml"],
    );
    refused(
        folder,
        "dpo",
        &["--batch", "0"],
        &["batch_size is 0", "from --batch 0"],
    );
    let set = ["--set", "align.train.batch_size=0"];
    refused(
        folder,
        "dpo",
        &set,
        &["batch_size is 0", "from --set align.train.batch_size=0"],
    );
    for (arguments, says) in [
        (&["--lr", "fast"][..], "--lr fast"),
        (&["--set", "align.trian.epochs=2"], "did you mean `train`"),
        (&["--set", "align.train.epochs"], "write OPTION=VALUE"),
        (&["--set", "prompts=lots"], "--set prompts=lots"),
        (
            &["--batch", "1", "--batch", "2"],
            "--batch: give the option only once",
        ),
        (
            &["--loss", "ipo", "--set", "align.loss.dpo.beta=0.3"],
            "--loss ipo chooses another align.loss",
        ),
    ] {
        assert_eq!(
            refused(folder, "dpo", arguments, &[says]),
            Some(2),
            "{arguments:?}"
        );
    }
    fs::write(folder.join("d.json"), r#"{"prompts": 1, "prompts": 2}"#).unwrap();
    refused(
        folder,
        "dpo",
        &["--config", "d.json"],
        &["duplicate field `prompts`"],
    );
    // A file may name the model, and a flag the data.
    let model = common::fixture("llama-untied").display().to_string();
    fs::write(
        folder.join("f.yaml"),
        format!("model: {model}\ndata: none.jsonl\n"),
    )
    .unwrap();
    refused(folder, "dpo", &["--config", "f.yaml"], &["none.jsonl"]);
    fs::write(folder.join("e.yaml"), format!("model: {model}\n")).unwrap();
    refused(
        folder,
        "dpo",
        &["--config", "e.yaml", "--data", "none.jsonl"],
        &["none.jsonl"],
    );
    let alone = refused(
        folder,
        "dpo",
        &["--config", "e.yaml"],
        &["data and model go together"],
    );
    assert_eq!(alone, Some(2));
    assert!(!folder.join("runs").exists());
}

#[test]
fn printed_options_for_own_data_are_those_of_a_run_on_own_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = common::fixture("llama-untied").display().to_string();
    for command in ["sft", "reward", "dpo", "kto", "sera", "ser"] {
        let printed = succeed("config", folder, &["print", "--own", command]);
        let named = format!("\nmodel: {model:?}\ndata: [\"pairs.jsonl\"]\n");
        let simulate: &[&str] = if command == "ser" {
            &["--simulate"]
        } else {
            &[]
        };
        let text = text(&printed.stdout)
            .replace("\nmodel: null\n", "\n")
            .replace("\ndata: []\n", &named)
            .replace("\nsimulate: false\n", "\nsimulate: true\n");
        fs::write(folder.join("own.yaml"), text).unwrap();
        let found = options(folder, command, &["--config", "own.yaml"]);
        let own = options(
            folder,
            command,
            &[&["--model", &model, "--data", "pairs.jsonl"], simulate].concat(),
        );
        // If a file names the longest sequence, it is not lowered to the model's.
        let rate = |value: &Value| {
            let parts = ["align", "ser", "reward"]
                .map(|part| value[part]["train"]["learning_rate"].clone());
            (parts, value["sft"]["learning_rate"].clone())
        };
        assert_eq!(rate(&found), rate(&own), "{command}");
    }
}

const COMMANDS: [&str; 8] = [
    "sft",
    "reward",
    "dpo",
    "kto",
    "sera",
    "ser",
    "ppo",
    "self-rewarding",
];

#[test]
fn printed_options_are_a_file_of_the_same_options() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for command in COMMANDS {
        let own = options(folder, command, &[]);
        for (name, syntax) in [("o.yaml", "yaml"), ("o.json", "json")] {
            let printed = succeed("config", folder, &["print", "--as", syntax, command]);
            fs::write(folder.join(name), &printed.stdout).unwrap();
            let again = options(folder, command, &["--config", name]);
            assert_eq!(again, own, "{command} {syntax}");
        }
        let yaml = fs::read_to_string(folder.join("o.yaml")).unwrap();
        let comments = yaml
            .lines()
            .filter(|line| line.trim_start().starts_with('#'));
        assert!(comments.count() > 20, "{command}:\n{yaml}");
    }
}

/// Collects the paths of options without a description.
fn undescribed(schema: &Value, node: &Value, path: &str, found: &mut Vec<String>) {
    let target = node.get("$ref").and_then(Value::as_str);
    let node = match target {
        Some(target) => schema.pointer(target.trim_start_matches('#')).unwrap(),
        None => node,
    };
    for (name, option) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if option.get("description").is_none() {
            found.push(path.clone());
        }
        if path.matches('.').count() < 6 {
            undescribed(schema, option, &path, found);
        }
    }
}

#[test]
fn every_option_has_a_description_in_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let printed = succeed("config", folder.path(), &["schema", command]);
        let schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
        let mut found = Vec::new();
        undescribed(&schema, &schema, command, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{command}");
        assert_eq!(schema["additionalProperties"], false, "{command}");
    }
}

/// The ranges are those that error messages give.
#[test]
fn numbers_have_ranges_in_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let schema = |command: &str| -> Value {
        let printed = succeed("config", folder.path(), &["schema", command]);
        serde_json::from_slice(&printed.stdout).unwrap()
    };
    for command in COMMANDS {
        let schema = schema(command);
        let train = &schema["$defs"]["TrainConfig"]["properties"];
        let rate = &train["learning_rate"];
        assert_eq!(
            (&rate["exclusiveMinimum"], &rate["maximum"]),
            (&0.into(), &1.into()),
            "{command}: {rate}"
        );
        assert_eq!(train["batch_size"]["minimum"], 1, "{command}");
        assert_eq!(train["max_steps"]["minimum"], 1, "{command}");
        assert_eq!(train["epochs"]["maximum"], 1_000_000, "{command}");
        assert_eq!(train["warmup_ratio"]["exclusiveMaximum"], 1, "{command}");
    }
    let dpo = schema("dpo");
    assert_eq!(dpo["properties"]["prompts"]["maximum"], 10_000_000);
}

#[test]
fn help_is_short_and_long() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let flags = |help: &str| {
            let output = text(&succeed(command, folder.path(), &[help]).stdout);
            output
                .lines()
                .filter(|line| line.trim_start().starts_with("--"))
                .count()
        };
        let (short, long) = (flags("-h"), flags("--help"));
        assert!(short < long, "{command}: {short} of {long}");
        assert!(short <= 30, "{command}: {short} flags in the short help");
    }
    let help = text(&succeed("dpo", folder.path(), &["--help"]).stdout);
    assert!(
        help.contains("[default: 5e-6; for the synthetic world 0.0001]"),
        "{help}"
    );
}

#[test]
fn completions_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&succeed("completions", folder.path(), &[shell]).stdout);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_plans_of_the_experiments_name_options_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = common::fixture("llama-untied").display().to_string();
    let names = [
        "data",
        "model",
        "model_bf16",
        "reward_model",
        "encoder",
        "judge",
        "encoder_judge",
        "base",
    ];
    let set = names.map(|name| (name.to_owned(), model.clone()));
    for entry in fs::read_dir(common::root().join("experiments/plans")).unwrap() {
        let plan = Plan::read(&entry.unwrap().path()).unwrap();
        let cells = plan.cells().unwrap();
        // Other seeds have the same options.
        let seed = &cells[0].axes["seed"];
        for cell in cells.iter().filter(|cell| cell.axes["seed"] == *seed) {
            for (step, filled) in cell.steps.iter().zip(cell.filled(&set).unwrap()) {
                let named = format!("{}: {}, {}", plan.name, cell.name, step.name);
                let words: Vec<String> = step.words().collect();
                let mut arguments: Vec<&str> = filled.iter().map(String::as_str).collect();
                // An evaluation has no options in a file.
                if let [command, rest] = &words[..] {
                    let help = succeed(command, folder, &[rest, "--help"]).stdout;
                    let help = text(&help);
                    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
                        assert!(help.contains(&format!("{flag} ")), "{named}: {flag}");
                    }
                    continue;
                }
                let config = serde_json::to_string(&step.config).unwrap();
                fs::write(folder.join("cell.json"), config).unwrap();
                arguments.extend(["--config", "cell.json"]);
                let found = options(folder, &words[0], &arguments);
                assert!(found.is_object(), "{named}");
            }
        }
    }
}
