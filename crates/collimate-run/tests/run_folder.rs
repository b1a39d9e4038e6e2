//! Run folders, reports and plots, without a model.

use std::path::Path;

use collimate_files::atomic_write;
use collimate_run::{
    BarChart, BarSeries, Histogram, LineChart, LineSeries, Plot, Report, RunError, RunFolder,
    StageState, Templates, hash_file,
};
use serde_json::{Value, json};

#[test]
fn a_stage_is_fresh_then_resumed_then_done() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "seed": 1 });
    let open = || RunFolder::create(folder.path(), &config).unwrap();
    assert_eq!(open().stage("sft", "a").unwrap(), StageState::Fresh);
    assert_eq!(open().stage("sft", "a").unwrap(), StageState::Resume);
    let mut run = open();
    run.complete("sft", &json!({ "loss": 0.5 })).unwrap();
    assert_eq!(
        run.stage("sft", "a").unwrap(),
        StageState::Done(json!({ "loss": 0.5 }))
    );
    drop(run);
    let mut run = open();
    assert_eq!(
        run.stage("sft", "a").unwrap(),
        StageState::Done(json!({ "loss": 0.5 }))
    );
    assert_eq!(run.stage("reward", "b").unwrap(), StageState::Fresh);
    let error = run.stage("sft", "c").unwrap_err();
    assert!(
        matches!(&error, RunError::StageChanged { stage, .. } if stage == "sft"),
        "{error}"
    );
    assert!(run.complete("never", &Value::Null).is_err());
    assert!(run.stage("../up", "a").is_err());
}

#[test]
fn the_seconds_of_all_processes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let pause = std::time::Duration::from_millis(60);
    let mut run = RunFolder::create(folder.path(), &json!({})).unwrap();
    std::thread::sleep(pause);
    run.stage("sft", "a").unwrap();
    let first = run.seconds();
    assert!(first >= 0.06, "{first}");
    drop(run);
    let run = RunFolder::open(folder.path()).unwrap();
    std::thread::sleep(pause);
    let both = run.seconds();
    assert!(both >= 0.12 && both < first + 60.0, "{both}");
    // A process that ends no stage adds nothing.
    drop(run);
    let again = RunFolder::open(folder.path()).unwrap().seconds();
    assert!(again >= 0.06 && again < both, "{again}");
}

#[test]
fn a_redone_stage_loses_its_checkpoints_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunFolder::create(folder.path(), &json!({})).unwrap();
    run.stage("sft", "a").unwrap();
    run.metrics().log("sft", 1, [("loss", 1.0)]).unwrap();
    run.metrics().log("other", 1, [("loss", 2.0)]).unwrap();
    let checkpoint = run.checkpoints().join("sft/step-000001");
    std::fs::create_dir_all(&checkpoint).unwrap();
    run.redo("sft").unwrap();
    assert!(!checkpoint.exists());
    assert_eq!(run.metrics().rows().unwrap().len(), 1);
    assert_eq!(run.stage("sft", "c").unwrap(), StageState::Fresh);
    run.metrics().log("sft", 1, [("loss", f64::NAN)]).unwrap();
    assert_eq!(run.metrics().rows().unwrap()[1]["loss"], Value::Null);
}

#[test]
fn another_configuration_is_refused_by_the_first_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "a": 1, "b": { "c": [1, 2], "d": 0.1 } });
    drop(RunFolder::create(folder.path(), &config).unwrap());
    drop(RunFolder::create(folder.path(), &config).unwrap());
    let other = json!({ "a": 1, "b": { "c": [1, 3], "d": 0.2 } });
    let error = RunFolder::create(folder.path(), &other)
        .unwrap_err()
        .to_string();
    assert!(error.contains("b.c was [1,2], now it is [1,3]"), "{error}");
    let run = RunFolder::open(folder.path()).unwrap();
    assert_eq!(run.config::<Value>().unwrap(), config);
}

#[test]
fn a_run_without_a_step_gives_its_folder_away() {
    let folder = tempfile::tempdir().unwrap();
    let clear = |path: &Path| RunFolder::clear_unstarted(path).unwrap();
    let begun = |name: &str| {
        let path = folder.path().join(name);
        let mut run = RunFolder::create(&path, &json!({ "seed": 1 })).unwrap();
        run.stage("sft", "a").unwrap();
        (path, run)
    };
    let (path, run) = begun("failed");
    run.folder("checkpoints/sft").unwrap();
    let references = run.folder("references").unwrap();
    std::fs::write(references.join("sft.safetensors"), "x").unwrap();
    assert!(!clear(&path), "a run that goes on keeps its folder");
    drop(run);
    assert!(clear(&path));
    drop(RunFolder::create(&path, &json!({ "seed": 2 })).unwrap());

    let (path, run) = begun("logged");
    run.metrics().log("sft", 1, [("loss", 1.0)]).unwrap();
    drop(run);
    assert!(!clear(&path));
    let (path, mut run) = begun("done");
    run.complete("sft", &json!(1)).unwrap();
    drop(run);
    assert!(!clear(&path));
    let (path, run) = begun("saved");
    let checkpoint = run.folder("checkpoints/sft/step-000001").unwrap();
    std::fs::write(checkpoint.join("state.json"), "{}").unwrap();
    drop(run);
    assert!(!clear(&path));
    let (path, run) = begun("foreign");
    drop(run);
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    assert!(!clear(&path));
    for name in ["logged", "done", "saved", "foreign"] {
        let config = folder.path().join(name).join("config.json");
        assert!(config.exists(), "{name}");
    }
    // Folders that no run created.
    assert!(!clear(folder.path()));
    assert!(!clear(&folder.path().join("nowhere")));
}

#[test]
fn one_process_at_a_time_and_no_stale_lock() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunFolder::create(folder.path(), &json!({})).unwrap();
    let error = RunFolder::create(folder.path(), &json!({})).unwrap_err();
    assert!(matches!(error, RunError::Locked { .. }), "{error}");
    drop(first);
    assert!(
        folder.path().join("run.lock").exists(),
        "the file stays, the lock does not"
    );
    RunFolder::create(folder.path(), &json!({})).unwrap();
}

#[test]
fn a_folder_with_something_else_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    let error = RunFolder::create(folder.path(), &json!({}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("thesis.tex: does not belong to a run"),
        "{error}"
    );
    assert!(!folder.path().join("run.lock").exists());
    assert!(RunFolder::open(folder.path()).is_err());
}

#[test]
fn a_folder_of_the_run_is_given_without_what_a_kill_left() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), &json!({})).unwrap();
    let answers = run.folder("answers").unwrap();
    std::fs::write(answers.join(".unfinished-4242-0-m1.jsonl"), "half").unwrap();
    std::fs::write(answers.join("m1.jsonl"), "whole").unwrap();
    run.folder("answers").unwrap();
    let names: Vec<_> = std::fs::read_dir(&answers)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["m1.jsonl"]);
}

#[test]
fn a_run_that_is_opened_has_nothing_half_written_in_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(RunFolder::create(&path, &json!({})).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    for at in [path.join("models/start/2_Dense"), path.join("model")] {
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("config.json"), "{}").unwrap();
        std::fs::write(at.join(".unfinished-4242-2-model.safetensors"), "half").unwrap();
    }
    let part = ".unfinished-4242-0-notes";
    std::fs::write(elsewhere.path().join(part), "not of this run").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(elsewhere.path(), path.join("link")).unwrap();
    // A running writer holds a lock on the file that it writes.
    let living = path.join("model/.unfinished-4242-3-config.json");
    let writer = std::fs::File::create(&living).unwrap();
    writer.lock().unwrap();
    drop(RunFolder::open(&path).unwrap());
    let names = |at: &str| {
        let mut names: Vec<_> = std::fs::read_dir(path.join(at))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("models/start/2_Dense"), ["config.json"]);
    assert_eq!(
        names("model"),
        [".unfinished-4242-3-config.json", "config.json"]
    );
    assert!(elsewhere.path().join(part).exists());
}

#[test]
fn files_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.json");
    atomic_write(&path, b"one").unwrap();
    atomic_write(&path, b"two").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(
        hash_file(&path).unwrap(),
        blake3::hash(b"two").to_hex().to_string()
    );
    let error = atomic_write(&folder.path().join("no/such"), b"x")
        .unwrap_err()
        .to_string();
    assert!(error.contains("no"), "{error}");
}

fn curve(rate: f64, steps: usize) -> Vec<(f64, f64)> {
    (0..steps)
        .map(|step| {
            let x = step as f64 * 1000.0 / steps as f64;
            (x, 0.35 + 0.4 * (-x * rate).exp() + 0.01 * (x * 0.13).sin())
        })
        .collect()
}

fn bell(mean: f64, count: usize) -> Vec<f64> {
    (0..count)
        .map(|i| {
            let u = (i as f64 + 0.5) / count as f64;
            mean + 0.8 * (u / (1.0 - u)).ln()
        })
        .collect()
}

fn figures() -> Report {
    let names = ["base", "loop 1", "loop 2", "loop 3", "all labels"];
    let line = LineChart::new("Held-out loss of the reward model", "step", "loss in nats")
        .with(LineSeries::new("15 % of labels", curve(0.004, 30)))
        .with(LineSeries::new("SER, loop 3", curve(0.008, 200)))
        .with(LineSeries::new("all labels", curve(0.012, 25)));
    let groups = names.map(str::to_owned).to_vec();
    let accuracy = vec![0.612, 0.655, 0.681, 0.693, 0.702];
    let intervals = accuracy.iter().map(|a| (a - 0.018, a + 0.018)).collect();
    let bars = BarChart::new(
        "Accuracy on held-out pairs",
        "reward model",
        "accuracy",
        groups,
    )
    .with(BarSeries::new("Δ-filtered", accuracy).with_intervals(intervals))
    .with(BarSeries::new(
        "unfiltered",
        vec![0.612, 0.63, 0.62, 0.615, f64::NAN],
    ));
    let histogram = Histogram::new("Margins before and after the second loop", "reward margin")
        .with("before", bell(0.1, 900))
        .with("after", bell(1.4, 700));
    let figures = vec![
        ("loss".to_owned(), line.into()),
        ("accuracy".to_owned(), bars.into()),
        ("margins".to_owned(), histogram.into()),
    ];
    let values = json!({"header": "a|b", "rows": [[1, null], [22, 3]]});
    TEMPLATES.render("report.md", &values, figures).unwrap()
}

const PLOTS: &str = "# Report
{% include 'loss.md' %}

{{ figure('accuracy', 'With 95 % intervals.') }}

{{ figure('margins', 'Shares.') }}

| {{ header }} | c |
|---|---|
{% for row in rows %}
| {{ row | join(' | ' | safe) }} |
{% endfor %}
";

const TEMPLATES: Templates = Templates::new(&[
    ("report.md", PLOTS),
    (
        "loss.md",
        "## Loss\n\n{{ figure('loss', 'Three seeds | one line each.') }}\n",
    ),
    ("outer.md", "{% include 'inner.md' %}"),
    ("inner.md", "One\n{{ rows[0].absent }}\n"),
]);

#[test]
fn a_template_with_a_mistake_is_named_with_its_line() {
    let plot = || LineChart::new("t", "x", "y").with(LineSeries::new("a", vec![(0.0, 1.0)]));
    let values = json!({"rows": [{}], "header": "a"});
    for (name, says) in [
        (
            "outer.md",
            "report template inner.md, line 2: undefined value",
        ),
        (
            "report.md",
            "report template report.md: the figure other is not shown",
        ),
        ("none.md", "report template none.md: template not found"),
    ] {
        let figures = vec![("other".to_owned(), plot().into())];
        let error = TEMPLATES.render(name, &values, figures).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

#[test]
fn a_report_has_its_plots_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = figures().write(folder.path()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains("![Accuracy on held-out pairs](plots/accuracy.svg)"),
        "{text}"
    );
    assert!(
        text.contains("| a\\|b | c |\n|------|---|\n| 1    | – |"),
        "{text}"
    );
    for name in ["loss", "accuracy", "margins"] {
        let at = |extension: &str| folder.path().join(format!("plots/{name}.{extension}"));
        let svg = std::fs::read_to_string(at("svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(&std::fs::read(at("png")).unwrap()[1..4], b"PNG");
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("plots"))
            .unwrap()
            .count(),
        6
    );
    if let Some(keep) = std::env::var_os("COLLIMATE_KEEP_PLOTS") {
        figures().write(Path::new(&keep)).unwrap();
    }
}

#[test]
fn the_same_plot_has_the_same_bytes_and_one_without_data_is_an_error() {
    let write = || {
        let folder = tempfile::tempdir().unwrap();
        let chart = LineChart::new("t", "x", "y").with(LineSeries::new(
            "a",
            vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)],
        ));
        let paths = Plot::from(chart).write(&folder.path().join("p")).unwrap();
        paths.map(|path| std::fs::read(path).unwrap())
    };
    assert_eq!(write(), write());
    let folder = tempfile::tempdir().unwrap();
    let empty = Plot::from(LineChart::new("nothing", "x", "y"));
    let error = empty.write(&folder.path().join("p")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plot nothing: there is no finite point to draw"
    );
    let groups = vec!["a".to_owned(), "b".to_owned()];
    let ragged = BarChart::new("r", "x", "y", groups).with(BarSeries::new("s", vec![1.0]));
    let error = Plot::from(ragged)
        .write(&folder.path().join("p"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("s has 1 values and 0 intervals for 2 groups"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn numbers_of_any_size_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("p");
    let ends = [
        (0.0, 0.0),
        (0.7, 0.7 + 1e-15),
        (1e9, 1e9 + 1e-6),
        (-3e38, 3e38),
        (0.0, 1e-40),
    ];
    for (low, high) in ends {
        let line = LineSeries::new("a", vec![(low, high), (high, low)]);
        let bars = BarSeries::new("a", vec![low, high]);
        let groups = vec!["x".to_owned(), "y".to_owned()];
        let plots = [
            Plot::from(LineChart::new("l", "x", "y").with(line)),
            Plot::from(BarChart::new("b", "x", "y", groups).with(bars)),
            Plot::from(Histogram::new("h", "x").with("a", vec![low, high])),
        ];
        for plot in plots {
            plot.write(&stem).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_stream_has_no_hash() {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let error = collimate_run::hash_file(Path::new(&path)).unwrap_err();
    assert!(error.to_string().contains("a pipe or a device"), "{error}");
    drop(writer);
}
