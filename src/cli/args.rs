//! The arguments as typed on the command line; see each command's `run` for their meaning.

mod cv;
mod data;
mod export;
mod factors;
mod inference;
mod judging;
mod machine;
mod manual;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use cv::{CvArgs, GridArgs, PathArgs};
pub(super) use data::{DataArgs, FormatArg, MissingArg, trimmed};
pub(super) use export::ExportArgs;
pub(super) use judging::JudgingArgs;
pub(super) use machine::{BenchArgs, CacheArgs, DevicesArgs, ExplainArgs, ValidateArgs};
pub(super) use manual::{CompletionsArgs, EXIT_CODES, FIRST_STEPS, ManArgs};

use factors::{FactorArg, factors_of};
use inference::InferenceArgs;
use manual::after_help;
use report::ReportArgs;

use super::size;
use crate::data::Training;
use crate::engine::DeviceRequest;
use crate::error::{Error, Result};
use crate::fit::FitOptions;
use crate::model::Model;

/// Logistic regression on any GPU, or on the CPU, to an optimum proved in f64.
#[derive(Debug, Parser)]
#[command(name = "gpulogit", version, max_term_width = 110, arg_required_else_help = true, after_help = after_help())]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fit a model to files of rows and write it.
    #[command(override_usage = "gpulogit train [OPTIONS] --target <COL> <DATA>...")]
    Train(Box<TrainArgs>),
    /// Choose a penalty by cross-validation: fit a grid of them without each fold, all in the same reads of the data.
    #[command(override_usage = "gpulogit cv [OPTIONS] --target <COL> <DATA>...")]
    Cv(Box<CvArgs>),
    /// Fit every penalty of a grid to all rows at once: which coefficients stay at zero, and how the others grow.
    #[command(override_usage = "gpulogit path [OPTIONS] --target <COL> <DATA>...")]
    Path(Box<PathArgs>),
    /// Print what `train --inference` found: standard errors, tests, intervals, deviances.
    Summary(SummaryArgs),
    /// Predict with a model: probability and label of each row, as CSV or Parquet.
    Predict(PredictArgs),
    /// Measure a model on labelled rows: log loss, ROC AUC, calibration, errors at a threshold.
    Evaluate(EvaluateArgs),
    /// Write a model for other systems: ONNX, PMML, SQL, C, Python, or the JSON Schema of its rows.
    Export(ExportArgs),
    /// Compare every engine here with the CPU reference, kernel by kernel, on made-up rows or on yours.
    Validate(Box<ValidateArgs>),
    /// Measure each engine here: kernels beside the device's bandwidth, whole fits, CPU against GPU.
    Bench(Box<BenchArgs>),
    /// List what can compute here, and what `--device auto` takes and why.
    Devices(DevicesArgs),
    /// List the rows that memory did not hold and that are kept for the next fit, or remove them.
    Cache(CacheArgs),
    /// Work the method through on a small example, with its numbers.
    Explain(ExplainArgs),
    /// Print a script that completes commands and options in a shell.
    Completions(CompletionsArgs),
    /// Write the manual as man pages: gpulogit.1, and one for each command.
    Man(ManArgs),
}

impl Command {
    pub(super) fn common(&self) -> &Common {
        match self {
            Command::Train(args) => &args.common,
            Command::Cv(args) => &args.common,
            Command::Path(args) => &args.common,
            Command::Summary(args) => &args.common,
            Command::Predict(args) => &args.common,
            Command::Evaluate(args) => &args.common,
            Command::Validate(args) => &args.common,
            Command::Bench(args) => &args.common,
            Command::Devices(args) => &args.common,
            Command::Cache(args) => &args.common,
            Command::Explain(args) => &args.common,
            Command::Export(args) => &args.common,
            Command::Completions(args) => &args.common,
            Command::Man(args) => &args.common,
        }
    }
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// What computes: auto (a real GPU, or the CPU engine where there is none), cpu, gpu, or the id or name of an adapter (see `gpulogit
    /// devices`).
    #[arg(long, default_value = "auto", value_name = "DEVICE", help_heading = "Running")]
    pub(super) device: String,
    /// Threads of the CPU engine [default: one a core].
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Running")]
    pub(super) threads: Option<usize>,
    /// Print one JSON object on stdout, and nothing else there.
    #[arg(long, help_heading = "Running")]
    pub(super) json: bool,
    /// Say nothing on stderr but warnings and errors.
    #[arg(long, short, conflicts_with = "verbose", help_heading = "Running")]
    pub(super) quiet: bool,
    /// Say more on stderr: a line for each iteration.
    #[arg(long, short, help_heading = "Running")]
    pub(super) verbose: bool,
}

impl Common {
    /// What `--device` asks for.
    pub(super) fn device(&self) -> DeviceRequest {
        match self.device.to_ascii_lowercase().as_str() {
            "auto" => DeviceRequest::Auto,
            "cpu" => DeviceRequest::Cpu,
            "gpu" => DeviceRequest::Gpu,
            _ => DeviceRequest::Named(self.device.clone()),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Write the model to this file [default: model.json, with --replay none].
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    model: Option<PathBuf>,
    #[command(flatten)]
    pub(super) page: ReportArgs,
    #[command(flatten)]
    pub(super) fit: FitArgs,
    #[command(flatten)]
    pub(super) grid: GridArgs,
    /// Fit this many bootstrap replicates as well, for intervals of the coefficients and of the log loss.
    #[arg(long, value_name = "B", allow_hyphen_values = true, help_heading = "Intervals")]
    pub(super) bootstrap: Option<usize>,
    #[command(flatten)]
    pub(super) inference: InferenceArgs,
    /// Confidence of the intervals, between 0 and 1; with --bootstrap the share of the replicates within them [default: 0.95].
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Intervals")]
    pub(super) level: Option<f64>,
    /// Keep the best point so far in this file while the fit runs; the file is removed when the fit is done.
    #[arg(long, value_name = "FILE", help_heading = "Fitting")]
    pub(super) checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint, if there is one.
    #[arg(long, requires = "checkpoint", help_heading = "Fitting")]
    pub(super) resume: bool,
    /// Keep this fraction of the rows, as 0.2, out of the fit and report metrics on them; --seed decides which.
    #[arg(
        long,
        value_name = "FRACTION",
        allow_hyphen_values = true,
        conflicts_with = "test",
        help_heading = "Checking"
    )]
    pub(super) holdout: Option<f64>,
    /// Report metrics on the rows of this file, which are not trained on.
    #[arg(long, value_name = "FILE", help_heading = "Checking")]
    pub(super) test: Option<PathBuf>,
    #[command(flatten)]
    pub(super) judging: JudgingArgs,
    /// Say of the data how the classes are shared, what is missing, and how nearly columns repeat each other (condition number, VIF).
    #[arg(long, help_heading = "Checking")]
    pub(super) diagnostics: bool,
    /// Do the fit that this model records once more, and end with exit code 1 where it does not come to the same.
    #[arg(long, value_name = "MODEL", help_heading = "Checking")]
    pub(super) replay: Option<PathBuf>,
    /// End with exit code 1 where no optimum exists (separated classes), not with a warning only.
    #[arg(long, conflicts_with = "no_verify", help_heading = "Checking")]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

impl TrainArgs {
    /// Where the model is to be written, if it is.
    pub(super) fn model(&self) -> Option<&Path> {
        self.model.as_deref().or(if self.replay.is_some() { None } else { Some(Path::new("model.json")) })
    }
}

/// How to fit one model.
#[derive(Debug, Args)]
pub(super) struct FitArgs {
    /// The method: gd is gradient descent as in `gpulogit explain`; auto chooses newton or lbfgs by the size of the data.
    #[arg(long, default_value = "auto", value_name = "METHOD", help_heading = "Fitting")]
    pub(super) solver: SolverArg,
    /// How more than two classes are fitted: softmax all at once, ovr each against the rest [default: softmax].
    #[arg(long, value_name = "HOW", help_heading = "Fitting")]
    pub(super) multi: Option<MultiArg>,
    /// Penalty ½·X·‖β‖² (1/C of scikit-learn), never on the intercept; auto chooses it by cross-validation, as `gpulogit cv` does.
    #[arg(long, default_value = "0", value_name = "X|auto", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) l2: L2Arg,
    /// Penalty X·‖β‖₁, never on the intercept, which makes coefficients exactly zero; with --l2 an elastic net.
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) l1: f64,
    /// Firth's penalised likelihood: less biased in small samples, and finite where classes are separated; computed on the CPU.
    #[arg(
        long,
        conflicts_with_all = ["l1", "l2", "penalty_factor", "bootstrap", "multi", "no_verify", "checkpoint"],
        help_heading = "Fitting"
    )]
    pub(super) firth: bool,
    /// With --solver gd: η of w := w − η∇J, on standardised columns [default: 1/L for a bound L on the curvature].
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) learning_rate: Option<f64>,
    /// Starting point: zeros, random (see --seed), or that of a model file.
    #[arg(long, default_value = "zeros", value_name = "zeros|random|MODEL", help_heading = "Fitting")]
    pub(super) init: String,
    #[command(flatten)]
    pub(super) optimum: OptimumArgs,
}

/// What an optimum is, and how far to go for it.
#[derive(Debug, Args)]
pub(super) struct OptimumArgs {
    /// Multiply the penalty of a feature, or of all features of a column, by F; 0 leaves it without a penalty [default: 1].
    #[arg(long, value_name = "COL=F,..", value_delimiter = ',', allow_hyphen_values = true, help_heading = "Fitting")]
    penalty_factor: Vec<FactorArg>,
    /// Fit no intercept.
    #[arg(long, help_heading = "Fitting")]
    pub(super) no_intercept: bool,
    /// Iterations at the most [default: gd 10000, newton 100, else 1000].
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) max_iter: Option<usize>,
    /// Largest slope |∂J/∂βⱼ|/(Σs·sdⱼ) accepted at the returned point (s: weights, sdⱼ: standard deviation of column j).
    #[arg(long, default_value = "1e-8", value_name = "X", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) tol: f64,
    /// Memory of a GPU to use, as 512M or 8G; rows beyond it are sent anew in each pass [default: as much as they need].
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Memory")]
    pub(super) device_memory: Option<u64>,
    /// Seed of everything random: --init random, --holdout, --folds, --bootstrap.
    #[arg(long, default_value_t = 0, value_name = "N", allow_hyphen_values = true, help_heading = "Fitting")]
    pub(super) seed: u64,
    /// Re-check and polish the answer in f64 on the host (the default).
    #[arg(long, overrides_with = "no_verify", help_heading = "Fitting")]
    pub(super) verify: bool,
    /// Leave that out: the answer is the engine's own, without a certificate.
    #[arg(long, overrides_with = "verify", help_heading = "Fitting")]
    pub(super) no_verify: bool,
}

impl OptimumArgs {
    /// Holds a penalty to be there where factors of it are given.
    pub(super) fn check_factors(&self, is_penalty: bool) -> Result<()> {
        if self.penalty_factor.is_empty() || is_penalty {
            return Ok(());
        }
        Err(Error::Usage(
            "--penalty-factor multiplies a penalty, and there is none: add --l2 or --l1, or leave it out".into(),
        ))
    }

    /// Options of a fit of `training` on `device`, the rest by default.
    pub(super) fn options(&self, device: DeviceRequest, training: &Training) -> Result<FitOptions> {
        Ok(FitOptions {
            device,
            penalty_factors: factors_of(&self.penalty_factor, training)?,
            intercept: !self.no_intercept,
            max_iterations: self.max_iter,
            tolerance: self.tol,
            verify: !self.no_verify,
            device_memory: self.device_memory,
            ..FitOptions::default()
        })
    }
}

/// A penalty, or that it is to be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum L2Arg {
    Auto,
    Is(f64),
}

impl std::str::FromStr for L2Arg {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(L2Arg::Auto),
            number => number.parse().map(L2Arg::Is).map_err(|_| "it must be a number, or auto".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MultiArg {
    Softmax,
    Ovr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SolverArg {
    Auto,
    Gd,
    Lbfgs,
    Newton,
}

#[derive(Debug, Args)]
pub(super) struct SummaryArgs {
    /// The model that `gpulogit train --inference` wrote.
    pub(super) model: PathBuf,
    /// Confidence of the intervals, between 0 and 1 [default: 0.95, or that of the profile].
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(super) level: Option<f64>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// The model that `gpulogit train` wrote.
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) rows: RowArgs,
    /// Write to this file, .csv or .parquet, instead of CSV to stdout.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Input columns to write before the predictions.
    #[arg(long, value_name = "COL,..", value_delimiter = ',')]
    pub(super) keep: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Rows for a model that exists.
#[derive(Debug, Args)]
pub(super) struct RowArgs {
    /// Files of rows with the columns that the model was trained on, as for `gpulogit train`.
    #[arg(value_name = "DATA", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Probability from which on a row gets the positive label [default: 0.5]; of more than two classes the most probable is taken.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// The files have no header [default: as in training].
    #[arg(long, help_heading = "Data")]
    pub(super) no_header: bool,
    /// Format of the files [default: by their ending].
    #[arg(long, value_name = "FORMAT", help_heading = "Data")]
    pub(super) format: Option<FormatArg>,
}

impl RowArgs {
    /// Probability from which on a row gets the positive label.
    pub(super) fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(0.5)
    }

    /// Holds the arguments to be of use for `model`.
    pub(super) fn check_for(&self, model: &Model) -> Result<()> {
        match self.threshold {
            Some(_) if model.classes.len() > 2 => Err(Error::Usage(format!(
                "--threshold is for two classes; of the {} of this model the most probable is the label",
                model.classes.len()
            ))),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// The model that `gpulogit train` wrote.
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) rows: RowArgs,
    /// Targets of the rows of an X.npy.
    #[arg(long, value_name = "Y.npy", help_heading = "Data")]
    pub(super) target_file: Option<PathBuf>,
    /// Sample weights of the rows of an X.npy.
    #[arg(long, value_name = "W.npy", help_heading = "Data")]
    pub(super) weight_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) page: ReportArgs,
    #[command(flatten)]
    pub(super) judging: JudgingArgs,
    #[command(flatten)]
    pub(super) common: Common,
}
