//! Bytes of files, compressed or not, without trust in what they announce.

use super::DataError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No file is read beyond this many bytes (after decompression): 20 times MNIST, 6 times CIFAR-10.
pub(super) const LIMIT: u64 = 1 << 30;
/// How every gzip file starts.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The content of a regular file, or as much of it as shows that it is too long.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    // Longer than the longest header and data together, so that the parser finds trailing bytes.
    file.take(LIMIT + 32).read_to_end(&mut content)?;
    Ok(content)
}

/// The content of a file, decompressed if it starts like a gzip file, whatever its name.
pub(super) fn read_plain(path: &Path) -> Result<Vec<u8>, DataError> {
    let content = read_file(path).map_err(|source| DataError::Read { file: path.to_owned(), source })?;
    let plain = if content.starts_with(&GZIP) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&content[..])
            .take(LIMIT + 1)
            .read_to_end(&mut plain)
            .map_err(|source| DataError::Gzip { file: path.to_owned(), source })?;
        plain
    } else {
        content
    };
    if plain.len() as u64 > LIMIT {
        let problem = format!("it holds more than {LIMIT} bytes");
        return Err(DataError::content(path, problem, "divide it into several files"));
    }
    Ok(plain)
}
