//! Pairs and texts of the synthetic world.

use collimate_core::{Key, PreferencePair, Prompt, Purpose};
use collimate_data::{DataError, SftExample, split_by_fraction};
use collimate_world::{World, WorldPair};
use rand::RngExt;

/// Share of the training pairs whose chosen answers are demonstrations.
const DEMONSTRATIONS: f64 = 0.3;

/// The pairs of a synthetic world, split for a run.
///
/// No prompt is in two parts.
///
/// # Examples
/// ```
/// use collimate_recipes::world::WorldData;
/// use collimate_world::{World, WorldConfig};
///
/// let world = World::new(&WorldConfig { pairs: 100, ..WorldConfig::default() })?;
/// let data = WorldData::new(&world, 0)?;
/// assert_eq!((data.demonstrations.len(), data.train.len()), (30, 70));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct WorldData {
    /// Chosen answers of three tenths of the training pairs, for supervised fine-tuning.
    pub demonstrations: Vec<SftExample>,
    /// The other training pairs, with the labels of the noisy annotator.
    pub train: Vec<PreferencePair>,
    /// Held-out pairs in the order of the gold reward, for validation.
    pub validation: Vec<PreferencePair>,
    /// Further held-out pairs in the order of the gold reward, for tests.
    pub test: Vec<PreferencePair>,
}

impl WorldData {
    /// Splits the pairs of a world. The seed decides which training pairs become demonstrations.
    ///
    /// # Errors
    /// If the world has so few pairs that a part is empty.
    pub fn new(world: &World, seed: u64) -> Result<Self, DataError> {
        let shares = [DEMONSTRATIONS, 1.0 - DEMONSTRATIONS];
        let pairs = world_pairs(world.train_pairs());
        let mut parts = split_by_fraction(pairs, &shares, Key::new(seed, "split"))?;
        let train = parts.pop().unwrap_or_default();
        let shown = parts.pop().unwrap_or_default();
        Ok(Self {
            demonstrations: shown.iter().map(SftExample::from).collect(),
            train,
            validation: world_pairs(world.validation_pairs()),
            test: world_pairs(world.test_pairs()),
        })
    }

    /// Returns the first `count` test prompts, for policies to answer.
    pub fn test_prompts(&self, count: usize) -> Vec<Prompt> {
        let prompts = self.test.iter().map(|pair| pair.prompt.clone());
        prompts.take(count).collect()
    }
}

/// Returns the pairs as a learner sees them, without the true scores.
pub fn world_pairs(rows: Vec<WorldPair>) -> Vec<PreferencePair> {
    rows.into_iter().map(|row| row.pair).collect()
}

/// Returns unlabelled texts of the world, good and bad. A language model reads them before any answers
/// are compared. The prompts of these texts occur in no pair.
pub fn plain_texts(world: &World, count: usize, seed: u64) -> Vec<SftExample> {
    let key = Key::new(seed, "pretrain");
    let prompts = world.prompts(count, key).into_iter().enumerate();
    let text = |(index, prompt): (usize, Prompt)| {
        let key = key.with(index as u64);
        let level = key.rng(Purpose::Data).random_range(-2.0..2.0);
        let prompt = prompt.to_plain();
        let answer = world.answer(&prompt, level, key)?;
        Some(SftExample {
            prompt: "".into(),
            completion: format!("{prompt} {answer}").into(),
        })
    };
    prompts.filter_map(text).collect()
}
