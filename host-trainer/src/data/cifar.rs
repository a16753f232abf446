//! The binary records of CIFAR-10 and CIFAR-100: one label byte (CIFAR-100: two, the coarse label first), then 1024
//! red, 1024 green and 1024 blue values, each plane row by row. Described at
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use super::content::read_plain;
use super::{DataError, Images};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Height and width.
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Which labels the records have, and which of them to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CifarLabels {
    /// CIFAR-10: one label.
    #[default]
    Ten,
    /// CIFAR-100: the first of two labels, 20 classes.
    Coarse,
    /// CIFAR-100: the second of two labels, 100 classes.
    Fine,
}

impl CifarLabels {
    /// Label bytes of a record, the place of the wanted one, and the number of classes.
    const fn layout(self) -> (usize, usize, usize) {
        match self {
            Self::Ten => (1, 0, 10),
            Self::Coarse => (2, 0, 20),
            Self::Fine => (2, 1, 100),
        }
    }
}

/// All records of a file, plain or gzip, behind those in `images`.
pub(super) fn read(file: &Path, labels: CifarLabels, images: &mut Images) -> Result<(), DataError> {
    append(file, &read_plain(file)?, labels, images)
}

/// No images yet, of the right shape.
pub(super) fn none() -> Images {
    Images { size: [SIDE, SIDE], channels: 3, pixels: Vec::new(), labels: Vec::new() }
}

fn append(file: &Path, content: &[u8], labels: CifarLabels, images: &mut Images) -> Result<(), DataError> {
    let (before, place, classes) = labels.layout();
    let record = before + 3 * PLANE;
    if content.is_empty() || !content.len().is_multiple_of(record) {
        let other =
            if before == 1 { "`labels = \"fine\"` if it is CIFAR-100" } else { "`labels = \"ten\"` if it is CIFAR-10" };
        return Err(DataError::content(
            file,
            format!("{} bytes are no whole number of records of {record} bytes", content.len()),
            format!("fetch the binary version of the data set again, or say {other}"),
        ));
    }
    let count = content.len() / record;
    images.pixels.reserve(count * 3 * PLANE);
    images.labels.reserve(count);
    for (index, record) in content.chunks_exact(record).enumerate() {
        let label = record[place];
        if usize::from(label) >= classes {
            return Err(DataError::content(
                file,
                format!("record {index} (counted from 0) has the label {label}, there are {classes} classes"),
                "the file is damaged or of another kind; fetch it again",
            ));
        }
        images.labels.push(label);
        let [red, green, blue] = [0, 1, 2].map(|channel| &record[before + channel * PLANE..][..PLANE]);
        let pixels = red.iter().zip(green).zip(blue).flat_map(|((&red, &green), &blue)| [red, green, blue]);
        images.pixels.extend(pixels);
    }
    Ok(())
}

/// The names of CIFAR-10's classes, or numbers.
pub(super) fn classes(labels: CifarLabels) -> Vec<String> {
    match labels {
        CifarLabels::Ten => ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
            .map(str::to_owned)
            .to_vec(),
        _ => (0..labels.layout().2).map(|class| class.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record whose red, green and blue values at pixel i are i, i + 1 and i + 2, modulo 256.
    fn record(labels: &[u8]) -> Vec<u8> {
        let mut record = labels.to_vec();
        for channel in 0..3 {
            record.extend((0..PLANE).map(|i| (i + channel) as u8));
        }
        record
    }

    fn parse(content: &[u8], labels: CifarLabels) -> Result<Images, DataError> {
        let mut images = none();
        append(Path::new("file"), content, labels, &mut images)?;
        Ok(images)
    }

    #[test]
    fn planes_become_pixels() {
        let images = parse(&[record(&[3]), record(&[9])].concat(), CifarLabels::Ten).unwrap();
        assert_eq!((images.labels.as_slice(), images.shape()), (&[3, 9][..], [32, 32, 3]));
        assert_eq!(images.image(1)[..6], [0, 1, 2, 1, 2, 3]);
        assert_eq!(images.image(1)[3 * (5 * 32 + 7)..][..3], [167, 168, 169]);
        let content = record(&[4, 77]);
        assert_eq!(parse(&content, CifarLabels::Fine).unwrap().labels, [77]);
        assert_eq!(parse(&content, CifarLabels::Coarse).unwrap().labels, [4]);
        assert_eq!(parse(&content, CifarLabels::Fine).unwrap().pixels, images.image(0));
    }

    #[test]
    fn damaged_files() {
        for length in [0, 1, 3072, 3074, 6145] {
            let message = parse(&vec![0; length], CifarLabels::Ten).unwrap_err().to_string();
            assert!(message.contains("file: ") && message.contains("records of 3073 bytes"), "{message}");
            assert!(message.contains("fetch"), "{message}");
        }
        let message = parse(&[record(&[0]), record(&[10])].concat(), CifarLabels::Ten).unwrap_err().to_string();
        assert!(message.contains("record 1") && message.contains("label 10"), "{message}");
        assert!(parse(&record(&[0, 100]), CifarLabels::Fine).is_err());
    }
}
