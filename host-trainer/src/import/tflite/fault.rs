//! Why a file is refused: it is broken, or more than is supported.

use super::FORMAT;
use crate::import::{ImportError, Problem};

/// Why an operator cannot be imported.
pub(super) enum Fault {
    /// The file is broken.
    Malformed(String),
    /// It is not supported.
    Unsupported(String, Option<&'static str>),
}

pub(super) type Step<T> = Result<T, Fault>;

impl From<planus::Error> for Fault {
    fn from(error: planus::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Fault> for ImportError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(reason) => malformed(reason),
            Fault::Unsupported(reason, nearest) => {
                Self::Unsupported(vec![Problem { place: "file".to_owned(), reason, nearest }])
            }
        }
    }
}

pub(super) fn malformed(reason: impl Into<String>) -> ImportError {
    ImportError::Malformed { format: FORMAT, reason: reason.into() }
}

pub(super) fn broken<T>(reason: impl Into<String>) -> Step<T> {
    Err(Fault::Malformed(reason.into()))
}

pub(super) fn unsupported<T>(reason: impl Into<String>) -> Step<T> {
    Err(Fault::Unsupported(reason.into(), None))
}

pub(super) fn nearest<T>(reason: impl Into<String>, nearest: &'static str) -> Step<T> {
    Err(Fault::Unsupported(reason.into(), Some(nearest)))
}

pub(super) fn require(holds: bool, reason: &str) -> Step<()> {
    if holds { Ok(()) } else { unsupported(reason) }
}
