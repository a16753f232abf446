//! The IDX format of MNIST: two zeros, the type of the elements (8 = unsigned byte), the number of
//! dimensions, every dimension as a big-endian 32-bit number, then the elements, last dimension
//! fastest. Described at <http://yann.lecun.com/exdb/mnist/>.

use super::DataError;
use super::content::{GZIP, LIMIT};
use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read};
use std::path::Path;

const IMAGES: [u8; 4] = [0, 0, 8, 3];
const LABELS: [u8; 4] = [0, 0, 8, 1];

/// Height and width, and the pixels of all images.
pub(super) fn images(file: &Path, content: &[u8]) -> Result<([usize; 2], Vec<u8>), DataError> {
    let ([_, height, width], pixels) = parse(file, content, "images", IMAGES, LABELS)?;
    Ok(([height as usize, width as usize], pixels))
}

/// All labels.
pub(super) fn labels(file: &Path, content: &[u8]) -> Result<Vec<u8>, DataError> {
    Ok(parse(file, content, "labels", LABELS, IMAGES)?.1)
}

fn parse(
    file: &Path,
    content: &[u8],
    kind: &'static str,
    magic: [u8; 4],
    other: [u8; 4],
) -> Result<([u32; 3], Vec<u8>), DataError> {
    let compressed = content.starts_with(&GZIP);
    let mut reader: Box<dyn Read> = if compressed { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) };
    // Reads until `wanted` bytes are there or the file ends; grows with what is really there, so
    // that a false header cannot make it allocate what it announces.
    let mut read = |wanted: u64, into: &mut Vec<u8>| match (&mut reader).take(wanted).read_to_end(into) {
        Ok(count) => Ok(count as u64 == wanted),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(source) => Err(DataError::Gzip { file: file.to_owned(), source }),
    };

    let dimensions = usize::from(magic[3]);
    let header_length = 4 + 4 * dimensions as u64;
    let mut header = Vec::new();
    let whole = read(header_length, &mut header)?;
    if let Some(&found) = header.first_chunk::<4>()
        && found != magic
    {
        return Err(DataError::Magic {
            file: file.to_owned(),
            kind,
            found,
            expected: magic,
            hint: match kind {
                "labels" if found == other => "; this is a file of images",
                "images" if found == other => "; this is a file of labels",
                _ => "",
            },
        });
    }
    if !whole {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            expected: header_length,
            found: header.len() as u64,
        });
    }
    let mut sizes = [1; 3];
    for (size, bytes) in sizes.iter_mut().zip(header[4..].as_chunks::<4>().0) {
        *size = u32::from_be_bytes(*bytes);
    }
    let length = sizes
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size.into()))
        .filter(|&length| length > 0 && length <= LIMIT);
    let Some(length) = length else {
        return Err(DataError::Size {
            file: file.to_owned(),
            count: sizes[0],
            height: sizes[1],
            width: sizes[2],
            limit: LIMIT,
        });
    };
    let mut elements = Vec::new();
    if !read(length, &mut elements)? {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            expected: header_length + length,
            found: header_length + elements.len() as u64,
        });
    }
    // Reading on also makes the decompressor check the checksum.
    let mut rest = Vec::new();
    match (&mut reader).take(1).read_to_end(&mut rest) {
        Ok(0) => Ok((sizes, elements)),
        Ok(_) => Err(DataError::Trailing { file: file.to_owned(), expected: header_length + length }),
        Err(source) => Err(DataError::Gzip { file: file.to_owned(), source }),
    }
}
