//! Checks beside those of the published program, and rows that are refused.

use collimate_core::{Completion, Prompt, Scorer};
use collimate_ifeval::{Instruction, InstructionError, InstructionScorer, InstructionTask};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn task(id: &str, arguments: &Value) -> InstructionTask {
    let row = json!({"prompt": "a prompt", "instruction_id_list": [id], "kwargs": [arguments]});
    InstructionTask::from_row(row.as_object().unwrap()).unwrap()
}

/// `golden/ifeval.py` says how the file is made.
#[test]
fn answers_are_judged_as_by_the_published_program() {
    let golden: Value = serde_json::from_str(include_str!("golden/ifeval.json")).unwrap();
    let answers: Vec<&str> = golden["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    let mut followed = golden["followed"]
        .as_str()
        .unwrap()
        .chars()
        .map(|c| c == '1');
    let mut wrong = Vec::new();
    let mut cases = 0;
    for instruction in golden["instructions"].as_array().unwrap() {
        let id = instruction[0].as_str().unwrap();
        let task = task(id, &instruction[1]);
        let on_language = id.starts_with("language") || id.contains(":english_");
        let count = if on_language {
            golden["on_language"].as_u64().unwrap() as usize
        } else {
            answers.len()
        };
        for answer in &answers[..count] {
            let found = task.check(answer);
            let expected = (followed.next().unwrap(), followed.next().unwrap());
            cases += 1;
            if (found.strict[0], found.loose[0]) != expected {
                wrong.push(format!("{id} {} {answer:?}: {expected:?}", instruction[1]));
            }
        }
    }
    assert!(followed.next().is_none() && cases > 1000);
    assert!(
        wrong.is_empty(),
        "{} of {cases}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn sentences_are_counted() {
    let arguments = json!({"relation": "less than", "num_sentences": 3});
    let task = task("length_constraints:number_sentences", &arguments);
    assert!(task.check("Dr. Lee came. She left.").all());
    let golden: Value = serde_json::from_str(include_str!("golden/ifeval.json")).unwrap();
    for row in golden["sentences"].as_array().unwrap() {
        let (text, count) = (row[0].as_str().unwrap(), row[1].as_u64().unwrap());
        let holds = |relation: &str, count: u64| {
            let arguments = json!({"relation": relation, "num_sentences": count});
            let arguments = arguments.as_object().unwrap();
            let id = "length_constraints:number_sentences";
            Instruction::parse(id, arguments).unwrap().is_followed(text)
        };
        assert!(
            holds("at least", count) && holds("less than", count + 1),
            "{row}"
        );
    }
    assert!(!task.check("One. Two. Three.").all());
}

#[test]
fn rows_of_tables_have_floats_and_absent_arguments() {
    let arguments = json!({"num_words": 3.0, "relation": "at least", "num_bullets": null});
    assert!(
        task("length_constraints:number_words", &arguments)
            .check("one two three")
            .all()
    );
}

#[test]
fn rows_that_say_something_else_are_refused() {
    let parse = |id: &str, arguments: Value| {
        Instruction::parse(id, arguments.as_object().unwrap())
            .unwrap_err()
            .to_string()
    };
    let words = "length_constraints:number_words";
    for (id, arguments, part) in [
        ("length:words", json!({}), "no instruction has the id"),
        (words, json!({"relation": "at least"}), "num_words"),
        (
            words,
            json!({"relation": "more", "num_words": 3}),
            "less than",
        ),
        (
            words,
            json!({"relation": "at least", "num_words": 2.5}),
            "whole number",
        ),
        (
            words,
            json!({"relation": "at least", "num_words": 2, "num_bullets": 1}),
            "no argument \"num_bullets\"",
        ),
        (
            "keywords:existence",
            json!({"keywords": []}),
            "list of texts",
        ),
        (
            "keywords:letter_frequency",
            json!({"letter": "ab", "let_relation": "at least", "let_frequency": 1}),
            "one letter",
        ),
        (
            "language:response_language",
            json!({"language": "sw"}),
            "\"sw\"",
        ),
    ] {
        let said = parse(id, arguments);
        assert!(said.contains(part), "{said}");
    }
    let row = |row: Value| InstructionTask::from_row(row.as_object().unwrap()).unwrap_err();
    assert!(matches!(
        row(json!({"prompt": " "})),
        InstructionError::Field { name: "prompt", .. }
    ));
    let lengths =
        json!({"prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": []});
    assert_eq!(
        row(lengths),
        InstructionError::Lengths {
            ids: 1,
            arguments: 0
        }
    );
}

#[test]
fn the_reward_is_the_share_of_instructions_that_are_followed() {
    let row = json!({
        "prompt": "p",
        "instruction_id_list": ["punctuation:no_comma", "detectable_format:json_format"],
        "kwargs": [{}, {}],
    });
    let scorer =
        InstructionScorer::new([InstructionTask::from_row(row.as_object().unwrap()).unwrap()]);
    let item = |prompt: &str, answer: &str| (Prompt::from(prompt), Completion::from(answer));
    let scores = scorer.score(&[
        item("p", "[1]"),
        item("p", "[1, 2]"),
        item("p", "no"),
        item("p", ","),
    ]);
    assert_eq!(scores.unwrap(), [1.0, 0.5, 0.5, 0.0]);
    assert!(scorer.score(&[item("another", "[1]")]).is_err());
}

proptest! {
    /// No answer ends in a panic, and what is followed strictly is followed loosely.
    #[test]
    fn every_answer_is_judged(answer in "(\\PC|\n|\\*| |\\[|\\]|<|>|\"|\\.){0,80}") {
        let golden: Value = serde_json::from_str(include_str!("golden/ifeval.json")).unwrap();
        for instruction in golden["instructions"].as_array().unwrap() {
            let found = task(instruction[0].as_str().unwrap(), &instruction[1]).check(&answer);
            prop_assert!(!found.all() || found.all_loose());
        }
    }

    /// Arguments of any form are read or refused, without a panic.
    #[test]
    fn every_argument_is_read_or_refused(text in "\\PC{0,12}", number in any::<f64>()) {
        let names = ["keyword", "relation", "frequency", "letter", "let_frequency", "num_words", "language"];
        for value in [json!(text), json!(number), json!([text]), json!({})] {
            let arguments: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
            for id in ["keywords:frequency", "keywords:letter_frequency", "length_constraints:number_words"] {
                prop_assert!(Instruction::parse(id, &arguments).is_err());
            }
        }
    }
}
