use super::fixed_point::{self, exp, round};
use crate::quant::{
    Multiplier, Quantization, multiply_by_quantized_multiplier,
    rounding_divide_by_power_of_two as divide_by_power_of_two,
};

/// The logistic sigmoid in `f32`: `1 / (1 + exp(-x))` with [`libm::expf`], each operation rounded.
///
/// A NaN stays a NaN. Below -88.7 the exponential is infinite and the result 0.0.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn sigmoid_f32(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = sigmoid(x);
    }
}

/// [`sigmoid_f32`] of one value.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// The hyperbolic tangent in `f32`: [`libm::tanhf`].
///
/// # Panics
/// Where the slices' lengths differ.
pub fn tanh_f32(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = libm::tanhf(x);
    }
}

/// The logistic sigmoid in int8, with output scale 1/256 and zero point -128: TensorFlow Lite Micro's `LOGISTIC`, in the
/// fixed-point arithmetic of gemmlowp (`fixedpoint.h`).
///
/// The distance to the zero point is multiplied into Q4.27, the sigmoid of that is Q0.31, and rounded to 8 bits, halves
/// away from zero, less 128, saturated. From
/// `floor(15 / p)` steps on, where `p` is the least power of two above the scale, the result is -128 or 127: for scales of
/// 2 and more that is coarse.
///
/// # Panics
/// Where the slices' lengths differ, or the input's scale is not in 2^-28..8.
pub fn sigmoid_i8(from: Quantization, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    let parameters = Q4::new(from);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = parameters.sigmoid(x);
    }
}

/// The hyperbolic tangent in int8, with output scale 1/128 and zero point 0: TensorFlow Lite Micro's `TANH`.
///
/// As [`sigmoid_i8`], the result being rounded to 7 bits and saturated.
///
/// # Panics
/// Where the slices' lengths differ, or the input's scale is not in 2^-28..8.
pub fn tanh_i8(from: Quantization, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    let parameters = Q4::new(from);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = parameters.tanh(x);
    }
}

/// How int8 values become numbers of Q4.27, for tables made in constant evaluation.
pub(crate) struct Q4 {
    zero_point: i32,
    multiplier: Multiplier,
    /// The magnitude, in steps, from which on the result is the limit.
    radius: i32,
}

impl Q4 {
    pub(crate) const fn new(from: Quantization) -> Self {
        let scale = from.scale as f64;
        assert!(scale >= 1.0 / (1u64 << 28) as f64 && scale < 8.0, "sigmoid and tanh need an input scale in 2^-28..8");
        // A quarter of it, because Multiplier takes numbers below 2^30; a power of two changes no digit.
        let quarter = Multiplier::from_real(scale * (1u64 << 25) as f64);
        let multiplier = Multiplier { multiplier: quarter.multiplier, exponent: quarter.exponent + 2 };
        let radius = (15u64 << 27) >> multiplier.exponent;
        Self { zero_point: from.zero_point as i32, multiplier, radius: radius as i32 }
    }

    pub(crate) const fn sigmoid(&self, x: i8) -> i8 {
        match self.convert(x) {
            Ok(a) => fixed_point::saturate_i8(divide_by_power_of_two(fixed_point::logistic(a), 23) as i64 - 128),
            Err(limit) => limit,
        }
    }

    pub(crate) const fn tanh(&self, x: i8) -> i8 {
        match self.convert(x) {
            Ok(a) => fixed_point::saturate_i8(divide_by_power_of_two(fixed_point::tanh(a), 24) as i64),
            Err(limit) => limit,
        }
    }

    /// The number in Q4.27, or the limit that the result has.
    const fn convert(&self, x: i8) -> Result<i32, i8> {
        let distance = x as i32 - self.zero_point;
        if distance <= -self.radius {
            Err(-128)
        } else if distance >= self.radius {
            Err(127)
        } else {
            Ok(multiply_by_quantized_multiplier(distance, self.multiplier))
        }
    }
}

/// The logistic sigmoid in int16, with zero points 0 and output scale 1/32768: TensorFlow Lite Micro's `LOGISTIC`.
///
/// The input is multiplied into units of `1 / (24 * 512)`; its magnitude is looked up in a table of `sigmoid(i / 24)`,
/// Q0.16, `i` in 0..=255, with linear interpolation over 9 bits; the result is rounded to Q0.15. From 255/24 = 10.625
/// on it is 32767. `sigmoid(-x)` is `1 - sigmoid(x)`.
///
/// The factor is `scale * 12288`, doubled until it is above 16383.5 and then cut to an integer, and undone by a shift
/// with rounding, halves upwards. A scale within a factor of 2^0.001 of 2^-12 counts as 2^-12, whose factor is 3.
///
/// The knots of the table are `sigmoid(i / 24)` plus half of the error that interpolation would have in the middle of the
/// interval that follows, times 65536, rounded; the last is 65535.
///
/// # Panics
/// Where the slices' lengths differ, or the input's scale is not in 2^-32..8/3.
pub fn sigmoid_i16(scale: f32, input: &[i16], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    let parameters = Knots::sigmoid(scale);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = parameters.sigmoid_of(x);
    }
}

/// The hyperbolic tangent in int16, with zero points 0 and output scale 1/32768: TensorFlow Lite Micro's `TANH`.
///
/// `2 sigmoid(2 x) - 1` with the table of [`sigmoid_i16`], and interpolation over 8 bits. Here a scale within a factor of
/// 2^0.001 of 2^-11 counts as 2^-11, too, whose factor is 6.
///
/// # Panics
/// Where the slices' lengths differ, or the input's scale is not in 2^-32..8/3.
pub fn tanh_i16(scale: f32, input: &[i16], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    let parameters = Knots::tanh(scale);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = parameters.tanh_of(x);
    }
}

/// How int16 values become places in the table: `x * multiplier / 2^shift`, in units of `1 / (24 * 512)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Knots {
    multiplier: i32,
    shift: u32,
}

impl Knots {
    pub(crate) const fn sigmoid(scale: f32) -> Self {
        if is_near(scale, 12) { Self { multiplier: 3, shift: 0 } } else { Self::general(scale) }
    }

    pub(crate) const fn tanh(scale: f32) -> Self {
        if is_near(scale, 11) { Self { multiplier: 6, shift: 0 } } else { Self::sigmoid(scale) }
    }

    const fn general(scale: f32) -> Self {
        let mut factor = scale as f64 * 12288.0;
        assert!(
            scale as f64 >= 1.0 / (1u64 << 32) as f64 && factor < 32768.0,
            "int16 sigmoid and tanh need an input scale in 2^-32..8/3"
        );
        let mut shift = 0;
        while factor <= 16383.5 && shift <= 30 {
            factor *= 2.0;
            shift += 1;
        }
        Self { multiplier: factor as i32, shift }
    }

    /// The place of `x` in the table; at most 2^30, because the multiplier has 15 bits.
    #[inline(always)]
    fn place(self, x: i16) -> i32 {
        let half = (1i64 << self.shift) as i32 as u32 >> 1;
        (x as i32 * self.multiplier + half as i32) >> self.shift
    }

    #[inline(always)]
    pub(crate) fn sigmoid_of(self, x: i16) -> i16 {
        let place = self.place(x);
        let magnitude = match interval(place.unsigned_abs() >> 9) {
            // In Q0.25.
            Some([at, next]) => (at << 9) + (place.unsigned_abs() & 511) * (next - at),
            None => 32767 << 10,
        };
        let rounded = if place >= 0 { magnitude + 512 } else { (1 << 25) - magnitude + 511 };
        (rounded >> 10) as i16
    }

    #[inline(always)]
    pub(crate) fn tanh_of(self, x: i16) -> i16 {
        let place = self.place(x);
        let magnitude = match interval(place.unsigned_abs() >> 8) {
            // In Q0.24.
            Some([at, next]) => (at << 8) + (place.unsigned_abs() & 255) * (next - at),
            None => 65535 << 8,
        };
        // Twice that, less 1, in Q0.23.
        let steps = magnitude as i32 - (1 << 23);
        let rounded = if place >= 0 { steps + 128 } else { -steps + 127 };
        (rounded >> 8) as i16
    }
}

/// The knots at both ends of an interval, where it lies in the table.
#[inline(always)]
fn interval(index: u32) -> Option<[u32; 2]> {
    let &[at, next] = SIGMOID_KNOTS.get(index as usize..)?.first_chunk()?;
    Some([at as u32, next as u32])
}

/// Whether a scale counts as 2^-`power`: TensorFlow Lite rounds its binary logarithm where it is within 0.001.
const fn is_near(scale: f32, power: u32) -> bool {
    const FACTOR: f64 = 1.000_693_387_462_580_6;
    let ratio = scale as f64 * (1u64 << power) as f64;
    ratio < FACTOR && ratio > 1.0 / FACTOR
}

/// `sigmoid(i / 24)` in Q0.16, raised by half the error of interpolation.
static SIGMOID_KNOTS: [u16; 256] = {
    const fn sigmoid(intervals: f64) -> f64 {
        65536.0 / (1.0 + exp(-intervals / 24.0))
    }
    let (mut knots, mut i) = ([65535; 256], 0);
    while i < 255 {
        let (at, middle, next) = (sigmoid(i as f64), sigmoid(i as f64 + 0.5), sigmoid(i as f64 + 1.0));
        knots[i] = round(at + (middle - (at + next) / 2.0) / 2.0) as u16;
        i += 1;
    }
    knots
};
