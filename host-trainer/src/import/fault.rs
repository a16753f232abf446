//! What readers of every format say about what they cannot read.

use super::{ImportError, Problem};

/// Why an operator cannot be imported.
pub(super) enum Fault {
    /// The file is broken.
    Malformed(String),
    /// It is not supported.
    Unsupported(String, Option<&'static str>),
}

pub(super) type Step<T> = Result<T, Fault>;

impl Fault {
    /// The error of a whole file of this format.
    pub(super) fn of_file(self, format: &'static str) -> ImportError {
        match self {
            Self::Malformed(reason) => ImportError::Malformed { format, reason },
            Self::Unsupported(reason, nearest) => {
                ImportError::Unsupported(vec![Problem { place: "file".to_owned(), reason, nearest }])
            }
        }
    }
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

/// What is in the way of an import, in the order of the file.
pub(super) struct Problems {
    format: &'static str,
    all: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(format: &'static str) -> Self {
        Self { format, all: Vec::new() }
    }

    /// Collects what is not supported; true if there is no room for more. A broken file is an error at once.
    pub(super) fn note(&mut self, place: String, fault: Fault) -> Result<bool, ImportError> {
        match fault {
            Fault::Malformed(reason) => {
                Err(ImportError::Malformed { format: self.format, reason: format!("{place}: {reason}") })
            }
            Fault::Unsupported(reason, nearest) => {
                self.all.push(Problem { place, reason, nearest });
                Ok(self.all.len() >= Problem::MOST)
            }
        }
    }

    /// An error if there are any.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        if self.all.is_empty() { Ok(()) } else { Err(ImportError::Unsupported(self.all)) }
    }
}
