//! Data in: files become a [`Dataset`] of standardised blocks, and the [`Design`] that a model keeps says how.

mod agree;
mod beside;
pub mod block;
mod blocks;
mod cache;
mod classes;
mod clusters;
mod cut;
mod design;
mod expand;
mod files;
mod fingerprint;
mod folds;
mod frames;
pub mod hash;
mod input;
mod intake;
mod learn;
mod load;
mod matrix;
mod names;
mod options;
pub mod pack;
mod panel;
mod part;
mod roles;
mod rows;
mod sample;
mod scaling;
mod share;
pub(crate) mod size;
mod source;
mod spill;
mod split;
mod spread;
pub(crate) mod storage;
mod sweep;
mod table;
mod target;
mod vector;
mod vectors;

pub use block::{LANES, RowBlock, Stretch, Values};
pub use blocks::{AwayBlock, Block, each_block};
pub use cache::{CacheState, CachedFile, cached_files, clear_cache};
pub use clusters::Clusters;
pub use cut::Cut;
pub use design::{Design, InputColumn, MAX_HASH_BITS};
pub use fingerprint::Fingerprint;
pub use folds::{Folds, MOST_FOLDS};
pub use input::cell::MISSING_MARKS;
pub use load::{HeldOut, ReadSummary, Training, load_training};
pub(crate) use options::folder_with_room;
pub use options::{
    ClassWeight, DataOptions, Encoding, Format, MAX_LEVELS, Missing, ReadOptions, SVMLIGHT_LABEL, default_cache_dir,
};
pub use pack::{PackOptions, Precision, Purpose};
pub use rows::{RowStream, Rows, load_rows};
pub use scaling::{Moments, StoredColumn};
pub use source::{ColumnSource, RowMajor};
pub use split::rows_to_fit;
pub use spread::Spread;
pub(crate) use spread::{Unit, alone};
pub use target::{MOST_CLASSES, Target};
pub use vector::{Group, RowVector, stored};
pub use vectors::RowVectors;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ranks::{Team, Traffic};
use pack::Packed;
use storage::Storage;

/// The files that `paths` mean: folders stand for the files in them, patterns for those they match.
///
/// # Errors
/// [`Error::Usage`] when one of them gives no file, [`Error::Io`] when it cannot be listed.
pub fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    input::expand(paths)
}

/// Whether a panic of this thread will be told as damage of the file that is being decoded.
pub fn is_decoding() -> bool {
    input::is_decoding()
}

/// Rows ready to be fitted or predicted.
#[derive(Debug)]
pub struct Dataset {
    /// Names of the features, in the order of the columns of X.
    pub features: Vec<String>,
    /// The rows, in input order.
    pub blocks: Vec<Block>,
    /// How each feature is stored.
    pub columns: Vec<StoredColumn>,
    /// Moments of each feature in stored units.
    pub moments: Vec<Moments>,
    /// Rows n.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
    /// Classes that targets name: two, with targets in [0, 1], or more, with targets that number them.
    pub classes: usize,
    /// What tells these rows from others, whatever holds them: 64 bits of the features' names and of all that is stored. Samples and single
    /// classes have that of the rows they are of, and rows that several ranks share have none.
    pub fingerprint: Option<Fingerprint>,
    /// Nested row samples of this data, smallest first.
    pub samples: Vec<Dataset>,
    /// Where several ranks share the rows, those here: all that stands above is of all rows then, and there are no blocks.
    pub spread: Option<Box<Spread>>,
}

impl Dataset {
    /// Packs a design matrix and its row vectors.
    ///
    /// # Errors
    /// As [`pack::pack`], and [`Error::Usage`] when there is not one name a feature.
    pub fn pack(
        features: Vec<String>,
        source: &impl ColumnSource,
        vectors: &RowVectors,
        options: PackOptions,
    ) -> Result<Self> {
        check_names(&features, source.features())?;
        Ok(Dataset::of(features, pack::pack(source, vectors, options)?))
    }

    /// As [`Dataset::pack`], from what [`pack::pack_rows`] takes.
    fn pack_rows(
        features: Vec<String>,
        values: Storage<f32>,
        vectors: &RowVectors,
        options: PackOptions,
    ) -> Result<Self> {
        let packed = pack::pack_rows(values, features.len(), vectors, options)?;
        Ok(Dataset::of(features, packed))
    }

    fn of(features: Vec<String>, packed: Packed) -> Self {
        let Packed { blocks, columns, moments, sums, hashes, samples } = packed;
        let rows: usize = blocks.iter().map(Block::rows).sum();
        let hashes = hashes.wrapping_add(sums.hashes);
        let fingerprint = Some(fingerprint::of_data(&features, &columns, rows, hashes));
        let data = |blocks: Vec<Block>, weight_sum, samples| Dataset {
            features: features.clone(),
            columns: columns.clone(),
            moments: moments.clone(),
            rows: blocks.iter().map(Block::rows).sum(),
            weight_sum,
            classes: sums.classes,
            fingerprint,
            blocks,
            samples,
            spread: None,
        };
        let sample = |block: RowBlock| {
            let weight_sum = block.weight().add_to(0.0);
            data(vec![block.into()], weight_sum, Vec::new())
        };
        data(blocks, sums.weight_sum, samples.into_iter().map(sample).collect())
    }

    /// The rows of all ranks of `team`, of which this rank has these; every rank calls this. Rank 0 then fits them, and the others
    /// serve it ([`crate::engine::serve`]).
    ///
    /// # Errors
    /// Those of other ranks, and what reading rows that are not in memory fails with.
    pub fn spread_over(self, team: &Arc<Team>) -> Result<Dataset> {
        spread::spread(self, team, Purpose::Fit)
    }

    /// Ranks that share the rows.
    pub fn ranks(&self) -> usize {
        self.spread.as_ref().map_or(1, |spread| spread.rows.len())
    }

    /// What went between the ranks that share the rows, so far.
    pub fn traffic(&self) -> Option<Traffic> {
        self.spread.as_ref().map(|spread| spread.team.traffic())
    }

    /// Refuses `what` where several ranks share the rows.
    ///
    /// # Errors
    /// [`Error::Usage`] then.
    pub fn all_here(&self, what: &str) -> Result<()> {
        match &self.spread {
            None => Ok(()),
            Some(_) => Err(alone(what)),
        }
    }

    /// Largest rounding of a stored value, in standard deviations of its column.
    pub fn rounding(&self) -> f64 {
        self.moments.iter().map(|m| m.rounding).fold(0.0, f64::max)
    }

    /// The same rows as two classes: 1 for those of class `class`, 0 for all others. X is shared. Other ranks are not told.
    pub(crate) fn against_rest(&self, class: usize) -> Dataset {
        Dataset {
            features: self.features.clone(),
            blocks: self.blocks.iter().map(|block| block.against_rest(class)).collect(),
            columns: self.columns.clone(),
            moments: self.moments.clone(),
            rows: self.rows,
            weight_sum: self.weight_sum,
            classes: 2,
            fingerprint: self.fingerprint,
            samples: Vec::new(),
            spread: self.spread.as_ref().map(|spread| Box::new(spread.against_rest(class))),
        }
    }

    /// p slopes on the stored columns, and an intercept, that predict what these on the original columns do.
    pub fn in_stored_units(&self, coefficients: &[f64], intercept: f64) -> Vec<f64> {
        let mut w: Vec<f64> =
            coefficients.iter().zip(&self.columns).map(|(beta, column)| beta * column.scale).collect();
        let moved =
            coefficients.iter().zip(&self.columns).fold(intercept, |sum, (beta, column)| sum + beta * column.centre);
        w.push(moved);
        w
    }

    /// Packs a row-major n×p matrix with targets, weights 1 and no offset, naming the features x0, x1, …
    ///
    /// # Errors
    /// As [`pack::pack`].
    pub fn from_rows(values: &[f64], features: usize, target: &[f64], options: PackOptions) -> Result<Self> {
        let vectors =
            RowVectors { target: target.to_vec().into(), weight: vec![1.0; target.len()].into(), offset: None };
        let source = RowMajor { values, features, rows: target.len() };
        Dataset::pack((0..features).map(|j| format!("x{j}")).collect(), &source, &vectors, options)
    }
}

fn check_names(names: &[String], features: usize) -> Result<()> {
    if names.len() == features {
        return Ok(());
    }
    Err(Error::Usage(format!("{features} features were given {} names", names.len())))
}
