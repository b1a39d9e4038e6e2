//! Laws of the keyed permutation.

use collimate_core::{Key, Permutation};
use proptest::prelude::*;

fn key(seed: u64) -> Key {
    Key::new(seed, "order")
}

fn is_bijection(order: &Permutation) -> bool {
    let mut seen = vec![false; usize::try_from(order.len()).unwrap()];
    order.iter().for_each(|item| seen[item as usize] = true);
    seen.iter().all(|&seen| seen)
}

/// Returns how far the counts lie from equal counts, in standard deviations of chi-square.
fn unevenness(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let terms = counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / expected);
    let freedom = (counts.len() - 1) as f64;
    (terms.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn every_short_length_gives_each_item_once() {
    for len in 0..3000 {
        let order = Permutation::new(key(len), len);
        assert_eq!(order.iter().count() as u64, len);
        assert!(is_bijection(&order), "{len}");
        assert_eq!((order.len(), order.is_empty()), (len, len == 0));
        assert_eq!(order.get(len), None);
    }
}

#[test]
fn lengths_up_to_the_largest_number() {
    for len in [u64::MAX, (1 << 63) + 1, (1 << 62) + 1, 1 << 62] {
        let order = Permutation::new(key(1), len);
        let mut items: Vec<u64> = (0..500)
            .chain(len - 500..len)
            .map(|index| order.get(index).unwrap())
            .collect();
        assert!(items.iter().all(|&item| item < len));
        let above = items.iter().filter(|&&item| item > len / 2).count();
        assert!((400..600).contains(&above), "{above} of 1000");
        items.sort_unstable();
        items.dedup();
        assert_eq!(items.len(), 1000);
        assert_eq!((order.get(len), order.get(u64::MAX)), (None, None));
    }
}

#[test]
fn the_first_item_is_equally_often_each_item() {
    for len in [2, 3, 5, 10, 16, 17, 100] {
        let mut counts = vec![0; len as usize];
        for seed in 0..20_000 {
            let first = Permutation::new(key(seed), len).get(0).unwrap();
            counts[first as usize] += 1;
        }
        let unevenness = unevenness(&counts);
        assert!(unevenness < 4.0, "{len}: {unevenness}");
    }
}

#[test]
fn the_first_two_items_are_equally_often_each_pair() {
    for len in [2, 3, 4, 5, 7, 16] {
        let mut counts = vec![0; len * len];
        for seed in 0..40_000 {
            let mut items = Permutation::new(key(seed), len as u64).iter();
            let (first, second) = (items.next().unwrap(), items.next().unwrap());
            counts[first as usize * len + second as usize] += 1;
        }
        let different = (0..len * len).filter(|pair| pair / len != pair % len);
        let counts: Vec<u32> = different.map(|pair| counts[pair]).collect();
        let unevenness = unevenness(&counts);
        assert!(unevenness < 4.0, "{len}: {unevenness}");
    }
}

#[test]
fn half_of_the_neighbours_rise() {
    let items: Vec<u64> = Permutation::new(key(3), 100_000).iter().collect();
    let rises = items.windows(2).filter(|pair| pair[0] < pair[1]).count();
    // The standard deviation is 91.
    assert!((49_600..50_400).contains(&rises), "{rises}");
}

/// Computed in Python. Any change of these orders changes results for users: the changelog must say
/// so.
#[test]
fn value_stability() {
    let items = |len, count| -> Vec<u64> {
        let order = Permutation::new(Key::new(42, "loop1"), len);
        order.iter().take(count).collect()
    };
    assert_eq!(items(10, 10), TEN);
    assert_eq!(items(1_000_000, 4), MILLION);
    assert_eq!(items(u64::MAX, 2), LARGEST);
}

const TEN: [u64; 10] = [6, 0, 9, 1, 7, 5, 8, 2, 4, 3];
const MILLION: [u64; 4] = [908_852, 928_922, 494_362, 479_430];
const LARGEST: [u64; 2] = [12_540_033_494_645_599_126, 7_814_732_272_686_849_803];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 16,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_length_gives_each_item_once(seed in any::<u64>(), len in 0_u64..1 << 20) {
        prop_assert!(is_bijection(&Permutation::new(key(seed), len)));
    }

    #[test]
    fn only_an_equal_key_and_length_give_an_equal_order(
        seed in any::<u64>(),
        other in any::<u64>(),
        len in 50_u64..1 << 40,
        more in 1_u64..50,
    ) {
        let head = |seed, len| -> Vec<u64> {
            Permutation::new(key(seed), len).iter().take(40).collect()
        };
        prop_assert_eq!(head(seed, len), head(seed, len));
        prop_assume!(seed != other);
        prop_assert_ne!(head(seed, len), head(other, len));
        // Not even the items that both lengths have are in the same order.
        let common = |items: Vec<u64>| -> Vec<u64> {
            items.into_iter().filter(|&item| item < len).collect()
        };
        prop_assert_ne!(common(head(seed, len)), common(head(seed, len + more)));
    }
}
