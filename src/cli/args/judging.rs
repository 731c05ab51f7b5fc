//! The arguments that say which metrics are told.

use clap::Args;

use crate::error::{Error, Result};
use crate::metrics::Cost;

/// Which metrics are told.
#[derive(Debug, Args)]
pub(in crate::cli) struct JudgingArgs {
    /// Find the threshold at which wrong labels cost least, given what a false positive and a false negative cost, as 1:5.
    #[arg(long, value_name = "FP:FN", allow_hyphen_values = true, help_heading = "Metrics")]
    pub(in crate::cli) cost: Option<Cost>,
    /// Tell the metrics of each group of rows too, by the values of this column.
    #[arg(long, value_name = "COL", help_heading = "Metrics")]
    pub(in crate::cli) by: Option<String>,
    /// Print tables of thresholds, of lift and of the bins of calibration too (--json has them anyway).
    #[arg(long, help_heading = "Metrics")]
    pub(in crate::cli) tables: bool,
}

impl JudgingArgs {
    /// An option that was given, if any was.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        self.for_two_classes().or(self.by.is_some().then_some("--by"))
    }

    /// An option that was given and is for two classes, if any was.
    fn for_two_classes(&self) -> Option<&'static str> {
        self.cost.is_some().then_some("--cost").or(self.tables.then_some("--tables"))
    }

    /// Holds the options to be of use for a target of so many classes.
    pub(in crate::cli) fn check_for(&self, classes: usize) -> Result<()> {
        match self.for_two_classes() {
            Some(option) if classes > 2 => {
                Err(Error::Usage(format!("{option} is for two classes, and the target has {classes}; leave it out")))
            }
            _ => Ok(()),
        }
    }
}
