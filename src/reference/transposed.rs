use super::activation::clamp_f32;
use crate::quant::{CommonRequantization, Rounding};
use crate::shape::TransposedConv2dShape;

/// Calls `tap(position in the filter, position in the input or None outside it)` for every weight that output pixel
/// `(y, x)` takes, in the order input row, input column, input channel.
fn for_each_tap(shape: &TransposedConv2dShape, y: usize, x: usize, mut tap: impl FnMut(usize, Option<usize>)) {
    let [height, width, channels] = shape.input;
    // The input row whose weight row ky comes to output row y: outside the input `Some(None)`.
    let meets = |at: usize, axis: usize, k: usize, size: usize| {
        let distance = (at + shape.padding[axis]) as isize - k as isize;
        let stride = shape.stride[axis] as isize;
        let position = usize::try_from(distance.div_euclid(stride)).ok().filter(|&p| p < size);
        (distance.rem_euclid(stride) == 0).then_some(position)
    };
    for ky in (0..shape.filter[0]).rev() {
        for kx in (0..shape.filter[1]).rev() {
            if let (Some(row), Some(column)) = (meets(y, 0, ky, height), meets(x, 1, kx, width)) {
                for c in 0..channels {
                    let in_filter = (ky * shape.filter[1] + kx) * channels + c;
                    tap(in_filter, row.zip(column).map(|(r, q)| (r * width + q) * channels + c));
                }
            }
        }
    }
}

/// Transposed convolution in int8, and requantization.
///
/// `accumulator[y][x][o] = bias[o] + sum (input[i][j][c] - input_zero_point) * weight[o][ky][kx][c]` over all pixels and
/// weights with `i * stride - top + ky = y` and `j * stride - left + kx = x`, in exact integers. `filters` is
/// `[filters][height][width][channels]`; `parameters` holds `R::WORDS` words for each output channel. It is TensorFlow
/// Lite's `TRANSPOSE_CONV`; see V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning" (2016).
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn transposed_conv2d_i8<R: Rounding>(
    shape: &TransposedConv2dShape,
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
        let (o, x, y) = (at % channels, at / channels % width, at / channels / width);
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, y, x, |in_filter, at| {
            if let Some(at) = at {
                let weight = filters[o * shape.filter_len() + in_filter];
                accumulator += (input[at] as i64 - input_zero_point as i64) * weight as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        *out = common.clamp(R::scale(accumulator, &parameters[o * R::WORDS..], common));
    }
}

/// Transposed convolution of int16 values with int8 weights, and requantization.
///
/// All zero points are 0; otherwise as [`transposed_conv2d_i8`].
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn transposed_conv2d_i16<R: Rounding>(
    shape: &TransposedConv2dShape,
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
        let (o, x, y) = (at % channels, at / channels % width, at / channels / width);
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, y, x, |in_filter, at| {
            if let Some(at) = at {
                accumulator += input[at] as i64 * filters[o * shape.filter_len() + in_filter] as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        *out = common.clamp_i16(R::scale(accumulator, &parameters[o * R::WORDS..], common));
    }
}

/// Transposed convolution in `f32`, clamped to `low..=high` (the activation).
///
/// An output's sum starts at the bias and takes its products in the order input row, input column, input channel;
/// inputs outside the tensor take part as `0.0`.
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn transposed_conv2d_f32(
    shape: &TransposedConv2dShape,
    input: &[f32],
    filters: &[f32],
    bias: &[f32],
    [low, high]: [f32; 2],
    output: &mut [f32],
) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        let (o, x, y) = (at % channels, at / channels % width, at / channels / width);
        let mut sum = bias[o];
        for_each_tap(shape, y, x, |in_filter, at| {
            sum += at.map_or(0.0, |at| input[at]) * filters[o * shape.filter_len() + in_filter];
        });
        *out = clamp_f32(sum, low, high);
    }
}
