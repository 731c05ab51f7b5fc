//! Which rows are held out of the training.

use super::hash::unit_interval;

/// Whether row `row` (counted from 0 over all rows read, those left out included) is held out: a hash of the seed and
/// the row, as a number in [0, 1), falls below `fraction`. It depends on nothing else, so the same file and seed give
/// the same rows on every machine and with every number of threads.
pub(super) fn is_held_out(seed: u64, row: u64, fraction: f64) -> bool {
    unit_interval(seed, row) < fraction
}

/// Of all rows read, in order, the numbers (from 0) of those to fit, where `held_out` has the fraction that is not and the seed.
pub fn rows_to_fit(held_out: Option<(f64, u64)>) -> impl Iterator<Item = u64> {
    (0..).filter(move |row| held_out.is_none_or(|(fraction, seed)| !is_held_out(seed, *row, fraction)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
