//! Data in: files become a [`Dataset`] of standardised blocks, and the [`Design`] that a model keeps says how.

pub mod block;
mod cell;
mod columns;
mod delimited;
mod design;
pub mod hash;
mod learn;
mod lines;
mod load;
mod matrix;
mod names;
mod npy;
mod options;
pub mod pack;
mod roles;
mod rows;
mod split;
mod table;
mod target;

pub use block::{LANES, RowBlock, Values};
pub use design::{Design, InputColumn};
pub use load::{ReadSummary, Training, load_training};
pub use options::{ClassWeight, DataOptions, Encoding, Format, Missing, ReadOptions};
pub use pack::{ColumnSource, Moments, PackOptions, Precision, RowMajor, RowVectors, StoredColumn};
pub use rows::{Rows, load_rows};
pub use target::Target;

use crate::error::Result;

/// Rows ready to be fitted or predicted.
#[derive(Debug)]
pub struct Dataset {
    /// Names of the features, in the order of the columns of X.
    pub features: Vec<String>,
    /// The rows, in input order.
    pub blocks: Vec<RowBlock>,
    /// How each feature is stored.
    pub columns: Vec<StoredColumn>,
    /// Moments of each feature in stored units.
    pub moments: Vec<Moments>,
    /// Rows n.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
}

impl Dataset {
    /// Packs a design matrix and its row vectors.
    ///
    /// # Errors
    /// As [`pack::pack`].
    pub fn pack(
        features: Vec<String>,
        source: &impl ColumnSource,
        vectors: &RowVectors,
        options: PackOptions,
    ) -> Result<Self> {
        let packed = pack::pack(source, vectors, options)?;
        Ok(Dataset {
            features,
            blocks: packed.blocks,
            columns: packed.columns,
            moments: packed.moments,
            rows: source.rows(),
            weight_sum: vectors.weight.iter().sum(),
        })
    }

    /// Packs a row-major n×p matrix with targets, weights 1 and no offset, naming the features x0, x1, …
    ///
    /// # Errors
    /// As [`pack::pack`].
    pub fn from_rows(values: &[f64], features: usize, target: &[f64], options: PackOptions) -> Result<Self> {
        let vectors = RowVectors { target: target.to_vec(), weight: vec![1.0; target.len()], offset: None };
        let source = RowMajor { values, features, rows: target.len() };
        Dataset::pack((0..features).map(|j| format!("x{j}")).collect(), &source, &vectors, options)
    }

    /// Bytes of X as stored on the host.
    pub fn stored_bytes(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| match block.x() {
                Values::F32(values) => size_of_val(values.as_slice()) as u64,
                Values::F64(values) => size_of_val(values.as_slice()) as u64,
            })
            .sum()
    }
}
