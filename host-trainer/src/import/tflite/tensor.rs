//! The file's tensors: shapes, types, constant numbers.

use super::schema::{self, kind};
use crate::graph::{Element, Numbers, Shape};
use crate::import::fault::{Step, broken, nearest, unsupported};
use bareconv::Quantization;
use planus::Vector;

/// Dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;
/// Bytes of a name.
const LONGEST_NAME: usize = 200;

/// A tensor of the file.
pub(super) struct Tensor<'a> {
    name: &'a str,
    pub(super) dimensions: Vec<usize>,
    pub(super) kind: i8,
    /// What it holds, if that is constant.
    pub(super) data: Option<&'a [u8]>,
    /// Whether it is what an input may not be: dynamic, sparse, a variable.
    oddity: Option<&'static str>,
    pub(super) scales: Vector<'a, f32>,
    pub(super) zero_points: Vector<'a, i64>,
    pub(super) quantized_dimension: i32,
    /// Whether a dimension behind the first is open.
    pub(super) dynamic: bool,
}

impl<'a> Tensor<'a> {
    pub(super) fn read(table: schema::Tensor<'a>, buffers: &schema::Tables<'a, schema::Buffer<'a>>) -> Step<Self> {
        let shape = table.shape()?.unwrap_or(Vector::new_empty());
        let mut oddity = None;
        if shape.len() > MOST_DIMENSIONS {
            oddity = Some("it has more than 8 dimensions");
        }
        let mut dimensions = Vec::new();
        for size in shape.iter().take(MOST_DIMENSIONS) {
            if size < 1 {
                oddity = Some("a dimension is not positive: its shape is dynamic, or it is empty");
            }
            dimensions.push(usize::try_from(size).unwrap_or(0));
        }
        if table.is_variable()? {
            oddity = Some("it is a variable");
        }
        if table.sparsity()?.is_some() {
            oddity = Some("it is sparse");
        }
        let (mut scales, mut zero_points, mut quantized_dimension) = (Vector::new_empty(), Vector::new_empty(), 0);
        if let Some(quantization) = table.quantization()? {
            if quantization.details_type()? != 0 {
                oddity = Some("its quantization is a custom one");
            }
            scales = quantization.scale()?.unwrap_or(Vector::new_empty());
            zero_points = quantization.zero_point()?.unwrap_or(Vector::new_empty());
            quantized_dimension = quantization.quantized_dimension()?;
        }
        let Some(buffer) = buffers.get(table.buffer()? as usize)? else {
            return broken("a tensor's buffer is not one of the file's");
        };
        if buffer.offset()? > 1 || buffer.size()? > 1 || table.external_buffer()? != 0 {
            oddity = Some("its data is outside of the file's tables");
        }
        let data = buffer.data()?.filter(|data| !data.is_empty());
        let kind = table.kind()?;
        let name = table.name()?.unwrap_or("");
        // The batch is 1 whatever the signature says.
        let dynamic = table.shape_signature()?.is_some_and(|signature| signature.iter().skip(1).any(|size| size < 0));
        Ok(Self { name, dimensions, kind, data, oddity, scales, zero_points, quantized_dimension, dynamic })
    }

    pub(super) fn kind_name(&self) -> String {
        let known = usize::try_from(self.kind).ok().and_then(|kind| kind::NAMES.get(kind));
        known.map_or_else(|| format!("type {}", self.kind), ToString::to_string)
    }

    pub(super) fn short_name(&self) -> &'a str {
        let mut end = self.name.len().min(LONGEST_NAME);
        while !self.name.is_char_boundary(end) {
            end -= 1;
        }
        &self.name[..end]
    }

    /// The number of its values, if it can be.
    pub(super) fn len(&self) -> Step<usize> {
        let len = self.dimensions.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        match len {
            Some(len) if len <= 1 << 30 => Ok(len),
            _ => unsupported(format!("tensor `{}` has more than 2^30 values", self.short_name())),
        }
    }

    /// Height, width and channels.
    pub(super) fn shape(&self) -> Step<Shape> {
        shape_of(&self.dimensions)
            .map_or_else(|| unsupported(format!("tensor `{}` has the shape {:?}, of more than three dimensions without the batch, or a batch other than 1", self.short_name(), self.dimensions)), Ok)
    }

    pub(super) fn whole(&self) -> Step<()> {
        self.oddity.map_or(Ok(()), |oddity| unsupported(format!("tensor `{}`: {oddity}", self.short_name())))
    }

    /// What it holds, of this type, all of it.
    pub(super) fn constant(&self, kind: i8, size: usize) -> Step<&'a [u8]> {
        self.whole()?;
        let name = self.short_name();
        if self.kind != kind {
            return unsupported(format!("tensor `{name}` is {}, not {}", self.kind_name(), kind::NAMES[kind as usize]));
        }
        let Some(data) = self.data else {
            return unsupported(format!("tensor `{name}` is not constant"));
        };
        if self.len()?.checked_mul(size) != Some(data.len()) {
            return broken(format!("tensor `{name}` has {} bytes for the shape {:?}", data.len(), self.dimensions));
        }
        Ok(data)
    }

    /// A few constant numbers: a shape, axes, paddings.
    pub(super) fn integers(&self) -> Step<Vec<i64>> {
        if self.len()? > 4 * MOST_DIMENSIONS {
            return unsupported(format!("tensor `{}` holds more numbers than it can mean", self.short_name()));
        }
        Ok(match self.kind {
            kind::INT64 => {
                self.constant(kind::INT64, 8)?.as_chunks().0.iter().map(|&n| i64::from_le_bytes(n)).collect()
            }
            _ => int32(self.constant(kind::INT32, 4)?).map(i64::from).collect(),
        })
    }

    /// Its scale and zero point, one for all values.
    pub(super) fn quantization(&self) -> Step<(f32, i64)> {
        let name = self.short_name();
        match (self.scales.len(), self.scales.get(0), self.zero_points.len(), self.zero_points.get(0)) {
            (1, Some(scale), 1, Some(zero_point)) if scale > 0.0 && scale.is_finite() => Ok((scale, zero_point)),
            (1, Some(scale), 1, _) => unsupported(format!("tensor `{name}`: its scale is {scale}")),
            (0, ..) => nearest(
                format!("tensor `{name}` is {} without scale and zero point", self.kind_name()),
                "a network quantized as a whole, to int8 or to int16 with int8 weights",
            ),
            _ => unsupported(format!("tensor `{name}` has more than one scale, or no zero point for it")),
        }
    }

    /// The type of its values, as of those that a network computes.
    pub(super) fn element(&self) -> Step<Element> {
        self.whole()?;
        match self.kind {
            kind::FLOAT32 => Ok(Element::F32),
            kind::INT8 => {
                let (scale, zero_point) = self.quantization()?;
                match i8::try_from(zero_point) {
                    Ok(zero_point) => Ok(Element::Int8(Quantization::new(scale, zero_point))),
                    Err(_) => unsupported(format!("tensor `{}` has the zero point {zero_point}", self.short_name())),
                }
            }
            kind::INT16 => match self.quantization()? {
                (scale, 0) => Ok(Element::Int16(scale)),
                _ => nearest(format!("int16 tensor `{}` has a zero point", self.short_name()), "a zero point of 0"),
            },
            _ => nearest(
                format!("tensor `{}` is {}", self.short_name(), self.kind_name()),
                "int8, int16 with int8 weights, or float32",
            ),
        }
    }

    /// Numbers of this type.
    pub(super) fn numbers(&self, element: Element) -> Step<Numbers> {
        Ok(match element {
            Element::Int8(_) => Numbers::Int8(int8(self.constant(kind::INT8, 1)?)),
            Element::Int16(_) => {
                let bytes = self.constant(kind::INT16, 2)?.as_chunks().0;
                Numbers::Int16(bytes.iter().map(|&n| i16::from_le_bytes(n)).collect())
            }
            Element::F32 => Numbers::F32(float32(self.constant(kind::FLOAT32, 4)?)),
        })
    }
}

pub(super) fn int8(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| byte.cast_signed()).collect()
}

pub(super) fn int32(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().map(|&n| i32::from_le_bytes(n))
}

pub(super) fn float32(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&n| f32::from_le_bytes(n)).collect()
}

/// The last three dimensions; those before are 1.
pub(super) fn shape_of(dimensions: &[usize]) -> Option<Shape> {
    let front = dimensions.len().saturating_sub(3);
    let (batch, kept) = dimensions.split_at(front);
    if batch.iter().any(|&size| size != 1) {
        return None;
    }
    let mut shape = [1; 3];
    shape[3 - kept.len()..].copy_from_slice(kept);
    Some(shape)
}

/// The dimension of `shape_of` that dimension `axis` of a tensor becomes; none for the batch.
pub(super) fn axis_of(axis: i64, rank: usize) -> Step<Option<usize>> {
    let rank_i64 = rank as i64;
    let axis = if axis < 0 { axis + rank_i64 } else { axis };
    if !(0..rank_i64).contains(&axis) {
        return unsupported("an axis is not one of the tensor's");
    }
    Ok((axis as usize + 3).checked_sub(rank))
}
