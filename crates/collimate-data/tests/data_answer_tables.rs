//! Tables with several columns of answers.

use std::path::Path;

use collimate_core::PreferencePair;
use collimate_data::{
    Candidates, DropReason, Format, Input, ReadOptions, ReadReport, read_pairs, read_unlabelled,
};
use tempfile::TempDir;

fn pairs_of(path: &Path) -> (Vec<PreferencePair>, ReadReport) {
    read_pairs(path, &ReadOptions::default()).unwrap()
}

#[test]
fn a_table_of_answers_is_read_like_the_json_rows_with_these_names() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lines = write(
        "rows.jsonl",
        "{\"id\": 1, \"prompt\": \"Name a river.\", \"response_a\": \"The Loire, for one\", \"response_b\": \"A hill\", \"label\": \"a\"}\n\
         {\"id\": 2, \"prompt\": \"Name a hill.\", \"response_a\": \"The Loire\", \"response_b\": \"Box Hill\", \"label\": \"B\"}\n\
         {\"id\": 3, \"prompt\": \"Name a lake.\", \"response_a\": \"x\", \"response_b\": \"y\", \"label\": \"tie\"}\n",
    );
    let table = "id,Prompt,response_a,response_b,Label\n\
                 1,Name a river.,\"The Loire, for one\",A hill,a\n\
                 2,Name a hill.,The Loire,Box Hill,B\n\
                 3,Name a lake.,x,y,tie\n";
    let (expected, report) = pairs_of(&lines);
    assert_eq!(
        (expected.len(), report.dropped_for(DropReason::Tie)),
        (2, 1)
    );
    for name in ["rows.csv", "rows.txt"] {
        let path = write(name, table);
        let (pairs, report) = pairs_of(&path);
        assert_eq!(
            (pairs, report.format),
            (expected.clone(), Format::Candidates)
        );
        assert!(report.unused.is_empty(), "{report}");
        let input = Input::open(&path).unwrap();
        let (_, places, _) = input.read_placed_pairs(&ReadOptions::default()).unwrap();
        assert_eq!((places.kept, places.dropped[0].line), (vec![2, 3], 4));
    }
    let bare = table.replace(",Label", "").replace(",a\n", "\n");
    let bare = bare.replace(",B\n", "\n").replace(",tie\n", "\n");
    let path = write("bare.csv", &bare);
    let (rows, _) = read_unlabelled(&path, &ReadOptions::default()).unwrap();
    let of_lines = read_unlabelled(&lines, &ReadOptions::default()).unwrap().0;
    let answers =
        |rows: &[Candidates]| rows.iter().map(|r| r.responses.clone()).collect::<Vec<_>>();
    assert_eq!(answers(&rows), answers(&of_lines));
    for (name, text, words) in [
        (
            "bare.csv",
            bare.as_str(),
            "answers without a label: label them by `collimate label`",
        ),
        (
            "label.csv",
            "prompt,answer1,answer2,label\na?,b,c,\n",
            "label.csv:2: no label: write `label`",
        ),
        (
            "wrong.csv",
            "prompt,answer1,answer2,label\na?,b,c,3\n",
            "wrong.csv:2: field `label` is",
        ),
        (
            "twice.csv",
            "label,answer1,answer2,ANSWER2\na?,b,c,3\n",
            "two columns are called `ANSWER2`",
        ),
        (
            "short.csv",
            "prompt,answer1,answer2,label\na?,b,1\n",
            "short.csv:2: 3 columns, expected 4",
        ),
    ] {
        let error = read_pairs(write(name, text), &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
