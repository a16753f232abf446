use super::FileError;
use crate::generate::{self, GenerateError};
use crate::graph::GraphError;
use crate::graph::optimize::{self, optimize};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A build script cannot make a module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The module cannot be written.
    #[error("{path}: {source}")]
    File {
        /// Its file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The network cannot be read.
    #[error(transparent)]
    Import(#[from] FileError),
    /// The network breaks a rule.
    #[error("{path}: {source}")]
    Graph {
        /// Its file.
        path: PathBuf,
        /// The rule.
        source: GraphError,
    },
    /// The network cannot be written as Rust.
    #[error("{path}: {source}")]
    Generate {
        /// Its file.
        path: PathBuf,
        /// The reason.
        source: GenerateError,
    },
    /// Cargo has not started this program as a build script.
    #[error("OUT_DIR is not set: `build` is for build scripts, which Cargo starts")]
    NoBuildScript,
}

/// Makes a Rust module of a network's file, in a build script: `OUT_DIR/NAME.rs` with the module `NAME`, after the
/// file's name. Cargo runs the script again when the file changes.
///
/// ```no_run
/// // build.rs
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     host_trainer::import::build("model.tflite")?;
///     Ok(())
/// }
/// ```
///
/// ```ignore
/// // main.rs
/// include!(concat!(env!("OUT_DIR"), "/model.rs"));
/// let scores = model::MODEL.infer(&input, &mut arena);
/// ```
///
/// # Errors
/// Where the file cannot be read or imported, or the module not be written.
pub fn build(path: impl AsRef<Path>) -> Result<(), BuildError> {
    build_with(path, &optimize::Options::default(), &generate::Options::default())
}

/// [`build`] with passes over the graph and options of the module.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    path: impl AsRef<Path>,
    passes: &optimize::Options,
    options: &generate::Options,
) -> Result<(), BuildError> {
    let path = path.as_ref();
    println!("cargo:rerun-if-changed={}", path.display());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(BuildError::NoBuildScript)?;
    let (mut graph, parts) = super::file::file_and_parts(path)?;
    for part in parts.iter().skip(1) {
        println!("cargo:rerun-if-changed={}", part.display());
    }
    optimize(&mut graph, passes).map_err(|source| BuildError::Graph { path: path.to_owned(), source })?;
    let module =
        generate::module(&graph, options).map_err(|source| BuildError::Generate { path: path.to_owned(), source })?;
    let name = module_name(path);
    let to = out.join(format!("{name}.rs"));
    fs::write(&to, module.single_file(&name)).map_err(|source| BuildError::File { path: to, source })
}

/// The name of the module of a network's file: the file's, as an identifier.
#[must_use]
pub fn module_name(path: &Path) -> String {
    let name = generate::identifier(&path.file_stem().unwrap_or_default().to_string_lossy());
    if name.is_empty() { "network".to_owned() } else { name }
}
