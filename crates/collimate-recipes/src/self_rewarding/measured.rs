//! The models of a run and what they are worth.

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

/// A model of the run with what is known of it.
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

/// What is known of all models so far.
pub(super) struct Measured<M> {
    pub(super) models: Vec<ModelReport>,
    pub(super) weights: Vec<M>,
    /// Answers by name.
    answers: BTreeMap<String, Answers>,
    held_out: Vec<TokenizedExample>,
    /// What was cut of the held-out answers.
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

    /// Measures a model; `judges` is the parse rate that it must reach as a judge, if it is one.
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
        // First, so that a judge that cannot judge is found out early.
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

    /// Each model of the chain against the one before, the last against the baseline, and branches
    /// against the model that they started from.
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
                // Against the model that both learnt from, and against each other.
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

/// The baseline: demonstrations alone.
const SFT: &str = "sft";
