//! The vectors that go with X: all in memory, or stretch by stretch from a file.

use std::ops::Range;

use super::block::{LANES, RowBlock, Values};
use super::fingerprint;
use super::target::MOST_CLASSES;
use super::vector::RowVector;
use crate::error::{Error, Result};

/// The vectors that go with a design matrix.
#[derive(Debug, Clone)]
pub struct RowVectors {
    /// Targets t: of two classes in [0, 1], of more the number of the row's class.
    pub target: RowVector,
    /// Sample weights s ≥ 0, in the range of f32.
    pub weight: RowVector,
    /// Offsets, where there are any, in the range of f32.
    pub offset: Option<RowVector>,
}

/// The vectors of all rows, wherever they are.
pub(super) trait VectorSource: Sync {
    /// Rows n.
    fn rows(&self) -> usize;

    /// Calls `each` with the vectors of one stretch of rows after the other, and the first row of each, which begins a group.
    ///
    /// # Errors
    /// What reading or `each` fails with.
    fn each(&self, each: &mut dyn FnMut(usize, &RowVectors) -> Result<()>) -> Result<()>;
}

impl VectorSource for RowVectors {
    fn rows(&self) -> usize {
        self.target.rows()
    }

    fn each(&self, each: &mut dyn FnMut(usize, &RowVectors) -> Result<()>) -> Result<()> {
        each(0, self)
    }
}

/// What vectors come to.
#[derive(Debug, Clone, Copy)]
pub struct RowSums {
    /// S = Σ s.
    pub weight_sum: f64,
    /// Two, or as many as the targets number.
    pub classes: usize,
    /// Σ h of `fingerprint.rs` over them.
    pub hashes: u64,
}

/// Holds `vectors` to be those of `rows` rows, and adds them up.
///
/// # Errors
/// [`Error::Usage`] when they are not or one of their numbers is out of its range, and what reading fails with.
pub(super) fn check(vectors: &dyn VectorSource, rows: usize) -> Result<RowSums> {
    if vectors.rows() != rows {
        return Err(Error::Usage(format!("{rows} rows were given {} targets", vectors.rows())));
    }
    let mut sums = RowSums { weight_sum: 0.0, classes: 2, hashes: 0 };
    vectors.each(&mut |first, vectors| {
        vectors.check_numbers(first)?;
        sums.weight_sum = vectors.weight.add_to(sums.weight_sum);
        sums.hashes = sums.hashes.wrapping_add(fingerprint::of_vectors(vectors, first));
        // More than two are rare, and ever more of them rarer.
        while let Some(row) = vectors.target.position(|t| t >= sums.classes as f64) {
            sums.classes = vectors.target.at(row) as usize + 1;
        }
        Ok(())
    })?;
    Ok(sums)
}

impl RowVectors {
    /// The block of the rows `rows`, whose X is `x`.
    ///
    /// # Errors
    /// As [`RowBlock::new`].
    pub(super) fn block(&self, rows: Range<usize>, features: usize, x: Values) -> Result<RowBlock> {
        RowBlock::of(features, x, self.slice(rows))
    }

    /// Those of `rows`, as [`RowVector::slice`].
    pub(super) fn slice(&self, rows: Range<usize>) -> Self {
        RowVectors {
            target: self.target.slice(rows.clone()),
            weight: self.weight.slice(rows.clone()),
            offset: self.offset.as_ref().map(|offset| offset.slice(rows)),
        }
    }

    /// The same with the target 1 in the rows of class `class` and 0 in all others.
    pub(super) fn against_rest(&self, class: usize) -> Self {
        let (rows, class) = (self.target.rows(), class as f64);
        let target = RowVector::of(rows, |row| f64::from(u8::from(self.target.at(row) == class)));
        RowVectors { target, ..self.clone() }
    }

    /// Those of each row that `row` gives for the numbers below `rows`.
    pub(super) fn picked(&self, rows: usize, row: impl Fn(usize) -> usize + Sync) -> Self {
        let picked = |numbers: &RowVector| RowVector::of(rows, |i| numbers.at(row(i)));
        RowVectors {
            target: picked(&self.target),
            weight: picked(&self.weight),
            offset: self.offset.as_ref().map(picked),
        }
    }

    /// Groups of [`LANES`] rows.
    pub fn groups(&self) -> usize {
        self.target.rows().div_ceil(LANES)
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.target.bytes() + self.weight.bytes() + self.offset.as_ref().map_or(0, RowVector::bytes)
    }

    /// Whether there are as many of each, and every number is in its range; the first row is row `first`.
    fn check_numbers(&self, first: usize) -> Result<()> {
        let rows = self.target.rows();
        // A GPU computes with them as f32.
        let fits = |x: f64| (x as f32).is_finite();
        let entries = |name: &str, values: &RowVector, is_good: &(dyn Fn(f64) -> bool + Sync), must: &str| {
            if values.rows() != rows {
                return Err(Error::Usage(format!("{rows} rows were given {} {name}s", values.rows())));
            }
            match values.position(|x| !is_good(x)) {
                None => Ok(()),
                Some(row) => {
                    let (number, value) = (first + row + 1, values.at(row));
                    Err(Error::Usage(format!("the {name} of row {number} is {value:?}; it must {must}")))
                }
            }
        };
        let is_class = |t: f64| t.fract() == 0.0 && (0.0..MOST_CLASSES as f64).contains(&t);
        let is_target = |t: f64| (0.0..=1.0).contains(&t) || is_class(t);
        entries("target", &self.target, &is_target, "lie in [0, 1], or number a class")?;
        entries("weight", &self.weight, &|s| s >= 0.0 && fits(s), "be at least 0 and at most 3.4e38")?;
        let offset = self.offset.as_ref();
        offset.map_or(Ok(()), |offset| entries("offset", offset, &fits, "lie within ±3.4e38"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ColumnSource, Dataset, PackOptions, RowMajor};
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
