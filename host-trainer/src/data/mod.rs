//! Labelled images: MNIST's file format, an embedded subset of MNIST, and augmentation.

mod augment;
mod idx;

pub use augment::{Augmentation, augment};

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Grey-level images of one size, with a class each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// All images one after another, row by row, 0 to 255.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of one image.
    ///
    /// # Panics
    /// When there is no image `index`.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.size[0] * self.size[1];
        &self.pixels[index * size..][..size]
    }
}

/// Images to train on and images held out for testing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Where they come from, for reports.
    pub name: String,
    /// Training images.
    pub train: Images,
    /// Test images, which training never sees.
    pub test: Images,
}

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
    #[error("cannot read {file}: {source}; --data needs a folder with the four IDX files, plain or gzip")]
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
    #[error("{data}: images are {found:?} pixels (height, width), the network takes {expected:?}; resize the images")]
    ImageSize {
        /// The data set.
        data: String,
        /// Height and width of the images.
        found: [usize; 2],
        /// Height and width that the network takes.
        expected: [usize; 2],
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
}

/// MNIST's names of the files of images and of labels.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

impl DataSet {
    /// The embedded subset of MNIST: 8,000 digits for training and 2,000 for testing, all from
    /// MNIST's training set.
    #[must_use]
    pub fn embedded() -> Self {
        macro_rules! part {
            ($part:literal) => {
                Images::from_idx(
                    (
                        Path::new(concat!("embedded ", $part, " images")),
                        include_bytes!(concat!("../../../data/mnist-subset/", $part, "-images-idx3-ubyte.gz")),
                    ),
                    (
                        Path::new(concat!("embedded ", $part, " labels")),
                        include_bytes!(concat!("../../../data/mnist-subset/", $part, "-labels-idx1-ubyte.gz")),
                    ),
                )
                .expect("the embedded files are good, see the tests")
            };
        }
        Self { name: "embedded subset of MNIST".to_owned(), train: part!("train"), test: part!("t10k") }
    }

    /// The four IDX files of a folder, each plain or compressed with gzip (whatever its name).
    ///
    /// # Errors
    /// When a file is missing or damaged, or the files do not belong together.
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        // A folder that cannot be listed is a better message than a missing file.
        fs::read_dir(folder).map_err(|source| DataError::Read { file: folder.to_owned(), source })?;
        let part = |names: [&'static str; 2]| {
            let [images, labels] = [read(folder, names[0])?, read(folder, names[1])?];
            Images::from_idx((&images.0, &images.1), (&labels.0, &labels.1))
        };
        let data = Self { name: folder.display().to_string(), train: part(TRAIN)?, test: part(TEST)? };
        if data.train.size != data.test.size {
            return Err(DataError::MixedSizes {
                folder: folder.to_owned(),
                train: data.train.size,
                test: data.test.size,
            });
        }
        Ok(data)
    }

    /// Checks that a network for images of `size` and `classes` classes can use these images.
    ///
    /// # Errors
    /// When it cannot.
    pub fn require(&self, size: [usize; 2], classes: usize) -> Result<(), DataError> {
        for (part, images) in [("training", &self.train), ("test", &self.test)] {
            if images.size != size {
                return Err(DataError::ImageSize { data: self.name.clone(), found: images.size, expected: size });
            }
            let wrong = |&label: &u8| usize::from(label) >= classes;
            if let Some(index) = images.labels.iter().position(wrong) {
                return Err(DataError::Label {
                    data: self.name.clone(),
                    part,
                    index,
                    label: images.labels[index],
                    last: classes - 1,
                });
            }
        }
        Ok(())
    }
}

impl Images {
    /// From the contents of an IDX file of images and one of labels, named for messages.
    fn from_idx(images: (&Path, &[u8]), labels: (&Path, &[u8])) -> Result<Self, DataError> {
        let (size, pixels) = idx::images(images.0, images.1)?;
        let classes = idx::labels(labels.0, labels.1)?;
        let image_count = pixels.len() / (size[0] * size[1]);
        if image_count != classes.len() {
            return Err(DataError::Counts {
                images: images.0.to_owned(),
                labels: labels.0.to_owned(),
                image_count,
                label_count: classes.len(),
            });
        }
        Ok(Self { size, pixels, labels: classes })
    }
}

fn read(folder: &Path, name: &'static str) -> Result<(PathBuf, Vec<u8>), DataError> {
    for file in [folder.join(name), folder.join(format!("{name}.gz"))] {
        match read_file(&file) {
            Ok(content) => return Ok((file, content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(DataError::Read { file, source }),
        }
    }
    Err(DataError::Missing { folder: folder.to_owned(), name })
}

/// The content of a regular file, or as much of it as shows that it is too long.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    // Longer than the longest header and image data together, so that the parser finds trailing bytes.
    file.take(idx::LIMIT + 32).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
