//! Checks of the seed data that are made of the synthetic world.

use collimate::recipes::world::{EftSource, MOST_RANKED, SelfRewardingSizes};
use collimate::world::WorldConfig;

use crate::common::Failure;
use crate::options::{MOST_TEXTS, check_count};

/// Refuses more seed data than the world has.
pub(crate) fn check(
    sizes: &SelfRewardingSizes,
    world: &WorldConfig,
    prompts: usize,
    source: EftSource,
) -> Result<(), Failure> {
    let share = sizes.demonstrations;
    if !(share > 0.0 && share < 1.0) {
        return Err(
            format!("seed_data.demonstrations is {share} but must be between 0 and 1").into(),
        );
    }
    check_count("seed_data.task_lists", sizes.task_lists, 0..=MOST_TEXTS)?;
    let each = sizes.ranked_answers;
    check_count("seed_data.ranked_answers", each, 2..=MOST_RANKED)?;
    let prompts_left = ((1.0 - share) * world.pairs as f64).floor();
    let (name, n, rest, what) = match source {
        EftSource::Ranks => ("ranked_lists", sizes.ranked_lists, prompts_left, "prompts"),
        EftSource::Gold => (
            "judgements",
            sizes.judgements,
            2.0 * prompts_left,
            "answers",
        ),
    };
    if n as f64 > rest {
        return Err(format!(
            "seed_data.{name} is {n}, but the world has only {rest} {what} beside the \
             demonstrations: raise world.pairs"
        )
        .into());
    }
    let needed = prompts.saturating_add(sizes.judge_test);
    let there = world.test_pairs;
    if needed > there {
        return Err(format!(
            "test_prompts and seed_data.judge_test need {needed} pairs, but world.test_pairs is \
             {there}: raise world.test_pairs"
        )
        .into());
    }
    Ok(())
}
