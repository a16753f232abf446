//! Where images come from, as the `[data]` table of a description in TOML.

use super::pictures::{self, Decoding};
use super::{CifarLabels, DataError, DataSet, Fit, Images, cifar, npy, numbered};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's package `dataset-fashion-mnist` puts its files.
const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// A data set: its format and what that format needs. Paths are relative to the file that holds the description.
///
/// ```
/// use host_trainer::data::DataSource;
///
/// #[derive(serde::Deserialize)]
/// struct Description {
///     data: DataSource,
/// }
///
/// let text = r#"
///     [data]
///     format = "pictures"
///     path = "flowers"      # flowers/CLASS/*.jpg, or flowers/train/CLASS/*.jpg and flowers/test/CLASS/*.jpg
///     size = [96, 96]
///     channels = 3
///     fit = "crop"
///     cache = "cache"
/// "#;
/// let description: Description = toml::from_str(text)?;
/// assert!(matches!(description.data, DataSource::Pictures { channels: 3, .. }));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub enum DataSource {
    /// The embedded subset of MNIST: 28x28x1, 8,000 digits to train on and 2,000 to test with.
    MnistSubset {},
    /// The four IDX files of MNIST, or of data in its form, plain or gzip.
    Idx {
        /// Their folder.
        path: PathBuf,
    },
    /// Fashion-MNIST: 28x28x1, 60,000 and 10,000 pictures of clothes in 10 classes.
    FashionMnist {
        /// Folder with its four IDX files; where Debian's package `dataset-fashion-mnist` puts them if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
    },
    /// Binary records of CIFAR-10 or CIFAR-100: 32x32x3.
    Cifar {
        /// Files of training records, plain or gzip, in this order.
        train: Vec<PathBuf>,
        /// Files of test records.
        test: Vec<PathBuf>,
        /// Which labels the records have.
        #[serde(default)]
        labels: CifarLabels,
    },
    /// NumPy arrays of bytes: images `[count, height, width]` or `[count, height, width, channels]`, and a whole
    /// number for each image.
    Npy {
        /// File of images.
        images: PathBuf,
        /// File of labels.
        labels: PathBuf,
        /// File of test images; a share of the images is held out if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_images: Option<PathBuf>,
        /// File of the test images' labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_labels: Option<PathBuf>,
        /// Share of each class that is held out for testing.
        #[serde(default = "held_out")]
        test_share: f64,
        /// Seed of the choice of what is held out.
        #[serde(default)]
        split_seed: u64,
    },
    /// Pictures (PNG, JPEG, BMP, PNM), a folder for each class.
    Pictures {
        /// Folder of the classes' folders, or of the folders `train` and `test` which hold those.
        path: PathBuf,
        /// Height and width; that of the first picture, which all must have, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<[usize; 2]>,
        /// 3 for red, green and blue, 1 for grey levels.
        #[serde(default = "color")]
        channels: usize,
        /// How pictures of another size are fitted.
        #[serde(default)]
        fit: Fit,
        /// Share of each class that is held out for testing, if there are no folders `train` and `test`.
        #[serde(default = "held_out")]
        test_share: f64,
        /// Seed of the choice of what is held out.
        #[serde(default)]
        split_seed: u64,
        /// Folder for decoded pictures, which then need not be decoded again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache: Option<PathBuf>,
    },
}

fn held_out() -> f64 {
    0.2
}

fn color() -> usize {
    3
}

impl DataSource {
    /// What a folder holds, by the names of the files in it: IDX files, CIFAR records (`train*.bin`, `data_batch*.bin`
    /// and `test*.bin`, plain or `.gz`), arrays (`train_images.npy`, `train_labels.npy`, `test_images.npy`,
    /// `test_labels.npy`), or pictures in the folders of their classes.
    ///
    /// # Errors
    /// When the folder cannot be read or holds nothing of that.
    pub fn detect(folder: &Path) -> Result<Self, DataError> {
        let error = |source| DataError::Read { file: folder.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(error)? {
            names.push(entry.map_err(error)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        let named = |start: &str, end: &str| -> Vec<PathBuf> {
            let plain = |name: &str| name.strip_suffix(".gz").unwrap_or(name).to_owned();
            let fits = |name: &&String| name.starts_with(start) && plain(name).ends_with(end);
            names.iter().filter(fits).map(|name| folder.join(name)).collect()
        };
        let first = |start: &str| named(start, ".npy").into_iter().next();
        if !named("train-images-idx3-ubyte", "").is_empty() {
            return Ok(Self::Idx { path: folder.to_owned() });
        }
        let train = [named("data_batch", ".bin"), named("train", ".bin")].concat();
        if !train.is_empty() {
            // CIFAR-100 in its own folder, by the file of the names that comes with it.
            let hundred = names.iter().any(|name| name == "fine_label_names.txt");
            let labels = if hundred { CifarLabels::Fine } else { CifarLabels::Ten };
            return Ok(Self::Cifar { train, test: named("test", ".bin"), labels });
        }
        if let (Some(images), Some(labels)) = (first("train_images"), first("train_labels")) {
            return Ok(Self::Npy {
                images,
                labels,
                test_images: first("test_images"),
                test_labels: first("test_labels"),
                test_share: held_out(),
                split_seed: 0,
            });
        }
        if pictures::folders(folder)?.is_empty() {
            return Err(DataError::content(
                folder,
                "it holds no data set",
                "give a folder with the four IDX files of MNIST, with CIFAR's train*.bin and test*.bin, with \
                 train_images.npy and train_labels.npy, or with a folder of pictures for each class",
            ));
        }
        Ok(Self::Pictures {
            path: folder.to_owned(),
            size: None,
            channels: color(),
            fit: Fit::default(),
            test_share: held_out(),
            split_seed: 0,
            cache: None,
        })
    }

    /// Loads the images. Relative paths start at `base`.
    ///
    /// # Errors
    /// When something is missing, damaged or does not fit together.
    pub fn load(&self, base: &Path) -> Result<DataSet, DataError> {
        match self {
            Self::MnistSubset {} => Ok(DataSet::embedded()),
            Self::Idx { path } => DataSet::load(&base.join(path)),
            Self::FashionMnist { path } => fashion_mnist(&path.as_ref().map_or(FASHION_MNIST.into(), |p| base.join(p))),
            Self::Cifar { train, test, labels } => {
                let part = |files: &[PathBuf], name: &str| {
                    if files.is_empty() {
                        return Err(description(
                            format!("there is no {name} file"),
                            "name the files of binary records",
                        ));
                    }
                    let mut images = cifar::none();
                    files.iter().try_for_each(|file| cifar::read(&base.join(file), *labels, &mut images))?;
                    Ok(images)
                };
                let (train, test) = (part(train, "training")?, part(test, "test")?);
                let name = if *labels == CifarLabels::Ten { "CIFAR-10" } else { "CIFAR-100" };
                Ok(DataSet { name: name.to_owned(), classes: cifar::classes(*labels), train, test })
            }
            Self::Npy { images, labels, test_images, test_labels, test_share, split_seed } => {
                check_share(*test_share)?;
                let all = npy::read(&base.join(images), &base.join(labels))?;
                let (train, test) = match (test_images, test_labels) {
                    (Some(images), Some(labels)) => (all, npy::read(&base.join(images), &base.join(labels))?),
                    (None, None) => all.split(*test_share, *split_seed),
                    _ => {
                        return Err(description(
                            "there is only one of `test_images` and `test_labels`".to_owned(),
                            "give both, or none to hold out a share of the images",
                        ));
                    }
                };
                let name = name(&base.join(images));
                same_shape(&base.join(images), DataSet { name, classes: numbered(&train, &test), train, test })
            }
            Self::Pictures { path, size, channels, fit, test_share, split_seed, cache } => {
                if !matches!(channels, 1 | 3) {
                    return Err(description(format!("`channels` is {channels}"), "pictures have 1 or 3 channels"));
                }
                check_share(*test_share)?;
                let path = base.join(path);
                let cache = cache.as_ref().map(|cache| base.join(cache));
                let decoding = Decoding { size: *size, channels: *channels, fit: *fit };
                let read =
                    |folder: &Path, classes: &[String]| pictures::read(folder, classes, decoding, cache.as_deref());
                // A cache may lie there, too.
                let is_cache = |folder: &String| cache.as_ref().is_some_and(|cache| *cache == path.join(folder));
                let folders: Vec<String> =
                    pictures::folders(&path)?.into_iter().filter(|folder| !is_cache(folder)).collect();
                let (classes, train, test) = if folders == ["test", "train"] {
                    let (train, test) = (path.join("train"), path.join("test"));
                    let (classes, test_classes) = (pictures::folders(&train)?, pictures::folders(&test)?);
                    if classes != test_classes {
                        return Err(DataError::content(
                            &path,
                            format!("the classes of train are {classes:?}, those of test are {test_classes:?}"),
                            "both must have the same folders",
                        ));
                    }
                    let (train, test) = (read(&train, &classes)?, read(&test, &classes)?);
                    (classes, train, test)
                } else {
                    let (train, test) = read(&path, &folders)?.split(*test_share, *split_seed);
                    (folders, train, test)
                };
                same_shape(&path, DataSet { name: name(&path), classes, train, test })
            }
        }
    }
}

fn description(problem: String, remedy: &str) -> DataError {
    DataError::Description { problem, remedy: remedy.to_owned() }
}

fn name(path: &Path) -> String {
    path.file_name().and_then(OsStr::to_str).unwrap_or("images").to_owned()
}

fn check_share(share: f64) -> Result<(), DataError> {
    if share > 0.0 && share < 1.0 {
        Ok(())
    } else {
        Err(description(format!("`test_share` is {share}"), "hold out more than 0 and less than 1"))
    }
}

fn same_shape(path: &Path, data: DataSet) -> Result<DataSet, DataError> {
    let [train, test] = [&data.train, &data.test].map(Images::shape);
    if train == test {
        Ok(data)
    } else {
        Err(DataError::content(
            path,
            format!("training images are {train:?}, test images {test:?} (height, width, channels)"),
            "give the `size` that all pictures are to have, or convert them",
        ))
    }
}

fn fashion_mnist(folder: &Path) -> Result<DataSet, DataError> {
    if !folder.exists() {
        return Err(DataError::content(
            folder,
            "Fashion-MNIST is not there",
            "on Debian or Ubuntu `apt install dataset-fashion-mnist`, elsewhere fetch its four IDX files and give their \
             folder as `path`",
        ));
    }
    let mut data = DataSet::load(folder)?;
    data.require([28, 28, 1], 10)?;
    data.name = "Fashion-MNIST".to_owned();
    let classes =
        ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
    data.classes = classes.map(str::to_owned).to_vec();
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        data: DataSource,
    }

    fn parse(text: &str) -> Result<DataSource, String> {
        toml::from_str::<File>(text).map(|file| file.data).map_err(|error| error.to_string())
    }

    #[test]
    fn every_format_has_its_description() {
        for (text, expected) in [
            ("format = 'mnist_subset'", DataSource::MnistSubset {}),
            ("format = 'idx'\npath = 'a'", DataSource::Idx { path: "a".into() }),
            ("format = 'fashion_mnist'", DataSource::FashionMnist { path: None }),
            (
                "format = 'cifar'\ntrain = ['a', 'b']\ntest = ['c']\nlabels = 'fine'",
                DataSource::Cifar {
                    train: vec!["a".into(), "b".into()],
                    test: vec!["c".into()],
                    labels: CifarLabels::Fine,
                },
            ),
            (
                "format = 'npy'\nimages = 'a'\nlabels = 'b'\ntest_share = 0.5",
                DataSource::Npy {
                    images: "a".into(),
                    labels: "b".into(),
                    test_images: None,
                    test_labels: None,
                    test_share: 0.5,
                    split_seed: 0,
                },
            ),
            (
                "format = 'pictures'\npath = 'a'\nsize = [9, 7]\nchannels = 1\nfit = 'pad'",
                DataSource::Pictures {
                    path: "a".into(),
                    size: Some([9, 7]),
                    channels: 1,
                    fit: Fit::Pad,
                    test_share: 0.2,
                    split_seed: 0,
                    cache: None,
                },
            ),
        ] {
            let source = parse(&format!("[data]\n{text}")).unwrap();
            assert_eq!(source, expected);
            assert_eq!(toml::from_str::<DataSource>(&toml::to_string(&source).unwrap()).unwrap(), source);
        }
    }

    #[test]
    fn descriptions_are_strict() {
        for (text, part) in [
            ("format = 'mnist_subset'\npath = 'a'", "unknown field `path`"),
            ("format = 'idx'", "missing field `path`"),
            ("format = 'tiff'", "unknown variant `tiff`"),
            ("format = 'pictures'\npath = 'a'\nshape = [1, 2]", "unknown field `shape`"),
            ("path = 'a'", "format"),
        ] {
            let message = parse(&format!("[data]\n{text}")).unwrap_err();
            assert!(message.contains(part), "`{part}` is missing in: {message}");
            assert!(message.contains("line "), "{message}");
        }
    }

    /// A file as `numpy.save` writes it.
    fn npy(shape: &str, elements: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements].concat()
    }

    #[test]
    fn arrays_with_and_without_test_images() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, content: Vec<u8>| fs::write(folder.path().join(name), content).unwrap();
        save("train_images.npy", npy("(10, 1, 2, 3)", &(0..60).collect::<Vec<u8>>()));
        save("train_labels.npy", npy("(10,)", &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1]));
        let load = || DataSource::detect(folder.path())?.load(Path::new(""));
        let data = load().unwrap();
        assert_eq!((data.train.shape(), data.train.len(), data.test.len()), ([1, 2, 3], 8, 2));
        assert_eq!((data.test.class_counts(), data.classes), (vec![1, 1], vec!["0".to_owned(), "1".to_owned()]));
        save("test_images.npy", npy("(1, 1, 2, 3)", &[9; 6]));
        assert!(load().unwrap_err().to_string().contains("only one of"));
        save("test_labels.npy", npy("(1,)", &[1]));
        let data = load().unwrap();
        assert_eq!((data.train.len(), data.test.labels), (10, vec![1]));
        save("test_labels.npy", npy("(2,)", &[1, 1]));
        assert!(load().unwrap_err().to_string().contains("1 images"));
        save("test_labels.npy", npy("(1,)", &[1]));
        save("test_images.npy", npy("(1, 2, 1, 3)", &[9; 6]));
        assert!(load().unwrap_err().to_string().contains("[2, 1, 3]"));
    }

    #[test]
    fn records_of_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, labels: &[u8]| {
            let content: Vec<u8> = labels.iter().flat_map(|&label| [vec![label], vec![label; 3072]].concat()).collect();
            fs::write(folder.path().join(name), content).unwrap();
        };
        save("data_batch_2.bin", &[2]);
        save("data_batch_1.bin", &[0, 1]);
        save("test_batch.bin", &[9]);
        let data = DataSource::detect(folder.path()).unwrap().load(Path::new("")).unwrap();
        assert_eq!((data.train.labels, data.test.labels), (vec![0, 1, 2], vec![9]));
        assert_eq!((&data.train.pixels[3072..3074], &data.classes[9][..]), (&[1, 1][..], "truck"));
        fs::remove_file(folder.path().join("test_batch.bin")).unwrap();
        let error = DataSource::detect(folder.path()).unwrap().load(Path::new("")).unwrap_err();
        assert!(error.to_string().contains("no test file"), "{error}");
    }

    #[test]
    fn pictures_with_and_without_a_test_folder() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, level: u8| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::GrayImage::from_pixel(3, 2, image::Luma([level])).save(path).unwrap();
        };
        for level in 0..10 {
            save(&format!("all/dark/{level}.png"), level);
            save(&format!("all/light/{level}.png"), 200 + level);
        }
        let load = |name: &str, text: &str| {
            let text = format!("format = 'pictures'\npath = '{name}'\n{text}");
            toml::from_str::<DataSource>(&text).unwrap().load(folder.path())
        };
        let data = load("all", "channels = 1\ncache = 'all/cache'").unwrap();
        assert_eq!((data.train.class_counts(), data.test.class_counts()), (vec![8, 8], vec![2, 2]));
        assert_eq!((data.train.shape(), data.classes), ([2, 3, 1], vec!["dark".to_owned(), "light".to_owned()]));
        let again = load("all", "channels = 1\ncache = 'all/cache'").unwrap();
        assert_eq!((again.train, again.test), (data.train, data.test));

        save("two/train/a/1.png", 1);
        save("two/test/a/1.png", 2);
        let data = DataSource::detect(&folder.path().join("two")).unwrap().load(Path::new("")).unwrap();
        assert_eq!((data.train.pixels, data.test.pixels), (vec![1; 18], vec![2; 18]));
        save("two/test/b/1.png", 2);
        assert!(load("two", "").unwrap_err().to_string().contains("same folders"));
        assert!(load("all", "channels = 2").unwrap_err().to_string().contains("1 or 3 channels"));
        assert!(load("all", "test_share = 1.0").unwrap_err().to_string().contains("`test_share` is 1"));
        assert!(load("none", "").unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn nothing_to_detect() {
        let folder = tempfile::tempdir().unwrap();
        let message = DataSource::detect(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no data set") && message.contains("IDX"), "{message}");
    }

    #[test]
    fn fashion_mnist_where_it_is_installed() {
        let missing = DataSource::FashionMnist { path: Some("nowhere".into()) };
        let message = missing.load(Path::new("/")).unwrap_err().to_string();
        assert!(message.contains("apt install dataset-fashion-mnist"), "{message}");
        if Path::new(FASHION_MNIST).exists() {
            let data = DataSource::FashionMnist { path: None }.load(Path::new("")).unwrap();
            assert_eq!((data.train.class_counts(), data.test.class_counts()), (vec![6000; 10], vec![1000; 10]));
        }
    }
}
