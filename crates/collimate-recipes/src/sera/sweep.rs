//! Best-SeRA: chooses the share of own pairs on validation data.

use std::collections::HashSet;

use collimate_core::{Key, Prompt};
use collimate_direct::PairLogp;
use collimate_irm::IrmConfig;
use collimate_nn::CausalLm;

use super::data::SeraData;
use super::iterations::{Shared, Trained};
use super::method::Method;
use super::outcome::Tried;
use super::review::Variant;
use super::session::Session;
use crate::RecipeError;
use crate::answers::{Answers, answer, compare};

impl<M: CausalLm> Session<'_, M> {
    /// Runs SeRA with every share and keeps the best; of equal ones, the first.
    ///
    /// With a judge, the best share has the largest win rate on validation prompts. Without a
    /// judge, it has the largest accuracy on validation pairs.
    pub(crate) fn best_sera(
        &mut self,
        data: &SeraData<'_>,
        before: Option<&[PairLogp]>,
        shared: &mut Shared<M>,
    ) -> Result<Trained<M>, RecipeError> {
        let choice = match (&data.judge, self.choice_prompts(data)) {
            (Some(judge), Some(prompts)) => {
                let ids = self.sampler().prompts(&prompts)?;
                let key = self.key("validation answers");
                let label = "start validation answers";
                let start = answer(
                    &self.sampler(),
                    key,
                    label,
                    self.start,
                    &prompts,
                    &ids,
                    judge,
                )?;
                Some(Choice {
                    prompts,
                    ids,
                    start,
                    key,
                })
            }
            _ => None,
        };
        let mut tried: Vec<Tried> = Vec::new();
        let mut best: Option<Trained<M>> = None;
        let mut largest = f64::NEG_INFINITY;
        for &bootstrap_share in &self.config.best_of.clone() {
            let variant = Variant {
                method: Method::BestSera,
                title: self.share_title(bootstrap_share),
                irm: IrmConfig {
                    bootstrap_share,
                    ..self.config.irm
                },
                anchors: self.config.anchors_of(Method::BestSera),
            };
            let trained = self.iterations(&variant, data, before, shared)?;
            let validation = self.on_validation(&variant.title, &trained, data, choice.as_ref())?;
            tried.push(Tried {
                bootstrap_share,
                title: variant.title,
                validation,
                chosen: false,
            });
            // A strict comparison keeps the first of equal values. The first share is kept even if
            // no value is a number.
            if best.is_none() || validation > largest {
                largest = validation;
                tried.iter_mut().for_each(|one| one.chosen = false);
                if let Some(last) = tried.last_mut() {
                    last.chosen = true;
                }
                best = Some(trained);
            }
        }
        let best = best.ok_or(RecipeError::Empty { part: "best_of" })?;
        Ok(Trained { tried, ..best })
    }

    /// Returns the stage title of a share. If `sera` uses the same share, the title is `sera`'s,
    /// because the trainings are the same.
    fn share_title(&self, share: f64) -> String {
        if share == self.config.irm.bootstrap_share {
            return self.config.title(Method::Sera);
        }
        let title = self.config.title(Method::BestSera);
        format!("{title}-{share}")
    }

    /// Returns the validation prompts on which the judge helps to choose: as many as there are
    /// report prompts, and none of these. `None` without a judge.
    pub(crate) fn choice_prompts(&self, data: &SeraData<'_>) -> Option<Vec<Prompt>> {
        data.judge.as_ref()?;
        let mut seen: HashSet<&Prompt> = data.prompts.iter().collect();
        let prompts = data.validation.iter().map(|pair| &pair.prompt);
        Some(
            prompts
                .filter(|prompt| seen.insert(*prompt))
                .take(data.prompts.len())
                .cloned()
                .collect(),
        )
    }

    fn on_validation(
        &self,
        title: &str,
        trained: &Trained<M>,
        data: &SeraData<'_>,
        choice: Option<&Choice>,
    ) -> Result<f64, RecipeError> {
        let (Some(judge), Some(choice)) = (&data.judge, choice) else {
            let last = trained.iterations.last();
            return Ok(last.and_then(|i| i.validation_accuracy).unwrap_or(0.0));
        };
        let Choice {
            prompts,
            ids,
            start,
            key,
        } = choice;
        let label = format!("{title} validation answers");
        let own = answer(
            &self.sampler(),
            *key,
            &label,
            &trained.model,
            prompts,
            ids,
            judge,
        )?;
        Ok(compare(&own, start, prompts, None, *key)?.win_rate.estimate)
    }
}

/// Prompts and start answers on which every share is compared.
struct Choice {
    prompts: Vec<Prompt>,
    ids: Vec<Vec<u32>>,
    start: Answers,
    key: Key,
}
