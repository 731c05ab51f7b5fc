//! Rows as the engines see them: blocks of standardised, interleaved values.

use crate::error::{Error, Result};

/// Rows interleaved with each other: lane `l` of group `g` is row `g·LANES + l` of its block, and the values of one
/// feature in the rows of one group lie side by side. A CPU reads whole vectors without horizontal sums, and the
/// lanes of a GPU's subgroup read one contiguous line.
pub const LANES: usize = 32;

/// Values of X, in the precision they are kept in.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// What large data is stored, fitted and certified in.
    F32(Vec<f32>),
    /// What small data is kept in on the host; a GPU rounds it to f32 while uploading.
    F64(Vec<f64>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }
}

/// Rows that are resident at once: X as `Values`, and the vectors t, s and the offset.
///
/// The value of feature `j` in row `i` lies at [`RowBlock::index`]`(i, j)`. Rows beyond `rows` that fill the last
/// group hold zeros and weight 0, so that a kernel may run over whole groups.
#[derive(Debug, Clone, PartialEq)]
pub struct RowBlock {
    rows: usize,
    features: usize,
    x: Values,
    target: Vec<f64>,
    weight: Vec<f64>,
    offset: Option<Vec<f64>>,
}

impl RowBlock {
    /// A block of `rows` rows.
    ///
    /// `x` is interleaved by [`LANES`] (`groups·features·LANES` values); `target` (t in [0, 1]) and `weight` (s ≥ 0)
    /// have one entry a row, `offset` too where there is one (added to the linear predictor). Padding is added here.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no row, [`Error::Numerics`] when a length is wrong.
    pub fn new(
        rows: usize,
        features: usize,
        x: Values,
        mut target: Vec<f64>,
        mut weight: Vec<f64>,
        mut offset: Option<Vec<f64>>,
    ) -> Result<Self> {
        if rows == 0 {
            return Err(Error::Usage("a block must have at least one row".to_string()));
        }
        let padded = rows.div_ceil(LANES) * LANES;
        let stored = x.len();
        let offset_len = offset.as_ref().map_or(rows, Vec::len);
        if stored != padded * features || target.len() != rows || weight.len() != rows || offset_len != rows {
            return Err(Error::Numerics(format!(
                "a block of {rows} rows × {features} features was given {stored} values, {} targets, {} weights and \
                 {offset_len} offsets",
                target.len(),
                weight.len()
            )));
        }
        target.resize(padded, 0.0);
        weight.resize(padded, 0.0);
        if let Some(offset) = &mut offset {
            offset.resize(padded, 0.0);
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

    /// Targets t in [0, 1], padded with 0 to whole groups.
    pub fn target(&self) -> &[f64] {
        &self.target
    }

    /// Sample weights s ≥ 0, padded with 0 to whole groups.
    pub fn weight(&self) -> &[f64] {
        &self.weight
    }

    /// Offsets, padded with 0 to whole groups, where the data has them.
    pub fn offset(&self) -> Option<&[f64]> {
        self.offset.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_rows_and_tells_its_bytes() {
        let block = |rows: usize, x| RowBlock::new(rows, 2, x, vec![0.0; rows], vec![1.0; rows], None);
        assert_eq!(block(3, Values::F32(vec![0.0; 2 * LANES])).unwrap().x_bytes(), 4 * 2 * LANES as u64);
        assert_eq!(block(3, Values::F64(vec![0.0; 2 * LANES])).unwrap().x_bytes(), 8 * 2 * LANES as u64);
        assert!(block(0, Values::F32(Vec::new())).is_err());
    }
}
