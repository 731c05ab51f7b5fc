//! The arguments that say what is inferred of a fit.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::data::column_or_file;
use super::{DataArgs, FitArgs, L2Arg};
use crate::data::{DataOptions, Training};
use crate::error::{Error, Result};
use crate::fit::{Inferring, no_inference_of_penalised};
use crate::inference::Estimator;

/// What is inferred of a fit.
#[derive(Debug, Args)]
pub(in crate::cli) struct InferenceArgs {
    /// Standard errors, z, p, intervals, odds ratios, deviances, AIC and BIC of a fit without a penalty, printed and kept in the
    /// model for `gpulogit summary`.
    #[arg(long, conflicts_with = "no_verify", help_heading = "Intervals")]
    pub(in crate::cli) inference: bool,
    /// Covariance of the estimates: by the model, or robust to a wrong one (hc0; hc1 times n/(n−k)) [default: model].
    #[arg(long, value_name = "KIND", requires = "inference", conflicts_with = "firth", help_heading = "Intervals")]
    covariance: Option<CovarianceArg>,
    /// Covariance of rows that depend on each other within clusters: a column of the data that names them, or for an X.npy a file.
    #[arg(
        long,
        value_name = "COL|CLUSTER.npy",
        requires = "inference",
        conflicts_with_all = ["covariance", "firth"],
        help_heading = "Intervals"
    )]
    cluster: Option<String>,
    /// Intervals and tests by profile likelihood beside estimate ± z·se: better in small samples, many times the work.
    #[arg(long, requires = "inference", help_heading = "Intervals")]
    profile: bool,
    /// Write what each row does to the estimates to this file (CSV): residuals, leverage, Cook's distance.
    #[arg(long, value_name = "FILE", requires = "inference", help_heading = "Checking")]
    pub(in crate::cli) influence: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CovarianceArg {
    Model,
    Hc0,
    Hc1,
}

impl InferenceArgs {
    /// Holds the arguments to fit each other, the data's and the fit's.
    ///
    /// # Errors
    /// [`Error::Usage`] where they do not.
    pub(in crate::cli) fn check(&self, data: &DataArgs, fit: &FitArgs) -> Result<()> {
        if self.inference && (fit.l1 != 0.0 || fit.l2 != L2Arg::Is(0.0)) {
            return Err(no_inference_of_penalised());
        }
        if self.inference && data.class_weight.is_some() {
            return Err(Error::Usage(
                "--inference takes weights for counts of rows, and --class-weight counts rows that nobody observed: leave one of \
                 them out"
                    .into(),
            ));
        }
        let robust = self.cluster.is_some() || matches!(self.covariance, Some(CovarianceArg::Hc0 | CovarianceArg::Hc1));
        if self.profile && robust {
            return Err(Error::Usage(
                "--profile intervals are those of the model's likelihood, which robust standard errors do not rely on: leave \
                 one of them out"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Has the clusters read that are given.
    pub(in crate::cli) fn read_clusters(&self, options: &mut DataOptions) {
        (options.cluster, options.cluster_file) = column_or_file(&self.cluster);
    }

    /// What to infer of a fit of `training`, if anything, with intervals at `level`.
    pub(in crate::cli) fn inferring<'a>(&self, training: &'a Training, level: f64) -> Option<Inferring<'a>> {
        let covariance = match (self.covariance, &training.clusters) {
            (_, Some(clusters)) => Estimator::Cluster(clusters),
            (None | Some(CovarianceArg::Model), None) => Estimator::Model,
            (Some(CovarianceArg::Hc0), None) => Estimator::Hc0,
            (Some(CovarianceArg::Hc1), None) => Estimator::Hc1,
        };
        self.inference.then(|| Inferring { covariance, profile: self.profile.then_some(level) })
    }
}
