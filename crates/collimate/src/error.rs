//! One error for programs that use several crates.

use std::fmt;

use collimate_core::{GenerateError, OptionError, ScoreError, SegmentError};
use thiserror::Error;

/// Any error of a collimate crate, for a function that calls several of them.
///
/// Every error of a collimate crate converts into this one by `?`, and the message stays the same.
/// The `Debug` form is the message too, so a `main` that returns this error prints the message.
///
/// # Examples
/// ```
/// use collimate::prelude::*;
///
/// fn read(path: &std::path::Path) -> Result<usize, collimate::Error> {
///     let (pairs, _report) = read_pairs(path, &ReadOptions::default())?;
///     Ok(pairs.len())
/// }
///
/// let error = read("no/such/file.jsonl".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("no such file"));
/// assert_eq!(format!("{error:?}"), error.to_string());
/// ```
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Data cannot be read, split or tokenised.
    #[error(transparent)]
    Data(#[from] collimate_data::DataError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] collimate_files::FileError),
    /// Segments of a pack do not fit together.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A model cannot take a sequence.
    #[error(transparent)]
    Pack(#[from] collimate_nn::PackError),
    /// A model folder cannot be read.
    #[error(transparent)]
    Load(#[from] collimate_nn::LoadError),
    /// A model folder cannot be written.
    #[error(transparent)]
    Save(#[from] collimate_nn::SaveError),
    /// A folder of model and tokenizer cannot be read or written.
    #[error(transparent)]
    Pretrained(#[from] collimate_lm::PretrainedError),
    /// Generation failed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Scoring failed.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A fused operation failed.
    #[error(transparent)]
    Ops(#[from] collimate_ops::OpsError),
    /// A loss failed.
    #[error(transparent)]
    Loss(#[from] collimate_losses::LossError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] collimate_train::TrainError),
    /// Supervised fine-tuning or direct alignment failed.
    #[error(transparent)]
    Direct(#[from] collimate_direct::DirectError),
    /// Reinforcement learning failed.
    #[error(transparent)]
    Ppo(#[from] collimate_ppo::PpoError),
    /// A language model failed as a judge.
    #[error(transparent)]
    Judge(#[from] collimate_judge::JudgeError),
    /// The pair filter of SER refused its input.
    #[error(transparent)]
    Status(#[from] collimate_status::StatusError),
    /// Selection by implicit reward margins refused its input.
    #[error(transparent)]
    Irm(#[from] collimate_irm::IrmError),
    /// Evaluation failed.
    #[error(transparent)]
    Eval(#[from] collimate_eval::EvalError),
    /// The run folder, a report or a plot failed.
    #[error(transparent)]
    Run(#[from] collimate_run::RunError),
    /// A recipe failed.
    #[error(transparent)]
    Recipe(#[from] collimate_recipes::RecipeError),
    /// The synthetic world refused its configuration.
    #[error(transparent)]
    World(#[from] collimate_world::WorldError),
    /// A server of completions or scores failed.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Remote(#[from] collimate_remote::RemoteError),
    /// Training in Burn's `Learner` failed.
    #[cfg(feature = "learner")]
    #[error(transparent)]
    Learner(#[from] collimate_learner::LearnerError),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// Returns true if a run was interrupted and can be resumed.
    pub fn is_interrupt(&self) -> bool {
        use collimate_ppo::PpoError;
        use collimate_run::RunError;
        use collimate_train::TrainError;

        match self {
            Self::Recipe(error) => error.is_interrupt(),
            Self::Train(error)
            | Self::Ppo(PpoError::Train(error))
            | Self::Run(RunError::Train(error)) => {
                matches!(error, TrainError::Interrupted { .. })
            }
            _ => false,
        }
    }
}
