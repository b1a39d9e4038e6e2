//! One label per pair of answers, decided by majority among several annotators or files.

use std::collections::HashMap;

use collimate_core::PreferencePair;

use crate::content::unordered_hash;

/// Counts of the labels that were treated as votes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Votes {
    /// Labels beyond the first of their pair that agree with the majority.
    pub repeated: usize,
    /// Pairs that were labelled both ways and have a majority.
    pub outvoted: usize,
    /// Pairs that were labelled both ways equally often, and are dropped.
    pub undecided: usize,
}

/// Keeps each pair once, at the place of its first label, with the label of the majority. Drops
/// pairs with equally many labels each way.
///
/// # Examples
/// ```
/// use collimate_core::PreferencePair;
/// use collimate_data::by_majority;
/// let yes = PreferencePair::new("q", "a", "b");
/// let no = PreferencePair::new("q", "b", "a");
/// let (pairs, votes) = by_majority(vec![no.clone(), yes.clone(), yes.clone()]);
/// assert_eq!(pairs, [yes.clone()]);
/// assert_eq!(votes.outvoted, 1);
/// assert!(by_majority(vec![yes, no]).0.is_empty());
/// ```
pub fn by_majority(pairs: Vec<PreferencePair>) -> (Vec<PreferencePair>, Votes) {
    let mut places: HashMap<[u8; 32], usize> = HashMap::new();
    // For each pair: the pair as first labelled, the pair with the contrary label, and the votes
    // for each.
    let mut found: Vec<([Option<PreferencePair>; 2], [usize; 2])> = Vec::new();
    for pair in pairs {
        let content = unordered_hash(&pair.prompt, &pair.chosen, &pair.rejected);
        let place = *places.entry(content).or_insert(found.len());
        if place == found.len() {
            found.push(([Some(pair), None], [1, 0]));
            continue;
        }
        let (ways, counts) = &mut found[place];
        let same = ways[0]
            .as_ref()
            .is_some_and(|first| first.chosen == pair.chosen);
        let way = usize::from(!same);
        counts[way] += 1;
        ways[way].get_or_insert(pair);
    }
    let mut votes = Votes::default();
    let mut kept = Vec::with_capacity(found.len());
    for (ways, [first, second]) in found {
        let [for_first, for_second] = ways;
        if first == second {
            votes.undecided += 1;
            continue;
        }
        votes.outvoted += usize::from(first.min(second) > 0);
        votes.repeated += first.max(second) - 1;
        kept.extend(if first > second {
            for_first
        } else {
            for_second
        });
    }
    (kept, votes)
}
