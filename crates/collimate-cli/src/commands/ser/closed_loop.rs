//! Further rounds of SER with the policy's own answers as new unlabelled pairs.

use std::fmt;

use collimate::core::PreferencePair;
use collimate::lm::Llama;
use collimate::recipes::ppo::{PolicyData, PolicyOutcome, RewardArm};
use collimate::recipes::ser::{RoundData, TrainedReward, evolve_round};
use collimate::recipes::{OwnPairsPlan, RecipeError, ResponseSampling, own_pairs};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::run::Report;
use serde::Serialize;
use serde_json::json;

use super::Run;
use crate::common::Failure;
use crate::templates::TEMPLATES;
use crate::{policy, runs};

/// Held-out pairs on which reward models are measured.
pub(crate) struct Held {
    pub(crate) validation: Vec<PreferencePair>,
    pub(crate) test: Vec<PreferencePair>,
}

/// A round, with the change of the reward model in it.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    round: usize,
    /// Name of the policy that wrote the pairs.
    policy: String,
    pairs: usize,
    equal: usize,
    unfinished: usize,
    /// Number of pairs to which the judge gives equal scores; absent without a judge.
    tied: Option<usize>,
    kept: usize,
    /// Share of right labels among all kept labels.
    label_precision: Option<f64>,
    pool_accuracy: Option<f64>,
    loops: usize,
    train_pairs: usize,
    validation_accuracy: Option<f64>,
    accuracy: Option<f64>,
    interval: Option<[f64; 2]>,
    /// Seconds that the reward model took.
    pub(super) seconds: f64,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} test accuracy {}  ({} of {} pairs of its policy kept)",
            format!("ser-round{}", self.round),
            super::four_digits(self.accuracy),
            self.kept,
            self.pairs,
        )
    }
}

impl Run<'_> {
    /// Runs the number of rounds that the options set. In each round, the policy of the evolved
    /// reward model writes pairs, SER continues with them, and a new policy learns from the new
    /// reward model. All new policies are added to `policies`.
    pub(super) fn close_the_loop(
        &mut self,
        start: &Llama,
        fresh: &RewardModel<Llama>,
        learnt: &TrainedReward<Llama>,
        data: &PolicyData<'_>,
        held: &Held,
        policies: &mut PolicyOutcome<Llama>,
    ) -> Result<Vec<Round>, Failure> {
        let config = self.config;
        let ser = &config.ser;
        let mut learnt = learnt.clone();
        let mut rounds = Vec::new();
        for round in 1..=config.policy_in_loop {
            let writer = match round {
                1 => "ser".to_owned(),
                n => format!("ser-round{}", n - 1),
            };
            let policy = policies.policy(&writer).ok_or("there is no policy ser")?;
            let name = format!("round{round}");
            let resume = self.job.resume.clone();
            let (tokenizer, mut context) = self.job.parts();
            let plan = OwnPairsPlan {
                name: &name,
                tokenizer,
                eos: &data.eos,
                sampling: ResponseSampling {
                    temperature: 1.0,
                    top_p: 1.0,
                    max_new_tokens: config.policy.ppo.max_new_tokens,
                },
                max_length: ser.max_length,
                seed: ser.seed,
            };
            let (prompts, judge) = (&data.prompts, data.judge.as_ref());
            let own = match own_pairs(&policy.model, prompts, judge, &plan, &context) {
                // The results so far stay valid without this round.
                Err(error @ RecipeError::NoPairs { .. }) => {
                    self.warnings.push(format!("the rounds end here: {error}"));
                    break;
                }
                own => own.map_err(|error| runs::stopped(error, &resume))?,
            };
            let pairs = own.pool.len();
            let round_data = RoundData {
                name: &name,
                before: &learnt,
                pool: own.pool,
                auditor: own.auditor,
                validation: &held.validation,
                test: &held.test,
            };
            let done = evolve_round(fresh, tokenizer, round_data, ser, &mut context)
                .map_err(|error| runs::stopped(error, &resume))?;
            let labels = || done.loops.iter().filter_map(|l| l.labels.as_ref());
            let kept: usize = labels().map(|l| l.kept).sum();
            let right = labels().filter_map(|l| Some(l.label_precision? * l.kept as f64));
            let audited = labels().any(|l| l.label_precision.is_some());
            let interval = done.test.test.as_ref().map(|test| test.interval);
            rounds.push(Round {
                round,
                policy: writer,
                pairs,
                equal: own.equal,
                unfinished: own.unfinished,
                tied: own.tied,
                kept,
                label_precision: audited.then(|| right.sum::<f64>() / kept as f64),
                pool_accuracy: labels().find_map(|l| l.pool_accuracy),
                loops: done.loops.iter().filter(|l| l.steps > 0).count(),
                train_pairs: done.learnt.trained_on.len(),
                validation_accuracy: done.test.validation.map(|v| v.accuracy),
                accuracy: done.test.accuracy(),
                interval: interval.map(|interval| [interval.low, interval.high]),
                seconds: done.loops.iter().map(|l| l.seconds).sum(),
            });
            if kept == 0 {
                // The same reward model would give the same policy again, apart from chance.
                self.warnings.push(format!(
                    "round {round} kept none of its {pairs} pairs, so the reward model is \
                     unchanged and the rounds end here: lower the thresholds or --min-count (a \
                     round has at most one pair per prompt of the policy)"
                ));
                break;
            }
            learnt = done.learnt;
            self.job.save(&format!("model-{name}"), &learnt.model)?;
            let scorer = RewardScorer::new(
                learnt.model.clone(),
                self.job.tokenizer.clone(),
                ser.max_length,
                ser.truncation,
            );
            let arm = RewardArm {
                name: format!("ser-{name}"),
                reward: &scorer,
                centre: Some(learnt.centre),
                critic: Some(policy::critic(&learnt.model)),
            };
            let more = self.train_policies(start, &[arm], data)?;
            policies.policies.extend(more.policies);
            policies.seconds += more.seconds;
        }
        Ok(rounds)
    }
}

/// Returns the section of a report on the rounds; it is empty if there are no rounds and no
/// warnings.
pub(super) fn section(rounds: &[Round], warnings: &[String]) -> Result<Report, Failure> {
    let values = json!({"rounds": rounds, "warnings": warnings});
    Ok(TEMPLATES.render("closed_loop.md", &values, Vec::new())?)
}
