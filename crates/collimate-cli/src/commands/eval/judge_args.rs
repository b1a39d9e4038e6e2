//! The options of a judge.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use collimate::judge::{EmptyAnswers, JudgeOptions};

use crate::commands::rule::rules::Rule;
use crate::common::{self, Failure};
use crate::names;

/// Rubric with which a language model judges one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RubricName {
    /// Self-Rewarding's points from 0 to 5
    Additive,
    /// MT-bench's rating from 1 to 10, with its prompt for second turns
    MtBench,
}

/// Kinds of judgement that a language model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ask {
    /// Each answer alone
    Single,
    /// Two answers side by side, in both orders
    Pairwise,
    /// Both kinds of judgement
    Both,
}

/// Options of the judge.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judge (one of --judge, --judge-rule, --judge-url)")]
pub(crate) struct JudgeArgs {
    /// Folder of the judge: a reward model, which scores each answer, or a causal language model,
    /// which is asked for its judgement
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    pub(super) judge: Option<PathBuf>,
    /// Rule that scores each answer
    #[arg(long, value_enum, value_name = "RULE")]
    pub(super) judge_rule: Option<Rule>,
    /// Base URL of an OpenAI-compatible server whose model is the judge, such as
    /// http://127.0.0.1:8000/v1
    #[arg(long, value_name = "URL", requires = "judge_model")]
    pub(super) judge_url: Option<String>,
    /// Name of the model on the server
    #[arg(long, value_name = "NAME", requires = "judge_url")]
    pub(super) judge_model: Option<String>,
    /// Name of the environment variable that holds the server's key; if absent, no key is sent
    #[arg(long, value_name = "VAR", requires = "judge_url")]
    pub(super) judge_key_env: Option<String>,
    /// Maximum number of concurrent requests to the server [default: 8]
    #[arg(long, value_name = "N", requires = "judge_url")]
    pub(super) concurrency: Option<usize>,
    /// Kinds of judgement that a judging language model is asked for [default: both, or single if
    /// there is one side]
    #[arg(long, value_enum)]
    pub(super) ask: Option<Ask>,
    /// Rubric for single answers [default: mt_bench]
    #[arg(long, value_enum)]
    pub(super) rubric: Option<RubricName>,
    /// Number of judgements of each single answer, which are averaged [default: 1; with additive:
    /// 3]
    #[arg(long, value_name = "N")]
    pub(super) samples: Option<usize>,
    /// Temperature of the judgements [default: 0; single answers with additive: 0.7]
    #[arg(long, value_name = "T")]
    pub(super) judge_temperature: Option<f64>,
    /// Maximum length of a judgement in tokens [default: 2048; single answers with additive: 512]
    #[arg(long, value_name = "N")]
    pub(super) judge_tokens: Option<usize>,
    /// Minimum share of judgements that can be parsed; below this share, the judge is refused
    /// [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    pub(super) min_parse_rate: Option<f64>,
    /// File that caches judgements; cached judgements are not requested again [default:
    /// judge-cache.jsonl in --out, if that is given]
    #[arg(long, value_name = "FILE")]
    pub(super) judge_cache: Option<PathBuf>,
    /// Handling of empty answers: judge them like others, leave them unscored, or refuse them
    /// [default: judge]
    #[arg(long, value_parser = common::json_name::<EmptyAnswers>, value_name = "HOW")]
    pub(super) empty_answers: Option<EmptyAnswers>,
    /// Largest difference of two scores that counts as a tie; MT-bench's code uses 0.1
    #[arg(long, value_name = "D", default_value_t = 0.0)]
    pub(super) tie_within: f64,
}

impl JudgeArgs {
    /// Returns the defaults, changed by the given options.
    pub(super) fn options(
        &self,
        mut options: JudgeOptions,
        batch: usize,
    ) -> Result<JudgeOptions, Failure> {
        options.batch = batch.max(1);
        options.empty_answers = self.empty_answers.unwrap_or(EmptyAnswers::Judge);
        if let Some(rate) = self.min_parse_rate {
            options.min_parse_rate = rate;
        }
        if let Some(samples) = self.samples {
            options.samples = samples;
        }
        if let Some(temperature) = self.judge_temperature {
            options.sampling.temperature = temperature;
        }
        if let Some(tokens) = self.judge_tokens {
            options.sampling.max_new_tokens = tokens;
        }
        let checked = options.check().map_err(|error| {
            let text = error.to_string();
            let given = [
                ("samples is", "--samples is"),
                ("min_parse_rate is", "--min-parse-rate is"),
                ("temperature is", "--judge-temperature is"),
                ("max_new_tokens is", "--judge-tokens is"),
            ];
            let mut named = given.iter().filter(|(start, _)| text.starts_with(start));
            match named.next() {
                Some((start, option)) => text.replacen(start, option, 1),
                None => text,
            }
        });
        checked?;
        Ok(options)
    }

    /// Refuses options for judging language models, because a scorer would ignore them.
    pub(super) fn refuse_asking(&self, who: &str) -> Result<(), Failure> {
        let given = [
            ("--ask", self.ask.is_some()),
            ("--rubric", self.rubric.is_some()),
            ("--samples", self.samples.is_some()),
            ("--judge-temperature", self.judge_temperature.is_some()),
            ("--judge-tokens", self.judge_tokens.is_some()),
            ("--min-parse-rate", self.min_parse_rate.is_some()),
            ("--judge-cache", self.judge_cache.is_some()),
            ("--empty-answers", self.empty_answers.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(format!(
                "{option} works only with a judging language model, but {who} gives scores: remove \
                 {option}"
            )
            .into()),
            None => Ok(()),
        }
    }
}
