use crate::shape::{Region, Shape, UpsampleShape};

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

/// Nearest-neighbour upsampling by whole factors: the output pixel `(y, x)` is the input pixel
/// `(floor(y / vertical factor), floor(x / horizontal factor))`.
///
/// For these factors, TensorFlow Lite's `RESIZE_NEAREST_NEIGHBOR` without `align_corners` is the same, with and without
/// `half_pixel_centers`; except that it divides in single precision, which without `half_pixel_centers` is one pixel off
/// here and there for factors from 41 on.
///
/// # Panics
/// Where the length of a slice is not its shape's.
pub fn upsample<T: Copy>(shape: &UpsampleShape, input: &[T], output: &mut [T]) {
    let ([_, width, channels], [out_height, out_width, _]) = (shape.input(), shape.output());
    assert_eq!(input.len(), shape.input().iter().product(), "input length");
    assert_eq!(output.len(), shape.output().iter().product(), "output length");
    for y in 0..out_height {
        for x in 0..out_width {
            for c in 0..channels {
                let from = (y / shape.factors()[0] * width + x / shape.factors()[1]) * channels + c;
                output[(y * out_width + x) * channels + c] = input[from];
            }
        }
    }
}
