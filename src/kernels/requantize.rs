//! Requantization of vectors of sums, written once over a handful of instructions, for
//! [`finish_in_vectors`].

use super::elementwise::FloatLanes;
use super::finish::{IntegerEpilogue, SumVectors, Sums, finish_any, finish_in_vectors};
use crate::quant::{CommonRequantization, ProductRounding, Rounding, RoundingMode};
use crate::reference::SumParameters;
use core::marker::PhantomData;

/// Vectors of `i32`, one for each of `COUNT` neighbouring channels, and what requantization does to all at once.
///
/// Every function's safety has two conditions in common: the backend is available on this machine, and the pointer, to
/// any address, is valid for the `COUNT` values that the function reads or writes.
pub trait Integers: 'static {
    /// The values.
    type Vector: Copy;
    /// How many; at most 64.
    const COUNT: usize;

    /// Reads values.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn load(from: *const i32) -> Self::Vector;

    /// Reads int8 values.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn widen(from: *const i8) -> Self::Vector;

    /// Writes values that are in the range of `O`, which has one byte or two.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn store<O>(values: Self::Vector, to: *mut O);

    /// `value` everywhere.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn splat(value: i32) -> Self::Vector;

    /// `a + b`, wrapping.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a - b`, wrapping.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a * b`, wrapping.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a & b`
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn and(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `max(a, b)`
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `min(a, b)`
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `value + 1` where `a > b`, otherwise `value`.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn add_where_greater(value: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a << by`, wrapping; `by` in 0..=31, each value its own.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn shift_left(a: Self::Vector, by: Self::Vector) -> Self::Vector;

    /// `a >> by`, arithmetically; `by` in 0..=31, each value its own.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn shift_right(a: Self::Vector, by: Self::Vector) -> Self::Vector;

    /// `a >> by`, arithmetically; `by` in 0..=31, the same for each.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn shift_all_right(a: Self::Vector, by: u32) -> Self::Vector;

    /// The high words of `a * b + offset`, which fits 64 bits.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn multiply_high(a: Self::Vector, b: Self::Vector, offset: i64) -> Self::Vector;

    /// `floor((a * b + 2^30) / 2^31)`; `b` is not negative.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn doubling_high(a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// [`Elementwise::add_int8`](super::elementwise::Elementwise::add_int8) with double rounding: inlined into a function that
/// enables the backend's instructions.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn add_int8_twice<I: Integers, R: ProductRounding>(
    p: &SumParameters<i8, R>,
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    count: usize,
) -> usize {
    let mut done = 0;
    // SAFETY: the caller's promise; `done + COUNT` is at most `count`. Both vectors are read before one is written.
    unsafe {
        let multipliers = p.multipliers.map(|multiplier| I::splat(multiplier));
        let bounds = [I::splat(p.low), I::splat(p.high)];
        while count - done >= I::COUNT {
            let (a, b) = (I::widen(a.add(done)), I::widen(b.add(done)));
            let a = scale_input::<I, R>(p, a, 0, multipliers[0]);
            let b = scale_input::<I, R>(p, b, 1, multipliers[1]);
            let sum = if p.sign < 0 { I::subtract(a, b) } else { I::add(a, b) };
            // The sum is at most 255 * 2^20 in magnitude and its factor less than 1: nothing overflows.
            let value = I::add(scale::<I>(sum, multipliers[2], p.shifts[2]), I::splat(p.zero_points[2]));
            let [low, high] = bounds;
            I::store(I::min(I::max(value, low), high), to.add(done));
            done += I::COUNT;
        }
    }
    done
}

/// An input less its zero point, scaled.
///
/// # Safety
/// The backend is available.
#[inline(always)]
unsafe fn scale_input<I: Integers, R: ProductRounding>(
    p: &SumParameters<i8, R>,
    value: I::Vector,
    which: usize,
    multiplier: I::Vector,
) -> I::Vector {
    // SAFETY: the caller's promise. A product with a power of two is a shift to the left.
    unsafe {
        let value = I::subtract(value, I::splat(p.zero_points[which]));
        scale::<I>(I::multiply(value, I::splat(1 << p.left_shift)), multiplier, p.shifts[which])
    }
}

/// The product with a multiplier that is not negative and at most 2^31 times 2^-`shift`, rounded twice.
///
/// # Safety
/// The backend is available.
#[inline(always)]
unsafe fn scale<I: Integers>(value: I::Vector, multiplier: I::Vector, shift: u32) -> I::Vector {
    // SAFETY: the caller's promise.
    unsafe {
        let value = I::doubling_high(value, multiplier);
        let mask = ((1i64 << shift) - 1) as i32;
        let threshold = I::subtract(I::splat(mask >> 1), I::shift_all_right(value, 31));
        I::add_where_greater(I::shift_all_right(value, shift), I::and(value, I::splat(mask)), threshold)
    }
}

/// [`Requantize::requantize`](super::finish::Requantize::requantize): inlined into a function that enables the backend's
/// instructions.
///
/// # Safety
/// As there; the strip's `channels` are a multiple of `I::COUNT`.
#[inline(always)]
pub unsafe fn finish<I: Integers, E: IntegerEpilogue>(
    strip: &Sums<i32>,
    common: &CommonRequantization,
    output: *mut E::Output,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match E::Rounding::MODE {
            RoundingMode::Single if common.shift >= 32 => {
                finish_in_vectors::<Single<I, E::Output>>(strip, common, output);
            }
            RoundingMode::Double => finish_in_vectors::<Double<I, E::Output>>(strip, common, output),
            RoundingMode::Reduced if common.shift == 1 => {
                finish_in_vectors::<Reduced<I, E::Output>>(strip, common, output);
            }
            RoundingMode::PowerOfTwo => finish_in_vectors::<Shifted<I, E::Output>>(strip, common, output),
            _ => finish_any::<E>(strip, common, output),
        }
    }
}

/// Sums with [`SingleRounding`](crate::SingleRounding), its shift at least 32; outputs of type `O`.
pub struct Single<I, O>(PhantomData<(I, O)>);

/// What [`Single`] keeps in registers.
#[derive(Clone, Copy)]
pub struct SingleParameters<V> {
    multiplier: V,
    offset: i64,
    shift: u32,
    bounds: [V; 2],
}

impl<I: Integers, O: Copy> SumVectors for Single<I, O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = I::Vector;
    type Parameters = SingleParameters<I::Vector>;
    const COUNT: usize = I::COUNT;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: I::Vector, current: I::Vector) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::max(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(from: *const u32, _: usize, common: &CommonRequantization) -> SingleParameters<I::Vector> {
        // SAFETY: the caller's promise.
        unsafe {
            SingleParameters {
                multiplier: I::load(from.cast()),
                offset: common.offset,
                shift: common.shift - 32,
                bounds: [I::splat(common.low), I::splat(common.high)],
            }
        }
    }

    #[inline(always)]
    unsafe fn store(sums: I::Vector, p: &SingleParameters<I::Vector>, to: *mut O) {
        // SAFETY: the caller's promise; a value between the bounds is an output.
        unsafe {
            let value = I::shift_all_right(I::multiply_high(sums, p.multiplier, p.offset), p.shift);
            let [low, high] = p.bounds;
            I::store(I::min(I::max(value, low), high), to);
        }
    }
}

/// Sums with [`DoubleRounding`](crate::DoubleRounding); outputs of type `O`.
pub struct Double<I, O>(PhantomData<(I, O)>);

/// What [`Double`] keeps in registers.
#[derive(Clone, Copy)]
pub struct DoubleParameters<V> {
    multiplier: V,
    left: V,
    right: V,
    /// The bits that the division drops, and half of what they can be.
    mask: V,
    half: V,
    zero_point: V,
    bounds: [V; 2],
}

impl<I: Integers, O: Copy> SumVectors for Double<I, O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = I::Vector;
    type Parameters = DoubleParameters<I::Vector>;
    const COUNT: usize = I::COUNT;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: I::Vector, current: I::Vector) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::max(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(
        from: *const u32,
        stride: usize,
        common: &CommonRequantization,
    ) -> DoubleParameters<I::Vector> {
        // SAFETY: the caller's promise.
        unsafe {
            let exponent = I::load(from.add(stride).cast());
            let (zero, one) = (I::splat(0), I::splat(1));
            let right = I::max(I::subtract(zero, exponent), zero);
            let mask = I::subtract(I::shift_left(one, right), one);
            // Clamped before the zero point is added: so the sum cannot wrap, where the scalar form saturates.
            let bound = |bound| I::splat(bound - common.zero_point);
            DoubleParameters {
                multiplier: I::load(from.cast()),
                left: I::max(exponent, zero),
                right,
                mask,
                // The mask is never negative.
                half: I::shift_all_right(mask, 1),
                zero_point: I::splat(common.zero_point),
                bounds: [bound(common.low), bound(common.high)],
            }
        }
    }

    #[inline(always)]
    unsafe fn store(sums: I::Vector, p: &DoubleParameters<I::Vector>, to: *mut O) {
        // SAFETY: the caller's promise; a value between the bounds is an output.
        unsafe {
            // The saturating product cannot saturate, as no multiplier is negative.
            let value = I::doubling_high(I::shift_left(sums, p.left), p.multiplier);
            // The division: one more where the remainder is above the threshold, which is one more if negative.
            let remainder = I::and(value, p.mask);
            let threshold = I::subtract(p.half, I::shift_all_right(value, 31));
            let value = I::add_where_greater(I::shift_right(value, p.right), remainder, threshold);
            let [low, high] = p.bounds;
            I::store(I::add(I::min(I::max(value, low), high), p.zero_point), to);
        }
    }
}

/// Sums with [`PowerOfTwo`](crate::PowerOfTwo) rounding; outputs of type `O`.
pub struct Shifted<I, O>(PhantomData<(I, O)>);

impl<I: Integers, O: Copy> SumVectors for Shifted<I, O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = I::Vector;
    /// The shift, and the bounds.
    type Parameters = [I::Vector; 3];
    const COUNT: usize = I::COUNT;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: I::Vector, current: I::Vector) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::max(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(from: *const u32, _: usize, common: &CommonRequantization) -> [I::Vector; 3] {
        // SAFETY: the caller's promise.
        unsafe { [I::load(from.cast()), I::splat(common.low), I::splat(common.high)] }
    }

    #[inline(always)]
    unsafe fn store(sums: I::Vector, &[shift, low, high]: &[I::Vector; 3], to: *mut O) {
        // SAFETY: the caller's promise; a value between the bounds is an output.
        unsafe { I::store(I::min(I::max(I::shift_right(sums, shift), low), high), to) }
    }
}

/// Sums with [`ReducedRounding`](crate::ReducedRounding), all multipliers below a quarter; outputs of type `O`.
pub struct Reduced<I, O>(PhantomData<(I, O)>);

/// What [`Reduced`] keeps in registers.
#[derive(Clone, Copy)]
pub struct ReducedParameters<V> {
    multiplier: V,
    half: V,
    right: V,
    zero_point: V,
    bounds: [V; 2],
}

impl<I: Integers, O: Copy> SumVectors for Reduced<I, O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = I::Vector;
    type Parameters = ReducedParameters<I::Vector>;
    const COUNT: usize = I::COUNT;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: I::Vector, current: I::Vector) -> I::Vector {
        // SAFETY: the caller's promise.
        unsafe { I::max(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(
        from: *const u32,
        stride: usize,
        common: &CommonRequantization,
    ) -> ReducedParameters<I::Vector> {
        // SAFETY: the caller's promise.
        unsafe {
            let (zero, one) = (I::splat(0), I::splat(1));
            // Channels that do not exist have no shift.
            let right = I::max(I::load(from.add(stride).cast()), zero);
            // Clamped before the zero point is added, where the scalar form saturates.
            let bound = |bound| I::splat(bound - common.zero_point);
            ReducedParameters {
                multiplier: I::load(from.cast()),
                half: I::shift_right(I::shift_left(one, right), one),
                right,
                zero_point: I::splat(common.zero_point),
                bounds: [bound(common.low), bound(common.high)],
            }
        }
    }

    #[inline(always)]
    unsafe fn store(sums: I::Vector, p: &ReducedParameters<I::Vector>, to: *mut O) {
        // SAFETY: the caller's promise; a value between the bounds is an output.
        unsafe {
            let high = I::multiply_high(sums, p.multiplier, 0);
            let value = I::shift_right(I::add(high, p.half), p.right);
            let [low, high] = p.bounds;
            I::store(I::add(I::min(I::max(value, low), high), p.zero_point), to);
        }
    }
}

/// Vectors of single precision that can be clamped.
pub trait ClampLanes: FloatLanes {
    /// `low` where `x <= low`, else `high` where `x >= high`, else `x`, which includes NaN.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn clamp(x: Self::Vector, low: Self::Vector, high: Self::Vector) -> Self::Vector;
}

/// Sums in single precision.
pub struct Clamped<L>(PhantomData<L>);

impl<L: ClampLanes> SumVectors for Clamped<L> {
    type Sum = f32;
    type Output = f32;
    type Common = [f32; 2];
    type Vector = L::Vector;
    type Parameters = [L::Vector; 2];
    const COUNT: usize = L::COUNT;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> L::Vector {
        // SAFETY: the caller's promise.
        unsafe { L::load(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: L::Vector, current: L::Vector) -> L::Vector {
        // SAFETY: the caller's promise.
        unsafe { L::larger(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(_: *const u32, _: usize, &[low, high]: &[f32; 2]) -> [L::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe { [L::splat(low), L::splat(high)] }
    }

    #[inline(always)]
    unsafe fn store(sums: L::Vector, &[low, high]: &[L::Vector; 2], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { L::store(L::clamp(sums, low, high), to) }
    }
}
