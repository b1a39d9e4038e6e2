//! Condition that a pair must meet under a rule and a learning status.

use collimate_core::LeaveReason;

use crate::counts::Pair;
use crate::{Evidence, LearningStatus, PairRule, Sides};

/// Condition on each pair once the status is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    Easy(Evidence),
    Hard(Sides),
    Either,
    Any,
    Nothing,
}

impl Condition {
    pub(crate) fn new(rule: PairRule, status: Option<LearningStatus>) -> Self {
        let (evidence, sides) = match rule {
            PairRule::Status { evidence, sides } => (evidence, sides),
            PairRule::EasyOnly { evidence } => (evidence, Sides::Any),
            PairRule::HardOnly { sides } => (Evidence::BothAnswers, sides),
            PairRule::EitherPerPair => return Self::Either,
            PairRule::Unfiltered => return Self::Any,
        };
        match status {
            Some(LearningStatus::Easy) => Self::Easy(evidence),
            Some(LearningStatus::Hard) => Self::Hard(sides),
            Some(
                LearningStatus::Converged
                | LearningStatus::Confident
                | LearningStatus::NoConfidence,
            )
            | None => Self::Nothing,
        }
    }

    /// Returns the reason to leave a pair, `None` if the pair meets the condition.
    pub(crate) fn reason_to_leave(self, pair: &Pair) -> Option<LeaveReason> {
        if !pair.finite {
            return Some(LeaveReason::NotFinite);
        }
        if pair.tie() {
            return Some(LeaveReason::Tie);
        }
        let holds = match self {
            Self::Nothing => return Some(LeaveReason::Converged),
            Self::Hard(Sides::Same) if pair.hard && !pair.same_side => {
                return Some(LeaveReason::OppositeSides);
            }
            Self::Easy(Evidence::BothAnswers) => pair.easy,
            Self::Easy(Evidence::AnyAnswer) => pair.confident.0 || pair.confident.1,
            Self::Hard(_) => pair.hard,
            Self::Either => pair.easy || pair.hard,
            Self::Any => true,
        };
        (!holds).then_some(LeaveReason::BelowThreshold)
    }
}
