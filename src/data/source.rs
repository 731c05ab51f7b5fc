//! What packing reads from: a design matrix by column.

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
