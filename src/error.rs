//! What can go wrong, as types. Library code returns these and never panics on input or prints.

use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can end a command early. The text of each is one sentence (with a remedy where there is one),
/// ready to follow `error: ` on a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was computed cannot be written, as where a disk is full.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file, or what else it was to go to.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content of a data file is unusable at a stated place.
    #[error("{place}: {message}")]
    Data {
        /// Where: file, line and column, as far as they are known.
        place: Place,
        /// What is wrong and what would mend it.
        message: String,
    },
    /// Options that do not fit each other or the data.
    #[error("{0}")]
    Usage(String),
    /// A model file that cannot be used.
    #[error("{}: {message}", path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// What is wrong and what would mend it.
        message: String,
    },
    /// No device answers the request.
    #[error("{0}")]
    NoDevice(String),
    /// A device failed while it was computing: lost, out of memory, timed out, or a driver error.
    #[error("device failure: {0}; --device cpu does without it")]
    Device(String),
    /// The numbers left the range that can be computed with.
    #[error("{0}")]
    Numerics(String),
    /// The processes that share the job cannot reach each other any more.
    #[error("the ranks of this job cannot go on: {0}")]
    Rank(String),
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    /// An [`Error::Write`] about `path`.
    pub fn write(path: &Path, source: std::io::Error) -> Self {
        Error::Write { path: path.to_path_buf(), source }
    }

    /// An [`Error::Data`] about the whole of `path`.
    pub fn data(path: &Path, message: impl Into<String>) -> Self {
        Error::Data { place: Place { file: path.to_path_buf(), line: None, column: None }, message: message.into() }
    }
}

/// A place in a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1 with the header as line 1; for an array file the row, counted from 1.
    pub line: Option<u64>,
    /// The column's name.
    pub column: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        Ok(())
    }
}
