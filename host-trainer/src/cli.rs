//! The commands about imported networks.

pub mod import;
pub mod inspect;
mod module;
pub mod new_firmware;
mod values;
pub mod verify;

use host_trainer::graph::Graph;
use host_trainer::import as importers;
use std::error::Error;
use std::path::{Path, PathBuf};

/// What a command can fail with; its text is for people.
pub type Failure = Box<dyn Error>;

/// Reads a network from a file of a format that its name ends with.
pub fn read(path: &Path) -> Result<Graph, Failure> {
    Ok(importers::file(path)?)
}

/// The folder that a module is written to if none is named: the file's name without its extension, as an identifier.
pub fn default_folder(path: &Path) -> PathBuf {
    PathBuf::from(importers::module_name(path))
}
