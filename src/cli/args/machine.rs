//! The arguments of commands about this machine: what computes here and how well, what is kept here, and the lesson.

use std::path::PathBuf;

use clap::Args;

use super::{Common, DataArgs, MissingArg};

#[derive(Debug, Args)]
pub(in crate::cli) struct ValidateArgs {
    #[command(flatten)]
    pub(in crate::cli) data: DataArgs,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// Files of rows, as for `gpulogit train`; without any, rows are made up.
    #[arg(value_name = "DATA")]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// The column to predict.
    #[arg(long, value_name = "COL", help_heading = "Data")]
    pub(in crate::cli) target: Option<String>,
    /// Targets of the rows of an X.npy.
    #[arg(long, value_name = "Y.npy", help_heading = "Data")]
    pub(in crate::cli) target_file: Option<PathBuf>,
    /// Missing values: error stops and says where, drop leaves the row out, mean puts in the column's mean.
    #[arg(long, value_name = "HOW", default_value = "error", help_heading = "Data")]
    pub(in crate::cli) missing: MissingArg,
    /// The files have no header: columns are called c1, c2, …
    #[arg(long, help_heading = "Data")]
    pub(in crate::cli) no_header: bool,
    /// Rows to make up [default: 1000000].
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Measuring")]
    pub(in crate::cli) rows: Option<usize>,
    /// Features to make up [default: 32].
    #[arg(long, value_name = "P", allow_hyphen_values = true, help_heading = "Measuring")]
    pub(in crate::cli) features: Option<usize>,
    /// Rounds to measure; the medians are printed.
    #[arg(long, default_value_t = 5, value_name = "N", allow_hyphen_values = true, help_heading = "Measuring")]
    pub(in crate::cli) repeat: usize,
    /// Penalty of the whole fits, as for `gpulogit train`.
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_hyphen_values = true, help_heading = "Measuring")]
    pub(in crate::cli) l2: f64,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DevicesArgs {
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CacheArgs {
    /// Remove the files, but for those being written.
    #[arg(long)]
    pub(in crate::cli) clear: bool,
    /// Folder of the files [default: gpulogit in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) cache_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
