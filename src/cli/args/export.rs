//! The arguments of exports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Common;
use crate::export::Language;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// The model that `gpulogit train` wrote.
    pub(in crate::cli) model: PathBuf,
    /// What to write.
    #[arg(long, value_name = "LANGUAGE")]
    pub(in crate::cli) to: LanguageArg,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LanguageArg {
    /// A graph in double precision for ONNX runtimes.
    Onnx,
    /// A PMML 4.4 document.
    Pmml,
    /// One query over a table, for SQLite and DuckDB.
    Sql,
    /// One C99 file to include.
    C,
    /// One module without dependencies, which is a program for CSV too.
    Python,
    /// The JSON Schema of the rows that the Python module takes, and of what it returns.
    JsonSchema,
}

impl From<LanguageArg> for Language {
    fn from(language: LanguageArg) -> Self {
        match language {
            LanguageArg::Onnx => Language::Onnx,
            LanguageArg::Pmml => Language::Pmml,
            LanguageArg::Sql => Language::Sql,
            LanguageArg::C => Language::C,
            LanguageArg::Python => Language::Python,
            LanguageArg::JsonSchema => Language::JsonSchema,
        }
    }
}
