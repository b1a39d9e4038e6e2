//! Texts that count as a score or as a verdict.

use collimate_core::{Completion, Finish};
use collimate_judge::{
    JudgeError, Numbers, Rubric, ScoreFormat, ScoreRange, Template, TemplateKind, Unparsed,
    Verdict, parse_verdict,
};

fn parse(rubric: &Rubric, text: &str) -> Result<f64, Unparsed> {
    rubric.format().parse(&text.into(), rubric.range())
}

#[test]
fn additive_scores() {
    use Unparsed::{Contradiction, Empty, Missing, NotWhole, OutOfRange};
    let cases: [(&str, Result<f64, Unparsed>); 27] = [
        ("Score: 3", Ok(3.0)),
        ("Score: 0", Ok(0.0)),
        ("Score: 5", Ok(5.0)),
        ("Good.\n\nScore: 4\n\n  ", Ok(4.0)),
        ("Good.\r\nScore: 4\r\n", Ok(4.0)),
        ("  Score:   2  ", Ok(2.0)),
        ("Score:2", Ok(2.0)),
        ("Score: 2\nAs said,\nScore: 2", Ok(2.0)),
        ("Score: it depends.\nScore: 1", Ok(1.0)),
        ("", Err(Empty)),
        (" \n\t", Err(Empty)),
        ("I like it.", Err(Missing)),
        ("Score: 4\nI hope this helps.", Err(Missing)),
        ("Score: 4/5", Err(Missing)),
        ("Score: 4.", Err(NotWhole)),
        ("The score: 4", Err(Missing)),
        ("score: 4", Err(Missing)),
        ("**Score: 4**", Err(Missing)),
        ("Score: four", Err(Missing)),
        ("Score: <4>", Err(Missing)),
        ("Score: 3.5", Err(NotWhole)),
        ("Score: 3.0", Err(NotWhole)),
        ("Score: 6", Err(OutOfRange)),
        ("Score: -1", Err(OutOfRange)),
        ("Score: 99999999999999999999999999999999", Err(OutOfRange)),
        ("Score: 2\nOn reflection:\nScore: 4", Err(Contradiction)),
        ("Score: 3/5, so\nScore: 4", Err(Contradiction)),
    ];
    let rubric = Rubric::additive();
    for (text, expected) in cases {
        assert_eq!(parse(&rubric, text), expected, "{text:?}");
    }
}

#[test]
fn ratings_in_brackets() {
    use Unparsed::{Contradiction, Empty, Missing, OutOfRange};
    let cases: [(&str, Result<f64, Unparsed>); 19] = [
        ("Rating: [[5]]", Ok(5.0)),
        ("[[5]]", Ok(5.0)),
        ("So [[7.5]] it is, for [[7.5]].", Ok(7.5)),
        ("[[7.]]", Ok(7.0)),
        ("[[1]]", Ok(1.0)),
        ("[[10]] and [[10.0]]", Ok(10.0)),
        ("In the form [[rating]]: [[6]]", Ok(6.0)),
        ("[[[6]]]", Ok(6.0)),
        ("", Err(Empty)),
        ("Rating: 5", Err(Missing)),
        ("[5]", Err(Missing)),
        ("[[ 5 ]]", Err(Missing)),
        ("[[5/10]]", Err(Missing)),
        ("[[5]", Err(Missing)),
        ("[[.5]]", Err(Missing)),
        ("[[11]]", Err(OutOfRange)),
        ("[[0]]", Err(OutOfRange)),
        ("[[-3]]", Err(OutOfRange)),
        ("[[3]] or rather [[4]]", Err(Contradiction)),
    ];
    let rubric = Rubric::mt_bench();
    for (text, expected) in cases {
        assert_eq!(parse(&rubric, text), expected, "{text:?}");
    }
}

#[test]
fn verdicts() {
    use Unparsed::{Contradiction, Empty, Missing};
    let cases: [(&str, Result<Verdict, Unparsed>); 10] = [
        ("[[A]]", Ok(Verdict::A)),
        ("B is better: [[B]]", Ok(Verdict::B)),
        ("[[C]] [[C]]", Ok(Verdict::Tie)),
        ("", Err(Empty)),
        ("A", Err(Missing)),
        ("[A]", Err(Missing)),
        ("[[a]]", Err(Missing)),
        ("[[D]]", Err(Missing)),
        ("[[A]] no, [[B]]", Err(Contradiction)),
        ("[[C]], or perhaps [[A]]", Err(Contradiction)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_verdict(&text.into()), expected, "{text:?}");
    }
}

#[test]
fn a_number_at_the_length_limit_may_go_on() {
    let cut = |text: &str| Completion {
        finish: Finish::Length,
        ..Completion::from(text)
    };
    let additive = Rubric::additive();
    let parse = |rubric: &Rubric, text| rubric.format().parse(&cut(text), rubric.range());
    assert_eq!(parse(&additive, "Fine.\nScore: 1"), Err(Unparsed::Cut));
    assert_eq!(parse(&additive, "Fine.\nScore: 1\n"), Ok(1.0));
    // Closed brackets cannot be continued.
    assert_eq!(parse(&Rubric::mt_bench(), "[[1]]"), Ok(1.0));
}

#[test]
fn what_is_written_is_read_back() {
    let half = ScoreFormat::LastLine {
        label: "Points:".into(),
        numbers: Numbers::Decimal,
    };
    let bare = ScoreFormat::Brackets {
        label: String::new(),
        numbers: Numbers::Decimal,
    };
    let range = ScoreRange { min: 0.0, max: 9.0 };
    assert_eq!(half.write(2.5), "Points: 2.5");
    assert_eq!(bare.write(2.0), "[[2]]");
    for format in [half, bare] {
        for score in [0.0, 0.125, 2.5, 9.0] {
            let text = format!("So.\n{}", format.write(score));
            assert_eq!(format.parse(&text.into(), range), Ok(score));
        }
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, JudgeError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn rubrics_that_cannot_be_are_refused() {
    let template = Template::additive;
    let format = |label: &str| ScoreFormat::LastLine {
        label: label.into(),
        numbers: Numbers::Whole,
    };
    let range = |min, max| ScoreRange { min, max };
    let ok = range(0.0, 1.0);
    let label = "one line without blanks around it, and not empty for last_line";
    assert_eq!(
        refusal(Rubric::new(template(), format(""), ok)),
        format!("label is \"\" but must be {label}")
    );
    assert_eq!(
        refusal(Rubric::new(template(), format("a\nb"), ok)),
        format!("label is \"a\\nb\" but must be {label}")
    );
    for wrong in [range(1.0, 1.0), range(2.0, 1.0), range(f64::NAN, 1.0)] {
        let message = refusal(Rubric::new(template(), format("S:"), wrong));
        assert!(message.starts_with("range is ["), "{message}");
    }
    assert_eq!(
        refusal(Rubric::new(Template::mt_bench_pair(), format("S:"), ok)),
        "template mt_bench_pair: the template shows two answers, but a rubric grades one"
    );
    let json = serde_json::to_string(&Rubric::additive()).unwrap();
    assert_eq!(
        serde_json::from_str::<Rubric>(&json).unwrap(),
        Rubric::additive()
    );
    let wrong = json.replace("\"max\":5.0", "\"max\":-5.0");
    serde_json::from_str::<Rubric>(&wrong).unwrap_err();
}

#[test]
fn templates_of_ones_own() {
    let new = |user: &str| Template::new("t", TemplateKind::Pair, None, user);
    assert_eq!(
        refusal(new("{question} {answer_a}")),
        "template t: the place {answer_b} is missing: the judge would not see this text"
    );
    assert_eq!(
        refusal(new("{question} {answer_a} {answer_b} {answer}")),
        "template t: there is no place {answer}; the places are {question}, {answer_a}, {answer_b}"
    );
    // Other braces are text, and a system message may contain places.
    let json = r#"{"score": 1, {} { question } {"#;
    let system = Some("About {question}:".to_owned());
    let user = format!("{json} {{answer_a}}{{answer_b}}");
    Template::new("t", TemplateKind::Pair, system, user).unwrap();
    serde_json::from_str::<Template>(r#"{"name":"t","shows":"answer","user":"{answer}"}"#)
        .unwrap_err();
}

#[test]
fn published_prompts_have_their_places() {
    let published = [
        Template::additive(),
        Template::mt_bench(),
        Template::mt_bench_two_turns(),
        Template::mt_bench_pair(),
        Template::mt_bench_pair_two_turns(),
    ];
    for template in published {
        let system = template.system().map(str::to_owned);
        let again = Template::new(template.name(), template.kind(), system, template.user());
        assert_eq!(again.unwrap(), template);
        assert!(!template.user().contains("<!--"), "{}", template.name());
        assert!(!template.user().ends_with('\n'), "{}", template.name());
    }
}
