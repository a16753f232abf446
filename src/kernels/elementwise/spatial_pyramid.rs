//! Spatial pyramid pooling: one body for all levels and sizes, since both may be known at run time only.

use super::{Average, Element, Elementwise, Task, Window, max_window, run};
use crate::kernels::Backend;
use crate::reference::pyramid_bin;
use crate::shape::{Shape, ShapeError};

/// Levels and an input that [`pool`] has found to obey the rules.
struct Pyramid<'a, T> {
    levels: &'a [usize],
    shape: Shape,
    input: &'a [T],
    output: &'a mut [T],
}

impl<T: Copy> Pyramid<'_, T> {
    /// Calls `pool(window, pointer to its output)` for every bin.
    #[inline(always)]
    fn for_each_bin(self, mut pool: impl FnMut(Window, *const T, *mut T)) {
        let [height, width, channels] = self.shape;
        let mut bins = self.output.chunks_exact_mut(channels);
        for &level in self.levels {
            for i in 0..level {
                let rows = pyramid_bin(i, level, height);
                for j in 0..level {
                    let columns = pyramid_bin(j, level, width);
                    let window = Window {
                        first: (rows.start * width + columns.start) * channels,
                        rows: rows.end - rows.start,
                        columns: columns.end - columns.start,
                        row_step: width * channels,
                        channels,
                    };
                    if let Some(bin) = bins.next() {
                        pool(window, self.input.as_ptr(), bin.as_mut_ptr());
                    }
                }
            }
        }
    }
}

struct Maximum<'a, T>(Pyramid<'a, T>);

impl<T: Element> Task for Maximum<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        // SAFETY: bins lie in the input, and each output is a pixel of its own; the backend is the caller's promise.
        self.0.for_each_bin(|window, input, output| unsafe { max_window::<E, T>(window, input, output) });
    }
}

struct Mean<'a, T>(Pyramid<'a, T>);

impl<T: Average> Task for Mean<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        self.0.for_each_bin(|window, input, output| {
            let size = window.rows * window.columns;
            // SAFETY: as for the maximum; `check` saw that no bin is larger than sums allow.
            unsafe { T::average::<E>(window, size, None, input, output) };
        });
    }
}

/// Checks every rule of a pyramid.
///
/// # Errors
/// Where a dimension or a level is 0 or too large, or a level is larger than the input's height or width.
pub(crate) const fn check(levels: &[usize], [height, width, channels]: Shape) -> Result<(), ShapeError> {
    if height == 0 || width == 0 || channels == 0 || levels.is_empty() {
        return Err(ShapeError::Zero);
    }
    // Then the product of a bin's number and a size fits 32 bits.
    if height > 1 << 15 || width > 1 << 15 || channels > 1 << 16 {
        return Err(ShapeError::TooLarge);
    }
    if (height * width) as u64 * channels as u64 > 1 << 30 {
        return Err(ShapeError::TooLarge);
    }
    let (mut i, mut bins) = (0, 0u64);
    while i < levels.len() {
        let level = levels[i];
        if level == 0 {
            return Err(ShapeError::Zero);
        }
        if level > height || level > width {
            return Err(ShapeError::PyramidLevel);
        }
        bins += level as u64 * level as u64;
        if bins > 1 << 30 || bins * channels as u64 > 1 << 30 {
            return Err(ShapeError::TooLarge);
        }
        i += 1;
    }
    Ok(())
}

/// Checks what averages add: no bin has more pixels than a sum has room for.
///
/// # Errors
/// Where one has.
pub(crate) const fn check_bins(levels: &[usize], [height, width, _]: Shape, max: usize) -> Result<(), ShapeError> {
    let mut i = 0;
    while i < levels.len() {
        // A bin reaches at most one row and one column further than its share.
        let (rows, columns) = (height.div_ceil(levels[i]) + 1, width.div_ceil(levels[i]) + 1);
        let rows = if rows > height { height } else { rows };
        let columns = if columns > width { width } else { columns };
        if rows * columns > max {
            return Err(ShapeError::TooLarge);
        }
        i += 1;
    }
    Ok(())
}

/// Levels and slices, if they obey the rules.
fn checked<'a, T>(
    levels: &'a [usize],
    shape: Shape,
    input: &'a [T],
    output: &'a mut [T],
) -> Result<Pyramid<'a, T>, ShapeError> {
    check(levels, shape)?;
    let [height, width, channels] = shape;
    if input.len() != height * width * channels {
        return Err(ShapeError::Input);
    }
    if output.len() != levels.iter().map(|level| level * level * channels).sum() {
        return Err(ShapeError::Output);
    }
    Ok(Pyramid { levels, shape, input, output })
}

/// [`reference::spatial_pyramid_max`](crate::reference::spatial_pyramid_max) on backend `B`.
///
/// # Errors
/// Where a dimension or a level is 0, a level is larger than the input's height or width, a dimension is above 2^15 (or
/// 2^16 channels), or the length of a slice is not the shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(never)]
pub fn spatial_pyramid_max<B: Backend, T: Element>(
    levels: &[usize],
    shape: Shape,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    run::<B>(Maximum(checked(levels, shape, input, output)?));
    Ok(())
}

/// [`reference::spatial_pyramid_average`](crate::reference::spatial_pyramid_average), or
/// [`reference::spatial_pyramid_average_f32`](crate::reference::spatial_pyramid_average_f32), on backend `B`.
///
/// # Errors
/// As [`spatial_pyramid_max`], and where a bin may have more pixels than [`Average::MAX_WINDOW`].
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(never)]
pub fn spatial_pyramid_average<B: Backend, T: Average>(
    levels: &[usize],
    shape: Shape,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    let pyramid = checked(levels, shape, input, output)?;
    check_bins(levels, shape, T::MAX_WINDOW)?;
    run::<B>(Mean(pyramid));
    Ok(())
}
