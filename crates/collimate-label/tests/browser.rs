//! Tests the page in a real browser, by the keyboard. Without chromedriver, each test reports on
//! standard error that it is skipped, and passes.
#![cfg(feature = "server")]

#[path = "common/http.rs"]
mod http;
#[path = "common/webdriver.rs"]
mod webdriver;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use collimate_label::{Desk, Page, PairSet, Server, Session, SessionOptions, journal_path};
use serde_json::Value;
use webdriver::{BACKSPACE, Browser, DOWN, ENTER, ESCAPE, LEFT, RIGHT, TAB};

/// A text that changes the page if it is treated as more than text.
const HOSTILE: &str = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script> \
                       [x](javascript:window.harmed=1) **bold**";

/// Slightly longer than the pause of the page between two decisions.
const PAUSE: Duration = Duration::from_millis(260);

fn rows() -> Vec<(String, String, String)> {
    (0..6)
        .map(|i| {
            let prompt = format!("question {i}");
            (prompt, format!("yes {i} {HOSTILE}"), format!("no {i}"))
        })
        .collect()
}

fn labels(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Presses a key and waits until the page shows another state.
#[track_caller]
fn press(browser: &Browser, key: &str) {
    let token = || browser.value("document.documentElement.dataset.token");
    let before = token();
    sleep(PAUSE);
    browser.press(key);
    browser.wait_for("the next pair", |_| token() != before);
}

fn opened(browser: &Browser, url: &str) {
    browser.open(url);
    browser.wait_for("the first pair", |browser| {
        !browser
            .value("document.documentElement.dataset.token || null")
            .is_null()
    });
}

fn start(folder: &Path) -> (Server, PathBuf) {
    let rows = rows().into_iter();
    let rows = rows.map(|(p, a, b)| (p.into(), a.into(), b.into()));
    let options = SessionOptions {
        repeat: 0.0,
        ..SessionOptions::default()
    };
    let session = Session::new(PairSet::new(rows), options).unwrap();
    let out = folder.join("labels.jsonl");
    let (desk, _) = Desk::open(session, &out).unwrap();
    let page = Page {
        labeller: "anna".to_owned(),
        next: "collimate ser".to_owned(),
        ceiling: Some("--ceiling".to_owned()),
    };
    let local = ([127, 0, 0, 1], 0).into();
    (Server::start(local, desk, page).unwrap(), out)
}

#[test]
fn pairs_are_labelled_by_the_keyboard() {
    let Some(browser) = Browser::start_or_skip("pairs_are_labelled_by_the_keyboard") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (server, out) = start(folder.path());
    opened(&browser, &server.url());
    assert_eq!(browser.text("count"), "0 of 6");
    assert_eq!(browser.text("who"), "anna");

    // The arrow key chooses the answer on that side.
    let chosen = |row: &Value| {
        row["chosen"]
            .as_str()
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    for (key, side) in [(RIGHT, "right"), (LEFT, "left")] {
        let shown = browser.text(side);
        let first = shown.split(' ').next().unwrap();
        press(&browser, key);
        assert_eq!(chosen(labels(&out).last().unwrap()), first);
    }
    assert_eq!(browser.text("count"), "2 of 6");
    assert_eq!(labels(&out).len(), 2);

    // Ties and skips are not labels. Undo takes back all of them.
    let asked = browser.text("prompt");
    press(&browser, "t");
    press(&browser, DOWN);
    press(&browser, "s");
    assert_eq!(browser.text("count"), "5 of 6");
    assert_eq!(labels(&out).len(), 2);
    press(&browser, "u");
    press(&browser, BACKSPACE);
    press(&browser, "U");
    assert_eq!(browser.text("prompt"), asked);
    assert_eq!(browser.text("count"), "2 of 6");

    // A key that is held down decides only once. While the help is open, it takes all keys.
    sleep(PAUSE);
    browser.press("?");
    browser.press(LEFT);
    browser.press("s");
    assert_eq!(browser.value("document.getElementById('help').open"), true);
    browser.press(ESCAPE);
    assert_eq!(browser.value("document.getElementById('help').open"), false);
    assert_eq!(browser.text("count"), "2 of 6");

    // Hostile texts stay texts, in both forms.
    for _ in 0..2 {
        let texts = browser.text("left") + &browser.text("right");
        assert!(
            texts.contains("<script>window.harmed=1</script>"),
            "{texts}"
        );
        browser.press("p");
    }
    assert_eq!(browser.value("window.harmed || null"), Value::Null);
    assert_eq!(
        browser.value("document.querySelectorAll('.text a[href], .text img').length"),
        0
    );
    assert_eq!(
        browser.value("document.querySelector('.text strong').innerText"),
        "bold"
    );

    // A second tab decides. The first tab notices this and shows the next pair.
    let [first, second] = browser.new_tab();
    opened(&browser, &server.url());
    press(&browser, LEFT);
    browser.go_to(&first);
    press(&browser, RIGHT);
    assert!(
        browser.text("say").contains("another tab"),
        "{}",
        browser.text("say")
    );
    assert_eq!(browser.text("count"), "3 of 6");
    assert_eq!(labels(&out).len(), 3);
    browser.go_to(&second);
    assert_eq!(browser.text("count"), "3 of 6");
    browser.go_to(&first);

    // Decides by Tab and Enter, and checks that the focus is visible.
    let focused = "document.activeElement.dataset.do || null";
    for _ in 0..20 {
        if browser.value(focused) == "left" {
            break;
        }
        browser.press(TAB);
    }
    assert_eq!(browser.value(focused), "left");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.value(outline), "solid");
    press(&browser, ENTER);
    press(&browser, LEFT);
    press(&browser, RIGHT);
    assert_eq!(browser.text("count"), "6 of 6");
    assert!(browser.text("end").contains("All pairs are decided"));
    assert!(browser.text("end").contains("collimate ser"));
    assert_eq!(labels(&out).len(), 6);
    // One begin line, three ties and skips with their undos, and six decisions.
    let journal = fs::read_to_string(journal_path(&out)).unwrap();
    assert_eq!(journal.lines().count(), 1 + 6 + 6);

    let complaints = browser.complaints();
    let unexpected: Vec<&String> = complaints
        .iter()
        // Expected: the conflict with the second tab, and the icon that browsers request from every
        // server.
        .filter(|text| !text.contains("409") && !text.contains("favicon"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    let finish = browser.value("document.getElementById('finish').click() || null");
    assert_eq!(finish, Value::Null);
    let (desk, _) = server.wait(|| false);
    assert_eq!(desk.unwrap().session().labels().len(), 6);
}

#[test]
fn the_page_fits_a_phone_and_a_wide_screen() {
    let Some(browser) = Browser::start_or_skip("the_page_fits_a_phone_and_a_wide_screen") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = start(folder.path());
    for (width, columns) in [(500, 1), (1600, 2)] {
        browser.resize(width, 900);
        opened(&browser, &server.url());
        let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{width}: {wide} too wide");
        let tops =
            "['left', 'right'].map(id => document.getElementById(id).getBoundingClientRect().top)";
        let tops = browser.value(tops);
        assert_eq!(tops[0] == tops[1], columns == 2, "{width}: {tops}");
    }
}

/// Runs a test of this file without a browser. The report must be seen although the test passes.
#[test]
fn a_missing_browser_is_reported() {
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_page_fits_a_phone_and_a_wide_screen"])
        .env("PATH", empty.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let line = "SKIPPED the_page_fits_a_phone_and_a_wide_screen: there is no chromedriver";
    assert!(told.contains(line), "{told}");
}
