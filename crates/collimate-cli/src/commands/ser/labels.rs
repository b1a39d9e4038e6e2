//! The user's own labels, and an unlabelled pool.

use collimate::core::{PreferencePair, Prompt};
use collimate::data::{
    AnswerEnd, Candidates, HiddenLabelPool, ReadOptions, ReadReport, TextTokenizer, TokenizeReport,
    UnlabelledPair, Votes, by_majority, read_unlabelled,
};
use collimate::recipes::ser::SerData;

use super::config::Config;
use super::data::{PolicyPrompts, Prepared, drop_equal, prompts};
use super::policy_prompts::{self, FEWEST_PROMPTS};
use super::real::pool_key;
use crate::commands::align::pairs::examples;
use crate::common::{self, Failure};
use crate::files;

/// Minimum number of labelled pairs to train a reward model on.
const FEWEST: usize = 20;

/// The labelled files, as they were read.
pub(super) struct LabelFiles {
    labelled: Vec<PreferencePair>,
    validation: Vec<PreferencePair>,
    test: Vec<PreferencePair>,
    reports: Vec<ReadReport>,
}

impl LabelFiles {
    /// Reads the files.
    pub(super) fn read(config: &Config) -> Result<Self, Failure> {
        let files = [
            &config.labelled,
            &config.unlabelled,
            &config.validation,
            &config.test,
        ];
        files::check(files.into_iter().flatten())?;
        let options = files::options(config.format, config.on_bad_row, config.hh_turns);
        let mut reports = Vec::new();
        Ok(Self {
            labelled: files::pairs(&config.labelled, &[], &options, &mut reports)?,
            validation: files::pairs(&config.validation, &[], &options, &mut reports)?,
            test: files::pairs(&config.test, &[], &options, &mut reports)?,
            reports,
        })
    }

    /// Returns all pairs with a label.
    pub(super) fn known(&self) -> Vec<PreferencePair> {
        [&self.labelled[..], &self.validation, &self.test].concat()
    }

    /// Describes the model and each file, in a sentence each.
    pub(super) fn about(&self, config: &Config) -> String {
        let model = config.model.as_ref().map(|dir| dir.display().to_string());
        let mut text = format!("Model: `{}`.", model.unwrap_or_default());
        for report in &self.reports {
            text += &format!(" {report}.");
        }
        text
    }
}

/// Labelled pairs, each once, with a description.
pub(super) struct Labels {
    labelled: Vec<PreferencePair>,
    validation: Vec<PreferencePair>,
    test: Vec<PreferencePair>,
    lengths: TokenizeReport,
    /// Description of the labels in one sentence.
    pub(super) about: String,
}

impl Labels {
    /// Combines the labels of files with those of a judge.
    pub(super) fn of(
        files: LabelFiles,
        judged: Vec<PreferencePair>,
        config: &Config,
        tokenizer: &TextTokenizer,
    ) -> Result<Self, Failure> {
        let LabelFiles {
            labelled: mut rows,
            mut validation,
            mut test,
            ..
        } = files;
        rows.extend(judged);
        let (mut labelled, votes) = by_majority(rows);
        let scored = tokenizer.clone().with_answer_end(AnswerEnd::EveryAnswer);
        let mut lengths = TokenizeReport::default();
        for (name, part) in [
            ("labelled", &mut labelled),
            ("validation", &mut validation),
            ("test", &mut test),
        ] {
            lengths = lengths + drop_equal(name, part, &scored, &config.ser)?;
        }
        if labelled.len() < FEWEST {
            return Err(too_few(config, labelled.len(), votes));
        }
        for (name, part) in [("validation", &validation), ("test", &test)] {
            warn_of_shared(name, part, &labelled);
        }
        let about = about(&labelled, votes, [&validation, &test]);
        Ok(Self {
            labelled,
            validation,
            test,
            lengths,
            about,
        })
    }

    /// Returns the data of the run with a pool of these answers, and a paragraph on the pool.
    pub(super) fn with_pool(
        mut self,
        candidates: &[Candidates],
        config: &Config,
        tokenizer: &TextTokenizer,
    ) -> Result<(Prepared, String), Failure> {
        let mut pairs = UnlabelledPair::of(candidates, config.pairs_per_prompt, pool_key(config));
        let (labelled, twice) = UnlabelledPair::retain_new(&mut pairs, &self.labelled);
        let held: Vec<PreferencePair> = [&self.validation[..], &self.test].concat();
        let (held, _) = UnlabelledPair::retain_new(&mut pairs, &held);
        let mut shown: Vec<PreferencePair> = pairs.into_iter().map(UnlabelledPair::shown).collect();
        let scored = tokenizer.clone().with_answer_end(AnswerEnd::EveryAnswer);
        let lengths = drop_equal("unlabelled", &mut shown, &scored, &config.ser)?;
        let equal = lengths.equal_answers;
        self.lengths = self.lengths + lengths;
        let dropped = listed(&[
            ("among the labels", labelled),
            ("among the validation and test pairs", held),
            ("given twice", twice),
            ("answers equal as tokens", equal),
        ]);
        let dropped = match dropped.is_empty() {
            true => dropped,
            false => format!("; dropped ({dropped})"),
        };
        if shown.len() < 2 {
            return Err(format!(
                "--unlabelled: pairs left to label: {}{dropped}: give at least 2 pairs without labels",
                shown.len()
            )
            .into());
        }
        warn_of_forms(&self.labelled, &shown);
        let asked = prompts(&shown);
        let different = match asked.len() {
            0 => String::new(),
            n => format!(", {n} different prompts"),
        };
        let about = format!(
            "Pool: {} pairs without labels{different}{dropped}.",
            shown.len()
        );
        let mut policy = PolicyPrompts::default();
        let mut held_out = Vec::new();
        if config.trains_policies() {
            policy = self.policy_prompts(asked, config, tokenizer)?;
            // The model was not fine-tuned on these answers.
            held_out = examples(&self.labelled);
        }
        let pairs = shown.into_iter().map(|pair| UnlabelledPair {
            prompt: pair.prompt,
            answers: [pair.chosen, pair.rejected],
        });
        let pool = HiddenLabelPool::unlabelled(pairs.collect(), pool_key(config));
        let prepared = Prepared {
            pretrain: Vec::new(),
            sft: Vec::new(),
            sft_held_out: held_out,
            ser: SerData::of_labels(self.labelled, pool, self.validation, self.test)?,
            policy,
            lengths: self.lengths,
        };
        let about = about + &prepared.about_lengths(config);
        Ok((prepared, about))
    }

    /// Returns the prompts of the policy stage, from a file or else from the pool. If there are no test
    /// pairs, a tenth of these prompts is used to compare answers on.
    fn policy_prompts(
        &self,
        mut asked: Vec<collimate::core::Prompt>,
        config: &Config,
        tokenizer: &TextTokenizer,
    ) -> Result<PolicyPrompts, Failure> {
        if let Some(path) = &config.policy_prompts {
            let held = [prompts(&self.validation), prompts(&self.test)].concat();
            asked = policy_prompts::of(path, &self.labelled, &held, config, tokenizer)?;
        } else if asked.len() < FEWEST_PROMPTS {
            return Err(format!(
                "{} different prompts in the pool are too few to train a policy on: give at least \
                 {FEWEST_PROMPTS} there or with --policy-prompts, or remove --stop-after ppo",
                asked.len()
            )
            .into());
        }
        let tenth = asked.len() / 10;
        let mut test = prompts(&self.test);
        if test.is_empty() {
            test = asked.split_off(asked.len() - tenth.min(config.policy_test_prompts));
        }
        let mut watched = prompts(&self.validation);
        if watched.is_empty() {
            watched = asked.split_off(asked.len() - tenth.min(config.policy.watched));
        }
        test.truncate(config.policy_test_prompts);
        Ok(PolicyPrompts {
            train: asked,
            watched,
            test,
        })
    }
}

/// Reads the answers and prompts of the unlabelled files, with a sentence on each file.
pub(super) fn candidates(config: &Config) -> Result<(Vec<Candidates>, String), Failure> {
    let options = ReadOptions {
        // A format that the user names applies to the labelled files only.
        format: None,
        ..files::options(None, config.on_bad_row, config.hh_turns)
    };
    let (mut all, mut about) = (Vec::new(), String::new());
    for path in &config.unlabelled {
        let (part, report) = read_unlabelled(path, &options)?;
        if part.is_empty() {
            return Err(format!("{report}: no pair is left: correct the file").into());
        }
        let alone = part.iter().find(|row| row.responses.is_empty());
        if let Some(row) = alone.filter(|_| config.policy_source.is_none()) {
            return Err(format!(
                "{}:{}: a prompt without answers: give two or more answers, or a policy that \
                 writes answers (--policy DIR or URL)",
                path.display(),
                row.line
            )
            .into());
        }
        about += &format!(" {report}.");
        all.extend(part);
    }
    if config.policy_source.is_some() && all.iter().all(|row| !row.responses.is_empty()) {
        let text = "--policy has nothing to write, because every row of --unlabelled has answers: \
                    remove --policy, or give prompts without answers";
        return Err(text.into());
    }
    Ok((all, about))
}

fn too_few(config: &Config, count: usize, votes: Votes) -> Failure {
    let undecided = match votes.undecided {
        0 => String::new(),
        n => format!(" (labelled both ways equally often: {n})"),
    };
    let from = config
        .unlabelled
        .first()
        .map(|path| path.display().to_string());
    let flag = match config.labelled.is_empty() {
        true => "--labelled-by",
        false => "--labelled",
    };
    format!(
        "{flag}: {count} labelled pairs are too few{undecided}: at least {FEWEST} are needed, and \
         a few hundred are better: label more with `collimate label --from {} --out \
         more.jsonl`",
        from.unwrap_or_default()
    )
    .into()
}

/// Lists the counts that are not 0, each after its name.
fn listed(counts: &[(&str, usize)]) -> String {
    let found = counts.iter().filter(|(_, count)| *count > 0);
    let found: Vec<String> = found
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    found.join(", ")
}

/// Warns of held-out pairs that are also among the labels.
fn warn_of_shared(name: &str, part: &[PreferencePair], labelled: &[PreferencePair]) {
    let mut pairs: Vec<UnlabelledPair> = part.iter().map(UnlabelledPair::from).collect();
    let (shared, _) = UnlabelledPair::retain_new(&mut pairs, labelled);
    if shared > 0 {
        common::tell(&format!(
            "warning: {shared} of {} {name} pairs are among the labels, so accuracies on them are \
             too high: remove these pairs from one of the two",
            part.len()
        ));
    }
}

/// Warns if the labels are texts and the pool is messages, or the other way round: the model then sees
/// the same prompt as two different sequences.
fn warn_of_forms(labelled: &[PreferencePair], pool: &[PreferencePair]) {
    let texts = |pairs: &[PreferencePair]| {
        let texts = pairs
            .iter()
            .filter(|pair| matches!(pair.prompt, Prompt::Text(_)));
        texts.count()
    };
    let (of_labels, of_pool) = (texts(labelled), texts(pool));
    let other =
        (of_labels == labelled.len() && of_pool == 0) || (of_labels == 0 && of_pool == pool.len());
    if other {
        let (labels, pool) = match of_pool {
            0 => ("plain texts", "messages"),
            _ => ("messages", "plain texts"),
        };
        common::tell(&format!(
            "warning: the prompts of the labels are {labels}, but the prompts of the pool are \
             {pool}: the chat template gives messages other tokens, so bring both into one form \
             (`collimate data convert`)"
        ));
    }
}

fn about(
    labelled: &[PreferencePair],
    votes: Votes,
    [validation, test]: [&Vec<PreferencePair>; 2],
) -> String {
    let mut text = format!("Labels: {} pairs", labelled.len());
    let counts = listed(&[
        ("further labels that agree", votes.repeated),
        ("labelled both ways, the majority counts", votes.outvoted),
        ("labelled both ways equally often, dropped", votes.undecided),
    ]);
    if !counts.is_empty() {
        text += &format!(" ({counts})");
    }
    for (name, part) in [("validation", validation), ("test", test)] {
        text += &match part.len() {
            0 => format!("; no {name} pairs"),
            n => format!("; {n} {name} pairs"),
        };
    }
    text + "."
}
