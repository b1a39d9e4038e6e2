//! Files that differ from what their names suggest: each is read, or refused, according to its
//! content.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use collimate_data::{Input, ReadOptions, read_pairs};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

const ROWS: &str = r#"{"prompt":"p one","chosen":"good one","rejected":"bad one"}
{"prompt":"p two","chosen":"good two","rejected":"bad two"}
"#;
const TABLE: &str = "prompt,chosen,rejected\np one,good one,bad one\np two,good two,bad two\n";

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Encodes a text with two or four bytes per character.
fn wide(text: &str, mark: bool, width: usize, big: bool) -> Vec<u8> {
    let text = if mark {
        format!("\u{feff}{text}")
    } else {
        text.to_owned()
    };
    let unit = |c: char| {
        let mut bytes = (c as u32).to_le_bytes()[..width].to_vec();
        if big {
            bytes.reverse();
        }
        bytes
    };
    text.chars().flat_map(unit).collect()
}

/// Returns the head of a zip archive whose first entry has this name.
fn zip(entry: &str, after: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    bytes.extend([0; 16]);
    bytes.extend((entry.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(entry.as_bytes());
    bytes.extend([7, 0, 1, 200, 0]);
    bytes.extend(after.as_bytes());
    bytes
}

fn tar() -> Vec<u8> {
    let mut bytes = b"rows.jsonl".to_vec();
    bytes.resize(257, 0);
    bytes.extend(b"ustar\x0000");
    bytes.resize(512, 0);
    bytes.extend(ROWS.as_bytes());
    bytes
}

fn noise() -> Vec<u8> {
    let mut state = 12345_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    [0x01, 0x02]
        .into_iter()
        .chain((0..4000).map(|_| next()))
        .collect()
}

/// Expected result for a file: an error that contains these words, or the two pairs of the rows
/// above.
enum Says {
    Error(&'static str),
    Pairs,
}

use Says::{Error, Pairs};

fn cases() -> Vec<(&'static str, Vec<u8>, Says)> {
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let with = |magic: &[u8], more: &[u8]| [magic, more].concat();
    let junk = [0_u8, 9, 1, 2, 0, 200, 7, 0];
    vec![
        (
            "parquet.jsonl.gz",
            gz(&with(b"PAR1", &junk)),
            Error("a Parquet file inside gzip data: unpack it"),
        ),
        (
            "arrow.jsonl",
            with(b"ARROW1\0\0", &junk),
            Error("an Arrow file (Feather): convert"),
        ),
        (
            "data-00000.jsonl",
            with(b"\xff\xff\xff\xff\xd8\x01\0\0", &junk),
            Error("an Arrow stream: convert it to JSON lines: `datasets."),
        ),
        (
            "zstd.jsonl",
            with(b"\x28\xb5\x2f\xfd", &junk),
            Error("compressed with zstd: unpack it: `zstd -d FILE`"),
        ),
        (
            "bzip2.jsonl",
            with(b"BZh91AY&SY", &junk),
            Error("compressed with bzip2: unpack it"),
        ),
        (
            "xz.jsonl",
            with(b"\xfd7zXZ\0", &junk),
            Error("compressed with xz: unpack it"),
        ),
        (
            "sheet.csv",
            zip("[Content_Types].xml", "xl/workbook.xml"),
            Error("an Excel file (.xlsx): save the table as CSV"),
        ),
        (
            "letter.jsonl",
            zip("[Content_Types].xml", "word/document.xml"),
            Error("an Office document"),
        ),
        (
            "array.jsonl",
            zip("arr_0.npy", ""),
            Error("a NumPy archive (.npz)"),
        ),
        (
            "model.jsonl",
            zip("archive/data.pkl", ""),
            Error("a PyTorch file"),
        ),
        (
            "some.jsonl",
            zip("rows.jsonl", ""),
            Error("a zip archive: unpack it"),
        ),
        (
            "old.csv",
            with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", &junk),
            Error("an old Office file (.xls or .doc): save the table as CSV"),
        ),
        (
            "utf16.jsonl",
            wide(ROWS, true, 2, false),
            Error("text in UTF-16: convert it: `iconv -f UTF-16 -t UTF-8 FILE`"),
        ),
        (
            "utf16be.jsonl",
            wide(ROWS, true, 2, true),
            Error("text in UTF-16: convert it"),
        ),
        (
            "utf16-bare.csv",
            wide(TABLE, false, 2, false),
            Error("text in UTF-16LE: convert it: `iconv -f UTF-16LE"),
        ),
        (
            "utf32.jsonl",
            wide(ROWS, true, 4, false),
            Error("text in UTF-32: convert it"),
        ),
        (
            "utf32-bare.jsonl",
            wide(ROWS, false, 4, true),
            Error("text in UTF-32BE: convert it"),
        ),
        (
            "page.jsonl",
            bytes(b"\n<!DOCTYPE html>\n<html><body>404</body></html>"),
            Error("an HTML page: give the rows as JSON lines"),
        ),
        (
            "feed.jsonl",
            bytes(b"<?xml version=\"1.0\"?>\n<rows/>"),
            Error("an XML document"),
        ),
        (
            "paper.jsonl",
            with(b"%PDF-1.7\n", &junk),
            Error("a PDF document"),
        ),
        (
            "base.jsonl",
            with(b"SQLite format 3\0", &junk),
            Error("an SQLite data base: export the rows"),
        ),
        (
            "store.jsonl",
            with(b"\x89HDF\r\n\x1a\n", &junk),
            Error("an HDF5 file: convert"),
        ),
        (
            "one.jsonl",
            with(b"\x93NUMPY\x01\0", &junk),
            Error("a NumPy array"),
        ),
        (
            "rows.pkl",
            with(b"\x80\x04\x95", &junk),
            Error("a Python pickle: write the rows as JSON lines"),
        ),
        (
            "weights.jsonl",
            with(b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}}", &junk),
            Error("a model file (safetensors): name a file of rows"),
        ),
        (
            "weights.csv",
            with(b"GGUF\x03\0\0\0", &junk),
            Error("a model file (GGUF)"),
        ),
        (
            "rows.avro",
            with(b"Obj\x01", &junk),
            Error("an Avro file: convert it to JSON lines"),
        ),
        (
            "rows.tar",
            tar(),
            Error("a tar archive: unpack it and name one of its files"),
        ),
        (
            "rows.tar.gz",
            gz(&tar()),
            Error("a tar archive: unpack it and name one of its files"),
        ),
        (
            "lfs.jsonl",
            bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
            Error("a git-lfs pointer, not the file itself: fetch it: `git lfs pull`"),
        ),
        (
            "rows.yaml",
            bytes(b"- prompt: p one\n  chosen: good one\n"),
            Error("YAML, by its first line: write JSON lines"),
        ),
        (
            "rows.toml",
            bytes(b"[[rows]]\nprompt = \"p\"\n"),
            Error("TOML, by its first line: write JSON lines"),
        ),
        (
            "bare.tsv",
            bytes(b"good one\tbad one\ngood two\tbad two\n"),
            Error("tab-separated, not JSON lines"),
        ),
        (
            "bare.csv",
            bytes(b"good one;bad one\ngood two;bad two\n"),
            Error("separated by `;`, not JSON lines"),
        ),
        (
            "list.json",
            bytes(format!("[\n{}\n]", ROWS.trim().replace('\n', ",\n")).as_bytes()),
            Error("a JSON array, where JSON lines are expected"),
        ),
        (
            "pretty.json",
            bytes(b"{\n  \"prompt\": \"p\",\n  \"chosen\": \"a\",\n  \"rejected\": \"b\"\n}\n"),
            Error(
                "one JSON object over several lines: write one object per line, for instance by `jq -c . FILE`",
            ),
        ),
        (
            "python.jsonl",
            bytes(b"{'prompt': 'p', 'chosen': 'a', 'rejected': 'b'}\n"),
            Error("a Python dictionary, not JSON"),
        ),
        (
            "story.txt",
            bytes(b"Once upon a time\nthere was a cat\n"),
            Error("plain text, not JSON lines (the first line is `Once upon a time`)"),
        ),
        (
            "story.jsonl",
            bytes(b"Once upon a time\n"),
            Error("plain text, not JSON lines"),
        ),
        (
            "other.csv",
            bytes(b"better,worse\ngood one,bad one\n"),
            Error(
                "other.csv:1: the first row looks like a header with other names (`better`, \
                 `worse`): name the columns `chosen` and `rejected`",
            ),
        ),
        ("empty.csv", bytes(b""), Error("the file is empty")),
        (
            "blank.jsonl",
            bytes(b" \n\t\r\n\n"),
            Error("the file is empty"),
        ),
        (
            "packed-blank.jsonl",
            gz(b"\n \n"),
            Error("the file is empty"),
        ),
        ("zeros.jsonl", vec![0; 300], Error("binary data, no text")),
        (
            "nul.csv",
            bytes(b"chosen,rejected\ngood\0one,bad one and a row that is otherwise in order\n"),
            Error("nul.csv:2: a NUL byte in the row"),
        ),
        (
            "latin.jsonl",
            bytes(b"{\"prompt\":\"caf\xe9\",\"chosen\":\"a\",\"rejected\":\"b\"}\n"),
            Error("latin.jsonl:1: not valid UTF-8"),
        ),
        ("noise.jsonl", noise(), Error("binary data, no text")),
        (
            "twice.jsonl",
            gz(&gz(ROWS.as_bytes())),
            Error("compressed twice: unpack it once"),
        ),
        (
            "picture.jsonl",
            with(b"\x89PNG\r\n\x1a\n", &junk),
            Error("a PNG picture"),
        ),
        ("plain.jsonl.gz", bytes(ROWS.as_bytes()), Pairs),
        ("packed.jsonl", gz(ROWS.as_bytes()), Pairs),
        (
            "returns.jsonl",
            bytes(ROWS.replace('\n', "\r").as_bytes()),
            Pairs,
        ),
        (
            "returns.csv",
            bytes(TABLE.replace('\n', "\r").as_bytes()),
            Pairs,
        ),
        (
            "crlf.jsonl",
            bytes(ROWS.replace('\n', "\r\n").as_bytes()),
            Pairs,
        ),
        ("rows.csv", bytes(ROWS.as_bytes()), Pairs),
        ("table.jsonl", bytes(TABLE.as_bytes()), Pairs),
        (
            "table.txt",
            bytes(TABLE.replace(',', "\t").as_bytes()),
            Pairs,
        ),
        (
            "table.tsv",
            bytes(TABLE.replace(',', ";").as_bytes()),
            Pairs,
        ),
        (
            "rows.txt",
            bytes(format!("\u{feff}\n{ROWS}").as_bytes()),
            Pairs,
        ),
    ]
}

#[test]
fn files_that_are_not_what_they_claim() {
    let dir = TempDir::new().unwrap();
    let expected = read_pairs(
        file(&dir, "good.jsonl", ROWS.as_bytes()),
        &ReadOptions::default(),
    );
    let expected = expected.unwrap().0;
    for (name, bytes, says) in cases() {
        let path = file(&dir, name, &bytes);
        let read = read_pairs(&path, &ReadOptions::default());
        // The same bytes as a stream that cannot be read again.
        let streamed = Input::from_reader(&path, Cursor::new(bytes))
            .and_then(|input| input.read_pairs(&ReadOptions::default()));
        match says {
            Error(words) => {
                let error = read.unwrap_err().to_string();
                println!(
                    "{name}: {}",
                    error.replace(&format!("{}/", dir.path().display()), "")
                );
                assert!(error.contains(words), "{name}: {error}");
                assert!(error.contains(name), "{name}: {error}");
                assert_eq!(error.lines().count(), 1, "{name}: {error}");
                assert_eq!(streamed.unwrap_err().to_string(), error);
            }
            Pairs => {
                let (pairs, report) = read.unwrap_or_else(|error| panic!("{name}: {error}"));
                println!("{name}: {} pairs read as {}", pairs.len(), report.format);
                assert_eq!(pairs, expected, "{name}");
                assert_eq!(streamed.unwrap(), (pairs, report), "{name}");
            }
        }
    }
}

#[test]
fn prompts_are_read_for_what_they_are() {
    let dir = TempDir::new().unwrap();
    let prompts = |name: &str, bytes: &[u8]| {
        let path = file(&dir, name, bytes);
        Input::open(path).and_then(Input::read_prompts)
    };
    let rows =
        b"{\"prompt\":\"a story\"}\n\n{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n";
    let expected = prompts("rows.jsonl", rows).unwrap();
    assert_eq!(expected.prompts.len(), 2);
    assert_eq!(expected.prompts[1].line, 3);
    for name in ["rows.txt", "rows.ndjson", "rows", "rows.csv"] {
        assert_eq!(prompts(name, rows).unwrap(), expected, "{name}");
    }
    assert_eq!(prompts("rows.txt.gz", &gz(rows)).unwrap(), expected);
    let lines = prompts("lines.txt", b"{curly\r\n[square]\r\n").unwrap();
    let texts: Vec<String> = lines.prompts.iter().map(|p| p.prompt.to_plain()).collect();
    assert_eq!(texts, ["{curly", "[square]"]);
    let table = prompts("p.csv", b"id,Prompt ,note\n1,\"a, b\",x\n2,c,\n").unwrap();
    let texts: Vec<String> = table.prompts.iter().map(|p| p.prompt.to_plain()).collect();
    assert_eq!(texts, ["a, b", "c"]);
    assert!(table.unused.iter().eq(["note"]));
    let array = prompts("a.json", b"[{\"prompt\":\"a story\",\"answer\":\"x\"}]").unwrap();
    assert_eq!(array.prompts[0].prompt, "a story".into());
    assert!(array.unused.iter().eq(["answer"]));
    for (name, bytes, words) in [
        ("p.jsonl", &b"a story\n"[..], "plain text, not JSON lines"),
        ("p.txt", b"PAR1\0\0\0", "a Parquet file"),
        ("p.txt", b"a\xe9\n", "p.txt:1: not UTF-8"),
        (
            "p.txt",
            b"a\n\0b and much more of it, and more, and more, a story as long as it takes\n",
            "p.txt:2: a NUL byte",
        ),
        (
            "q.csv",
            b"question,answer\nwhy,so\n",
            "a table without a column `prompt`",
        ),
        (
            "q.jsonl",
            b"{\"question\":\"why\"}\n",
            "q.jsonl:1: has neither prompt nor messages: if `question` holds the prompt",
        ),
        (
            "p.json",
            b"{\n  \"prompt\": \"a\"\n}\n",
            "one JSON object over several lines",
        ),
        (
            "t.jsonl",
            b"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"images\":[\"b.png\"]}]}",
            "t.jsonl:1: `messages[0].images` is not supported",
        ),
        (
            "t.jsonl",
            b"{\"prompt\":\"a\",\"tools\":[{\"type\":\"function\"}]}",
            "column `tools` is not supported",
        ),
    ] {
        let error = prompts(name, bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_whole_text_keeps_its_letters() {
    let text = |bytes: &'static [u8]| Input::from_reader("c.json", bytes).unwrap().into_text();
    assert_eq!(text(b"\xef\xbb\xbf{\"a\":\r\n1}").unwrap(), "{\"a\":\r\n1}");
    let error = text(b"{\n\"a\": \"\xe9\"}").unwrap_err().to_string();
    assert!(error.starts_with("c.json:2: not valid UTF-8"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let rows: String = (0..5000)
        .map(|i| {
            format!("{{\"prompt\":\"p {i}\",\"chosen\":\"good {i}\",\"rejected\":\"bad {i}\"}}\n")
        })
        .collect();
    let writing = std::thread::spawn(move || writer.write_all(rows.as_bytes()));
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let (pairs, report) = read_pairs(path, &ReadOptions::default()).unwrap();
    assert_eq!((pairs.len(), report.rows), (5000, 5000));
    assert_eq!(pairs[0].prompt, "p 0".into());
    drop(reader);
    writing.join().unwrap().unwrap();
}
