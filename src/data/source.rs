//! What packing reads from: a design matrix by column, and the vectors that go with it.

use std::ops::Range;

use super::block::{RowBlock, Values};
use super::vector::RowVector;
use crate::error::{Error, Result};
use crate::octet::Stored;

/// A design matrix that can be read by column: what packing reads from.
pub trait ColumnSource: Sync {
    /// Rows n.
    fn rows(&self) -> usize;
    /// Features p.
    fn features(&self) -> usize;
    /// Whether the source can be read as it says.
    ///
    /// # Errors
    /// [`Error::Usage`] when it cannot.
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Writes feature `feature` of rows `start..start + out.len()` to `out`.
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]);
}

/// A row-major n×p matrix.
#[derive(Debug, Clone, Copy)]
pub struct RowMajor<'a, T> {
    /// `rows·features` values.
    pub values: &'a [T],
    /// Features p.
    pub features: usize,
    /// Rows n.
    pub rows: usize,
}

impl<T: Stored> ColumnSource for RowMajor<'_, T> {
    fn rows(&self) -> usize {
        self.rows
    }
    fn features(&self) -> usize {
        self.features
    }
    fn check(&self) -> Result<()> {
        if self.rows.checked_mul(self.features) == Some(self.values.len()) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "a matrix of {} rows × {} features was given {} values",
            self.rows,
            self.features,
            self.values.len()
        )))
    }
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]) {
        let column = self.values[start * self.features + feature..].iter().step_by(self.features);
        out.iter_mut().zip(column).for_each(|(x, value)| *x = value.wide());
    }
}

/// The vectors that go with a design matrix.
#[derive(Debug, Clone)]
pub struct RowVectors {
    /// Targets t in [0, 1].
    pub target: RowVector,
    /// Sample weights s ≥ 0, in the range of f32.
    pub weight: RowVector,
    /// Offsets, where there are any, in the range of f32.
    pub offset: Option<RowVector>,
}

impl RowVectors {
    /// The block of the rows `rows`, whose X is `x`.
    ///
    /// # Errors
    /// As [`RowBlock::new`].
    pub(super) fn block(&self, rows: Range<usize>, features: usize, x: Values) -> Result<RowBlock> {
        RowBlock::new(
            features,
            x,
            self.target.slice(rows.clone()),
            self.weight.slice(rows.clone()),
            self.offset.as_ref().map(|offset| offset.slice(rows)),
        )
    }

    /// Holds the vectors to be those of `rows` rows.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        // A GPU computes with them as f32.
        let fits = |x: f64| (x as f32).is_finite();
        let entries = |name: &str, values: &RowVector, is_good: &(dyn Fn(f64) -> bool + Sync), must: &str| {
            if values.rows() != rows {
                return Err(Error::Usage(format!("{rows} rows were given {} {name}s", values.rows())));
            }
            match values.position(|x| !is_good(x)) {
                None => Ok(()),
                Some(row) => {
                    Err(Error::Usage(format!("the {name} of row {} is {:?}; it must {must}", row + 1, values.at(row))))
                }
            }
        };
        entries("target", &self.target, &|t| (0.0..=1.0).contains(&t), "lie in [0, 1]")?;
        entries("weight", &self.weight, &|s| s >= 0.0 && fits(s), "be at least 0 and at most 3.4e38")?;
        let offset = self.offset.as_ref();
        offset.map_or(Ok(()), |offset| entries("offset", offset, &fits, "lie within ±3.4e38"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, PackOptions};
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_never_panics() {
        let good = || RowVectors {
            target: vec![0.0, 0.5].into(),
            weight: vec![0.0, 2.0].into(),
            offset: Some(vec![-1e38, 3.0].into()),
        };
        let pack = |vectors: &RowVectors, values: &[f64], names: usize| {
            let source = RowMajor { values, features: 2, rows: 2 };
            Dataset::pack(vec![String::new(); names], &source, vectors, PackOptions::default())
        };
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(pack(&good(), &values, 2).unwrap().rows, 2);
        let cases = [
            (RowVectors { target: vec![0.0].into(), ..good() }, "2 rows were given 1 targets"),
            (
                RowVectors { target: vec![0.0, 1.5].into(), ..good() },
                "the target of row 2 is 1.5; it must lie in [0, 1]",
            ),
            (RowVectors { target: vec![f64::NAN, 1.0].into(), ..good() }, "the target of row 1 is NaN"),
            (RowVectors { weight: vec![1.0; 3].into(), ..good() }, "2 rows were given 3 weights"),
            (
                RowVectors { weight: vec![1.0, -1.0].into(), ..good() },
                "the weight of row 2 is -1.0; it must be at least 0",
            ),
            (
                RowVectors { weight: vec![1e39, 1.0].into(), ..good() },
                "the weight of row 1 is 1e39; it must be at least 0 and at most 3.4e38",
            ),
            (RowVectors { offset: Some(vec![].into()), ..good() }, "2 rows were given 0 offsets"),
            (RowVectors { offset: Some(vec![0.0, f64::INFINITY].into()), ..good() }, "the offset of row 2 is inf"),
        ];
        for (vectors, expected) in &cases {
            let message = pack(vectors, &values, 2).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
        let short = pack(&good(), &values[1..], 2).unwrap_err().to_string();
        assert!(short.contains("2 rows × 2 features was given 3 values"), "{short}");
        let unnamed = pack(&good(), &values, 1).unwrap_err().to_string();
        assert!(unnamed.contains("2 features were given 1 names"), "{unnamed}");
        assert!(Dataset::from_rows(&values, 3, &[0.0, 1.0], PackOptions::default()).is_err());
        let huge = RowMajor::<f64> { values: &[], features: usize::MAX, rows: 2 };
        assert!(huge.check().is_err());
    }

    #[test]
    fn no_rows_are_no_blocks() {
        let empty = Dataset::from_rows(&[], 3, &[], PackOptions::default()).unwrap();
        assert_eq!((empty.rows, empty.blocks.len(), empty.columns.len()), (0, 0, 3));
    }
}
