//! The parts of a preference data set in a run of SER.

use collimate_core::{Key, PreferencePair};
use collimate_data::{Auditor, HiddenLabelPool, SftExample, seed_split};

use crate::RecipeError;

/// Seed, pool, validation and test.
#[derive(Debug)]
pub struct SerData {
    /// Pairs with a human label that is used.
    pub seed: Vec<PreferencePair>,
    /// Pairs whose label is sealed.
    pub pool: HiddenLabelPool,
    /// Tells how good self-labels are, in counts only; absent where the truth is not known.
    pub auditor: Option<Auditor>,
    /// Held-out pairs, looked at after every stage; may be empty.
    pub validation: Vec<PreferencePair>,
    /// Held-out pairs, looked at once, at the end; may be empty.
    pub test: Vec<PreferencePair>,
    /// The pool's pairs with their human labels, for the all-labels baseline and the oracle
    /// control; a run without those does not hold them.
    pub labelled_pool: Option<Vec<PreferencePair>>,
    /// What the backbone was fine-tuned on before: its prompts and texts are not new to it.
    pub fine_tuned_on: Vec<SftExample>,
    /// How many of these are the chosen answers of labelled pairs: human labels that the run uses
    /// beside the seed's.
    pub fine_tuning_labels: usize,
}

/// How [`SerData::split`] divides the training pairs.
#[derive(Debug, Clone, Copy)]
pub struct SplitPlan {
    /// Share of the training pairs whose label is used.
    pub seed_share: f64,
    /// Also keeps the human labels of the pool, for the baseline and the oracle control; the loops
    /// never see them.
    pub keep_labels: bool,
    /// Random numbers of the split.
    pub key: Key,
}

impl SerData {
    /// Splits training pairs into a labelled seed and a pool with sealed labels.
    ///
    /// # Errors
    /// A share outside (0, 1), or a part without pairs.
    pub fn split(
        train: Vec<PreferencePair>,
        validation: Vec<PreferencePair>,
        test: Vec<PreferencePair>,
        plan: &SplitPlan,
    ) -> Result<Self, RecipeError> {
        for (part, rows) in [
            ("the training part", &train),
            ("the validation part", &validation),
            ("the test part", &test),
        ] {
            if rows.is_empty() {
                return Err(RecipeError::Empty { part });
            }
        }
        let (seed, rest) = seed_split(train, plan.seed_share, plan.key)?;
        let labelled_pool = plan.keep_labels.then(|| rest.clone());
        let (pool, sealed) = HiddenLabelPool::seal(rest, plan.key);
        Ok(Self {
            seed,
            pool,
            auditor: Some(Auditor::new(sealed)),
            validation,
            test,
            labelled_pool,
            fine_tuned_on: Vec::new(),
            fine_tuning_labels: 0,
        })
    }

    /// Takes labelled pairs as the seed and pairs without labels as the pool; nothing is known of the
    /// truth behind the pool. The validation and test parts may be empty.
    ///
    /// # Errors
    /// No labelled pair, or an empty pool.
    pub fn of_labels(
        labelled: Vec<PreferencePair>,
        pool: HiddenLabelPool,
        validation: Vec<PreferencePair>,
        test: Vec<PreferencePair>,
    ) -> Result<Self, RecipeError> {
        for (part, empty) in [
            ("the labelled part", labelled.is_empty()),
            ("the unlabelled pool", pool.is_empty()),
        ] {
            if empty {
                return Err(RecipeError::Empty { part });
            }
        }
        Ok(Self {
            seed: labelled,
            pool,
            auditor: None,
            validation,
            test,
            labelled_pool: None,
            fine_tuned_on: Vec::new(),
            fine_tuning_labels: 0,
        })
    }
}
