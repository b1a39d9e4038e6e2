//! Runs, failures, stops, commits.

use super::*;

#[test]
fn finished_cells_are_not_run_again() {
    let mut value = tiny("plain");
    value["config"] = json!({ "ser": { "folder": "${data}/x" } });
    let place = Place::new(&value);
    let data = place.path("sets").display().to_string();
    let set = format!("data={data}");
    let missing = place.sweep(&[]);
    assert!(!missing.status.success());
    assert!(text(&missing).contains("error: ${data} has no value: give --set data=VALUE"));
    assert!(place.calls().is_empty());

    let first = place.sweep(&["--set", &set, "--only", "seed=1", "--jobs", "1"]);
    assert!(first.status.success(), "{}", text(&first));
    let call =
        format!("seed=1 share=0 resume=no threads= config={{\"ser\":{{\"folder\":\"{data}/x\"}}}}");
    assert_eq!(place.calls(), [call]);
    // What a killed runner may leave at the end.
    let results = place.path("docs/results/tiny.jsonl");
    let whole = fs::read_to_string(&results).unwrap();
    fs::write(&results, format!("{whole}{}", &whole[..40])).unwrap();

    let second = place.sweep(&["--set", &set, "--jobs", "2"]);
    assert!(second.status.success(), "{}", text(&second));
    assert_eq!(place.calls().len(), 3);
    let rows = place.rows();
    let mut seeds: Vec<&Value> = rows.iter().map(|row| &row.axes["seed"]).collect();
    assert_eq!(seeds.remove(0), &json!(1));
    assert!(seeds.contains(&&json!(0)) && seeds.contains(&&json!(2)));
    assert_eq!(rows[0].threads, None);
    for row in &rows[1..] {
        assert_eq!(row.threads, Some(1));
    }
    assert!(
        place.calls()[1..]
            .iter()
            .all(|call| call.contains("threads=1 "))
    );
    assert_eq!(rows[0].fields["ser"], json!(0.1));
    assert_eq!(rows[0].fields["steps"], json!(11));
    assert_eq!((rows[0].status, rows[0].resumed), (Some(0), false));
    // No path of this machine, not even in a kept text.
    assert_eq!(rows[0].fields["data"], json!("${data}/train.csv"));
    let lines = fs::read_to_string(&results).unwrap();
    assert!(!lines.contains(&*place.dir.path().to_string_lossy()));

    let third = place.sweep(&["--set", &set]);
    assert!(third.status.success());
    assert_eq!((place.calls().len(), place.rows().len()), (3, 3));
    assert!(text(&third).contains("0 finished, 0 failed, 3 done before"));
    let run = place.run_folder(&rows[0]);
    assert!(run.join("summary.json").exists() && run.join("plots").exists());
    assert!(!run.join("checkpoints").exists() && !run.join("model").exists());
}

#[test]
fn a_failing_cell_is_a_row_and_is_retried_only_when_asked() {
    let place = Place::new(&tiny("fail"));
    let data = place.path("sets").display().to_string();
    let args = ["--set", &format!("data={data}"), "--keep"];
    let first = place.sweep(&args);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first));
    let failed: Vec<Row> = place
        .rows()
        .into_iter()
        .filter(|row| !row.is_ok())
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].status, Some(3));
    assert_eq!(
        failed[0].error.as_deref(),
        Some("error: ${data}/train.csv has no rows")
    );
    assert!(failed[0].fields.is_empty());
    assert_eq!(place.calls().len(), 3);
    assert!(place.sweep(&args).status.success());
    assert_eq!(place.calls().len(), 3);
    assert!(text(&place.sweep(&["--list"])).contains("failed"));
    assert!(
        text(&place.sweep(&["--summary"])).contains("Failed, in no mean: seed=1: error: ${data}")
    );

    fs::write(place.path("gate"), "").unwrap();
    assert!(
        place
            .sweep(&[&args[..], &["--retry-failed"]].concat())
            .status
            .success()
    );
    assert_eq!(place.calls().len(), 4);
    assert!(place.calls()[3].starts_with("seed=1 share=0 resume=yes"));
    let rows = place.rows();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].is_ok() && rows[3].resumed);
    assert!(place.run_folder(&rows[3]).join("checkpoints").exists());
    let summary = text(&place.sweep(&["--summary", "--all"]));
    // Seeds 0, 1, 2 report .0, .1, .2.
    assert!(
        summary.contains("| 3 | 0.1000 ± 0.1000 | 11.00 ± 1.0000 |"),
        "{summary}"
    );
    assert!(
        summary.contains("| seed=2 | ${data}/train.csv | 0.2000 | 12.00 |"),
        "{summary}"
    );
}

#[test]
fn ctrl_c_asks_the_programs_and_leaves_no_row() {
    // The second way is that of a script's background job, which SIGTERM ends.
    let ways = [
        ("--default-signal=INT,TERM,HUP", "INT"),
        ("--ignore-signal=INT", "TERM"),
    ];
    let ways = &ways[..if cfg!(target_os = "linux") { 2 } else { 1 }];
    for (signals, signal) in ways {
        asked_to_stop(signals, signal);
    }
}

fn asked_to_stop(signals: &str, signal: &str) {
    let place = Place::new(&tiny("wait"));
    let args = ["--set", "data=d", "--jobs", "2"];
    let mut runner = Place::quiet(place.command_with(signals, &args));
    place.wait_for_calls(2);
    let kill = format!("kill -{signal} {}", runner.id());
    let kill = ["-c", kill.as_str()];
    assert!(Command::new("sh").args(kill).status().unwrap().success());
    assert_eq!(runner.wait().unwrap().code(), Some(130));
    assert_eq!(place.calls().len(), 2);
    assert!(place.rows().is_empty());

    fs::write(place.path("gate"), "").unwrap();
    assert!(place.sweep(&["--set", "data=d"]).status.success());
    let again = place.calls().split_off(2);
    assert_eq!(
        again
            .iter()
            .filter(|call| call.contains("resume=yes"))
            .count(),
        2
    );
    assert_eq!(place.rows().iter().filter(|row| row.resumed).count(), 2);
}

#[test]
fn a_program_that_outlives_its_runner_is_waited_for() {
    let place = Place::new(&tiny("wait"));
    let args = ["--set", "data=d", "--only", "seed=0"];
    let mut runner = place.start(&args);
    place.wait_for_calls(1);
    runner.kill().unwrap();
    runner.wait().unwrap();
    let mut next = place.start(&args);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(place.calls().len(), 1, "two programs in one run folder");
    fs::write(place.path("gate"), "").unwrap();
    assert!(next.wait().unwrap().success());
    assert!(place.calls()[1].contains("resume=yes"));
    assert_eq!(place.rows().len(), 1);
}

#[test]
fn two_runners_share_a_plan() {
    let place = Place::new(&tiny("wait"));
    let mut runners: Vec<Child> = (0..2)
        .map(|_| place.start(&["--set", "data=d", "--jobs", "3"]))
        .collect();
    place.wait_for_calls(3);
    fs::write(place.path("gate"), "").unwrap();
    for runner in &mut runners {
        assert!(runner.wait().unwrap().success());
    }
    assert_eq!((place.calls().len(), place.rows().len()), (3, 3));
}

#[test]
fn rows_name_and_make_commits() {
    let place = Place::new(&tiny("plain"));
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .current_dir(place.dir.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["config", "user.name", "t"]);
    git(&["config", "user.email", "t@example.org"]);
    git(&["add", "plan.json"]);
    git(&["commit", "-q", "-m", "plan"]);
    let head = git(&["rev-parse", "HEAD"]);
    let output = place.sweep(&["--set", "data=d", "--commit"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(git(&["log", "--format=%s"]).lines().count(), 4);
    assert_eq!(git(&["status", "--porcelain", "-uno"]), "");
    let rows = place.rows();
    assert!(
        rows.iter()
            .all(|row| row.commit.as_deref() == Some(&*head) && !row.dirty)
    );

    let changed = fs::read_to_string(&place.plan)
        .unwrap()
        .replace("[0,1,2]", "[0,1,2,3]");
    fs::write(&place.plan, changed).unwrap();
    assert!(place.sweep(&["--set", "data=d"]).status.success());
    let rows = place.rows();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].dirty && rows[3].commit.as_deref() != Some(&*head));
}
