//! The start of a run: tokenizer and model of the synthetic world, or of the user's folder.

use collimate::core::Key;
use collimate::data::TextTokenizer;
use collimate::lm::{Llama, Pretrained};
use collimate::nn::{Adaptable, Backbone, HfFolder, HfReward, Pooling};
use collimate::recipes::world::WorldModel;
use collimate::reward::RewardModel;
use collimate::world::World;
use serde::Serialize;
use serde_json::json;

use super::OnData;
use crate::common::{self, Failure};
use crate::job::Job;
use crate::runs;
use crate::start::Start;

impl<C: OnData + Serialize> Start<'_, C> {
    /// Creates the synthetic world, its tokenizer, and a decoder with random weights.
    pub(crate) fn of_world(&self) -> Result<(World, TextTokenizer, Llama), Failure> {
        let own = self.config.own();
        let world = World::new(own.world)?;
        let of_world = WorldModel {
            seed: own.seed,
            llama: own.llama.clone(),
            max_length: own.max_length,
            ..WorldModel::default()
        };
        let Pretrained {
            model, tokenizer, ..
        } = of_world.fresh(&world, self.device)?;
        Ok((
            world,
            tokenizer.with_max_prompt_length(own.max_prompt_length),
            own.saved_activations
                .of(model)
                .with_recompute(self.args.gradient_checkpointing)
                .with_precision(own.precision)?,
        ))
    }

    /// Opens the tokenizer of the user's folder.
    pub(crate) fn tokenizer(&self) -> Result<TextTokenizer, Failure> {
        let own = self.config.own();
        let tokenizer = own.rendering.open(own.dir()?)?;
        Ok(tokenizer.with_max_prompt_length(own.max_prompt_length))
    }

    /// Opens the tokenizer of the user's folder, which must hold a language model.
    pub(crate) fn writer(&self) -> Result<TextTokenizer, Failure> {
        common::check_writer("--model", self.config.own().dir()?)?;
        self.tokenizer()
    }

    /// Loads the language model in the user's folder. With adapters, its matrices are frozen and may
    /// keep their 16 bits, unless a stage without adapters comes first.
    pub(crate) fn language_model(&self, adapters_only: bool) -> Result<Llama, Failure> {
        let own = self.config.own();
        let options = match adapters_only {
            true => own.held(self.device),
            false => self.device.into(),
        };
        let model = Llama::load(own.dir()?, options)?;
        let model = own
            .saved_activations
            .of(model)
            .with_recompute(self.args.gradient_checkpointing)
            .with_precision(own.precision)?;
        runs::check_length(own.max_length, &model)?;
        Ok(model)
    }

    /// Loads the reward model in the user's folder, or the backbone in it with a fresh head.
    pub(crate) fn reward_model<B: HfReward>(
        &self,
        pooling: Option<Pooling>,
        label: Option<&str>,
    ) -> Result<RewardModel<B>, Failure> {
        let own = self.config.own();
        let (dir, key) = (own.dir()?, Key::new(own.seed, "head"));
        let held = own.held(self.device);
        let mut model = RewardModel::<B>::load_label_or_fresh(dir, label, key, held)?;
        let saved = own.saved_activations.beside(&mut model.backbone);
        let model = model
            .with_saved(saved)
            .with_recompute(self.args.gradient_checkpointing)
            .with_precision(own.precision)?;
        runs::check_length(own.max_length, &model.backbone)?;
        if let Some(pooling) = pooling.filter(|pooling| !model.backbone.expresses(*pooling)) {
            return Err(format!(
                "pooling is {}, but {} holds a classifier, whose head reads {}: remove pooling",
                json!(pooling),
                dir.display(),
                json!(model.pooling())
            )
            .into());
        }
        Ok(match pooling {
            Some(pooling) => RewardModel::from_parts(model.backbone, model.head, pooling),
            None => model,
        })
    }

    /// Opens the run folder, and prints and keeps a paragraph on data and model.
    pub(crate) fn job(&self, tokenizer: TextTokenizer, about: String) -> Result<Job, Failure> {
        Ok(self
            .open(tokenizer, self.config.own().max_length)?
            .about(about))
    }
}
