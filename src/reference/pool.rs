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

/// Average pooling in int8: TensorFlow Lite's `AVERAGE_POOL_2D`. Input and output have the same quantization.
///
/// `average = sum / count`, exact, then rounded to the nearest integer, halves away from zero (zero being the integer
/// 0, not the zero point). Without `padding` the sum and the count are those of the pixels inside the input, as in
/// TensorFlow Lite; with it the count is the window's size and every padded position adds the value given, which is
/// the zero point (`count_include_pad` in PyTorch).
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn average_pool2d_i8(shape: &Pool2dShape, padding: Option<i8>, input: &[i8], output: &mut [i8]) {
    for_each_output(shape, output, |y, x, channel| {
        let (mut sum, mut count) = (0i64, 0i64);
        for_each_pixel(shape, y, x, |pixel| {
            sum += input[pixel + channel] as i64;
            count += 1;
        });
        if let Some(zero_point) = padding {
            let window = (shape.window[0] * shape.window[1]) as i64;
            sum += (window - count) * zero_point as i64;
            count = window;
        }
        let away_from_zero = if sum > 0 { count / 2 } else { -(count / 2) };
        // Rust's division drops the fraction, towards zero. An average of int8 values is one.
        ((sum + away_from_zero) / count) as i8
    });
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
