use super::memory::{load_eight_bytes, load_floats, load_halves, load_words, store_floats, store_halves, store_words};
use crate::kernels::depthwise::{Band, DepthwiseKernel, Lanes, Layout, Load, Order, in_lanes};
use crate::kernels::sealed::Sealed;
use core::arch::aarch64::*;

// SAFETY, for every intrinsic below: the module exists only for targets with NEON, and the caller promises that the
// pointer is valid for the values of eight channels.

/// Channels in a block, all of them summed at once.
const LANES: usize = 8;

/// int8: rows widened to 16 bits; SMLAL multiplies a tap of four channels with their weights.
pub struct Int8;

impl Sealed for Int8 {}

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 1, order: Order::Filter, scratch: 4096 };

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_rows(load: &Load<Self>) {
        load.for_each_pixel(|from, to| {
            // SAFETY: see above.
            unsafe { store_halves(to, vmovl_s8(load_eight_bytes(from))) }
        });
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { in_lanes::<Self, 8>(band, accumulators) }
    }
}

impl Lanes for Int8 {
    const COUNT: usize = LANES;
    type Sums = [int32x4_t; 2];
    type Weights = int16x8_t;

    #[inline(always)]
    unsafe fn start(from: *const i32) -> [int32x4_t; 2] {
        // SAFETY: see above.
        unsafe { [load_words(from), load_words(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i16) -> int16x8_t {
        // SAFETY: see above.
        unsafe { load_halves(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        [low, high]: [int32x4_t; 2],
        [tap, _]: [*const i16; 2],
        weights: int16x8_t,
    ) -> [int32x4_t; 2] {
        // SAFETY: see above.
        unsafe {
            let tap = load_halves(tap);
            [vmlal_s16(low, vget_low_s16(tap), vget_low_s16(weights)), vmlal_high_s16(high, tap, weights)]
        }
    }

    #[inline(always)]
    unsafe fn store([low, high]: [int32x4_t; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe {
            store_words(to, low);
            store_words(to.add(4), high);
        }
    }
}

/// Single precision: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Float {}

impl DepthwiseKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 1, order: Order::Filter, scratch: 4096 };

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        load.for_each_pixel(|from, to| {
            // SAFETY: see above.
            unsafe { core::ptr::copy_nonoverlapping(from, to, LANES) }
        });
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { in_lanes::<Self, 8>(band, accumulators) }
    }
}

impl Lanes for Float {
    const COUNT: usize = LANES;
    type Sums = [float32x4_t; 2];
    type Weights = [float32x4_t; 2];

    #[inline(always)]
    unsafe fn start(from: *const f32) -> [float32x4_t; 2] {
        // SAFETY: see above.
        unsafe { [load_floats(from), load_floats(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> [float32x4_t; 2] {
        // SAFETY: see above.
        unsafe { [load_floats(from), load_floats(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        [low, high]: [float32x4_t; 2],
        [tap, _]: [*const f32; 2],
        weights: [float32x4_t; 2],
    ) -> [float32x4_t; 2] {
        // SAFETY: see above.
        unsafe {
            [
                vaddq_f32(low, vmulq_f32(load_floats(tap), weights[0])),
                vaddq_f32(high, vmulq_f32(load_floats(tap.add(4)), weights[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store([low, high]: [float32x4_t; 2], to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            store_floats(to, low);
            store_floats(to.add(4), high);
        }
    }
}
