//! Convolution with VMLADAVA: sixteen products of int8 values, or eight of int16, added to a 32-bit register.
//!
//! Activations stay as they are; a group is sixteen taps or eight, the last of a run padded with zero weights. Eight sums
//! are held in the even registers, the only ones that VMLADAVA writes: two pixels of four channels, or one pixel of
//! eight. Loads and multiplications alternate, as they run side by side on the Cortex-M55.

use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// int8 with VMLADAVA.
pub struct Int8;

/// int16 activations with int8 weights, widened when they are loaded: VMLADAVA of eight values.
pub struct Int16;

macro_rules! kernel {
    ($kernel:ident, $type:ty, $bits:literal) => {
        impl Sealed for $kernel {}

        impl MicroKernel for $kernel {
            type Input = $type;
            type Weight = i8;
            type Activation = $type;
            type Accumulator = i32;
            // A group is what fills a vector.
            const CONVOLUTION: Layout = Layout::channels(8, 2, 16 >> $bits);
            const DENSE: Layout = Self::CONVOLUTION;
            const PIXELS: usize = 2;
            const STRIP: usize = 32;
            const FINISHES_STRIPS: bool = true;

            #[inline(always)]
            fn widen(value: $type) -> $type {
                value
            }

            fn load_row(input: &[$type], row: &mut [$type]) {
                row.copy_from_slice(input);
            }

            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
                // SAFETY: the caller's promise; activations have `1 << BITS` bytes.
                unsafe { strip::<Self, $bits>(job, channels, accumulators) }
            }
        }
    };
}

kernel!(Int8, i8, 0);
kernel!(Int16, i16, 1);

/// [`MicroKernel::strip`] for activations of `1 << BITS` bytes.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn strip<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize>(
    job: &Strip<K>,
    channels: usize,
    accumulators: *mut i32,
) {
    type Kernel<K> = unsafe extern "C" fn(&Strip<K>, *mut i32, *const i8, *const i32);
    let (pixel, four, two): (Kernel<K>, Kernel<K>, Kernel<K>) = match channels {
        2 => (one_by_block::<K, BITS, 2>, two_by::<K, BITS, 2, 4>, two_by::<K, BITS, 2, 2>),
        4 => (one_by_block::<K, BITS, 4>, two_by::<K, BITS, 4, 4>, two_by::<K, BITS, 4, 2>),
        6 => (one_by_block::<K, BITS, 6>, two_by::<K, BITS, 6, 4>, two_by::<K, BITS, 6, 2>),
        _ => (one_by_block::<K, BITS, 8>, two_by::<K, BITS, 8, 4>, two_by::<K, BITS, 8, 2>),
    };
    // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
    unsafe {
        if job.pixels == 1 {
            return pixel(job, accumulators, job.weights, job.bias);
        }
        let mut c = 0;
        while c < channels {
            let kernel = if channels - c == 2 { two } else { four };
            kernel(job, accumulators.add(c), job.weights.add(c * (16 >> BITS)), job.bias.add(c));
            c += 4;
        }
    }
}

/// Groups in a pass of the loop over a run; a pass is straight-line code.
const PASS: usize = 4;

// The frame of the routines, in bytes from the stack pointer:
//   0 first run offset   4 end of the run offsets   8 pixel step   12 passes in a run   16 where the first pass begins
//   20 weights   24 biases   28 sums   32 pixels left   36 bytes to the next sums
//
// r0 is the strip, r1 the sums, r2 the weights, r3 the biases; r7 becomes the activations.
macro_rules! prologue {
    () => {
        concat!(
            ".cpu cortex-m55\n",
            "push {{r4-r11, lr}}\n",
            "sub sp, #44\n",
            "strd r2, r3, [sp, #20]\n",
            "str r1, [sp, #28]\n",
            "ldrd r7, r2, [r0]\n",
            "ldrd r3, r4, [r0, #8]\n",
            "add r3, r2, r3, lsl #2\n",
            "strd r2, r3, [sp]\n",
            "ldr r5, [r0, #16]\n",
            "lsls r5, r5, #{bits}\n",
            // Passes: ceil(groups / PASS), the first of which begins within the code, so many bytes a group in.
            "adds r3, r4, #{pass} - 1\n",
            "lsrs r3, r3, {shift}\n",
            "strd r5, r3, [sp, #8]\n",
            "rsbs r4, r4, #0\n",
            "and r4, r4, #{pass} - 1\n",
            "adr r3, 3f\n",
            "movs r5, #{bytes}\n",
            "mla r3, r4, r5, r3\n",
            "orr r3, r3, #1\n",
            "str r3, [sp, #16]\n",
            "ldrd r2, r3, [r0, #28]\n",
            "movs r4, #{block} * 8\n",
            "mul r3, r3, r4\n",
            "strd r2, r3, [sp, #32]\n",
        )
    };
}

// Instructions on int8 or int16 activations, and int8 weights.
macro_rules! activations {
    ($operands:literal) => {
        concat!(".if {bits} == 0\nvldrb.u8 ", $operands, "\n.else\nvldrh.u16 ", $operands, "\n.endif\n")
    };
}
macro_rules! weights {
    ($operands:literal) => {
        concat!(".if {bits} == 0\nvldrw.u32 ", $operands, "\n.else\nvldrb.s16 ", $operands, "\n.endif\n")
    };
}
macro_rules! multiply {
    ($operands:literal) => {
        concat!(".if {bits} == 0\nvmladava.s8 ", $operands, "\n.else\nvmladava.s16 ", $operands, "\n.endif\n")
    };
}

/// A strip of pixels and `CHANNELS`, two or four, of a block of `BLOCK`, two pixels at a time: with four channels 128
/// multiply-accumulates in 14 instructions.
///
/// # Safety
/// As [`MicroKernel::strip`], for the channels whose sums, weights and biases begin there.
#[unsafe(naked)]
unsafe extern "C" fn two_by<K: MicroKernel, const BITS: usize, const BLOCK: usize, const CHANNELS: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
    weights: *const i8,
    bias: *const i32,
) {
    naked_asm!(
        prologue!(),
        "1:",
        "ldrd r1, r11, [sp, #20]",
        "ldr r9, [sp]",
        "ldrd r0, r2, [r11]",
        "mov r8, r0",
        "mov r10, r2",
        ".if {channels} == 4",
        "ldrd r4, r6, [r11, #8]",
        "mov r12, r4",
        "mov lr, r6",
        ".endif",
        "2:",
        "ldr r3, [r9], #4",
        "ldrd r5, r11, [sp, #8]",
        "add r3, r7, r3, lsl #{bits}",
        "add r5, r3",
        "ldr pc, [sp, #16]",
        ".balign 4",
        "3:",
        ".rept {pass}",
        activations!("q0, [r3], #16"),
        weights!("q2, [r1, #{group}]"),
        multiply!("r2, q0, q2"),
        activations!("q1, [r5], #16"),
        multiply!("r10, q1, q2"),
        ".if {channels} == 4",
        weights!("q3, [r1, #2 * {group}]"),
        multiply!("r4, q0, q3"),
        weights!("q2, [r1, #3 * {group}]"),
        multiply!("r12, q1, q3"),
        ".endif",
        weights!("q3, [r1], #{block} * {group}"),
        ".if {channels} == 4",
        multiply!("r6, q0, q2"),
        multiply!("lr, q1, q2"),
        ".endif",
        multiply!("r0, q0, q3"),
        multiply!("r8, q1, q3"),
        ".endr",
        "subs r11, r11, #1",
        "bne 3b",
        "ldr r5, [sp, #4]",
        "cmp r9, r5",
        "bne 2b",
        "ldrd r3, r5, [sp, #28]",
        "strd r0, r2, [r3]",
        "strd r8, r10, [r3, #{block} * 4]",
        ".if {channels} == 4",
        "strd r4, r6, [r3, #8]",
        "strd r12, lr, [r3, #{block} * 4 + 8]",
        ".endif",
        "ldr r0, [sp, #36]",
        "add r3, r0",
        "ldr r0, [sp, #8]",
        "add r7, r7, r0, lsl #1",
        "subs r5, r5, #2",
        "strd r3, r5, [sp, #28]",
        "bgt 1b",
        "add sp, #44",
        "pop {{r4-r11, pc}}",
        bits = const BITS,
        group = const 16usize >> BITS,
        block = const BLOCK,
        pass = const PASS,
        shift = const PASS.ilog2(),
        channels = const CHANNELS,
        bytes = const 8 + 12 * CHANNELS,
    )
}

/// One pixel and a block of `BLOCK` channels: with eight, 128 multiply-accumulates in 17 instructions.
///
/// # Safety
/// As [`MicroKernel::strip`], for one pixel.
#[unsafe(naked)]
unsafe extern "C" fn one_by_block<K: MicroKernel, const BITS: usize, const BLOCK: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
    weights: *const i8,
    bias: *const i32,
) {
    naked_asm!(
        prologue!(),
        "ldrd r1, r11, [sp, #20]",
        "ldr r9, [sp]",
        "ldrd r0, r2, [r11]",
        ".if {block} >= 4",
        "ldrd r4, r6, [r11, #8]",
        ".endif",
        ".if {block} >= 6",
        "ldrd r8, r10, [r11, #16]",
        ".endif",
        ".if {block} >= 8",
        "ldrd r12, lr, [r11, #24]",
        ".endif",
        "2:",
        "ldr r3, [r9], #4",
        "ldr r11, [sp, #12]",
        "add r3, r7, r3, lsl #{bits}",
        "ldr pc, [sp, #16]",
        ".balign 4",
        "3:",
        ".rept {pass}",
        activations!("q0, [r3], #16"),
        weights!("q1, [r1, #{group}]"),
        multiply!("r2, q0, q1"),
        ".if {block} >= 4",
        weights!("q2, [r1, #2 * {group}]"),
        multiply!("r4, q0, q2"),
        weights!("q3, [r1, #3 * {group}]"),
        multiply!("r6, q0, q3"),
        ".endif",
        ".if {block} >= 6",
        weights!("q1, [r1, #4 * {group}]"),
        multiply!("r8, q0, q1"),
        weights!("q2, [r1, #5 * {group}]"),
        multiply!("r10, q0, q2"),
        ".endif",
        ".if {block} >= 8",
        weights!("q3, [r1, #6 * {group}]"),
        multiply!("r12, q0, q3"),
        weights!("q1, [r1, #7 * {group}]"),
        multiply!("lr, q0, q1"),
        ".endif",
        weights!("q2, [r1], #{block} * {group}"),
        multiply!("r0, q0, q2"),
        ".endr",
        "subs r11, r11, #1",
        "bne 3b",
        "ldr r5, [sp, #4]",
        "cmp r9, r5",
        "bne 2b",
        "ldr r3, [sp, #28]",
        "strd r0, r2, [r3]",
        ".if {block} >= 4",
        "strd r4, r6, [r3, #8]",
        ".endif",
        ".if {block} >= 6",
        "strd r8, r10, [r3, #16]",
        ".endif",
        ".if {block} >= 8",
        "strd r12, lr, [r3, #24]",
        ".endif",
        "add sp, #44",
        "pop {{r4-r11, pc}}",
        bits = const BITS,
        group = const 16usize >> BITS,
        block = const BLOCK,
        pass = const PASS,
        shift = const PASS.ilog2(),
        bytes = const 4 + 8 * BLOCK,
    )
}
