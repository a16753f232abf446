use super::activation::clamp_f32;
use crate::quant::{CommonRequantization, Rounding};
use crate::shape::DepthwiseConv2dShape;

/// Calls `tap(place in the filters, place in the input or None in the padding)` for every weight of output channel `o`
/// at output pixel `(y, x)`, in the order filter row, filter column.
fn for_each_tap(shape: &DepthwiseConv2dShape, [y, x, o]: [usize; 3], mut tap: impl FnMut(usize, Option<usize>)) {
    let [height, width, channels] = shape.input;
    let inside = |position: usize, before: usize, size: usize| position.checked_sub(before).filter(|&p| p < size);
    for i in 0..shape.filter[0] {
        for j in 0..shape.filter[1] {
            let row = inside(y * shape.stride[0] + i * shape.dilation[0], shape.padding[0], height);
            let column = inside(x * shape.stride[1] + j * shape.dilation[1], shape.padding[1], width);
            let in_filters = (i * shape.filter[1] + j) * shape.channels() + o;
            tap(in_filters, row.zip(column).map(|(r, q)| (r * width + q) * channels + o / shape.multiplier));
        }
    }
}

/// Writes `value([y, x, o])` to every place of the output.
fn for_each_output<T>(shape: &DepthwiseConv2dShape, output: &mut [T], mut value: impl FnMut([usize; 3]) -> T) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        *out = value([at / channels / width, at / channels % width, at % channels]);
    }
}

/// Depthwise convolution in int8, then requantization.
///
/// ```text
/// output[y][x][o] = requantize(bias[o] + sum over i, j of
///     (input[y * stride - top + i * dilation][x * stride - left + j * dilation][o / multiplier] - input_zero_point)
///     * filters[i][j][o])
/// ```
///
/// in exact integers; padding counts as the real number 0. It is TensorFlow Lite's `DEPTHWISE_CONV_2D`
/// (<https://ai.google.dev/edge/litert/models/quantization_spec>), with
/// [`DoubleRounding`](crate::DoubleRounding) in the bits of TensorFlow Lite Micro. `parameters` are those of the
/// rounding for each output channel.
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn depthwise_conv2d_i8<R: Rounding>(
    shape: &DepthwiseConv2dShape,
    input: &[i8],
    input_zero_point: i8,
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i8],
) {
    for_each_output(shape, output, |at @ [_, _, o]| {
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, at, |in_filters, in_input| {
            if let Some(in_input) = in_input {
                accumulator += (input[in_input] as i64 - input_zero_point as i64) * filters[in_filters] as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        common.clamp(R::scale(accumulator, &parameters[o * R::WORDS..], common))
    });
}

/// Depthwise convolution of int16 values with int8 weights, then requantization.
///
/// `accumulator = bias + sum input * weight` in exact integers; all zero points are 0. Otherwise as
/// [`depthwise_conv2d_i8`]. [`ReducedRounding`](crate::ReducedRounding) gives the bits of TensorFlow Lite Micro.
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn depthwise_conv2d_i16<R: Rounding>(
    shape: &DepthwiseConv2dShape,
    input: &[i16],
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i16],
) {
    for_each_output(shape, output, |at @ [_, _, o]| {
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, at, |in_filters, in_input| {
            if let Some(in_input) = in_input {
                accumulator += input[in_input] as i64 * filters[in_filters] as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        common.clamp_i16(R::scale(accumulator, &parameters[o * R::WORDS..], common))
    });
}

/// Depthwise convolution in `f32`, clamped to `low..=high` (the activation).
///
/// The sum starts at the bias and takes the products in the order filter row, filter column.
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn depthwise_conv2d_f32(
    shape: &DepthwiseConv2dShape,
    input: &[f32],
    filters: &[f32],
    bias: &[f32],
    [low, high]: [f32; 2],
    output: &mut [f32],
) {
    for_each_output(shape, output, |at @ [_, _, o]| {
        let mut sum = bias[o];
        for_each_tap(shape, at, |in_filters, in_input| {
            sum += in_input.map_or(0.0, |at| input[at]) * filters[in_filters];
        });
        clamp_f32(sum, low, high)
    });
}
