//! Convolution with output channels in the lanes: each tap's weights, one vector, times the activation of each of four
//! pixels, a scalar.
//!
//! Nothing depends on the length of vectors: a block's channels are gone through `vl` at a time.

use crate::kernels::finish::ClampSums;
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// int8 with VWMACC: weights widened to 16 bits times activations, added to 32 bits.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(32, 1, 1);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 4;
    const STRIP: usize = 32;
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
        unsafe {
            if job.pixels == 1 {
                strip::<Self, 0, 0, 1>(job, accumulators, channels);
            } else {
                strip::<Self, 0, 0, 4>(job, accumulators, channels);
            }
        }
    }
}

/// int16 activations with int8 weights: the same.
pub struct Int16;

impl Sealed for Int16 {}

impl MicroKernel for Int16 {
    type Input = i16;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Int8::CONVOLUTION;
    const DENSE: Layout = Int8::DENSE;
    const PIXELS: usize = Int8::PIXELS;
    const STRIP: usize = Int8::STRIP;
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
        unsafe {
            if job.pixels == 1 {
                strip::<Self, 0, 1, 1>(job, accumulators, channels);
            } else {
                strip::<Self, 0, 1, 4>(job, accumulators, channels);
            }
        }
    }
}

/// Single precision: a product, rounded, then a sum, rounded; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Float {}

impl MicroKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const CONVOLUTION: Layout = Layout::channels(32, 1, 1);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 4;
    const STRIP: usize = 32;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    fn load_row(input: &[f32], row: &mut [f32]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            if job.pixels == 1 {
                strip::<Self, 2, 2, 1>(job, accumulators, channels);
            } else {
                strip::<Self, 2, 2, 4>(job, accumulators, channels);
            }
        }
    }
}

impl ClampSums for Float {}

// An integer activation.
macro_rules! load {
    ($operands:literal) => {
        concat!(".if {wide} == 0\n", "lb ", $operands, "\n", ".else\n", "lh ", $operands, "\n", ".endif\n")
    };
}

// One tap: its weights from t0, and the activations `bareconv_tap` bytes from t1 to t4.
macro_rules! tap {
    () => {
        concat!(
            ".if {bits} == 0 && {pixels} == 1\n",
            "vle8.v v16, (t0)\n",
            "add t0, t0, s10\n",
            load!("t5, bareconv_tap(t1)"),
            "vsext.vf2 v20, v16\n",
            "vwmacc.vx v0, t5, v20\n",
            ".elseif {bits} == 0\n",
            "vle8.v v16, (t0)\n",
            "add t0, t0, s10\n",
            load!("t5, bareconv_tap(t1)"),
            load!("t6, bareconv_tap(t2)"),
            "vsext.vf2 v18, v16\n",
            "vwmacc.vx v0, t5, v18\n",
            "vwmacc.vx v4, t6, v18\n",
            load!("t5, bareconv_tap(t3)"),
            load!("t6, bareconv_tap(t4)"),
            "vwmacc.vx v8, t5, v18\n",
            "vwmacc.vx v12, t6, v18\n",
            ".elseif {pixels} == 1\n",
            "vle32.v v8, (t0)\n",
            "add t0, t0, s10\n",
            "flw ft0, bareconv_tap(t1)\n",
            "vfmul.vf v16, v8, ft0\n",
            "vfadd.vv v0, v0, v16\n",
            ".else\n",
            "vle32.v v16, (t0)\n",
            "add t0, t0, s10\n",
            "flw ft0, bareconv_tap(t1)\n",
            "flw ft1, bareconv_tap(t2)\n",
            "flw ft2, bareconv_tap(t3)\n",
            "flw ft3, bareconv_tap(t4)\n",
            "vfmul.vf v20, v16, ft0\n",
            "vfmul.vf v24, v16, ft1\n",
            "vfmul.vf v28, v16, ft2\n",
            "vfmul.vf v16, v16, ft3\n",
            "vfadd.vv v0, v0, v20\n",
            "vfadd.vv v4, v4, v24\n",
            "vfadd.vv v8, v8, v28\n",
            "vfadd.vv v12, v12, v16\n",
            ".endif\n",
        )
    };
}

/// A strip, tile by tile of `PIXELS` pixels, piece by piece of the block's channels, run by run. Weights have
/// `1 << BITS` bytes: int8, or single precision; activations `1 << WIDE`.
///
/// # Safety
/// As [`MicroKernel::strip`], for a kernel of these types; where `PIXELS` is 1, the strip has one pixel.
#[unsafe(naked)]
unsafe extern "C" fn strip<K: MicroKernel, const BITS: usize, const WIDE: usize, const PIXELS: usize>(
    job: &Strip<K>,
    accumulators: *mut K::Accumulator,
    channels: usize,
) {
    // s0 the tile's activations, s1 and s2 first and last run offset, s3 taps in a run, s4 bytes from pixel to pixel,
    // s5 weights, s6 biases, s7 pixels left, s8 bytes from tile to tile of the sums, s9 next run offset, s10 bytes from
    // tap to tap, s11 bytes from pixel to pixel of the sums; a0 channels in the piece, a1 the tile's sums, a2 the block's
    // channels, a3 to a5 the piece's weights, biases and sums, a6 channels left, a7 taps left; t0 next weights, t1 to t4
    // next activations. Sums are in v0 to v15.
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "addi sp, sp, -96",
        "sd s0, 0(sp)",
        "sd s1, 8(sp)",
        "sd s2, 16(sp)",
        "sd s3, 24(sp)",
        "sd s4, 32(sp)",
        "sd s5, 40(sp)",
        "sd s6, 48(sp)",
        "sd s7, 56(sp)",
        "sd s8, 64(sp)",
        "sd s9, 72(sp)",
        "sd s10, 80(sp)",
        "sd s11, 88(sp)",
        "ld s0, 0(a0)",
        "ld s1, 8(a0)",
        "ld s2, 16(a0)",
        "slli s2, s2, 2",
        "add s2, s2, s1",
        "ld s3, 24(a0)",
        "ld s4, 32(a0)",
        "slli s4, s4, {wide}",
        "ld s5, 40(a0)",
        "ld s6, 48(a0)",
        "ld s7, 56(a0)",
        "ld s8, 64(a0)",
        "slli s11, a2, 2",
        "mul s8, s8, s11",
        "slli s8, s8, 2",
        "slli s10, a2, {bits}",
        "1:",
        "mv a3, s5",
        "mv a4, s6",
        "mv a5, a1",
        "mv a6, a2",
        "2:",
        ".if {pixels} == 1",
        "vsetvli a0, a6, e32, m8, ta, ma",
        "vle32.v v0, (a4)",
        ".if {bits} == 0",
        "vsetvli zero, zero, e16, m4, ta, ma",
        ".endif",
        ".else",
        "vsetvli a0, a6, e32, m4, ta, ma",
        "vle32.v v0, (a4)",
        "vmv.v.v v4, v0",
        "vmv.v.v v8, v0",
        "vmv.v.v v12, v0",
        ".if {bits} == 0",
        "vsetvli zero, zero, e16, m2, ta, ma",
        ".endif",
        ".endif",
        "mv t0, a3",
        "mv s9, s1",
        "3:",
        "lwu t1, 0(s9)",
        "addi s9, s9, 4",
        ".if {wide}",
        "slli t1, t1, {wide}",
        ".endif",
        "add t1, t1, s0",
        ".if {pixels} > 1",
        "add t2, t1, s4",
        "add t3, t2, s4",
        "add t4, t3, s4",
        ".endif",
        // Four taps at a time, then one at a time.
        "addi a7, s3, -4",
        "bltz a7, 5f",
        "4:",
        ".irp tap, 0, 1, 2, 3",
        ".set bareconv_tap, \\tap << {wide}",
        tap!(),
        ".endr",
        "addi t1, t1, 4 << {wide}",
        ".if {pixels} > 1",
        "addi t2, t2, 4 << {wide}",
        "addi t3, t3, 4 << {wide}",
        "addi t4, t4, 4 << {wide}",
        ".endif",
        "addi a7, a7, -4",
        "bgez a7, 4b",
        "5:",
        "addi a7, a7, 4",
        "beqz a7, 7f",
        "6:",
        ".set bareconv_tap, 0",
        tap!(),
        "addi t1, t1, 1 << {wide}",
        ".if {pixels} > 1",
        "addi t2, t2, 1 << {wide}",
        "addi t3, t3, 1 << {wide}",
        "addi t4, t4, 1 << {wide}",
        ".endif",
        "addi a7, a7, -1",
        "bnez a7, 6b",
        "7:",
        "bne s9, s2, 3b",
        ".if {pixels} == 1",
        ".if {bits} == 0",
        "vsetvli zero, zero, e32, m8, ta, ma",
        ".endif",
        "vse32.v v0, (a5)",
        ".else",
        ".if {bits} == 0",
        "vsetvli zero, zero, e32, m4, ta, ma",
        ".endif",
        "vse32.v v0, (a5)",
        "add t0, a5, s11",
        "vse32.v v4, (t0)",
        "add t0, t0, s11",
        "vse32.v v8, (t0)",
        "add t0, t0, s11",
        "vse32.v v12, (t0)",
        ".endif",
        "slli t0, a0, 2",
        "slli t1, a0, {bits}",
        "add a3, a3, t1",
        "add a4, a4, t0",
        "add a5, a5, t0",
        "sub a6, a6, a0",
        "bnez a6, 2b",
        "add a1, a1, s8",
        "slli t0, s4, 2",
        "add s0, s0, t0",
        "addi s7, s7, -4",
        "bgtz s7, 1b",
        "ld s0, 0(sp)",
        "ld s1, 8(sp)",
        "ld s2, 16(sp)",
        "ld s3, 24(sp)",
        "ld s4, 32(sp)",
        "ld s5, 40(sp)",
        "ld s6, 48(sp)",
        "ld s7, 56(sp)",
        "ld s8, 64(sp)",
        "ld s9, 72(sp)",
        "ld s10, 80(sp)",
        "ld s11, 88(sp)",
        "addi sp, sp, 96",
        "ret",
        ".option pop",
        bits = const BITS,
        wide = const WIDE,
        pixels = const PIXELS,
    )
}
