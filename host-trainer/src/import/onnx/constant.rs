//! Constant tensors, and the operators on them: what exporters leave of shapes that they compute.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::schema::{self, element};
use bareconv::Quantization;
use prost::Message;
use prost::bytes::Bytes;
use std::rc::Rc;

/// Dimensions of a tensor.
pub(super) const MOST_DIMENSIONS: usize = 8;
/// Values of a tensor.
pub(super) const MOST_VALUES: usize = 1 << 30;

/// A constant tensor.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub dims: Vec<usize>,
    pub data: Data,
    /// What its integers stand for, if `DequantizeLinear` has said so: they are real numbers then.
    pub quantized: Option<Rc<Scales>>,
}

/// Its numbers, in the order of its dimensions.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Float(Rc<[f32]>),
    /// Of a type of [`element`].
    Integer(i32, Rc<[i64]>),
}

/// Scales and zero points, for the whole or along an axis.
#[derive(Clone, Debug)]
pub(super) struct Scales {
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    pub axis: usize,
}

/// The product of dimensions, if a tensor may have as many values; an empty one may not be.
pub(super) fn length(dims: &[usize]) -> Step<usize> {
    let len = dims.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
    match len {
        Some(len) if len <= MOST_VALUES && dims.len() <= MOST_DIMENSIONS => Ok(len),
        _ => unsupported(format!("a tensor has more than 2^30 values, or more than 8 dimensions: {dims:?}")),
    }
}

impl Constant {
    pub(super) fn integers(dims: Vec<usize>, kind: i32, values: Vec<i64>) -> Self {
        Self { dims, data: Data::Integer(kind, values.into()), quantized: None }
    }

    pub(super) fn floats(dims: Vec<usize>, values: Vec<f32>) -> Self {
        Self { dims, data: Data::Float(values.into()), quantized: None }
    }

    /// Reads a tensor; `external` brings bytes of other files, by their names, places and lengths.
    pub(super) fn read(bytes: Bytes, external: &mut dyn FnMut(&External) -> Step<Bytes>) -> Step<(String, Self)> {
        let tensor = match schema::Tensor::decode(bytes) {
            Ok(tensor) => tensor,
            Err(error) => return broken(error.to_string()),
        };
        let name = super::call::short(&tensor.name);
        let mut dims = Vec::new();
        require(tensor.dims.len() <= MOST_DIMENSIONS, "a tensor has more than 8 dimensions")?;
        for &size in &tensor.dims {
            match usize::try_from(size) {
                Ok(size) => dims.push(size),
                Err(_) => return broken(format!("tensor `{name}` has a dimension of {size}")),
            }
        }
        let len = length(&dims)?;
        require(tensor.segment.is_none(), "a tensor is divided into segments")?;
        let kind = tensor.data_type;
        let size = match kind {
            element::FLOAT | element::INT32 => 4,
            element::INT8 | element::UINT8 | element::BOOL => 1,
            element::INT64 | element::DOUBLE => 8,
            _ => {
                return nearest(
                    format!("tensor `{name}` is {}", element::name(kind)),
                    "float, or int8 and uint8 with scales",
                );
            }
        };
        let raw = if tensor.data_location == 0 {
            tensor.raw_data.filter(|raw| !raw.is_empty())
        } else {
            Some(external(&External::read(&tensor.external_data, len * size)?)?)
        };
        let data = match raw {
            Some(raw) if raw.len() != len * size => {
                return broken(format!("tensor `{name}` has {} bytes for the shape {dims:?}", raw.len()));
            }
            Some(raw) => decode(kind, &raw),
            None => match kind {
                element::FLOAT => Data::Float(tensor.float_data.into()),
                element::INT64 => Data::Integer(kind, tensor.int64_data.into()),
                element::DOUBLE => return unsupported(format!("tensor `{name}` is double, not as raw data")),
                _ => Data::Integer(kind, tensor.int32_data.iter().map(|&value| value.into()).collect()),
            },
        };
        if data.len() != len {
            return broken(format!("tensor `{name}` has {} values for the shape {dims:?}", data.len()));
        }
        Ok((tensor.name, Self { dims, data, quantized: None }))
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Its values as real numbers.
    pub(super) fn to_f32(&self) -> Step<Rc<[f32]>> {
        match (&self.data, &self.quantized) {
            (Data::Float(values), _) => Ok(values.clone()),
            (Data::Integer(_, values), Some(of)) => {
                let channel = self.channels(of);
                let real =
                    |(i, &value): (usize, &i64)| (value - of.zero_point(channel(i))) as f32 * of.scale(channel(i));
                Ok(values.iter().enumerate().map(real).collect())
            }
            (Data::Integer(kind, _), None) => unsupported(format!("a constant is {}, not float", element::name(*kind))),
        }
    }

    /// The place of each value along the axis of its scales.
    pub(super) fn channels(&self, of: &Scales) -> impl Fn(usize) -> usize + use<> {
        let inner: usize = self.dims.iter().skip(of.axis + 1).product::<usize>().max(1);
        let count = self.dims.get(of.axis).copied().unwrap_or(1).max(1);
        move |index| index / inner % count
    }

    /// Its values as whole numbers: a shape, axes, indices.
    pub(super) fn whole(&self) -> Step<&[i64]> {
        match (&self.data, &self.quantized) {
            (Data::Integer(_, values), None) => Ok(values),
            _ => unsupported("shapes, axes and indices are integers"),
        }
    }

    /// Its only value as a real number.
    pub(super) fn single(&self) -> Step<f32> {
        match self.to_f32()?[..] {
            [value] => Ok(value),
            _ => unsupported(format!("a constant of the shape {:?} has not one value", self.dims)),
        }
    }

    /// int8 values and their quantization, if that is one for all: uint8 becomes int8.
    pub(super) fn int8(&self) -> Option<(Vec<i8>, Quantization)> {
        let (Data::Integer(kind @ (element::INT8 | element::UINT8), values), Some(of)) = (&self.data, &self.quantized)
        else {
            return None;
        };
        let shift = if *kind == element::UINT8 { 128 } else { 0 };
        let (&[scale], &[zero_point]) = (&of.scales[..], &of.zero_points[..]) else { return None };
        let zero_point = i8::try_from(zero_point - shift).ok()?;
        let values: Option<Vec<i8>> = values.iter().map(|value| i8::try_from(value - shift).ok()).collect();
        Some((values?, Quantization::new(scale, zero_point)))
    }

    /// The values at these places, in a tensor of these dimensions.
    pub(super) fn gathered(&self, dims: Vec<usize>, places: impl Iterator<Item = usize>) -> Self {
        let data = match &self.data {
            Data::Float(values) => Data::Float(places.map(|place| values[place]).collect()),
            Data::Integer(kind, values) => Data::Integer(*kind, places.map(|place| values[place]).collect()),
        };
        Self { dims, data, quantized: self.quantized.clone() }
    }

    /// The sum, difference, product or quotient of integers, as exporters compute shapes; none where they are other numbers.
    pub(super) fn arithmetic(operator: &str, a: &Self, b: &Self) -> Step<Option<Self>> {
        let (Data::Integer(kind, x), Data::Integer(_, y)) = (&a.data, &b.data) else { return Ok(None) };
        if a.quantized.is_some() || b.quantized.is_some() {
            return Ok(None);
        }
        let len = a.len().max(b.len());
        let fits = |one: &Self| one.len() == len || one.len() == 1;
        require(fits(a) && fits(b), "the shapes of its inputs do not fit")?;
        require(len <= 1 << 16, "it computes with more integers than shapes have")?;
        let mut values = Vec::new();
        for i in 0..len {
            let (x, y) = (x[i % x.len()], y[i % y.len()]);
            let value = match operator {
                "Add" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                _ => x.checked_div(y),
            };
            match value {
                Some(value) => values.push(value),
                None => return broken("a whole number is too large, or divided by zero"),
            }
        }
        let dims = if a.len() == len && a.dims.len() >= b.dims.len() { &a.dims } else { &b.dims };
        let dims = if dims.iter().product::<usize>() == len { dims.clone() } else { vec![len] };
        Ok(Some(Self::integers(dims, *kind, values)))
    }
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Integer(_, values) => values.len(),
        }
    }
}

impl Scales {
    pub(super) fn scale(&self, channel: usize) -> f32 {
        self.scales[channel % self.scales.len()]
    }

    pub(super) fn zero_point(&self, channel: usize) -> i64 {
        self.zero_points[channel % self.zero_points.len()]
    }
}

/// Little-endian numbers of a type whose size has been looked at.
fn decode(kind: i32, raw: &[u8]) -> Data {
    match kind {
        element::FLOAT => Data::Float(raw.as_chunks().0.iter().map(|&n| f32::from_le_bytes(n)).collect()),
        element::DOUBLE => Data::Float(raw.as_chunks().0.iter().map(|&n| f64::from_le_bytes(n) as f32).collect()),
        element::INT32 => {
            Data::Integer(kind, raw.as_chunks().0.iter().map(|&n| i32::from_le_bytes(n).into()).collect())
        }
        element::INT64 => Data::Integer(kind, raw.as_chunks().0.iter().map(|&n| i64::from_le_bytes(n)).collect()),
        element::INT8 => Data::Integer(kind, raw.iter().map(|&n| n.cast_signed().into()).collect()),
        _ => Data::Integer(kind, raw.iter().map(|&n| n.into()).collect()),
    }
}

/// Where the numbers of a tensor are that are in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct External {
    pub location: String,
    pub offset: u64,
    pub length: usize,
}

impl External {
    fn read(entries: &[Bytes], length: usize) -> Step<Self> {
        let mut external = Self { location: String::new(), offset: 0, length };
        for bytes in entries.iter().take(16) {
            let entry = match schema::Entry::decode(bytes.clone()) {
                Ok(entry) => entry,
                Err(error) => return broken(error.to_string()),
            };
            let number = || entry.value.parse::<u64>().or_else(|_| broken(format!("`{}` is no number", entry.key)));
            match entry.key.as_str() {
                "location" => external.location.clone_from(&entry.value),
                "offset" => external.offset = number()?,
                "length" if number()? != length as u64 => {
                    return broken("the length of external data is not that of its tensor");
                }
                _ => (),
            }
        }
        Ok(external)
    }
}
