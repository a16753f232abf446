//! NumPy's `.npy` files: the bytes `\x93NUMPY`, a version, the length of a header, the header (a Python dictionary of
//! the type, the order and the shape), then the elements. Described at
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::content::{LIMIT, read_plain};
use super::{DataError, Images};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// An array as it is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyArray {
    /// The type as NumPy names it: `|i1`, `<f4`.
    pub kind: String,
    /// Its dimensions, the outermost first.
    pub shape: Vec<usize>,
    /// The bytes of its elements, in C order.
    pub elements: Vec<u8>,
}

impl NpyArray {
    /// Reads a `.npy` file of any type.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not what `numpy.save` writes in C order.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let content = read_plain(path)?;
        let Array { kind, shape, elements } = parse(path, &content)?;
        Ok(Self { kind, shape, elements: elements.to_vec() })
    }
}

/// A parsed file.
struct Array<'a> {
    /// The type as NumPy names it: `|u1`.
    kind: String,
    shape: Vec<usize>,
    elements: &'a [u8],
}

/// Images `[count, height, width]` or `[count, height, width, channels]` of type `uint8`, and a whole number of any
/// type for each.
pub(super) fn read(images: &Path, labels: &Path) -> Result<Images, DataError> {
    let ([size @ .., channels], pixels) = parse_images(images, &read_plain(images)?)?;
    let labels_found = parse_labels(labels, &read_plain(labels)?)?;
    let image_count = pixels.len() / (size[0] * size[1] * channels);
    if image_count != labels_found.len() {
        return Err(DataError::Counts {
            images: images.to_owned(),
            labels: labels.to_owned(),
            image_count,
            label_count: labels_found.len(),
        });
    }
    Ok(Images { size, channels, pixels, labels: labels_found })
}

fn parse_images(file: &Path, content: &[u8]) -> Result<([usize; 3], Vec<u8>), DataError> {
    let array = parse(file, content)?;
    if !matches!(array.kind.as_str(), "|u1" | "u1" | "<u1" | ">u1") {
        return Err(DataError::content(
            file,
            format!("images of type `{}`", array.kind),
            "save them as bytes from 0 to 255, `images.astype(numpy.uint8)`",
        ));
    }
    let shape = match array.shape[..] {
        [_, height, width] => [height, width, 1],
        [_, height, width, channels @ 1..=4] => [height, width, channels],
        _ => {
            return Err(DataError::content(
                file,
                format!("images of the shape {:?}", array.shape),
                "save them as [count, height, width] or [count, height, width, channels] with 1 to 4 channels, \
                 `numpy.transpose(images, (0, 2, 3, 1))` if channels come first",
            ));
        }
    };
    Ok((shape, array.elements.to_vec()))
}

fn parse_labels(file: &Path, content: &[u8]) -> Result<Vec<u8>, DataError> {
    let array = parse(file, content)?;
    if array.shape.iter().skip(1).any(|&size| size != 1) {
        return Err(DataError::content(
            file,
            format!("labels of the shape {:?}", array.shape),
            "save one number for each image, `labels.argmax(axis=1)` if there is a value for each class",
        ));
    }
    let (swap, kind) = match array.kind.split_at_checked(1) {
        Some((">", kind)) => (true, kind),
        Some(("<" | "|" | "=", kind)) => (false, kind),
        _ => (false, array.kind.as_str()),
    };
    let size = match kind {
        "u1" | "i1" => 1,
        "u2" | "i2" => 2,
        "u4" | "i4" => 4,
        "u8" | "i8" => 8,
        _ => {
            return Err(DataError::content(
                file,
                format!("labels of type `{}`", array.kind),
                "save whole numbers, `labels.astype(numpy.uint8)`",
            ));
        }
    };
    let mut labels = Vec::with_capacity(array.elements.len() / size);
    for (index, bytes) in array.elements.chunks_exact(size).enumerate() {
        // The least significant byte is the label and the others are 0; a negative number has its sign elsewhere,
        // except in one byte.
        let (low, high) = if swap { (bytes[size - 1], &bytes[..size - 1]) } else { (bytes[0], &bytes[1..]) };
        if high.iter().any(|&byte| byte != 0) || (kind == "i1" && low >= 128) {
            return Err(DataError::content(
                file,
                format!("label {index} (counted from 0) is none of 0 to 255"),
                "number the classes from 0 on",
            ));
        }
        labels.push(low);
    }
    Ok(labels)
}

fn parse<'a>(file: &Path, content: &'a [u8]) -> Result<Array<'a>, DataError> {
    let damaged = |problem: &str| DataError::content(file, problem, "save it again with `numpy.save`");
    if content.starts_with(b"PK") {
        return Err(DataError::content(
            file,
            "it is an .npz archive",
            "save images and labels as an .npy file each, with `numpy.save`",
        ));
    }
    let Some(rest) = content.strip_prefix(MAGIC) else {
        return Err(damaged("it does not start like an .npy file"));
    };
    let truncated = || damaged("the header is truncated");
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [version, ..] if !(1..=3).contains(version) => {
            return Err(damaged(&format!("version {version} of the format is unknown")));
        }
        _ => return Err(truncated()),
    };
    let (header, elements) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged("the header is no text"))?;
    let (kind, fortran, shape) =
        dictionary(header).ok_or_else(|| damaged(&format!("the header `{}` is not understood", clipped(header))))?;
    if fortran && shape.len() > 1 {
        return Err(DataError::content(
            file,
            "the elements are in Fortran order",
            "save them in C order, `numpy.ascontiguousarray(images)`",
        ));
    }
    let bytes = kind.trim_start_matches(['<', '>', '|', '=']).get(1..).and_then(|size| size.parse::<u64>().ok());
    let expected = shape
        .iter()
        .try_fold(bytes.unwrap_or(1).max(1), |product, &size| product.checked_mul(size as u64))
        .filter(|&expected| expected > 0 && expected <= LIMIT);
    let Some(expected) = expected else {
        return Err(DataError::content(
            file,
            format!("the header announces the shape {shape:?}"),
            format!("sizes must be at least 1 and the whole file at most {LIMIT} bytes"),
        ));
    };
    if elements.len() as u64 != expected {
        return Err(damaged(&format!(
            "{expected} bytes of elements announced by its header, {} present",
            elements.len()
        )));
    }
    Ok(Array { kind, shape, elements })
}

/// The first 80 characters.
fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `descr`, `fortran_order` and `shape` of a header like
/// `{'descr': '|u1', 'fortran_order': False, 'shape': (10, 28, 28), }`.
fn dictionary(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut kind, mut fortran, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        match key {
            "descr" if kind.is_none() => {
                let (value, after) = quoted(rest)?;
                kind = Some(value.to_owned());
                rest = after;
            }
            "fortran_order" if fortran.is_none() => {
                let value = rest.starts_with("True");
                rest = rest.strip_prefix(if value { "True" } else { "False" })?;
                fortran = Some(value);
            }
            "shape" if shape.is_none() => {
                let (value, after) = rest.strip_prefix('(')?.split_once(')')?;
                let value = value.trim();
                let sizes = value.strip_suffix(',').unwrap_or(value);
                // NumPy's arrays have at most 64 dimensions.
                if sizes.split(',').count() > 64 {
                    return None;
                }
                let sizes = if sizes.is_empty() {
                    Some(Vec::new())
                } else {
                    sizes.split(',').map(|size| size.trim().parse().ok()).collect()
                };
                shape = Some(sizes?);
                rest = after;
            }
            _ => return None,
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').or(rest.is_empty().then_some(rest))?.trim_start();
    }
    Some((kind?, fortran?, shape?))
}

/// A quoted string without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as NumPy writes it: the header padded with spaces to a multiple of 64 and ended by a line feed.
    fn npy(header: &str, elements: &[u8]) -> Vec<u8> {
        let mut header = header.to_owned();
        while !(header.len() + 11).is_multiple_of(64) {
            header.push(' ');
        }
        header.push('\n');
        let mut file = [MAGIC, &[1_u8, 0][..]].concat();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(elements);
        file
    }

    fn header(kind: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")
    }

    #[track_caller]
    fn assert_images_fail(content: &[u8], parts: &[&str]) {
        let message = parse_images(Path::new("file"), content).unwrap_err().to_string();
        for part in [&["file: "], parts].concat() {
            assert!(message.contains(part), "`{part}` is missing in: {message}");
        }
    }

    #[test]
    fn images_and_labels() {
        let elements: Vec<u8> = (0..24).collect();
        let file = Path::new("file");
        for (shape, expected) in [("(4, 2, 3)", [2, 3, 1]), ("(2, 2, 2, 3)", [2, 2, 3])] {
            assert_eq!(
                parse_images(file, &npy(&header("|u1", shape), &elements)).unwrap(),
                (expected, elements.clone())
            );
        }
        let labels = [7_i64, 0, 255];
        let little: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        let big: Vec<u8> = labels.iter().flat_map(|&label| (label as u16).to_be_bytes()).collect();
        assert_eq!(parse_labels(file, &npy(&header("<i8", "(3,)"), &little)).unwrap(), [7, 0, 255]);
        assert_eq!(parse_labels(file, &npy(&header(">u2", "(3, 1)"), &big)).unwrap(), [7, 0, 255]);
        assert_eq!(parse_labels(file, &npy(&header("|u1", "(3,)"), &[7, 0, 255])).unwrap(), [7, 0, 255]);
    }

    #[test]
    fn files_of_numpy_itself() {
        // numpy.save("x.npy", numpy.arange(6, dtype=numpy.uint8).reshape(1, 2, 3)), NumPy 2.
        let mut content =
            b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 3), }".to_vec();
        content.resize(127, b' ');
        content.push(b'\n');
        content.extend(0..6);
        assert_eq!(parse_images(Path::new("file"), &content).unwrap(), ([2, 3, 1], (0..6).collect()));
    }

    #[test]
    fn what_cannot_be_used() {
        assert_images_fail(&npy(&header("<f4", "(1, 1, 1)"), &[0; 4]), &["`<f4`", "uint8"]);
        assert_images_fail(&npy(&header("|u1", "(1, 3, 32, 32)"), &[0; 3072]), &["[1, 3, 32, 32]", "transpose"]);
        assert_images_fail(&npy(&header("|u1", "(4,)"), &[0; 4]), &["[4]"]);
        assert_images_fail(&npy(&header("|u1", "()"), &[0; 1]), &["[]"]);
        assert_images_fail(&npy(&header("|u1", "(2, 2, 2)"), &[0; 9]), &["8 bytes", "9 present"]);
        assert_images_fail(&npy(&header("|u1", "(2, 2, 2)"), &[0; 7]), &["7 present", "numpy.save"]);
        assert_images_fail(&npy(&header("|u1", "(2, 0, 2)"), &[]), &["[2, 0, 2]", "at least 1"]);
        for shape in ["(4294967296, 4294967296, 2)", "(1073741825, 1, 1)"] {
            assert_images_fail(&npy(&header("|u1", shape), &[]), &["at most 1073741824 bytes"]);
        }
        let fortran = header("|u1", "(1, 2, 2)").replace("False", "True");
        assert_images_fail(&npy(&fortran, &[0; 4]), &["Fortran", "ascontiguousarray"]);
        assert_images_fail(b"PK\x03\x04", &[".npz"]);
        assert_images_fail(b"", &["does not start"]);
        for header in ["{", "{}", "[]", "{'descr': '|u1'}", "{'descr': [('a', '|u1')], }", "{'shape': (-1,), }"] {
            assert_images_fail(&npy(header, &[]), &["header"]);
        }
        let labels = |kind: &str, shape: &str, elements: &[u8]| {
            parse_labels(Path::new("file"), &npy(&header(kind, shape), elements)).unwrap_err().to_string()
        };
        assert!(labels("<i2", "(2,)", &[1, 0, 0, 1]).contains("label 1 "));
        assert!(labels("|i1", "(1,)", &[255]).contains("label 0 "));
        assert!(labels("<f8", "(1,)", &[0; 8]).contains("uint8"));
        assert!(labels("|u1", "(2, 10)", &[0; 20]).contains("argmax"));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = npy(&header("|u1", "(2, 2, 2)"), &[9; 8]);
        assert!(parse_images(Path::new("file"), &whole).is_ok());
        for length in 0..whole.len() {
            assert!(parse_images(Path::new("file"), &whole[..length]).is_err(), "{length}");
        }
    }
}
