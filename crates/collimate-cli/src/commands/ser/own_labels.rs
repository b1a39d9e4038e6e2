//! A run on labels of the user's own and a pool that nobody has labelled.

use std::path::Path;

use collimate::data::TextTokenizer;
use collimate::lm::{Architecture, Encoder, Llama, eos_token_ids};
use collimate::reward::RewardModel;

use super::Run;
use super::answers::{self, Writer};
use super::config::Config;
use super::data::Prepared;
use super::labels::{Labels, candidates};
use crate::commands::reward::check_pooling;
use crate::common::{self, Failure};
use crate::start::Start;

/// What the reward model starts from.
enum Base {
    Encoder(Box<RewardModel<Encoder>>),
    Reward(Box<RewardModel<Llama>>),
    /// A language model, and the tokens that end its answers.
    Writer(Llama, Vec<u32>),
}

impl Base {
    fn open(start: &Start<'_, Config>, dir: &Path) -> Result<Self, Failure> {
        let (pooling, label) = (start.config.pooling, start.config.label.as_deref());
        let kind = common::architecture(dir)?;
        if kind != Architecture::Encoder {
            check_pooling(pooling, dir)?;
        }
        if kind != Architecture::Decoder {
            start.config.check_no_rounds()?;
        }
        Ok(match kind {
            Architecture::Encoder => Self::Encoder(Box::new(start.reward_model(pooling, label)?)),
            Architecture::DecoderReward => {
                Self::Reward(Box::new(start.reward_model(pooling, label)?))
            }
            _ => Self::Writer(start.language_model()?, eos_token_ids(dir)?),
        })
    }
}

/// Runs the command.
pub(super) fn run(start: &Start<'_, Config>, dir: &Path) -> Result<(), Failure> {
    let config = start.config;
    common::architecture(dir)?;
    let tokenizer = start.tokenizer()?;
    let labels = Labels::read(config, &tokenizer)?;
    let (mut run, base, data) = prepared(start, dir, tokenizer, labels)?;
    match base {
        Base::Encoder(fresh) => run.reward_alone(&fresh, data),
        Base::Reward(fresh) => run.reward_alone(&fresh, data),
        // No fine-tuning first: the chosen answers of a few labels teach little.
        Base::Writer(model, eos) => run.reward_and_policies(&model, data, eos, None),
    }
}

/// The run with its data; a policy writes its answers in the open run.
fn prepared<'a>(
    start: &Start<'a, Config>,
    dir: &Path,
    tokenizer: TextTokenizer,
    labels: Labels,
) -> Result<(Run<'a>, Base, Prepared), Failure> {
    let config = start.config;
    let (candidates, read) = candidates(config)?;
    let about = labels.about.clone() + &read;
    let Some(writer) = Writer::open(config, start.device)? else {
        let (data, pool) = labels.with_pool(&candidates, config, &tokenizer)?;
        let base = Base::open(start, dir)?;
        let run = Run::open(start, tokenizer, format!("{about} {pool}"))?;
        return Ok((run, base, data));
    };
    let base = Base::open(start, dir)?;
    let mut run = Run::open(start, tokenizer.clone(), about)?;
    let (candidates, written) = answers::complete(&mut run, &writer, candidates)?;
    let (data, pool) = labels.with_pool(&candidates, config, &tokenizer)?;
    let more = format!("{written} {pool}");
    common::tell(more.trim());
    run.job.about += &more;
    Ok((run, base, data))
}
