//! How often rows count in a model of a batch, and what their weights come to.

use rayon::prelude::*;

use super::kernels::{self, Lanes};
use crate::data::{Block, LANES, RowVectors};
use crate::engine::batch::{Draw, DrawnRows, poisson_key, poissons};
use crate::error::Result;
use crate::octet::{Octet, Work, dispatch};

/// The rows that draws are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn<'a> {
    /// The fold of each row of the block; may be empty where no draw asks for it.
    pub(super) folds: &'a [u8],
    /// The block's first row among all.
    pub(super) first_row: usize,
}

impl<'a> Drawn<'a> {
    /// The `rows` rows from row `start` of `all` on.
    pub(super) fn new(all: DrawnRows<'a>, start: usize, rows: usize) -> Self {
        let folds = if all.folds.is_empty() { all.folds } else { &all.folds[start..start + rows] };
        Drawn { folds, first_row: all.first + start }
    }

    /// How often each row of group `g` counts; of no meaning for padding.
    #[inline(always)]
    pub(super) fn counts(&self, draw: Draw, g: usize) -> [f32; LANES] {
        let mut counts = [1.0; LANES];
        match draw {
            Draw::All => {}
            Draw::Without(fold) => {
                let folds = &self.folds[g * LANES..self.folds.len().min((g + 1) * LANES)];
                for (count, of_row) in counts.iter_mut().zip(folds) {
                    *count = f32::from(u8::from(*of_row != fold));
                }
            }
            Draw::Poisson { seed, replicate } => {
                let key = poisson_key(seed, replicate);
                let first = (self.first_row + g * LANES) as u32;
                counts = poissons(key, first).map(|count: u32| count as f32);
            }
        }
        counts
    }
}

/// What the weights of the rows come to under a draw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WeightSums {
    /// Σ s·(1−t) and Σ s·t, each row as often as it counts.
    pub classes: [f64; 2],
    /// The same of the rows that do not count, once each.
    pub left_out: [f64; 2],
}

/// The weights of the rows under each of `draws`.
///
/// # Errors
/// What reading blocks that are not in memory fails with.
pub(super) fn weight_sums(blocks: &[Block], draws: &[Draw], rows: DrawnRows<'_>) -> Result<Vec<WeightSums>> {
    let mut sums = vec![WeightSums::default(); draws.len()];
    let mut first_row = 0;
    for block in blocks {
        let vectors = block.vectors()?;
        let drawn = Drawn::new(rows, first_row, block.rows());
        sums.par_iter_mut().zip(draws).for_each(|(sums, draw)| {
            let [counted, left_out] = dispatch(Weigh { vectors: &vectors, draw: *draw, drawn });
            sums.classes.iter_mut().zip(counted).for_each(|(sum, s)| *sum += s);
            sums.left_out.iter_mut().zip(left_out).for_each(|(sum, s)| *sum += s);
        });
        first_row += block.rows();
    }
    Ok(sums)
}

/// The weights of the rows of a block under a draw.
struct Weigh<'a> {
    vectors: &'a RowVectors,
    draw: Draw,
    drawn: Drawn<'a>,
}

impl Work for Weigh<'_> {
    /// Σ s·(1−t) and Σ s·t, of the rows that count and of those that do not.
    type Output = [[f64; 2]; 2];

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> [[f64; 2]; 2] {
        let (zero, half, one) = (o.splat(0.0), o.splat(0.5), o.splat(1.0));
        let mut sums = [[zero; 2]; 2];
        for g in 0..self.vectors.groups() {
            let counts = self.drawn.counts(self.draw, g);
            let s: Lanes<O> = kernels::lanes(o, self.vectors.weight.group(g));
            let t: Lanes<O> = kernels::lanes(o, self.vectors.target.group(g));
            for (k, count) in counts.as_chunks().0.iter().enumerate() {
                let count = o.widen(count);
                let other = o.sub(one, t[k]);
                let weights = [o.mul(s[k], count), o.select_ge(count, half, zero, s[k])];
                for (sums, s) in sums.iter_mut().zip(weights) {
                    sums[0] = o.mul_add(s, other, sums[0]);
                    sums[1] = o.mul_add(s, t[k], sums[1]);
                }
            }
        }
        sums.map(|classes| classes.map(|sum| o.store(sum).iter().sum()))
    }
}
