//! The argument that asks for a page.

use std::path::PathBuf;

use clap::Args;

/// A page of what was computed.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// Write a page of HTML too, with pictures of what was computed: one file that needs no network (docs/report.md).
    #[arg(long, value_name = "FILE.html")]
    pub(in crate::cli) report: Option<PathBuf>,
}
