//! The arguments of cross-validation, and what they ask for.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Common, DataArgs, OptimumArgs};
use crate::data::{DataOptions, Folds, Training};
use crate::error::Result;
use crate::fit::{CrossValidation, FitOptions, Penalties, Score, cross_validate};
use crate::monitor::Monitor;

#[derive(Debug, Args)]
pub(in crate::cli) struct CvArgs {
    #[command(flatten)]
    pub(in crate::cli) data: DataArgs,
    #[command(flatten)]
    pub(in crate::cli) grid: GridArgs,
    /// Write the model of the chosen penalty, fitted to all rows, to this file.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(in crate::cli) model: Option<PathBuf>,
    /// Write the curve to this file as CSV: a row for each penalty.
    #[arg(long, value_name = "FILE.csv", help_heading = "Results")]
    pub(in crate::cli) table: Option<PathBuf>,
    /// Draw the curve into this file.
    #[arg(long, value_name = "FILE.svg", help_heading = "Results")]
    pub(in crate::cli) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) optimum: OptimumArgs,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

/// Folds and penalties where nothing says otherwise.
const FOLDS: usize = 5;
const PENALTIES: usize = 10;

/// Which penalties are tried, on which folds, and how one is chosen.
#[derive(Debug, Args)]
pub(in crate::cli) struct GridArgs {
    /// Folds, each class dealt to them evenly [default: 5].
    #[arg(long, value_name = "K", allow_hyphen_values = true, help_heading = "Choosing the penalty")]
    folds: Option<usize>,
    /// Folds that are given: a column of the data, or for an X.npy a file.
    #[arg(long, value_name = "COL|FOLD.npy", conflicts_with = "folds", help_heading = "Choosing the penalty")]
    fold: Option<String>,
    /// Penalties to try, from one that leaves next to nothing of any coefficient to one that nearly leaves them as they are
    /// [default: 10].
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Choosing the penalty")]
    penalties: Option<usize>,
    /// The penalties to try.
    #[arg(
        long,
        value_name = "A,B,..",
        value_delimiter = ',',
        allow_hyphen_values = true,
        conflicts_with = "penalties",
        help_heading = "Choosing the penalty"
    )]
    l2_grid: Vec<f64>,
    /// What the choice goes by [default: log-loss].
    #[arg(long, value_name = "SCORE", help_heading = "Choosing the penalty")]
    metric: Option<ScoreArg>,
    /// The penalty of the model: the one of the best mean, or the largest within one standard error of it [default: best].
    #[arg(long, value_name = "WHICH", help_heading = "Choosing the penalty")]
    choose: Option<ChoiceArg>,
}

impl GridArgs {
    /// Whether every model is penalised.
    pub(in crate::cli) fn is_penalised(&self) -> bool {
        self.l2_grid.iter().all(|l2| *l2 > 0.0)
    }

    /// Whether any model is penalised.
    pub(in crate::cli) fn is_penalty(&self) -> bool {
        self.l2_grid.is_empty() || self.l2_grid.iter().any(|l2| *l2 != 0.0)
    }

    /// An option that was given, if any was.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        [
            (self.folds.is_some(), "--folds"),
            (self.fold.is_some(), "--fold"),
            (self.penalties.is_some(), "--penalties"),
            (!self.l2_grid.is_empty(), "--l2-grid"),
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
        match &self.fold {
            Some(file) if Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) => {
                options.fold_file = Some(file.into());
            }
            fold => options.fold.clone_from(fold),
        }
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
                dealt = Folds::deal(&training.train, self.folds.unwrap_or(FOLDS), seed)?;
                &dealt
            }
        };
        let penalties = match self.l2_grid.as_slice() {
            [] => Penalties::Count(self.penalties.unwrap_or(PENALTIES)),
            grid => Penalties::Grid(grid.to_vec()),
        };
        let score = match self.metric {
            None | Some(ScoreArg::LogLoss) => Score::LogLoss,
            Some(ScoreArg::Auc) => Score::Auc,
            Some(ScoreArg::Accuracy) => Score::Accuracy,
        };
        cross_validate(training, folds, &penalties, score, options, monitor)
    }

    /// The penalty that is chosen.
    pub(in crate::cli) fn chosen(&self, cv: &CrossValidation) -> f64 {
        match self.choose {
            None | Some(ChoiceArg::Best) => cv.l2[cv.best],
            Some(ChoiceArg::OneSe) => cv.l2[cv.one_se],
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
