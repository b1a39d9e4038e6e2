//! Sources of the pairs: the synthetic world, or files.

use std::collections::HashSet;

use collimate::core::{Key, PreferencePair, Prompt};
use collimate::data::{
    AnswerEnd, ReadReport, SER_SHARES, SftExample, TextTokenizer, TokenizeReport, split_by_fraction,
};
use collimate::recipes::AnswerScorer;
use collimate::recipes::ppo::PolicyData;
use collimate::recipes::ser::{SerConfig, SerData, SplitPlan};
use collimate::recipes::world::{plain_texts, world_pairs};
use collimate::world::World;

use super::config::Config;
use super::policy_prompts;
use crate::commands::align::pairs::examples;
use crate::common::{self, Failure};
use crate::files::{self, parts};

/// The data parts of a run, before the labelled seed is drawn.
pub(crate) struct Parts {
    /// Plain texts for a decoder from scratch; empty if the model is given.
    pub(crate) pretrain: Vec<SftExample>,
    /// Examples for supervised fine-tuning; empty for encoders.
    pub(crate) sft: Vec<SftExample>,
    /// Examples held out from fine-tuning.
    pub(crate) sft_held_out: Vec<SftExample>,
    /// Pairs for the reward model.
    pub(crate) train: Vec<PreferencePair>,
    pub(crate) validation: Vec<PreferencePair>,
    pub(crate) test: Vec<PreferencePair>,
    /// Pairs whose prompts are for the policy stage.
    pub(crate) set_aside: Vec<PreferencePair>,
    /// Reports on the files that were read.
    pub(crate) reports: Vec<ReadReport>,
}

/// Prompts of the policy stage, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicyPrompts {
    /// Prompts to learn from.
    pub(crate) train: Vec<Prompt>,
    /// Prompts that are watched during training.
    pub(crate) watched: Vec<Prompt>,
    /// Prompts whose answers are compared at the end.
    pub(crate) test: Vec<Prompt>,
}

impl PolicyPrompts {
    /// Adds the data that policies are measured with.
    pub(crate) fn into_data(
        self,
        held_out: Vec<SftExample>,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'_>>,
    ) -> PolicyData<'_> {
        PolicyData {
            prompts: self.train,
            watched: self.watched,
            test: self.test,
            held_out,
            eos,
            judge,
        }
    }
}

/// Returns the different prompts of pairs.
pub(super) fn prompts(pairs: &[PreferencePair]) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let all = pairs.iter().map(|pair| pair.prompt.clone());
    all.filter(|prompt| !prompt.is_empty() && seen.insert(prompt.clone()))
        .collect()
}

/// The data of a run, split and checked to tokenise.
pub(crate) struct Prepared {
    pub(crate) pretrain: Vec<SftExample>,
    pub(crate) sft: Vec<SftExample>,
    pub(crate) sft_held_out: Vec<SftExample>,
    pub(crate) ser: SerData,
    pub(crate) policy: PolicyPrompts,
    /// Lengths of all pairs, and counts of the cut ones.
    pub(crate) lengths: TokenizeReport,
}

impl Parts {
    /// Splits the data, and finds faults in it before anything is written.
    pub(crate) fn prepare(
        mut self,
        config: &Config,
        tokenizer: &TextTokenizer,
    ) -> Result<Prepared, Failure> {
        let ser = &config.ser;
        let scored = tokenizer.clone().with_answer_end(AnswerEnd::EveryAnswer);
        let mut lengths = TokenizeReport::default();
        for (name, part) in [
            ("training", &mut self.train),
            ("validation", &mut self.validation),
            ("test", &mut self.test),
        ] {
            lengths = lengths + drop_equal(name, part, &scored, ser)?;
        }
        // The all-labels model and the oracle control need the pool's labels.
        let keep_labels = ser.baseline || !ser.controls.is_empty();
        let plan = SplitPlan {
            seed_share: ser.seed_share,
            keep_labels,
            key: Key::new(ser.seed, "pool"),
        };
        let mut policy = PolicyPrompts {
            train: prompts(&self.set_aside),
            watched: prompts(&self.validation),
            test: prompts(&self.test),
        };
        // An encoder is not fine-tuned, and has no policy.
        if let Some(path) = config
            .policy_prompts
            .as_ref()
            .filter(|_| !self.sft.is_empty())
        {
            let held = [&policy.watched[..], &policy.test].concat();
            policy.train = policy_prompts::of(path, &self.train, &held, config, tokenizer)?;
        }
        policy.test.truncate(config.policy_test_prompts);
        let (train, validation, test) = (self.train, self.validation, self.test);
        let mut data = SerData::split(train, validation, test, &plan)?;
        data.fine_tuned_on.clone_from(&self.sft);
        data.fine_tuning_labels = self.sft.len();
        Ok(Prepared {
            pretrain: self.pretrain,
            sft: self.sft,
            sft_held_out: self.sft_held_out,
            ser: data,
            policy,
            lengths,
        })
    }
}

impl Prepared {
    /// Describes the lengths in one or two sentences for the report.
    pub(crate) fn about_lengths(&self, config: &Config) -> String {
        let lengths = &self.lengths;
        format!(
            " Sequences hold at most {} tokens. Tokenisation: {lengths}; {} pairs were dropped \
             because their answers are equal as tokens.",
            config.ser.max_length, lengths.equal_answers
        )
    }
}

/// Drops the pairs of a part whose answers are equal as tokens: such pairs neither teach nor
/// measure anything.
pub(super) fn drop_equal(
    name: &str,
    part: &mut Vec<PreferencePair>,
    tokenizer: &TextTokenizer,
    ser: &SerConfig,
) -> Result<TokenizeReport, Failure> {
    let (ids, report) = tokenizer.encode_pairs(part, ser.max_length, ser.truncation)?;
    let (equal, pairs) = (report.equal_answers, report.pairs);
    if equal > 0 && equal == pairs {
        return Err(format!(
            "no {name} pair is left: the answers of each of the {pairs} pairs are equal as tokens \
             ({} pairs were cut to {} tokens): raise --max-length",
            report.truncated, ser.max_length
        )
        .into());
    }
    if 2 * equal > pairs {
        common::tell(&format!(
            "warning: {equal} of {pairs} {name} pairs were dropped because their answers are equal \
             as tokens ({} pairs were cut to {} tokens)",
            report.truncated, ser.max_length
        ));
    }
    let mut differ = ids.iter().map(|pair| pair.chosen != pair.rejected);
    part.retain(|_| differ.next().unwrap_or(true));
    Ok(report)
}

/// Splits the pairs of the synthetic world.
pub(crate) fn from_world(config: &Config, world: &World) -> Result<Parts, Failure> {
    let validation = world_pairs(world.validation_pairs());
    let key = Key::new(config.ser.seed, "split");
    let [sft, train, set_aside] = parts(split_by_fraction(
        world_pairs(world.train_pairs()),
        &SER_SHARES,
        key,
    )?);
    Ok(Parts {
        pretrain: plain_texts(world, config.pretrain_texts, config.ser.seed),
        sft: examples(&sft),
        sft_held_out: examples(&validation),
        train,
        validation,
        test: world_pairs(world.test_pairs()),
        set_aside,
        reports: Vec::new(),
    })
}

/// Reads and splits the user's files. A decoder is fine-tuned first and needs a part of the pairs
/// for that.
pub(crate) fn from_files(config: &Config, needs_sft: bool) -> Result<Parts, Failure> {
    let options = files::options(config.format, config.on_bad_row, config.hh_turns);
    files::check(config.data.iter().chain(&config.test))?;
    let mut reports = Vec::new();
    let rows = files::pairs(&config.data, &[], &options, &mut reports)?;
    let test = files::pairs(&config.test, &[], &options, &mut reports)?;
    let (rest, validation, test) = if config.test.is_empty() {
        let [test, validation, rest] = files::split(rows, [0.2, 0.1, 0.7])?;
        (rest, validation, test)
    } else {
        let [validation, rest] = files::split(rows, [0.1, 0.9])?;
        (rest, validation, test)
    };
    let (sft, train, set_aside) = if needs_sft {
        let key = Key::new(config.ser.seed, "split");
        let [sft, mut train, mut set_aside] = parts(split_by_fraction(rest, &SER_SHARES, key)?);
        if sft.is_empty() {
            return Err("no pair is left for fine-tuning: give more data".into());
        }
        if config.policy_prompts.is_some() {
            train.append(&mut set_aside);
        }
        (sft, train, set_aside)
    } else {
        (Vec::new(), rest, Vec::new())
    };
    Ok(Parts {
        pretrain: Vec::new(),
        sft: examples(&sft),
        sft_held_out: examples(&validation),
        train,
        validation,
        test,
        set_aside,
        reports,
    })
}
