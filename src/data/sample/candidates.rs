//! Rows that may be drawn, by how many halvings of their class they survive.

use std::ops::Range;

use super::{HALF, SEED};
use crate::data::block::LANES;
use crate::data::hash;
use crate::data::vectors::RowVectors;
use crate::octet::{Octet, Work, dispatch};

/// Numbers of halvings that a row can survive.
pub(super) const RANKS: usize = u64::BITS as usize + 1;

/// Rows of positive weight that may be drawn, in order.
pub(super) struct Candidates {
    /// The first row that was looked at.
    first: usize,
    /// How many rows after it, class, and the halvings of its class that the row survives.
    rows: Vec<(u32, u8, u8)>,
    /// How many of each class survive a number of halvings and no more.
    pub(super) of_halvings: [[usize; RANKS]; 2],
}

impl Candidates {
    /// Those of `rows` that survive `least` halvings of their class, row 0 being row `first` of all.
    pub(super) fn among(vectors: &RowVectors, first: usize, rows: Range<usize>, least: [u32; 2]) -> Self {
        // Twice as many as are to be expected of the larger class.
        let room = 2 * (rows.len() >> least[0].max(least[1]).min(usize::BITS - 1));
        let mut found =
            Candidates { first: first + rows.start, rows: Vec::with_capacity(room), of_halvings: [[0; RANKS]; 2] };
        for g in rows.start / LANES..rows.end.div_ceil(LANES) {
            // Rows that are none weigh nothing.
            let (counted, ones) = (vectors.weight.group(g).above(0.0), vectors.target.group(g).above(HALF));
            let (hashes, survivors) = dispatch(Survivors { first: first + g * LANES, least });
            let mut left = counted & (survivors[0] & !ones | survivors[1] & ones);
            while left != 0 {
                let i = left.trailing_zeros() as usize;
                let (class, halvings) = ((ones >> i & 1) as usize, hashes[i].leading_zeros());
                found.rows.push(((g * LANES + i - rows.start) as u32, class as u8, halvings as u8));
                found.of_halvings[class][halvings as usize] += 1;
                left &= left - 1;
            }
        }
        found
    }

    /// How many survive `thinning` halvings of their class.
    pub(super) fn count(&self, thinning: [u32; 2]) -> usize {
        let of_class = self.of_halvings.iter().zip(thinning);
        of_class.map(|(counts, halvings)| counts[halvings as usize..].iter().sum::<usize>()).sum()
    }

    /// Puts the numbers of those to `out`, which has room for as many and more; what is left of it.
    pub(super) fn put_surviving<'a>(&self, thinning: [u32; 2], out: &'a mut [usize]) -> &'a mut [usize] {
        // Every one is put where the next that survives belongs: whether it does is not to be foreseen.
        let mut survivors = 0;
        for &(row, class, halvings) in &self.rows {
            let Some(out) = out.get_mut(survivors) else { break };
            *out = self.first + row as usize;
            survivors += usize::from(u32::from(halvings) >= thinning[usize::from(class)]);
        }
        &mut out[survivors..]
    }
}

/// The rows of a group from `first` on that survive the halvings `least` of a class.
struct Survivors {
    first: usize,
    least: [u32; 2],
}

impl Work for Survivors {
    /// Their hashes, and of each class a bit for each row.
    type Output = ([u64; LANES], [u32; 2]);

    #[inline(always)]
    fn run<O: Octet>(self, _o: O) -> Self::Output {
        // Loops, since a closure would not be made for this processor.
        let (mut hashes, mut survivors) = ([0; LANES], [0; 2]);
        for (row, hash) in (self.first as u64..).zip(&mut hashes) {
            *hash = hash::mix(SEED, row);
        }
        for (survivors, halvings) in survivors.iter_mut().zip(self.least) {
            let largest = u64::MAX.checked_shr(halvings).unwrap_or(0);
            for (i, hash) in hashes.iter().enumerate() {
                *survivors |= u32::from(*hash <= largest) << i;
            }
        }
        (hashes, survivors)
    }
}
