//! Networks by the names of their files.

use super::ImportError;
use crate::graph::Graph;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A network cannot be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its name does not say what it is.
    #[error("{path}: the name of a network's file ends with .tflite or .onnx", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The network cannot be imported.
    #[error("{path}: {source}", path = path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ImportError,
    },
}

/// Reads a network from a file whose name ends with `.tflite` or `.onnx`. The numbers of an ONNX file may be in other files
/// of the same folder, as PyTorch's exporter leaves them; others are never opened.
///
/// # Errors
/// Where a file cannot be read, or the network not be imported.
pub fn file(path: impl AsRef<Path>) -> Result<Graph, FileError> {
    file_and_parts(path.as_ref()).map(|(graph, _)| graph)
}

/// The same, with the files that have been read.
pub(super) fn file_and_parts(path: &Path) -> Result<(Graph, Vec<PathBuf>), FileError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    let import = |source| FileError::Import { path: path.to_owned(), source };
    let bytes = || fs::read(path).map_err(|source| FileError::Read { path: path.to_owned(), source });
    match extension.as_deref() {
        Some("tflite") => Ok((super::tflite(&bytes()?, &name).map_err(import)?, vec![path.to_owned()])),
        Some("onnx") => {
            let mut parts = Parts { folder: path.parent().unwrap_or(Path::new("")).to_owned(), files: HashMap::new() };
            let read = &mut |name: &str, offset, length| parts.read(name, offset, length);
            let graph = super::onnx::read(&bytes()?, &name, read).map_err(import)?;
            let mut files: Vec<PathBuf> = parts.files.keys().map(|name| parts.folder.join(name)).collect();
            files.sort();
            files.insert(0, path.to_owned());
            Ok((graph, files))
        }
        _ => Err(FileError::Format { path: path.to_owned() }),
    }
}

/// The files that a network's numbers are in.
struct Parts {
    folder: PathBuf,
    /// Each with its bytes that have not been asked for yet: every one is wanted once.
    files: HashMap<String, (File, u64)>,
}

impl Parts {
    fn read(&mut self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>, String> {
        let failed = |error: io::Error| format!("its numbers are in the file `{name}`, which cannot be read: {error}");
        if !self.files.contains_key(name) {
            // A name alone, of a file in the same folder and no link to another.
            if Path::new(name).file_name() != Some(OsStr::new(name)) || name.contains('\\') {
                return Err(format!("its numbers are in the file {name:?}, which is not in the same folder"));
            }
            let path = self.folder.join(name);
            if !fs::symlink_metadata(&path).map_err(failed)?.is_file() {
                return Err(format!("its numbers are in `{name}`, which is not a file"));
            }
            let file = File::open(path).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            self.files.insert(name.to_owned(), (file, size));
        }
        let Some((file, left)) = self.files.get_mut(name) else { return Err(format!("`{name}` is not open")) };
        let Some(rest) = left.checked_sub(length as u64) else {
            return Err(format!("its tensors have more numbers than the file `{name}`"));
        };
        *left = rest;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}
