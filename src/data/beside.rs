//! What lies beside the matrices of arrays: targets and weights from files of their own.

use std::path::Path;

use super::input::{Text, error_at, npy};
use super::options::Format;
use super::table::{Files, not_a_weight};
use crate::error::Result;

/// Names of the vectors that come from files of their own.
pub(super) const TARGET_FILE: &str = "target";
pub(super) const WEIGHT_FILE: &str = "weight";

/// The targets and the weights of all rows, where they come from files of their own.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) target: Option<Text>,
    /// NaN where missing.
    pub(super) weight: Option<Vec<f64>>,
}

impl Beside {
    /// Reads what is named beside the matrices in `files`; nothing for files of other formats.
    ///
    /// # Errors
    /// As [`npy::read_vector`], and [`crate::error::Error::Data`] about a negative weight.
    pub(super) fn read(files: &Files, target: Option<&Path>, weight: Option<&Path>) -> Result<Self> {
        if files.format != Format::Npy {
            return Ok(Beside::default());
        }
        let mut rows = 0;
        for source in &files.sources {
            rows += npy::shape(source)?.0;
        }
        let target = target.map(|path| npy::read_vector(path, rows, TARGET_FILE)).transpose()?;
        let read = |path: &Path| {
            let values = npy::read_vector(path, rows, WEIGHT_FILE)?;
            match values.iter().position(|s| *s < 0.0) {
                None => Ok(values),
                Some(row) => Err(error_at(path, Some(row as u64 + 1), Some(WEIGHT_FILE), not_a_weight(values[row]))),
            }
        };
        Ok(Beside { target: target.map(|values| npy::labels(&values)), weight: weight.map(read).transpose()? })
    }
}
