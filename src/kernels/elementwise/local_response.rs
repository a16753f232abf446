//! Local response normalization. Powers are scalar, so that they are most of the work; in int8 the sum of squares moves
//! along the channels, in `f32` it is computed anew for each, as moving it would change its rounding.

use super::{Array, Elementwise, Lanes, Task, WORDS, run};
use crate::kernels::Backend;
use crate::reference::{LocalResponse, LocalResponseInt8};
use crate::shape::ShapeError;

/// Input and output in pixels of `channels` values, at least one; both have the same length.
struct Response<'a, T, N> {
    norm: &'a N,
    channels: usize,
    input: &'a [T],
    output: &'a mut [T],
}

impl<T: Copy> Response<'_, T, LocalResponse> {
    /// # Errors
    /// Where lengths are not multiples of the number of channels, or differ.
    fn check(channels: usize, input: &[T], output: &[T]) -> Result<(), ShapeError> {
        if channels == 0 {
            return Err(ShapeError::Channels);
        }
        if !input.len().is_multiple_of(channels) {
            return Err(ShapeError::Input);
        }
        if output.len() != input.len() {
            return Err(ShapeError::Output);
        }
        Ok(())
    }
}

impl Task for Response<'_, f32, LocalResponse> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let (radius, channels) = (self.norm.radius(), self.channels);
        for (pixel, out) in self.input.chunks_exact(channels).zip(self.output.chunks_exact_mut(channels)) {
            let mut channel = 0;
            while channel < channels {
                let first = channel.wrapping_sub(radius);
                // A few channels at once, where all neighbours of all of them exist.
                let count = if channel >= radius && channel + WORDS + radius <= channels { WORDS } else { 1 };
                let mut sums = [0.0f32; WORDS];
                if count == WORDS {
                    for neighbour in 0..2 * radius + 1 {
                        // SAFETY: `first + 2 * radius + WORDS` is at most the number of channels.
                        let values = unsafe { Array::<f32, WORDS>::load(pixel.as_ptr().add(first + neighbour)) };
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum += value * value;
                        }
                    }
                } else {
                    let first = channel.saturating_sub(radius);
                    for value in pixel.iter().take(channel + radius + 1).skip(first) {
                        sums[0] += value * value;
                    }
                }
                let group = out.iter_mut().zip(pixel).skip(channel);
                for ((out, &x), squares) in group.zip(sums.into_iter().take(count)) {
                    *out = self.norm.apply(x, squares);
                }
                channel += count;
            }
        }
    }
}

impl Task for Response<'_, i8, LocalResponseInt8> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let (radius, channels) = (self.norm.radius(), self.channels);
        let square = |&x: &i8| self.norm.steps(x).wrapping_mul(self.norm.steps(x));
        for (pixel, out) in self.input.chunks_exact(channels).zip(self.output.chunks_exact_mut(channels)) {
            let mut squares = pixel.iter().take(radius).map(square).fold(0i32, i32::wrapping_add);
            let mut entering = pixel.iter().skip(radius);
            let mut leaving = pixel.iter();
            for (channel, (out, &x)) in out.iter_mut().zip(pixel).enumerate() {
                squares = squares.wrapping_add(entering.next().map_or(0, square));
                if channel > radius {
                    squares = squares.wrapping_sub(leaving.next().map_or(0, square));
                }
                *out = self.norm.apply(self.norm.steps(x), squares);
            }
        }
    }
}

/// [`reference::local_response_f32`](crate::reference::local_response_f32) on backend `B`.
///
/// # Errors
/// Where there are no channels, or a slice's length is no multiple of their number, or lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn local_response_f32<B: Backend>(
    norm: &LocalResponse,
    channels: usize,
    input: &[f32],
    output: &mut [f32],
) -> Result<(), ShapeError> {
    Response::check(channels, input, output)?;
    run::<B>(Response { norm, channels, input, output });
    Ok(())
}

/// [`reference::local_response_i8`](crate::reference::local_response_i8) on backend `B`.
///
/// # Errors
/// Where there are no channels, or a slice's length is no multiple of their number, or lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn local_response_i8<B: Backend>(
    norm: &LocalResponseInt8,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), ShapeError> {
    Response::check(channels, input, output)?;
    run::<B>(Response { norm, channels, input, output });
    Ok(())
}
