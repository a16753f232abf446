use super::fixed_point::{round, saturate_i8, saturate_i16};
use crate::quant::{
    Multiplier, Quantization, multiply_by_quantized_multiplier,
    rounding_divide_by_power_of_two as divide_by_power_of_two,
};

/// The rectified linear unit in int8, input and output of the same quantization: `max(x, zero point)`.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn relu_i8(zero_point: i8, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = if x < zero_point { zero_point } else { x };
    }
}

/// The rectified linear unit in `f32`: `0.0` where `x < 0`, otherwise `x`; TensorFlow Lite's `RELU`.
///
/// So a NaN passes, and -0.0 stays -0.0.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn relu_f32(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = if x < 0.0 { 0.0 } else { x };
    }
}

/// ReLU limited to 6: `six` where `x > six`, `zero` where `x < zero`, otherwise `x`; TensorFlow Lite's `RELU6`.
///
/// In integers `zero` is the zero point and `six` is [`six_i8`] or [`six_i16`]; input and output have the same
/// quantization. In `f32` the numbers are 0.0 and 6.0: a NaN passes, and -0.0 stays -0.0.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn relu6<T: Copy + PartialOrd>(zero: T, six: T, input: &[T], output: &mut [T]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = limit(zero, six, x);
    }
}

/// [`relu6`] of one value.
#[inline(always)]
pub(crate) fn limit<T: PartialOrd>(zero: T, six: T, x: T) -> T {
    if x > six {
        six
    } else if x < zero {
        zero
    } else {
        x
    }
}

/// `value` clamped to `low..=high`; a NaN passes, and a zero equal to a bound takes the bound's sign.
///
/// `f32::clamp` leaves the latter to the platform.
#[inline(always)]
pub(crate) fn clamp_f32(value: f32, low: f32, high: f32) -> f32 {
    if value <= low {
        low
    } else if value >= high {
        high
    } else {
        value
    }
}

/// The int8 value of 6.0: `6 / scale` in single precision, rounded, halves away from zero, plus the zero point,
/// saturated; TensorFlow Lite's `FloatToQuantizedType`.
pub const fn six_i8(of: Quantization) -> i8 {
    saturate_i8(round((6.0f32 / of.scale) as f64).saturating_add(of.zero_point as i64))
}

/// The int16 value of 6.0, as [`six_i8`] with zero point 0.
pub const fn six_i16(scale: f32) -> i16 {
    saturate_i16(round((6.0f32 / scale) as f64))
}

/// The leaky rectified linear unit (Maas et al., 2013) in `f32`: `x` where `x >= 0`, otherwise `slope * x`; TensorFlow
/// Lite's `LEAKY_RELU`.
///
/// So -0.0 stays -0.0 and a NaN stays a NaN.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn leaky_relu_f32(slope: f32, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = if x >= 0.0 { x } else { slope * x };
    }
}

/// The leaky rectified linear unit in int8, from one quantization to another: TensorFlow Lite Micro's `LEAKY_RELU`, and
/// with a slope of 0 its `RELU`.
///
/// With `d = x - input zero point`, the output is `d * (input scale / output scale)` where `d >= 0`, otherwise
/// `d * (input scale * slope / output scale)`; plus the output's zero point; saturated to int8. The two factors are
/// computed in `f64` in that order, rounded to 31 bits ([`Multiplier`]), and applied with double rounding
/// ([`multiply_by_quantized_multiplier`]). A slope may be negative or greater than 1.
///
/// # Panics
/// Where the slices' lengths differ, or a factor is not finite or not below 2^30.
pub fn leaky_relu_i8(slope: f32, from: Quantization, to: Quantization, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    let function = Rectifier::leaky(slope, from, to);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = saturate_i8(function.rectify(x as i32, 1));
    }
}

/// The leaky rectified linear unit in int16, as [`leaky_relu_i8`] with zero points 0: TensorFlow Lite Micro's
/// `LEAKY_RELU`, and with a slope of 0 its `RELU`.
///
/// # Panics
/// Where the slices' lengths differ, or a factor is not finite or not below 2^30.
pub fn leaky_relu_i16(slope: f32, [from, to]: [f32; 2], input: &[i16], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    let function = Rectifier::leaky(slope, Quantization::new(from, 0), Quantization::new(to, 0));
    for (out, &x) in output.iter_mut().zip(input) {
        *out = saturate_i16(function.rectify(x as i32, 1));
    }
}

/// The parametric rectified linear unit (He et al., 2015) in `f32`, with a slope for each channel: `x` where `x >= 0`,
/// otherwise `slope * x`.
///
/// # Panics
/// Where the slices' lengths differ, or are not a multiple of the number of slopes.
pub fn prelu_f32(slopes: &[f32], input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(input.len().is_multiple_of(slopes.len()), "there is a slope for each channel");
    for (i, (out, &x)) in output.iter_mut().zip(input).enumerate() {
        *out = if x >= 0.0 { x } else { slopes[i % slopes.len()] * x };
    }
}

/// The parametric rectified linear unit in int8, with a slope for each channel: TensorFlow Lite Micro's `PRELU`.
///
/// Slopes are int8 of a quantization of their own. With `d = x - input zero point` and `a = slope - slopes' zero point`,
/// the output is `d * (input scale / output scale)` where `d >= 0`, otherwise
/// `d * a * (input scale * slopes' scale / output scale)`; the rest is as in [`leaky_relu_i8`].
///
/// # Panics
/// Where the slices' lengths differ, or are not a multiple of the number of slopes; or a factor is not finite or not
/// below 2^30.
pub fn prelu_i8(
    slopes: &[i8],
    quantization: Quantization,
    from: Quantization,
    to: Quantization,
    input: &[i8],
    output: &mut [i8],
) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(input.len().is_multiple_of(slopes.len()), "there is a slope for each channel");
    let function = Rectifier::leaky(quantization.scale, from, to);
    for (i, (out, &x)) in output.iter_mut().zip(input).enumerate() {
        let slope = slopes[i % slopes.len()] as i32 - quantization.zero_point as i32;
        *out = saturate_i8(function.rectify(x as i32, slope));
    }
}

/// The parametric rectified linear unit in int16 with int8 slopes, as [`prelu_i8`] with zero points 0 but for the
/// slopes': TensorFlow Lite Micro's `PRELU`.
///
/// # Panics
/// As [`prelu_i8`].
pub fn prelu_i16(slopes: &[i8], quantization: Quantization, [from, to]: [f32; 2], input: &[i16], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(input.len().is_multiple_of(slopes.len()), "there is a slope for each channel");
    let function = Rectifier::leaky(quantization.scale, Quantization::new(from, 0), Quantization::new(to, 0));
    for (i, (out, &x)) in output.iter_mut().zip(input).enumerate() {
        let slope = slopes[i % slopes.len()] as i32 - quantization.zero_point as i32;
        *out = saturate_i16(function.rectify(x as i32, slope));
    }
}

/// One value of [`leaky_relu_i8`], [`prelu_i8`] and their like in int16.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Rectifier {
    from: i32,
    to: i32,
    /// For values that are not negative.
    identity: Multiplier,
    /// For negative values; the multiplier has the slope's sign.
    leak: Multiplier,
}

impl Rectifier {
    pub(crate) const fn leaky(slope: f32, from: Quantization, to: Quantization) -> Self {
        let identity = Multiplier::from_real(from.scale as f64 / to.scale as f64);
        let factor = from.scale as f64 * slope as f64 / to.scale as f64;
        let leak = if factor < 0.0 {
            let positive = Multiplier::from_real(-factor);
            Multiplier { multiplier: -positive.multiplier, ..positive }
        } else {
            Multiplier::from_real(factor)
        };
        Self { from: from.zero_point as i32, to: to.zero_point as i32, identity, leak }
    }

    /// The output, not yet saturated; `slope`, of at most 9 bits, multiplies negative values.
    #[inline(always)]
    pub(crate) const fn rectify(&self, x: i32, slope: i32) -> i64 {
        let distance = x - self.from;
        let scaled = if distance >= 0 {
            multiply_by_quantized_multiplier(distance, self.identity)
        } else {
            multiply_by_quantized_multiplier(distance * slope, self.leak)
        };
        scaled as i64 + self.to as i64
    }
}

/// Hard swish (Howard et al., 2019, MobileNetV3) in `f32`: `x * min(6, max(0, x + 3)) / 6`, each operation rounded, in
/// this order; TensorFlow Lite's `HARD_SWISH`.
///
/// A NaN stays a NaN; an infinity of negative sign becomes one, being multiplied by 0.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn hard_swish_f32(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = hard_swish(x);
    }
}

/// [`hard_swish_f32`] of one value.
#[inline(always)]
pub(crate) fn hard_swish(x: f32) -> f32 {
    x * limit(0.0, 6.0, x + 3.0) / 6.0
}

/// Hard swish in int8, from one quantization to another: TensorFlow Lite Micro's `HARD_SWISH`, in 16-bit fixed-point
/// arithmetic.
///
/// With `d = 128 * (x - input zero point)`: `v = d * output multiplier / 2^15`, rounded, is the value on the scale of the
/// output, not shifted yet; `r = d / (3 / input scale * 128)`, saturated, is it between -1 and 1, Q0.15, and
/// `(r + 1) / 2` what hard swish multiplies with; the product with `v` is cut towards zero, divided by the output's power
/// of two, rounded, halves away from zero, and the zero point added, saturated.
///
/// The multipliers are `input scale / 128 / output scale` and `input scale / 128 / (3 / 32768)`, computed in single
/// precision in that order, rounded to 31 bits ([`Multiplier`]) and then to 15, halves upwards.
///
/// # Panics
/// Where the slices' lengths differ, or the scales are not in the range of the arithmetic: `input scale / output scale`
/// in 2^-9..128, input scale in 2^-23..2^20.
pub fn hard_swish_i8(from: Quantization, to: Quantization, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    let function = HardSwish::new(from, to);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = function.apply(x);
    }
}

/// [`hard_swish_i8`] of one value, for tables made in constant evaluation.
pub(crate) struct HardSwish {
    from: i32,
    to: i32,
    output: [i32; 2],
    relu: [i32; 2],
}

impl HardSwish {
    pub(crate) const fn new(from: Quantization, to: Quantization) -> Self {
        let fine = from.scale / 128.0;
        let output = Self::multiplier(fine / to.scale);
        let relu = Self::multiplier(fine / (3.0 / 32768.0));
        assert!(
            -15 <= output[1] && output[1] <= 0 && -15 <= relu[1] && relu[1] <= 27,
            "hard swish needs input scale / output scale in 2^-9..128, and an input scale in 2^-23..2^20"
        );
        Self { from: from.zero_point as i32, to: to.zero_point as i32, output, relu }
    }

    /// A multiplier of 15 bits, and its exponent.
    const fn multiplier(real: f32) -> [i32; 2] {
        let Multiplier { multiplier, exponent } = Multiplier::from_real(real as f64);
        // The significand's last 16 bits are rounded away; the sum of the largest ones would not fit.
        let narrow = if multiplier >= i32::MAX - (1 << 15) { 32767 } else { (multiplier + (1 << 15)) >> 16 };
        [narrow, exponent]
    }

    pub(crate) const fn apply(&self, x: i8) -> i8 {
        // At most 255 * 128 in magnitude.
        let fine = (x as i32 - self.from) * 128;
        let value = rounding_product(fine, self.output[0]);
        let mut relu = fine;
        let exponent = self.relu[1];
        if exponent > 0 {
            relu = saturate_i16((relu as i64) << (exponent - 1)) as i32;
        }
        relu = rounding_product(relu, self.relu[0]);
        if exponent > 0 {
            relu = saturate_i16((relu as i64) << 1) as i32;
        } else {
            relu = divide_by_power_of_two(relu, -exponent as u32);
        }
        let share = (relu + (1 << 15)) >> 1;
        let product = share * value / (1 << 15);
        saturate_i8(divide_by_power_of_two(product, -self.output[1] as u32) as i64 + self.to as i64)
    }
}

/// `a * b / 2^15` of 16-bit numbers of which one is not -32768, rounded, halves upwards; gemmlowp's
/// `SaturatingRoundingDoublingHighMul`.
const fn rounding_product(a: i32, b: i32) -> i32 {
    let product = a * b;
    (product + if product >= 0 { 1 << 14 } else { 1 - (1 << 14) }) / (1 << 15)
}

/// Hard sigmoid in `f32`: `min(1, max(0, alpha * x + beta))`, each operation rounded; a NaN stays a NaN.
///
/// The form is ONNX's `HardSigmoid`. Keras and PyTorch have `alpha` 1/6 and `beta` 1/2, which is `relu6(x + 3) / 6`; ONNX
/// itself, and Keras before version 3, 0.2 and 1/2.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn hard_sigmoid_f32(alpha: f32, beta: f32, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = limit(0.0, 1.0, alpha * x + beta);
    }
}

/// Hard sigmoid in int8, from one quantization to another.
///
/// TensorFlow Lite has no such operator; this is the formula of [`hard_sigmoid_f32`] in `f64`: with
/// `d = x - input zero point` the output is `min(1, max(0, alpha * (input scale * d) + beta)) / output scale`, each
/// operation rounded, then rounded to an integer, halves away from zero, plus the output's zero point, saturated.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn hard_sigmoid_i8(alpha: f32, beta: f32, from: Quantization, to: Quantization, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (out, &x) in output.iter_mut().zip(input) {
        *out = hard_sigmoid(alpha, beta, from, to, x);
    }
}

/// [`hard_sigmoid_i8`] of one value, for tables made in constant evaluation.
pub(crate) const fn hard_sigmoid(alpha: f32, beta: f32, from: Quantization, to: Quantization, x: i8) -> i8 {
    let real = from.scale as f64 * (x as i32 - from.zero_point as i32) as f64;
    let line = alpha as f64 * real + beta as f64;
    let share = if line > 1.0 {
        1.0
    } else if line < 0.0 {
        0.0
    } else {
        line
    };
    saturate_i8(round(share / to.scale as f64).saturating_add(to.zero_point as i64))
}
