use crate::quant::{Multiplier, multiply_by_quantized_multiplier};
use crate::shape::Pool2dShape;

/// Calls `pixel(position of the pixel's first channel)` for every pixel of the input that the window at output pixel
/// `(y, x)` sees, in the order of rows, then columns; padding is left out.
fn for_each_pixel(shape: &Pool2dShape, y: usize, x: usize, mut pixel: impl FnMut(usize)) {
    let [height, width, channels] = shape.input;
    let inside = |position: usize, before: usize, size: usize| position.checked_sub(before).filter(|&p| p < size);
    for i in 0..shape.window[0] {
        for j in 0..shape.window[1] {
            let row = inside(y * shape.stride[0] + i, shape.padding[0], height);
            let column = inside(x * shape.stride[1] + j, shape.padding[1], width);
            if let (Some(row), Some(column)) = (row, column) {
                pixel((row * width + column) * channels);
            }
        }
    }
}

/// Writes `value(y, x, channel)` to every place of the output.
fn for_each_output<T>(shape: &Pool2dShape, output: &mut [T], mut value: impl FnMut(usize, usize, usize) -> T) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        *out = value(at / channels / width, at / channels % width, at % channels);
    }
}

/// Maximum pooling, in int8, int16 or `f32`: TensorFlow Lite's `MAX_POOL_2D`. Padding never wins, whatever the input holds.
///
/// Values are compared in the order of rows, then columns, beginning with the first one inside the input; that one
/// stays where the comparison with another says neither is greater (equal values, zeros of both signs, NaN).
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn max_pool2d<T: Copy + PartialOrd>(shape: &Pool2dShape, input: &[T], output: &mut [T]) {
    for_each_output(shape, output, |y, x, channel| {
        let mut largest = None;
        for_each_pixel(shape, y, x, |pixel| {
            let value = input[pixel + channel];
            if largest.is_none_or(|largest| value > largest) {
                largest = Some(value);
            }
        });
        largest.expect("every window sees a pixel of the input")
    });
}

/// Average pooling in int8 or int16: TensorFlow Lite's `AVERAGE_POOL_2D`. Input and output have the same quantization.
///
/// `average = sum / count`, exact, then rounded to the nearest integer, halves away from zero (zero being the integer
/// 0, not the zero point). Without `padding` the sum and the count are those of the pixels inside the input, as in
/// TensorFlow Lite; with it the count is the window's size and every padded position adds the value given, which is
/// the zero point (`count_include_pad` in PyTorch).
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn average_pool2d<T: Copy + Into<i64> + TryFrom<i64>>(
    shape: &Pool2dShape,
    padding: Option<T>,
    input: &[T],
    output: &mut [T],
) {
    for_each_output(shape, output, |y, x, channel| {
        let (mut sum, mut count) = (0i64, 0i64);
        for_each_pixel(shape, y, x, |pixel| {
            sum += input[pixel + channel].into();
            count += 1;
        });
        if let Some(zero_point) = padding {
            let window = (shape.window[0] * shape.window[1]) as i64;
            sum += (window - count) * zero_point.into();
            count = window;
        }
        rounded_average(sum, count)
    });
}

/// `sum / count` rounded to the nearest integer, halves away from zero.
pub(super) fn rounded_average<T: TryFrom<i64>>(sum: i64, count: i64) -> T {
    let away_from_zero = if sum > 0 { count / 2 } else { -(count / 2) };
    // Rust's division drops the fraction, towards zero.
    T::try_from((sum + away_from_zero) / count).unwrap_or_else(|_| panic!("an average of values is a value"))
}

/// Average pooling in `f32`: TensorFlow Lite's `AVERAGE_POOL_2D`.
///
/// The sum begins with 0.0 and takes the pixels inside the input in the order of rows, then columns, rounding after
/// each addition; one division by the count follows. The count is that of the pixels inside the input or, with
/// `include_padding`, the window's size (`count_include_pad` in PyTorch; padding is 0.0 and leaves the sum as it is).
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn average_pool2d_f32(shape: &Pool2dShape, include_padding: bool, input: &[f32], output: &mut [f32]) {
    for_each_output(shape, output, |y, x, channel| {
        let (mut sum, mut count) = (0.0f32, 0usize);
        for_each_pixel(shape, y, x, |pixel| {
            sum += input[pixel + channel];
            count += 1;
        });
        if include_padding {
            count = shape.window[0] * shape.window[1];
        }
        sum / count as f32
    });
}

/// What TensorFlow Lite's `MEAN` multiplies sums with, and the zero points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MeanParameters {
    /// Input scale / output scale / number of pixels.
    pub multiplier: Multiplier,
    /// The input's zero point times the number of pixels: what a sum of zeros is.
    pub zero: i32,
    /// The output's zero point.
    pub zero_point: i32,
}

impl MeanParameters {
    /// The parameters for the mean of `pixels` values; scales and zero points are the input's and the output's.
    ///
    /// With the ratio of the scales as [`Multiplier`] `m * 2^(e - 31)`, and `s = floor(log2(pixels))` but at most
    /// `31 + e`, the multiplier is `floor(m * 2^s / pixels) * 2^(e - s - 31)`: `QuantizedMeanOrSum` of TensorFlow Lite.
    ///
    /// # Panics
    /// Where there are no pixels or more than 2^20, the input's zero point is no int8 value, or the ratio of the scales is
    /// not finite or not below 2^30. In a constant this is a compile error.
    pub const fn new(pixels: usize, scales: [f32; 2], zero_points: [i16; 2]) -> Self {
        assert!(pixels > 0 && pixels <= Pool2dShape::MAX_WINDOW, "a mean is taken of 1 to 2^20 pixels");
        assert!(zero_points[0] >= -128 && zero_points[0] <= 127, "the input's zero point is that of int8, or 0");
        let ratio = Multiplier::from_real(scales[0] as f64 / scales[1] as f64);
        let log2 = pixels.ilog2() as i32;
        let shift = if log2 < 31 + ratio.exponent { log2 } else { 31 + ratio.exponent };
        let multiplier = ((ratio.multiplier as i64) << shift) / pixels as i64;
        Self {
            multiplier: Multiplier { multiplier: multiplier as i32, exponent: ratio.exponent - shift },
            zero: pixels as i32 * zero_points[0] as i32,
            zero_point: zero_points[1] as i32,
        }
    }

    /// The mean of values whose sum this is, not yet saturated.
    pub const fn mean(&self, sum: i32) -> i32 {
        let scaled = multiply_by_quantized_multiplier(sum.wrapping_sub(self.zero), self.multiplier);
        scaled.saturating_add(self.zero_point)
    }
}

/// The mean of each channel over all pixels, in int8 or int16: TensorFlow Lite Micro's `MEAN` over height and width.
///
/// `sum - pixels * input zero point`, times the multiplier of [`MeanParameters`] with double rounding
/// ([`multiply_by_quantized_multiplier`]), plus the output's zero point, saturated. `input` holds pixels of as many
/// channels as `output`.
///
/// # Panics
/// Where the input's length is not a multiple of the output's.
pub fn mean2d<T: Copy + Into<i32> + TryFrom<i32>>(parameters: &MeanParameters, input: &[T], output: &mut [T]) {
    assert!(input.len().is_multiple_of(output.len()), "input length");
    let channels = output.len();
    for (channel, out) in output.iter_mut().enumerate() {
        let mut sum = 0;
        for pixel in input.chunks(channels) {
            sum += pixel[channel].into();
        }
        let mean = parameters.mean(sum);
        let limit = if size_of::<T>() == 1 { 127 } else { 32767 };
        *out = T::try_from(mean.clamp(-limit - 1, limit)).unwrap_or_else(|_| unreachable!());
    }
}
