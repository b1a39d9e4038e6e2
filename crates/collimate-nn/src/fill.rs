//! Cutting many sequences into packs of bounded size.

use std::ops::Range;

use crate::batch::Pack;

/// Cuts `items` into consecutive packs of at most `tokens` processed tokens. An item with more
/// tokens becomes a pack by itself. Yields each pack with the range of its items.
///
/// # Examples
/// ```
/// use collimate_nn::packs;
/// let rows = [vec![1, 2, 3], vec![4], vec![5, 6]];
/// let cut = packs(&rows, 4, |row| row.len(), |pack, row| { pack.push_row(row); });
/// let tokens: Vec<_> = cut.map(|(range, pack)| (range, pack.tokens())).collect();
/// assert_eq!(tokens, vec![(0..2, 4), (2..3, 2)]);
/// ```
pub fn packs<T>(
    items: &[T],
    tokens: usize,
    cost: impl Fn(&T) -> usize,
    push: impl Fn(&mut Pack, &T),
) -> impl Iterator<Item = (Range<usize>, Pack)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == items.len() {
            return None;
        }
        let mut pack = Pack::new();
        let (mut end, mut taken) = (start, 0);
        while end < items.len() && (end == start || taken + cost(&items[end]) <= tokens) {
            taken += cost(&items[end]);
            push(&mut pack, &items[end]);
            end += 1;
        }
        let range = start..end;
        start = end;
        Some((range, pack))
    })
}
