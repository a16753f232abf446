use super::activation::clamp_f32;
use super::conv2d::for_each_tap;
use crate::quant::{CommonRequantization, Rounding};
use crate::shape::Conv2dShape;

/// A locally connected layer in int8, and requantization: a convolution whose every output pixel has filters of its own.
///
/// `accumulator[y][x][o] = bias[y][x][o] + sum (input - input_zero_point) * filters[y][x][o][i][j][c]` over the pixels
/// that a convolution of this shape sees ([`conv2d_i8`](super::conv2d_i8)), in exact integers. `parameters` holds
/// `R::WORDS` words for each output value. In real numbers it is the `LocallyConnected2D` of Keras 2.
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn locally_connected2d_i8<R: Rounding>(
    shape: &Conv2dShape,
    input: &[i8],
    input_zero_point: i8,
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i8],
) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        let (x, y) = (at / channels % width, at / channels / width);
        let mut accumulator = bias[at] as i64;
        for_each_tap(shape, y, x, at % channels, |in_filter, from| {
            if let Some(from) = from {
                let weight = filters[at * shape.filter_len() + in_filter];
                accumulator += (input[from] as i64 - input_zero_point as i64) * weight as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        *out = common.clamp(R::scale(accumulator, &parameters[at * R::WORDS..], common));
    }
}

/// A locally connected layer of int16 values with int8 weights, and requantization.
///
/// All zero points are 0; otherwise as [`locally_connected2d_i8`].
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn locally_connected2d_i16<R: Rounding>(
    shape: &Conv2dShape,
    input: &[i16],
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i16],
) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        let (x, y) = (at / channels % width, at / channels / width);
        let mut accumulator = bias[at] as i64;
        for_each_tap(shape, y, x, at % channels, |in_filter, from| {
            if let Some(from) = from {
                accumulator += input[from] as i64 * filters[at * shape.filter_len() + in_filter] as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        *out = common.clamp_i16(R::scale(accumulator, &parameters[at * R::WORDS..], common));
    }
}

/// A locally connected layer in `f32`, clamped to `low..=high` (the activation).
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn locally_connected2d_f32(
    shape: &Conv2dShape,
    input: &[f32],
    filters: &[f32],
    bias: &[f32],
    [low, high]: [f32; 2],
    output: &mut [f32],
) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        let (x, y) = (at / channels % width, at / channels / width);
        let mut sum = bias[at];
        for_each_tap(shape, y, x, at % channels, |in_filter, from| {
            sum += from.map_or(0.0, |from| input[from]) * filters[at * shape.filter_len() + in_filter];
        });
        *out = clamp_f32(sum, low, high);
    }
}
