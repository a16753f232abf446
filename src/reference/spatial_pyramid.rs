use super::pool::rounded_average;
use crate::shape::Shape;
use core::ops::Range;

/// The rows (or columns) of bin `bin` of `bins`, over `size` of them: from `floor(bin * size / bins)` to
/// `ceil((bin + 1) * size / bins)`, the last one excluded.
///
/// He, Zhang, Ren, Sun: "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition" (2014), appendix
/// "Implementation of Pooling Bins". Bins overlap where `bins` does not divide `size`.
pub const fn pyramid_bin(bin: usize, bins: usize, size: usize) -> Range<usize> {
    bin * size / bins..((bin + 1) * size).div_ceil(bins)
}

/// Calls `bin(place of the bin's first output, rows, columns)` for every bin: level by level, row by row.
fn for_each_bin(
    levels: &[usize],
    [height, width, channels]: Shape,
    mut bin: impl FnMut(usize, Range<usize>, Range<usize>),
) {
    let mut place = 0;
    for &level in levels {
        for i in 0..level {
            for j in 0..level {
                bin(place, pyramid_bin(i, level, height), pyramid_bin(j, level, width));
                place += channels;
            }
        }
    }
}

/// The values of one channel in a bin, row by row.
fn values<T: Copy>(
    [_, width, channels]: Shape,
    channel: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    input: &[T],
) -> impl Iterator<Item = T> {
    rows.flat_map(move |y| columns.clone().map(move |x| input[(y * width + x) * channels + channel]))
}

/// Spatial pyramid pooling with maxima, in int8, int16 or `f32`: for each of `levels` the maxima of `level * level` bins
/// ([`pyramid_bin`]), bins in the order of rows, then columns, the channels of a bin side by side.
///
/// Values are compared as in [`max_pool2d`](super::max_pool2d).
///
/// # Panics
/// Where a level is 0, or a slice's length is not the shape's.
pub fn spatial_pyramid_max<T: Copy + PartialOrd>(levels: &[usize], shape: Shape, input: &[T], output: &mut [T]) {
    for_each_bin(levels, shape, |place, rows, columns| {
        for channel in 0..shape[2] {
            let pixels = values(shape, channel, rows.clone(), columns.clone(), input);
            let largest = pixels.reduce(|largest, value| if value > largest { value } else { largest });
            output[place + channel] = largest.expect("a bin has a pixel");
        }
    });
}

/// Spatial pyramid pooling with averages, in int8 or int16: as [`spatial_pyramid_max`], with averages rounded as those
/// of [`average_pool2d`](super::average_pool2d).
///
/// # Panics
/// Where a level is 0, or a slice's length is not the shape's.
pub fn spatial_pyramid_average<T: Copy + Into<i64> + TryFrom<i64>>(
    levels: &[usize],
    shape: Shape,
    input: &[T],
    output: &mut [T],
) {
    for_each_bin(levels, shape, |place, rows, columns| {
        for channel in 0..shape[2] {
            let sum = values(shape, channel, rows.clone(), columns.clone(), input).map(Into::into).sum();
            output[place + channel] = rounded_average(sum, (rows.len() * columns.len()) as i64);
        }
    });
}

/// Spatial pyramid pooling with averages, in `f32`: as [`spatial_pyramid_max`], with averages computed as those of
/// [`average_pool2d_f32`](super::average_pool2d_f32): a sum that begins with 0.0, and one division.
///
/// # Panics
/// Where a level is 0, or a slice's length is not the shape's.
pub fn spatial_pyramid_average_f32(levels: &[usize], shape: Shape, input: &[f32], output: &mut [f32]) {
    for_each_bin(levels, shape, |place, rows, columns| {
        for channel in 0..shape[2] {
            let sum = values(shape, channel, rows.clone(), columns.clone(), input).fold(0.0, |sum, value| sum + value);
            output[place + channel] = sum / (rows.len() * columns.len()) as f32;
        }
    });
}
