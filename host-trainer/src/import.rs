//! Networks from other tools: files become a [`Graph`].
//!
//! A file is not trusted: every offset is checked, memory is bounded by the file's size, and what cannot be imported is an
//! error that says where and why, and what comes nearest. The graph is as plain as the file: the passes of
//! [`graph::optimize`](crate::graph::optimize) make it smaller.
//!
//! ```no_run
//! use host_trainer::graph::optimize::{Options, optimize};
//!
//! let bytes = std::fs::read("model.tflite")?;
//! let mut graph = host_trainer::import::tflite(&bytes, "model")?;
//! println!("{}", optimize(&mut graph, &Options::default())?);
//! println!("{} operators", graph.nodes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod fault;
mod tflite;

pub use build::{BuildError, build, build_with, module_name};

use crate::graph::Graph;
use std::fmt;

/// Why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not a file of this format, or a broken one.
    #[error("not a {format} file, or a broken one: {reason}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a network, but not one that can be computed with the bits of its origin: everything that is in the way, in
    /// the order of the file, up to [`Problem::MOST`].
    #[error("{}", list(.0))]
    Unsupported(Vec<Problem>),
}

/// What is in the way of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `operator 12 (GELU)`, or a tensor's name.
    pub place: String,
    /// Why.
    pub reason: String,
    /// What is supported and comes nearest, if something does.
    pub nearest: Option<&'static str>,
}

impl Problem {
    /// The most that an import collects.
    pub const MOST: usize = 64;
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, "; nearest: {nearest}"))
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads a network from a TensorFlow Lite file (`.tflite`), to be computed with the bits of TensorFlow Lite Micro.
///
/// Tensors lose their leading dimensions of 1, the batch, and get dimensions of 1 in front until they have three: height,
/// width and channels. What has no such form is an error. The `name` is for people.
///
/// # Errors
/// [`ImportError::Malformed`] where the file is broken, [`ImportError::Unsupported`] where an operator, a type or a
/// parameter is not supported, or TensorFlow Lite Micro would refuse it.
pub fn tflite(bytes: &[u8], name: &str) -> Result<Graph, ImportError> {
    tflite::read(bytes, name)
}
