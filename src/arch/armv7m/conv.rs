//! int8 convolution with MLA: eight sums in registers, those of two pixels and four channels, or of one pixel and eight.
//!
//! Counts of cycles are those of the Cortex-M3 (Arm DDI 0337) without wait states.

use crate::kernels::finish::Requantize;
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// int8 with MLA.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(4, 2, 1);
    const DENSE: Layout = Layout::channels(8, 2, 1);
    const PIXELS: usize = 2;
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
            (1, 4) => tiles::<1, 4>,
            (1, 6) => tiles::<1, 6>,
            (1, _) => tiles::<1, 8>,
            (_, 2) => tiles::<2, 2>,
            _ => tiles::<2, 4>,
        };
        // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
        unsafe { kernel(job, accumulators) }
    }
}

impl Requantize for Int8 {}

/// Taps in a pass of the loop over a run; a pass is straight-line code.
const PASS: usize = 8;

/// A strip of pixels, `PIXELS` at a time, and `CHANNELS` channels: a tap of two pixels and four channels, eight
/// multiply-accumulates, takes 14 instructions and, MLA taking two cycles, 23 cycles.
///
/// # Safety
/// As [`MicroKernel::strip`], for a strip of one pixel or a multiple of `PIXELS`, and blocks of `CHANNELS`.
#[unsafe(naked)]
unsafe extern "C" fn tiles<const PIXELS: usize, const CHANNELS: usize>(job: &Strip<Int8>, accumulators: *mut i32) {
    // The frame, in bytes from the stack pointer:
    //   0 next run offset   4 end of the run offsets   8 activations   12 bytes to the second pixel
    //   16 passes in a run   20 passes left   24 where the first pass begins   28 sums   32 biases   36 weights
    //   40 first run offset   44 pixels left   48 bytes to the next sums
    // Sums are in r4 to r11, r3 and r12 are the next activations, lr is the next weight.
    naked_asm!(
        "push {{r4-r11, lr}}",
        "sub sp, #52",
        "ldr r2, [r0, #24]",
        "strd r1, r2, [sp, #28]",
        "ldr r2, [r0, #20]",
        "ldr r3, [r0, #4]",
        "strd r2, r3, [sp, #36]",
        "ldr r2, [r0, #8]",
        "add r2, r3, r2, lsl #2",
        "str r2, [sp, #4]",
        "ldr r2, [r0]",
        "ldr r3, [r0, #16]",
        "strd r2, r3, [sp, #8]",
        "ldr r2, [r0, #28]",
        "ldr r3, [r0, #32]",
        "movs r4, #{pixels} * {channels} * 4",
        "mul r3, r3, r4",
        "strd r2, r3, [sp, #44]",
        // The passes of a run of n taps: ceil(n / PASS), the first of which begins within the code, so many bytes a tap.
        "ldr r2, [r0, #12]",
        "adds r3, r2, #{pass} - 1",
        "lsrs r3, r3, {shift}",
        "str r3, [sp, #16]",
        "rsbs r2, r2, #0",
        "and r2, r2, #{pass} - 1",
        "adr r3, 3f",
        "movs r4, #{bytes}",
        "mla r3, r2, r4, r3",
        "orr r3, r3, #1",
        "str r3, [sp, #24]",
        "1:",
        "ldrd r0, lr, [sp, #32]",
        "ldr r1, [sp, #40]",
        ".if {pixels} == 2",
        ".if {channels} == 2",
        "ldm r0, {{r4, r5}}",
        ".else",
        "ldm r0, {{r4-r7}}",
        "mov r10, r6",
        "mov r11, r7",
        ".endif",
        "mov r8, r4",
        "mov r9, r5",
        ".elseif {channels} == 2",
        "ldm r0, {{r4, r5}}",
        ".elseif {channels} == 4",
        "ldm r0, {{r4-r7}}",
        ".elseif {channels} == 6",
        "ldm r0, {{r4-r9}}",
        ".else",
        "ldm r0, {{r4-r11}}",
        ".endif",
        "2:",
        "ldr r0, [r1], #4",
        "str r1, [sp]",
        "ldrd r1, r2, [sp, #8]",
        "add r3, r1, r0",
        ".if {pixels} == 2",
        "add r12, r3, r2",
        ".endif",
        "ldr r0, [sp, #16]",
        "str r0, [sp, #20]",
        "ldr pc, [sp, #24]",
        ".balign 4",
        "3:",
        ".rept {pass}",
        "ldrsb r0, [r3], #1",
        ".if {pixels} == 2",
        "ldrsb r1, [r12], #1",
        "ldrsb r2, [lr], #1",
        "mla r4, r0, r2, r4",
        "mla r8, r1, r2, r8",
        "ldrsb r2, [lr], #1",
        "mla r5, r0, r2, r5",
        "mla r9, r1, r2, r9",
        ".if {channels} == 4",
        "ldrsb r2, [lr], #1",
        "mla r6, r0, r2, r6",
        "mla r10, r1, r2, r10",
        "ldrsb r2, [lr], #1",
        "mla r7, r0, r2, r7",
        "mla r11, r1, r2, r11",
        ".endif",
        ".else",
        "ldrsb r1, [lr], #1",
        "ldrsb r2, [lr], #1",
        "mla r4, r0, r1, r4",
        "mla r5, r0, r2, r5",
        ".if {channels} >= 4",
        "ldrsb r1, [lr], #1",
        "ldrsb r2, [lr], #1",
        "mla r6, r0, r1, r6",
        "mla r7, r0, r2, r7",
        ".endif",
        ".if {channels} >= 6",
        "ldrsb r1, [lr], #1",
        "ldrsb r2, [lr], #1",
        "mla r8, r0, r1, r8",
        "mla r9, r0, r2, r9",
        ".endif",
        ".if {channels} >= 8",
        "ldrsb r1, [lr], #1",
        "ldrsb r2, [lr], #1",
        "mla r10, r0, r1, r10",
        "mla r11, r0, r2, r11",
        ".endif",
        ".endif",
        ".endr",
        "ldr r0, [sp, #20]",
        "subs r0, r0, #1",
        "str r0, [sp, #20]",
        "bne 3b",
        "ldrd r1, r0, [sp]",
        "cmp r1, r0",
        "bne 2b",
        "ldr r0, [sp, #28]",
        ".if {pixels} == 2",
        ".if {channels} == 2",
        "stm r0, {{r4, r5, r8, r9}}",
        ".else",
        "stm r0, {{r4-r11}}",
        ".endif",
        ".elseif {channels} == 2",
        "stm r0, {{r4, r5}}",
        ".elseif {channels} == 4",
        "stm r0, {{r4-r7}}",
        ".elseif {channels} == 6",
        "stm r0, {{r4-r9}}",
        ".else",
        "stm r0, {{r4-r11}}",
        ".endif",
        "ldrd r1, r2, [sp, #44]",
        "add r0, r2",
        "str r0, [sp, #28]",
        "ldrd r0, r2, [sp, #8]",
        "add r0, r0, r2, lsl #{pixels} - 1",
        "str r0, [sp, #8]",
        "subs r1, r1, #{pixels}",
        "str r1, [sp, #44]",
        "bgt 1b",
        "add sp, #52",
        "pop {{r4-r11, pc}}",
        pixels = const PIXELS,
        channels = const CHANNELS,
        pass = const PASS,
        shift = const PASS.ilog2(),
        bytes = const 4 * (PIXELS + CHANNELS + PIXELS * CHANNELS),
    )
}
