//! Exit codes, all in one place.

use std::process::ExitCode;

use crate::certificate::Status;
use crate::error::Error;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 0: done.
    Done,
    /// 1: ran, but did not converge, a check failed or the result could not be written where it was to go; what was computed says so.
    NotGood,
    /// 2: bad input or usage.
    BadInput,
    /// 3: no usable device.
    NoDevice,
    /// 130: interrupted by the user.
    Interrupted,
}

impl Outcome {
    /// That of a fit; `strict` is whether it is no success that no optimum exists.
    pub(super) fn of_fit(status: Status, strict: bool) -> Self {
        match status {
            Status::Converged => Outcome::Done,
            Status::Separated if strict => Outcome::NotGood,
            Status::Separated => Outcome::Done,
            Status::MaxIterations | Status::Stalled => Outcome::NotGood,
            Status::Interrupted => Outcome::Interrupted,
        }
    }
}

impl Outcome {
    /// Its exit code.
    pub(super) fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::NotGood => 1,
            Outcome::BadInput => 2,
            Outcome::NoDevice => 3,
            Outcome::Interrupted => 130,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome.code())
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            Error::Io { .. } | Error::Data { .. } | Error::Usage(_) | Error::Model { .. } => Outcome::BadInput,
            Error::NoDevice(_) => Outcome::NoDevice,
            Error::Device(_) | Error::Numerics(_) | Error::Rank(_) | Error::Write { .. } => Outcome::NotGood,
        }
    }
}
