use super::finish::Words;
use super::memory::{load_bytes, load_floats, load_halves, store_bytes, store_floats, store_halves};
use super::{Neon, NeonDotprod};
use crate::kernels::elementwise::add::{PairNumbers, PairSums, add_in_vectors};
use crate::kernels::elementwise::{Elementwise, FloatLanes, Lanes, MAX_SUMS, SumLanes};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::aarch64::*;

impl Elementwise for Neon {
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

impl Elementwise for NeonDotprod {
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

// SAFETY, for every intrinsic below: the module exists only for targets with NEON, and the caller promises COUNT values
// behind the pointer.

/// Sixteen int8 values, or their sums.
pub struct Bytes;

impl Lanes for Bytes {
    type Element = i8;
    type Vector = int8x16_t;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { load_bytes(from) }
    }

    #[inline(always)]
    unsafe fn store(vector: int8x16_t, to: *mut i8) {
        // SAFETY: see above.
        unsafe { store_bytes(to, vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { vdupq_n_s8(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: int8x16_t, current: int8x16_t) -> int8x16_t {
        // SAFETY: see above.
        unsafe { vmaxq_s8(candidate, current) }
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
        unsafe {
            let (a, b) = (load_bytes(a), load_bytes(b));
            // A shift to the left by less than zero is one to the right.
            let (offset, shift) = (vdupq_n_s32(offset), vdupq_n_s32(-(shift as i32)));
            let sums = |a: int16x4_t, b: int16x4_t| {
                let sum = vmlal_n_s16(vmlal_n_s16(offset, a, m), b, n);
                vqmovn_s32(vshlq_s32(sum, shift))
            };
            let half = |a: int8x8_t, b: int8x8_t| {
                let (a, b) = (vmovl_s8(a), vmovl_s8(b));
                let low = sums(vget_low_s16(a), vget_low_s16(b));
                vqmovn_s16(vcombine_s16(low, sums(vget_high_s16(a), vget_high_s16(b))))
            };
            let packed = vcombine_s8(half(vget_low_s8(a), vget_low_s8(b)), half(vget_high_s8(a), vget_high_s8(b)));
            store_bytes(to, vminq_s8(vmaxq_s8(packed, vdupq_n_s8(low)), vdupq_n_s8(high)));
        }
    }
}

impl SumLanes for Bytes {
    type Sums = [int16x8_t; 2];
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> [int16x8_t; 2] {
        // SAFETY: see above.
        unsafe { [vdupq_n_s16(0); 2] }
    }

    #[inline(always)]
    unsafe fn add([low, high]: [int16x8_t; 2], from: *const i8) -> [int16x8_t; 2] {
        // SAFETY: see above.
        unsafe {
            let values = load_bytes(from);
            [vaddw_s8(low, vget_low_s8(values)), vaddw_high_s8(high, values)]
        }
    }

    #[inline(always)]
    unsafe fn drain([low, high]: [int16x8_t; 2], totals: &mut [i32; MAX_SUMS]) {
        let mut values = [0i16; 16];
        // SAFETY: see above; the array has the 16 values.
        unsafe {
            store_halves(values.as_mut_ptr(), low);
            store_halves(values.as_mut_ptr().add(8), high);
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
    type Vector = int16x8_t;
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const i16) -> int16x8_t {
        // SAFETY: see above.
        unsafe { load_halves(from) }
    }

    #[inline(always)]
    unsafe fn store(vector: int16x8_t, to: *mut i16) {
        // SAFETY: see above.
        unsafe { store_halves(to, vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i16) -> int16x8_t {
        // SAFETY: see above.
        unsafe { vdupq_n_s16(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: int16x8_t, current: int16x8_t) -> int16x8_t {
        // SAFETY: see above.
        unsafe { vmaxq_s16(candidate, current) }
    }
}

/// Four values of single precision.
pub struct Floats;

impl Lanes for Floats {
    type Element = f32;
    type Vector = float32x4_t;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { load_floats(from) }
    }

    #[inline(always)]
    unsafe fn store(vector: float32x4_t, to: *mut f32) {
        // SAFETY: see above.
        unsafe { store_floats(to, vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: float32x4_t, current: float32x4_t) -> float32x4_t {
        // Not FMAX, which prefers NaN and orders zeros.
        // SAFETY: see above.
        unsafe { vbslq_f32(vcgtq_f32(candidate, current), candidate, current) }
    }
}

impl FloatLanes for Floats {
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn divide(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn leak(x: float32x4_t, slope: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vbslq_f32(vcgeq_f32(x, vdupq_n_f32(0.0)), x, vmulq_f32(slope, x)) }
    }
}
