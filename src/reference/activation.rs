use crate::quant::{Multiplier, Quantization, multiply_by_quantized_multiplier};

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

/// The rectified linear unit in `f32`: `0.0` where `x < 0`, otherwise `x`.
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

/// The leaky rectified linear unit in `f32`: `x` where `x >= 0`, otherwise `slope * x`.
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

/// The leaky rectified linear unit in int8, from one quantization to another: TensorFlow Lite Micro's `LEAKY_RELU`.
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
    let function = LeakyRelu::new(slope, from, to);
    for (out, &x) in output.iter_mut().zip(input) {
        *out = function.apply(x);
    }
}

/// [`leaky_relu_i8`] of one value, for tables made in constant evaluation.
pub(crate) struct LeakyRelu {
    from: i32,
    to: i32,
    /// For values that are not negative.
    identity: Multiplier,
    /// For negative values; the multiplier has the slope's sign.
    leak: Multiplier,
}

impl LeakyRelu {
    pub(crate) const fn new(slope: f32, from: Quantization, to: Quantization) -> Self {
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

    pub(crate) const fn apply(&self, x: i8) -> i8 {
        let distance = x as i32 - self.from;
        let multiplier = if distance >= 0 { self.identity } else { self.leak };
        let output = multiply_by_quantized_multiplier(distance, multiplier) as i64 + self.to as i64;
        (if output < -128 {
            -128
        } else if output > 127 {
            127
        } else {
            output
        }) as i8
    }
}
