//! Many models in one read of X: the columns of W, and how often each row counts in each of them.

use serde::{Deserialize, Serialize};

use super::{Params, Shape, check_params};
use crate::error::{Error, Result};

/// How often each row counts in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Draw {
    /// Once.
    All,
    /// Once, but not at all in this fold.
    Without(u8),
    /// As often as a Poisson variable of mean 1 comes out, which seed, replicate and the row's number decide: a bootstrap
    /// replicate without a row of counts in memory.
    Poisson {
        /// Of all replicates.
        seed: u32,
        /// Which of them.
        replicate: u32,
    },
}

impl Draw {
    /// Whether it takes the fold of a row to say.
    pub(super) fn asks_fold(self) -> bool {
        matches!(self, Draw::Without(_))
    }

    /// How often the row of number `row`, which is in `fold`, counts.
    pub fn count(self, row: usize, fold: u8) -> u32 {
        match self {
            Draw::All => 1,
            Draw::Without(out) => u32::from(fold != out),
            Draw::Poisson { seed, replicate } => poisson(poisson_key(seed, replicate), mix(row as u32)),
        }
    }
}

/// What a draw must know of rows to say how often each counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawnRows<'a> {
    /// The fold of each row in input order; may be empty where no draw asks for it.
    pub folds: &'a [u8],
    /// The number of the first row among all: not 0 where other ranks have those before.
    pub first: usize,
}

impl<'a> DrawnRows<'a> {
    /// All rows, which are in these folds; none where no draw asks for it.
    pub fn all(folds: &'a [u8]) -> Self {
        DrawnRows { folds, first: 0 }
    }
}

/// Parameters to evaluate at once. Models of equal draws are best next to each other.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// W, a column for each model.
    pub w: &'a Params,
    /// One draw for each model.
    pub draws: &'a [Draw],
    /// The rows.
    pub rows: DrawnRows<'a>,
}

/// What the rows come to in one model of a batch. Where its logits leave the engine's range, the loss is infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSums {
    /// Σ s·ℓ(t, a), each row as often as it counts.
    pub loss: f64,
    /// Σ s·ℓ(t, a) of the rows that do not count.
    pub loss_left_out: f64,
    /// Zᵀ(s∘(Y−T)) in stored units, each row as often as it counts; last entry Σ s·(y−t).
    pub gradient: Vec<f64>,
}

impl BatchSums {
    /// Nothing yet, of `features` features.
    pub(super) fn zeros(features: usize) -> Self {
        BatchSums { loss: 0.0, loss_left_out: 0.0, gradient: vec![0.0; features + 1] }
    }

    /// Of a model whose parameters are out of range.
    pub(crate) fn out_of_range(features: usize) -> Self {
        BatchSums { loss: f64::INFINITY, loss_left_out: f64::INFINITY, ..BatchSums::zeros(features) }
    }

    /// Adds the sums of other rows.
    pub(super) fn add(&mut self, part: &BatchSums) {
        self.loss += part.loss;
        self.loss_left_out += part.loss_left_out;
        self.gradient.iter_mut().zip(&part.gradient).for_each(|(sum, g)| *sum += g);
    }

    /// The same, with an infinite loss where a number is not finite.
    pub(super) fn checked(mut self) -> Self {
        if !(self.loss.is_finite() && self.gradient.iter().all(|g| g.is_finite())) {
            self.loss = f64::INFINITY;
        }
        if !self.loss_left_out.is_finite() {
            self.loss_left_out = f64::INFINITY;
        }
        self
    }
}

impl Batch<'_> {
    /// Holds the batch to fit the rows.
    pub(super) fn check(&self, shape: Shape) -> Result<()> {
        check_params(self.w, Shape { models: self.draws.len(), ..shape })?;
        let by_fold = self.draws.iter().any(|draw| draw.asks_fold());
        if by_fold && self.rows.folds.len() != shape.rows {
            return Err(Error::Numerics(format!(
                "internal: {} rows were given the folds of {}",
                shape.rows,
                self.rows.folds.len()
            )));
        }
        Ok(())
    }

    /// Calls `each` with as many models at a time as `most`, and puts together what comes of them.
    ///
    /// # Errors
    /// What `each` fails with.
    pub(super) fn in_parts(
        &self,
        most: usize,
        mut each: impl FnMut(&Batch<'_>) -> Result<Vec<BatchSums>>,
    ) -> Result<Vec<BatchSums>> {
        if self.draws.len() <= most {
            return each(self);
        }
        let mut all = Vec::with_capacity(self.draws.len());
        for first in (0..self.draws.len()).step_by(most.max(1)) {
            let models = first..self.draws.len().min(first + most.max(1));
            let w = self.w.models_in(models.clone());
            all.extend(each(&Batch { w: &w, draws: &self.draws[models], rows: self.rows })?);
        }
        Ok(all)
    }

    /// The models from `k` on that share the draw of model `k`.
    pub(super) fn of_equal_draw(&self, k: usize) -> std::ops::Range<usize> {
        let others = self.draws[k..].iter().position(|draw| *draw != self.draws[k]);
        k..others.map_or(self.draws.len(), |n| k + n)
    }
}

/// Thresholds on 32 random bits from which on a row counts once more: the distribution function of a Poisson variable of
/// mean 1, up to what 32 bits resolve.
pub(super) const POISSON: [u32; 12] = [
    0x5e2d_58d8,
    0xbc5a_b1b1,
    0xeb71_5e1d,
    0xfb23_9797,
    0xff10_25f5,
    0xffd9_0f3b,
    0xfffa_8b71,
    0xffff_540c,
    0xffff_ed1f,
    0xffff_fe21,
    0xffff_ffd4,
    0xffff_fffc,
];

/// A mix of 32 bits in which each bit of `x` changes every other with probability one half, nearly (Chris Wellons' lowbias32).
#[inline(always)]
pub(super) fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// What the bits of a row are mixed with in a replicate.
#[inline(always)]
pub(super) fn poisson_key(seed: u32, replicate: u32) -> u32 {
    mix(mix(replicate) ^ seed)
}

/// How often the row counts whose number `mixed` is the [`mix`] of.
#[inline(always)]
pub(super) fn poisson(key: u32, mixed: u32) -> u32 {
    let bits = mix(mixed ^ key);
    let mut count = 0;
    for threshold in POISSON {
        count += u32::from(bits >= threshold);
    }
    count
}

/// The same of `N` rows from the one of number `first` on.
#[inline(always)]
pub(super) fn poissons<const N: usize>(key: u32, first: u32) -> [u32; N] {
    let (mut bits, mut counts, mut most) = ([0; N], [0; N], 0);
    for (i, bits) in bits.iter_mut().enumerate() {
        *bits = mix(mix(first.wrapping_add(i as u32)) ^ key);
        most = most.max(*bits);
    }
    // More than a few are rare.
    let (few, many) = POISSON.split_at(5);
    for threshold in few {
        counts.iter_mut().zip(&bits).for_each(|(count, bits)| *count += u32::from(bits >= threshold));
    }
    if most >= many[0] {
        for threshold in many {
            counts.iter_mut().zip(&bits).for_each(|(count, bits)| *count += u32::from(bits >= threshold));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thresholds_are_the_distribution_function() {
        let (mut term, mut sum) = ((-1f64).exp(), 0.0);
        for (k, threshold) in POISSON.iter().enumerate() {
            sum += term;
            assert_eq!(*threshold, (sum * 4_294_967_296.0).floor() as u32, "{k}");
            term /= (k + 1) as f64;
        }
        assert!((sum + term) * 4_294_967_296.0 >= 4_294_967_295.0, "32 bits resolve no more");
    }

    #[test]
    fn counts_are_poisson_and_independent_between_replicates() {
        let (rows, replicates) = (20_000u32, 40u32);
        let counts: Vec<Vec<f64>> = (0..replicates)
            .map(|r| (0..rows).map(|i| f64::from(poisson(poisson_key(7, r), mix(i)))).collect())
            .collect();
        let n = f64::from(rows);
        let mean = |x: &[f64]| x.iter().sum::<f64>() / n;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - 1.0) * (b - 1.0)).sum::<f64>() / n;
        for x in &counts {
            // Mean and variance 1, within five standard errors.
            assert!((mean(x) - 1.0).abs() < 5.0 / n.sqrt(), "{}", mean(x));
            assert!((product(x, x) - 1.0).abs() < 5.0 * (3.0 / n).sqrt(), "{}", product(x, x));
            let three = x.iter().filter(|count| **count == 3.0).count() as f64 / n;
            assert!((three - 0.0613).abs() < 0.009, "{three}");
        }
        let mut seen = 0;
        for (i, a) in counts.iter().enumerate() {
            for b in &counts[..i] {
                assert!(product(a, b).abs() < 5.0 / n.sqrt(), "{}", product(a, b));
                seen += 1;
            }
            // Many at a time are the same.
            assert_eq!(poissons::<3>(poisson_key(7, i as u32), 8).map(f64::from), a[8..11]);
            // Nor are neighbouring rows.
            assert!(product(&a[1..], &a[..a.len() - 1]).abs() < 5.0 / n.sqrt());
        }
        assert_eq!(seen, 780);
    }
}
