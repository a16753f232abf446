//! Batch normalization where it is not folded: loops over the channels of a pixel, which compilers turn into vectors.

use super::{Elementwise, Task, run};
use crate::kernels::Backend;
use crate::shape::ShapeError;

/// Pixels, and where their images go; `None` is the same place.
struct Pixels<'a, T> {
    input: Option<&'a [T]>,
    output: &'a mut [T],
}

/// Maps each pixel with the parameters of its channels. The lengths are multiples of the number of channels.
struct BatchNorm<'a, T, P, F> {
    pixels: Pixels<'a, T>,
    parameters: &'a [P],
    function: F,
}

impl<T: Copy, P: Copy, F: Fn(T, P) -> T> Task for BatchNorm<'_, T, P, F> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let channels = self.parameters.len();
        match self.pixels.input {
            Some(input) => {
                for (out, pixel) in self.pixels.output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                    for ((out, &x), &parameters) in out.iter_mut().zip(pixel).zip(self.parameters) {
                        *out = (self.function)(x, parameters);
                    }
                }
            }
            None => {
                for pixel in self.pixels.output.chunks_exact_mut(channels) {
                    for (x, &parameters) in pixel.iter_mut().zip(self.parameters) {
                        *x = (self.function)(*x, parameters);
                    }
                }
            }
        }
    }
}

/// # Errors
/// Where lengths are not multiples of the number of channels, or differ.
#[inline(always)]
fn check<T>(channels: usize, input: Option<&[T]>, output: &[T]) -> Result<(), ShapeError> {
    if channels == 0 {
        return Err(ShapeError::Channels);
    }
    if !output.len().is_multiple_of(channels) || input.is_some_and(|input| input.len() != output.len()) {
        return Err(ShapeError::Output);
    }
    Ok(())
}

/// [`reference::batch_norm_f32`](crate::reference::batch_norm_f32) on backend `B`; scale and shift of a channel side by
/// side. Without `input` the values of `output` are replaced.
///
/// # Errors
/// Where there are no channels, or a slice's length is no multiple of their number, or lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn batch_norm_f32<B: Backend>(
    parameters: &[[f32; 2]],
    input: Option<&[f32]>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    check(parameters.len(), input, output)?;
    let function = |x: f32, [scale, shift]: [f32; 2]| x * scale + shift;
    run::<B>(BatchNorm { pixels: Pixels { input, output }, parameters, function });
    Ok(())
}

/// [`reference::batch_norm_i8`](crate::reference::batch_norm_i8) on backend `B`. Without `input` the values of `output` are
/// replaced. Parameters beyond the bounds of the reference wrap.
///
/// # Errors
/// Where there are no channels, or a slice's length is no multiple of their number, or lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn batch_norm_i8<B: Backend>(
    parameters: &[[i32; 2]],
    shift: u32,
    input: Option<&[i8]>,
    output: &mut [i8],
) -> Result<(), ShapeError> {
    check(parameters.len(), input, output)?;
    let function = |x: i8, [multiplier, offset]: [i32; 2]| {
        let sum = (x as i32).wrapping_mul(multiplier).wrapping_add(offset);
        sum.wrapping_shr(shift).clamp(-128, 127) as i8
    };
    run::<B>(BatchNorm { pixels: Pixels { input, output }, parameters, function });
    Ok(())
}
