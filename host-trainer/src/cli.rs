//! The commands about networks: imported ones, and those trained by a description.

mod description;
pub mod evaluate;
pub mod export;
pub mod import;
mod networks;
pub mod quantize;
pub mod train;

use host_trainer::graph::Graph;
use host_trainer::import as importers;
use std::error::Error;
use std::path::{Path, PathBuf};

/// What a command can fail with; its text is for people.
pub type Failure = Box<dyn Error>;

/// Reads a network from a file of a format that its name ends with.
pub fn read(path: &Path) -> Result<Graph, Failure> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("tflite") => {
            importers::tflite(&bytes, &name).map_err(|error| format!("{}: {error}", path.display()).into())
        }
        Some("graph") => Graph::from_file(&bytes).map_err(|error| format!("{}: {error}", path.display()).into()),
        _ => Err(format!("{}: the name of a network's file ends with .tflite or .graph", path.display()).into()),
    }
}

/// The folder that a module is written to if none is named: the file's name without its extension, as an identifier.
pub fn default_folder(path: &Path) -> PathBuf {
    PathBuf::from(importers::module_name(path))
}
