//! Parquet files give the rows of their JSON lines. `parquet/make.py` wrote the files.
#![cfg(feature = "parquet")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use collimate_core::PreferencePair;
use collimate_data::{
    AnswerPairs, DataError, DropReason, Format, Input, OnBadRow, ReadOptions, ReadReport,
    read_answers, read_labelled, read_labelled_pairs, read_pairs, read_sft, read_unlabelled,
};

fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/parquet").join(name)
}

fn error(name: &str) -> String {
    let error = read_pairs(path(name), &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(name), "{error}");
    error
}

/// Everything in a report but the name of the file and the meaning of numbers.
fn facts(report: &ReadReport) -> String {
    let mut report = report.clone();
    report.path = PathBuf::from("file");
    report.numbering = Default::default();
    format!("{report:?}")
}

#[test]
fn each_set_of_pairs_gives_the_pairs_of_its_json_lines() {
    let sets = [
        ("ultrafeedback_binarized", Format::UltraFeedback, 2),
        ("tulu_3_mixture", Format::Trl, 3),
        ("skywork_preference", Format::Trl, 3),
        ("hh_rlhf", Format::HhRlhf, 3),
        ("helpsteer3", Format::HelpSteer, 3),
        ("helpsteer2_preference", Format::HelpSteer, 3),
        ("helpsteer2", Format::GradedRows, 2),
        ("trl_ultrafeedback", Format::UltraFeedback, 2),
        ("snorkel", Format::Trl, 3),
        ("completions", Format::ScoredAnswers, 7),
        ("margins", Format::Trl, 3),
        ("six", Format::Trl, 6),
        ("calls", Format::Trl, 1),
    ];
    for (set, format, kept) in sets {
        let lines = path(&format!("{set}.jsonl"));
        let options = ReadOptions::default();
        let (expected, report) = read_pairs(lines, &options).unwrap();
        assert_eq!((report.format, expected.len()), (format, kept), "{report}");
        let file = match set {
            "six" => "six_plain.parquet".to_owned(),
            set => format!("{set}.parquet"),
        };
        let (pairs, found) = read_pairs(path(&file), &options).unwrap();
        assert_eq!(pairs, expected, "{set}");
        assert_eq!(facts(&found), facts(&report), "{set}");
    }
}

#[test]
fn columns_that_are_not_read_are_told_from_the_schema() {
    let unused = |name: &str| {
        let (_, report) = read_pairs(path(name), &ReadOptions::default()).unwrap();
        report.unused
    };
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<BTreeSet<_>>();
    // Scores are read, and a column whose statistics know only nulls holds no text.
    let told = unused("ultrafeedback_binarized.parquet");
    assert_eq!(told, names(&["messages", "prompt_id"]));
    let told = unused("snorkel.parquet");
    assert_eq!(told, names(&["all_generated_responses", "prompt_id"]));
    let told = unused("helpsteer2_preference.parquet");
    assert_eq!(told, names(&["preference_statement", "split"]));
}

/// `messages` could be the prompt of a row with an empty prompt. Its data are damaged.
#[test]
fn columns_stay_unread_if_no_row_needs_them() {
    let (pairs, report) =
        read_pairs(path("unread_damage.parquet"), &ReadOptions::default()).unwrap();
    assert_eq!(pairs.len(), 3);
    assert!(report.unused.iter().eq(["messages"]), "{report}");
    let error = error("bad_read_damage.parquet");
    assert!(
        error.contains("row group 2, column `messages`: "),
        "{error}"
    );
}

#[test]
fn answers_with_scores_give_all_pairs_or_the_best_against_the_worst() {
    for answer_pairs in [AnswerPairs::All, AnswerPairs::BestWorst] {
        let options = ReadOptions {
            format: Some(Format::ScoredAnswers),
            answer_pairs,
            ..ReadOptions::default()
        };
        let read = |name: &str| read_pairs(path(name), &options).unwrap();
        let (pairs, report) = read("snorkel.parquet");
        assert_eq!(pairs, read("snorkel.jsonl").0);
        match answer_pairs {
            // Of ten pairs, one has equal scores and four have the empty answer.
            AnswerPairs::All => {
                assert_eq!(pairs.len(), 3 * 5);
                assert_eq!(report.dropped_for(DropReason::EqualScores), 3);
                assert_eq!(report.dropped_for(DropReason::EmptyCompletion), 3 * 4);
            }
            AnswerPairs::BestWorst => {
                assert_eq!(report.dropped_for(DropReason::EmptyCompletion), 3);
            }
        }
        let (pairs, _) = read("completions.parquet");
        let gaps: Vec<f64> = pairs.iter().filter_map(|pair| pair.score_gap).collect();
        match answer_pairs {
            AnswerPairs::All => assert_eq!(gaps, [5.5, 7.5, 2.0, 5.5, 5.5, 6.5, 1.0]),
            AnswerPairs::BestWorst => assert_eq!(gaps, [7.5, 5.5, 6.5]),
        }
    }
}

#[test]
fn help_steer_names_the_better_answer_by_the_sign() {
    for set in ["helpsteer3", "helpsteer2_preference"] {
        let file = path(&format!("{set}.parquet"));
        let (pairs, report) = read_pairs(&file, &ReadOptions::default()).unwrap();
        let gaps: Vec<_> = pairs.iter().map(|pair| pair.score_gap.unwrap()).collect();
        let longer = |pair: &PreferencePair| pair.chosen.text.len() > pair.rejected.text.len();
        let first = pairs.iter().map(longer);
        match set {
            "helpsteer3" => {
                assert_eq!(gaps, [3.0, 2.0, 1.0]);
                assert!(first.eq([true, false, true]));
            }
            _ => {
                assert_eq!(gaps, [2.0, 1.0, 3.0]);
                assert!(first.eq([true, false, false]));
            }
        }
        assert_eq!(report.dropped_for(DropReason::Tie), 1);
        // Without labels, a tie is a pair of answers like any other.
        let (rows, report) = read_unlabelled(&file, &ReadOptions::default()).unwrap();
        assert_eq!((rows.len(), report.dropped_total()), (4, 0), "{set}");
    }
}

#[test]
fn graded_rows_are_compared_within_their_prompt() {
    let input = Input::open(path("helpsteer2.parquet")).unwrap();
    let (pairs, places, report) = input.read_placed_pairs(&ReadOptions::default()).unwrap();
    let gaps: Vec<_> = pairs.iter().map(|pair| pair.score_gap.unwrap()).collect();
    assert_eq!((gaps, places.kept), (vec![3.0, 2.0], vec![1, 5]));
    assert_eq!(report.dropped_for(DropReason::EqualScores), 1);
    assert!(pairs[1].chosen.text.starts_with("Air"));
    let (_, labels, _) = read_labelled_pairs(
        path("helpsteer2.parquet"),
        &ReadOptions::default(),
        &["prompt"],
    )
    .unwrap();
    assert!(
        labels.unwrap().values[1]
            .as_ref()
            .unwrap()
            .starts_with("Why")
    );
}

#[test]
fn other_readers_take_parquet_files_as_they_are() {
    let both = |set: &str| {
        [
            path(&format!("{set}.jsonl")),
            path(&format!("{set}.parquet")),
        ]
    };
    let [lines, table] = both("kto");
    assert!(Input::open(&table).unwrap().holds_labels().unwrap());
    let expected = read_labelled(lines).unwrap();
    assert_eq!(read_labelled(table).unwrap(), expected);
    assert_eq!(expected.0.len(), 6);
    let [lines, table] = both("reward_bench_2");
    assert!(Input::open(&table).unwrap().holds_answer_lists().unwrap());
    let lists = |path| Input::open(path).unwrap().read_answer_lists().unwrap();
    assert_eq!(lists(&table), lists(&lines));
    assert_eq!(lists(&table).0[2].chosen.len(), 2);
    let [lines, table] = both("margins");
    let options = ReadOptions::default();
    let with_numbers = ReadOptions {
        pair_numbers: true,
        ..ReadOptions::default()
    };
    let (pairs, report) = read_pairs(&table, &with_numbers).unwrap();
    assert_eq!(pairs, read_pairs(&lines, &with_numbers).unwrap().0);
    let margins: Vec<_> = pairs.iter().map(|pair| pair.margin).collect();
    assert_eq!(margins, [Some(0.5), None, Some(2.0)]);
    assert_eq!(pairs[2].weight, Some(3.0));
    assert!(report.unused.is_empty(), "{report}");
    let [lines, table] = both("completions");
    let (rows, _) = read_unlabelled(&table, &options).unwrap();
    assert_eq!(rows, read_unlabelled(&lines, &options).unwrap().0);
    let prompts = |path| Input::open(path).unwrap().read_prompts().unwrap().prompts;
    let [lines, table] = both("margins");
    assert_eq!(prompts(&table), prompts(&lines));
    let (_, labels, _) = read_labelled_pairs(
        path("tulu_3_mixture.parquet"),
        &options,
        &["subset", "source"],
    )
    .unwrap();
    let labels = labels.unwrap();
    assert_eq!((labels.column.as_str(), labels.values.len()), ("source", 3));
    let answers = read_answers(path("kto.parquet")).unwrap();
    assert_eq!(answers, read_answers(path("kto.jsonl")).unwrap());
    let options = ReadOptions {
        format: Some(Format::Messages),
        ..ReadOptions::default()
    };
    let [lines, table] = both("ultrafeedback_binarized");
    let (examples, report) = read_sft(&table, &options).unwrap();
    let (expected, of_lines) = read_sft(&lines, &options).unwrap();
    assert_eq!((examples.len(), &examples), (3, &expected));
    assert_eq!(facts(&report), facts(&of_lines));
}

#[test]
fn all_encodings_give_the_same_pairs() {
    let (expected, _) = read_pairs(path("six.jsonl"), &ReadOptions::default()).unwrap();
    for name in ["plain", "large", "two_level", "v2", "gzip", "pages"] {
        let file = path(&format!("six_{name}.parquet"));
        let (pairs, _) = read_pairs(file, &ReadOptions::default()).unwrap();
        assert_eq!(pairs, expected, "{name}");
    }
}

#[test]
fn a_bad_row_is_named_by_row_group_and_row() {
    for (name, words) in [
        (
            "bad_type.parquet",
            "row group 1, row 1: field `chosen` is neither a text nor a list",
        ),
        (
            "bad_null.parquet",
            "row group 2, row 1: field `chosen` is null",
        ),
        (
            "bad_utf8.parquet",
            "row group 1, row 2: column `chosen` is not valid UTF-8",
        ),
    ] {
        assert!(error(name).contains(words), "{}", error(name));
        assert!(matches!(
            read_pairs(path(name), &ReadOptions::default()),
            Err(DataError::ParquetRow { .. })
        ));
    }
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let input = Input::open(path("bad_utf8.parquet")).unwrap();
    let (pairs, places, report) = input.read_placed_pairs(&options).unwrap();
    assert_eq!((pairs.len(), places.kept), (2, vec![1, 3]));
    assert_eq!(report.dropped_for(DropReason::NotUtf8), 1);
    assert_eq!(report.numbering.place(3), "row group 2, row 1");
    assert_eq!(report.numbering.unit(), "row");
}

#[test]
fn files_that_cannot_be_read_are_refused_by_name() {
    for (name, words) in [
        (
            "bad_truncated.parquet",
            "end is missing or damaged: fetch the file again",
        ),
        ("bad_tail.parquet", "end is missing or damaged"),
        (
            "bad_encrypted.parquet",
            "an encrypted Parquet file: decrypt it first",
        ),
        (
            "bad_encrypted_columns.parquet",
            "an encrypted Parquet file: decrypt it first",
        ),
        (
            "bad_brotli.parquet",
            "compressed with brotli, which is not supported: write",
        ),
        (
            "bad_lz4.parquet",
            "compressed with lz4, which is not supported: write",
        ),
        (
            "bad_page.parquet",
            "row group 2, column `rejected.list.element.content`: ",
        ),
        ("bad_no_rows.parquet", "the file is empty"),
        ("bad_no_columns.parquet", "a Parquet file without columns"),
        ("bad_twice.parquet", "two columns are called `chosen`"),
        ("bad_deep.parquet", "nested more than 64 deep"),
        (
            "bad_bomb.parquet",
            "row group 1, column `rejected`: a page of ",
        ),
        ("bad_bomb.parquet", "more than 200 times its size"),
    ] {
        assert!(error(name).contains(words), "{name}: {}", error(name));
    }
}

#[test]
fn a_pipe_cannot_be_parquet() {
    let file = File::open(path("six_plain.parquet")).unwrap();
    let error = Input::from_reader("stdin", file).unwrap_err().to_string();
    assert!(
        error.starts_with("stdin: a Parquet file from a pipe"),
        "{error}"
    );
    let mut input = Input::open(path("six_plain.parquet")).unwrap();
    assert_eq!(input.format().unwrap(), Format::Trl);
    let error = input.into_text().unwrap_err().to_string();
    assert!(
        error.contains("a Parquet file, where a text is expected"),
        "{error}"
    );
}
