//! The commands about networks: imported ones, and those trained by a description.

mod checkpoint;
mod description;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod inspect;
mod module;
mod networks;
pub mod new_firmware;
pub mod quantize;
pub mod train;
mod values;
pub mod verify;

use host_trainer::graph::{FILE_ENDING, Graph};
use host_trainer::import as importers;
use std::error::Error;
use std::path::{Path, PathBuf};

/// What a command can fail with; its text is for people.
pub type Failure = Box<dyn Error>;

/// Reads a network from a file of a format that its name ends with.
pub fn read(path: &Path) -> Result<Graph, Failure> {
    if path.extension().is_some_and(|ending| ending == FILE_ENDING.trim_start_matches('.')) {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        return Ok(Graph::from_file(&bytes).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    importers::file(path).map_err(|error| match error {
        importers::FileError::Format { .. } => format!("{error}, or {FILE_ENDING} if it was trained here").into(),
        error => error.into(),
    })
}

/// The folder that a module is written to if none is named: the file's name without its extension, as an identifier.
pub fn default_folder(path: &Path) -> PathBuf {
    PathBuf::from(importers::module_name(path))
}
