use super::Simd128;
use super::finish::Words;
use crate::kernels::elementwise::add::{PairNumbers, PairSums, add_in_vectors};
use crate::kernels::elementwise::{Elementwise, FloatLanes, Lanes, MAX_SUMS, SumLanes};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::wasm32::*;

impl Elementwise for Simd128 {
    type Bytes = Bytes;
    type Halves = Halves;
    type Floats = Floats;
    type Sums = Bytes;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { add_in_vectors::<Bytes, Words, R>(parameters, a, b, to, count) })
    }
}

// SAFETY, for every intrinsic below: the caller promises COUNT values behind the pointer. Loads and stores take any
// address.

/// Sixteen int8 values, or their sums.
pub struct Bytes;

impl Lanes for Bytes {
    type Element = i8;
    type Vector = v128;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const i8) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: v128, to: *mut i8) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i8) -> v128 {
        i8x16_splat(value)
    }

    #[inline(always)]
    unsafe fn larger(candidate: v128, current: v128) -> v128 {
        i8x16_max(candidate, current)
    }
}

impl PairSums for Bytes {
    type Constants = PairNumbers;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn constants(numbers: &PairNumbers) -> PairNumbers {
        *numbers
    }

    #[inline(always)]
    unsafe fn add(numbers: &PairNumbers, a: *const i8, b: *const i8, to: *mut i8) {
        let &PairNumbers { multipliers: [m, n], offset, shift, bounds: [low, high] } = numbers;
        // SAFETY: see above.
        let (a, b) = unsafe { (v128_load(a.cast()), v128_load(b.cast())) };
        // Pairs of bytes, first those of the low half.
        let first = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let second = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
        let multipliers = i32x4_splat(i32::from(n) << 16 | i32::from(m as u16));
        let sums = |pairs| i32x4_shr(i32x4_add(i32x4_dot_i16x8(pairs, multipliers), i32x4_splat(offset)), shift);
        let half =
            |pairs| i16x8_narrow_i32x4(sums(i16x8_extend_low_i8x16(pairs)), sums(i16x8_extend_high_i8x16(pairs)));
        let packed = i8x16_narrow_i16x8(half(first), half(second));
        let clamped = i8x16_min(i8x16_max(packed, i8x16_splat(low)), i8x16_splat(high));
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), clamped) }
    }
}

impl SumLanes for Bytes {
    type Sums = [v128; 2];
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> [v128; 2] {
        [i16x8_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn add([low, high]: [v128; 2], from: *const i8) -> [v128; 2] {
        // SAFETY: see above.
        let values = unsafe { v128_load(from.cast()) };
        [i16x8_add(low, i16x8_extend_low_i8x16(values)), i16x8_add(high, i16x8_extend_high_i8x16(values))]
    }

    #[inline(always)]
    unsafe fn drain([low, high]: [v128; 2], totals: &mut [i32; MAX_SUMS]) {
        let mut values = [0i16; 16];
        // SAFETY: see above; the array has the 16 values.
        unsafe {
            v128_store(values.as_mut_ptr().cast(), low);
            v128_store(values.as_mut_ptr().add(8).cast(), high);
        }
        for (total, value) in totals.iter_mut().zip(values) {
            *total += value as i32;
        }
    }
}

/// Eight int16 values.
pub struct Halves;

impl Lanes for Halves {
    type Element = i16;
    type Vector = v128;
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const i16) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: v128, to: *mut i16) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i16) -> v128 {
        i16x8_splat(value)
    }

    #[inline(always)]
    unsafe fn larger(candidate: v128, current: v128) -> v128 {
        i16x8_max(candidate, current)
    }
}

/// Four values of single precision.
pub struct Floats;

impl Lanes for Floats {
    type Element = f32;
    type Vector = v128;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: v128, to: *mut f32) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> v128 {
        f32x4_splat(value)
    }

    #[inline(always)]
    unsafe fn larger(candidate: v128, current: v128) -> v128 {
        // f32x4.pmax is `first < second ? second : first`.
        f32x4_pmax(current, candidate)
    }
}

impl FloatLanes for Floats {
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    unsafe fn divide(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    unsafe fn leak(x: v128, slope: v128) -> v128 {
        v128_bitselect(x, f32x4_mul(slope, x), f32x4_ge(x, f32x4_splat(0.0)))
    }
}
