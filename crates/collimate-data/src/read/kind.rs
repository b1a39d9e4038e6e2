//! Detection of files without rows of text by their first bytes.

/// Number of bytes inspected. A tar archive has its mark at byte 257.
pub(super) const HEAD: usize = 1 << 16;

const PANDAS: &str = "convert it to JSON lines, for instance with pandas:";

/// First bytes of files, with a name and a hint.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (
        b"PARE",
        "an encrypted Parquet file",
        "decrypt it first, for instance with pyarrow",
    ),
    (b"ARROW1", "an Arrow file (Feather)", "read_feather"),
    (b"FEA1", "a Feather file", "read_feather"),
    (b"ORC", "an ORC file", "read_orc"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "read_hdf"),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream",
        "convert it to JSON lines: `datasets.Dataset.from_file(FILE).to_json(OUT)`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd",
        "unpack it: `zstd -d FILE`",
    ),
    (b"BZh", "compressed with bzip2", "unpack it: `bunzip2 FILE`"),
    (
        b"\xfd7zXZ\0",
        "compressed with xz",
        "unpack it: `unxz FILE`",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed with lz4",
        "unpack it: `lz4 -d FILE`",
    ),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a rar archive", "unpack it first"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Office file (.xls or .doc)",
        "save the table as CSV in UTF-8, with the header `prompt,chosen,rejected`",
    ),
    (b"%PDF-", "a PDF document", "give the rows as JSON lines"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
    (
        b"SQLite format 3\0",
        "an SQLite data base",
        "export the rows as JSON lines",
    ),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "write the rows as JSON lines",
    ),
    (b"GGUF", "a model file (GGUF)", "name a file of rows"),
    (
        b"Obj\x01",
        "an Avro file",
        "convert it to JSON lines: `avro-tools tojson FILE`",
    ),
    (
        b"version https://git-lfs",
        "a git-lfs pointer, not the file itself",
        "fetch it: `git lfs pull`",
    ),
    (b"\x89PNG", "a PNG picture", "name a file of rows"),
    (b"\xff\xd8\xff", "a JPEG picture", "name a file of rows"),
    (b"GIF8", "a GIF picture", "name a file of rows"),
    (b"\x7fELF", "a program (ELF)", "name a file of rows"),
    (
        b"\x1f\x8b",
        "compressed twice",
        "unpack it once: `gunzip FILE`",
    ),
    (
        b"\xff\xfe\0\0",
        "text in UTF-32",
        "convert it: `iconv -f UTF-32 -t UTF-8 FILE`",
    ),
    (
        b"\0\0\xfe\xff",
        "text in UTF-32",
        "convert it: `iconv -f UTF-32 -t UTF-8 FILE`",
    ),
    (
        b"\xff\xfe",
        "text in UTF-16",
        "convert it: `iconv -f UTF-16 -t UTF-8 FILE`",
    ),
    (
        b"\xfe\xff",
        "text in UTF-16",
        "convert it: `iconv -f UTF-16 -t UTF-8 FILE`",
    ),
];

/// Says why a stream that begins like a Parquet file is not read.
pub(super) fn parquet_stream(packed: bool) -> String {
    if packed {
        return "a Parquet file inside gzip data: unpack it: `gunzip FILE`".to_owned();
    }
    match cfg!(feature = "parquet") {
        true => {
            "a Parquet file from a pipe or stream, but its description is at its end: save it, \
                 and name the file"
                .to_owned()
        }
        false => format!(
            "a Parquet file, and this program was built without Parquet (feature `parquet`): \
             {PANDAS} `read_parquet(FILE).to_json(OUT, orient='records', lines=True)`"
        ),
    }
}

/// Names a file that contains no text, or a document, and gives a hint. Returns `None` for text.
pub(super) fn foreign(head: &[u8]) -> Option<String> {
    let say = |name: &str, advice: &str| Some(format!("{name}: {advice}"));
    for (magic, name, advice) in MAGIC {
        // A text may begin with this word.
        if *magic == b"ORC" && !head.contains(&0) {
            continue;
        }
        if head.starts_with(magic) {
            return match advice.strip_prefix("read_") {
                Some(_) => say(
                    name,
                    &format!(
                        "{PANDAS} `{advice}(FILE).to_json(OUT, orient='records', lines=True)`"
                    ),
                ),
                None => say(name, advice),
            };
        }
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Some(zip(head));
    }
    if head.get(257..262) == Some(b"ustar") {
        return say("a tar archive", "unpack it and name one of its files");
    }
    if head.get(8..10) == Some(b"{\"") && head[..8].contains(&0) {
        return say("a model file (safetensors)", "name a file of rows");
    }
    if head.len() > 2 && head[0] == 0x80 && (2..=5).contains(&head[1]) {
        return say("a Python pickle", "write the rows as JSON lines");
    }
    if let Some(document) = markup(head) {
        return say(document, "give the rows as JSON lines");
    }
    if let Some(encoding) = wide(head) {
        return say(
            &format!("text in {encoding}"),
            &format!("convert it: `iconv -f {encoding} -t UTF-8 FILE`"),
        );
    }
    binary(head).then(|| "binary data, no text: name a file of rows".to_owned())
}

/// Names an archive by its first entry.
fn zip(head: &[u8]) -> String {
    let length = head
        .get(26..28)
        .map_or(0, |b| usize::from(b[0]) + 256 * usize::from(b[1]));
    let name = head.get(30..30 + length).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let has = |part: &str| {
        head.windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let office = name == "[Content_Types].xml" || name.starts_with("_rels/");
    if name.ends_with(".npy") {
        "a NumPy archive (.npz): write the rows as JSON lines".to_owned()
    } else if name.ends_with("/data.pkl") || name.ends_with("/version") {
        "a PyTorch file: name a file of rows".to_owned()
    } else if name.starts_with("xl/") || office && !has("word/") && !has("ppt/") {
        "an Excel file (.xlsx): save the table as CSV in UTF-8, with the header \
         `prompt,chosen,rejected`"
            .to_owned()
    } else if name.starts_with("word/") || office {
        "an Office document: give the rows as JSON lines".to_owned()
    } else {
        "a zip archive: unpack it and name one of its files".to_owned()
    }
}

fn markup(head: &[u8]) -> Option<&'static str> {
    let start = head.trim_ascii_start();
    let begins = |word: &str| {
        let start = start.get(..word.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(word.as_bytes())
    };
    if begins("<!doctype html") || begins("<html") {
        Some("an HTML page")
    } else if begins("<?xml") {
        Some("an XML document")
    } else {
        None
    }
}

/// Detects two or four bytes per character without a byte order mark. The zeros of ASCII characters
/// have fixed places.
fn wide(head: &[u8]) -> Option<&'static str> {
    let shape = |width: usize, letter: usize| {
        let units = head.chunks_exact(width).take(64);
        let (mut all, mut fit) = (0, 0);
        for unit in units {
            let ascii = matches!(unit[letter], b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
            let zeros = unit.iter().filter(|&&byte| byte == 0).count();
            fit += usize::from(ascii && zeros == width - 1);
            all += 1;
        }
        all >= 2 && fit * 10 >= all * 8
    };
    [
        ("UTF-32LE", 4, 0),
        ("UTF-32BE", 4, 3),
        ("UTF-16LE", 2, 0),
        ("UTF-16BE", 2, 1),
    ]
    .into_iter()
    .find_map(|(name, width, letter)| shape(width, letter).then_some(name))
}

/// Detects control characters that no text has, in a share too large for an error in one row.
fn binary(head: &[u8]) -> bool {
    let start = &head[..head.len().min(512)];
    let broken = std::str::from_utf8(start).is_err_and(|error| error.error_len().is_some());
    if broken && start.contains(&0) {
        return true;
    }
    let control = |&&byte: &&u8| {
        byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x08 | 0x0c | 0x1b) || byte == 0x7f
    };
    let controls = head.iter().filter(control).count();
    controls * 50 > head.len()
}

/// Describes a text that should have been JSON lines but is not, from its first line.
pub(super) fn described(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    let key = |text: &str, mark: char| {
        text.split_once(mark).is_some_and(|(key, rest)| {
            let key = key.trim_end();
            !key.is_empty()
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                && (rest.is_empty() || rest.starts_with(' '))
        })
    };
    if text.starts_with("{'") || text.starts_with("[{'") {
        return "a Python dictionary, not JSON: write rows with `json.dumps`".to_owned();
    }
    let table = match text {
        _ if text.contains('\t') => Some("tab-separated"),
        _ if text.contains(';') && !text.contains(',') => Some("separated by `;`"),
        _ => None,
    };
    if let Some(table) = table {
        return format!(
            "{table}, not JSON lines: write one JSON object per line, or give the table of pairs a \
             header with `prompt`, `chosen` and `rejected`"
        );
    }
    if text == "---" || text.starts_with("- ") && key(&text[2..], ':') || key(text, ':') {
        return "YAML, by its first line: write JSON lines, one object per line".to_owned();
    }
    let section = text.starts_with('[') && text.ends_with(']') && !text.contains(['"', ',', '{']);
    if section && text.len() > 2 || key(text, '=') {
        return "TOML, by its first line: write JSON lines, one object per line".to_owned();
    }
    let first: String = text.chars().take(40).collect();
    let dots = if text.chars().count() > 40 { "…" } else { "" };
    format!(
        "plain text, not JSON lines (the first line is `{first}{dots}`): write one JSON object per \
         line"
    )
}
