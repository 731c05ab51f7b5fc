//! The arguments of cross-validation and of paths, and what they ask for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::data::column_or_file;
use super::{Common, DataArgs, OptimumArgs};
use crate::cli::output::write;
use crate::data::{DataOptions, Training};
use crate::error::Result;
use crate::fit::{CrossValidation, FitOptions, Lambda, Penalties, Score, cross_validate, deal_folds};
use crate::monitor::Monitor;

#[derive(Debug, Args)]
pub(in crate::cli) struct CvArgs {
    #[command(flatten)]
    pub(in crate::cli) data: DataArgs,
    #[command(flatten)]
    pub(in crate::cli) grid: GridArgs,
    /// Fit the chosen penalty to all rows and write that model to this file.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(in crate::cli) model: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) results: ResultArgs,
    #[command(flatten)]
    pub(in crate::cli) optimum: OptimumArgs,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

/// Folds and penalties where nothing says otherwise.
const FOLDS: usize = 5;
const PENALTIES: usize = 10;
const PENALTIES_OF_A_PATH: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct PathArgs {
    #[command(flatten)]
    pub(in crate::cli) data: DataArgs,
    #[command(flatten)]
    pub(in crate::cli) penalties: PenaltyArgs,
    #[command(flatten)]
    pub(in crate::cli) results: ResultArgs,
    #[command(flatten)]
    pub(in crate::cli) optimum: OptimumArgs,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

impl PathArgs {
    /// The penalties of the path.
    pub(in crate::cli) fn penalties(&self) -> Penalties {
        self.penalties.with_defaults(PENALTIES_OF_A_PATH, 1.0)
    }
}

/// Where the results go, beside the terminal.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResultArgs {
    /// Write a row for each penalty (of a path with all coefficients) to this file, as CSV.
    #[arg(long, value_name = "FILE.csv", help_heading = "Results")]
    table: Option<PathBuf>,
    /// Draw the curve, or the path, into this file, as SVG.
    #[arg(long, value_name = "FILE.svg", help_heading = "Results")]
    plot: Option<PathBuf>,
}

impl ResultArgs {
    /// The files that are written.
    pub(in crate::cli) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.table.iter().chain(&self.plot)
    }

    /// Writes what is asked for.
    pub(in crate::cli) fn write(
        &self,
        table: impl FnOnce() -> Result<String>,
        plot: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        self.table.as_ref().map_or(Ok(()), |file| write(file, &table()?))?;
        self.plot.as_ref().map_or(Ok(()), |file| write(file, &plot()?))
    }
}

/// A grid of penalties λ·(A·‖β‖₁ + ½·(1 − A)·‖β‖²).
#[derive(Debug, Args)]
pub(in crate::cli) struct PenaltyArgs {
    /// How many penalties λ to try, evenly on a logarithmic scale: from one that holds every coefficient at zero or near it down to one that
    /// hardly moves them [default: 10; of a path 100].
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Penalties")]
    penalties: Option<usize>,
    /// Try these penalties λ.
    #[arg(
        long,
        visible_alias = "l2-grid",
        value_name = "A,B,..",
        value_delimiter = ',',
        allow_hyphen_values = true,
        conflicts_with = "penalties",
        help_heading = "Penalties"
    )]
    grid: Vec<f64>,
    /// The part A of each that is l1: l1 = A·λ and l2 = (1 − A)·λ [default: 0; of a path 1].
    #[arg(long, value_name = "A", allow_hyphen_values = true, help_heading = "Penalties")]
    l1_ratio: Option<f64>,
}

impl PenaltyArgs {
    /// Whether every model is penalised.
    pub(in crate::cli) fn is_penalised(&self) -> bool {
        self.grid.iter().all(|lambda| *lambda > 0.0)
    }

    /// Whether any model is penalised.
    pub(in crate::cli) fn is_penalty(&self) -> bool {
        self.grid.is_empty() || self.grid.iter().any(|lambda| *lambda != 0.0)
    }

    fn with_defaults(&self, count: usize, l1_ratio: f64) -> Penalties {
        let lambda = match self.grid.as_slice() {
            [] => Lambda::Count(self.penalties.unwrap_or(count)),
            grid => Lambda::Given(grid.to_vec()),
        };
        Penalties { l1_ratio: self.l1_ratio.unwrap_or(l1_ratio), lambda }
    }
}

/// Which penalties are tried, on which folds, and how one is chosen.
#[derive(Debug, Args)]
pub(in crate::cli) struct GridArgs {
    /// How many folds, each class dealt to them evenly [default: 5].
    #[arg(long, value_name = "K", allow_hyphen_values = true, help_heading = "Choosing the penalty")]
    folds: Option<usize>,
    /// Take the folds from a column of the data, or for an X.npy from a file.
    #[arg(long, value_name = "COL|FOLD.npy", conflicts_with = "folds", help_heading = "Choosing the penalty")]
    fold: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) penalties: PenaltyArgs,
    /// What is judged on the rows left out [default: log-loss].
    #[arg(long, value_name = "SCORE", help_heading = "Choosing the penalty")]
    metric: Option<ScoreArg>,
    /// Which penalty is chosen: that of the best mean, or the largest within one standard error of it [default: best].
    #[arg(long, value_name = "WHICH", help_heading = "Choosing the penalty")]
    choose: Option<ChoiceArg>,
}

impl GridArgs {
    /// An option that was given, if any was.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        [
            (self.folds.is_some(), "--folds"),
            (self.fold.is_some(), "--fold"),
            (self.penalties.penalties.is_some(), "--penalties"),
            (!self.penalties.grid.is_empty(), "--grid"),
            (self.penalties.l1_ratio.is_some(), "--l1-ratio"),
            (self.metric.is_some(), "--metric"),
            (self.choose.is_some(), "--choose"),
        ]
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
    }

    /// Whether it was said which penalty is chosen.
    pub(in crate::cli) fn chooses(&self) -> bool {
        self.choose.is_some()
    }

    /// Has the folds read that are given.
    pub(in crate::cli) fn read_folds(&self, options: &mut DataOptions) {
        (options.fold, options.fold_file) = column_or_file(&self.fold);
    }

    /// Cross-validates the penalties on the rows to fit; `seed` decides the folds where they are not given.
    pub(in crate::cli) fn cross_validate(
        &self,
        training: &Training,
        options: &FitOptions,
        seed: u64,
        monitor: &dyn Monitor,
    ) -> Result<CrossValidation> {
        let dealt;
        let folds = match &training.folds {
            Some(folds) => folds,
            None => {
                dealt = deal_folds(&training.train, self.folds.unwrap_or(FOLDS), seed)?;
                &dealt
            }
        };
        let score = match self.metric {
            None | Some(ScoreArg::LogLoss) => Score::LogLoss,
            Some(ScoreArg::Auc) => Score::Auc,
            Some(ScoreArg::Accuracy) => Score::Accuracy,
        };
        cross_validate(training, folds, &self.penalties.with_defaults(PENALTIES, 0.0), score, options, monitor)
    }

    /// Number of the penalty that is chosen.
    pub(in crate::cli) fn chosen(&self, cv: &CrossValidation) -> usize {
        match self.choose {
            None | Some(ChoiceArg::Best) => cv.best,
            Some(ChoiceArg::OneSe) => cv.one_se,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScoreArg {
    LogLoss,
    Auc,
    Accuracy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChoiceArg {
    Best,
    OneSe,
}
