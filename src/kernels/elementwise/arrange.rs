//! Copies that need no arithmetic: concatenation, padding, slicing, resizing. What they cost is memory traffic, so that they
//! are the same on every backend.

use crate::shape::{Region, ShapeError, SliceShape, UpsampleShape};
use bytemuck::Pod;

/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
fn check_lens<T>(input: &[T], shape: [usize; 3], output: &[T], output_shape: [usize; 3]) -> Result<(), ShapeError> {
    let [h, w, c] = shape;
    if input.len() != h * w * c {
        return Err(ShapeError::Input);
    }
    let [h, w, c] = output_shape;
    if output.len() != h * w * c {
        return Err(ShapeError::Output);
    }
    Ok(())
}

/// [`reference::place`](crate::reference::place), as long stretches at a time as lie side by side in both tensors.
///
/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
pub fn place<T: Pod>(region: &Region, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
    place_with(region, input, output, |from, to| to.copy_from_slice(from))
}

/// The same, but `copy(from, to)` copies each stretch; both slices are of one length.
///
/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
pub(crate) fn place_with<T: Pod>(
    region: &Region,
    input: &[T],
    output: &mut [T],
    mut copy: impl FnMut(&[T], &mut [T]),
) -> Result<(), ShapeError> {
    let ([height, width, channels], [top, left, front]) = (region.shape(), region.at());
    let [_, out_width, out_channels] = region.within();
    check_lens(input, region.shape(), output, region.within())?;
    // Lines of a box: `lines` times `len` values, `step` apart, in each of `planes`, which are `plane_step` apart.
    let (planes, plane_step, lines, step, len) = if channels < out_channels {
        (height, out_width * out_channels, width, out_channels, channels)
    } else if width < out_width {
        (1, 0, height, out_width * channels, width * channels)
    } else {
        (1, 0, 1, 0, height * width * channels)
    };
    let first = (top * out_width + left) * out_channels + front;
    let (mut from, mut plane) = (input.as_ptr(), first);
    for _ in 0..planes {
        let mut at = plane;
        for _ in 0..lines {
            // SAFETY: the slices are as long as the shapes say, and the box lies inside the output (`Region`): `at` is
            // the place of a line of it, and `from` has gone through as many lines of the input. Input and output are
            // separate borrows.
            unsafe {
                let to = core::slice::from_raw_parts_mut(output.as_mut_ptr().add(at), len);
                copy(core::slice::from_raw_parts(from, len), to);
                from = from.add(len);
            }
            at += step;
        }
        plane += plane_step;
    }
    Ok(())
}

/// [`reference::pad`](crate::reference::pad): writes every value once, in order.
///
/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
pub fn pad<T: Pod>(region: &Region, value: T, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
    let ([height, width, channels], [top, left, front]) = (region.shape(), region.at());
    let [out_height, out_width, out_channels] = region.within();
    check_lens(input, region.shape(), output, region.within())?;
    // Columns that lie side by side are one, where no channels are added.
    let (columns, column, back) = if channels < out_channels {
        (width, channels, out_channels - front - channels)
    } else {
        (1, width * channels, 0)
    };
    let right = (out_width - left - width) * out_channels;
    let mut writer = Writer { rest: output };
    writer.fill(top * out_width * out_channels, value);
    let mut rest = input;
    for _ in 0..height {
        writer.fill(left * out_channels, value);
        for _ in 0..columns {
            writer.fill(front, value);
            rest = writer.copy(rest, column);
            writer.fill(back, value);
        }
        writer.fill(right, value);
    }
    writer.fill((out_height - top - height) * out_width * out_channels, value);
    Ok(())
}

/// What is left of an output to be written.
struct Writer<'a, T> {
    rest: &'a mut [T],
}

impl<'a, T: Pod> Writer<'a, T> {
    /// The next `count` values, or as many as are left.
    #[inline(always)]
    fn next(&mut self, count: usize) -> &'a mut [T] {
        let rest = core::mem::take(&mut self.rest);
        let (next, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        next
    }

    #[inline(always)]
    fn fill(&mut self, count: usize, value: T) {
        // A loop, because `fill` becomes a call where there is nothing to fill.
        for to in self.next(count) {
            *to = value;
        }
    }

    /// Copies `count` values, and returns the others.
    #[inline(always)]
    fn copy<'b>(&mut self, from: &'b [T], count: usize) -> &'b [T] {
        let (values, rest) = from.split_at(count.min(from.len()));
        for (to, &value) in self.next(count).iter_mut().zip(values) {
            *to = value;
        }
        rest
    }
}

/// [`reference::upsample`](crate::reference::upsample): every row that differs from the one before once, the others as
/// copies of it.
///
/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
pub fn upsample<T: Pod>(shape: &UpsampleShape, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
    let ([_, width, channels], [out_height, out_width, _]) = (shape.input(), shape.output());
    check_lens(input, shape.input(), output, shape.output())?;
    let row = out_width * channels;
    let mut writer = Writer { rest: output };
    if let Some([down, across]) = shape.factors() {
        let mut rest = input;
        while !rest.is_empty() {
            let first = writer.next(row);
            let mut pixels = Writer { rest: &mut *first };
            for _ in 0..width {
                let from = rest;
                for _ in 0..across {
                    rest = pixels.copy(from, channels);
                }
            }
            for _ in 1..down {
                writer.copy(first, row);
            }
        }
        return Ok(());
    }
    let mut before: (usize, &[T]) = (usize::MAX, &[]);
    for y in 0..out_height {
        let source = shape.source(0, y);
        let next = writer.next(row);
        let mut pixels = Writer { rest: &mut *next };
        if source == before.0 {
            pixels.copy(before.1, row);
        } else {
            for x in 0..out_width {
                let from = (source * width + shape.source(1, x)) * channels;
                pixels.copy(input.get(from..).unwrap_or_default(), channels);
            }
        }
        before = (source, next);
    }
    Ok(())
}

/// [`reference::slice`](crate::reference::slice), as long stretches at a time as lie side by side in both tensors.
///
/// # Errors
/// Where the length of a slice is not its shape's.
#[inline(always)]
pub fn slice<T: Pod>(shape: &SliceShape, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
    let ([_, width, channels], [top, left, front]) = (shape.input(), shape.begin());
    let ([rows, columns, count], [down, across, along]) = (shape.output(), shape.stride());
    check_lens(input, shape.input(), output, shape.output())?;
    // Whole pixels side by side are one stretch.
    let (columns, len) =
        if count == channels && across == 1 && along == 1 { (1, columns * count) } else { (columns, count) };
    let (row_step, column_step) = (down * (width * channels) as isize, across * channels as isize);
    let first = ((top * width + left) * channels + front) as isize;
    let mut writer = Writer { rest: output };
    for y in 0..rows as isize {
        for x in 0..columns as isize {
            // All places lie inside the input (`SliceShape`).
            let at = first + y * row_step + x * column_step;
            if along == 1 {
                writer.copy(input.get(at as usize..).unwrap_or_default(), len);
            } else {
                let mut at = at;
                for to in writer.next(len) {
                    if let Some(&value) = input.get(at as usize) {
                        *to = value;
                    }
                    at += along;
                }
            }
        }
    }
    Ok(())
}
