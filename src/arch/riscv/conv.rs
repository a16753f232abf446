//! int8 convolution with sixteen sums in registers: four pixels times four channels.

use crate::kernels::finish::Requantize;
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// int8 with MUL.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(4, 2, 1);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 4;
    const STRIP: usize = 16;

    #[inline(always)]
    fn widen(value: i8) -> i8 {
        value
    }

    fn load_row(input: &[i8], row: &mut [i8]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
        let kernel = match (job.pixels, channels) {
            (1, 2) => tiles::<1, 2>,
            (1, _) => tiles::<1, 4>,
            (_, 2) => tiles::<4, 2>,
            _ => tiles::<4, 4>,
        };
        // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
        unsafe { kernel(job, accumulators) }
    }
}

impl Requantize for Int8 {}

/// Bytes of a register.
const WORD: usize = size_of::<usize>();

#[cfg(target_pointer_width = "32")]
macro_rules! load {
    ($operands:literal) => {
        concat!("lw ", $operands)
    };
}
#[cfg(target_pointer_width = "32")]
macro_rules! store {
    ($operands:literal) => {
        concat!("sw ", $operands)
    };
}
#[cfg(target_pointer_width = "64")]
macro_rules! load {
    ($operands:literal) => {
        concat!("ld ", $operands)
    };
}
#[cfg(target_pointer_width = "64")]
macro_rules! store {
    ($operands:literal) => {
        concat!("sd ", $operands)
    };
}

// A tap: weights in t0 to t3, activations through t4, products through t5, its number in `bareconv_tap`.
macro_rules! tap {
    () => {
        concat!(
            "lb t0, {channels} * bareconv_tap(t6)\n",
            "lb t1, {channels} * bareconv_tap + 1(t6)\n",
            ".if {channels} == 4\n",
            "lb t2, {channels} * bareconv_tap + 2(t6)\n",
            "lb t3, {channels} * bareconv_tap + 3(t6)\n",
            ".endif\n",
            pixel!("a0", "s0", "s1", "s2", "s3"),
            ".if {pixels} == 4\n",
            pixel!("a1", "s4", "s5", "s6", "s7"),
            pixel!("a2", "s8", "s9", "s10", "s11"),
            pixel!("a3", "a4", "a5", "a6", "a7"),
            ".endif\n",
        )
    };
}

macro_rules! pixel {
    ($activations:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "lb t4, bareconv_tap(",
            $activations,
            ")\n",
            "mul t5, t4, t0\n",
            "add ",
            $a,
            ", ",
            $a,
            ", t5\n",
            "mul t5, t4, t1\n",
            "add ",
            $b,
            ", ",
            $b,
            ", t5\n",
            ".if {channels} == 4\n",
            "mul t5, t4, t2\n",
            "add ",
            $c,
            ", ",
            $c,
            ", t5\n",
            "mul t5, t4, t3\n",
            "add ",
            $d,
            ", ",
            $d,
            ", t5\n",
            ".endif\n",
        )
    };
}

/// A strip of pixels, `PIXELS` at a time, and `CHANNELS` channels: a tap of four pixels and four channels, sixteen
/// multiply-accumulates, takes 40 instructions.
///
/// # Safety
/// As [`MicroKernel::strip`], for a strip of one pixel or any with `PIXELS` of 4, and blocks of `CHANNELS`.
#[unsafe(naked)]
unsafe extern "C" fn tiles<const PIXELS: usize, const CHANNELS: usize>(job: &Strip<Int8>, accumulators: *mut i32) {
    // The frame, in words from the stack pointer:
    //   0 first run offset   1 end of the run offsets   2 taps in a run   3 bytes from pixel to pixel   4 weights
    //   5 biases   6 pixels left   7 bytes to the next sums   8 activations   9 sums   10 next run offset
    // Sums are in s0 to s11 and a4 to a7, a0 to a3 are the next activations, t6 is the next weight, ra counts taps.
    naked_asm!(
        ".option push",
        ".option arch, +m",
        "addi sp, sp, -24 * {word}",
        store!("ra, 11 * {word}(sp)"),
        store!("s0, 12 * {word}(sp)"),
        store!("s1, 13 * {word}(sp)"),
        store!("s2, 14 * {word}(sp)"),
        store!("s3, 15 * {word}(sp)"),
        store!("s4, 16 * {word}(sp)"),
        store!("s5, 17 * {word}(sp)"),
        store!("s6, 18 * {word}(sp)"),
        store!("s7, 19 * {word}(sp)"),
        store!("s8, 20 * {word}(sp)"),
        store!("s9, 21 * {word}(sp)"),
        store!("s10, 22 * {word}(sp)"),
        store!("s11, 23 * {word}(sp)"),
        store!("a1, 9 * {word}(sp)"),
        load!("t0, 0(a0)"),
        store!("t0, 8 * {word}(sp)"),
        load!("t0, {word}(a0)"),
        load!("t1, 2 * {word}(a0)"),
        "slli t1, t1, 2",
        "add t1, t1, t0",
        store!("t0, 0(sp)"),
        store!("t1, {word}(sp)"),
        load!("t0, 3 * {word}(a0)"),
        load!("t1, 4 * {word}(a0)"),
        load!("t2, 5 * {word}(a0)"),
        load!("t3, 6 * {word}(a0)"),
        load!("t4, 7 * {word}(a0)"),
        load!("t5, 8 * {word}(a0)"),
        "li t6, {pixels} * {channels} * 4",
        "mul t5, t5, t6",
        store!("t0, 2 * {word}(sp)"),
        store!("t1, 3 * {word}(sp)"),
        store!("t2, 4 * {word}(sp)"),
        store!("t3, 5 * {word}(sp)"),
        store!("t4, 6 * {word}(sp)"),
        store!("t5, 7 * {word}(sp)"),
        "1:",
        load!("t0, 5 * {word}(sp)"),
        load!("t1, 0(sp)"),
        load!("t6, 4 * {word}(sp)"),
        "lw s0, 0(t0)",
        "lw s1, 4(t0)",
        ".if {channels} == 4",
        "lw s2, 8(t0)",
        "lw s3, 12(t0)",
        ".endif",
        ".if {pixels} == 4",
        "mv s4, s0",
        "mv s5, s1",
        "mv s8, s0",
        "mv s9, s1",
        "mv a4, s0",
        "mv a5, s1",
        ".if {channels} == 4",
        "mv s6, s2",
        "mv s7, s3",
        "mv s10, s2",
        "mv s11, s3",
        "mv a6, s2",
        "mv a7, s3",
        ".endif",
        ".endif",
        "2:",
        "lw a0, 0(t1)",
        "addi t1, t1, 4",
        store!("t1, 10 * {word}(sp)"),
        load!("t0, 8 * {word}(sp)"),
        load!("t1, 3 * {word}(sp)"),
        load!("ra, 2 * {word}(sp)"),
        "add a0, a0, t0",
        ".if {pixels} == 4",
        "add a1, a0, t1",
        "add a2, a1, t1",
        "add a3, a2, t1",
        ".endif",
        // Four taps at a time, then one at a time.
        "addi ra, ra, -4",
        "bltz ra, 4f",
        "3:",
        ".irp tap, 0, 1, 2, 3",
        ".set bareconv_tap, \\tap",
        tap!(),
        ".endr",
        "addi t6, t6, 4 * {channels}",
        "addi a0, a0, 4",
        ".if {pixels} == 4",
        "addi a1, a1, 4",
        "addi a2, a2, 4",
        "addi a3, a3, 4",
        ".endif",
        "addi ra, ra, -4",
        "bgez ra, 3b",
        "4:",
        "addi ra, ra, 4",
        "beqz ra, 6f",
        "5:",
        ".set bareconv_tap, 0",
        tap!(),
        "addi t6, t6, {channels}",
        "addi a0, a0, 1",
        ".if {pixels} == 4",
        "addi a1, a1, 1",
        "addi a2, a2, 1",
        "addi a3, a3, 1",
        ".endif",
        "addi ra, ra, -1",
        "bnez ra, 5b",
        "6:",
        load!("t1, 10 * {word}(sp)"),
        load!("t0, {word}(sp)"),
        "bne t0, t1, 2b",
        load!("t0, 9 * {word}(sp)"),
        "sw s0, 0(t0)",
        "sw s1, 4(t0)",
        ".if {channels} == 4",
        "sw s2, 8(t0)",
        "sw s3, 12(t0)",
        ".endif",
        ".if {pixels} == 4",
        "sw s4, {channels} * 4(t0)",
        "sw s5, {channels} * 4 + 4(t0)",
        "sw s8, {channels} * 8(t0)",
        "sw s9, {channels} * 8 + 4(t0)",
        "sw a4, {channels} * 12(t0)",
        "sw a5, {channels} * 12 + 4(t0)",
        ".if {channels} == 4",
        "sw s6, 24(t0)",
        "sw s7, 28(t0)",
        "sw s10, 40(t0)",
        "sw s11, 44(t0)",
        "sw a6, 56(t0)",
        "sw a7, 60(t0)",
        ".endif",
        ".endif",
        load!("t1, 7 * {word}(sp)"),
        load!("t2, 8 * {word}(sp)"),
        load!("t3, 3 * {word}(sp)"),
        load!("t4, 6 * {word}(sp)"),
        "add t0, t0, t1",
        "slli t3, t3, 2",
        "add t2, t2, t3",
        "addi t4, t4, -{pixels}",
        store!("t0, 9 * {word}(sp)"),
        store!("t2, 8 * {word}(sp)"),
        store!("t4, 6 * {word}(sp)"),
        "bgtz t4, 1b",
        load!("ra, 11 * {word}(sp)"),
        load!("s0, 12 * {word}(sp)"),
        load!("s1, 13 * {word}(sp)"),
        load!("s2, 14 * {word}(sp)"),
        load!("s3, 15 * {word}(sp)"),
        load!("s4, 16 * {word}(sp)"),
        load!("s5, 17 * {word}(sp)"),
        load!("s6, 18 * {word}(sp)"),
        load!("s7, 19 * {word}(sp)"),
        load!("s8, 20 * {word}(sp)"),
        load!("s9, 21 * {word}(sp)"),
        load!("s10, 22 * {word}(sp)"),
        load!("s11, 23 * {word}(sp)"),
        "addi sp, sp, 24 * {word}",
        "ret",
        ".option pop",
        pixels = const PIXELS,
        channels = const CHANNELS,
        word = const WORD,
    )
}
