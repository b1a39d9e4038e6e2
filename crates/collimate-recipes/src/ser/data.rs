//! Parts of a preference data set in a SER run.

use collimate_core::{Key, PreferencePair};
use collimate_data::{Auditor, HiddenLabelPool, SftExample, seed_split};

use crate::RecipeError;

/// Pairs with human labels, pool, validation part and test part.
#[derive(Debug)]
pub struct SerData {
    /// Pairs whose human label is used.
    pub seed: Vec<PreferencePair>,
    /// Pairs whose label is sealed.
    pub pool: HiddenLabelPool,
    /// Auditor that counts how many self-labels agree with the sealed human labels; absent if these
    /// labels are not known.
    pub auditor: Option<Auditor>,
    /// Held-out pairs, evaluated after every stage; may be empty.
    pub validation: Vec<PreferencePair>,
    /// Held-out pairs, evaluated once, at the end; may be empty.
    pub test: Vec<PreferencePair>,
    /// The pool's pairs with their human labels, for the all-labels baseline and the oracle
    /// control. Absent if neither is run.
    pub labelled_pool: Option<Vec<PreferencePair>>,
    /// Examples on which the backbone was fine-tuned before; the model has already seen their
    /// texts.
    pub fine_tuned_on: Vec<SftExample>,
    /// Number of these examples that are chosen answers of labelled pairs. The run uses these human
    /// labels in addition to the seed's.
    pub fine_tuning_labels: usize,
}

/// Options of [`SerData::split`].
#[derive(Debug, Clone, Copy)]
pub struct SplitPlan {
    /// Share of the training pairs whose label is used.
    pub seed_share: f64,
    /// If true, the human labels of the pool are kept for the baseline and the oracle control. The
    /// loops never see them.
    pub keep_labels: bool,
    /// Random key of the split.
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

    /// Takes labelled pairs as the seed and unlabelled pairs as the pool. The pool's labels are
    /// unknown, so there is no auditor. The validation and test parts may be empty.
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
