//! Hand-worked cases of rewards, margins, selection and bootstrapping.

mod anchors;
mod bootstrap;
mod configuration;
mod rewards;
mod selection;

use collimate_core::Selection;
use collimate_irm::ImplicitReward;

const KINDS: [ImplicitReward; 3] = [
    ImplicitReward::LogRatio,
    ImplicitReward::LengthNormalizedLogRatio,
    ImplicitReward::MeanLogp,
];

fn kept(selection: &Selection) -> Vec<usize> {
    selection.kept.iter().map(|kept| kept.index).collect()
}
