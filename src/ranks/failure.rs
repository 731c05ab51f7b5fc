//! Errors as messages carry them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Place};

/// An [`Error`] of one rank, to be told by another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Failure {
    Io(PathBuf, String),
    Write(PathBuf, String),
    Data { file: PathBuf, line: Option<u64>, column: Option<String>, message: String },
    Usage(String),
    Model(PathBuf, String),
    NoDevice(String),
    Device(String),
    Numerics(String),
    Rank(String),
}

impl Failure {
    /// What `rank` failed with; errors that are about its machine say which rank that is.
    pub(crate) fn of(error: &Error, rank: usize) -> Self {
        let of_rank = |message: &str| match rank {
            0 => message.to_owned(),
            rank => format!("{message} (rank {rank})"),
        };
        match error {
            Error::Io { path, source } => Failure::Io(path.clone(), of_rank(&source.to_string())),
            Error::Write { path, source } => Failure::Write(path.clone(), of_rank(&source.to_string())),
            Error::Data { place, message } => Failure::Data {
                file: place.file.clone(),
                line: place.line,
                column: place.column.clone(),
                message: message.clone(),
            },
            Error::Usage(message) => Failure::Usage(message.clone()),
            Error::Model { path, message } => Failure::Model(path.clone(), message.clone()),
            Error::NoDevice(message) => Failure::NoDevice(of_rank(message)),
            Error::Device(message) => Failure::Device(of_rank(message)),
            Error::Numerics(message) => Failure::Numerics(message.clone()),
            Error::Rank(message) => Failure::Rank(message.clone()),
        }
    }
}

impl Failure {
    /// The error again.
    pub(crate) fn error(self) -> Error {
        match self {
            Failure::Io(path, said) => Error::Io { path, source: std::io::Error::other(said) },
            Failure::Write(path, said) => Error::Write { path, source: std::io::Error::other(said) },
            Failure::Data { file, line, column, message } => {
                Error::Data { place: Place { file, line, column }, message }
            }
            Failure::Usage(message) => Error::Usage(message),
            Failure::Model(path, message) => Error::Model { path, message },
            Failure::NoDevice(message) => Error::NoDevice(message),
            Failure::Device(message) => Error::Device(message),
            Failure::Numerics(message) => Error::Numerics(message),
            Failure::Rank(message) => Error::Rank(message),
        }
    }
}
