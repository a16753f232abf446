//! Labelled images: the formats they come in, and augmentation.

mod augment;
mod cifar;
mod content;
mod error;
mod idx;
mod images;
mod npy;
mod pictures;
mod source;

pub use augment::{
    Augmentation, AugmentationError, Augmenter, Border, Clutter, Context, Cutout, Elastic, Foreground, Mixed,
    Stylization,
};
pub use cifar::CifarLabels;
pub use error::DataError;
pub use images::{Images, Normalization};
pub use npy::NpyArray;
pub use pictures::Fit;
pub use source::DataSource;

use content::read_file;
use std::fs;
use std::path::{Path, PathBuf};

/// Images to train on and images held out for testing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Where they come from, for reports.
    pub name: String,
    /// The name of each class.
    pub classes: Vec<String>,
    /// Training images.
    pub train: Images,
    /// Test images, which training never sees.
    pub test: Images,
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
        let (train, test) = (part!("train"), part!("t10k"));
        Self { name: "embedded subset of MNIST".to_owned(), classes: numbered(&train, &test), train, test }
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
        let (train, test) = (part(TRAIN)?, part(TEST)?);
        let data = Self { name: folder.display().to_string(), classes: numbered(&train, &test), train, test };
        if data.train.size != data.test.size {
            return Err(DataError::MixedSizes {
                folder: folder.to_owned(),
                train: data.train.size,
                test: data.test.size,
            });
        }
        Ok(data)
    }

    /// Checks that a network for images of a `shape` (height, width, channels) and `classes` classes can use these
    /// images.
    ///
    /// # Errors
    /// When it cannot.
    pub fn require(&self, shape: [usize; 3], classes: usize) -> Result<(), DataError> {
        for (part, images) in [("training", &self.train), ("test", &self.test)] {
            if images.shape() != shape {
                return Err(DataError::ImageSize { data: self.name.clone(), found: images.shape(), expected: shape });
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
        Ok(Self { size, channels: 1, pixels, labels: classes })
    }
}

/// The numbers of the classes as their names.
fn numbered(train: &Images, test: &Images) -> Vec<String> {
    let last = train.labels.iter().chain(&test.labels).max();
    (0..last.map_or(0, |&last| usize::from(last) + 1)).map(|class| class.to_string()).collect()
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

#[cfg(test)]
mod tests;
