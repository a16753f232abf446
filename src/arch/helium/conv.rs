//! Convolution with VMLADAVA: sixteen products of int8 values, or eight of int16, added to a 32-bit register.
//!
//! Activations stay as they are; a group is sixteen taps or eight, the last of a run padded with zero weights. Eight sums
//! are held in the even registers, the only ones that VMLADAVA writes: two pixels of four channels, or one pixel of
//! eight. Loads and multiplications alternate, as they run side by side on the Cortex-M55. Where a filter has one group,
//! its weights stay in registers.
//!
//! Short runs would leave most of a vector empty. A small filter's runs are packed as one, and what a pixel sees is
//! copied together, to be used for all output channels.

use crate::kernels::conv2d::is_dense;
use crate::kernels::{MicroKernel, Routine, Strip, sealed::Sealed};
use crate::pack::Layout;
use crate::shape::Conv2dShape;
use core::arch::naked_asm;
use core::mem::{MaybeUninit, transmute};

/// int8 with VMLADAVA.
pub struct Int8;

/// int16 activations with int8 weights, widened when they are loaded: VMLADAVA of eight values.
pub struct Int16;

macro_rules! kernel {
    ($kernel:ident, $type:ty, $bits:literal, $merge:expr, $routine:ident) => {
        impl Sealed for $kernel {}

        impl MicroKernel for $kernel {
            type Input = $type;
            type Weight = i8;
            type Activation = $type;
            type Accumulator = i32;
            // A group is what fills a vector.
            const CONVOLUTION: Layout = Self::DENSE.merging($merge);
            const DENSE: Layout = Layout::channels(8, 2, 16 >> $bits);
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

            fn routine(shape: &Conv2dShape) -> Option<Routine> {
                Some($routine(shape))
            }

            #[inline(always)]
            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
                // SAFETY: the caller's promise; this backend has a routine for every shape, and all are made of a `Kernel`.
                unsafe {
                    let routine = job.routine.unwrap_unchecked();
                    transmute::<Routine, Kernel<Self>>(routine)(job, channels, accumulators);
                }
            }
        }
    };
}

kernel!(Int8, i8, 0, 64, routine);
kernel!(Int16, i16, 1, 0, routine_i16);

/// What a [`Routine`] of this backend is: it has the channels of the block as a parameter, too.
type Kernel<K> = unsafe fn(&Strip<K>, usize, *mut i32);

/// The int8 routine for the shape of a group.
pub(crate) const fn routine(shape: &Conv2dShape) -> Routine {
    routine_of::<Int8, 0>(shape)
}

/// The int16 routine for the shape of a group.
pub(crate) const fn routine_i16(shape: &Conv2dShape) -> Routine {
    routine_of::<Int16, 1>(shape)
}

/// Dense layers have strips of one pixel, and do not link what is for more.
const fn routine_of<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize>(shape: &Conv2dShape) -> Routine {
    let kernel: Kernel<K> = if is_dense(shape) { pixel::<K, BITS> } else { strip::<K, BITS> };
    // SAFETY: it is called as what it is, by this backend's `strip` alone.
    unsafe { transmute::<Kernel<K>, Routine>(kernel) }
}

/// [`MicroKernel::strip`] for one pixel, its runs not merged.
///
/// # Safety
/// As there.
unsafe fn pixel<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize>(
    job: &Strip<K>,
    channels: usize,
    accumulators: *mut i32,
) {
    let kernel = match channels {
        2 => one_by_block::<K, BITS, 2>,
        4 => one_by_block::<K, BITS, 4>,
        6 => one_by_block::<K, BITS, 6>,
        _ => one_by_block::<K, BITS, 8>,
    };
    // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
    unsafe { kernel(job, accumulators, job.weights, job.bias) }
}

/// [`MicroKernel::strip`] for activations of `1 << BITS` bytes.
///
/// # Safety
/// As there.
unsafe fn strip<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize>(
    job: &Strip<K>,
    channels: usize,
    accumulators: *mut i32,
) {
    // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
    unsafe {
        if K::CONVOLUTION.merge > 0 && job.merged > 0 {
            return match channels {
                2 => merged::<K, BITS, 2>(job, accumulators),
                4 => merged::<K, BITS, 4>(job, accumulators),
                6 => merged::<K, BITS, 6>(job, accumulators),
                _ => merged::<K, BITS, 8>(job, accumulators),
            };
        }
        match channels {
            2 => block::<K, BITS, 2>(job, accumulators),
            4 => block::<K, BITS, 4>(job, accumulators),
            6 => block::<K, BITS, 6>(job, accumulators),
            _ => block::<K, BITS, 8>(job, accumulators),
        }
    }
}

/// [`MicroKernel::strip`] for a block of `BLOCK` channels whose runs are not merged.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn block<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize, const BLOCK: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
) {
    type Part<K> = unsafe extern "C" fn(&Strip<K>, *mut i32, *const i8, *const i32);
    let [four, two]: [Part<K>; 2] = match (job.run_count, job.run_groups) {
        _ if job.pixels == 1 => {
            // SAFETY: the caller's promise.
            return unsafe { one_by_block::<K, BITS, BLOCK>(job, accumulators, job.weights, job.bias) };
        }
        (1, 1) => [in_registers::<K, BITS, BLOCK, 4>, in_registers::<K, BITS, BLOCK, 2>],
        (1, _) => [two_by_run::<K, BITS, BLOCK, 4>, two_by_run::<K, BITS, BLOCK, 2>],
        _ => [two_by::<K, BITS, BLOCK, 4>, two_by::<K, BITS, BLOCK, 2>],
    };
    let mut c = 0;
    while c < BLOCK {
        let kernel = if BLOCK - c == 2 { two } else { four };
        // SAFETY: the caller's promise, for the channels from `c` on.
        unsafe { kernel(job, accumulators.add(c), job.weights.add(c * (16 >> BITS)), job.bias.add(c)) };
        c += 4;
    }
}

/// Bytes of the copies of what pixels see.
const COPIES: usize = 640;

/// [`MicroKernel::strip`] for a block of `BLOCK` channels whose runs are merged: as if for one run, over copies.
///
/// # Safety
/// As there; activations are bytes, and a filter has at most 64 taps in runs of a vector at most.
#[inline(never)]
unsafe fn merged<K: MicroKernel<Weight = i8, Accumulator = i32>, const BITS: usize, const BLOCK: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
) {
    // Every copy is of a whole vector: the last is of a run that begins `(run_count - 1) * taps` bytes in.
    let (copy, pitch): (unsafe extern "C" fn(&Strip<K>, *const K::Activation, *mut u8, usize), usize) =
        if (job.run_count - 1) * job.taps + 16 <= 40 { (copy_runs::<K, 40>, 40) } else { (copy_runs::<K, 80>, 80) };
    // The last pixel's last vector may be read beyond its copy: what is there meets weights that are zero.
    let mut copies = MaybeUninit::<[[u64; 2]; COPIES / 16 + 1]>::uninit();
    let copies = copies.as_mut_ptr().cast::<u8>();
    let most = COPIES / pitch;
    let mut p = 0;
    while p < job.pixels {
        let pixels = most.min(job.pixels - p);
        let strip = Strip::<K> {
            activations: copies.cast(),
            runs: &0,
            run_count: 1,
            run_groups: job.merged,
            pixel_step: pitch,
            pixels,
            ..*job
        };
        // SAFETY: the caller's promise: pairs of pixels are there. `most` is even, and so many copies fit the array.
        unsafe {
            copy(job, job.activations.add(p * job.pixel_step), copies, pixels.div_ceil(2));
            // A single pixel is half of a pair.
            let strip = Strip::<K> { pixels: pixels.next_multiple_of(2), ..strip };
            block::<K, BITS, BLOCK>(&strip, accumulators.add(p * job.rows * BLOCK));
        }
        p += most;
    }
}

/// Copies what `pairs` pairs of pixels see, run by run, to every `PITCH` bytes.
///
/// # Safety
/// `from` is the first pixel's place in the ring, and so many pairs of pixels are there. A run has at most 16 bytes, and
/// all runs with the 16 bytes that are copied for the last one fit the pitch.
#[unsafe(naked)]
unsafe extern "C" fn copy_runs<K: MicroKernel, const PITCH: usize>(
    job: &Strip<K>,
    from: *const K::Activation,
    to: *mut u8,
    pairs: usize,
) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        "ldrd r4, r5, [r0, #4]",
        "ldr r6, [r0, #16]",
        "ldr r7, [r0, #40]",
        "1:",
        "ldr r8, [r4], #4",
        "mov r12, r2",
        "add r8, r1",
        "dls lr, r3",
        "2:",
        "vldrb.u8 q0, [r8]",
        "add r8, r6",
        "vldrb.u8 q1, [r8]",
        "add r8, r6",
        "vstrb.8 q0, [r12], #{pitch}",
        "vstrb.8 q1, [r12], #{pitch}",
        "le lr, 2b",
        "add r2, r7",
        "subs r5, r5, #1",
        "bne 1b",
        "pop {{r4-r8, pc}}",
        pitch = const PITCH,
    )
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

// The same, without a sum to add to.
macro_rules! multiply_only {
    ($operands:literal) => {
        concat!(".if {bits} == 0\nvmladav.s8 ", $operands, "\n.else\nvmladav.s16 ", $operands, "\n.endif\n")
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

/// As [`two_by`] where a filter has one run.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn two_by_run<K: MicroKernel, const BITS: usize, const BLOCK: usize, const CHANNELS: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
    weights: *const i8,
    bias: *const i32,
) {
    // The frame: 0 weights   4 biases   8 pixel step   12 passes   16 where the first pass begins   20 bytes to the next
    // sums   24 end of the sums
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #28",
        "strd r2, r3, [sp]",
        "mov r9, r1",
        "ldrd r7, r2, [r0]",
        "ldr r2, [r2]",
        "add r7, r7, r2, lsl #{bits}",
        "ldrd r4, r5, [r0, #12]",
        "lsls r5, r5, #{bits}",
        // Passes: ceil(groups / PASS), the first of which begins within the code, so many bytes a group in.
        "adds r3, r4, #{pass} - 1",
        "lsrs r3, r3, {shift}",
        "strd r5, r3, [sp, #8]",
        "rsbs r4, r4, #0",
        "and r4, r4, #{pass} - 1",
        "adr r3, 3f",
        "movs r5, #{bytes}",
        "mla r3, r4, r5, r3",
        "orr r3, r3, #1",
        "ldrd r2, r4, [r0, #28]",
        "movs r5, #{block} * 8",
        "mul r4, r4, r5",
        "strd r3, r4, [sp, #16]",
        "adds r2, #1",
        "lsrs r2, r2, #1",
        "mla r2, r2, r4, r9",
        "str r2, [sp, #24]",
        "1:",
        "ldrd r1, r11, [sp]",
        "ldrd r0, r2, [r11]",
        "ldrd r8, r10, [r11]",
        ".if {channels} == 4",
        "ldrd r4, r6, [r11, #8]",
        "ldrd r12, lr, [r11, #8]",
        ".endif",
        "ldrd r5, r11, [sp, #8]",
        "mov r3, r7",
        "add r7, r7, r5, lsl #1",
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
        "strd r0, r2, [r9]",
        "strd r8, r10, [r9, #{block} * 4]",
        ".if {channels} == 4",
        "strd r4, r6, [r9, #8]",
        "strd r12, lr, [r9, #{block} * 4 + 8]",
        ".endif",
        "ldrd r0, r1, [sp, #20]",
        "add r9, r0",
        "cmp r9, r1",
        "bne 1b",
        "add sp, #28",
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

/// As [`two_by`] where a filter has one group: its weights stay in registers, and the biases are added four at a time.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn in_registers<K: MicroKernel, const BITS: usize, const BLOCK: usize, const CHANNELS: usize>(
    job: &Strip<K>,
    accumulators: *mut i32,
    weights: *const i8,
    bias: *const i32,
) {
    // VMOV of two registers puts the first into the lower lane, which its text names last.
    // r1 sums, r3 activations, r5 bytes from pixel to pixel, r7 bytes from tile to tile, r9 and r11 biases of two channels.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #4",
        "vpush {{d8-d15}}",
        weights!("q0, [r2]"),
        weights!("q1, [r2, #{group}]"),
        ".if {channels} == 4",
        weights!("q2, [r2, #2 * {group}]"),
        weights!("q3, [r2, #3 * {group}]"),
        "vldrw.u32 q7, [r3]",
        ".else",
        "ldrd r9, r11, [r3]",
        ".endif",
        "ldrd r3, r5, [r0]",
        "ldr r5, [r5]",
        "add r3, r3, r5, lsl #{bits}",
        "ldr r5, [r0, #16]",
        "lsls r5, r5, #{bits}",
        "ldrd r2, r4, [r0, #28]",
        "movs r7, #{block} * 8",
        "mul r7, r7, r4",
        "adds r2, #1",
        "lsrs r2, r2, #1",
        "dls lr, r2",
        "2:",
        activations!("q4, [r3]"),
        "add r3, r5",
        multiply_only!("r0, q4, q0"),
        activations!("q5, [r3]"),
        multiply_only!("r2, q4, q1"),
        "add r3, r5",
        ".if {channels} == 4",
        multiply_only!("r4, q4, q2"),
        multiply_only!("r6, q4, q3"),
        "vmov q6[2], q6[0], r0, r4",
        multiply_only!("r8, q5, q0"),
        "vmov q6[3], q6[1], r2, r6",
        multiply_only!("r10, q5, q1"),
        "vadd.i32 q6, q6, q7",
        multiply_only!("r4, q5, q2"),
        "vstrw.32 q6, [r1]",
        multiply_only!("r6, q5, q3"),
        "vmov q6[2], q6[0], r8, r4",
        "vmov q6[3], q6[1], r10, r6",
        "vadd.i32 q6, q6, q7",
        "vstrw.32 q6, [r1, #{block} * 4]",
        ".else",
        multiply_only!("r8, q5, q0"),
        "add r0, r9",
        multiply_only!("r10, q5, q1"),
        "add r2, r11",
        "strd r0, r2, [r1]",
        "add r8, r9",
        "add r10, r11",
        "strd r8, r10, [r1, #{block} * 4]",
        ".endif",
        "add r1, r7",
        "le lr, 2b",
        "vpop {{d8-d15}}",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        bits = const BITS,
        group = const 16usize >> BITS,
        block = const BLOCK,
        channels = const CHANNELS,
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
