use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// An IDX file built by hand.
fn idx(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    for size in dimensions {
        file.extend(size.to_be_bytes());
    }
    file.extend(elements);
    file
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Three images of 2x4 for training, two for testing; the classes go up to 200.
fn good() -> [(&'static str, Vec<u8>); 4] {
    let pixels: Vec<u8> = (0..24).map(|i| 255 - i).collect();
    [
        (TRAIN[0], idx(&[3, 2, 4], &pixels)),
        (TRAIN[1], idx(&[3], &[7, 0, 200])),
        (TEST[0], idx(&[2, 2, 4], &pixels[..16])),
        (TEST[1], idx(&[2], &[1, 0])),
    ]
}

/// Loads the good files after `change`.
fn load(change: impl FnOnce(&mut [(&'static str, Vec<u8>); 4])) -> Result<DataSet, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let mut files = good();
    change(&mut files);
    for (name, content) in files {
        if !name.is_empty() {
            fs::write(folder.path().join(name), content).unwrap();
        }
    }
    DataSet::load(folder.path())
}

/// The message of the error after `change`.
fn message(change: impl FnOnce(&mut [(&'static str, Vec<u8>); 4])) -> String {
    load(change).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn plain_and_gzip_are_told_apart_by_content() {
    let plain = load(|_| {}).unwrap();
    assert_eq!(plain.train.size, [2, 4]);
    assert_eq!(plain.train.labels, [7, 0, 200]);
    assert_eq!(plain.train.image(1), [247, 246, 245, 244, 243, 242, 241, 240]);
    assert_eq!((plain.test.len(), plain.test.is_empty()), (2, false));
    let packed = load(|files| {
        files[0].1 = gzip(&files[0].1);
        files[3] = ("t10k-labels-idx1-ubyte.gz", gzip(&files[3].1));
        // Named .gz, but plain.
        files[2].0 = "t10k-images-idx3-ubyte.gz";
    })
    .unwrap();
    assert_eq!((plain.train, plain.test), (packed.train, packed.test));
}

#[test]
fn embedded_subset() {
    let data = DataSet::embedded();
    assert_eq!((data.train.len(), data.test.len()), (8000, 2000));
    data.require([28, 28, 1], 10).unwrap();
    for images in [&data.train, &data.test] {
        let mut counts = [0_usize; 10];
        for &label in &images.labels {
            counts[usize::from(label)] += 1;
        }
        // MNIST has between 9.0 % (fives) and 11.2 % (ones) of each digit.
        for count in counts {
            let share = count as f64 / images.len() as f64;
            assert!((0.08..0.12).contains(&share), "{counts:?}");
        }
    }
    let training: std::collections::HashSet<&[u8]> = (0..data.train.len()).map(|i| data.train.image(i)).collect();
    assert_eq!(training.len(), data.train.len(), "an image occurs twice");
    assert!((0..data.test.len()).all(|i| !training.contains(data.test.image(i))));
}

#[test]
fn missing_files_and_folders() {
    assert_says(&message(|files| files[1].0 = ""), &["train-labels-idx1-ubyte.gz", "four IDX files"]);
    let empty = tempfile::tempdir().unwrap();
    assert_says(&DataSet::load(empty.path()).unwrap_err().to_string(), &["train-images-idx3-ubyte", "four IDX files"]);
    let nowhere = empty.path().join("nowhere");
    assert!(matches!(
        DataSet::load(&nowhere),
        Err(DataError::Read { file, .. }) if file == nowhere
    ));
}

#[test]
fn truncated_files() {
    // In the elements, in the header, in the first four bytes, and empty.
    for length in [39, 13, 3, 0] {
        let plain = message(|files| files[0].1.truncate(length));
        assert_says(&plain, &["train-images-idx3-ubyte", "truncated", &format!("{length} present")]);
        let whole_gzip = message(|files| {
            files[0].1.truncate(length);
            files[0].1 = gzip(&files[0].1);
        });
        assert_says(&whole_gzip, &["truncated", &format!("{length} present")]);
    }
    let full = gzip(&good()[0].1).len();
    for cut in 1..full - 2 {
        let error = load(|files| {
            files[0].1 = gzip(&files[0].1);
            files[0].1.truncate(full - cut);
        })
        .unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, DataError::Gzip { .. } | DataError::Truncated { .. }), "{cut}: {message}");
        assert_says(&message, &["train-images-idx3-ubyte", "fetch the file again"]);
    }
}

#[test]
fn damaged_gzip() {
    let full = gzip(&good()[0].1).len();
    // The checksum, and the first byte of the compressed stream.
    for position in [full - 6, 10] {
        let message = message(|files| {
            files[0].1 = gzip(&files[0].1);
            files[0].1[position] ^= 0xff;
        });
        assert_says(&message, &["train-images-idx3-ubyte", "fetch the file again"]);
    }
}

#[test]
fn mislabelled_files() {
    assert_says(
        &message(|files| files[1].1 = files[0].1.clone()),
        &["train-labels", "this is a file of images", "[00, 00, 08, 01]"],
    );
    assert_says(&message(|files| files[2].1 = files[3].1.clone()), &["t10k-images", "this is a file of labels"]);
    assert_says(
        &message(|files| files[2].1 = b"\x89PNG\r\n".to_vec()),
        &["t10k-images", "starts with [89, 50, 4e, 47]", "IDX file of images"],
    );
    // Elements of another type: 16-bit integers.
    assert_says(&message(|files| files[2].1[2] = 0x0b), &["[00, 00, 0b, 03]"]);
}

#[test]
fn trailing_bytes() {
    let plain = message(|files| files[1].1.push(0));
    assert_says(&plain, &["train-labels", "more data than the 11 bytes"]);
    let packed = message(|files| {
        files[1].1.push(0);
        files[1].1 = gzip(&files[1].1);
    });
    assert_says(&packed, &["train-labels", "more data than the 11 bytes"]);
}

#[test]
fn impossible_sizes_allocate_nothing() {
    for sizes in [[0, 2, 4], [3, 0, 4], [u32::MAX, u32::MAX, 4], [u32::MAX; 3], [1 << 20, 40, 40]] {
        let error = load(|files| files[0].1 = idx(&sizes, &[1; 24])).unwrap_err();
        assert!(matches!(error, DataError::Size { .. }), "{error}");
    }
    // Just below the limit, but not there: the buffer holds what was read, not what was announced.
    let file = Path::new("file");
    let error = super::idx::images(file, &idx(&[1 << 20, 32, 32], &[1; 24])).unwrap_err();
    assert_says(&error.to_string(), &["file: truncated: 1073741840 bytes", "40 present"]);
}

#[test]
fn images_and_labels_that_do_not_belong_together() {
    assert_says(&message(|files| files[1].1 = idx(&[2], &[1, 2])), &["3 images", "2 labels", "train-labels"]);
    assert_says(&message(|files| files[2].1 = idx(&[2, 4, 2], &[0; 16])), &["[2, 4]", "[4, 2]", "one size"]);
}

#[test]
fn what_a_network_cannot_use() {
    let data = load(|_| {}).unwrap();
    data.require([2, 4, 1], 201).unwrap();
    assert_says(&data.require([28, 28, 1], 201).unwrap_err().to_string(), &["[2, 4, 1]", "[28, 28, 1]"]);
    assert_says(&data.require([2, 4, 1], 10).unwrap_err().to_string(), &["training image 2", "label 200", "0 to 9"]);
}
