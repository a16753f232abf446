use crate::shape::{Coordinates, Region, Shape, SliceShape, UpsampleShape};

/// Concatenation and padding alike: copies a tensor to a box of a larger one; what lies outside the box is kept.
///
/// A concatenation (TensorFlow Lite's `CONCATENATION`) places each of its inputs; padding (`PAD`, `PADV2`) fills the
/// output with a constant, in int8 the zero point unless told otherwise, and places its input.
///
/// # Panics
/// Where the length of a slice is not its shape's.
pub fn place<T: Copy>(region: &Region, input: &[T], output: &mut [T]) {
    let [height, width, channels]: Shape = region.shape();
    let ([top, left, front], [out_height, out_width, out_channels]) = (region.at(), region.within());
    assert_eq!(input.len(), height * width * channels, "input length");
    assert_eq!(output.len(), out_height * out_width * out_channels, "output length");
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                let to = ((top + y) * out_width + left + x) * out_channels + front + c;
                output[to] = input[(y * width + x) * channels + c];
            }
        }
    }
}

/// Padding: `value` everywhere, but the input in its box. TensorFlow Lite's `PAD`.
///
/// # Panics
/// Where the length of a slice is not its shape's.
pub fn pad<T: Copy>(region: &Region, value: T, input: &[T], output: &mut [T]) {
    output.fill(value);
    place(region, input, output);
}

/// The input row or column that nearest-neighbour resizing takes for an output row or column: with `s`, the ratio of the
/// sizes, and `position` in `f32`, each operation rounded,
///
/// * `floor(position * s)`, [`Coordinates::Asymmetric`],
/// * `floor((position + 0.5) * s)`, [`Coordinates::HalfPixel`],
/// * `position * s` rounded, halves upwards, [`Coordinates::AlignCorners`],
///
/// but no more than the last. `s` is `input / output`, or where corners are aligned and there are several outputs,
/// `(input - 1) / (output - 1)`. TensorFlow Lite's `GetNearestNeighbor`. Because of single precision a row is not always
/// that of exact arithmetic: enlarged 41 times from two rows, row 41 is row 0 once more.
pub const fn nearest(input: usize, output: usize, coordinates: Coordinates, position: usize) -> usize {
    let (aligned, offset) = match coordinates {
        Coordinates::Asymmetric => (false, 0.0),
        Coordinates::HalfPixel => (false, 0.5),
        Coordinates::AlignCorners => (true, 0.0),
    };
    let scale =
        if aligned && output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { input as f32 / output as f32 };
    let place = (position as f32 + offset) * scale;
    // No place is negative: to cut is to floor, and what that takes off is exact.
    let floor = place as usize;
    let source = if aligned && place - floor as f32 >= 0.5 { floor + 1 } else { floor };
    if source < input { source } else { input - 1 }
}

/// Nearest-neighbour resizing: the output pixel `(y, x)` is the input pixel `(nearest(y), nearest(x))`, with
/// [`nearest`] along both axes. TensorFlow Lite's `RESIZE_NEAREST_NEIGHBOR`, which copies values of any type.
///
/// # Panics
/// Where the length of a slice is not its shape's.
pub fn upsample<T: Copy>(shape: &UpsampleShape, input: &[T], output: &mut [T]) {
    let ([height, width, channels], [out_height, out_width, _]) = (shape.input(), shape.output());
    assert_eq!(input.len(), shape.input().iter().product(), "input length");
    assert_eq!(output.len(), shape.output().iter().product(), "output length");
    for y in 0..out_height {
        for x in 0..out_width {
            let from_y = nearest(height, out_height, shape.coordinates(), y);
            let from_x = nearest(width, out_width, shape.coordinates(), x);
            for c in 0..channels {
                output[(y * out_width + x) * channels + c] = input[(from_y * width + from_x) * channels + c];
            }
        }
    }
}

/// A part of a tensor: the output value `[i, j, k]` is the input value at `begin + [i, j, k] * stride`, axis by axis.
/// TensorFlow Lite's `STRIDED_SLICE`, `SLICE` and, output by output, `SPLIT`.
///
/// # Panics
/// Where the length of a slice is not its shape's.
pub fn slice<T: Copy>(shape: &SliceShape, input: &[T], output: &mut [T]) {
    let ([_, width, channels], [out_height, out_width, out_channels]) = (shape.input(), shape.output());
    assert_eq!(input.len(), shape.input().iter().product(), "input length");
    assert_eq!(output.len(), shape.output().iter().product(), "output length");
    let place = |axis: usize, i: usize| (shape.begin()[axis] as isize + i as isize * shape.stride()[axis]) as usize;
    for y in 0..out_height {
        for x in 0..out_width {
            for c in 0..out_channels {
                let from = (place(0, y) * width + place(1, x)) * channels + place(2, c);
                output[(y * out_width + x) * out_channels + c] = input[from];
            }
        }
    }
}
