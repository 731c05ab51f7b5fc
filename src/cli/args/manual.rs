//! The arguments of completions and manual pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::Common;

/// What to try first.
pub(in crate::cli) const FIRST_STEPS: [&str; 3] = [
    "gpulogit explain",
    "gpulogit train data/titanic.csv --target survived --missing mean",
    "gpulogit predict model.json data/titanic.csv",
];
/// Exit codes and what they say; see `Outcome`.
pub(in crate::cli) const EXIT_CODES: [(&str, &str); 5] = [
    ("0", "done"),
    ("1", "did not converge, or a check failed"),
    ("2", "bad input"),
    ("3", "no usable device"),
    ("130", "interrupted"),
];

/// What stands below the list of commands.
pub(super) fn after_help() -> String {
    let steps = FIRST_STEPS.map(|step| format!("  {step}")).join("\n");
    let codes = EXIT_CODES.map(|(code, meaning)| format!("  {code:<3}  {meaning}")).join("\n");
    format!("First steps:\n{steps}\n\nExit codes:\n{codes}")
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell that the script is for.
    pub(in crate::cli) shell: Shell,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Folder for all pages, made where there is none [default: the main page alone, to stdout].
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
