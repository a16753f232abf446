use crate::kernels::depthwise::{Band, DepthwiseKernel, Lanes, Layout, Load, Order, in_lanes};
use crate::kernels::sealed::Sealed;
use core::arch::wasm32::*;

// SAFETY, for every intrinsic below: the caller promises that the pointer is valid for the values of eight channels.
// Loads and stores take any address.

/// Channels in a block, all of them summed at once.
const LANES: usize = 8;

/// int8: rows widened to 16 bits; i32x4.dot_i16x8_s multiplies two taps of four channels with their weights.
pub struct Int8;

impl Sealed for Int8 {}

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 2, order: Order::Filter, scratch: 4096 };

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_rows(load: &Load<Self>) {
        load.for_each_pixel(|from, to| {
            // SAFETY: see above.
            unsafe { v128_store(to.cast(), i16x8_load_extend_i8x8(from)) }
        });
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { in_lanes::<Self, 4>(band, accumulators) }
    }
}

impl Lanes for Int8 {
    const COUNT: usize = LANES;
    type Sums = [v128; 2];
    type Weights = [v128; 2];

    #[inline(always)]
    unsafe fn start(from: *const i32) -> [v128; 2] {
        // SAFETY: see above.
        unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i16) -> [v128; 2] {
        // SAFETY: see above; there are two weights for each channel.
        unsafe { [v128_load(from.cast()), v128_load(from.add(8).cast())] }
    }

    #[inline(always)]
    unsafe fn multiply_add([low, high]: [v128; 2], [first, second]: [*const i16; 2], weights: [v128; 2]) -> [v128; 2] {
        // SAFETY: see above.
        let (first, second) = unsafe { (v128_load(first.cast()), v128_load(second.cast())) };
        let pairs = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(first, second);
        let more = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(first, second);
        [i32x4_add(low, i32x4_dot_i16x8(pairs, weights[0])), i32x4_add(high, i32x4_dot_i16x8(more, weights[1]))]
    }

    #[inline(always)]
    unsafe fn store([low, high]: [v128; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe {
            v128_store(to.cast(), low);
            v128_store(to.add(4).cast(), high);
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
        unsafe { in_lanes::<Self, 4>(band, accumulators) }
    }
}

impl Lanes for Float {
    const COUNT: usize = LANES;
    type Sums = [v128; 2];
    type Weights = [v128; 2];

    #[inline(always)]
    unsafe fn start(from: *const f32) -> [v128; 2] {
        // SAFETY: see above.
        unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> [v128; 2] {
        // SAFETY: see above.
        unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn multiply_add([low, high]: [v128; 2], [tap, _]: [*const f32; 2], weights: [v128; 2]) -> [v128; 2] {
        // SAFETY: see above.
        let taps = unsafe { [v128_load(tap.cast()), v128_load(tap.add(4).cast())] };
        [f32x4_add(low, f32x4_mul(taps[0], weights[0])), f32x4_add(high, f32x4_mul(taps[1], weights[1]))]
    }

    #[inline(always)]
    unsafe fn store([low, high]: [v128; 2], to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            v128_store(to.cast(), low);
            v128_store(to.add(4).cast(), high);
        }
    }
}
