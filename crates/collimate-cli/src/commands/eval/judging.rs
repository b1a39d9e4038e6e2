//! Judging cases: a scorer in batches, a language model with the prompts for one turn or two.

use std::sync::Arc;

use collimate::core::{Completion, GenerateError, Key, Prompt, Scorer};
use collimate::judge::{
    AnswerPair, Cache, Grade, Item, Judge, JudgeError, JudgeOptions, Outcome, PairResult,
    ParseReport, PositionBias, Template,
};
use collimate::train::{Interrupt, Progress};

use super::cases::Case;
use super::judge::{Asked, Judging, Kind};
use super::judge_args::RubricName;
use super::sheet::{Pairwise, Sheet, Single, add_bias, add_report};
use super::watched::Watched;
use crate::common::{Failure, Interrupted};

/// Number of scores that are computed at a time. Ctrl-C waits for them.
const SCORES_AT_ONCE: usize = 64;

/// Judges every case.
pub(crate) fn judge(
    judging: &Judging,
    cases: &[Case],
    interrupt: &Interrupt,
) -> Result<Sheet, Failure> {
    match &judging.kind {
        Kind::Scorer(scorer) => {
            let answers = answers(cases);
            let scores = score(scorer.as_ref(), &answers, interrupt)?;
            let scores: Vec<Option<f64>> = scores.into_iter().map(Some).collect();
            Ok(Sheet {
                single: Some(single(scores, cases, judging.tie_within)),
                pairwise: None,
            })
        }
        Kind::Model(asked) => {
            let sheet = ask(asked, cases, judging.tie_within);
            asked.generator.end();
            sheet.map_err(|error| stopped(error, asked.cache.as_deref()))
        }
    }
}

/// Returns the answers of side a, then those of side b.
fn answers(cases: &[Case]) -> Vec<&Item> {
    let a = cases.iter().map(|case| &case.a);
    let b = cases.iter().filter_map(|case| case.b.as_ref());
    a.chain(b).collect()
}

fn score(
    scorer: &dyn Scorer,
    answers: &[&Item],
    interrupt: &Interrupt,
) -> Result<Vec<f64>, Failure> {
    let mut meter = Progress::Auto.start("scores", 0, answers.len() as u64);
    let mut scores = Vec::with_capacity(answers.len());
    for some in answers.chunks(SCORES_AT_ONCE) {
        if interrupt.is_set() {
            return Err(Interrupted("stopped: the scores are not saved".to_owned()).into());
        }
        let items: Vec<(Prompt, Completion)> = some
            .iter()
            .map(|item| (item.prompt.clone(), item.answer.clone()))
            .collect();
        scores.extend(scorer.score(&items)?.into_iter().map(f64::from));
        meter.set(scores.len() as u64, "answers");
    }
    Ok(scores)
}

/// Splits the scores of side a, then of side b, and adds the outcomes.
fn single(mut a: Vec<Option<f64>>, cases: &[Case], tie_within: f64) -> Single {
    let b = a.split_off(cases.len());
    let outcomes = a.iter().zip(&b).map(|(&a, &b)| {
        let (a, b) = (a?, b?);
        Some(match a - b {
            gap if gap.abs() <= tie_within => Outcome::Tie,
            gap if gap > 0.0 => Outcome::Win,
            _ => Outcome::Lose,
        })
    });
    Single {
        outcomes: outcomes.collect(),
        a,
        b,
        grades: None,
        report: None,
    }
}

fn ask(asked: &Asked, cases: &[Case], tie_within: f64) -> Result<Sheet, JudgeError> {
    let judge = |options: &JudgeOptions| -> Result<Judge<Arc<Watched>>, JudgeError> {
        let generator = Arc::clone(&asked.generator);
        let judge = Judge::new(asked.identity.clone(), generator, options.clone())?;
        Ok(match &asked.cache {
            Some(cache) => judge.with_cache(Arc::clone(cache)),
            None => judge,
        })
    };
    let single = match &asked.single {
        Some((rubric, options)) => {
            let count = answers(cases).len().saturating_mul(options.samples);
            asked.generator.begin("single answers", count);
            let (grades, report) = grade(&judge(options)?, *rubric, cases)?;
            let scores = grades.iter().map(|grade| grade.score).collect();
            let mut single = single(scores, cases, tie_within);
            let (a, b) = grades.split_at(cases.len());
            single.grades = Some([a.to_vec(), b.to_vec()]);
            single.report = Some(report);
            Some(single)
        }
        None => None,
    };
    let pairwise = match &asked.pairwise {
        Some(options) => {
            asked.generator.begin("side by side", 2 * cases.len());
            Some(compare(&judge(options)?, cases)?)
        }
        None => None,
    };
    Ok(Sheet { single, pairwise })
}

/// Grades the answers of side a, then of side b. The answers of each turn are graded by the rubric
/// for that turn.
fn grade(
    judge: &Judge<Arc<Watched>>,
    rubric: RubricName,
    cases: &[Case],
) -> Result<(Vec<Grade>, ParseReport), JudgeError> {
    let turns: Vec<usize> = cases
        .iter()
        .map(|case| case.turn)
        .chain(
            cases
                .iter()
                .filter_map(|case| case.b.as_ref().map(|_| case.turn)),
        )
        .collect();
    let answers = answers(cases);
    let mut grades: Vec<Option<Grade>> = vec![None; answers.len()];
    let mut report = ParseReport::default();
    for (rubric, turn) in Asked::rubrics(rubric).iter().zip(1..) {
        let places: Vec<usize> = (0..answers.len()).filter(|&at| turns[at] == turn).collect();
        if places.is_empty() {
            continue;
        }
        let items: Vec<Item> = places.iter().map(|&at| answers[at].clone()).collect();
        let found = judge.grade(rubric, &items)?;
        add_report(&mut report, found.report);
        for (&at, grade) in places.iter().zip(found.grades) {
            grades[at] = Some(grade);
        }
    }
    Ok((grades.into_iter().flatten().collect(), report))
}

fn compare(judge: &Judge<Arc<Watched>>, cases: &[Case]) -> Result<Pairwise, JudgeError> {
    let mut results: Vec<Option<PairResult>> = vec![None; cases.len()];
    let (mut bias, mut report) = (PositionBias::default(), ParseReport::default());
    let templates = [
        Template::mt_bench_pair(),
        Template::mt_bench_pair_two_turns(),
    ];
    for (template, turn) in templates.iter().zip(1..) {
        let places: Vec<usize> = (0..cases.len())
            .filter(|&at| cases[at].turn == turn)
            .collect();
        let duels: Vec<AnswerPair> = places.iter().filter_map(|&at| cases[at].duel()).collect();
        if duels.is_empty() {
            continue;
        }
        let found = judge.compare(template, &duels, Key::new(0, "eval"))?;
        add_bias(&mut bias, found.bias);
        add_report(&mut report, found.report);
        for (&at, result) in places.iter().zip(found.results) {
            results[at] = Some(result);
        }
    }
    Ok(Pairwise {
        results: results.into_iter().flatten().collect(),
        bias,
        report,
    })
}

/// Converts the judge's error into the words of the command line. Ctrl-C is not an error.
fn stopped(error: JudgeError, cache: Option<&Cache>) -> Failure {
    match error {
        JudgeError::Generate(GenerateError::Interrupted) => Interrupted(match cache {
            Some(cache) => format!(
                "stopped: the judgements so far are in {}; run the same command again to continue",
                cache.path().display()
            ),
            None => "stopped: the judgements are lost, because only --judge-cache FILE saves them"
                .to_owned(),
        })
        .into(),
        JudgeError::EmptyAnswers { count, .. } => format!(
            "{count} answers are empty: remove --empty-answers refuse, or give --empty-answers \
             unscored"
        )
        .into(),
        error => {
            let text = error.to_string();
            // The text may quote a judgement, which stays as it is.
            let text = text.replacen("(min_parse_rate)", "(--min-parse-rate)", 1);
            let text = match text.strip_suffix("raise max_new_tokens") {
                Some(start) => format!("{start}raise --judge-tokens"),
                None => text.replace("; min_parse_rate 0", "; --min-parse-rate 0"),
            };
            format!("the judge: {text}").into()
        }
    }
}
