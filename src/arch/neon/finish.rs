use super::conv::{Float, Int8, Int16};
use super::elementwise::Floats;
use super::memory::{load_words, store_four_halves};
use super::{Neon, NeonDotprod};
use crate::kernels::finish::{ClampSums, IntegerEpilogue, Requantize, Sums, finish_in_vectors};
use crate::kernels::requantize::{ClampLanes, Clamped, Integers, finish};
use crate::quant::CommonRequantization;
use core::arch::aarch64::*;

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

requantize!(Int8<Neon>);
requantize!(Int8<NeonDotprod>);
requantize!(Int16);

impl ClampSums for Float {
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: the caller's promise; blocks are whole vectors.
        unsafe { finish_in_vectors::<Clamped<Floats>>(strip, bounds, output) }
    }
}

// SAFETY, for every intrinsic below: the module exists only for targets with NEON, and the caller promises that the
// pointer is valid for the values.

/// Four sums.
pub struct Words;

impl Integers for Words {
    type Vector = int32x4_t;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> int32x4_t {
        // SAFETY: see above.
        unsafe { load_words(from) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> int32x4_t {
        // SAFETY: see above.
        unsafe {
            let bytes = vreinterpret_s8_s32(vdup_n_s32(from.cast::<i32>().read_unaligned()));
            vmovl_s16(vget_low_s16(vmovl_s8(bytes)))
        }
    }

    #[inline(always)]
    unsafe fn store<O>(values: int32x4_t, to: *mut O) {
        const { assert!(size_of::<O>() == 1 || size_of::<O>() == 2) };
        // SAFETY: see above.
        unsafe {
            let halves = vmovn_s32(values);
            if size_of::<O>() == 1 {
                let bytes = vreinterpret_s32_s8(vmovn_s16(vcombine_s16(halves, halves)));
                to.cast::<i32>().write_unaligned(vget_lane_s32::<0>(bytes));
            } else {
                store_four_halves(to.cast(), halves);
            }
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    unsafe fn add(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vaddq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn subtract(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vsubq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn multiply(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vmulq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn and(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vandq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vmaxq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vminq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn add_where_greater(value: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above. True is -1.
        unsafe { vsubq_s32(value, vreinterpretq_s32_u32(vcgtq_s32(a, b))) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: int32x4_t, by: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vshlq_s32(a, by) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: int32x4_t, by: int32x4_t) -> int32x4_t {
        // SAFETY: see above. SSHL shifts to the right by negative numbers.
        unsafe { vshlq_s32(a, vnegq_s32(by)) }
    }

    #[inline(always)]
    unsafe fn shift_all_right(a: int32x4_t, by: u32) -> int32x4_t {
        // SAFETY: see above. SSHL shifts to the right by negative numbers.
        unsafe { vshlq_s32(a, vdupq_n_s32(-(by as i32))) }
    }

    #[inline(always)]
    unsafe fn multiply_high(a: int32x4_t, b: int32x4_t, offset: i64) -> int32x4_t {
        // SAFETY: see above.
        unsafe {
            let offset = vdupq_n_s64(offset);
            let low = vaddq_s64(vmull_s32(vget_low_s32(a), vget_low_s32(b)), offset);
            let high = vaddq_s64(vmull_high_s32(a, b), offset);
            vshrn_high_n_s64::<32>(vshrn_n_s64::<32>(low), high)
        }
    }

    #[inline(always)]
    unsafe fn doubling_high(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vqrdmulhq_s32(a, b) }
    }
}

impl ClampLanes for Floats {
    #[inline(always)]
    unsafe fn clamp(x: float32x4_t, low: float32x4_t, high: float32x4_t) -> float32x4_t {
        // SAFETY: see above. A comparison with a NaN is false.
        unsafe { vbslq_f32(vcleq_f32(x, low), low, vbslq_f32(vcgeq_f32(x, high), high, x)) }
    }
}
