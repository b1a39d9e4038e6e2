//! Comparison of the anchor devices: own pairs that each device alone would have kept.

use collimate_core::{Completion, Prompt};
use collimate_irm::KeepRule;
use serde::{Deserialize, Serialize};

use super::anchors::Anchors;
use super::data::SeraData;
use super::outcome::Agreement;
use super::pairing::{Pairing, Rewards, pair};
use crate::RecipeError;

/// Own pairs that one device would have kept in a review, and their agreement with the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Name of the device with its setting.
    pub device: String,
    /// Number of pairs that the device would have kept.
    pub kept: usize,
    /// Number of responses that the gate excludes as unlikely under the start model.
    pub unlikely: usize,
    /// Share of pairs on which the second policy agrees; absent without a second policy.
    pub policy_agreement: Option<f64>,
    /// Agreement of the kept pairs' margins with the judge's score gaps; absent without pairs.
    pub own_agreement: Option<Agreement>,
}

/// Returns the devices to compare, with their names; the last one is the run's own setting.
fn devices(own: &Anchors) -> Vec<(String, Anchors)> {
    let mut all = vec![("largest".to_owned(), Anchors::OFF)];
    for gate in [0.1, 0.25, 0.5] {
        let anchors = Anchors {
            gate,
            ..Anchors::OFF
        };
        all.push((format!("gate {gate}"), anchors));
    }
    for start_weight in [0.5, 1.0, 2.0, 4.0] {
        let anchors = Anchors {
            start_weight,
            ..Anchors::OFF
        };
        all.push((format!("start_weight {start_weight}"), anchors));
    }
    for (name, keep) in [("middle", KeepRule::Middle), ("random", KeepRule::Random)] {
        let anchors = Anchors {
            keep,
            ..Anchors::OFF
        };
        all.push((name.to_owned(), anchors));
    }
    let agreement = Anchors {
        agreement: Some(0.0),
        ..Anchors::OFF
    };
    all.push(("agreement".to_owned(), agreement));
    all.push(("anchors".to_owned(), *own));
    all
}

/// Compares the devices on these responses; returns nothing without a judge. The device `agreement`
/// is left out if there is no second policy.
pub(super) fn compare_devices(
    completions: &[Vec<Completion>],
    rewards: &Rewards,
    own: &Anchors,
    how: Pairing<'_>,
    data: &SeraData<'_>,
) -> Result<Vec<DeviceReport>, RecipeError> {
    let Some(judge) = &data.judge else {
        return Ok(Vec::new());
    };
    let prompts = data.train.iter().zip(completions);
    let items: Vec<(Prompt, Completion)> = prompts
        .flat_map(|(pair, row)| row.iter().map(|c| (pair.prompt.clone(), c.clone())))
        .collect();
    let scores = judge.scores(&items)?;
    let scores = super::pairing::in_rows(&scores, completions.iter().map(Vec::len));
    let mut reports = Vec::new();
    for (device, anchors) in devices(own) {
        if device == "agreement" && rewards.second.is_none() {
            continue;
        }
        let anchors = &anchors;
        let paired = pair(completions, rewards, Pairing { anchors, ..how })?;
        let pairs = || paired.pairs.iter();
        let margins: Vec<f64> = pairs().map(|(_, pair)| pair.margin).collect();
        let gaps: Vec<f64> = pairs()
            .map(|&(prompt, pair)| scores[prompt][pair.chosen] - scores[prompt][pair.rejected])
            .collect();
        reports.push(DeviceReport {
            device,
            kept: paired.pairs.len(),
            unlikely: paired.counts.unlikely,
            policy_agreement: paired.agreement,
            own_agreement: Agreement::of(&margins, &gaps),
        });
    }
    Ok(reports)
}
