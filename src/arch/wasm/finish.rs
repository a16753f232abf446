use super::conv::{Float, Int8, Int16};
use super::elementwise::Floats;
use crate::kernels::finish::{ClampSums, IntegerEpilogue, Requantize, Sums, finish_in_vectors};
use crate::kernels::requantize::{ClampLanes, Clamped, Integers, finish};
use crate::quant::CommonRequantization;
use core::arch::wasm32::*;

/// Implements requantization for a kernel.
macro_rules! requantize {
    ($kernel:ty) => {
        impl Requantize for $kernel {
            unsafe fn requantize<E: IntegerEpilogue>(
                strip: &Sums<i32>,
                common: &CommonRequantization,
                output: *mut E::Output,
            ) {
                // SAFETY: the caller's promise; blocks are whole vectors.
                unsafe { finish::<Words, E>(strip, common, output) }
            }
        }
    };
}

requantize!(Int8);
requantize!(Int16);

impl ClampSums for Float {
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: the caller's promise; blocks are whole vectors.
        unsafe { finish_in_vectors::<Clamped<Floats>>(strip, bounds, output) }
    }
}

/// The lanes of a vector.
#[inline(always)]
fn lanes(a: v128) -> [i32; 4] {
    [i32x4_extract_lane::<0>(a), i32x4_extract_lane::<1>(a), i32x4_extract_lane::<2>(a), i32x4_extract_lane::<3>(a)]
}

// SAFETY, for every intrinsic below: the caller promises that the pointer is valid for the values. Loads and stores take
// any address.

/// Four sums.
pub struct Words;

impl Integers for Words {
    type Vector = v128;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> v128 {
        // SAFETY: see above.
        let bytes = unsafe { v128_load32_zero(from.cast()) };
        i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes))
    }

    #[inline(always)]
    unsafe fn store<O>(values: v128, to: *mut O) {
        const { assert!(size_of::<O>() == 1 || size_of::<O>() == 2) };
        let halves = i16x8_narrow_i32x4(values, values);
        // SAFETY: see above.
        unsafe {
            if size_of::<O>() == 1 {
                v128_store32_lane::<0>(i8x16_narrow_i16x8(halves, halves), to.cast());
            } else {
                v128_store64_lane::<0>(halves, to.cast());
            }
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> v128 {
        i32x4_splat(value)
    }

    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }

    #[inline(always)]
    unsafe fn subtract(a: v128, b: v128) -> v128 {
        i32x4_sub(a, b)
    }

    #[inline(always)]
    unsafe fn multiply(a: v128, b: v128) -> v128 {
        i32x4_mul(a, b)
    }

    #[inline(always)]
    unsafe fn and(a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }

    #[inline(always)]
    unsafe fn max(a: v128, b: v128) -> v128 {
        i32x4_max(a, b)
    }

    #[inline(always)]
    unsafe fn min(a: v128, b: v128) -> v128 {
        i32x4_min(a, b)
    }

    #[inline(always)]
    unsafe fn add_where_greater(value: v128, a: v128, b: v128) -> v128 {
        // True is -1.
        i32x4_sub(value, i32x4_gt(a, b))
    }

    #[inline(always)]
    unsafe fn shift_left(a: v128, by: v128) -> v128 {
        // Vectors shift all lanes alike.
        let ([a, b, c, d], [e, f, g, h]) = (lanes(a), lanes(by));
        i32x4(a << (e & 31), b << (f & 31), c << (g & 31), d << (h & 31))
    }

    #[inline(always)]
    unsafe fn shift_right(a: v128, by: v128) -> v128 {
        let ([a, b, c, d], [e, f, g, h]) = (lanes(a), lanes(by));
        i32x4(a >> (e & 31), b >> (f & 31), c >> (g & 31), d >> (h & 31))
    }

    #[inline(always)]
    unsafe fn shift_all_right(a: v128, by: u32) -> v128 {
        i32x4_shr(a, by)
    }

    #[inline(always)]
    unsafe fn multiply_high(a: v128, b: v128, offset: i64) -> v128 {
        let offset = i64x2_splat(offset);
        let low = i64x2_add(i64x2_extmul_low_i32x4(a, b), offset);
        let high = i64x2_add(i64x2_extmul_high_i32x4(a, b), offset);
        i32x4_shuffle::<1, 3, 5, 7>(low, high)
    }

    #[inline(always)]
    unsafe fn doubling_high(a: v128, b: v128) -> v128 {
        let nudge = i64x2_splat(1 << 30);
        let low = i64x2_shl(i64x2_add(i64x2_extmul_low_i32x4(a, b), nudge), 1);
        let high = i64x2_shl(i64x2_add(i64x2_extmul_high_i32x4(a, b), nudge), 1);
        i32x4_shuffle::<1, 3, 5, 7>(low, high)
    }
}

impl ClampLanes for Floats {
    #[inline(always)]
    unsafe fn clamp(x: v128, low: v128, high: v128) -> v128 {
        // A comparison with a NaN is false.
        v128_bitselect(low, v128_bitselect(high, x, f32x4_ge(x, high)), f32x4_le(x, low))
    }
}
