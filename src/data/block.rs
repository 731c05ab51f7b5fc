//! Rows as the engines see them: blocks of standardised, interleaved values.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::storage::Storage;
use super::vector::RowVector;
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
    /// f32 that is read when it is needed, and how many numbers there are.
    Absent(Arc<dyn Absent>, usize),
}

/// Values of a block that are not in memory.
pub trait Absent: fmt::Debug + Send + Sync {
    /// Reads those of the groups of rows `groups` into `out`.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] when what is read is not what was written.
    fn read(&self, groups: Range<usize>, out: &mut [f32]) -> Result<()>;
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
            Values::Absent(_, len) => *len,
        }
    }
}

/// Rows that are resident at once: X as `Values`, and the vectors t, s and the offset.
///
/// The value of feature `j` in row `i` lies at [`RowBlock::index`]`(i, j)`. Rows beyond `rows` that fill the last
/// group hold zeros and weight 0, so that a kernel may run over whole groups.
#[derive(Debug, Clone)]
pub struct RowBlock {
    rows: usize,
    features: usize,
    x: Values,
    target: RowVector,
    weight: RowVector,
    offset: Option<RowVector>,
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
        let rows = target.rows();
        if rows == 0 {
            return Err(Error::Usage("a block must have at least one row".to_string()));
        }
        let stored = x.len();
        let offset_len = offset.as_ref().map_or(rows, RowVector::rows);
        if stored != rows.div_ceil(LANES) * LANES * features || weight.rows() != rows || offset_len != rows {
            return Err(Error::Numerics(format!(
                "a block of {rows} rows × {features} features was given {stored} values, {} weights and {offset_len} \
                 offsets",
                weight.rows()
            )));
        }
        Ok(RowBlock { rows, features, x, target, weight, offset })
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
            Values::F32(_) | Values::Absent(..) => size_of::<f32>(),
            Values::F64(_) => size_of::<f64>(),
        };
        (self.x.len() * size) as u64
    }

    /// Bytes of one number a row in the precision of X, padding included.
    pub fn logit_bytes(&self) -> u64 {
        self.x_bytes().checked_div(self.features as u64).unwrap_or_default()
    }

    /// Bytes of targets, weights and offsets as stored.
    pub fn vector_bytes(&self) -> u64 {
        self.target.bytes() + self.weight.bytes() + self.offset.as_ref().map_or(0, RowVector::bytes)
    }

    /// One value of X, in f64; not a number where X is not in memory.
    pub fn value(&self, row: usize, feature: usize) -> f64 {
        let index = Self::index(row, feature, self.features);
        match &self.x {
            Values::F32(values) => f64::from(values[index]),
            Values::F64(values) => values[index],
            Values::Absent(..) => f64::NAN,
        }
    }

    /// Whether X is in memory.
    pub fn is_present(&self) -> bool {
        !matches!(self.x, Values::Absent(..))
    }

    /// The same rows with X in memory, read into `room` where it was not there.
    ///
    /// # Errors
    /// As [`Absent::read`] and [`Storage::zeros`].
    pub(super) fn present(&self, room: Option<Storage<f32>>) -> Result<(RowBlock, Option<Arc<Storage<f32>>>)> {
        let Values::Absent(source, len) = &self.x else { return Ok((self.clone(), None)) };
        let mut room = match room.filter(|room| room.len() >= *len) {
            Some(room) => room,
            None => Storage::zeros(*len)?,
        };
        source.read(0..self.groups(), &mut room[..*len])?;
        let all = Arc::new(room);
        let x = Values::F32(Stretch::new(Arc::clone(&all) as Arc<dyn Deref<Target = [f32]> + Send + Sync>, 0..*len));
        Ok((RowBlock { x, ..self.clone() }, Some(all)))
    }

    /// Every `stride`-th group from `first` on as a block in memory of its own.
    ///
    /// # Errors
    /// As [`RowBlock::present`].
    pub(crate) fn some_groups(&self, first: usize, stride: usize) -> Result<Option<RowBlock>> {
        let Values::Absent(source, _) = &self.x else { return Ok(None) };
        let groups: Vec<usize> = (first..self.groups()).step_by(stride).collect();
        let width = LANES * self.features;
        let mut x = vec![0f32; groups.len() * width];
        for (group, out) in groups.iter().zip(x.chunks_mut(width.max(1))) {
            source.read(*group..group + 1, out)?;
        }
        let Some(last) = groups.last() else { return Ok(None) };
        // Only the last group of a block can be short, and it then is the last one here.
        let rows = groups.len() * LANES - LANES.saturating_sub(self.rows - last * LANES).min(LANES - 1);
        let row = |i: usize| groups[i / LANES] * LANES + i % LANES;
        let picked = |numbers: &RowVector| RowVector::of(rows, |i| numbers.at(row(i)));
        let offset = self.offset.as_ref().map(picked);
        RowBlock::new(self.features, x.into(), picked(&self.target), picked(&self.weight), offset).map(Some)
    }

    /// Targets t in [0, 1].
    pub fn target(&self) -> &RowVector {
        &self.target
    }

    /// Sample weights s ≥ 0.
    pub fn weight(&self) -> &RowVector {
        &self.weight
    }

    /// Offsets, where the data has them.
    pub fn offset(&self) -> Option<&RowVector> {
        self.offset.as_ref()
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
