//! Rows as iterators: the same rows as the readers that collect them.

use std::path::{Path, PathBuf};

use collimate_data::{
    DataError, Input, OnBadRow, Places, ReadOptions, RowStream, StreamedRow, read_unlabelled,
};

/// Returns a file of rows for each schema, as JSON lines and as Parquet.
fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let mut folders = vec![root];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

fn options() -> [ReadOptions; 2] {
    let dropping = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        pair_numbers: true,
        ..ReadOptions::default()
    };
    [ReadOptions::default(), dropping]
}

/// Joins the rows of a stream.
fn joined<T>(
    stream: impl Iterator<Item = Result<StreamedRow<T>, DataError>>,
) -> Result<(Vec<T>, Places), DataError> {
    let (mut all, mut places) = (Vec::new(), Places::default());
    for row in stream {
        let row = row?;
        for (line, one) in row.kept {
            all.push(one);
            places.kept.push(line);
        }
        places.dropped.extend(row.dropped);
    }
    Ok((all, places))
}

#[test]
fn a_stream_gives_the_rows_places_and_report_of_the_reader() {
    let (mut files_of_pairs, mut files_of_examples) = (0, 0);
    let folder = tempfile::tempdir().unwrap();
    let examples = [
        "{\"prompt\": \"q\", \"completion\": \"a\"}\n{\"prompt\": \"q\"}\n",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, \
         {\"role\": \"assistant\", \"content\": \"a\"}]}\n{\"messages\": []}\n",
    ];
    let made = examples.iter().enumerate().map(|(index, text)| {
        let path = folder.path().join(format!("{index}.jsonl"));
        std::fs::write(&path, text).unwrap();
        path
    });
    let made: Vec<PathBuf> = made.collect();
    for path in fixtures().into_iter().chain(made) {
        for options in options() {
            let Ok(input) = Input::open(&path) else {
                continue;
            };
            let expected = input.read_placed_pairs(&options);
            let stream = Input::open(&path).unwrap().stream_pairs(&options);
            match expected {
                Ok((pairs, places, report)) => {
                    let mut stream = stream.unwrap();
                    let found = joined(stream.by_ref()).unwrap();
                    assert_eq!(found, (pairs, places), "{}", path.display());
                    assert_eq!(stream.report(), report, "{}", path.display());
                    files_of_pairs += 1;
                }
                Err(error) => {
                    let found = stream.and_then(joined).unwrap_err();
                    assert_eq!(found.to_string(), error.to_string());
                }
            }
            let expected = Input::open(&path).unwrap().read_placed_sft(&options);
            if let Ok((examples, places, report)) = expected {
                let mut stream = Input::open(&path).unwrap().stream_sft(&options).unwrap();
                assert_eq!(joined(stream.by_ref()).unwrap(), (examples, places));
                assert_eq!(stream.report(), report);
                files_of_examples += 1;
            }
        }
    }
    assert!(
        files_of_pairs >= 20 && files_of_examples >= 2,
        "{files_of_pairs} {files_of_examples}"
    );
}

fn input(name: &str, text: &str) -> Input {
    Input::from_reader(name, std::io::Cursor::new(text.as_bytes().to_vec())).unwrap()
}

#[test]
fn a_stream_ends_after_the_first_error() {
    let text = "{\"chosen\": \"a\", \"rejected\": \"b\"}\n{\"chosen\": 1}\n\
                {\"chosen\": \"a\", \"rejected\": \"b\"}\n";
    let mut stream = input("x.jsonl", text).stream_pairs(&options()[0]).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().kept[0].0, 1);
    let error = stream.next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("x.jsonl:2: "), "{error}");
    assert!(stream.next().is_none());
}

#[test]
fn a_table_without_rows_is_empty_in_a_stream_too() {
    let stream = input("x.csv", "chosen,rejected\n").stream_pairs(&options()[0]);
    let mut stream: RowStream<_> = stream.unwrap();
    assert!(stream.next().unwrap().unwrap().kept.is_empty());
    assert!(stream.next().is_none());
    assert_eq!(stream.report().rows, 1);
}

#[test]
fn rows_of_answers_are_streamed_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.jsonl");
    let text = "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\", \"a\"]}\n\
                {\"prompt\": \"q\", \"responses\": [\"a\"]}\n{\"prompt\": \"q\"}\n";
    std::fs::write(&path, text).unwrap();
    let options = &options()[1];
    let (expected, report) = read_unlabelled(&path, options).unwrap();
    let mut stream = Input::open(&path)
        .unwrap()
        .stream_candidates(options)
        .unwrap();
    let (found, places) = joined(stream.by_ref()).unwrap();
    assert_eq!(found, expected);
    assert_eq!((places.kept, places.dropped.len()), (vec![1, 3], 1));
    assert_eq!(stream.report(), report);
    let error = input("x", "{\"chosen\": \"a\", \"rejected\": \"b\"}\n")
        .stream_candidates(options)
        .unwrap_err();
    assert!(error.to_string().contains("trl rows"), "{error}");
}
