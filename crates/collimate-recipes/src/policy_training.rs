//! Training of one policy, shared by the recipes of direct alignment.

use std::time::Instant;

use collimate_core::Key;
use collimate_data::{RowSource, TokenizedPair};
use collimate_direct::{
    PairLogp, Reference, load_reference_logps, pair_logps_with, save_reference_logps,
};
use collimate_losses::{DirectLoss, PreferenceLoss, ReferenceNeed};
use collimate_nn::{CausalLm, Forward};
use collimate_run::RunFolder;
use collimate_train::{Interrupt, Objective, Progress, TrainConfig, TrainError, fit};

use crate::sft::EVALUATION_TOKENS;
use crate::{Adaptation, RecipeError};

/// A policy after training.
#[derive(Debug)]
pub(crate) struct FittedPolicy<M> {
    pub(crate) model: M,
    pub(crate) steps: u64,
    pub(crate) seconds: f64,
}

/// Seed, run folder, interrupt and progress of a policy's training.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyTraining<'a> {
    pub(crate) seed: u64,
    pub(crate) adaptation: &'a Adaptation,
    pub(crate) run: &'a RunFolder,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) progress: Progress,
}

impl PolicyTraining<'_> {
    /// Computes the log-probabilities of pairs under a model, with a progress bar.
    pub(crate) fn logps<M: CausalLm>(
        &self,
        label: &str,
        model: &M,
        pairs: &[TokenizedPair],
    ) -> Result<Vec<PairLogp>, RecipeError> {
        let mut meter = self.progress.start(label, 0, pairs.len() as u64);
        let mut logps = Vec::with_capacity(pairs.len());
        // In parts, so that an interrupt is noticed.
        for part in pairs.chunks(256) {
            if self.interrupt.is_set() {
                return Err(TrainError::Interrupted {
                    stage: label.to_owned(),
                    step: 0,
                    saved: None,
                }
                .into());
            }
            let done = logps.len();
            let found = pair_logps_with(model, part, Forward::EVAL, EVALUATION_TOKENS, |n, _| {
                meter.set((done + n) as u64, "");
            });
            logps.extend(found.map_err(|source| RecipeError::Pair {
                stage: label.to_owned(),
                pair: done + source.sequence() / 2,
                source,
            })?);
        }
        Ok(logps)
    }

    /// Returns the reference that a loss needs: log-probabilities of the pairs under a model. They
    /// are read from the run folder if an earlier start of this run has computed them. For pairs on
    /// disk, which may be many, the model itself is the reference. The same holds if the training
    /// reads fewer pairs than there are: `reads` is the number of pairs that it reads, evaluations
    /// included.
    pub(crate) fn reference<M: CausalLm>(
        &self,
        stage: &str,
        loss: PreferenceLoss,
        (model, hash): (&M, &str),
        train: &RowSource<TokenizedPair>,
        held_out: &[TokenizedPair],
        reads: u64,
    ) -> Result<Reference<M>, RecipeError> {
        if loss.reference_need() == ReferenceNeed::None {
            return Ok(Reference::None);
        }
        let all = train.len() + held_out.len();
        let train = match train {
            RowSource::Memory(pairs) if reads >= all as u64 => pairs,
            RowSource::Memory(_) | RowSource::Store(_) => {
                return Ok(match self.adaptation {
                    Adaptation::Lora(_) => Reference::AdaptersOff,
                    Adaptation::Full => Reference::Model(model.clone()),
                });
            }
        };
        Ok(Reference::Logps {
            train: self.stored_logps(stage, model, hash, train)?,
            held_out: match held_out.is_empty() {
                true => Vec::new(),
                false => {
                    self.stored_logps(&format!("{stage}-validation"), model, hash, held_out)?
                }
            },
        })
    }

    fn stored_logps<M: CausalLm>(
        &self,
        stage: &str,
        model: &M,
        hash: &str,
        pairs: &[TokenizedPair],
    ) -> Result<Vec<PairLogp>, RecipeError> {
        let folder = self.run.folder("references")?;
        let path = folder.join(format!("{stage}.safetensors"));
        if path.exists()
            && let Ok(logps) = load_reference_logps(&path, hash, pairs)
        {
            return Ok(logps);
        }
        let logps = self.logps(&format!("{stage} reference"), model, pairs)?;
        save_reference_logps(&path, hash, pairs, &logps)?;
        Ok(logps)
    }

    /// Trains the policy, or continues where an earlier start of this run stopped.
    pub(crate) fn fit<M: CausalLm, O: Objective<Model = M>>(
        &self,
        train: &TrainConfig,
        policy: &M,
        objective: &O,
        started: Instant,
    ) -> Result<FittedPolicy<M>, RecipeError> {
        let key = Key::new(self.seed, &train.stage);
        let model = self.adaptation.begin(policy, key)?;
        let context = self
            .run
            .context(self.interrupt)
            .with_progress(self.progress);
        let fitted = fit(model, objective, train, &context)?;
        Ok(FittedPolicy {
            steps: fitted.steps,
            // A resumed stage counts the seconds of its earlier starts.
            seconds: fitted.seconds.max(started.elapsed().as_secs_f64()),
            model: match train.keep_best && train.eval_every.is_some() {
                true => fitted.into_best().settled(),
                false => fitted.model.settled(),
            },
        })
    }
}
