//! Addition, subtraction and multiplication of two tensors.
//!
//! The second tensor may repeat itself over the first ([`Broadcast`]); what is left are stretches of values side by
//! side. A backend with vectors adds int8 values in its own way ([`Elementwise::add_int8`]). Everything else is plain
//! Rust, a few values at a time, which compilers vectorize.

use super::{Backend, Elementwise, Task, run, sealed::Sealed};
use crate::kernels::clamp_f32;
use crate::quant::ProductRounding;
use crate::reference::{ProductParameters, SumParameters};
use crate::shape::{Broadcast, ShapeError};
use bytemuck::Pod;
use core::fmt::Debug;
use core::marker::PhantomData;

/// A type of values that can be added and multiplied: `i8`, `i16` and `f32`.
pub trait Joined: Pod + Debug + Sealed {
    /// The numbers of an addition or subtraction.
    type Sum<R: ProductRounding>: Copy + Debug;
    /// The numbers of a multiplication.
    type Product<R: ProductRounding>: Copy + Debug;

    /// [`add`], once the lengths have been checked.
    #[doc(hidden)]
    fn sum<B: Backend, R: ProductRounding>(parameters: &Self::Sum<R>, pairs: Pairs<'_, Self>);

    /// [`subtract_from`], once the lengths have been checked.
    #[doc(hidden)]
    fn reversed<B: Backend, R: ProductRounding>(parameters: &Self::Sum<R>, pairs: Pairs<'_, Self>);

    /// [`multiply`], once the lengths have been checked.
    #[doc(hidden)]
    fn product<B: Backend, R: ProductRounding>(parameters: &Self::Product<R>, pairs: Pairs<'_, Self>);
}

/// The numbers of an addition or subtraction in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatSum {
    /// Whether the second input is subtracted.
    pub subtract: bool,
    /// The lowest and the highest result.
    pub bounds: [f32; 2],
}

/// A function of two values.
trait Function<T>: Copy {
    fn apply(self, a: T, b: T) -> T;

    /// Applies it to as many whole vectors as there are; returns how many values that was, or `None` without vectors.
    ///
    /// # Safety
    /// As for [`Elementwise::add_int8`].
    #[inline(always)]
    unsafe fn vectors<E: Elementwise>(self, a: *const T, b: *const T, to: *mut T, count: usize) -> Option<usize> {
        let _ = (a, b, to, count);
        None
    }
}

/// Two inputs and an output, which may be the first input.
#[derive(Debug)]
pub struct Pairs<'a, T> {
    broadcast: &'a Broadcast,
    first: *const T,
    second: &'a [T],
    output: *mut T,
    slices: PhantomData<&'a mut [T]>,
}

impl<'a, T> Pairs<'a, T> {
    /// # Errors
    /// Where the length of a slice is not its shape's.
    #[inline(always)]
    fn new(broadcast: &'a Broadcast, first: &'a [T], second: &'a [T], output: &'a mut [T]) -> Result<Self, ShapeError> {
        if first.len() != output.len() {
            return Err(ShapeError::Output);
        }
        Ok(Self { first: first.as_ptr(), ..Self::in_place(broadcast, output, second)? })
    }

    /// # Errors
    /// Where the length of a slice is not its shape's.
    #[inline(always)]
    fn in_place(broadcast: &'a Broadcast, values: &'a mut [T], second: &'a [T]) -> Result<Self, ShapeError> {
        if [values.len(), second.len()] != broadcast.lens() {
            return Err(ShapeError::Input);
        }
        let output = values.as_mut_ptr();
        Ok(Self { broadcast, first: output, second, output, slices: PhantomData })
    }
}

/// Values of a repeated second input, so that it is gone through in stretches that are not short.
const REPEATED: usize = 64;

struct Apply<'a, T, F>(F, Pairs<'a, T>);

impl<T: Pod, F: Function<T>> Task for Apply<'_, T, F> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let Self(function, Pairs { broadcast, first, second, output, .. }) = self;
        let ([len, second_len], [run, period]) = (broadcast.lens(), broadcast.run());
        let mut repeated = [T::zeroed(); REPEATED];
        let (mut done, mut from) = (0, 0);
        while done < len {
            let (mut values, mut block) = (second.as_ptr().wrapping_add(from), period);
            if period < run {
                // As many whole periods as there is room for.
                let mut count = 0;
                while count + period <= REPEATED {
                    // SAFETY: there is room, and `period` divides the second input's length, of which `from` is a
                    // multiple below it.
                    unsafe { core::ptr::copy_nonoverlapping(values, repeated.as_mut_ptr().add(count), period) };
                    count += period;
                }
                if count > 0 {
                    (values, block) = (repeated.as_ptr(), count);
                }
            }
            let end = done + run;
            while done < end {
                let count = block.min(end - done);
                // SAFETY: `values` has `block` values, and all of the second input from `from` on if not repeated. `end`
                // is at most `len`, as `run` divides it; first input and output have so many values, as `Pairs`
                // checked. The output is the first input or overlaps none; the backend is the caller's promise.
                unsafe { stretch::<E, T, F>(function, first.add(done), values, output.add(done), count) };
                done += count;
            }
            from += period;
            if from == second_len {
                from = 0;
            }
        }
    }
}

/// Applies a function to values side by side.
///
/// # Safety
/// As for [`Elementwise::add_int8`].
#[inline(always)]
unsafe fn stretch<E: Elementwise, T: Pod, F: Function<T>>(
    function: F,
    a: *const T,
    b: *const T,
    to: *mut T,
    count: usize,
) {
    /// # Safety
    /// As for [`Elementwise::add_int8`], with `done` at most `count`.
    #[inline(always)]
    unsafe fn groups<T: Pod, F: Function<T>, const N: usize>(
        function: F,
        [a, b]: [*const T; 2],
        to: *mut T,
        mut done: usize,
        count: usize,
    ) -> usize {
        while count - done >= N {
            // SAFETY: `done + N` is at most `count`. All values are read before any is written.
            unsafe {
                let mut values = a.add(done).cast::<[T; N]>().read_unaligned();
                let others = b.add(done).cast::<[T; N]>().read_unaligned();
                for (value, other) in values.iter_mut().zip(others) {
                    *value = function.apply(*value, other);
                }
                to.add(done).cast::<[T; N]>().write_unaligned(values);
            }
            done += N;
        }
        done
    }
    // SAFETY: the caller's promise; each returns at most `count`.
    unsafe {
        let vectors = function.vectors::<E>(a, b, to, count);
        let mut done = vectors.unwrap_or(0);
        let wide = <E::Bytes as super::Lanes>::COUNT >= 16;
        if vectors.is_none() && wide {
            // No more than a register of 256 bits holds: compilers are better at that.
            done = if size_of::<T>() == 4 {
                groups::<T, F, 8>(function, [a, b], to, done, count)
            } else {
                groups::<T, F, 16>(function, [a, b], to, done, count)
            };
        }
        if wide {
            done = groups::<T, F, 4>(function, [a, b], to, done, count);
        }
        groups::<T, F, 1>(function, [a, b], to, done, count);
    }
}

/// Addition of integers.
#[derive(Clone, Copy)]
struct Sum<'a, T, R>(&'a SumParameters<T, R>);

/// Multiplication of integers.
#[derive(Clone, Copy)]
struct Product<'a, T, R>(&'a ProductParameters<T, R>);

/// A function of the second value and the first.
#[derive(Clone, Copy)]
struct Reversed<F>(F);

impl<T, F: Function<T>> Function<T> for Reversed<F> {
    #[inline(always)]
    fn apply(self, a: T, b: T) -> T {
        self.0.apply(b, a)
    }
}

impl<R: ProductRounding> Function<i8> for Sum<'_, i8, R> {
    #[inline(always)]
    fn apply(self, a: i8, b: i8) -> i8 {
        let Self(p) = self;
        match R::TWICE {
            // 32 bits are enough: multipliers have 15, and the shift is at most 22.
            false => {
                let sum = a as i32 * p.multipliers[0] + b as i32 * p.multipliers[1] + p.offset as i32;
                (sum >> p.shifts[2]).max(p.low).min(p.high) as i8
            }
            _ => p.apply(a as i32, b as i32) as i8,
        }
    }

    #[inline(always)]
    unsafe fn vectors<E: Elementwise>(self, a: *const i8, b: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        unsafe { E::add_int8::<R>(self.0, a, b, to, count) }
    }
}

impl<R: ProductRounding> Function<i16> for Sum<'_, i16, R> {
    #[inline(always)]
    fn apply(self, a: i16, b: i16) -> i16 {
        self.0.apply(a as i32, b as i32) as i16
    }
}

impl<R: ProductRounding> Function<i8> for Product<'_, i8, R> {
    #[inline(always)]
    fn apply(self, a: i8, b: i8) -> i8 {
        let Self(p) = self;
        match R::TWICE {
            // 32 bits are enough: the product has 16, the multiplier 14, and the shift is at most 22.
            false => {
                let product = (a as i32 - p.zero_points[0]) * (b as i32 - p.zero_points[1]);
                ((product * p.multiplier + p.offset as i32) >> p.shift).max(p.low).min(p.high) as i8
            }
            _ => p.apply(a as i32, b as i32) as i8,
        }
    }
}

impl<R: ProductRounding> Function<i16> for Product<'_, i16, R> {
    #[inline(always)]
    fn apply(self, a: i16, b: i16) -> i16 {
        self.0.apply(a as i32, b as i32) as i16
    }
}

/// `a + b`, or with a `flip` of the sign bit `a - b`, clamped.
#[derive(Clone, Copy)]
struct FloatAdd {
    flip: u32,
    bounds: [f32; 2],
}

impl Function<f32> for FloatAdd {
    #[inline(always)]
    fn apply(self, a: f32, b: f32) -> f32 {
        clamp_f32(a + f32::from_bits(b.to_bits() ^ self.flip), self.bounds[0], self.bounds[1])
    }
}

/// `a * b`, clamped to these bounds.
#[derive(Clone, Copy)]
struct FloatMultiply([f32; 2]);

impl Function<f32> for FloatMultiply {
    #[inline(always)]
    fn apply(self, a: f32, b: f32) -> f32 {
        clamp_f32(a * b, self.0[0], self.0[1])
    }
}

macro_rules! integers {
    ($type:ident) => {
        impl Joined for $type {
            type Sum<R: ProductRounding> = SumParameters<$type, R>;
            type Product<R: ProductRounding> = ProductParameters<$type, R>;

            #[inline(always)]
            fn sum<B: Backend, R: ProductRounding>(parameters: &SumParameters<$type, R>, pairs: Pairs<'_, $type>) {
                run::<B>(Apply(Sum(parameters), pairs));
            }

            #[inline(always)]
            fn reversed<B: Backend, R: ProductRounding>(parameters: &SumParameters<$type, R>, pairs: Pairs<'_, $type>) {
                run::<B>(Apply(Reversed(Sum(parameters)), pairs));
            }

            #[inline(always)]
            fn product<B: Backend, R: ProductRounding>(
                parameters: &ProductParameters<$type, R>,
                pairs: Pairs<'_, $type>,
            ) {
                run::<B>(Apply(Product(parameters), pairs));
            }
        }
    };
}

integers!(i8);
integers!(i16);

impl Joined for f32 {
    type Sum<R: ProductRounding> = FloatSum;
    /// The lowest and the highest result.
    type Product<R: ProductRounding> = [f32; 2];

    #[inline(always)]
    fn sum<B: Backend, R: ProductRounding>(&FloatSum { subtract, bounds }: &FloatSum, pairs: Pairs<'_, f32>) {
        run::<B>(Apply(FloatAdd { flip: (subtract as u32) << 31, bounds }, pairs));
    }

    #[inline(always)]
    fn reversed<B: Backend, R: ProductRounding>(&FloatSum { subtract, bounds }: &FloatSum, pairs: Pairs<'_, f32>) {
        run::<B>(Apply(Reversed(FloatAdd { flip: (subtract as u32) << 31, bounds }), pairs));
    }

    #[inline(always)]
    fn product<B: Backend, R: ProductRounding>(bounds: &[f32; 2], pairs: Pairs<'_, f32>) {
        run::<B>(Apply(FloatMultiply(*bounds), pairs));
    }
}

/// [`reference::add_i8`](crate::reference::add_i8), `add_i16`, `add_f32` or `subtract_f32` on backend `B`; `R` is of no
/// consequence in `f32`.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn add<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Sum<R>,
    broadcast: &Broadcast,
    first: &[T],
    second: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    T::sum::<B, R>(parameters, Pairs::new(broadcast, first, second, output)?);
    Ok(())
}

/// [`add`], into the first input.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn add_in_place<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Sum<R>,
    broadcast: &Broadcast,
    values: &mut [T],
    second: &[T],
) -> Result<(), ShapeError> {
    T::sum::<B, R>(parameters, Pairs::in_place(broadcast, values, second)?);
    Ok(())
}

/// [`add`] of the second input and the first, with parameters in that order: the second less the first, where they
/// subtract. The output has the first input's shape.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn subtract_from<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Sum<R>,
    broadcast: &Broadcast,
    first: &[T],
    second: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    T::reversed::<B, R>(parameters, Pairs::new(broadcast, first, second, output)?);
    Ok(())
}

/// [`subtract_from`], into the first input.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn subtract_from_in_place<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Sum<R>,
    broadcast: &Broadcast,
    values: &mut [T],
    second: &[T],
) -> Result<(), ShapeError> {
    T::reversed::<B, R>(parameters, Pairs::in_place(broadcast, values, second)?);
    Ok(())
}

/// [`reference::multiply_i8`](crate::reference::multiply_i8), `multiply_i16` or `multiply_f32` on backend `B`; `R` is of
/// no consequence in `f32`.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn multiply<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Product<R>,
    broadcast: &Broadcast,
    first: &[T],
    second: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    T::product::<B, R>(parameters, Pairs::new(broadcast, first, second, output)?);
    Ok(())
}

/// [`multiply`], into the first input.
///
/// # Errors
/// Where the length of a slice is not its shape's.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn multiply_in_place<B: Backend, R: ProductRounding, T: Joined>(
    parameters: &T::Product<R>,
    broadcast: &Broadcast,
    values: &mut [T],
    second: &[T],
) -> Result<(), ShapeError> {
    T::product::<B, R>(parameters, Pairs::in_place(broadcast, values, second)?);
    Ok(())
}
