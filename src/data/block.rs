//! Rows as the engines see them: blocks of standardised, interleaved values.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::vector::RowVector;
use super::vectors::RowVectors;
use crate::error::{Error, Result};

/// Rows interleaved with each other: lane `l` of group `g` is row `g·LANES + l` of its block, and the values of one
/// feature in the rows of one group lie side by side. A CPU reads whole vectors without horizontal sums, and the
/// lanes of a GPU's subgroup read one contiguous line.
pub const LANES: usize = 32;

/// A stretch of numbers that may lie in one piece with those of other blocks.
#[derive(Clone)]
pub struct Stretch<T> {
    all: Arc<dyn Deref<Target = [T]> + Send + Sync>,
    range: Range<usize>,
}

impl<T> Stretch<T> {
    /// The numbers of `all` in `range`.
    pub(super) fn new(all: Arc<dyn Deref<Target = [T]> + Send + Sync>, range: Range<usize>) -> Self {
        Stretch { all, range }
    }
}

impl<T: Send + Sync + 'static> From<Vec<T>> for Stretch<T> {
    fn from(all: Vec<T>) -> Self {
        let range = 0..all.len();
        Stretch { all: Arc::new(all), range }
    }
}

impl<T> fmt::Debug for Stretch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers", self.range.len())
    }
}

impl<T> Deref for Stretch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.range.clone()]
    }
}

/// Values of X, in the precision they are kept in.
#[derive(Debug, Clone)]
pub enum Values {
    /// What large data is stored, fitted and certified in.
    F32(Stretch<f32>),
    /// What small data is kept in on the host; a GPU rounds it to f32 while uploading.
    F64(Stretch<f64>),
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Values::F32(values.into())
    }
}

impl From<Vec<f64>> for Values {
    fn from(values: Vec<f64>) -> Self {
        Values::F64(values.into())
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }
}

/// Rows in memory: X as `Values`, and the vectors t, s and the offset.
///
/// The value of feature `j` in row `i` lies at [`RowBlock::index`]`(i, j)`. Rows beyond `rows` that fill the last
/// group hold zeros and weight 0, so that a kernel may run over whole groups.
#[derive(Debug, Clone)]
pub struct RowBlock {
    rows: usize,
    features: usize,
    x: Values,
    vectors: RowVectors,
    totals: Option<Arc<Totals>>,
}

/// Sums over the rows of a block, taken while these were stored.
#[derive(Debug)]
pub struct Totals {
    /// Σ s.
    pub weight: f64,
    /// Σ s·t.
    pub target: f64,
    /// Σ s·z and Σ s·t·z of each column.
    pub columns: Vec<[f64; 2]>,
}

impl RowBlock {
    /// A block of the rows that `target` (t in [0, 1]) and `weight` (s ≥ 0) have numbers of, and `offset` where there is one
    /// (added to the linear predictor). `x` is interleaved by [`LANES`]: `groups·features·LANES` values.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no row, [`Error::Numerics`] when a length is wrong.
    pub fn new(
        features: usize,
        x: Values,
        target: RowVector,
        weight: RowVector,
        offset: Option<RowVector>,
    ) -> Result<Self> {
        RowBlock::of(features, x, RowVectors { target, weight, offset })
    }

    /// As [`RowBlock::new`].
    pub(super) fn of(features: usize, x: Values, vectors: RowVectors) -> Result<Self> {
        let (rows, weights) = (vectors.target.rows(), vectors.weight.rows());
        if rows == 0 {
            return Err(Error::Usage("a block must have at least one row".to_string()));
        }
        let stored = x.len();
        let offsets = vectors.offset.as_ref().map_or(rows, RowVector::rows);
        if stored != rows.div_ceil(LANES) * LANES * features || weights != rows || offsets != rows {
            return Err(Error::Numerics(format!(
                "a block of {rows} rows × {features} features was given {stored} values, {weights} weights and {offsets} \
                 offsets"
            )));
        }
        Ok(RowBlock { rows, features, x, vectors, totals: None })
    }

    /// The same block, of which `totals` are known.
    pub(super) fn with_totals(self, totals: Totals) -> Self {
        RowBlock { totals: Some(Arc::new(totals)), ..self }
    }

    /// Where the value of feature `feature` in row `row` lies in [`RowBlock::x`].
    pub fn index(row: usize, feature: usize, features: usize) -> usize {
        (row / LANES * features + feature) * LANES + row % LANES
    }

    /// Rows, without padding.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Features p (columns of X, the intercept's column of ones not among them).
    pub fn features(&self) -> usize {
        self.features
    }

    /// Groups of [`LANES`] rows, the last one padded.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// X, interleaved: `groups·features·LANES` values.
    pub fn x(&self) -> &Values {
        &self.x
    }

    /// Bytes of X as stored, padding included.
    pub fn x_bytes(&self) -> u64 {
        let size = match &self.x {
            Values::F32(_) => size_of::<f32>(),
            Values::F64(_) => size_of::<f64>(),
        };
        (self.x.len() * size) as u64
    }

    /// One value of X, in f64.
    pub fn value(&self, row: usize, feature: usize) -> f64 {
        let index = Self::index(row, feature, self.features);
        match &self.x {
            Values::F32(values) => f64::from(values[index]),
            Values::F64(values) => values[index],
        }
    }

    /// The same rows with the target 1 in those of class `class` and 0 in all others.
    pub(super) fn against_rest(&self, class: usize) -> Self {
        RowBlock { vectors: self.vectors.against_rest(class), totals: None, ..self.clone() }
    }

    /// Copies of the values of some groups.
    pub(super) fn values_of(&self, groups: &[usize]) -> Values {
        let width = LANES * self.features;
        let range = |group: &usize| group * width..(group + 1) * width;
        match &self.x {
            Values::F32(x) => groups.iter().flat_map(|group| &x[range(group)]).copied().collect::<Vec<_>>().into(),
            Values::F64(x) => groups.iter().flat_map(|group| &x[range(group)]).copied().collect::<Vec<_>>().into(),
        }
    }

    /// What the rows come to, where that was found when they were stored.
    pub fn totals(&self) -> Option<&Totals> {
        self.totals.as_deref()
    }

    /// Targets, weights and offsets.
    pub fn vectors(&self) -> &RowVectors {
        &self.vectors
    }

    /// Targets t: of two classes in [0, 1], of more the number of the row's class.
    pub fn target(&self) -> &RowVector {
        &self.vectors.target
    }

    /// Sample weights s ≥ 0.
    pub fn weight(&self) -> &RowVector {
        &self.vectors.weight
    }

    /// Offsets, where the data has them.
    pub fn offset(&self) -> Option<&RowVector> {
        self.vectors.offset.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_rows_and_tells_its_bytes() {
        let vector = |rows: usize| RowVector::from(vec![1.0; rows]);
        let block = |rows: usize, x| RowBlock::new(2, x, vector(rows), vector(rows), None);
        assert_eq!(block(3, vec![0f32; 2 * LANES].into()).unwrap().x_bytes(), 4 * 2 * LANES as u64);
        assert_eq!(block(3, vec![0f64; 2 * LANES].into()).unwrap().x_bytes(), 8 * 2 * LANES as u64);
        assert!(block(0, Vec::<f32>::new().into()).is_err());
        assert!(block(3, vec![0f32; LANES].into()).is_err());
        assert!(RowBlock::new(2, vec![0f32; 2 * LANES].into(), vector(3), vector(4), None).is_err());
    }
}
