//! A run on the user's own labels and an unlabelled pool.

use std::path::Path;

use collimate::lm::{Architecture, Encoder, Llama, eos_token_ids};
use collimate::reward::RewardModel;

use super::Run;
use super::answers::{self, Writer};
use super::config::Config;
use super::data::Prepared;
use super::judged::{self, Labeller};
use super::labels::{LabelFiles, Labels, candidates};
use super::policy_prompts;
use crate::commands::reward::check_pooling;
use crate::common::{self, Failure};
use crate::start::Start;

/// Model that the reward model starts from.
enum Base {
    Encoder(Box<RewardModel<Encoder>>),
    Reward(Box<RewardModel<Llama>>),
    /// A language model, and the tokens that end its answers.
    Writer(Box<Llama>, Vec<u32>),
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
            _ => Self::Writer(Box::new(start.language_model(false)?), eos_token_ids(dir)?),
        })
    }
}

/// Runs the command.
pub(super) fn run(start: &Start<'_, Config>, dir: &Path) -> Result<(), Failure> {
    let (mut run, base, data) = prepared(start, dir)?;
    match base {
        Base::Encoder(fresh) => run.reward_alone(&fresh, data),
        Base::Reward(fresh) => run.reward_alone(&fresh, data),
        // Without prior fine-tuning: the chosen answers of a few labels teach little.
        Base::Writer(model, eos) => run.reward_and_policies(&model, data, eos, None),
    }
}

/// Opens the run and its data. If there is a policy or a judge, its answers or labels are written
/// in the open run.
fn prepared<'a>(
    start: &Start<'a, Config>,
    dir: &Path,
) -> Result<(Run<'a>, Base, Prepared), Failure> {
    let config = start.config;
    common::architecture(dir)?;
    let tokenizer = start.tokenizer()?;
    let files = LabelFiles::read(config)?;
    let (mut candidates, read) = candidates(config)?;
    policy_prompts::check(config, &tokenizer)?;
    let writer = Writer::open(config, start.device)?;
    let labeller = Labeller::open(config, start.device)?;
    let about = files.about(config) + &read;
    if writer.is_none() && labeller.is_none() {
        let labels = Labels::of(files, Vec::new(), config, &tokenizer)?;
        let of_labels = labels.about.clone();
        let (data, of_pool) = labels.with_pool(&candidates, config, &tokenizer)?;
        let base = Base::open(start, dir)?;
        let about = format!("{about} {of_labels} {of_pool}");
        return Ok((Run::open(start, tokenizer, about)?, base, data));
    }
    let base = Base::open(start, dir)?;
    let mut run = Run::open(start, tokenizer.clone(), about)?;
    let (mut more, mut judged) = (String::new(), Vec::new());
    if let Some(writer) = writer {
        let said;
        (candidates, said) = answers::complete(&mut run, &writer, candidates)?;
        more += &said;
    }
    if let Some(labeller) = labeller {
        let said;
        (judged, said) = judged::label(&mut run, labeller, &candidates, &files.known())?;
        more += &said;
    }
    let labels = Labels::of(files, judged, config, &tokenizer)?;
    more += &format!(" {}", labels.about);
    let (data, of_pool) = labels.with_pool(&candidates, config, &tokenizer)?;
    more += &format!(" {of_pool}");
    common::tell(more.trim());
    run.job.about += &more;
    Ok((run, base, data))
}
