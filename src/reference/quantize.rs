use super::add::{fixed_point, largest_shift, scales_are_valid};
use crate::quant::{Multiplier, ProductRounding, Quantization, SingleRounding, multiply_by_quantized_multiplier};
use crate::shape::ShapeError;
use core::marker::PhantomData;

/// From real numbers to int8: TensorFlow Lite's `QUANTIZE`.
///
/// `x / scale`, rounded to single precision, then to an integer, halves away from zero; plus the zero point; saturated.
/// A NaN gives the zero point.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn quantize_i8(quantization: Quantization, input: &[f32], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = quantization.quantize(x);
    }
}

/// From real numbers to int16 of this scale, as [`quantize_i8`]; the zero point is 0.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn quantize_i16(scale: f32, input: &[f32], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        // The conversion saturates, and makes 0 of a NaN.
        *out = libm::roundf(x / scale) as i16;
    }
}

/// From int8 to real numbers, `scale * (q - zero point)`: TensorFlow Lite's `DEQUANTIZE`.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn dequantize_i8(quantization: Quantization, input: &[i8], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &q) in output.iter_mut().zip(input) {
        *out = quantization.dequantize(q);
    }
}

/// From int16 of this scale to real numbers, `scale * q`.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn dequantize_i16(scale: f32, input: &[i16], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &q) in output.iter_mut().zip(input) {
        *out = q as f32 * scale;
    }
}

/// The numbers of a change of quantization from `i8` or `i16` to `i8` or `i16`.
///
/// With `d = q - zero point of the input`, and `real = input scale / output scale` in `f64`:
///
/// **[`SingleRounding`](crate::SingleRounding)**: `(d * m + offset) >> shift`, a shift that rounds down, where
/// `m = floor(real * 2^shift + 0.5)` and `offset` is half of `2^shift`, plus `2^shift` for each step of the output's zero
/// point. The shift is the largest for which `m` has at most 31 bits and that is at most 46.
///
/// **[`DoubleRounding`](crate::DoubleRounding)**: TensorFlow Lite's `QUANTIZE` of integers (`Requantize` of its reference
/// kernels), whose bits TensorFlow Lite Micro has: `d` times `real` as a [`Multiplier`], by
/// [`multiply_by_quantized_multiplier`], plus the output's zero point.
///
/// Both saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequantizeParameters<I, O, R = SingleRounding> {
    /// Single rounding: `m`. Double rounding: the multiplier's significand.
    multiplier: i32,
    /// Double rounding: the multiplier's exponent.
    exponent: i32,
    /// Single rounding: the shift to the right.
    shift: u32,
    /// Single rounding: what is added before the shift.
    offset: i64,
    /// The zero points of input and output.
    zero_points: [i32; 2],
    /// The lowest and the highest value of the output's type.
    range: [i32; 2],
    types: PhantomData<(I, O, R)>,
}

/// The lowest and the highest int8 value.
const INT8: [i32; 2] = [-128, 127];
/// The lowest and the highest int16 value.
const INT16: [i32; 2] = [-32768, 32767];

impl<R: ProductRounding> RequantizeParameters<i8, i8, R> {
    /// From int8 to int8.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a scale is not positive and finite. [`ShapeError::Ratio`] where the input's is 2^15 times
    /// the output's or more; here and below.
    pub const fn int8(from: Quantization, to: Quantization) -> Result<Self, ShapeError> {
        Self::new([from.scale, to.scale], [from.zero_point as i32, to.zero_point as i32], INT8)
    }
}

impl<R: ProductRounding> RequantizeParameters<i8, i16, R> {
    /// From int8 to int16 of this scale.
    ///
    /// # Errors
    /// As [`int8`](RequantizeParameters::int8).
    pub const fn int8_to_int16(from: Quantization, to: f32) -> Result<Self, ShapeError> {
        Self::new([from.scale, to], [from.zero_point as i32, 0], INT16)
    }
}

impl<R: ProductRounding> RequantizeParameters<i16, i8, R> {
    /// From int16 of this scale to int8.
    ///
    /// # Errors
    /// As [`int8`](RequantizeParameters::int8).
    pub const fn int16_to_int8(from: f32, to: Quantization) -> Result<Self, ShapeError> {
        Self::new([from, to.scale], [0, to.zero_point as i32], INT8)
    }
}

impl<R: ProductRounding> RequantizeParameters<i16, i16, R> {
    /// From int16 of a scale to int16 of another.
    ///
    /// # Errors
    /// As [`int8`](RequantizeParameters::int8).
    pub const fn int16(from: f32, to: f32) -> Result<Self, ShapeError> {
        Self::new([from, to], [0; 2], INT16)
    }
}

impl<I, O, R: ProductRounding> RequantizeParameters<I, O, R> {
    const fn new(scales: [f32; 2], zero_points: [i32; 2], range: [i32; 2]) -> Result<Self, ShapeError> {
        if !scales_are_valid(&scales) {
            return Err(ShapeError::Scale);
        }
        let real = scales[0] as f64 / scales[1] as f64;
        // A difference of 2^15 shifted so far to the left still fits 32 bits.
        if real >= 32768.0 {
            return Err(ShapeError::Ratio);
        }
        let parameters =
            Self { multiplier: 0, exponent: 0, shift: 0, offset: 0, zero_points, range, types: PhantomData };
        Ok(match R::TWICE {
            false => {
                // At least 15, because the real number is below 2^15.
                let shift = largest_shift(real, 31, 46);
                let offset = (1 << (shift - 1)) + ((zero_points[1] as i64) << shift);
                Self { multiplier: fixed_point(real, shift), shift, offset, ..parameters }
            }
            true => {
                let Multiplier { multiplier, exponent } = Multiplier::from_real(real);
                Self { multiplier, exponent, ..parameters }
            }
        })
    }

    /// The output for a value of type `I`.
    #[inline(always)]
    pub(crate) const fn apply(&self, value: i32) -> i32 {
        let difference = value - self.zero_points[0];
        let output = match R::TWICE {
            false => (difference as i64 * self.multiplier as i64 + self.offset) >> self.shift,
            _ => {
                let by = Multiplier { multiplier: self.multiplier, exponent: self.exponent };
                multiply_by_quantized_multiplier(difference, by) as i64 + self.zero_points[1] as i64
            }
        };
        if output < self.range[0] as i64 {
            self.range[0]
        } else if output > self.range[1] as i64 {
            self.range[1]
        } else {
            output as i32
        }
    }
}

#[cfg(feature = "defmt")]
impl<I, O, R> defmt::Format for RequantizeParameters<I, O, R> {
    fn format(&self, formatter: defmt::Formatter<'_>) {
        let Self { multiplier, exponent, shift, offset, .. } = self;
        defmt::write!(
            formatter,
            "{{ multiplier: {}, exponent: {}, shift: {}, offset: {} }}",
            multiplier,
            exponent,
            shift,
            offset
        );
    }
}

/// A type of quantized values: `i8` and `i16`.
pub trait Quantized: bytemuck::Pod + Into<i32> {
    /// `value`, which the type holds.
    #[doc(hidden)]
    fn from_i32(value: i32) -> Self;
}

impl Quantized for i8 {
    #[inline(always)]
    fn from_i32(value: i32) -> Self {
        value as i8
    }
}

impl Quantized for i16 {
    #[inline(always)]
    fn from_i32(value: i32) -> Self {
        value as i16
    }
}

/// A change of quantization, as [`RequantizeParameters`] says.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn requantize<I: Quantized, O: Quantized, R: ProductRounding>(
    parameters: &RequantizeParameters<I, O, R>,
    input: &[I],
    output: &mut [O],
) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &value) in output.iter_mut().zip(input) {
        *out = O::from_i32(parameters.apply(value.into()));
    }
}
