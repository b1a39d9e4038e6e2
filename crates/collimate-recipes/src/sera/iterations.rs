//! The iterations of a method: train, review, train again.

use std::time::Instant;

use collimate_data::TokenizedPair;
use collimate_direct::PairLogp;
use collimate_nn::CausalLm;

use super::anchors::CompareDevices;
use super::data::SeraData;
use super::method::{Method, Offline, Own};
use super::outcome::{IterationReport, SelectionReport, Tried};
use super::own::Responses;
use super::review::{History, Reviewed, Step, Variant, review, share_of};
use super::session::{How, Iterate, Session};
use crate::RecipeError;
use crate::implicit::{accuracy, mean_logps};

/// Stage of the plain training over all pairs, which methods share.
pub(crate) const FIRST_STAGE: &str = "iteration-1";

/// Results that several methods share and that are computed once.
#[derive(Debug)]
pub(crate) struct Shared<M> {
    start: Option<Iterate<M>>,
    /// The plain training over all pairs.
    first: Option<Iterate<M>>,
    first_report: Option<IterationReport>,
    /// The same training with another seed, for methods with a second policy.
    second: Option<Iterate<M>>,
    /// Responses of the first iterate.
    pub(crate) responses: Option<Responses>,
}

impl<M> Default for Shared<M> {
    fn default() -> Self {
        Self {
            start: None,
            first: None,
            first_report: None,
            second: None,
            responses: None,
        }
    }
}

/// A method's final policy and its iterations.
#[derive(Debug)]
pub(crate) struct Trained<M> {
    pub(crate) model: M,
    pub(crate) iterations: Vec<IterationReport>,
    pub(crate) tried: Vec<Tried>,
    /// Offline pairs that each iteration selected.
    pub(crate) offline: Vec<(usize, Vec<usize>)>,
}

impl<M: CausalLm> Session<'_, M> {
    /// Runs one method.
    pub(crate) fn method(
        &mut self,
        method: Method,
        data: &SeraData<'_>,
        before: Option<&[PairLogp]>,
        shared: &mut Shared<M>,
    ) -> Result<Trained<M>, RecipeError> {
        let title = self.config.title(method);
        match method {
            Method::Base | Method::Kto => self.one_training(method, &title, data, before),
            Method::BestSera => self.best_sera(data, before, shared),
            _ => {
                let variant = Variant {
                    method,
                    title,
                    irm: self.config.irm,
                    anchors: self.config.anchors_of(method),
                };
                self.iterations(&variant, data, before, shared)
            }
        }
    }

    /// Trains once on all pairs, for as many steps as all iterations together.
    fn one_training(
        &mut self,
        method: Method,
        title: &str,
        data: &SeraData<'_>,
        before: Option<&[PairLogp]>,
    ) -> Result<Trained<M>, RecipeError> {
        let steps = self.steps(self.train.len()) * self.config.iterations as u64;
        let (start, pairs) = (self.start, self.train.clone());
        let iterate = match method {
            Method::Kto => self.train_unpaired(title, start, pairs, steps)?,
            _ => self.train(title, start, start, pairs, steps)?,
        };
        let report = self.report(method, 1, all(data), &iterate, iterate.seconds, before)?;
        Ok(Trained {
            model: iterate.model,
            iterations: vec![report],
            tried: Vec::new(),
            offline: Vec::new(),
        })
    }

    pub(crate) fn iterations(
        &mut self,
        variant: &Variant,
        data: &SeraData<'_>,
        before: Option<&[PairLogp]>,
        shared: &mut Shared<M>,
    ) -> Result<Trained<M>, RecipeError> {
        let fresh = || Iterate {
            model: self.start.clone(),
            offline: None,
            steps: 0,
            seconds: 0.0,
        };
        let mut history = vec![shared.start.clone().unwrap_or_else(fresh)];
        let mut reports = Vec::new();
        let mut offline = Vec::new();
        let method = variant.method;
        if method.starts_on_all_pairs() {
            if shared.first.is_none() {
                let (start, pairs) = (self.start, self.train.clone());
                let steps = self.steps(pairs.len());
                shared.first = Some(self.train(FIRST_STAGE, start, start, pairs, steps)?);
            }
            history.extend(shared.first.clone());
            let report = match shared.first_report.take() {
                Some(report) => report,
                None => {
                    let first = &history[1];
                    self.report(method, 1, all(data), first, first.seconds, before)?
                }
            };
            shared.first_report = Some(report.clone());
            reports.push(report);
        }
        let how = How {
            alpha: variant.anchors.nll_anchor.unwrap_or(0.0),
            seed: self.config.seed,
        };
        let asks = variant.anchors.agreement.is_some() && self.config.iterations > 1;
        let mut second = match asks {
            true => vec![history[0].clone(), self.second_first(shared)?],
            false => Vec::new(),
        };
        for iteration in history.len()..=self.config.iterations {
            let started = Instant::now();
            let step = Step {
                variant,
                iteration,
                data,
                second: false,
            };
            let (pairs, selection) = match (method.offline(), method.own()) {
                (Offline::All, Own::None) => (self.train.clone(), all(data)),
                _ => {
                    let responses = &mut shared.responses;
                    let models = (history.as_mut_slice(), second.as_slice());
                    let reviewed = review(self, step, models, responses)?;
                    // The models now carry their log-probabilities of the training pairs, which
                    // later methods need too.
                    shared.start = history.first().cloned();
                    if iteration == 2 && method.starts_on_all_pairs() {
                        shared.first = history.get(1).cloned();
                    }
                    if matches!(method.offline(), Offline::Top(_) | Offline::Stage)
                        && !reviewed.offline.is_empty()
                    {
                        offline.push((iteration, reviewed.offline.clone()));
                    }
                    self.pairs(reviewed)
                }
            };
            if self.config.devices == CompareDevices::First && method.own() == Own::Implicit {
                reports.push(IterationReport {
                    iteration,
                    selection,
                    steps: 0,
                    validation_accuracy: None,
                    validation_logps: None,
                    seconds: started.elapsed().as_secs_f64(),
                });
                break;
            }
            let policy = history[history.len() - 1].model.clone();
            let steps = self.steps(pairs.len());
            if asks && iteration < self.config.iterations {
                // The start model carries its log-probabilities of the training pairs.
                second[0] = history[0].clone();
                let step = Step {
                    second: true,
                    ..step
                };
                let next = self.second_next(step, how, &mut second)?;
                second.push(next);
            }
            let stage = step.stage();
            let iterate = self.train_as(how, &stage, &policy, &policy, pairs, steps)?;
            let seconds = started.elapsed().as_secs_f64().max(iterate.seconds);
            let report = self.report(method, iteration, selection, &iterate, seconds, before)?;
            reports.push(report);
            history.push(iterate);
        }
        let last = history.swap_remove(history.len() - 1);
        Ok(Trained {
            model: last.model,
            iterations: reports,
            tried: Vec::new(),
            offline,
        })
    }

    /// Trains the second policy on all pairs: the shared first training with another seed.
    fn second_first(&mut self, shared: &mut Shared<M>) -> Result<Iterate<M>, RecipeError> {
        if let Some(second) = &shared.second {
            return Ok(second.clone());
        }
        let (start, pairs) = (self.start, self.train.clone());
        let steps = self.steps(pairs.len());
        let how = How {
            alpha: self.config.nll_anchor,
            seed: self.second_seed(),
        };
        let stage = format!("{FIRST_STAGE}-second");
        let second = self.train_as(how, &stage, start, start, pairs, steps)?;
        shared.second = Some(second.clone());
        Ok(second)
    }

    /// Lets the second policy review the pairs by its own implicit rewards, and trains it on this
    /// selection. No choice of the first policy reaches the second policy: policies that train on
    /// the same selection agree because of it.
    fn second_next(
        &mut self,
        step: Step<'_>,
        how: How,
        second: &mut History<M>,
    ) -> Result<Iterate<M>, RecipeError> {
        let no_third: &History<M> = &[];
        let reviewed = review(self, step, (&mut *second, no_third), &mut None)?;
        let (pairs, _) = self.pairs(reviewed);
        let policy = second[second.len() - 1].model.clone();
        let steps = self.steps(pairs.len());
        let how = How {
            seed: self.second_seed(),
            ..how
        };
        self.train_as(how, &step.stage(), &policy, &policy, pairs, steps)
    }

    fn pairs(&self, reviewed: Reviewed) -> (Vec<TokenizedPair>, SelectionReport) {
        let offline = reviewed
            .offline
            .iter()
            .map(|&index| self.train[index].clone());
        let pairs = offline.chain(reviewed.own).collect();
        (pairs, reviewed.report)
    }

    pub(crate) fn validation_logps(
        &self,
        label: &str,
        model: &M,
    ) -> Result<Option<Vec<PairLogp>>, RecipeError> {
        match self.validation.is_empty() {
            true => Ok(None),
            false => self
                .logps(&format!("{label} validation"), model, &self.validation)
                .map(Some),
        }
    }

    fn report(
        &self,
        method: Method,
        iteration: usize,
        selection: SelectionReport,
        iterate: &Iterate<M>,
        seconds: f64,
        before: Option<&[PairLogp]>,
    ) -> Result<IterationReport, RecipeError> {
        let after = self.validation_logps(&format!("iteration {iteration}"), &iterate.model)?;
        let kind = self.config.implicit_reward(method);
        let moved = after.as_deref().zip(before);
        let accuracy = moved.map(|(after, before)| accuracy(kind, after, before, &self.validation));
        Ok(IterationReport {
            iteration,
            selection,
            steps: iterate.steps,
            validation_accuracy: accuracy,
            validation_logps: after.as_deref().map(mean_logps),
            seconds,
        })
    }
}

/// Returns the report of an iteration over all offline pairs.
fn all(data: &SeraData<'_>) -> SelectionReport {
    SelectionReport {
        offline: data.train.len(),
        noisy_share: data.noisy.as_deref().map(share_of),
        noisy_share_of_all: data.noisy.as_deref().map(share_of),
        ..SelectionReport::default()
    }
}
