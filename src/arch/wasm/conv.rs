use crate::kernels::vectors::{self, Vectors};
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::wasm32::*;

/// int8: rows widened to 16 bits, then as [`Int16`].
pub struct Int8;

/// int16: i32x4.dot_i16x8_s multiplies pairs of taps with those of four channels.
pub struct Int16;

/// Single precision: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Int8 {}
impl Sealed for Int16 {}
impl Sealed for Float {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(16, 4, 2);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 4;
    const STRIP: usize = 64;
    const FINISHES_STRIPS: bool = true;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    fn load_row(input: &[i8], row: &mut [i16]) {
        for (wide, &value) in row.iter_mut().zip(input) {
            *wide = value.into();
        }
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { vectors::strip::<_, Pairs>(job, channels, accumulators) }
    }
}

impl MicroKernel for Int16 {
    type Input = i16;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Int8::CONVOLUTION;
    const DENSE: Layout = Int8::DENSE;
    const PIXELS: usize = 4;
    const STRIP: usize = 64;
    const FINISHES_STRIPS: bool = true;

    #[inline(always)]
    fn widen(value: i16) -> i16 {
        value
    }

    fn load_row(input: &[i16], row: &mut [i16]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { vectors::strip::<_, Pairs>(job, channels, accumulators) }
    }
}

impl MicroKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const CONVOLUTION: Layout = Layout::channels(16, 4, 1);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 4;
    const STRIP: usize = 64;
    const FINISHES_STRIPS: bool = true;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    fn load_row(input: &[f32], row: &mut [f32]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { vectors::strip::<_, Singles>(job, channels, accumulators) }
    }
}

// SAFETY, for every intrinsic below: the caller promises that the pointer is valid for the values. Loads and stores take
// any address.

/// Four channels.
pub struct Pairs;

impl Vectors for Pairs {
    type Activation = i16;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = v128;
    type Weights = v128;
    type Taps = v128;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 2;
    const WIDTH: usize = 2;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(bias.cast()) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i16) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load32_splat(from.cast()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> v128 {
        // SAFETY: see above.
        unsafe { i16x8_load_extend_i8x8(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: v128, taps: v128, weights: v128) -> v128 {
        i32x4_add(sums, i32x4_dot_i16x8(taps, weights))
    }

    #[inline(always)]
    unsafe fn store(sums: v128, to: *mut i32) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), sums) }
    }
}

/// Four channels in single precision.
pub struct Singles;

impl Vectors for Singles {
    type Activation = f32;
    type Weight = f32;
    type Accumulator = f32;
    type Sums = v128;
    type Weights = v128;
    type Taps = v128;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 1;
    const WIDTH: usize = 2;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn start(bias: *const f32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(bias.cast()) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const f32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load32_splat(from.cast()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> v128 {
        // SAFETY: see above.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: v128, taps: v128, weights: v128) -> v128 {
        f32x4_add(sums, f32x4_mul(taps, weights))
    }

    #[inline(always)]
    unsafe fn store(sums: v128, to: *mut f32) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), sums) }
    }
}
