//! Labels from a language model as judge, as a stage of the run.

use std::sync::Arc;

use collimate::core::{GenerateError, Key, PreferencePair};
use collimate::data::{Candidates, ReadOptions, UnlabelledPair, read_pairs};
use collimate::files::atomic_write;
use collimate::judge::{AnswerPair, Cache, Judge, JudgeError, JudgeOptions, Outcome, Template};
use collimate::prelude::Device;
use collimate::run::StageState;
use collimate::train::hash_json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Run;
use super::config::Config;
use super::real::pool_key;
use crate::commands::eval::watched::{Source, Watched};
use crate::common::{Failure, Interrupted};
use crate::trl_rows::{Row, answer, asked, lines};

/// File of labels in the run folder.
const LABELS: &str = "judge-labels.jsonl";

/// File of judgements that a resumed run reuses.
const CACHE: &str = "judge-cache.jsonl";

/// A judge that is ready to use.
pub(super) struct Labeller {
    source: Source,
    identity: String,
}

/// Counts of the judgements.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    pairs: usize,
    labelled: usize,
    /// Number of pairs that the judge calls a tie, or judges differently in the other order.
    undecided: usize,
    /// Number of pairs with a judgement that cannot be parsed.
    unparsed: usize,
}

impl Labeller {
    /// Opens the judge that `--labelled-by` names; `None` if the option is absent.
    pub(super) fn open(config: &Config, device: &Device) -> Result<Option<Self>, Failure> {
        let found = config.labeller().open(config, device)?;
        Ok(found.map(|(source, identity)| Self { source, identity }))
    }
}

/// Lets the judge label unlabelled pairs of the pool. Returns the labels and a sentence on them.
pub(super) fn label(
    run: &mut Run<'_>,
    labeller: Labeller,
    candidates: &[Candidates],
    known: &[PreferencePair],
) -> Result<(Vec<PreferencePair>, String), Failure> {
    let config = run.config;
    let key = pool_key(config);
    let mut pairs = UnlabelledPair::of(candidates, config.pairs_per_prompt, key);
    UnlabelledPair::retain_new(&mut pairs, known);
    let pairs = UnlabelledPair::drawn(pairs, config.label_count, key);
    let duels: Vec<AnswerPair> = pairs.iter().map(duel).collect();
    let path = run.job.run.path().join(LABELS);
    let inputs = hash_json(&(&labeller.identity, &duels));
    let counts = match run.job.run.stage("judge-labels", &inputs)? {
        StageState::Done(counts) => serde_json::from_value(counts)?,
        _ => {
            let cache = run.job.run.path().join(CACHE);
            let outcomes = judge(run, labeller, &duels, key, Cache::open(cache)?)?;
            let (rows, counts) = labelled(&pairs, &outcomes)?;
            atomic_write(&path, lines(rows)?.as_bytes())?;
            run.job.run.complete("judge-labels", &json!(counts))?;
            counts
        }
    };
    let Counts {
        pairs,
        labelled,
        undecided,
        unparsed,
    } = counts;
    let said = format!(
        " The judge labelled {labelled} of {pairs} pairs. Each pair was judged in both orders; \
         {undecided} pairs got a tie or contrary judgements, and {unparsed} pairs an unreadable \
         judgement."
    );
    if labelled == 0 {
        return Err(format!("--labelled-by:{said} No label is left: give another judge").into());
    }
    Ok((read_pairs(&path, &ReadOptions::default())?.0, said))
}

fn duel(pair: &UnlabelledPair) -> AnswerPair {
    let [a, b] = pair.answers.clone();
    AnswerPair::new(pair.prompt.clone(), a, b)
}

fn judge(
    run: &Run<'_>,
    labeller: Labeller,
    duels: &[AnswerPair],
    key: Key,
    cache: Cache,
) -> Result<Vec<Option<Outcome>>, Failure> {
    let options = JudgeOptions {
        // Ctrl-C waits for a batch.
        batch: 16,
        ..JudgeOptions::greedy()
    };
    let watched = Arc::new(Watched::new(labeller.source, run.job.interrupt.clone()));
    let judge = Judge::new(labeller.identity, Arc::clone(&watched), options)?;
    let judge = judge.with_cache(Arc::new(cache));
    watched.begin("labels", 2 * duels.len());
    let found = judge.compare(&Template::mt_bench_pair(), duels, key);
    watched.end();
    let found = found.map_err(|error| match error {
        JudgeError::Generate(GenerateError::Interrupted) => Interrupted(format!(
            "interrupted while pairs were judged; continue with: {}",
            run.job.resume
        ))
        .into(),
        error => Failure::from(format!("--labelled-by: {error}")),
    })?;
    Ok(found
        .results
        .into_iter()
        .map(|result| result.outcome)
        .collect())
}

/// Returns the pairs on which both orders agree, and the counts of all pairs.
fn labelled(
    pairs: &[UnlabelledPair],
    outcomes: &[Option<Outcome>],
) -> Result<(Vec<Row>, Counts), Failure> {
    let (mut rows, mut undecided, mut unparsed) = (Vec::new(), 0, 0);
    for (pair, outcome) in pairs.iter().zip(outcomes) {
        let [first, second] = &pair.answers;
        let (chosen, rejected) = match outcome {
            Some(Outcome::Win) => (first, second),
            Some(Outcome::Lose) => (second, first),
            Some(_) => {
                undecided += 1;
                continue;
            }
            None => {
                unparsed += 1;
                continue;
            }
        };
        rows.push(Row::from_iter([
            ("prompt".to_owned(), asked(&pair.prompt)?),
            ("chosen".to_owned(), answer(&pair.prompt, &chosen.text)?),
            ("rejected".to_owned(), answer(&pair.prompt, &rejected.text)?),
        ]));
    }
    let counts = Counts {
        pairs: pairs.len(),
        labelled: rows.len(),
        undecided,
        unparsed,
    };
    Ok((rows, counts))
}
