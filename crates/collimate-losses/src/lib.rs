#![doc = include_str!("../README.md")]

mod direct;
mod divergence;
mod error;
mod kto;
mod logps;
mod nll;
mod numeric;
mod options;
mod pairwise;
mod reduction;
mod unpaired;

pub use direct::{
    Anchored, Aot, AotPairing, ApoDown, ApoZero, Bco, BcoShift, DirectLoss, DiscoPop, Dpo, DpoNorm,
    Exo, FORMULA_SYMBOLS, ImplicitRewards, Ipo, IpoNormalization, Nca, Orpo, PreferenceLoss,
    ReferenceNeed, RobustDpo, SimPo, SlicHf, SlicReference, Spin, Sppo, bco_shift,
};
pub use divergence::Divergence;
pub use error::LossError;
pub use kto::{Kto, kto_reference_point};
pub use logps::PairLogps;
pub use nll::token_nll;
pub use pairwise::{PairTerms, PairwiseLoss};
pub use reduction::{mean_over, sum};
pub use unpaired::{ShiftNeed, UnpairedLogps, UnpairedLoss};
