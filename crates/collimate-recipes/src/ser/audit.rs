//! Audit of self-labels against the human labels, if these are known.

use collimate_core::Selection;
use collimate_data::{Auditor, HiddenLabelPool};
use collimate_eval::PrecisionPoint;
use collimate_status::Decision;

use super::outcome::PoolReport;
use crate::RecipeError;

/// Compares self-labels with the sealed human labels, for the report only; training never sees the
/// result.
pub(crate) struct Audit<'a> {
    pub(crate) pool: &'a HiddenLabelPool,
    pub(crate) auditor: Option<&'a Auditor>,
    /// Confidences at which the precision is reported.
    pub(crate) thresholds: [f64; 8],
}

impl Audit<'_> {
    /// Reports what the filter did with the pool. `first_wins` is the label of each pair. The
    /// caller fills in the numbers that belong to its rule.
    pub(crate) fn report(
        &self,
        decision: &Decision,
        confidence: &[f64],
        first_wins: &[bool],
    ) -> Result<PoolReport, RecipeError> {
        let id = |index: usize| self.pool.pairs()[index].id;
        let kept = self.kept(&decision.selection);
        let ties: Vec<bool> = (0..confidence.len())
            .map(|index| {
                let left = &decision.selection.left;
                let found = left.binary_search_by_key(&index, |left| left.index);
                found.is_ok_and(|at| left[at].reason == collimate_core::LeaveReason::Tie)
            })
            .collect();
        let mut precision_curve = Vec::new();
        for threshold in self.thresholds {
            let above: Vec<(usize, bool)> = (0..confidence.len())
                .filter(|&index| confidence[index] > threshold && !ties[index])
                .map(|index| (id(index), first_wins[index]))
                .collect();
            precision_curve.push(PrecisionPoint {
                threshold,
                kept: above.len(),
                coverage: above.len() as f64 / confidence.len().max(1) as f64,
                precision: self.precision(&above)?,
            });
        }
        Ok(PoolReport {
            pool: self.pool.len(),
            status: decision.status,
            counts: decision.counts,
            rule: String::new(),
            min_count: decision.min_count,
            kept: kept.len(),
            swapped: decision.selection.swapped(),
            left: decision.selection.left_by_reason(),
            centre: 0.0,
            probabilities: decision.probabilities,
            expected_precision: None,
            label_precision: self.precision(&kept)?,
            pool_accuracy: precision_curve[0].precision,
            precision_curve,
        })
    }

    fn kept(&self, selection: &Selection) -> Vec<(usize, bool)> {
        let kept = selection.kept.iter();
        kept.map(|kept| (self.pool.pairs()[kept.index].id, !kept.swapped))
            .collect()
    }

    fn precision(&self, labels: &[(usize, bool)]) -> Result<Option<f64>, RecipeError> {
        match self.auditor {
            Some(auditor) => Ok(auditor.precision(labels)?.value()),
            None => Ok(None),
        }
    }
}
