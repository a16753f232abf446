use super::activation::clamp_f32;
use super::add::{fixed_point, for_each_pair, largest_shift, scales_are_valid};
use crate::pack::Activation;
use crate::quant::{Multiplier, ProductRounding, Quantization, SingleRounding, multiply_by_quantized_multiplier};
use crate::shape::{Shape, ShapeError};
use core::marker::PhantomData;

/// The numbers of a multiplication of integers, `i8` or `i16`, from the quantizations of its tensors.
///
/// With `p = (a - zero point of a) * (b - zero point of b)` and `real = s_a * s_b / s_o`, from the scales of inputs and
/// output, in `f64`:
///
/// **[`SingleRounding`](crate::SingleRounding)**: `(p * m + offset) >> shift`, a shift that rounds down, where
/// `m = floor(real * 2^shift + 0.5)` and `offset` is half of `2^shift`, plus `2^shift` for each step of the output's zero
/// point. The shift is the largest for which `m` has at most 14 bits and that is at most 22 (int8: all fits 32 bits), or
/// 31 bits and 54 (int16).
///
/// **[`DoubleRounding`](crate::DoubleRounding)**: TensorFlow Lite's `MUL`, whose bits TensorFlow Lite Micro has: `p` times
/// `real` as a [`Multiplier`], by [`multiply_by_quantized_multiplier`], plus the output's zero point.
///
/// Both end with a clamp to the activation's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductParameters<T, R = SingleRounding> {
    /// Single rounding: `m`. Double rounding: the multiplier's significand.
    pub(crate) multiplier: i32,
    /// Double rounding: the multiplier's exponent.
    pub(crate) exponent: i32,
    /// Single rounding: the shift to the right.
    pub(crate) shift: u32,
    /// Single rounding: what is added before the shift.
    pub(crate) offset: i64,
    /// The zero points of the inputs and the output.
    pub(crate) zero_points: [i32; 3],
    /// The lowest output, after the activation.
    pub(crate) low: i32,
    /// The highest output, after the activation.
    pub(crate) high: i32,
    types: PhantomData<(T, R)>,
}

impl<R: ProductRounding> ProductParameters<i8, R> {
    /// The product of tensors.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a scale is not positive and finite. [`ShapeError::Ratio`] where `real` is 2^12 or more.
    pub const fn int8(
        [first, second]: [Quantization; 2],
        output: Quantization,
        activation: Activation,
    ) -> Result<Self, ShapeError> {
        let scales = [first.scale, second.scale, output.scale];
        let zero_points = [first.zero_point as i32, second.zero_point as i32, output.zero_point as i32];
        Self::new(scales, zero_points, activation, [14, 22, 12], [-128, 127])
    }
}

impl<R: ProductRounding> ProductParameters<i16, R> {
    /// The product of tensors of these scales; all zero points are 0.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a scale is not positive and finite. [`ShapeError::Ratio`] where `real` is 1 or more.
    pub const fn int16([first, second]: [f32; 2], output: f32, activation: Activation) -> Result<Self, ShapeError> {
        Self::new([first, second, output], [0; 3], activation, [31, 54, 0], [-32768, 32767])
    }
}

impl<T, R: ProductRounding> ProductParameters<T, R> {
    const fn new(
        scales: [f32; 3],
        zero_points: [i32; 3],
        activation: Activation,
        [bits, most, largest]: [u32; 3],
        range: [i32; 2],
    ) -> Result<Self, ShapeError> {
        if !scales_are_valid(&scales) {
            return Err(ShapeError::Scale);
        }
        let real = scales[0] as f64 * scales[1] as f64 / scales[2] as f64;
        // So a product shifted to the left, with double rounding, still fits 32 bits.
        if real >= (1u64 << largest) as f64 || Multiplier::from_real(real).exponent > largest as i32 {
            return Err(ShapeError::Ratio);
        }
        let [low, high] = activation.integer_bounds(scales[2], zero_points[2], range);
        let parameters =
            Self { multiplier: 0, exponent: 0, shift: 0, offset: 0, zero_points, low, high, types: PhantomData };
        Ok(match R::TWICE {
            false => {
                // At least 1, because the real number is below 2^12.
                let shift = largest_shift(real, bits, most);
                let offset = (1 << (shift - 1)) + ((zero_points[2] as i64) << shift);
                Self { multiplier: fixed_point(real, shift), shift, offset, ..parameters }
            }
            true => {
                let Multiplier { multiplier, exponent } = Multiplier::from_real(real);
                Self { multiplier, exponent, ..parameters }
            }
        })
    }

    /// The output for two values of type `T`.
    #[inline(always)]
    pub(crate) const fn apply(&self, a: i32, b: i32) -> i32 {
        let product = (a - self.zero_points[0]) * (b - self.zero_points[1]);
        let output = match R::TWICE {
            false => (product as i64 * self.multiplier as i64 + self.offset) >> self.shift,
            _ => {
                let by = Multiplier { multiplier: self.multiplier, exponent: self.exponent };
                multiply_by_quantized_multiplier(product, by) as i64 + self.zero_points[2] as i64
            }
        };
        if output < self.low as i64 {
            self.low
        } else if output > self.high as i64 {
            self.high
        } else {
            output as i32
        }
    }
}

/// Multiplication in int8, as [`ProductParameters`] says. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn multiply_i8<R: ProductRounding>(
    shapes: [Shape; 2],
    parameters: &ProductParameters<i8, R>,
    first: &[i8],
    second: &[i8],
    output: &mut [i8],
) {
    for_each_pair(shapes, first, second, output, |a, b| parameters.apply(a as i32, b as i32) as i8);
}

/// Multiplication in int16, as [`ProductParameters`] says. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn multiply_i16<R: ProductRounding>(
    shapes: [Shape; 2],
    parameters: &ProductParameters<i16, R>,
    first: &[i16],
    second: &[i16],
    output: &mut [i16],
) {
    for_each_pair(shapes, first, second, output, |a, b| parameters.apply(a as i32, b as i32) as i16);
}

/// Multiplication in `f32`, clamped to `[low, high]`: `a * b`, and a bound where the product does not lie between them. A
/// NaN passes. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn multiply_f32(shapes: [Shape; 2], [low, high]: [f32; 2], first: &[f32], second: &[f32], output: &mut [f32]) {
    for_each_pair(shapes, first, second, output, |a, b| clamp_f32(a * b, low, high));
}
