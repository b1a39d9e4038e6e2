//! Direct alignment: DPO and the other losses on preference pairs, KTO and BCO on labelled answers.
//!
//! [`DirectObjective`] trains on pairs in your own loop; [`align`] is the whole job in a run folder.

pub use collimate_direct::{
    DirectError, DirectLosses, DirectObjective, PairLogp, Reference, UnpairedExample,
    UnpairedObjective, direct_losses, load_reference_logps, pair_logps, pairs_hash,
    save_reference_logps,
};
pub use collimate_losses::{
    Anchored, Aot, ApoDown, ApoZero, Bco, DirectLoss, DiscoPop, Dpo, DpoNorm, Exo, ImplicitRewards,
    Ipo, Kto, LossError, Nca, Orpo, PairLogps, PreferenceLoss, ReferenceNeed, RobustDpo, SimPo,
    SlicHf, Spin, Sppo, UnpairedLoss,
};
pub use collimate_recipes::direct::{
    AlignConfig, AlignData, AlignOutcome, UnpairedConfig, UnpairedData, align, align_unpaired,
    summary, write_report,
};
