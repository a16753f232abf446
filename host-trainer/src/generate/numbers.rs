//! Numbers as Rust text.

use bareconv::Quantization;
use std::fmt::{Display, Write};

/// Width of the lines of numbers.
const COLUMNS: usize = 116;

/// A number as a Rust literal of its type.
pub(super) trait Literal: Copy {
    fn literal(self) -> String;
}

impl Literal for i8 {
    fn literal(self) -> String {
        self.to_string()
    }
}

impl Literal for i16 {
    fn literal(self) -> String {
        self.to_string()
    }
}

impl Literal for i32 {
    fn literal(self) -> String {
        self.to_string()
    }
}

impl Literal for f32 {
    fn literal(self) -> String {
        if self.is_nan() {
            // The sign and the payload of a NaN are of no consequence anywhere.
            "f32::NAN".to_owned()
        } else if self.is_infinite() {
            if self > 0.0 { "f32::INFINITY".to_owned() } else { "f32::NEG_INFINITY".to_owned() }
        } else {
            format!("{self:?}")
        }
    }
}

/// The expression of a quantization.
pub(super) fn quantization(of: Quantization) -> String {
    format!("Quantization::new({}, {})", of.scale.literal(), of.zero_point)
}

/// The type of an array of these dimensions, the outermost first.
pub(super) fn array_type(element: &str, dimensions: &[usize]) -> String {
    dimensions.iter().rev().fold(element.to_owned(), |inner, size| format!("[{inner}; {size}]"))
}

/// An array of these dimensions, the outermost first, indented by `indent` levels, without the first indentation and
/// the last line's end.
pub(super) fn array<T: Literal>(numbers: &[T], dimensions: &[usize], indent: usize) -> String {
    let mut text = String::new();
    write_array(&mut text, numbers, dimensions, indent);
    text
}

fn write_array<T: Literal>(text: &mut String, numbers: &[T], dimensions: &[usize], indent: usize) {
    if let [first, rest @ ..] = numbers
        && rest.len() > 3
        // As text, because a negative zero is no zero.
        && rest.iter().all(|number| number.literal() == first.literal())
    {
        let inner = dimensions.iter().rev().fold(first.literal(), |inner, size| format!("[{inner}; {size}]"));
        text.push_str(&inner);
        return;
    }
    let Some(line) = flat(numbers, dimensions, COLUMNS.saturating_sub(4 * indent + 1)) else {
        text.push_str("[\n");
        let (size, rest) = dimensions.split_first().unwrap_or((&1, &[]));
        let part = (numbers.len() / size).max(1);
        if rest.is_empty() {
            lines(text, indent + 1, numbers.iter().map(|number| number.literal()));
        } else {
            let short: Option<Vec<_>> = numbers.chunks(part).map(|part| flat(part, rest, COLUMNS / 3)).collect();
            if let Some(short) = short {
                lines(text, indent + 1, short.iter());
            } else {
                for part in numbers.chunks(part) {
                    text.push_str(&"    ".repeat(indent + 1));
                    write_array(text, part, rest, indent + 1);
                    text.push_str(",\n");
                }
            }
        }
        text.push_str(&"    ".repeat(indent));
        text.push(']');
        return;
    };
    text.push_str(&line);
}

/// The array in one line, if that has at most so many columns.
fn flat<T: Literal>(numbers: &[T], dimensions: &[usize], columns: usize) -> Option<String> {
    // Three columns are the least for a number, a comma and a space; the last has only one.
    if 3 * numbers.len() > columns + 2 {
        return None;
    }
    let inner: Vec<_> = match dimensions {
        [] | [_] => numbers.iter().map(|number| number.literal()).collect(),
        [size, rest @ ..] => {
            let part = (numbers.len() / size).max(1);
            numbers.chunks(part).map(|part| flat(part, rest, columns)).collect::<Option<_>>()?
        }
    };
    let line = format!("[{}]", inner.join(", "));
    (line.len() <= columns).then_some(line)
}

/// Comma-separated values in lines, indented by `indent` levels.
fn lines(text: &mut String, indent: usize, values: impl Iterator<Item = impl Display>) {
    let mut line = String::new();
    let mut flush = |line: &mut String| {
        if !line.is_empty() {
            let _ = writeln!(text, "{}{line}", "    ".repeat(indent));
            line.clear();
        }
    };
    for value in values {
        let value = value.to_string();
        if 4 * indent + line.len() + value.len() + 2 > COLUMNS {
            flush(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&value);
        line.push(',');
    }
    flush(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_what_they_were() {
        for number in [0.1f32, -0.0, 1e-38, f32::MAX, f32::MIN_POSITIVE, 3.0] {
            assert_eq!(number.literal().parse::<f32>().unwrap().to_bits(), number.to_bits());
        }
        assert_eq!(f32::NEG_INFINITY.literal(), "f32::NEG_INFINITY");
        assert_eq!(f32::NAN.literal(), "f32::NAN");
    }

    #[test]
    fn arrays_are_nested() {
        assert_eq!(array_type("i8", &[3, 2, 1]), "[[[i8; 1]; 2]; 3]");
        assert_eq!(array(&[1i8, 2, 3, 4, 5, 6], &[3, 2], 0), "[[1, 2], [3, 4], [5, 6]]");
        assert_eq!(array(&[0i32; 6], &[3, 2], 0), "[[0; 2]; 3]");
        // Negative zeros are zeros to `==`.
        assert_eq!(array(&[0.0f32, -0.0, 0.0, 0.0, 0.0], &[5], 0), "[0.0, -0.0, 0.0, 0.0, 0.0]");
        let long: Vec<i8> = (0..100).collect();
        let text = array(&long, &[2, 50], 0);
        assert!(text.starts_with("[\n    [\n        0, 1, 2,") && text.ends_with(",\n    ],\n]"), "{text}");
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
    }
}
