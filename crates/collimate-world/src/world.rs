//! The synthetic world: pairs, prompts, demonstrations and the gold reward.

use std::collections::HashSet;

use collimate_core::{Completion, Key, PreferencePair, Prompt, Purpose, Scorer};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::annotator::Seen;
use crate::answer::{self, Corruption};
use crate::config::{WorldConfig, WorldError};
use crate::gold::{self, GoldParts};
use crate::lexicon::{self, Lexicon, pick};
use crate::ranking::WorldRanking;
use crate::task::{self, Part, TaskKind};

/// Smallest gold reward of a demonstration.
const TOP_BAND: f64 = 0.85;

/// One labelled pair with the gold rewards of both answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorldPair {
    /// The pair as a learner sees it.
    pub pair: PreferencePair,
    /// Gold reward of the answer labelled chosen.
    pub gold_chosen: f64,
    /// Gold reward of the answer labelled rejected.
    pub gold_rejected: f64,
    /// Kind of task that the prompt asks for.
    pub task: TaskKind,
}

impl WorldPair {
    /// Returns true if the label follows the gold reward.
    pub fn agrees(&self) -> bool {
        self.gold_chosen > self.gold_rejected
    }
}

/// The synthetic world of one configuration; see the [crate documentation](crate).
#[derive(Debug, Clone)]
pub struct World {
    config: WorldConfig,
    lexicon: Lexicon,
}

impl World {
    /// Builds the lexicon; pairs are written on request.
    ///
    /// # Errors
    /// Returns an error for a parameter that is out of range.
    pub fn new(config: &WorldConfig) -> Result<Self, WorldError> {
        config.check()?;
        let lexicon = Lexicon::new(Key::new(config.seed, "world/lexicon"), config.tail);
        Ok(Self {
            config: *config,
            lexicon,
        })
    }

    /// Returns the configuration that the world was built from.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// Returns all words; the position of a word is its token id.
    pub fn vocabulary(&self) -> &[&'static str] {
        self.lexicon.vocabulary()
    }

    /// Returns the training pairs, labelled by the annotator: some of the labels are wrong.
    pub fn train_pairs(&self) -> Vec<WorldPair> {
        let key = Key::new(self.config.seed, "world/annotator");
        self.pairs(
            Part::Train,
            "world/train",
            self.config.pairs,
            |index, a, b| self.config.annotator.prefers_first(a, b, key.with(index)),
        )
    }

    /// Returns the validation pairs, labelled by the gold reward without noise.
    pub fn validation_pairs(&self) -> Vec<WorldPair> {
        let count = self.config.validation_pairs;
        self.pairs(Part::Validation, "world/validation", count, |_, a, b| {
            a.gold > b.gold
        })
    }

    /// Returns the test pairs, labelled by the gold reward without noise.
    pub fn test_pairs(&self) -> Vec<WorldPair> {
        let count = self.config.test_pairs;
        self.pairs(Part::Test, "world/test", count, |_, a, b| a.gold > b.gold)
    }

    /// Returns `n` different prompts that no training, validation or test pair of any configuration
    /// has.
    pub fn prompts(&self, n: usize, key: Key) -> Vec<Prompt> {
        let mut used = HashSet::new();
        let mut rng = key.rng(Purpose::Data);
        (0..n)
            .map(|_| Prompt::Text(fresh_prompt(Part::Fresh, &mut used, &mut rng).0))
            .collect()
    }

    /// Returns a correct, complete and kind answer with a gold reward of at least 0.85. A prompt
    /// always has the same demonstration. `None` for a prompt that this world does not write.
    pub fn demonstration(&self, prompt: &str) -> Option<String> {
        let task = task::read_prompt(prompt)?;
        let key = self.key_of("world/demonstration", prompt);
        let mut rng = key.rng(Purpose::Data);
        let mut best = (f64::MIN, String::new());
        // A few tries find a good one; the bound only guards against an endless loop.
        for _ in 0..10_000 {
            let text = answer::write(&self.lexicon, &task, 2.5, &mut rng);
            let parts = gold::judge(&self.lexicon, Some(&task), &text);
            // Correct, without repetition, at most one slot empty, no filler.
            let flawless = parts.content == 1.0
                && parts.health == 1.0
                && parts.form > 0.84
                && !text.split(' ').any(|word| lexicon::FILLERS.contains(&word));
            if flawless && parts.reward() > best.0 && gold::is_kind(&self.lexicon, &text) {
                best = (parts.reward(), text);
            }
            if best.0 >= TOP_BAND {
                break;
            }
        }
        (!best.1.is_empty()).then_some(best.1)
    }

    /// Returns one answer as a policy of mixed quality writes it, such as the answers of pairs.
    /// `level` is the quality, about −2 (poor) to 2 (good); values beyond ±3 count as ±3, and
    /// values that are not finite as 0. `None` for a prompt that this world does not write.
    pub fn answer(&self, prompt: &str, level: f64, key: Key) -> Option<String> {
        let task = task::read_prompt(prompt)?;
        let level = if level.is_finite() {
            level.clamp(-3.0, 3.0)
        } else {
            0.0
        };
        Some(answer::write(
            &self.lexicon,
            &task,
            level,
            &mut key.rng(Purpose::Data),
        ))
    }

    /// Returns `count` answers to the prompt, ranked by the annotator. Their qualities are mixed
    /// like those of pairs, and a prompt always has the same answers. Texts differ, and gold
    /// rewards are at least `min_gap` apart, unless a hundred tries for an answer do not suffice.
    /// `None` for a prompt that this world does not write.
    pub fn ranked_answers(&self, prompt: &str, count: usize) -> Option<WorldRanking> {
        let task = task::read_prompt(prompt)?;
        let key = self.key_of("world/ranked", prompt);
        let mut rng = key.rng(Purpose::Data);
        let (mut answers, mut gold): (Vec<String>, Vec<f64>) = (Vec::new(), Vec::new());
        while answers.len() < count {
            let mut found = self.mixed_answer(&task, &mut rng);
            // The bound guards against a list with no room left in the range of rewards.
            for _ in 0..100 {
                let far = |other: &f64| (found.1 - other).abs() >= self.config.min_gap;
                if gold.iter().all(far) && !answers.contains(&found.0) {
                    break;
                }
                found = self.mixed_answer(&task, &mut rng);
            }
            answers.push(found.0);
            gold.push(found.1);
        }
        let seen = answers.iter().zip(&gold).map(|(answer, &gold)| Seen {
            gold,
            words: answer.split(' ').count(),
        });
        let ranks = self.config.annotator.ranks(&seen.collect::<Vec<_>>(), key);
        Some(WorldRanking {
            answers,
            gold,
            ranks,
        })
    }

    /// Returns the answer with one corruption; `None` if it cannot be applied (a one-word result
    /// has no order).
    pub fn corrupted(&self, answer: &str, corruption: Corruption, key: Key) -> Option<String> {
        let mut words: Vec<String> = answer.split_whitespace().map(str::to_owned).collect();
        answer::corrupt(
            &self.lexicon,
            &mut words,
            corruption,
            &mut key.rng(Purpose::Noise),
        )
        .then(|| words.join(" "))
    }

    /// Returns the gold reward of any text as an answer to `prompt`, in [0, 1]; see [`GoldParts`].
    pub fn gold_reward(&self, prompt: &str, completion: &str) -> f64 {
        self.gold_parts(prompt, completion).reward()
    }

    /// Returns the parts of the gold reward.
    pub fn gold_parts(&self, prompt: &str, completion: &str) -> GoldParts {
        gold::judge(
            &self.lexicon,
            task::read_prompt(prompt).as_ref(),
            completion,
        )
    }

    /// Returns the kind of task that a prompt asks for; `None` for a prompt that this world does
    /// not write.
    pub fn task(&self, prompt: &str) -> Option<TaskKind> {
        task::read_prompt(prompt).map(|task| task.kind)
    }

    /// Returns the gold reward as a [`Scorer`].
    pub fn scorer(&self) -> impl Scorer + '_ {
        |prompt: &Prompt, completion: &Completion| {
            self.gold_reward(&prompt.to_plain(), &completion.text) as f32
        }
    }

    fn pairs(
        &self,
        part: Part,
        stage: &str,
        count: usize,
        prefers_first: impl Fn(u64, Seen, Seen) -> bool,
    ) -> Vec<WorldPair> {
        let mut used = HashSet::new();
        let key = Key::new(self.config.seed, stage);
        (0..count as u64)
            .map(|index| {
                let mut rng = key.with(index).rng(Purpose::Data);
                let (prompt, task) = fresh_prompt(part, &mut used, &mut rng);
                let [(a, gold_a), (b, gold_b)] = self.two_answers(&task, &mut rng);
                let first = Seen {
                    gold: gold_a,
                    words: a.split(' ').count(),
                };
                let second = Seen {
                    gold: gold_b,
                    words: b.split(' ').count(),
                };
                let pair = PreferencePair::new(prompt, a, b);
                if prefers_first(index, first, second) {
                    let (gold_chosen, gold_rejected) = (gold_a, gold_b);
                    WorldPair {
                        pair,
                        gold_chosen,
                        gold_rejected,
                        task: task.kind,
                    }
                } else {
                    let (gold_chosen, gold_rejected) = (gold_b, gold_a);
                    WorldPair {
                        pair: pair.swapped(),
                        gold_chosen,
                        gold_rejected,
                        task: task.kind,
                    }
                }
            })
            .collect()
    }

    /// Makes a key that depends on the prompt.
    fn key_of(&self, stage: &str, prompt: &str) -> Key {
        let key = Key::new(self.config.seed, stage);
        prompt
            .bytes()
            .fold(key, |key, byte| key.with(u64::from(byte)))
    }

    /// Writes an answer of random quality and returns it with its gold reward.
    fn mixed_answer(&self, task: &task::Task, rng: &mut impl Rng) -> (String, f64) {
        // The sum of three uniforms, scaled to mean 0 and variance 1.
        let uniforms: f64 = (0..3).map(|_| rng.random::<f64>()).sum();
        let text = answer::write(&self.lexicon, task, 2.0 * (uniforms - 1.5), rng);
        let gold = gold::judge(&self.lexicon, Some(task), &text).reward();
        (text, gold)
    }

    /// Writes two answers whose gold rewards are at least `min_gap` apart.
    fn two_answers(&self, task: &task::Task, rng: &mut impl Rng) -> [(String, f64); 2] {
        loop {
            let [a, b] = [(); 2].map(|()| self.mixed_answer(task, rng));
            if (a.1 - b.1).abs() >= self.config.min_gap {
                return [a, b];
            }
        }
    }
}

/// Draws a prompt of the part that is not in `used`.
fn fresh_prompt(
    part: Part,
    used: &mut HashSet<String>,
    rng: &mut impl Rng,
) -> (String, task::Task) {
    let mut kind = pick(&TaskKind::ALL, rng);
    for attempt in 1_u64.. {
        let prompt = task::draw_prompt(kind, rng);
        if Part::of(&prompt) == part && !used.contains(&prompt) {
            let task = task::read_prompt(&prompt).expect("a drawn prompt can be read");
            used.insert(prompt.clone());
            return (prompt, task);
        }
        // Small tasks run out of prompts; copying has hundreds of thousands in every part.
        if attempt % 200 == 0 {
            kind = TaskKind::Copy;
        }
    }
    unreachable!("the loop has no end")
}
