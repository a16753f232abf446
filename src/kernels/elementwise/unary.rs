//! From real numbers to quantized ones, back, and from one quantization to another.

use super::{Backend, Elementwise, Task, run};
use crate::quant::{ProductRounding, Quantization};
use crate::reference::{Quantized, RequantizeParameters};
use crate::shape::ShapeError;
use bytemuck::{Pod, Zeroable};
use core::marker::PhantomData;

/// A function of a value.
trait Function: Copy {
    type From: Pod;
    type To: Pod;
    /// Whether it takes so few instructions that loops over four values at a time pay on cores without vectors.
    const IS_SHORT: bool = false;

    fn apply(self, value: Self::From) -> Self::To;

    /// Applies it to as many whole vectors as there are; returns how many values that was, or `None` without vectors.
    ///
    /// # Safety
    /// As for [`Elementwise::look_up`].
    #[inline(always)]
    unsafe fn vectors<E: Elementwise>(self, from: *const Self::From, to: *mut Self::To, count: usize) -> Option<usize> {
        let _ = (from, to, count);
        None
    }
}

/// Values and where their images go: another slice of the same length, or the same place.
struct Apply<'a, F: Function> {
    function: F,
    from: *const F::From,
    to: *mut F::To,
    len: usize,
    slices: PhantomData<&'a mut [F::To]>,
}

impl<'a, F: Function> Apply<'a, F> {
    /// # Errors
    /// Where the slices' lengths differ.
    #[inline(always)]
    fn new(function: F, input: &'a [F::From], output: &'a mut [F::To]) -> Result<Self, ShapeError> {
        if input.len() != output.len() {
            return Err(ShapeError::Output);
        }
        Ok(Self { function, from: input.as_ptr(), to: output.as_mut_ptr(), len: input.len(), slices: PhantomData })
    }
}

impl<'a, T: Pod, F: Function<From = T, To = T>> Apply<'a, F> {
    #[inline(always)]
    fn in_place(function: F, values: &'a mut [T]) -> Self {
        let (len, to) = (values.len(), values.as_mut_ptr());
        Self { function, from: to, to, len, slices: PhantomData }
    }
}

impl<F: Function> Task for Apply<'_, F> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        // SAFETY: both pointers are valid for `len` values, and are the same or do not overlap; the backend is the
        // caller's promise.
        let vectors = unsafe { self.function.vectors::<E>(self.from, self.to, self.len) };
        let mut done = vectors.unwrap_or(0);
        // SAFETY: `done` is at most `len`.
        unsafe {
            let wide = <E::Bytes as super::Lanes>::COUNT >= 16;
            if vectors.is_none() && wide {
                done = self.groups::<16>(done);
            }
            if vectors.is_none() && F::IS_SHORT || wide {
                done = self.groups::<4>(done);
            }
            self.groups::<1>(done);
        }
    }
}

impl<F: Function> Apply<'_, F> {
    /// # Safety
    /// `done` is at most `len`.
    #[inline(always)]
    unsafe fn groups<const N: usize>(&self, mut done: usize) -> usize {
        while self.len - done >= N {
            // SAFETY: `done + N` is at most `len`. All values are read before any is written.
            unsafe {
                let values = self.from.add(done).cast::<[F::From; N]>().read_unaligned();
                let mut images = [F::To::zeroed(); N];
                for (image, value) in images.iter_mut().zip(values) {
                    *image = self.function.apply(value);
                }
                self.to.add(done).cast::<[F::To; N]>().write_unaligned(images);
            }
            done += N;
        }
        done
    }
}

/// Steps of a scale, from a zero point.
#[derive(Clone, Copy)]
struct Quantize<T> {
    scale: f32,
    zero_point: i32,
    low: i32,
    high: i32,
    to: PhantomData<T>,
}

impl<T: Quantized> Function for Quantize<T> {
    type From = f32;
    type To = T;

    #[inline(always)]
    fn apply(self, value: f32) -> T {
        let steps = value / self.scale;
        // Beyond these bounds every result is saturated.
        let steps = if steps > 65536.0 { 65536.0 } else { steps };
        let steps = if steps < -65536.0 { -65536.0 } else { steps };
        let steps = if steps.is_nan() { 0.0 } else { steps };
        // Rounds halves away from zero: with the number just below a half, no sum of less reaches the next integer,
        // and a half does, by rounding to even.
        let steps = steps + f32::from_bits(0.499_999_97f32.to_bits() | steps.to_bits() & 1 << 31);
        // SAFETY: a number between -65537 and 65537. Saturation, which is what `as` adds, keeps compilers from vectors.
        let steps = unsafe { steps.to_int_unchecked::<i32>() };
        T::from_i32((steps + self.zero_point).max(self.low).min(self.high))
    }
}

/// Multiples of a scale.
#[derive(Clone, Copy)]
struct Dequantize<T> {
    scale: f32,
    zero_point: i32,
    from: PhantomData<T>,
}

impl<T: Quantized> Function for Dequantize<T> {
    type From = T;
    type To = f32;

    #[inline(always)]
    fn apply(self, value: T) -> f32 {
        (value.into() - self.zero_point) as f32 * self.scale
    }
}

#[derive(Clone, Copy)]
struct Requantize<'a, I, O, R>(&'a RequantizeParameters<I, O, R>);

impl<I: Quantized, O: Quantized, R: ProductRounding> Function for Requantize<'_, I, O, R> {
    type From = I;
    type To = O;

    #[inline(always)]
    fn apply(self, value: I) -> O {
        O::from_i32(self.0.apply(value.into()))
    }
}

#[derive(Clone, Copy)]
struct Table<'a>(&'a [i8; 256]);

impl Function for Table<'_> {
    type From = i8;
    type To = i8;
    const IS_SHORT: bool = true;

    #[inline(always)]
    fn apply(self, value: i8) -> i8 {
        self.0[(value as u8 ^ 0x80) as usize]
    }

    #[inline(always)]
    unsafe fn vectors<E: Elementwise>(self, from: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        unsafe { E::look_up(self.0, from, to, count) }
    }
}

/// [`reference::quantize_i8`](crate::reference::quantize_i8) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn quantize_i8<B: Backend>(quantization: Quantization, input: &[f32], output: &mut [i8]) -> Result<(), ShapeError> {
    let Quantization { scale, zero_point } = quantization;
    let function = Quantize { scale, zero_point: zero_point as i32, low: -128, high: 127, to: PhantomData };
    run::<B>(Apply::new(function, input, output)?);
    Ok(())
}

/// [`reference::quantize_i16`](crate::reference::quantize_i16) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn quantize_i16<B: Backend>(scale: f32, input: &[f32], output: &mut [i16]) -> Result<(), ShapeError> {
    let function = Quantize { scale, zero_point: 0, low: -32768, high: 32767, to: PhantomData };
    run::<B>(Apply::new(function, input, output)?);
    Ok(())
}

/// [`reference::dequantize_i8`](crate::reference::dequantize_i8) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn dequantize_i8<B: Backend>(
    quantization: Quantization,
    input: &[i8],
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let Quantization { scale, zero_point } = quantization;
    run::<B>(Apply::new(Dequantize { scale, zero_point: zero_point as i32, from: PhantomData }, input, output)?);
    Ok(())
}

/// [`reference::dequantize_i16`](crate::reference::dequantize_i16) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn dequantize_i16<B: Backend>(scale: f32, input: &[i16], output: &mut [f32]) -> Result<(), ShapeError> {
    run::<B>(Apply::new(Dequantize { scale, zero_point: 0, from: PhantomData }, input, output)?);
    Ok(())
}

/// [`reference::requantize`](crate::reference::requantize) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn requantize<B: Backend, I: Quantized, O: Quantized, R: ProductRounding>(
    parameters: &RequantizeParameters<I, O, R>,
    input: &[I],
    output: &mut [O],
) -> Result<(), ShapeError> {
    run::<B>(Apply::new(Requantize(parameters), input, output)?);
    Ok(())
}

/// [`requantize`], in place.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn requantize_in_place<B: Backend, T: Quantized, R: ProductRounding>(
    parameters: &RequantizeParameters<T, T, R>,
    values: &mut [T],
) {
    run::<B>(Apply::in_place(Requantize(parameters), values));
}

/// `table[x + 128]` for every `x` of the input, on backend `B`: a function of int8 values.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn look_up<B: Backend>(table: &[i8; 256], input: &[i8], output: &mut [i8]) -> Result<(), ShapeError> {
    run::<B>(Apply::new(Table(table), input, output)?);
    Ok(())
}

/// [`look_up`], in place.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn look_up_in_place<B: Backend>(table: &[i8; 256], values: &mut [i8]) {
    run::<B>(Apply::in_place(Table(table), values));
}
