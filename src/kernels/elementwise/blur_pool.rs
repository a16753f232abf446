//! Anti-aliased pooling: the maxima that a filter sees are found as it goes, so that no dense map is stored.

use super::{Array, Element, Elementwise, Lanes, Task, WORDS, cover, run};
use crate::kernels::Backend;
use crate::reference::binomials;
use crate::shape::{BlurPool2dShape, ShapeError};

const TAPS: usize = BlurPool2dShape::MAX_TAPS;

/// A type of values that can be blurred.
pub trait Blur: Element {
    /// The type of weights and sums.
    type Sum: Copy;
    /// A sum of nothing.
    const ZERO: Self::Sum;

    /// The weights of a filter of this many taps.
    fn weights(taps: usize) -> [Self::Sum; TAPS];

    /// The value as a factor.
    fn widen(self) -> Self::Sum;

    /// `sum + weight * value`, the product rounded first.
    fn accumulate(sum: Self::Sum, weight: Self::Sum, value: Self::Sum) -> Self::Sum;

    /// The weighted average of a filter of this many taps along each axis.
    fn finish(sum: Self::Sum, taps: usize) -> Self;
}

/// Sums of values times weights whose sum is at most 2^12, of values of at most 16 bits: at most 28 bits.
macro_rules! blur_integers {
    ($integer:ty) => {
        impl Blur for $integer {
            type Sum = i32;
            const ZERO: i32 = 0;

            #[inline(always)]
            fn weights(taps: usize) -> [i32; TAPS] {
                binomials(taps)
            }

            #[inline(always)]
            fn widen(self) -> i32 {
                self as i32
            }

            #[inline(always)]
            fn accumulate(sum: i32, weight: i32, value: i32) -> i32 {
                sum.wrapping_add(weight.wrapping_mul(value))
            }

            #[inline(always)]
            fn finish(sum: i32, taps: usize) -> Self {
                let shift = 2 * taps as u32 - 2;
                (sum.wrapping_add(1i32.wrapping_shl(shift - 1)).wrapping_shr(shift)) as Self
            }
        }
    };
}

blur_integers!(i8);
blur_integers!(i16);

impl Blur for f32 {
    type Sum = f32;
    const ZERO: f32 = 0.0;

    #[inline(always)]
    fn weights(taps: usize) -> [f32; TAPS] {
        let sum = 1u32.wrapping_shl(taps as u32 - 1) as f32;
        binomials(taps).map(|binomial| binomial as f32 / sum)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn accumulate(sum: f32, weight: f32, value: f32) -> f32 {
        sum + weight * value
    }

    #[inline(always)]
    fn finish(sum: f32, _: usize) -> f32 {
        sum
    }
}

/// A shape that obeys the rules, and slices of its lengths.
struct BlurPool<'a, T> {
    shape: &'a BlurPool2dShape,
    zero: T,
    input: &'a [T],
    output: &'a mut [T],
}

/// What the taps of an output pixel see along each axis: offsets in values, or `None` for a zero.
#[derive(Clone, Copy)]
struct Taps {
    rows: [Option<usize>; TAPS],
    columns: [Option<usize>; TAPS],
}

impl<T: Blur> BlurPool<'_, T> {
    /// Computes the output pixel whose first channel is at `output`, `N` channels at a time. Returns whether it could.
    ///
    /// # Safety
    /// The taps' offsets are those of windows that lie in the input; `output` is valid for writes of a pixel.
    #[inline(always)]
    unsafe fn pixel<const N: usize>(&self, taps: &Taps, weights: &[T::Sum; TAPS], output: *mut T) -> bool {
        let [_, width, channels] = self.shape.input;
        let count = self.shape.taps.min(TAPS);
        cover(channels, N, |channel| {
            let mut sums = [T::ZERO; N];
            for (row, &row_weight) in taps.rows.iter().zip(weights).take(count) {
                let mut row_sums = [T::ZERO; N];
                for (column, &weight) in taps.columns.iter().zip(weights).take(count) {
                    let values = match (row, column) {
                        (&Some(row), &Some(column)) => {
                            let mut row = self.input.as_ptr().wrapping_add(row + column + channel);
                            // SAFETY: every pixel of the window lies in the input, and `channel + N` is at most the
                            // number of channels.
                            unsafe {
                                let mut largest = Array::<T, N>::load(row);
                                for _ in 0..self.shape.max {
                                    let mut at = row;
                                    for _ in 0..self.shape.max {
                                        largest = Array::<T, N>::larger(Array::<T, N>::load(at), largest);
                                        at = at.wrapping_add(channels);
                                    }
                                    row = row.wrapping_add(width * channels);
                                }
                                largest
                            }
                        }
                        _ => [self.zero; N],
                    };
                    for (sum, value) in row_sums.iter_mut().zip(values) {
                        *sum = T::accumulate(*sum, weight, value.widen());
                    }
                }
                for (sum, row_sum) in sums.iter_mut().zip(row_sums) {
                    *sum = T::accumulate(*sum, row_weight, row_sum);
                }
            }
            // SAFETY: `channel + N` is at most the number of channels of the output pixel.
            unsafe {
                Array::<T, N>::store(sums.map(|sum| T::finish(sum, self.shape.taps)), output.wrapping_add(channel))
            };
        })
    }
}

impl<T: Blur> Task for BlurPool<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let ([_, width, channels], [out_height, out_width, _]) = (self.shape.input, self.shape.output());
        let ([dense_height, dense_width], weights) = (self.shape.dense(), T::weights(self.shape.taps));
        let mut to = self.output.as_mut_ptr();
        let mut taps = Taps { rows: [None; TAPS], columns: [None; TAPS] };
        for y in 0..out_height {
            for (i, row) in taps.rows.iter_mut().enumerate().take(self.shape.taps) {
                *row = self.shape.tap(y, i, dense_height).map(|row| row * width * channels);
            }
            for x in 0..out_width {
                for (j, column) in taps.columns.iter_mut().enumerate().take(self.shape.taps) {
                    *column = self.shape.tap(x, j, dense_width).map(|column| column * channels);
                }
                // SAFETY: the shape obeys its rules, so that a tap's row and column are below those of the dense map,
                // and the windows there lie in the input; the slices have the shape's lengths.
                unsafe {
                    let _ = self.pixel::<WORDS>(&taps, &weights, to) || self.pixel::<1>(&taps, &weights, to);
                }
                to = to.wrapping_add(channels);
            }
        }
    }
}

/// [`reference::blur_pool2d`](crate::reference::blur_pool2d), or
/// [`reference::blur_pool2d_f32`](crate::reference::blur_pool2d_f32) with a `zero` of 0.0, on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, or the length of a slice is not the shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn blur_pool2d<B: Backend, T: Blur>(
    shape: &BlurPool2dShape,
    zero: T,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    shape.check()?;
    let ([h, w, c], [out_h, out_w, _]) = (shape.input, shape.output());
    if input.len() != h * w * c {
        return Err(ShapeError::Input);
    }
    if output.len() != out_h * out_w * c {
        return Err(ShapeError::Output);
    }
    run::<B>(BlurPool { shape, zero, input, output });
    Ok(())
}
