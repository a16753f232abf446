use super::activation::clamp_f32;
use crate::pack::Activation;
use crate::quant::{
    Multiplier, ProductRounding, Quantization, SingleRounding, rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_mul,
};
use crate::shape::{Shape, ShapeError};
use core::marker::PhantomData;

/// Writes `function(a, b)` to every place of the output, each of whose dimensions is the larger one of the inputs'. A
/// dimension of an input that is 1 repeats its values along it.
pub(super) fn for_each_pair<T: Copy, U>(
    shapes: [Shape; 2],
    first: &[T],
    second: &[T],
    output: &mut [U],
    function: impl Fn(T, T) -> U,
) {
    let [height, width, channels] = [0, 1, 2].map(|axis| shapes[0][axis].max(shapes[1][axis]));
    for ([h, w, c], input) in shapes.into_iter().zip([first, second]) {
        assert_eq!(input.len(), h * w * c, "input length");
    }
    assert_eq!(output.len(), height * width * channels, "output length");
    let place = |[h, w, c]: Shape, y: usize, x: usize, channel: usize| ((y % h) * w + x % w) * c + channel % c;
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                let (a, b) = (first[place(shapes[0], y, x, c)], second[place(shapes[1], y, x, c)]);
                output[(y * width + x) * channels + c] = function(a, b);
            }
        }
    }
}

/// The numbers of an addition or subtraction of integers, `i8` or `i16`, from the quantizations of its tensors.
///
/// With the inputs `a` and `b`, their scales `s_a`, `s_b` and the output's `s_o`:
///
/// **[`SingleRounding`](crate::SingleRounding)**: `(a * m_a + b * m_b + offset) >> shift`, a shift that rounds down, where
/// `m = floor(s / s_o * 2^shift + 0.5)`, computed in `f64`, negative for what is subtracted; `offset` is half of
/// `2^shift`, plus `2^shift` for each step of the output's zero point, less the inputs' zero points times their `m`. The
/// shift is the largest for which the multipliers have at most 15 bits and that is at most 22 (int8), or 31 bits and 46
/// (int16). In int8 all this fits 32 bits, and the multipliers 16, which is what SMLAD and its like multiply. Beside the
/// half step of the last rounding, each step by which an input is off its zero point adds an error of at most
/// 2^-(shift+1) steps: in int8, where the inputs' scale is just below the output's, 1/128 of a step at the very most.
///
/// **[`DoubleRounding`](crate::DoubleRounding)**: TensorFlow Lite's `ADD` and `SUB` (`AddElementwise` of its reference
/// kernels), whose bits TensorFlow Lite Micro has. Each input less its zero point is shifted to the left by 20 (int8) or
/// 15 (int16) and multiplied with `s / (2 * max(s_a, s_b))`, the sum or difference with
/// `2 * max(s_a, s_b) / (2^20 * s_o)`: each a [`Multiplier`] from an `f64`, applied by
/// [`saturating_rounding_doubling_high_mul`] and [`rounding_divide_by_power_of_two`]. The output's zero point is added.
///
/// Both end with a clamp to the activation's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumParameters<T, R = SingleRounding> {
    /// What the first input, the second and, with double rounding, the sum is multiplied with.
    pub(crate) multipliers: [i32; 3],
    /// Double rounding: the shifts to the right that follow, 0..=31. Single rounding: the only shift is the last.
    pub(crate) shifts: [u32; 3],
    /// The zero points of the inputs and the output; single rounding has them in the offset.
    pub(crate) zero_points: [i32; 3],
    /// Double rounding: the shift of the inputs to the left.
    pub(crate) left_shift: u32,
    /// -1 to subtract, otherwise 1; with single rounding the multiplier has it, too.
    pub(crate) sign: i32,
    /// Single rounding: what is added before the shift.
    pub(crate) offset: i64,
    /// The lowest output, after the activation.
    pub(crate) low: i32,
    /// The highest output, after the activation.
    pub(crate) high: i32,
    types: PhantomData<(T, R)>,
}

/// Whether scales are positive and finite.
pub(super) const fn scales_are_valid(scales: &[f32]) -> bool {
    let mut i = 0;
    while i < scales.len() {
        if !(scales[i] > 0.0 && scales[i] < f32::INFINITY) {
            return false;
        }
        i += 1;
    }
    true
}

/// The largest shift, at most `most`, for which `real * 2^shift` rounds to less than `2^bits`; 0 where none above does.
pub(super) const fn largest_shift(real: f64, bits: u32, most: u32) -> u32 {
    let mut shift = most;
    while shift > 0 && real * ((1u64 << shift) as f64) + 0.5 >= (1u64 << bits) as f64 {
        shift -= 1;
    }
    shift
}

/// `real * 2^shift`, rounded, halves upwards.
pub(super) const fn fixed_point(real: f64, shift: u32) -> i32 {
    (real * ((1u64 << shift) as f64) + 0.5) as i32
}

/// What int8 and int16 differ in.
struct Width {
    left_shift: u32,
    multiplier_bits: u32,
    shifts: [u32; 2],
    range: [i32; 2],
}

const INT8: Width = Width { left_shift: 20, multiplier_bits: 15, shifts: [10, 22], range: [-128, 127] };
const INT16: Width = Width { left_shift: 15, multiplier_bits: 31, shifts: [1, 46], range: [-32768, 32767] };

impl<R: ProductRounding> SumParameters<i8, R> {
    /// The sum of tensors or, to `subtract`, the first less the second.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a scale is not positive and finite. [`ShapeError::Ratio`] where an input's scale is
    /// 32 times the output's or more (single rounding), or the larger one is 2^19 times the output's or more (double).
    pub const fn int8(
        subtract: bool,
        [first, second]: [Quantization; 2],
        output: Quantization,
        activation: Activation,
    ) -> Result<Self, ShapeError> {
        let scales = [first.scale, second.scale, output.scale];
        let zero_points = [first.zero_point as i32, second.zero_point as i32, output.zero_point as i32];
        Self::new(subtract, scales, zero_points, activation, INT8)
    }
}

impl<R: ProductRounding> SumParameters<i16, R> {
    /// The sum of tensors of these scales or, to `subtract`, the first less the second; all zero points are 0.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a scale is not positive and finite. [`ShapeError::Ratio`] where an input's scale is
    /// 2^30 times the output's or more (single rounding), or the larger one is 2^14 times the output's or more (double).
    pub const fn int16(
        subtract: bool,
        [first, second]: [f32; 2],
        output: f32,
        activation: Activation,
    ) -> Result<Self, ShapeError> {
        Self::new(subtract, [first, second, output], [0; 3], activation, INT16)
    }
}

impl<T, R: ProductRounding> SumParameters<T, R> {
    const fn new(
        subtract: bool,
        scales: [f32; 3],
        zero_points: [i32; 3],
        activation: Activation,
        width: Width,
    ) -> Result<Self, ShapeError> {
        if !scales_are_valid(&scales) {
            return Err(ShapeError::Scale);
        }
        let [first, second, output] = [scales[0] as f64, scales[1] as f64, scales[2] as f64];
        let larger = if first > second { first } else { second };
        let [low, high] = activation.integer_bounds(scales[2], zero_points[2], width.range);
        let sign = if subtract { -1 } else { 1 };
        let (multipliers, shifts, offset) = match R::TWICE {
            false => {
                let shift = largest_shift(larger / output, width.multiplier_bits, width.shifts[1]);
                if shift < width.shifts[0] {
                    return Err(ShapeError::Ratio);
                }
                let multipliers = [fixed_point(first / output, shift), sign * fixed_point(second / output, shift), 0];
                let offset = (1 << (shift - 1)) + ((zero_points[2] as i64) << shift)
                    - zero_points[0] as i64 * multipliers[0] as i64
                    - zero_points[1] as i64 * multipliers[1] as i64;
                (multipliers, [0, 0, shift], offset)
            }
            true => {
                let result = 2.0 * larger / ((1u64 << width.left_shift) as f64 * output);
                // TensorFlow Lite asserts this.
                if result >= 1.0 || Multiplier::from_real(result).exponent > 0 {
                    return Err(ShapeError::Ratio);
                }
                let [a, b, sum] = [
                    Multiplier::from_real(first / (2.0 * larger)),
                    Multiplier::from_real(second / (2.0 * larger)),
                    Multiplier::from_real(result),
                ];
                let shifts = [-a.exponent as u32, -b.exponent as u32, -sum.exponent as u32];
                ([a.multiplier, b.multiplier, sum.multiplier], shifts, 0)
            }
        };
        let left_shift = width.left_shift;
        Ok(Self { multipliers, shifts, zero_points, left_shift, sign, offset, low, high, types: PhantomData })
    }

    /// The output for two values of type `T`.
    #[inline(always)]
    pub(crate) const fn apply(&self, a: i32, b: i32) -> i32 {
        let output = match R::TWICE {
            false => {
                (a as i64 * self.multipliers[0] as i64 + b as i64 * self.multipliers[1] as i64 + self.offset)
                    >> self.shifts[2]
            }
            _ => {
                let a = self.scale((a - self.zero_points[0]) << self.left_shift, 0);
                let b = self.scale((b - self.zero_points[1]) << self.left_shift, 1);
                self.scale(a + self.sign * b, 2) as i64 + self.zero_points[2] as i64
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

    #[inline(always)]
    const fn scale(&self, value: i32, which: usize) -> i32 {
        let product = saturating_rounding_doubling_high_mul(value, self.multipliers[which]);
        rounding_divide_by_power_of_two(product, self.shifts[which])
    }
}

/// Addition or subtraction in int8, as [`SumParameters`] says. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn add_i8<R: ProductRounding>(
    shapes: [Shape; 2],
    parameters: &SumParameters<i8, R>,
    first: &[i8],
    second: &[i8],
    output: &mut [i8],
) {
    for_each_pair(shapes, first, second, output, |a, b| parameters.apply(a as i32, b as i32) as i8);
}

/// Addition or subtraction in int16, as [`SumParameters`] says. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn add_i16<R: ProductRounding>(
    shapes: [Shape; 2],
    parameters: &SumParameters<i16, R>,
    first: &[i16],
    second: &[i16],
    output: &mut [i16],
) {
    for_each_pair(shapes, first, second, output, |a, b| parameters.apply(a as i32, b as i32) as i16);
}

/// Addition in `f32`, clamped to `[low, high]`: `a + b`, and a bound where the sum does not lie between them. A NaN
/// passes. A dimension of a shape that is 1 is repeated.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn add_f32(shapes: [Shape; 2], [low, high]: [f32; 2], first: &[f32], second: &[f32], output: &mut [f32]) {
    for_each_pair(shapes, first, second, output, |a, b| clamp_f32(a + b, low, high));
}

/// Subtraction in `f32`, as [`add_f32`]: `a - b`.
///
/// # Panics
/// Where the length of a slice is not its shape's, or a dimension is zero.
pub fn subtract_f32(shapes: [Shape; 2], [low, high]: [f32; 2], first: &[f32], second: &[f32], output: &mut [f32]) {
    for_each_pair(shapes, first, second, output, |a, b| clamp_f32(a - b, low, high));
}
