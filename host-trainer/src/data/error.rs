//! What can be wrong with a data set: each message names the file, the problem and the remedy.

use std::path::{Path, PathBuf};

/// What is wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder lacks a file.
    #[error(
        "{folder}: neither {name} nor {name}.gz is there; a data folder holds the four IDX files of MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// Name of the file without `.gz`.
        name: &'static str,
    },
    /// The operating system could not read a file or folder.
    #[error("cannot read {file}: {source}; check the path and the permissions of the data set")]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A damaged gzip file.
    #[error("{file}: damaged gzip data ({source}); fetch the file again")]
    Gzip {
        /// The file.
        file: PathBuf,
        /// What the decompressor says.
        source: std::io::Error,
    },
    /// Not an IDX file of the expected kind.
    #[error("{file}: the file starts with {found:02x?}, an IDX file of {kind} starts with {expected:02x?}{hint}")]
    Magic {
        /// The file.
        file: PathBuf,
        /// What was expected: images or labels.
        kind: &'static str,
        /// The first four bytes.
        found: [u8; 4],
        /// The right ones.
        expected: [u8; 4],
        /// A guess at the cause, or nothing.
        hint: &'static str,
    },
    /// The file ends before the data that its header announces.
    #[error("{file}: truncated: {expected} bytes announced by its header, {found} present; fetch the file again")]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Length according to the header, in bytes after decompression.
        expected: u64,
        /// Length.
        found: u64,
    },
    /// The file goes on after the data that its header announces.
    #[error("{file}: more data than the {expected} bytes that its header announces; the header or the file is damaged")]
    Trailing {
        /// The file.
        file: PathBuf,
        /// Length according to the header, in bytes after decompression.
        expected: u64,
    },
    /// A header with impossible sizes.
    #[error(
        "{file}: the header announces {count} items of {height}x{width}; sizes must be at least 1 and the whole file at most {limit} bytes"
    )]
    Size {
        /// The file.
        file: PathBuf,
        /// Number of items.
        count: u32,
        /// Height of an image (1 for labels).
        height: u32,
        /// Width of an image (1 for labels).
        width: u32,
        /// The largest size that is read.
        limit: u64,
    },
    /// Not one label per image.
    #[error(
        "{images} holds {image_count} images but {labels} holds {label_count} labels; the two files do not belong together"
    )]
    Counts {
        /// The file of images.
        images: PathBuf,
        /// The file of labels.
        labels: PathBuf,
        /// Number of images.
        image_count: usize,
        /// Number of labels.
        label_count: usize,
    },
    /// Training and test images differ in size.
    #[error(
        "{folder}: training images are {train:?} pixels, test images {test:?} (height, width); they must be of one size"
    )]
    MixedSizes {
        /// The folder.
        folder: PathBuf,
        /// Height and width of training images.
        train: [usize; 2],
        /// Height and width of test images.
        test: [usize; 2],
    },
    /// Images of a size that the network does not take.
    #[error(
        "{data}: images are {found:?} (height, width, channels), the network takes {expected:?}; convert the images"
    )]
    ImageSize {
        /// The data set.
        data: String,
        /// Height, width and channels of the images.
        found: [usize; 3],
        /// Height, width and channels that the network takes.
        expected: [usize; 3],
    },
    /// A label that is no class of the network.
    #[error(
        "{data}: {part} image {index} (counted from 0) has the label {label}, the network knows the classes 0 to {last}"
    )]
    Label {
        /// The data set.
        data: String,
        /// "training" or "test".
        part: &'static str,
        /// Number of the image.
        index: usize,
        /// Its label.
        label: u8,
        /// The last class.
        last: usize,
    },
    /// A file or folder whose content is not what its format asks for.
    #[error("{file}: {problem}; {remedy}")]
    Content {
        /// The file or folder.
        file: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The cache of decoded pictures cannot be written.
    #[error("cannot write the cache {file}: {source}; choose another folder for the cache, or none")]
    Cache {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The description of a data set asks for what is impossible.
    #[error("[data]: {problem}; {remedy}")]
    Description {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
}

impl DataError {
    /// A [`DataError::Content`].
    pub(super) fn content(file: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Content { file: file.to_owned(), problem: problem.into(), remedy: remedy.into() }
    }
}
