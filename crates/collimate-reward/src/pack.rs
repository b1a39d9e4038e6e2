//! Pairs and single sequences as packs.

use collimate_data::TokenizedPair;
use collimate_nn::{Backbone, DeviceBatch, Pack, PackError};
use collimate_ops::Visibility;

/// Adds a prompt with its completions. A causal model shares the prompt; other models repeat it.
pub(crate) fn push<B: Backbone>(pack: &mut Pack, prompt: &[u32], completions: &[&[u32]]) {
    match B::VISIBILITY {
        Visibility::Causal => {
            pack.push_shared(prompt, completions);
        }
        Visibility::Bidirectional => {
            for completion in completions {
                pack.push_row(&[prompt, completion].concat());
            }
        }
    }
}

/// Returns the cost of a prompt with completions, in processed tokens.
pub(crate) fn cost<B: Backbone>(prompt: usize, completions: &[usize]) -> usize {
    let prompts = match B::VISIBILITY {
        Visibility::Causal => 1,
        Visibility::Bidirectional => completions.len(),
    };
    prompts * prompt + completions.iter().sum::<usize>()
}

/// Packs pairs on the model's device. Sequences 2i and 2i + 1 are the chosen and the rejected
/// answer of pair i.
///
/// # Errors
/// A sequence that the model cannot process.
pub fn pair_batch<'a, B: Backbone>(
    pairs: impl IntoIterator<Item = &'a TokenizedPair>,
    backbone: &B,
) -> Result<DeviceBatch, PackError> {
    let mut pack = Pack::new();
    for pair in pairs {
        push::<B>(&mut pack, &pair.prompt, &[&pair.chosen, &pair.rejected]);
    }
    to_device(pack, backbone)
}

/// Checks that the model can process the pack, and copies the pack to the model's device.
pub(crate) fn to_device<B: Backbone>(pack: Pack, backbone: &B) -> Result<DeviceBatch, PackError> {
    pack.check(backbone.vocab_size(), backbone.max_positions())?;
    Ok(pack.to_device(B::VISIBILITY, &backbone.device()))
}
