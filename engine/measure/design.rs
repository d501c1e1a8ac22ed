//! Who runs when: balanced random orders, and padding that moves the process in memory.
//!
//! Draws come from PCG-64 with state and stream set here and are turned into orders by code of this
//! file, so that a seed means the same orders whichever version of a library is linked.

use rand::Rng;
use rand_pcg::Pcg64;

/// The stream of random numbers that orders use.
const ORDERS: u128 = 0x6f72_6465_7273;
/// The stream that paddings use.
const PADDING: u128 = 0x0070_6164_6469_6e67;

/// Most bytes of padding.
pub const MOST_PADDING: usize = 4096;

/// The order of `variants` in each of `blocks` blocks; every row is a permutation of `0..variants`.
///
/// Rows are those of Williams Latin squares (Williams 1949, Aust. J. Sci. Res. A 2:149–168) with
/// shuffled rows and names: from the first row on, every `variants` rows put each variant at each
/// position once, and each square — for an odd number of variants each pair of squares — lets each
/// variant follow each other one equally often. With two variants that is AB and BA in random
/// order. Asking for more blocks only appends, so a run can be extended and resumed.
pub fn orders(variants: usize, blocks: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut rng = Pcg64::new(u128::from(seed), ORDERS);
    let mut rows = Vec::with_capacity(blocks);
    while rows.len() < blocks {
        let mut names: Vec<usize> = (0..variants).collect();
        shuffle(&mut names, &mut rng);
        for mut square in williams(variants) {
            shuffle(&mut square, &mut rng);
            rows.extend(square.iter().map(|row| row.iter().map(|i| names[*i]).collect::<Vec<_>>()));
        }
    }
    rows.truncate(blocks);
    rows
}

/// Bytes to add to the environment of one launch, from 0 to [`MOST_PADDING`].
///
/// The size of the environment moves the stack and can favour a variant by more than the effect
/// looked for (Mytkowicz et al. 2009, ASPLOS), so it varies between launches.
pub fn padding(block: usize, position: usize, seed: u64) -> usize {
    let launch = ((block as u128) << 32) ^ position as u128;
    let mut rng = Pcg64::new((u128::from(seed) << 64) ^ launch, PADDING);
    below(MOST_PADDING + 1, &mut rng)
}

/// One Williams square for an even number of variants, a square and its mirror for an odd one.
fn williams(variants: usize) -> Vec<Vec<Vec<usize>>> {
    // 0, 1, k−1, 2, k−2, …: the differences between neighbours are all different.
    let first: Vec<usize> = (0..variants)
        .map(|j| if j % 2 == 1 { j.div_ceil(2) } else { (variants - j / 2) % variants })
        .collect();
    let square: Vec<Vec<usize>> = (0..variants.max(1))
        .map(|shift| first.iter().map(|v| (v + shift) % variants).collect())
        .collect();
    if variants.is_multiple_of(2) || variants == 1 {
        return vec![square];
    }
    let mirror = square.iter().map(|row| row.iter().rev().copied().collect()).collect();
    vec![square, mirror]
}

/// Fisher–Yates.
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut Pcg64) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, rng));
    }
}

/// A number from `0..n`, `n > 0`, each equally likely.
fn below(n: usize, rng: &mut Pcg64) -> usize {
    let n = n as u64;
    let fair = u64::MAX - u64::MAX % n;
    loop {
        let draw = rng.next_u64();
        if draw < fair {
            return (draw % n) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_seed_means_the_same_orders_for_ever() {
        assert_eq!(orders(2, 12, 42), GOLDEN_TWO);
        assert_eq!(orders(3, 6, 42), GOLDEN_THREE);
        let paddings: Vec<_> = (0..6).map(|block| padding(block, 1, 42)).collect();
        assert_eq!(paddings, GOLDEN_PADDING);
    }

    const GOLDEN_TWO: [[usize; 2]; 12] = [
        [0, 1],
        [1, 0],
        [0, 1],
        [1, 0],
        [0, 1],
        [1, 0],
        [1, 0],
        [0, 1],
        [1, 0],
        [0, 1],
        [0, 1],
        [1, 0],
    ];
    const GOLDEN_THREE: [[usize; 3]; 6] =
        [[2, 1, 0], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]];
    const GOLDEN_PADDING: [usize; 6] = [3923, 1559, 2852, 2242, 1704, 1478];

    #[test]
    fn no_two_seeds_share_their_orders() {
        let all: std::collections::HashSet<_> = (0..1000).map(|seed| orders(8, 16, seed)).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn two_variants_alternate_in_pairs_with_a_random_first() {
        let rows = orders(2, 400, 7);
        let first_goes_first = rows
            .chunks(2)
            .filter(|pair| {
                assert_eq!(pair[0], [pair[1][1], pair[1][0]]);
                pair[0][0] == 0
            })
            .count();
        assert!((70..=130).contains(&first_goes_first), "{first_goes_first} of 200 pairs");
    }

    #[test]
    fn each_variant_follows_each_other_equally_often() {
        for variants in 2..=9 {
            let blocks = if variants % 2 == 0 { variants } else { 2 * variants };
            let mut follows = HashMap::new();
            for row in orders(variants, blocks, 3) {
                for pair in row.windows(2) {
                    *follows.entry((pair[0], pair[1])).or_insert(0) += 1;
                }
            }
            assert_eq!(follows.len(), variants * (variants - 1));
            assert!(follows.values().all(|n| *n == blocks / variants), "{variants} variants");
        }
    }

    #[test]
    fn no_variant_or_one_leaves_nothing_to_order() {
        assert_eq!(orders(1, 3, 42), [[0], [0], [0]]);
        assert_eq!(orders(0, 2, 42), [[0; 0]; 2]);
        assert!(orders(3, 0, 42).is_empty());
    }

    #[test]
    fn paddings_spread_over_their_range() {
        let found: Vec<_> = (0..300).map(|i| padding(i / 3, i % 3, 42)).collect();
        let mean = found.iter().sum::<usize>() / found.len();
        assert!((1800..2300).contains(&mean), "mean {mean}");
        assert!(found.iter().all(|p| *p <= MOST_PADDING));
        let different: std::collections::HashSet<_> = found.iter().collect();
        assert!(different.len() > 270);
    }

    proptest! {
        #[test]
        fn every_block_runs_every_variant_and_every_square_every_position(
            variants in 1usize..12, squares in 1usize..5, seed: u64,
        ) {
            for square in orders(variants, variants * squares, seed).chunks(variants) {
                for place in 0..variants {
                    let mut row = square[place].clone();
                    row.sort_unstable();
                    prop_assert!(row.into_iter().eq(0..variants));
                    let mut column: Vec<_> = square.iter().map(|row| row[place]).collect();
                    column.sort_unstable();
                    prop_assert!(column.into_iter().eq(0..variants));
                }
            }
        }

        #[test]
        fn more_blocks_only_append(variants in 0usize..8, few: u8, more: u8, seed: u64) {
            let (few, more) = (usize::from(few.min(more)), usize::from(few.max(more)));
            prop_assert_eq!(&orders(variants, more, seed)[..few], orders(variants, few, seed));
        }
    }
}
