use super::activation::clamp_f32;
use crate::quant::{CommonRequantization, Rounding};
use crate::shape::Conv2dShape;

/// Calls `tap(position in the filter, position in the input or None in the padding)` for every weight of filter
/// `o` placed at output pixel `(y, x)` before pooling, in the order filter row, filter column, input channel of its group.
pub(super) fn for_each_tap(
    shape: &Conv2dShape,
    y: usize,
    x: usize,
    o: usize,
    mut tap: impl FnMut(usize, Option<usize>),
) {
    let [height, width, channels] = shape.input;
    let group = channels / shape.groups;
    let first = o / (shape.filters / shape.groups) * group;
    let inside = |position: usize, before: usize, size: usize| position.checked_sub(before).filter(|&p| p < size);
    for i in 0..shape.filter[0] {
        for j in 0..shape.filter[1] {
            let row = inside(y * shape.stride[0] + i * shape.dilation[0], shape.padding[0], height);
            let column = inside(x * shape.stride[1] + j * shape.dilation[1], shape.padding[1], width);
            for c in 0..group {
                let in_filter = (i * shape.filter[1] + j) * group + c;
                tap(in_filter, row.zip(column).map(|(r, q)| (r * width + q) * channels + first + c));
            }
        }
    }
}

/// Writes the maximum of every pooling window, comparing in the order of rows, then columns; the first value stays
/// where the comparison with another says neither is greater (equal values, zeros of both signs, NaN).
fn pool<T: Copy + PartialOrd>(
    shape: &Conv2dShape,
    mut convolved: impl FnMut(usize, usize, usize) -> T,
    output: &mut [T],
) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        let (o, x, y) = (at % channels, at / channels % width, at / channels / width);
        let (top, left) = (y * shape.pool[0], x * shape.pool[1]);
        *out = convolved(top, left, o);
        for i in 0..shape.pool[0] {
            for j in 0..shape.pool[1] {
                let value = convolved(top + i, left + j, o);
                if value > *out {
                    *out = value;
                }
            }
        }
    }
}

/// Convolution in int8, requantization, then maximum pooling.
///
/// ```text
/// accumulator[y][x][o] = bias[o] + sum over i, j, c of
///     (input[y * stride - top + i * dilation][x * stride - left + j * dilation][first + c] - input_zero_point)
///     * filters[o][i][j][c]
/// ```
///
/// in exact integers, `first` being the first channel of the filter's group; padding counts as the real number 0, so it
/// adds nothing. `filters` is `[filters][height][width][channels]`; `parameters` holds `R::WORDS` words for each output
/// channel. It is TensorFlow Lite's `CONV_2D`, of a single pixel `FULLY_CONNECTED`, by its quantization specification
/// (<https://ai.google.dev/edge/litert/models/quantization_spec>).
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn conv2d_i8<R: Rounding>(
    shape: &Conv2dShape,
    input: &[i8],
    input_zero_point: i8,
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i8],
) {
    let convolved = |y: usize, x: usize, o: usize| {
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, y, x, o, |in_filter, at| {
            if let Some(at) = at {
                let weight = filters[o * shape.filter_len() + in_filter];
                accumulator += (input[at] as i64 - input_zero_point as i64) * weight as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        common.clamp(R::scale(accumulator, &parameters[o * R::WORDS..], common))
    };
    pool(shape, convolved, output);
}

/// Convolution of int16 values with int8 weights, requantization, then maximum pooling.
///
/// `accumulator = bias + sum input * weight` in exact integers; all zero points are 0. Otherwise as [`conv2d_i8`].
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 32 bits.
pub fn conv2d_i16<R: Rounding>(
    shape: &Conv2dShape,
    input: &[i16],
    filters: &[i8],
    bias: &[i32],
    parameters: &[u32],
    common: &CommonRequantization,
    output: &mut [i16],
) {
    let convolved = |y: usize, x: usize, o: usize| {
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, y, x, o, |in_filter, at| {
            if let Some(at) = at {
                accumulator += input[at] as i64 * filters[o * shape.filter_len() + in_filter] as i64;
            }
        });
        let accumulator = i32::try_from(accumulator).expect("packing checks the accumulator's bound");
        common.clamp_i16(R::scale(accumulator, &parameters[o * R::WORDS..], common))
    };
    pool(shape, convolved, output);
}

/// [`conv2d_i16`] with sums of 64 bits and the rounding of [`ReducedRounding`](crate::ReducedRounding):
/// `floor((accumulator * multiplier + 2^(shift-1)) / 2^shift)` with each output channel's multiplier and shift, clamped.
///
/// # Panics
/// Where a slice's length is not the shape's, or an accumulator leaves 48 bits.
pub fn conv2d_i16_wide(
    shape: &Conv2dShape,
    input: &[i16],
    filters: &[i8],
    bias: &[i32],
    parameters: &[[u32; 2]],
    common: &CommonRequantization,
    output: &mut [i16],
) {
    let convolved = |y: usize, x: usize, o: usize| {
        let mut accumulator = bias[o] as i64;
        for_each_tap(shape, y, x, o, |in_filter, at| {
            if let Some(at) = at {
                accumulator += input[at] as i64 * filters[o * shape.filter_len() + in_filter] as i64;
            }
        });
        assert!(accumulator.unsigned_abs() <= 1 << 47, "packing checks the accumulator's bound");
        let [multiplier, shift] = parameters[o];
        let scaled = (accumulator * multiplier as i64 + (1 << (shift - 1))) >> shift;
        common.clamp_i16(i32::try_from(scaled).expect("packing checks the result's bound"))
    };
    pool(shape, convolved, output);
}

/// Convolution in `f32`, clamped to `low..=high` (the activation), then maximum pooling: the sum of [`conv2d_i8`] in real
/// numbers, from the bias on, in the order filter row, filter column, channel.
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn conv2d_f32(
    shape: &Conv2dShape,
    input: &[f32],
    filters: &[f32],
    bias: &[f32],
    [low, high]: [f32; 2],
    output: &mut [f32],
) {
    let convolved = |y: usize, x: usize, o: usize| {
        let mut sum = bias[o];
        for_each_tap(shape, y, x, o, |in_filter, at| {
            sum += at.map_or(0.0, |at| input[at]) * filters[o * shape.filter_len() + in_filter];
        });
        clamp_f32(sum, low, high)
    };
    pool(shape, convolved, output);
}
