//! The options that decide how files become rows.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pack::PackOptions;
use super::size;
use crate::ranks::Team;

/// How the levels of a categorical column become indicator features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// One feature a level.
    Full,
    /// One feature a level but the first: without redundancy beside an intercept.
    #[default]
    Reference,
}

/// What to do with missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Refuse the data, naming the first place.
    #[default]
    Error,
    /// Leave the row out.
    Drop,
    /// Put the training mean of the feature in its place.
    Mean,
}

/// The format of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Delimited text; the delimiter (one of `,` `;` tab `|`) is detected.
    Csv,
    /// Text delimited by tabs.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC: a file (Feather 2) or a stream.
    Arrow,
    /// A NumPy array.
    Npy,
    /// svmlight (libsvm) text; its label is called `label`, its features x1, x2, … (x0, … where an index is 0).
    Svmlight,
}

/// Name of the label of svmlight files.
pub const SVMLIGHT_LABEL: &str = "label";

/// Levels that a column may have by default.
pub const MAX_LEVELS: usize = 1000;

/// Factors on the sample weights of each class.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeight {
    /// Factor 1 for both classes.
    #[default]
    None,
    /// S/(2·S_k) for class k of weight S_k, so that both classes weigh the same.
    Balanced,
    /// A factor for each label named, 1 for the other.
    Labels(Vec<(String, f64)>),
}

/// All that decides how training files become rows.
#[derive(Debug, Clone)]
pub struct DataOptions {
    /// Name of the target's column.
    pub target: Option<String>,
    /// Targets of a .npy matrix.
    pub target_file: Option<PathBuf>,
    /// Sample weights of a .npy matrix.
    pub weight_file: Option<PathBuf>,
    /// Name of the sample weights' column.
    pub weight: Option<String>,
    /// Name of the offset's column.
    pub offset: Option<String>,
    /// Name of the column that says which fold of a cross-validation a row is in.
    pub fold: Option<String>,
    /// Folds of a .npy matrix.
    pub fold_file: Option<PathBuf>,
    /// Name of the column that says which cluster a row is in.
    pub cluster: Option<String>,
    /// Clusters of a .npy matrix.
    pub cluster_file: Option<PathBuf>,
    /// Columns to use as features; empty means all that have no other role.
    pub features: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// Columns to take as categorical although they hold numbers.
    pub categorical: Vec<String>,
    /// How categorical columns are encoded.
    pub encoding: Encoding,
    /// Levels that a column may have.
    pub max_levels: usize,
    /// Columns of more levels are hashed to so many bits; by default they are an error.
    pub hash_bits: Option<u32>,
    /// What to do with missing values.
    pub missing: Missing,
    /// Text files have no header: the columns are c1, c2, …
    pub no_header: bool,
    /// The files' format; by default each file's ending says it.
    pub format: Option<Format>,
    /// The label modelled as 1.
    pub positive: Option<String>,
    /// Factors on the sample weights of each class.
    pub class_weight: ClassWeight,
    /// Share of the rows to hold out of the training, in (0, 1).
    pub holdout: Option<f64>,
    /// Seed of the held-out rows' choice.
    pub seed: u64,
    /// Bytes of memory that may be used; by default most of what is available.
    pub memory: Option<u64>,
    /// Where rows go that memory does not hold; by default [`default_cache_dir`].
    pub cache_dir: Option<PathBuf>,
    /// Whether those rows are gone when the process is, instead of being kept for the next fit; nor are any read that were kept.
    pub no_cache: bool,
    /// How the rows are packed.
    pub pack: PackOptions,
    /// The ranks that share the files, where there are several.
    pub team: Option<Arc<Team>>,
}

/// Where rows go that memory does not hold: a folder of ours in the user's cache, or in that of temporary files where the user
/// has none.
pub fn default_cache_dir() -> PathBuf {
    dirs::cache_dir().unwrap_or_else(std::env::temp_dir).join("gpulogit")
}

/// The same, made where it was not there; the folder of temporary files where it cannot be made.
pub(crate) fn folder_with_room() -> PathBuf {
    let folder = default_cache_dir();
    if std::fs::create_dir_all(&folder).is_ok() { folder } else { std::env::temp_dir() }
}

impl DataOptions {
    /// Bytes of memory that may be used.
    pub(super) fn memory(&self) -> u64 {
        let ranks = self.team.as_ref().map_or(1, |team| team.local().1.max(1)) as u64;
        self.memory.unwrap_or_else(|| size::available() / 5 * 4 / ranks)
    }

    /// The files that lie beside a .npy matrix.
    pub fn files_beside(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.target_file, &self.weight_file, &self.fold_file, &self.cluster_file].into_iter().flatten()
    }

    /// Whether the data says which cluster a row is in.
    pub(super) fn has_clusters(&self) -> bool {
        self.cluster.is_some() || self.cluster_file.is_some()
    }

    /// What the clusters are called.
    pub(super) fn cluster_name(&self) -> String {
        let file = self.cluster_file.as_ref().map(|file| file.display().to_string());
        self.cluster.clone().or(file).unwrap_or_default()
    }

    /// Where rows go that memory does not hold.
    pub(super) fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(default_cache_dir)
    }
}

impl Default for DataOptions {
    fn default() -> Self {
        DataOptions {
            target: None,
            target_file: None,
            weight_file: None,
            weight: None,
            offset: None,
            fold: None,
            fold_file: None,
            cluster: None,
            cluster_file: None,
            features: Vec::new(),
            drop: Vec::new(),
            categorical: Vec::new(),
            encoding: Encoding::default(),
            max_levels: MAX_LEVELS,
            hash_bits: None,
            missing: Missing::default(),
            no_header: false,
            format: None,
            positive: None,
            class_weight: ClassWeight::default(),
            holdout: None,
            seed: 0,
            memory: None,
            cache_dir: None,
            no_cache: false,
            pack: PackOptions::default(),
            team: None,
        }
    }
}

/// What decides how files become rows for a fitted model, beside its [`Design`](super::Design).
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The files' format; by default each file's ending says it.
    pub format: Option<Format>,
    /// Whether text files lack a header; by default as in training.
    pub no_header: Option<bool>,
    /// Targets of a .npy matrix.
    pub target_file: Option<PathBuf>,
    /// Sample weights of a .npy matrix.
    pub weight_file: Option<PathBuf>,
    /// Whether labels are needed.
    pub with_target: bool,
    /// Input columns to carry through as text.
    pub keep: Vec<String>,
    /// One more, which says what group a row is in.
    pub by: Option<String>,
    /// Only rows that a training holds out which draws this share of them with this seed.
    pub held_out: Option<(f64, u64)>,
    /// How the rows are packed.
    pub pack: PackOptions,
}
