//! The arguments that say which rows, which columns and what they mean.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::size;
use crate::data::{ClassWeight, DataOptions, Encoding, Format, MAX_LEVELS, Missing, PackOptions};
use crate::error::{Error, Result};

/// Which rows, which columns and what they mean.
#[derive(Debug, Args)]
pub(in crate::cli) struct DataArgs {
    /// Files of rows, folders of them, or patterns (quoted: 'part-*.csv'): .csv and .tsv (also .gz, .zst and .zip), .parquet, .arrow,
    /// .npy, .svmlight; `-` is text on standard input.
    #[arg(value_name = "DATA")]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// The column to predict: two labels or more, or numbers cut in two, as 'delay>15'.
    #[arg(long, value_name = "COL", help_heading = "Data")]
    pub(in crate::cli) target: Option<String>,
    /// The label of the two to model as 1 [default: the larger number, `true`, or the last in byte order].
    #[arg(long, value_name = "LABEL", allow_hyphen_values = true, help_heading = "Data")]
    pub(in crate::cli) positive: Option<String>,
    /// A column of sample weights: a row of weight 2 counts as two rows.
    #[arg(long, value_name = "COL", help_heading = "Data")]
    pub(in crate::cli) weight: Option<String>,
    /// A column added to the linear predictor as it is, with a coefficient of 1.
    #[arg(long, value_name = "COL", help_heading = "Data")]
    pub(in crate::cli) offset: Option<String>,
    /// Multiply the weights of rows by their class: `balanced` makes classes weigh the same, LABEL=X,.. gives factors.
    #[arg(long, value_name = "balanced|LABEL=X,..", allow_hyphen_values = true, help_heading = "Data")]
    pub(in crate::cli) class_weight: Option<String>,
    /// Use only these columns as features [default: all that have no other use].
    #[arg(long, value_name = "COL,..", value_delimiter = ',', help_heading = "Data")]
    pub(in crate::cli) features: Vec<String>,
    /// Leave these columns out of the features.
    #[arg(long, value_name = "COL,..", value_delimiter = ',', help_heading = "Data")]
    pub(in crate::cli) drop: Vec<String>,
    /// Take these columns as categories although they hold numbers.
    #[arg(long, value_name = "COL,..", value_delimiter = ',', help_heading = "Data")]
    pub(in crate::cli) categorical: Vec<String>,
    /// Columns of a category: reference makes none of its first level, full makes one of each; auto is full where there is a penalty, else
    /// reference.
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Data")]
    pub(in crate::cli) encoding: EncodingArg,
    /// Most levels that a category may have; more are an error.
    #[arg(long, value_name = "N", default_value_t = MAX_LEVELS, help_heading = "Data")]
    pub(in crate::cli) max_levels: usize,
    /// Hash the levels of categories that have more than --max-levels into 2^B features.
    #[arg(long, value_name = "B", help_heading = "Data")]
    pub(in crate::cli) hash_bits: Option<u32>,
    /// Missing values: error stops and says where, drop leaves the row out, mean puts in the column's mean (of a category the shares of
    /// its levels).
    #[arg(long, value_name = "HOW", default_value = "error", help_heading = "Data")]
    pub(in crate::cli) missing: MissingArg,
    /// The files have no header: columns are called c1, c2, …
    #[arg(long, help_heading = "Data")]
    pub(in crate::cli) no_header: bool,
    /// Format of the files [default: by their ending].
    #[arg(long, value_name = "FORMAT", help_heading = "Data")]
    pub(in crate::cli) format: Option<FormatArg>,
    /// Memory to use, as 512M or 8G; rows that take more than half of it go to a file, which each pass and the next fit read [default:
    /// most of what is available].
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Memory")]
    pub(in crate::cli) memory: Option<u64>,
    /// Folder of such files [default: gpulogit in the user's cache folder].
    #[arg(long, value_name = "DIR", help_heading = "Memory")]
    pub(in crate::cli) cache_dir: Option<PathBuf>,
    /// Do not keep that file for the next fit, and use none that was kept.
    #[arg(long, help_heading = "Memory")]
    pub(in crate::cli) no_cache: bool,
    /// Targets of the rows of an X.npy.
    #[arg(long, value_name = "Y.npy", help_heading = "Data")]
    pub(in crate::cli) target_file: Option<PathBuf>,
    /// Sample weights of the rows of an X.npy.
    #[arg(long, value_name = "W.npy", help_heading = "Data")]
    pub(in crate::cli) weight_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum EncodingArg {
    Auto,
    Full,
    Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum MissingArg {
    Error,
    Drop,
    Mean,
}

impl From<MissingArg> for Missing {
    fn from(missing: MissingArg) -> Self {
        match missing {
            MissingArg::Error => Missing::Error,
            MissingArg::Drop => Missing::Drop,
            MissingArg::Mean => Missing::Mean,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum FormatArg {
    Csv,
    Tsv,
    Parquet,
    Arrow,
    Npy,
    Svmlight,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Format::Csv,
            FormatArg::Tsv => Format::Tsv,
            FormatArg::Parquet => Format::Parquet,
            FormatArg::Arrow => Format::Arrow,
            FormatArg::Npy => Format::Npy,
            FormatArg::Svmlight => Format::Svmlight,
        }
    }
}

impl DataArgs {
    /// As the data room takes it; `penalised` decides what `--encoding auto` means.
    pub(in crate::cli) fn options(&self, penalised: bool, holdout: Option<f64>, seed: u64) -> Result<DataOptions> {
        if self.files.is_empty() {
            return Err(Error::Usage("name at least one file of rows".into()));
        }
        Ok(DataOptions {
            target: self.target.clone(),
            target_file: self.target_file.clone(),
            weight_file: self.weight_file.clone(),
            weight: self.weight.clone(),
            offset: self.offset.clone(),
            fold: None,
            fold_file: None,
            cluster: None,
            cluster_file: None,
            features: trimmed(&self.features),
            drop: trimmed(&self.drop),
            categorical: trimmed(&self.categorical),
            encoding: match self.encoding {
                EncodingArg::Full => Encoding::Full,
                EncodingArg::Reference => Encoding::Reference,
                EncodingArg::Auto if penalised => Encoding::Full,
                EncodingArg::Auto => Encoding::Reference,
            },
            max_levels: self.max_levels,
            hash_bits: self.hash_bits,
            missing: self.missing.into(),
            no_header: self.no_header,
            format: self.format.map(Format::from),
            positive: self.positive.clone(),
            class_weight: class_weight(self.class_weight.as_deref())?,
            holdout,
            seed,
            memory: self.memory,
            cache_dir: self.cache_dir.clone(),
            no_cache: self.no_cache,
            pack: PackOptions::default(),
            team: None,
        })
    }
}

/// Names from a list as people type it, `a, b`; names in files have no blanks around them either.
pub(in crate::cli) fn trimmed(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.trim().to_owned()).collect()
}

fn class_weight(text: Option<&str>) -> Result<ClassWeight> {
    let Some(text) = text else { return Ok(ClassWeight::None) };
    if text == "balanced" {
        return Ok(ClassWeight::Balanced);
    }
    let pairs = text.split(',').map(|pair| {
        // The label may hold `=` itself; the number cannot.
        let (label, number) = pair.rsplit_once('=')?;
        Some((label.to_owned(), number.trim().parse::<f64>().ok()?))
    });
    pairs.collect::<Option<Vec<_>>>().map(ClassWeight::Labels).ok_or_else(|| {
        Error::Usage(format!("--class-weight {text:?} is neither `balanced` nor a list such as yes=2,no=1"))
    })
}

/// What says a group of each row: a column of the data or, where it ends as a matrix does, a file beside one.
pub(super) fn column_or_file(given: &Option<String>) -> (Option<String>, Option<PathBuf>) {
    match given {
        Some(file) if Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) => {
            (None, Some(file.into()))
        }
        column => (column.clone(), None),
    }
}
