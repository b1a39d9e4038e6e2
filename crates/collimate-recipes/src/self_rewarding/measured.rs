//! The models of a run and their measurements.

use std::collections::BTreeMap;

use collimate_core::Prompt;
use collimate_data::{TokenizeReport, TokenizedExample};
use collimate_nn::CausalLm;
use collimate_train::model_hash;

use super::data::SelfRewardingData;
use super::evaluate::{answers, held_out, judge_test, mean_score};
use super::outcome::ModelReport;
use super::ranks::rank_test;
use super::session::Session;
use crate::RecipeError;
use crate::answers::{Answers, compare};

/// A model of the run with its name, hash and training cost.
pub(super) struct Known<M> {
    pub(super) name: String,
    pub(super) model: M,
    pub(super) hash: String,
    pub(super) steps: u64,
    pub(super) seconds: f64,
}

impl<M: CausalLm> Known<M> {
    pub(super) fn new(name: &str, model: M, steps: u64, seconds: f64) -> Self {
        Self {
            name: name.to_owned(),
            hash: model_hash(&model),
            model,
            steps,
            seconds,
        }
    }
}

/// Measurements of all models so far.
pub(super) struct Measured<M> {
    pub(super) models: Vec<ModelReport>,
    pub(super) weights: Vec<M>,
    /// Answers by model name.
    answers: BTreeMap<String, Answers>,
    held_out: Vec<TokenizedExample>,
    /// Lengths and cuts of the held-out answers.
    pub(super) held_out_report: TokenizeReport,
}

impl<M: CausalLm> Measured<M> {
    pub(super) fn new(
        session: &Session<'_>,
        data: &SelfRewardingData<'_>,
    ) -> Result<Self, RecipeError> {
        let config = session.config;
        let (held_out, held_out_report) = session.tokenizer.encode_examples(
            &data.held_out,
            config.max_length,
            config.truncation,
        )?;
        Ok(Self {
            models: Vec::new(),
            weights: Vec::new(),
            answers: BTreeMap::new(),
            held_out,
            held_out_report,
        })
    }

    /// Measures a model. `judges` is the parse rate that a judge must reach; `None` for a model
    /// that is not a judge.
    pub(super) fn add(
        &mut self,
        session: &mut Session<'_>,
        data: &SelfRewardingData<'_>,
        known: &Known<M>,
        judges: Option<f64>,
    ) -> Result<(), RecipeError> {
        let Known {
            name, model, hash, ..
        } = known;
        // First, so that a model that cannot judge is refused early.
        let (judge, ranks) = match judges {
            Some(least) => (
                judge_test(session, name, model, hash, data, least)?,
                rank_test(session, name, model, hash, data, least)?,
            ),
            None => (None, None),
        };
        let (mut report, mut task_accuracy) = (None, None);
        if let Some(evaluator) = &data.evaluator {
            let own = answers(session, name, model, hash, data, evaluator)?;
            let start = self.answers.get(SFT).unwrap_or(&own);
            let key = session.key("comparison");
            report = Some(compare(&own, start, &data.prompts, None, key)?);
            if let Some(task) = &data.task_accuracy {
                task_accuracy = mean_score(task, &data.prompts, &own)?;
            }
            self.answers.insert(name.clone(), own);
        }
        self.models.push(ModelReport {
            name: name.clone(),
            answers: report,
            perplexity: held_out(model, &self.held_out)?,
            task_accuracy,
            judge,
            ranks,
            steps: known.steps,
        });
        self.weights.push(model.clone());
        Ok(())
    }

    /// Compares each model of the chain with the one before; M1 and the last model are also
    /// compared with the baseline. Compares each branch with the model that it started from and
    /// with the chain's model of the same iteration.
    pub(super) fn comparisons(
        &self,
        session: &Session<'_>,
        prompts: &[Prompt],
        iterations: usize,
    ) -> Result<BTreeMap<String, crate::AnswerReport>, RecipeError> {
        let mut pairs = vec![("m1".to_owned(), SFT.to_owned())];
        for t in 1..=iterations {
            let (before, next) = (format!("m{t}"), format!("m{}", t + 1));
            let branches = self.models.iter().map(|model| &model.name);
            let branches = branches.filter(|name| name.starts_with(&format!("{next}-")));
            for name in branches {
                // The model that both learnt from, and the chain's model of the same iteration.
                pairs.push((name.clone(), before.clone()));
                pairs.push((name.clone(), next.clone()));
            }
            pairs.push((next, before));
        }
        pairs.push((format!("m{}", iterations + 1), SFT.to_owned()));
        let mut found = BTreeMap::new();
        for (a, b) in pairs {
            let (Some(own), Some(other)) = (self.answers.get(&a), self.answers.get(&b)) else {
                continue;
            };
            let key = session.key("comparison");
            let report = compare(own, other, prompts, None, key)?;
            found.insert(format!("{a}_vs_{b}"), report);
        }
        Ok(found)
    }
}

/// Name of the baseline, which learns from demonstrations alone.
const SFT: &str = "sft";
