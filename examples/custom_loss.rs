//! A direct alignment loss of your own, trained beside DPO.
//!
//! ```text
//! cargo run --example custom_loss
//! ```
//!
//! The loss here is a focal DPO: pairs that the policy orders right already count less, as in the focal loss of
//! object detection (arXiv:1708.02002).

use collimate::burn::tensor::Tensor;
use collimate::burn::tensor::activation::log_sigmoid;
use collimate::dpo::{ImplicitRewards, LossError, PairLogps};
use collimate::nn::CausalLm;
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const TOKENS_PER_PACK: usize = 4096;

/// −(1 − σ(z))^γ log σ(z) with z = β·(log-ratio of chosen − log-ratio of rejected); γ = 0 is DPO.
#[derive(Debug, Clone, Copy)]
struct FocalDpo {
    beta: f64,
    gamma: f64,
}

impl DirectLoss for FocalDpo {
    fn name(&self) -> &'static str {
        "focal_dpo" // also the name in metrics and messages
    }

    fn check(&self) -> Result<(), LossError> {
        let beta = self.beta > 0.0 && self.beta.is_finite();
        LossError::check(self.name(), "beta", self.beta, "above 0", beta)?;
        let gamma = self.gamma >= 0.0 && self.gamma.is_finite();
        LossError::check(self.name(), "gamma", self.gamma, "at least 0", gamma)
    }

    // One value per pair, without a mean: the trainer divides by the size of the whole optimiser step, however it
    // is cut into micro-batches.
    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        let z = (chosen - rejected).mul_scalar(self.beta);
        // exp(γ log σ(−z)): a power of σ(−z) has no finite gradient where σ(−z) rounds to 0.
        let weight = log_sigmoid(z.clone().neg()).mul_scalar(self.gamma).exp();
        Ok(weight * log_sigmoid(z).neg())
    }

    // For the logged metrics `rewards/margins` and `rewards/accuracies`.
    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        let (chosen, rejected) = logps.log_ratios(self.name())?;
        Ok(ImplicitRewards {
            chosen: chosen.detach().mul_scalar(self.beta),
            rejected: rejected.detach().mul_scalar(self.beta),
        })
    }
}

/// Trains the start model with a loss; returns the metrics of the held-out pairs.
fn align<M: CausalLm>(
    start: &M,
    [train, held_out]: [&[TokenizedPair]; 2],
    loss: impl DirectLoss,
) -> Result<[f64; 2], collimate::Error> {
    let reference = Reference::Model(start.clone());
    let options = TrainConfig {
        // Also the seed of the order of the pairs: the same for all losses.
        stage: "align".to_owned(),
        learning_rate: 2e-4,
        batch_size: 16,
        ..TrainConfig::default()
    };
    let (train, held_out) = (train.to_vec(), held_out.to_vec());
    let objective = DirectObjective::new(train, held_out, loss, reference, TOKENS_PER_PACK)?;
    let fitted = fit(start.clone(), &objective, &options, &FitContext::default())?;
    // TRL's names; those of held-out pairs begin with `eval_`.
    Ok(["eval_rewards/accuracies", "eval_rewards/margins"].map(|name| fitted.metrics[name]))
}

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig {
        pairs: 3_000,
        ..WorldConfig::default()
    })?;
    let data = WorldData::new(&world, 0)?;
    let context = FitContext::default();
    let start =
        WorldModel::small().train(&world, &data.demonstrations, &Device::flex(), &context)?;
    let (train, _) = start.encode_pairs(&data.train)?;
    let (held_out, _) = start.encode_pairs(&data.validation)?;

    let beta = 0.5;
    println!(
        "{:<12} {:>6} {:>9} {:>8}",
        "loss", "gamma", "accuracy", "margin"
    );
    let dpo = Dpo {
        beta,
        ..Dpo::default()
    };
    let [accuracy, margin] = align(&start.model, [&train, &held_out], dpo)?;
    println!("{:<12} {:>6} {accuracy:>9.3} {margin:>8.3}", dpo.name(), "");
    for gamma in [0.0, 2.0] {
        let focal = FocalDpo { beta, gamma };
        let [accuracy, margin] = align(&start.model, [&train, &held_out], focal)?;
        println!(
            "{:<12} {gamma:>6} {accuracy:>9.3} {margin:>8.3}",
            focal.name()
        );
    }
    Ok(())
}
