//! Parts that share no group: training, validation and test of one data set.

use std::collections::HashMap;

use collimate_core::{Key, PreferencePair, Prompt, Purpose};

use crate::content::{keyed, keyed_order, prompt_hash, secret, text_hash};
use crate::error::DataError;
use crate::example::SftExample;

/// SFT : reward model : PPO shares of the SER paper (appendix D.1).
pub const SER_SHARES: [f64; 3] = [0.30, 0.65, 0.05];

/// Row that exposes the prompt and texts by which a split groups related rows.
pub trait Grouped {
    /// Returns the prompt. Rows with the same non-empty prompt belong together.
    fn prompt(&self) -> &Prompt;
    /// Returns the answers. Rows without a prompt that share a text belong together.
    fn texts(&self) -> Vec<&str>;
}

impl Grouped for PreferencePair {
    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.chosen.text, &self.rejected.text]
    }
}

impl Grouped for SftExample {
    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.completion.text]
    }
}

/// Returns the group of each row as a digest (SHA-256) that does not depend on the order of the rows.
///
/// For rows with a prompt it is the digest of the prompt. For rows without one it is the smallest
/// digest of the texts in the connected component of shared texts.
pub fn group_digests<T: Grouped>(rows: &[T]) -> Vec<[u8; 32]> {
    let mut nodes: HashMap<[u8; 32], usize> = HashMap::new();
    let mut parents: Vec<usize> = Vec::new();
    let mut smallest: Vec<[u8; 32]> = Vec::new();
    let mut node_of_row = Vec::with_capacity(rows.len());
    for row in rows {
        let digests = if row.prompt().is_empty() {
            row.texts().into_iter().map(text_hash).collect()
        } else {
            vec![prompt_hash(row.prompt())]
        };
        let mut first = None;
        for digest in digests {
            let node = *nodes.entry(digest).or_insert_with(|| {
                parents.push(parents.len());
                smallest.push(digest);
                parents.len() - 1
            });
            let root = find(&mut parents, node);
            if let Some(other) = first {
                let other = find(&mut parents, other);
                parents[root] = other;
                smallest[other] = smallest[other].min(smallest[root]);
            } else {
                first = Some(node);
            }
        }
        node_of_row.push(first.unwrap_or(usize::MAX));
    }
    node_of_row
        .into_iter()
        .map(|node| match node {
            usize::MAX => [0; 32],
            node => smallest[find(&mut parents, node)],
        })
        .collect()
}

/// Returns the root of `node` and halves the path on the way.
fn find(parents: &mut [usize], mut node: usize) -> usize {
    while parents[node] != node {
        parents[node] = parents[parents[node]];
        node = parents[node];
    }
    node
}

/// Splits rows by group in a random order, so that part `i` has about `shares[i]` of the rows.
///
/// A group is all rows with one prompt. Rows without a prompt form connected components of shared
/// texts. No prompt, and no text of a row without a prompt, is in two parts. The parts do not
/// depend on the order of the rows. Each part with a non-zero share gets at least one group. Inside
/// a part the rows keep their order. A part misses its share by at most half of the group at each
/// of its ends.
///
/// # Errors
/// [`DataError::Argument`] if a share is negative or not finite, or if the shares do not sum to 1;
/// [`DataError::TooFewGroups`] if there are fewer groups than parts with a non-zero share.
///
/// # Examples
/// ```
/// use collimate_core::{Key, PreferencePair};
/// use collimate_data::{SER_SHARES, split_by_fraction};
/// let pairs: Vec<_> = (0..100).map(|i| PreferencePair::new(format!("q{i}"), "a", "b")).collect();
/// let parts = split_by_fraction(pairs, &SER_SHARES, Key::new(0, "split"))?;
/// assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [30, 65, 5]);
/// # Ok::<(), collimate_data::DataError>(())
/// ```
pub fn split_by_fraction<T: Grouped>(
    rows: Vec<T>,
    shares: &[f64],
    key: Key,
) -> Result<Vec<Vec<T>>, DataError> {
    let ends = cumulative(shares)?;
    let digests = group_digests(&rows);
    let mut sizes: HashMap<[u8; 32], usize> = HashMap::new();
    for digest in &digests {
        *sizes.entry(*digest).or_insert(0) += 1;
    }
    let wanted = shares.iter().filter(|&&share| share > 0.0).count();
    if sizes.len() < wanted {
        return Err(DataError::TooFewGroups {
            rows: rows.len(),
            prompts: sizes.len(),
            parts: wanted,
        });
    }
    let secret = secret(key, Purpose::Split);
    let mut groups: Vec<([u8; 32], [u8; 32], usize)> = sizes
        .into_iter()
        .map(|(digest, size)| (keyed(&digest, &secret), digest, size))
        .collect();
    groups.sort_unstable();
    let total = rows.len() as f64;
    let mut before = 0;
    let mut parts: Vec<usize> = Vec::with_capacity(groups.len());
    for &(_, _, size) in &groups {
        let middle = (before as f64 + size as f64 / 2.0) / total;
        parts.push(part_at(&ends, middle));
        before += size;
    }
    fill_empty(
        &mut parts,
        &groups.iter().map(|g| g.2).collect::<Vec<_>>(),
        shares,
    );
    let parts_of: HashMap<[u8; 32], usize> = groups
        .iter()
        .zip(&parts)
        .map(|(group, &part)| (group.1, part))
        .collect();
    Ok(distribute(
        rows,
        shares.len(),
        digests.iter().map(|digest| parts_of[digest]),
    ))
}

/// Fills each empty part that has a share. The part gets the smallest group of the largest part
/// that can spare one.
fn fill_empty(parts: &mut [usize], sizes: &[usize], shares: &[f64]) {
    for part in (0..shares.len()).filter(|&part| shares[part] > 0.0) {
        if parts.contains(&part) {
            continue;
        }
        let mut load = vec![(0, 0); shares.len()];
        for (&part, &size) in parts.iter().zip(sizes) {
            load[part].0 += size;
            load[part].1 += 1;
        }
        let donor = (0..shares.len())
            .filter(|&p| load[p].1 > 1)
            .max_by_key(|&p| load[p].0);
        let group = (0..parts.len())
            .filter(|&g| Some(parts[g]) == donor)
            .min_by_key(|&g| sizes[g]);
        if let Some(group) = group {
            parts[group] = part;
        }
    }
}

/// Splits rows by the digest of their group alone. A row stays in its part when other rows are
/// added, removed or reordered. For rows without prompts this holds as long as no added row joins
/// two groups.
///
/// The sizes follow the shares only on average, and a part of a small set may be empty.
///
/// # Errors
/// [`DataError::Argument`] if a share is negative or not finite, or if the shares do not sum to 1.
///
/// # Examples
/// ```
/// use collimate_core::PreferencePair;
/// let pairs: Vec<_> = (0..1000).map(|i| PreferencePair::new(format!("q{i}"), "a", "b")).collect();
/// let parts = collimate_data::split_by_hash(pairs, &[0.7, 0.2, 0.1])?; // training, test, validation
/// assert!((170..230).contains(&parts[1].len()));
/// # Ok::<(), collimate_data::DataError>(())
/// ```
pub fn split_by_hash<T: Grouped>(rows: Vec<T>, shares: &[f64]) -> Result<Vec<Vec<T>>, DataError> {
    let ends = cumulative(shares)?;
    let digests = group_digests(&rows);
    let part = |digest: &[u8; 32]| part_of(digest, &ends);
    Ok(distribute(rows, shares.len(), digests.iter().map(part)))
}

/// Returns the part into which [`split_by_hash`] puts a row with a prompt, for rows that are read one by
/// one. Rows with one prompt get the same part. A row without a prompt is judged by its own texts alone, so
/// two such rows that share a text may get different parts.
///
/// # Errors
/// As [`split_by_hash`].
///
/// # Examples
/// ```
/// use collimate_core::PreferencePair;
/// use collimate_data::{part_by_hash, split_by_hash};
/// let pair = PreferencePair::new("What is 2 + 2?", "4", "5");
/// let part = part_by_hash(&pair, &[0.1, 0.9])?;
/// assert_eq!(split_by_hash(vec![pair.clone()], &[0.1, 0.9])?[part], [pair]);
/// # Ok::<(), collimate_data::DataError>(())
/// ```
pub fn part_by_hash<T: Grouped>(row: &T, shares: &[f64]) -> Result<usize, DataError> {
    let ends = cumulative(shares)?;
    let digest = match row.prompt().is_empty() {
        false => prompt_hash(row.prompt()),
        true => {
            let texts = row.texts().into_iter().map(text_hash);
            texts.min().unwrap_or([0; 32])
        }
    };
    Ok(part_of(&digest, &ends))
}

/// Returns the part of a group. The digest is hashed again, because the smallest of several digests
/// is not uniform.
fn part_of(digest: &[u8; 32], ends: &[f64]) -> usize {
    let hash = blake3::hash(digest);
    let mut head = [0; 8];
    head.copy_from_slice(&hash.as_bytes()[..8]);
    let at = (u64::from_le_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64;
    part_at(ends, at)
}

/// Takes a labelled seed of `round(share · n)` pairs. The rest is for the pool.
///
/// Returns both parts in an order keyed by the content of the pairs. The order of the rows in the
/// file and the direction of the labels do not change which pairs are in the seed.
///
/// # Errors
/// [`DataError::Argument`] for a share outside (0, 1), or for fewer than two pairs: the seed and
/// the rest need at least one pair each.
pub fn seed_split(
    pairs: Vec<PreferencePair>,
    share: f64,
    key: Key,
) -> Result<(Vec<PreferencePair>, Vec<PreferencePair>), DataError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(DataError::argument(
            "seed share",
            share,
            "the share must be between 0 and 1, both excluded",
        ));
    }
    if pairs.len() < 2 {
        return Err(DataError::argument(
            "number of pairs",
            pairs.len(),
            "a seed and a pool need at least two pairs: give more data",
        ));
    }
    let count = ((share * pairs.len() as f64).round() as usize).clamp(1, pairs.len() - 1);
    let order = keyed_order(&pairs, key, Purpose::Split);
    let mut slots: Vec<Option<PreferencePair>> = pairs.into_iter().map(Some).collect();
    let mut seed: Vec<PreferencePair> = order
        .into_iter()
        .filter_map(|index| slots[index].take())
        .collect();
    let rest = seed.split_off(count);
    Ok((seed, rest))
}

/// Returns the upper end of each part on [0, 1].
fn cumulative(shares: &[f64]) -> Result<Vec<f64>, DataError> {
    let shown = || format!("{shares:?}");
    if shares.is_empty()
        || shares
            .iter()
            .any(|share| !share.is_finite() || *share < 0.0)
    {
        return Err(DataError::argument(
            "shares",
            shown(),
            "give one number of at least 0 for each part",
        ));
    }
    let sum: f64 = shares.iter().sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(DataError::argument(
            "shares",
            shown(),
            format!("the shares sum to {sum}, but must sum to 1"),
        ));
    }
    let mut end = 0.0;
    Ok(shares
        .iter()
        .map(|share| {
            end += share;
            end
        })
        .collect())
}

/// Returns the part that contains `at`. Rounding at the upper end selects the last part with a
/// non-zero share.
fn part_at(ends: &[f64], at: f64) -> usize {
    let last = ends
        .iter()
        .rposition(|&end| end < ends[ends.len() - 1])
        .map_or(0, |below| below + 1);
    ends.iter().position(|&end| at < end).unwrap_or(last)
}

fn distribute<T>(rows: Vec<T>, parts: usize, part_of: impl Iterator<Item = usize>) -> Vec<Vec<T>> {
    let mut out: Vec<Vec<T>> = (0..parts).map(|_| Vec::new()).collect();
    for (row, part) in rows.into_iter().zip(part_of) {
        out[part].push(row);
    }
    out
}
