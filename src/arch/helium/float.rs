//! Convolution in single precision, four output channels in a vector.
//!
//! Helium flushes subnormal numbers to zero, which the specification does not. But it says so: an operand that it took
//! for zero sets the flag IDC, a result that it made zero UFC. A strip that sets either is computed again, by plain Rust.

use super::super::portable::{Blocks, Layouts};
use crate::kernels::finish::ClampSums;
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// Single precision: a product, rounded, then a sum, rounded; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Float {}

/// Vectors of four channels, two of them at once.
pub struct Vectors;

impl Layouts for Vectors {
    const CONVOLUTION: Layout = Layout::channels(8, 4, 1);
    const DENSE: Layout = Self::CONVOLUTION;
}

/// What computes a strip again.
type Scalar = Blocks<f32, Vectors>;

impl MicroKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const CONVOLUTION: Layout = Vectors::CONVOLUTION;
    const DENSE: Layout = Vectors::DENSE;
    const PIXELS: usize = Scalar::PIXELS;
    const STRIP: usize = Scalar::STRIP;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    fn load_row(input: &[f32], row: &mut [f32]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut f32) {
        const { assert!(Scalar::PIXELS == 2) };
        let kernel = match (job.pixels, channels) {
            (1, 4) => tiles::<1, 4>,
            (1, _) => tiles::<1, 8>,
            (_, 4) => tiles::<2, 4>,
            _ => tiles::<2, 8>,
        };
        // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have. The other kernel has the
        // same types, layouts and tiles, so its strip has the same fields with the same meaning.
        unsafe {
            if kernel(job, accumulators) != 0 {
                let job = &*core::ptr::from_ref(job).cast::<Strip<Scalar>>();
                Scalar::strip(job, channels, accumulators);
            }
        }
    }
}

impl ClampSums for Float {}

/// A strip of pixels, `PIXELS` at a time, and `CHANNELS` channels: a tap of two pixels and eight channels, sixteen
/// multiply-accumulates, takes 13 instructions. Returns whether a subnormal number may have been taken for zero.
///
/// # Safety
/// As [`MicroKernel::strip`], for a strip of one pixel or any with `PIXELS` of 2, and blocks of `CHANNELS`.
#[unsafe(naked)]
unsafe extern "C" fn tiles<const PIXELS: usize, const CHANNELS: usize>(
    job: &Strip<Float>,
    accumulators: *mut f32,
) -> usize {
    // The frame, in bytes from the stack pointer:
    //   0 sums   4 biases   8 weights   12 pixels left   16 bytes to the next sums   20 taps in a run
    //   24 first run offset   28 the flags that were set before
    // r1 is the next weight, r2 and r3 the next activations, r7 the next run offset, r8 the end of them, r9 the
    // activations, r10 the bytes to the second pixel. Sums are in q0 to q3.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #4",
        "vpush {{d8-d15}}",
        "sub sp, #32",
        "vmrs r2, fpscr",
        "str r2, [sp, #28]",
        "bic r2, r2, #0x88",
        "vmsr fpscr, r2",
        "ldr r2, [r0, #24]",
        "strd r1, r2, [sp]",
        "ldr r3, [r0, #20]",
        "ldrd r4, r5, [r0, #28]",
        "strd r3, r4, [sp, #8]",
        "movs r4, #{pixels} * {channels} * 4",
        "muls r5, r4, r5",
        "ldrd r6, r10, [r0, #12]",
        "strd r5, r6, [sp, #16]",
        "lsls r10, r10, #2",
        "ldrd r9, r7, [r0]",
        "ldr r8, [r0, #8]",
        "add r8, r7, r8, lsl #2",
        "str r7, [sp, #24]",
        "1:",
        "ldrd r2, r1, [sp, #4]",
        "ldr r7, [sp, #24]",
        "vldrw.u32 q0, [r2]",
        ".if {channels} == 8",
        "vldrw.u32 q1, [r2, #16]",
        ".endif",
        ".if {pixels} == 2",
        "vmov q2, q0",
        ".if {channels} == 8",
        "vmov q3, q1",
        ".endif",
        ".endif",
        "2:",
        "ldr r2, [r7], #4",
        "ldr r4, [sp, #20]",
        "add r2, r9, r2, lsl #2",
        ".if {pixels} == 2",
        "add r3, r2, r10",
        ".endif",
        "dls lr, r4",
        "3:",
        "vldrw.u32 q4, [r1], #16",
        "ldr r4, [r2], #4",
        ".if {channels} == 8",
        "vldrw.u32 q5, [r1], #16",
        ".endif",
        ".if {pixels} == 2",
        "ldr r5, [r3], #4",
        ".endif",
        "vmul.f32 q6, q4, r4",
        ".if {channels} == 8",
        "vmul.f32 q7, q5, r4",
        ".endif",
        "vadd.f32 q0, q0, q6",
        ".if {channels} == 8",
        "vadd.f32 q1, q1, q7",
        ".endif",
        ".if {pixels} == 2",
        "vmul.f32 q6, q4, r5",
        ".if {channels} == 8",
        "vmul.f32 q7, q5, r5",
        ".endif",
        "vadd.f32 q2, q2, q6",
        ".if {channels} == 8",
        "vadd.f32 q3, q3, q7",
        ".endif",
        ".endif",
        "le lr, 3b",
        "cmp r7, r8",
        "bne 2b",
        "ldr r2, [sp]",
        "vstrw.u32 q0, [r2]",
        ".if {channels} == 8",
        "vstrw.u32 q1, [r2, #16]",
        ".endif",
        ".if {pixels} == 2",
        "vstrw.u32 q2, [r2, #{channels} * 4]",
        ".if {channels} == 8",
        "vstrw.u32 q3, [r2, #48]",
        ".endif",
        ".endif",
        "ldrd r3, r4, [sp, #12]",
        "add r2, r4",
        "str r2, [sp]",
        "add r9, r9, r10, lsl #{pixels} - 1",
        "subs r3, #{pixels}",
        "str r3, [sp, #12]",
        "bgt 1b",
        "vmrs r0, fpscr",
        "ldr r1, [sp, #28]",
        "and r2, r0, #0x9f",
        "orrs r1, r2",
        "vmsr fpscr, r1",
        "and r0, r0, #0x88",
        "add sp, #32",
        "vpop {{d8-d15}}",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        pixels = const PIXELS,
        channels = const CHANNELS,
    )
}
