//! Groups of pairs that the bootstrap draws together.

use std::collections::HashMap;

use collimate_core::{PreferencePair, Prompt};
use collimate_data::group_digests;

/// Returns the group number of each pair. Pairs that share a prompt form a group; a pair without a
/// prompt is a group by itself.
pub(crate) fn groups(pairs: &[PreferencePair]) -> Vec<usize> {
    let mut numbers: HashMap<&Prompt, usize> = HashMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    pairs
        .iter()
        .map(|pair| match pair.prompt.is_empty() {
            true => fresh(),
            false => *numbers.entry(&pair.prompt).or_insert_with(&mut fresh),
        })
        .collect()
}

/// Returns the group number of each pair. Pairs that share a prompt form a group, and pairs without a
/// prompt form groups of shared texts, as in [`split_by_fraction`](collimate_data::split_by_fraction).
pub(crate) fn groups_of_texts(pairs: &[PreferencePair]) -> Vec<usize> {
    let mut numbers: HashMap<[u8; 32], usize> = HashMap::new();
    let digests = group_digests(pairs).into_iter();
    digests
        .map(|digest| {
            let next = numbers.len();
            *numbers.entry(digest).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_one_prompt_are_drawn_together() {
        let prompts = ["a", "", "b", "a", "", "b"];
        let pairs: Vec<_> = prompts
            .iter()
            .map(|prompt| PreferencePair::new(*prompt, "x", "y"))
            .collect();
        assert_eq!(groups(&pairs), [0, 1, 2, 0, 3, 2]);
    }
}
