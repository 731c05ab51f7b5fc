//! Which rows are held out of the training.

/// Whether row `row` (counted from 0 over all rows read, those left out included) is held out: a hash of the seed and
/// the row, as a number in [0, 1), falls below `fraction`. It depends on nothing else, so the same file and seed give
/// the same rows on every machine and with every number of threads.
pub(super) fn is_held_out(seed: u64, row: u64, fraction: f64) -> bool {
    let hash = mix(mix(seed).wrapping_add(row));
    ((hash >> 11) as f64) * (-53f64).exp2() < fraction
}

/// SplitMix64's step (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_splitmix64() {
        // The first output of the published generator seeded with 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn the_share_is_met_and_seeds_differ() {
        let held = |seed: u64| (0..100_000).filter(|row| is_held_out(seed, *row, 0.2)).collect::<Vec<u64>>();
        let (a, b) = (held(0), held(1));
        assert!((a.len() as f64 - 20_000.0).abs() < 600.0, "{}", a.len());
        let both = a.iter().filter(|row| is_held_out(1, **row, 0.2)).count();
        assert!((both as f64 - 4000.0).abs() < 400.0, "{both}");
        assert_ne!(a, b);
    }
}
