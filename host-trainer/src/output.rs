//! Output folders whose files are whole or not there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};
use tempfile::NamedTempFile;

/// A folder that can be written to.
#[derive(Debug)]
pub struct OutputFolder(PathBuf);

/// A folder or file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {path}: {source}; choose another folder with --out")]
pub struct OutputError {
    /// The folder or file.
    pub path: PathBuf,
    /// The reason.
    pub source: io::Error,
}

impl OutputFolder {
    /// Creates the folder if need be, and tries to write there: before the work, not after it.
    ///
    /// # Errors
    /// When it cannot be created or written.
    pub fn open(path: &Path) -> Result<Self, OutputError> {
        let error = |source| OutputError { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(error)?;
        let mut file = NamedTempFile::new_in(path).map_err(error)?;
        file.write_all(b"test").map_err(error)?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes all files aside, then renames them one after another: until all are complete, no
    /// older file is touched. A name may have folders in it, which are created.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write<N: AsRef<str>>(&self, files: &[(N, Vec<u8>)]) -> Result<(), OutputError> {
        let error = |name: &str| {
            let path = self.0.join(name);
            move |source| OutputError { path, source }
        };
        let mut ready = Vec::with_capacity(files.len());
        for (name, content) in files {
            let name = name.as_ref();
            let mut builder = tempfile::Builder::new();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                // As any other file, not private as temporary files are; the umask still counts.
                builder.permissions(fs::Permissions::from_mode(0o666));
            }
            let mut file = builder.tempfile_in(&self.0).map_err(error(name))?;
            file.write_all(content).map_err(error(name))?;
            file.as_file().sync_all().map_err(error(name))?;
            ready.push((name, file));
        }
        for (name, _) in &ready {
            if let Some(parent) = self.0.join(name).parent() {
                fs::create_dir_all(parent).map_err(error(name))?;
            }
        }
        for (name, file) in ready {
            file.persist(self.0.join(name)).map_err(|failure| error(name)(failure.error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_aside_and_replace_older_ones() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/folder");
        let folder = OutputFolder::open(&path).unwrap();
        folder.write(&[("a", b"1".to_vec()), ("b", b"2".to_vec())]).unwrap();
        assert_eq!(fs::read(path.join("b")).unwrap(), b"2");
        // A folder that has gone in the meantime is an error.
        let gone = OutputFolder(parent.path().join("gone"));
        assert!(gone.write(&[("a", b"3".to_vec())]).is_err());
        folder.write(&[("a", b"3".to_vec()), ("c/d/e", b"4".to_vec())]).unwrap();
        assert_eq!(fs::read(path.join("c/d/e")).unwrap(), b"4");
        assert_eq!(fs::read(path.join("a")).unwrap(), b"3");
        // Nothing is left behind.
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
    }

    #[test]
    fn unwritable_folders_are_found_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        // A file in the way, whoever runs this.
        for path in [file.clone(), file.join("below")] {
            let error = OutputFolder::open(&path).unwrap_err();
            assert_eq!(error.path, path);
            assert!(error.to_string().contains("--out"));
        }
    }
}
