//! Tests the page's texts over real sockets: hostile texts, conversations, Markdown.
#![cfg(feature = "server")]

#[path = "common/http.rs"]
mod http;
#[path = "common/running.rs"]
mod running;

use collimate_core::{Message, Prompt, Role};
use running::start;
use serde_json::{Value, json};

/// Returns the texts of the only pair.
fn shown(prompt: Prompt, one: &str, other: &str) -> Value {
    let running = start(vec![(prompt, one.to_owned(), other.to_owned())]);
    let pair = running.state()["pair"].clone();
    let answer = running.decide(&running.state()["token"], "left");
    assert_eq!(answer.status, 200);
    let text = std::fs::read_to_string(running.folder.path().join("labels.jsonl")).unwrap();
    let row: Value = serde_json::from_str(&text).unwrap();
    let mut kept = [&row["chosen"], &row["rejected"]].map(|answer| match answer {
        Value::String(text) => text.clone(),
        turns => turns[0]["content"].as_str().unwrap().to_owned(),
    });
    kept.sort();
    let mut given = [one, other];
    given.sort_unstable();
    // The file has the answers unchanged, whatever the page shows.
    assert_eq!(kept, given);
    pair
}

#[test]
fn hostile_texts_are_shown_as_texts() {
    let pair = shown(
        "q".into(),
        "<script>alert(1)</script>",
        "[x](javascript:alert(1)) **b**",
    );
    let both = format!("{}{}", pair["left"]["html"], pair["right"]["html"]);
    assert!(!both.contains("<script"), "{both}");
    assert!(both.contains("&lt;script&gt;"), "{both}");
    assert!(!both.contains("href"), "{both}");
    assert!(both.contains("<strong>b</strong>"), "{both}");

    let pair = shown("q \u{202e}live\u{202c} \u{0}".into(), "a\u{2066}b", "");
    assert_eq!(
        pair["prompt"][0]["plain"],
        "q [U+202E]live[U+202C] [U+0000]"
    );
    let texts = [&pair["left"]["plain"], &pair["right"]["plain"]];
    assert!(texts.contains(&&json!("a[U+2066]b")), "{texts:?}");
    assert!(texts.contains(&&json!("")), "{texts:?}");

    let long = "word ".repeat(200_000);
    let pair = shown("q".into(), &long, "short");
    let sides = [&pair["left"], &pair["right"]];
    let side = sides
        .iter()
        .find(|side| side["plain"] == long.as_str())
        .unwrap();
    assert!(side["html"].is_null());
}

#[test]
fn conversations_keep_their_roles_and_calls() {
    let mut call = Message::new(Role::Assistant, "");
    let calls = collimate_core::Json::parse(r#"[{"name":"<b>"}]"#).unwrap();
    call.further.push(("tool_calls".to_owned(), calls));
    let chat = vec![
        Message::new(Role::System, "be *brief*"),
        Message::new(Role::User, "2+2?"),
        call,
    ];
    let pair = shown(Prompt::Chat(chat), "4", "5");
    let roles: Vec<&Value> = pair["prompt"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["role"])
        .collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(pair["prompt"][0]["html"], "<p>be <em>brief</em></p>");
    assert_eq!(
        pair["prompt"][2]["further"],
        r#"tool_calls: [{"name":"<b>"}]"#
    );
    assert_eq!(pair["left"]["plain"].as_str().unwrap().len(), 1);
}

/// Returns Markdown as the page shows it; `None` for a text that is too long to render.
fn rendered(text: &str) -> Option<String> {
    let running = start(vec![("q".into(), text.to_owned(), "other".to_owned())]);
    let pair = running.state()["pair"].clone();
    let side = match pair["left"]["plain"] == "other" {
        true => &pair["right"],
        false => &pair["left"],
    };
    side["html"].as_str().map(str::to_owned)
}

fn html(text: &str) -> String {
    rendered(text).unwrap()
}

#[test]
fn markdown_is_rendered() {
    assert_eq!(
        html("**a** `b`"),
        "<p><strong>a</strong> <code>b</code></p>"
    );
    let list = html("- a\n- b");
    assert!(list.contains("<li>a</li>"), "{list}");
    let table = html("| a |\n|---|\n| b |");
    assert!(table.contains("<td>b</td>"), "{table}");
}

#[test]
fn html_in_markdown_is_text() {
    for hostile in [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "<svg/onload=alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<!-- <script> -->",
        "`<script>`",
        "```html\n<script>alert(1)</script>\n```",
        "```\"><script>\nx\n```",
        "[a](http://x.y \"\"><script>alert(1)</script>\")",
        "[<script>]: http://x.y\n\n[<script>]",
        "| <script> |\n|---|\n| <script> |",
    ] {
        let rendered = html(hostile);
        for tag in ["<script", "<img", "<svg", "<!--", "href=\"java"] {
            assert!(!rendered.contains(tag), "{hostile}: {rendered}");
        }
    }
    let both = html("<b>x</b> *y*");
    assert_eq!(both, "<p>&lt;b&gt;x&lt;/b&gt; <em>y</em></p>");
}

#[test]
fn links_lead_out_and_nowhere_else() {
    let good = html("[x](https://e.org) <mailto:a@e.org> ![cat](http://e.org/cat.png)");
    let marks = good.matches("rel=\"noopener noreferrer nofollow\"").count();
    assert_eq!(marks, 3, "{good}");
    for part in [
        "href=\"https://e.org\"",
        "href=\"mailto:a@e.org\"",
        "href=\"http://e.org/cat.png\"",
    ] {
        assert!(good.contains(part), "{good}");
    }
    // An image becomes a link too.
    assert!(!good.contains("<img"), "{good}");
    for bad in [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "[x](/api/finish)",
        "[x](//e.org)",
        "[x](#key=1)",
        "[x](irc://e.org)",
        "<javascript:alert(1)>",
        "<irc:x>",
        "[x]\n\n[x]: javascript:alert(1)",
    ] {
        let rendered = html(bad);
        assert!(!rendered.contains("href"), "{bad}: {rendered}");
    }
}

#[test]
fn long_and_deep_texts_are_answered_soon() {
    let most = 50_000;
    assert_eq!(rendered(&"x".repeat(most + 1)), None);
    for part in [
        ">",
        "- ",
        "* a **b ",
        "[",
        "![",
        "`",
        "<",
        "&#",
        "\\",
        "|a|\n|-|\n",
        "_a",
        "(",
        "](",
        "\t-",
    ] {
        let text = part.repeat(most / part.len());
        let begin = std::time::Instant::now();
        rendered(&text);
        println!("{part:?}: {:?}", begin.elapsed());
        assert!(
            begin.elapsed().as_secs() < 20,
            "{part:?}: {:?}",
            begin.elapsed()
        );
    }
}
