//! The cache on disk: repeated questions, new questions, and files left by a crash.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{Completion, GenerateError, Generator, Key, Prompt, Sampling};
use collimate_judge::{
    AnswerPair, Cache, Item, Judge, JudgeError, JudgeOptions, PromptStyle, Rubric, Template,
    TemplateKind,
};
use common::{Toy, by_number, judge, lenient};

fn open(path: &Path) -> Arc<Cache> {
    Arc::new(Cache::open(path).unwrap())
}

fn items(answers: &[&str]) -> Vec<Item> {
    answers.iter().map(|&a| Item::new("q", a)).collect()
}

#[test]
fn a_second_run_asks_nothing_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let counter = AtomicUsize::new(0);
    // Gives another text each time it is asked.
    let toy = Toy::new(|_: &str, _| {
        let next = counter.fetch_add(1, Ordering::Relaxed);
        format!("\"So\"\nScore: {}", next % 6)
    });
    let items = items(&["a", "b", "ü\n\"", "d"]);
    let run = || {
        let judge = judge(&toy, lenient()).with_cache(open(&path));
        judge.grade(&Rubric::additive(), &items).unwrap()
    };
    let first = run();
    assert_eq!((toy.written(), first.report.generated), (12, 12));
    let second = run();
    assert_eq!((toy.written(), second.report.cached), (12, 12));
    assert_eq!(second.report.generated, 0);
    assert_eq!(first.grades, second.grades);
    // Without a cache everything is asked again.
    judge(&toy, lenient())
        .grade(&Rubric::additive(), &items)
        .unwrap();
    assert_eq!(toy.written(), 24);
}

#[test]
fn pairs_are_cached_in_both_orders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let toy = Toy::new(|prompt: &str, _| by_number(prompt));
    let duels = [
        AnswerPair::new("q", "1", "2"),
        AnswerPair::new("q", "4", "3"),
    ];
    let run = |duels: &[AnswerPair], seed| {
        let judge = judge(&toy, JudgeOptions::greedy()).with_cache(open(&path));
        let key = Key::new(seed, "judging");
        judge
            .compare(&Template::mt_bench_pair(), duels, key)
            .unwrap()
    };
    let first = run(&duels, 1);
    assert_eq!(toy.written(), 4);
    // Another key and exchanged sides need no new judgements.
    assert_eq!(run(&duels, 2).record, first.record);
    let swapped = duels.clone().map(AnswerPair::swapped);
    assert_eq!(run(&swapped, 1).record.counts().win, 1);
    assert_eq!(toy.written(), 4);
}

#[test]
fn everything_a_judgement_depends_on_is_in_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&folder.path().join("judge.jsonl"));
    let toy = Toy::new(|_: &str, _| "Score: 1\nRating: [[1]]\nScore: 1");
    let asked = |name: &str, options: JudgeOptions, rubric: &Rubric, item: Item| {
        let before = toy.written();
        let judge = Judge::new(name, &toy, options).unwrap();
        let judge = judge.with_cache(Arc::clone(&cache));
        judge.grade(rubric, &[item]).unwrap();
        toy.written() - before
    };
    let additive = Rubric::additive();
    let item = || Item::new("q", "a");
    let ask = |change: fn(&mut JudgeOptions)| {
        let mut options = lenient();
        change(&mut options);
        asked("toy", options, &additive, item())
    };
    assert_eq!(ask(|_| {}), 3);
    assert_eq!(ask(|_| {}), 0);
    // The key ignores options that do not change a judgement.
    assert_eq!(ask(|o| o.batch = 1), 0);
    assert_eq!(ask(|o| o.min_parse_rate = 0.1), 0);
    assert_eq!(ask(|o| o.samples = 2), 0);
    assert_eq!(ask(|o| o.sampling.seed = 1), 3);
    assert_eq!(ask(|o| o.sampling.temperature = 0.5), 3);
    assert_eq!(ask(|o| o.sampling.top_p = 0.5), 3);
    assert_eq!(ask(|o| o.sampling.top_k = 5), 3);
    assert_eq!(ask(|o| o.sampling.repetition_penalty = 1.1), 3);
    assert_eq!(ask(|o| o.sampling.max_new_tokens = 5), 3);
    assert_eq!(ask(|o| o.sampling.stop = vec!["x".into()]), 3);
    assert_eq!(ask(|o| o.style = PromptStyle::Text), 3);
    assert_eq!(asked("other", lenient(), &additive, item()), 3);
    assert_eq!(asked("toy", lenient(), &additive, Item::new("p", "a")), 3);
    assert_eq!(asked("toy", lenient(), &additive, Item::new("q", "b")), 3);
    // The border between question and answer is part of the key.
    assert_eq!(asked("toy", lenient(), &additive, Item::new("qa", "-")), 3);
    assert_eq!(asked("toy", lenient(), &additive, Item::new("q", "a-")), 3);
    assert_eq!(asked("toy", lenient(), &Rubric::mt_bench(), item()), 3);
    let own = |system: Option<&str>, user: &str| {
        let system = system.map(str::to_owned);
        let template = Template::new("additive", TemplateKind::Answer, system, user).unwrap();
        Rubric::new(template, additive.format().clone(), additive.range()).unwrap()
    };
    assert_eq!(
        asked("toy", lenient(), &own(None, "{question}{answer}"), item()),
        3
    );
    assert_eq!(
        asked("toy", lenient(), &own(None, "{answer}{question}"), item()),
        3
    );
    assert_eq!(
        asked(
            "toy",
            lenient(),
            &own(Some(""), "{question}{answer}"),
            item()
        ),
        3
    );
    let other_system = own(Some("Be strict."), "{question}{answer}");
    assert_eq!(asked("toy", lenient(), &other_system, item()), 3);
    // Another format or range reads the same cached judgements.
    let template = Template::additive();
    let wide = Rubric::new(
        template,
        additive.format().clone(),
        Rubric::mt_bench().range(),
    );
    assert_eq!(asked("toy", lenient(), &wide.unwrap(), item()), 0);
}

#[test]
fn more_samples_ask_for_the_missing_ones_with_another_seed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&folder.path().join("judge.jsonl"));
    let toy = Toy::new(|_: &str, sample| format!("Score: {sample}"));
    let grade = |samples| {
        let options = JudgeOptions {
            samples,
            ..lenient()
        };
        let judge = judge(&toy, options).with_cache(Arc::clone(&cache));
        judge.grade(&Rubric::additive(), &items(&["a"])).unwrap()
    };
    grade(2);
    assert_eq!(grade(5).grades[0].votes.len(), 5);
    assert_eq!(toy.written(), 5);
    let samplings = toy.samplings.lock().unwrap();
    assert_eq!((samplings[0].n, samplings[1].n), (2, 3));
    assert_ne!(samplings[0].seed, samplings[1].seed);
}

#[test]
fn cached_judgements_count_once_in_the_parse_rate() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&folder.path().join("judge.jsonl"));
    let prose = Toy::new(|_: &str, _| "prose");
    let good = Toy::new(|_: &str, _| "Score: 1");
    let options = |samples, min_parse_rate| JudgeOptions {
        samples,
        min_parse_rate,
        ..JudgeOptions::default()
    };
    let one = judge(&prose, options(1, 0.0)).with_cache(Arc::clone(&cache));
    one.grade(&Rubric::additive(), &items(&["a"])).unwrap();
    // Nothing new is asked, but the judge is still refused.
    let again = judge(&good, options(1, 0.5)).with_cache(Arc::clone(&cache));
    let error = again.grade(&Rubric::additive(), &items(&["a"]));
    assert!(matches!(
        error,
        Err(JudgeError::ParseRate { judgements: 1, .. })
    ));
    assert_eq!(good.calls(), 0);
    // One of two judgements parses.
    let two = judge(&good, options(2, 0.5)).with_cache(cache);
    let grades = two.grade(&Rubric::additive(), &items(&["a"])).unwrap();
    assert_eq!(grades.report.parse_rate(), Some(0.5));
}

/// Fails from a certain call on, like a killed process.
struct Killed {
    calls: AtomicUsize,
    at: usize,
}

impl Generator for Killed {
    fn generate(
        &self,
        prompts: &[Prompt],
        s: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.at {
            return Err(GenerateError::Interrupted);
        }
        Ok(vec![vec!["Score: 2".into(); s.n]; prompts.len()])
    }
}

#[test]
fn what_was_finished_before_an_interruption_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let answers: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let options = || JudgeOptions {
        batch: 3,
        ..lenient()
    };
    let killed = Killed {
        calls: AtomicUsize::new(0),
        at: 2,
    };
    let judge_killed = judge(&killed, options()).with_cache(open(&path));
    let error = judge_killed.grade(&Rubric::additive(), &items(&answers));
    assert!(matches!(
        error,
        Err(JudgeError::Generate(GenerateError::Interrupted))
    ));
    assert_eq!(open(&path).len(), 18);
    let toy = Toy::new(|_: &str, _| "Score: 2");
    let again = judge(&toy, options()).with_cache(open(&path));
    let report = again
        .grade(&Rubric::additive(), &items(&answers))
        .unwrap()
        .report;
    assert_eq!(
        (toy.written(), report.cached, report.generated),
        (12, 18, 12)
    );
}

#[test]
fn a_torn_last_line_is_dropped_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let toy = Toy::new(|_: &str, _| "Score: 2");
    let run = || {
        let judge = judge(&toy, lenient()).with_cache(open(&path));
        judge
            .grade(&Rubric::additive(), &items(&["a", "b"]))
            .unwrap();
    };
    run();
    let whole = fs::read(&path).unwrap();
    for cut in [1, 20, whole.len() / 2] {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let kept = open(&path).len();
        assert!(kept < 6, "{cut}");
        let before = toy.written();
        run();
        assert_eq!(open(&path).len(), 6);
        // Samples are numbered, so an item requests only its missing samples.
        assert_eq!(toy.written() - before, 6 - kept, "{cut}");
    }
    let text = String::from_utf8(whole).unwrap();
    let broken = text.replacen("{\"key\"", "{\"kee\"", 2);
    fs::write(&path, broken).unwrap();
    let message = Cache::open(&path).unwrap_err().to_string();
    assert!(
        message.contains("judge.jsonl, line 1: unknown field `kee`"),
        "{message}"
    );
    assert!(message.ends_with("delete the line"), "{message}");
    fs::write(&path, b"\xff\n").unwrap();
    assert!(matches!(
        Cache::open(&path),
        Err(JudgeError::CacheLine { line: 1, .. })
    ));
    let nowhere = Cache::open(folder.path().join("no/such/folder.jsonl"));
    assert!(matches!(nowhere, Err(JudgeError::Cache { .. })));
}

#[test]
fn a_line_torn_by_another_process_is_dropped_before_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let toy = Toy::new(|_: &str, _| "Score: 2");
    let judge = judge(&toy, lenient()).with_cache(open(&path));
    judge.grade(&Rubric::additive(), &items(&["a"])).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"key\":\"to");
    fs::write(&path, &bytes).unwrap();
    judge.grade(&Rubric::additive(), &items(&["b"])).unwrap();
    assert_eq!(open(&path).len(), 6);
}

#[test]
fn two_caches_on_one_file_write_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let toy = Toy::new(|_: &str, _| "Score: 2 ".repeat(500));
                let options = JudgeOptions {
                    batch: 1,
                    ..lenient()
                };
                let judge = judge(&toy, options).with_cache(open(path));
                let answers: Vec<String> = (0..20).map(|i| format!("{worker} {i}")).collect();
                let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
                judge.grade(&Rubric::additive(), &items(&answers)).unwrap();
            });
        }
    });
    assert_eq!(open(&path).len(), 4 * 20 * 3);
}

/// Another key would request everything again that users have paid for.
#[test]
fn value_stability_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.jsonl");
    let toy = Toy::new(|_: &str, _| "Score: 2");
    let judge = judge(&toy, lenient()).with_cache(open(&path));
    judge.grade(&Rubric::additive(), &items(&["a"])).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .map(|line| common::between(line, "\"key\":\"", "\""))
        .collect();
    // Computed with Python's blake3 over the parts, each with its length in front.
    let expected = [
        "d6a1f7d55ee00323f14e82dc06e07bd496b4f6cc019dc2acd3a4325e1b546e67",
        "d030a1266dc07a8b9b324f22a8f02767eb9f3a55c367b699e56ddc46e06b2dc8",
        "bd08d2aa68bda8c730885d533d93ba1e82951f78caf1f6296087f7f09d84398b",
    ];
    assert_eq!(keys, expected);
}
