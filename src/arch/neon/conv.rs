use super::memory::{
    load_bytes, load_eight_bytes, load_floats, load_four_halves, load_words, store_floats, store_words,
};
use super::{Neon, NeonDotprod};
use crate::kernels::vectors::{self, Vectors};
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::aarch64::*;
use core::arch::asm;
use core::marker::PhantomData;

/// int8: four taps of a channel lie side by side, as SDOT multiplies and adds them.
pub struct Int8<B>(PhantomData<B>);

/// int16: SMLAL multiplies a tap with the weights of four channels.
pub struct Int16;

/// Single precision: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct Float;

impl<B> Sealed for Int8<B> {}
impl Sealed for Int16 {}
impl Sealed for Float {}

/// Implements the int8 kernel of a backend with its vectors.
macro_rules! int8 {
    ($backend:ident, $vectors:ty) => {
        impl MicroKernel for Int8<$backend> {
            type Input = i8;
            type Weight = i8;
            type Activation = i8;
            type Accumulator = i32;
            const CONVOLUTION: Layout = Layout::channels(16, 4, 4).overread(12);
            const DENSE: Layout = Self::CONVOLUTION;
            const PIXELS: usize = 8;
            const STRIP: usize = 64;
            const FINISHES_STRIPS: bool = true;

            #[inline(always)]
            fn widen(value: i8) -> i8 {
                value
            }

            fn load_row(input: &[i8], row: &mut [i8]) {
                row.copy_from_slice(input);
            }

            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
                // SAFETY: the caller's promise.
                unsafe { vectors::strip::<_, $vectors>(job, channels, accumulators) }
            }
        }
    };
}

int8!(Neon, Pairs);
int8!(NeonDotprod, Quads);

impl MicroKernel for Int16 {
    type Input = i16;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(16, 8, 1).overread(3);
    const DENSE: Layout = Layout::channels(32, 8, 1).overread(3);
    const PIXELS: usize = 8;
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
        unsafe { vectors::strip::<_, Wide>(job, channels, accumulators) }
    }
}

impl MicroKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const CONVOLUTION: Layout = Layout::channels(16, 4, 1).overread(3);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 8;
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

// Taps are read sixteen bytes at once: one load for four groups, at any address, even where memory wants alignment.

// SAFETY, for every intrinsic below: the module exists only for targets with NEON, and the caller promises that the
// pointer is valid for the values.

/// Four channels with NEON alone. SMULL multiplies the taps of two channels, SADALP adds the products in pairs, whose
/// sums are added last.
pub struct Pairs;

impl Vectors for Pairs {
    type Activation = i8;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = [int32x4_t; 2];
    type Weights = int8x16_t;
    type Taps = int8x16_t;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 4;
    const AHEAD: usize = 4;
    const WIDTH: usize = 1;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [int32x4_t; 2] {
        // SAFETY: see above. A bias joins the first pair of its channel.
        unsafe {
            let (bias, zero) = (load_words(bias), vdupq_n_s32(0));
            [vzip1q_s32(bias, zero), vzip2q_s32(bias, zero)]
        }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { load_bytes(from) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { load_bytes(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(
        [low, high]: [int32x4_t; 2],
        taps: int8x16_t,
        weights: int8x16_t,
    ) -> [int32x4_t; 2] {
        // SAFETY: see above. A product of bytes fits 16 bits.
        unsafe {
            let groups = vreinterpretq_s32_s8(taps);
            let taps = vreinterpret_s8_s32(match N {
                0 => vdup_laneq_s32::<0>(groups),
                1 => vdup_laneq_s32::<1>(groups),
                2 => vdup_laneq_s32::<2>(groups),
                _ => vdup_laneq_s32::<3>(groups),
            });
            [
                vpadalq_s16(low, vmull_s8(vget_low_s8(weights), taps)),
                vpadalq_s16(high, vmull_s8(vget_high_s8(weights), taps)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store([low, high]: [int32x4_t; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe { store_words(to, vpaddq_s32(low, high)) }
    }
}

/// Four channels with the dot product extension: SDOT multiplies four taps of each and adds the products.
pub struct Quads;

impl Vectors for Quads {
    type Activation = i8;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = int32x4_t;
    type Weights = int8x16_t;
    type Taps = int8x16_t;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 4;
    const AHEAD: usize = 4;
    const WIDTH: usize = 2;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> int32x4_t {
        // SAFETY: see above.
        unsafe { load_words(bias) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { load_bytes(from) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> int8x16_t {
        // SAFETY: see above.
        unsafe { load_bytes(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(mut sums: int32x4_t, taps: int8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: the caller promises the extension; the instruction touches its registers alone. The intrinsic,
        // vdotq_laneq_s32, is not stable.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {weights:v}.16b, {taps:v}.4b[{group}]",
                sums = inout(vreg) sums,
                weights = in(vreg) weights,
                taps = in(vreg) taps,
                group = const N,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(sums: int32x4_t, to: *mut i32) {
        // SAFETY: see above.
        unsafe { store_words(to, sums) }
    }
}

/// Eight channels in int16.
pub struct Wide;

impl Vectors for Wide {
    type Activation = i16;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = [int32x4_t; 2];
    type Weights = int16x8_t;
    type Taps = int16x4_t;
    type Rest = Self;
    const LANES: usize = 8;
    const GROUP: usize = 1;
    const AHEAD: usize = 4;
    const WIDTH: usize = 1;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [int32x4_t; 2] {
        // SAFETY: see above.
        unsafe { [load_words(bias), load_words(bias.add(4))] }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i16) -> int16x4_t {
        // SAFETY: see above.
        unsafe { load_four_halves(from) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> int16x8_t {
        // SAFETY: see above.
        unsafe { vmovl_s8(load_eight_bytes(from)) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(
        [low, high]: [int32x4_t; 2],
        taps: int16x4_t,
        weights: int16x8_t,
    ) -> [int32x4_t; 2] {
        // SAFETY: see above.
        unsafe {
            let first = vget_low_s16(weights);
            match N {
                0 => [vmlal_lane_s16::<0>(low, first, taps), vmlal_high_lane_s16::<0>(high, weights, taps)],
                1 => [vmlal_lane_s16::<1>(low, first, taps), vmlal_high_lane_s16::<1>(high, weights, taps)],
                2 => [vmlal_lane_s16::<2>(low, first, taps), vmlal_high_lane_s16::<2>(high, weights, taps)],
                _ => [vmlal_lane_s16::<3>(low, first, taps), vmlal_high_lane_s16::<3>(high, weights, taps)],
            }
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

/// Four channels in single precision.
pub struct Singles;

impl Vectors for Singles {
    type Activation = f32;
    type Weight = f32;
    type Accumulator = f32;
    type Sums = float32x4_t;
    type Weights = float32x4_t;
    type Taps = float32x4_t;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 1;
    const AHEAD: usize = 4;
    const WIDTH: usize = 2;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { load_floats(bias) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { load_floats(from) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { load_floats(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: float32x4_t, taps: float32x4_t, weights: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe {
            let products = match N {
                0 => vmulq_laneq_f32::<0>(weights, taps),
                1 => vmulq_laneq_f32::<1>(weights, taps),
                2 => vmulq_laneq_f32::<2>(weights, taps),
                _ => vmulq_laneq_f32::<3>(weights, taps),
            };
            vaddq_f32(sums, products)
        }
    }

    #[inline(always)]
    unsafe fn store(sums: float32x4_t, to: *mut f32) {
        // SAFETY: see above.
        unsafe { store_floats(to, sums) }
    }
}
