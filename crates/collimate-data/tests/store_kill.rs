//! A builder of a store that is killed at any moment. The test has no harness, because it starts
//! itself as the process that is killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use collimate_data::{
    Begun, SpecialTokenIds, StoreBuilder, StoreKey, TextTokenizer, TokenStore, TokenizeReport,
    TokenizedPair,
};
use serde_json::{Value, json};
use tokenizers::Tokenizer;

const DIR: &str = "COLLIMATE_STORE_TEST_DIR";
const NAME: &str = "COLLIMATE_STORE_TEST_NAME";
/// Fewest and most kills.
const ROUNDS: [u64; 2] = [32, 300];
/// Time in which there may be more than the fewest kills.
const LONG_ENOUGH: Duration = Duration::from_secs(4);
/// The last rows come after the last checkpoint.
const ROWS: u64 = 3100;
/// Rows between two checkpoints.
const BETWEEN: u64 = 400;
const FILES: [&str; 3] = ["ids.u32", "rows.bin", "store.json"];

fn main() {
    match (std::env::var(DIR), std::env::var(NAME)) {
        (Ok(dir), Ok(name)) => build(Path::new(&dir), &name),
        _ => a_killed_builder_leaves_no_store_that_opens_and_is_continued(),
    }
}

/// Returns the key of the store with a name. Every process must find the same key.
fn key(name: &str) -> String {
    static TOKENIZER: OnceLock<String> = OnceLock::new();
    let fingerprint = TOKENIZER.get_or_init(|| tokenizer().fingerprint().unwrap());
    StoreKey::new(name).text(fingerprint).finish()
}

fn tokenizer() -> TextTokenizer {
    let inner = Tokenizer::from_bytes(include_bytes!("tokenizers/byte-level.json")).unwrap();
    let special = SpecialTokenIds {
        bos: None,
        eos: 0,
        pad: None,
    };
    TextTokenizer::new(inner, special, None).unwrap()
}

/// Row `at` of the store with a name.
fn row(name: &str, at: u64) -> TokenizedPair {
    let digest = blake3::hash(format!("{name} {at}").as_bytes());
    let ids = |from: usize, length: usize| {
        let bytes = digest.as_bytes().iter().cycle().skip(from).take(length);
        bytes.map(|byte| u32::from(*byte)).collect()
    };
    let length = usize::from(digest.as_bytes()[0] % 64);
    TokenizedPair {
        prompt: ids(1, length),
        chosen: ids(2, length / 2 + 1),
        rejected: ids(3, length / 3),
        truncated: length > 60,
        margin: (length > 30).then_some(length as f32),
        weight: None,
    }
}

/// The process that is killed. `consumed` input rows were done before.
fn build(dir: &Path, name: &str) {
    let Begun::Building(mut builder) = StoreBuilder::begin(dir, &key(name)).unwrap() else {
        return;
    };
    while builder.consumed() < ROWS {
        let at = builder.consumed();
        // Every third row of the input gives no row of the store.
        if at % 3 > 0 {
            builder.push(&row(name, at)).unwrap();
        }
        builder.rows_done(1, &report(at + 1)).unwrap();
        if (at + 1).is_multiple_of(BETWEEN) {
            builder.checkpoint().unwrap();
        }
    }
    builder.finish(report(ROWS), json!(name)).unwrap();
}

fn report(rows: u64) -> TokenizeReport {
    TokenizeReport {
        pairs: rows as usize,
        ..TokenizeReport::default()
    }
}

fn child(dir: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(DIR, dir)
        .env(NAME, name)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn a_killed_builder_leaves_no_store_that_opens_and_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let whole = |name: &str| folder.path().join(format!("whole {name}"));
    let start = Instant::now();
    for name in ["one", "two"] {
        assert!(child(&whole(name), name).wait().unwrap().success());
        check(&TokenStore::open(whole(name)).unwrap(), name);
    }
    // The longest wait, which follows the speed of the machine.
    let mut longest = start.elapsed() / 3;
    let dir = folder.path().join("killed");
    let (mut inside, mut continued, mut finished, mut before) = (0, 0, 0, 0);
    let mut names = ["one", "two"];
    let mut rounds = 0u64;
    let [fewest, most] = ROUNDS;
    while rounds < most {
        let seen = inside >= 3 && continued >= 3 && finished >= 1;
        if rounds >= fewest && seen && start.elapsed() > LONG_ENOUGH {
            break;
        }
        rounds += 1;
        let mut child = child(&dir, names[0]);
        let timed = !rounds.is_multiple_of(6);
        if timed {
            let share = blake3::hash(&rounds.to_le_bytes()).as_bytes()[0];
            thread::sleep(longest * u32::from(share) / 256);
        } else {
            // As soon as the description of the store is there.
            let is_there = || described(&dir.join("store.json"), names[0]).is_some();
            while child.try_wait().unwrap().is_none() && !is_there() {}
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = TokenStore::<TokenizedPair>::open(&dir);
        let progress = described(&dir.join("progress.json"), names[0]);
        let done = progress.map_or(0, |progress| progress["consumed"].as_u64().unwrap());
        let complete = matches!(&opened, Ok(store) if store.key() == key(names[0]));
        longest = match (complete, done) {
            (true, _) if timed => longest * 4 / 5,
            (false, 0) => longest * 5 / 4,
            _ => longest,
        };
        continued += u64::from(done > before && before > 0);
        before = done;
        match opened {
            Ok(store) if complete => {
                check(&store, names[0]);
                same(&dir, &whole(names[0]));
                finished += 1;
                before = 0;
                // The next build replaces this store.
                names.reverse();
            }
            // The new build has not removed the old store yet.
            Ok(store) => check(&store, names[1]),
            Err(error) => {
                assert!(error.to_string().contains("no complete"), "{error}");
                inside += u64::from(done > 0);
            }
        }
    }
    println!(
        "of {rounds} builds {inside} were killed between checkpoints, {continued} had continued, \
         {finished} stores were complete, {:?}",
        start.elapsed()
    );
    assert!(inside >= 3 && continued >= 3 && finished >= 1);
    assert!(child(&dir, names[0]).wait().unwrap().success());
    check(&TokenStore::open(&dir).unwrap(), names[0]);
    same(&dir, &whole(names[0]));
    let entries = fs::read_dir(&dir).unwrap();
    assert_eq!(
        entries.count(),
        FILES.len() + 1,
        "the lock, and nothing else"
    );
}

/// Returns the description in a file, if it belongs to the store with a name.
fn described(path: &Path, name: &str) -> Option<Value> {
    let bytes = fs::read(path).ok()?;
    let description: Value = serde_json::from_slice(&bytes).unwrap();
    (description["key"] == key(name)).then_some(description)
}

fn check(store: &TokenStore<TokenizedPair>, name: &str) {
    assert_eq!(store.key(), key(name));
    assert_eq!(
        (store.report(), store.about()),
        (&report(ROWS), &json!(name))
    );
    let mut stored = store.iter();
    for at in (0..ROWS).filter(|at| at % 3 > 0) {
        assert_eq!(stored.next().unwrap().unwrap(), row(name, at));
    }
    assert!(stored.next().is_none());
}

fn same(dir: &Path, whole: &Path) {
    for name in FILES {
        let [found, expected] = [dir, whole].map(|dir| fs::read(dir.join(name)).unwrap());
        assert!(found == expected, "{name}");
    }
}
