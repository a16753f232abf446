use crate::shape::BlurPool2dShape;

/// The binomial coefficients `taps - 1` over `0..taps`; their sum is `2^(taps - 1)`.
pub const fn binomials(taps: usize) -> [i32; BlurPool2dShape::MAX_TAPS] {
    let mut row = [0; BlurPool2dShape::MAX_TAPS];
    row[0] = 1;
    let mut n = 1;
    while n < taps {
        let mut k = n;
        while k > 0 {
            row[k] += row[k - 1];
            k -= 1;
        }
        n += 1;
    }
    row
}

/// The maximum of the window at `(y, x)` of the dense map, compared as in [`max_pool2d`](super::max_pool2d).
fn maximum<T: Copy + PartialOrd>(shape: &BlurPool2dShape, input: &[T], y: usize, x: usize, channel: usize) -> T {
    let [_, width, channels] = shape.input;
    let mut largest = input[(y * width + x) * channels + channel];
    for i in 0..shape.max {
        for j in 0..shape.max {
            let value = input[((y + i) * width + x + j) * channels + channel];
            if value > largest {
                largest = value;
            }
        }
    }
    largest
}

/// Writes `value(y, x, channel)` to every place of the output.
fn for_each_output<T>(shape: &BlurPool2dShape, output: &mut [T], mut value: impl FnMut(usize, usize, usize) -> T) {
    let [height, width, channels] = shape.output();
    assert_eq!(output.len(), height * width * channels, "output length");
    for (at, out) in output.iter_mut().enumerate() {
        *out = value(at / channels / width, at / channels % width, at % channels);
    }
}

/// Anti-aliased pooling in int8 or int16: R. Zhang, "Making Convolutional Networks Shift-Invariant Again" (2019).
///
/// With `b` the [`binomials`] of the shape's `n` taps, and `m` the maximum over the window that a tap sees,
/// `output = floor((sum of b[i] * b[j] * m[i][j] + 2^(2n - 3)) / 2^(2n - 2))`: the exact weighted average, halves
/// rounded upwards. Zero padding is `zero_point`. Input and output have the same quantization.
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn blur_pool2d<T: Copy + PartialOrd + Into<i64> + TryFrom<i64>>(
    shape: &BlurPool2dShape,
    zero_point: T,
    input: &[T],
    output: &mut [T],
) {
    let ([height, width], weights) = (shape.dense(), binomials(shape.taps));
    for_each_output(shape, output, |y, x, channel| {
        let mut sum = 0i64;
        for i in 0..shape.taps {
            for j in 0..shape.taps {
                let value = match (shape.tap(y, i, height), shape.tap(x, j, width)) {
                    (Some(row), Some(column)) => maximum(shape, input, row, column, channel),
                    _ => zero_point,
                };
                sum += i64::from(weights[i] * weights[j]) * value.into();
            }
        }
        let shift = 2 * shape.taps - 2;
        T::try_from((sum + (1 << (shift - 1))) >> shift).unwrap_or_else(|_| panic!("an average of values is a value"))
    });
}

/// Anti-aliased pooling in `f32`: R. Zhang, "Making Convolutional Networks Shift-Invariant Again" (2019).
///
/// With the weights `w[i] = b[i] / 2^(taps - 1)`, which are exact, a row's sum begins with 0.0 and takes `w[j] * m[i][j]`
/// in the order of columns; the output begins with 0.0 and takes `w[i] * (the row's sum)` in the order of rows. Each
/// product is rounded before it is added. Zero padding is 0.0.
///
/// # Panics
/// Where a slice's length is not the shape's.
pub fn blur_pool2d_f32(shape: &BlurPool2dShape, input: &[f32], output: &mut [f32]) {
    let ([height, width], binomials) = (shape.dense(), binomials(shape.taps));
    let weights = binomials.map(|binomial| binomial as f32 / (1 << (shape.taps - 1)) as f32);
    for_each_output(shape, output, |y, x, channel| {
        let mut sum = 0.0;
        for (i, row_weight) in weights.iter().enumerate().take(shape.taps) {
            let mut row_sum = 0.0;
            for (j, weight) in weights.iter().enumerate().take(shape.taps) {
                let value = match (shape.tap(y, i, height), shape.tap(x, j, width)) {
                    (Some(row), Some(column)) => maximum(shape, input, row, column, channel),
                    _ => 0.0,
                };
                row_sum += weight * value;
            }
            sum += row_weight * row_sum;
        }
        sum
    });
}
