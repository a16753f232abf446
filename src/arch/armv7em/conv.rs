//! Convolution with SMLAD: int8 on weights packed in byte pairs ([`Format::BytePairs`](crate::pack::Format::BytePairs)).
//!
//! A word of weights holds two taps of two channels. Multiplied as it is with two activations it gives
//! `256 * odd + even`, the *raw* sum; its low bytes, sign-extended by SXTB16, give `even`, the *low* sum. At the end
//! `odd = (raw - low) / 256`. That is one unpacking instruction for four multiplications, and weights stay int8 in
//! flash. All sums wrap; what comes out is exact because the odd sum fits 24 bits ([`BYTE_PAIR_TAPS`]).
//!
//! Eight sums are held in registers. Counts of cycles are those of the Cortex-M4 (Arm DDI 0439) without wait states: a
//! load costs two, or one right after another load; everything else in the inner loops costs one.

use crate::kernels::finish::Requantize;
use crate::kernels::{MicroKernel, Requantization, Routine, Strip, sealed::Sealed};
use crate::pack::{BYTE_PAIR_TAPS, Layout, Runs};
use crate::quant::{CommonRequantization, RoundingMode};
use crate::shape::Conv2dShape;
use core::arch::{asm, naked_asm};
use core::hint::assert_unchecked;

/// int8 with SMLAD.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::byte_pairs(4);
    const DENSE: Layout = Layout::byte_pairs(8);
    const PIXELS: usize = 2;
    const STRIP: usize = 16;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    fn load_row(input: &[i8], row: &mut [i16]) {
        let ((fours, rest), (wide_fours, wide_rest)) = (input.as_chunks::<4>(), row.as_chunks_mut::<4>());
        for (four, wide) in fours.iter().zip(wide_fours) {
            let word = u32::from_le_bytes(four.map(i8::cast_unsigned));
            let (low, high): (u32, u32);
            // SAFETY: only registers are written. SXTB16 takes bytes 0 and 2, rotated bytes 1 and 3; PKH puts them in
            // order.
            unsafe {
                asm!(
                    "sxtb16 {even}, {word}",
                    "sxtb16 {odd}, {word}, ror #8",
                    "pkhbt {low}, {even}, {odd}, lsl #16",
                    "pkhtb {high}, {odd}, {even}, asr #16",
                    word = in(reg) word, even = out(reg) _, odd = out(reg) _,
                    low = lateout(reg) low, high = lateout(reg) high,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            *wide = [low as i16, (low >> 16) as i16, high as i16, (high >> 16) as i16];
        }
        for (wide, &value) in wide_rest.iter_mut().zip(rest) {
            *wide = value.into();
        }
    }

    fn routine(shape: &Conv2dShape) -> Option<Routine> {
        Some(routine(shape, false))
    }

    #[inline(always)]
    unsafe fn strip(job: &Strip<Self>, _: usize, accumulators: *mut i32) {
        // SAFETY: the caller's promise; this backend has a routine for every shape.
        unsafe {
            let routine = job.routine.unwrap_unchecked();
            routine(core::ptr::from_ref(job).cast(), accumulators.cast());
        }
    }
}

impl Requantize for Int8 {
    fn requantization(common: &CommonRequantization, mode: RoundingMode, dense: bool) -> Option<Requantization> {
        super::finish::requantization(common, mode, dense)
    }
}

/// int16 with SMLAD, weights in [`Format::Interleaved`](crate::pack::Format::Interleaved): each is widened for itself.
pub struct Int16;

impl Sealed for Int16 {}

impl MicroKernel for Int16 {
    type Input = i16;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::interleaved(4);
    const DENSE: Layout = Layout::interleaved(8);
    const PIXELS: usize = 2;
    const STRIP: usize = 16;

    #[inline(always)]
    fn widen(value: i16) -> i16 {
        value
    }

    fn load_row(input: &[i16], row: &mut [i16]) {
        row.copy_from_slice(input);
    }

    fn routine(shape: &Conv2dShape) -> Option<Routine> {
        Some(routine_i16(shape))
    }

    #[inline(always)]
    unsafe fn strip(job: &Strip<Self>, _: usize, accumulators: *mut i32) {
        // SAFETY: the caller's promise; this backend has a routine for every shape.
        unsafe {
            let routine = job.routine.unwrap_unchecked();
            routine(core::ptr::from_ref(job).cast(), accumulators.cast());
        }
    }
}

impl Requantize for Int16 {}

/// The format of weights that a routine reads: [`Format::BytePairs`](crate::pack::Format::BytePairs).
const PAIRS: usize = 0;
/// [`Format::Interleaved`](crate::pack::Format::Interleaved).
const INTERLEAVED: usize = 1;

/// The int16 routine for the shape of a group.
pub(crate) const fn routine_i16(shape: &Conv2dShape) -> Routine {
    let dense = shape.convolved()[1] == 1;
    let runs = Runs::new(shape, if dense { &Int16::DENSE } else { &Int16::CONVOLUTION });
    let kernel: Kernel = if dense {
        one_by_eight::<INTERLEAVED>
    } else {
        match runs.phases * runs.step {
            2 => two_by_four::<4, 0, 0, INTERLEAVED>,
            4 => two_by_four::<8, 0, 0, INTERLEAVED>,
            8 => two_by_four::<16, 0, 0, INTERLEAVED>,
            16 => two_by_four::<32, 0, 0, INTERLEAVED>,
            32 => two_by_four::<64, 0, 0, INTERLEAVED>,
            64 => two_by_four::<128, 0, 0, INTERLEAVED>,
            128 => two_by_four::<256, 0, 0, INTERLEAVED>,
            _ => two_by_four::<0, 0, 0, INTERLEAVED>,
        }
    };
    // SAFETY: both are pointers to functions that take two pointers. A strip is laid out the same for both types.
    unsafe { core::mem::transmute::<Kernel, Routine>(kernel) }
}

/// A routine before its parameters are cast away.
type Kernel = unsafe extern "C" fn(&Strip<Int8>, *mut i32);

/// The int8 routine for the shape of a group; `narrow` weights need no parts.
pub(crate) const fn routine(shape: &Conv2dShape, narrow: bool) -> Routine {
    let dense = shape.convolved()[1] == 1;
    let runs = Runs::new(shape, if dense { &Int8::DENSE } else { &Int8::CONVOLUTION });
    let kernel: Kernel = if !narrow && runs.count() * runs.taps > BYTE_PAIR_TAPS {
        if dense { in_parts::<1, 8> } else { in_parts::<2, 4> }
    } else if dense {
        one_by_eight::<PAIRS>
    } else {
        // Distances between pixels, in activations: an immediate in the load, so one routine each.
        match runs.phases * runs.step {
            2 => by_words::<4>(runs.groups, runs.count()),
            3 => by_words::<6>(runs.groups, runs.count()),
            4 => by_words::<8>(runs.groups, runs.count()),
            6 => by_words::<12>(runs.groups, runs.count()),
            8 => by_words::<16>(runs.groups, runs.count()),
            12 => by_words::<24>(runs.groups, runs.count()),
            16 => by_words::<32>(runs.groups, runs.count()),
            24 => by_words::<48>(runs.groups, runs.count()),
            32 => by_words::<64>(runs.groups, runs.count()),
            48 => by_words::<96>(runs.groups, runs.count()),
            64 => by_words::<128>(runs.groups, runs.count()),
            96 => by_words::<192>(runs.groups, runs.count()),
            128 => by_words::<256>(runs.groups, runs.count()),
            192 => by_words::<384>(runs.groups, runs.count()),
            256 => by_words::<512>(runs.groups, runs.count()),
            _ => two_by_four::<0, 0, 0, PAIRS>,
        }
    };
    // SAFETY: both are pointers to functions that take two pointers.
    unsafe { core::mem::transmute::<Kernel, Routine>(kernel) }
}

/// [`two_by_four`] for so many runs of so many words, as far as that is not much code, else for any.
const fn by_words<const PIXEL: usize>(words: usize, runs: usize) -> Kernel {
    macro_rules! short {
        ($(($words:literal, $runs:literal))* ; $($any:literal)*) => {
            match (words, runs) {
                $(($words, $runs) => two_by_four::<PIXEL, $words, $runs, PAIRS>,)*
                $(($any, _) => two_by_four::<PIXEL, $any, 0, PAIRS>,)*
                _ => two_by_four::<PIXEL, 0, 0, PAIRS>,
            }
        };
    }
    short!(
        (1, 1) (1, 3) (1, 5) (1, 7) (2, 1) (2, 3) (2, 5) (2, 7) (3, 1) (3, 3) (3, 5) (4, 1) (4, 3) (5, 1) (5, 3)
        (6, 1) (7, 1) (8, 1) (9, 1) (10, 1) (11, 1) (12, 1) (13, 1) (14, 1) (15, 1) (16, 1) (32, 1);
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
    )
}

/// Computes a strip from parts of its runs, so that each part's sums stay within their 24 bits.
///
/// # Safety
/// As [`MicroKernel::strip`]; `PIXELS` and `CHANNELS` are those of a dense strip, 1 and 8, or of another, 2 and 4.
unsafe extern "C" fn in_parts<const PIXELS: usize, const CHANNELS: usize>(job: &Strip<Int8>, accumulators: *mut i32) {
    const ZEROS: &[i32; 8] = &[0; 8];
    // SAFETY: a run has a tap. The division needs no test then.
    unsafe { assert_unchecked(job.run_groups > 0) };
    let most = BYTE_PAIR_TAPS / 2 / job.run_groups;
    let mut p = 0;
    while p < job.pixels {
        // SAFETY: the strip has room for this tile's sums.
        let tile = unsafe { &mut *accumulators.add(p * job.rows * CHANNELS).cast::<[i32; 8]>() };
        *tile = [0; 8];
        let (mut bias, mut done) = (job.bias, 0);
        while done < job.run_count {
            let mut sums = [0; 8];
            // SAFETY: runs and weights from `done` on are the strip's; both kernels write eight sums.
            unsafe {
                let part = Strip::<Int8> {
                    activations: job.activations.add(p * job.pixel_step),
                    runs: job.runs.add(done),
                    run_count: most.min(job.run_count - done),
                    weights: job.weights.add(done * job.run_groups * 2 * CHANNELS),
                    bias,
                    pixels: PIXELS,
                    rows: 1,
                    ..*job
                };
                if PIXELS == 1 {
                    one_by_eight::<PAIRS>(&part, sums.as_mut_ptr());
                } else {
                    two_by_four::<0, 0, 0, PAIRS>(&part, sums.as_mut_ptr());
                }
            }
            for (total, sum) in tile.iter_mut().zip(sums) {
                *total = total.wrapping_add(sum);
            }
            bias = ZEROS.as_ptr();
            done += most;
        }
        p += PIXELS;
    }
}

/// Words (pairs of taps) in a pass of the loops over runs of any length; a pass is straight-line code.
const PASS: usize = 8;

// Naked functions are assembled without what `-C target-cpu` brings: on Armv8-M they must name a core with DSP.
#[cfg(bareconv_v8m)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33\n"
    };
}
#[cfg(not(bareconv_v8m))]
macro_rules! cpu {
    () => {
        ""
    };
}
pub(super) use cpu;

// The frame of the routines, in bytes from the stack pointer:
//   0 next run offset   4 end of the run offsets   8 activations   12 second pixel, in bytes from the first
//   16 passes in a run, less one   20 passes left   24 where the first pass begins
//   28 next sums   32 biases   36 weights   40 first run offset   44 pixels left   48 bytes to the next pixels
//   52 bytes to the next sums
//
// r0 is the strip, r1 the sums. Falls into the loop over pixels at label 1.
macro_rules! prologue {
    () => {
        concat!(
            cpu!(),
            "push {{r4-r11, lr}}\n",
            "sub sp, #60\n",
            "ldr r2, [r0, #24]\n",
            "strd r1, r2, [sp, #28]\n",
            "ldr r2, [r0, #20]\n",
            "ldr r3, [r0, #4]\n",
            "strd r2, r3, [sp, #36]\n",
            "ldr r2, [r0, #8]\n",
            "add r2, r3, r2, lsl #2\n",
            "str r2, [sp, #4]\n",
            "ldr r2, [r0]\n",
            "ldr r3, [r0, #16]\n",
            "lsls r3, r3, #1\n",
            "strd r2, r3, [sp, #8]\n",
            "ldr r2, [r0, #28]\n",
            "lsls r3, r3, #1\n",
            "strd r2, r3, [sp, #44]\n",
            "ldr r2, [r0, #32]\n",
            "lsls r2, r2, #5\n",
            "str r2, [sp, #52]\n",
        )
    };
}

// The passes of a run of n words: ceil(n / PASS), the first of which begins within the code, so many bytes a word in.
macro_rules! passes {
    ($bytes:literal) => {
        concat!(
            "ldr r2, [r0, #12]\n",
            "subs r3, r2, #1\n",
            "lsrs r3, r3, {shift}\n",
            "strd r3, r3, [sp, #16]\n",
            "rsbs r2, r2, #0\n",
            "and r2, r2, #{pass} - 1\n",
            "adr r3, 3f\n",
            "movs r4, #",
            $bytes,
            "\n",
            "mla r3, r2, r4, r3\n",
            "orr r3, r3, #1\n",
            "str r3, [sp, #24]\n",
        )
    };
}

macro_rules! clear {
    () => {
        concat!(
            "movs r4, #0\n",
            "movs r5, #0\n",
            "movs r6, #0\n",
            "movs r7, #0\n",
            "mov r8, r4\n",
            "mov r9, r4\n",
            "mov r10, r4\n",
            "mov r11, r4\n",
            "ldrd lr, r0, [sp, #36]\n",
        )
    };
}

// After a pass: the next pass, or the next run at label 2, or out of both loops.
macro_rules! next_pass {
    () => {
        concat!(
            "ldr r0, [sp, #20]\n",
            "subs r0, r0, #1\n",
            "str r0, [sp, #20]\n",
            "bpl 3b\n",
            "ldr r1, [sp, #16]\n",
            "str r1, [sp, #20]\n",
        )
    };
}

macro_rules! next_run {
    () => {
        concat!("ldrd r0, r1, [sp]\n", "cmp r0, r1\n", "bne 2b\n",)
    };
}

/// Strips of pixels and four channels, two pixels at a time: 16 multiply-accumulates in 15 cycles where `PIXEL`, the
/// distance between pixels in bytes, is known, in 16 where it is 0. `WORDS` is the length of a run, `RUNS` their number,
/// or 0 for any. With weights of `INTERLEAVED` format it is 18 and 20 cycles.
///
/// # Safety
/// As [`MicroKernel::strip`], with sums that fit 24 bits if they are `PAIRS`; the parameters are the strip's, or 0 from some
/// parameter on.
#[unsafe(naked)]
unsafe extern "C" fn two_by_four<const PIXEL: usize, const WORDS: usize, const RUNS: usize, const FORMAT: usize>(
    job: &Strip<Int8>,
    accumulators: *mut i32,
) {
    naked_asm!(
        prologue!(),
        ".if {words} == 0",
        ".if {format} == 1 && {pixel} == 0",
        passes!("72"),
        ".elseif {format} == 1",
        passes!("64"),
        ".elseif {pixel} == 0",
        passes!("56"),
        ".else",
        passes!("52"),
        ".endif",
        ".endif",
        "1:",
        clear!(),
        ".set bareconv_run, 0",
        ".rept {unrolled_runs}",
        "2:",
        ".if {runs} == 0",
        "ldr r1, [r0], #4",
        "str r0, [sp]",
        ".else",
        ".if bareconv_run > 0",
        "ldr r0, [sp, #40]",
        ".endif",
        "ldr r1, [r0, #bareconv_run]",
        ".set bareconv_run, bareconv_run + 4",
        ".endif",
        ".if {pixel} == 0",
        "ldrd r2, r12, [sp, #8]",
        ".else",
        "ldr r2, [sp, #8]",
        ".endif",
        ".if {words} == 0",
        "ldr r0, [sp, #24]",
        ".endif",
        "add r3, r2, r1, lsl #1",
        ".if {pixel} == 0",
        "add r12, r3, r12",
        ".endif",
        ".if {words} == 0",
        "bx r0",
        ".balign 4",
        ".endif",
        "3:",
        ".if {format} == 1 && {pixel} == 0",
        ".rept {unrolled}",
        "ldr.w r0, [r3], #4",
        "ldr.w r1, [r12], #4",
        "ldr.w r2, [lr]",
        "sxtb16 r2, r2",
        "smlad r4, r0, r2, r4",
        "smlad r8, r1, r2, r8",
        "ldr.w r2, [lr], #4",
        "sxtb16 r2, r2, ror #8",
        "smlad r5, r0, r2, r5",
        "smlad r9, r1, r2, r9",
        "ldr.w r2, [lr]",
        "sxtb16 r2, r2",
        "smlad r6, r0, r2, r6",
        "smlad r10, r1, r2, r10",
        "ldr.w r2, [lr], #4",
        "sxtb16 r2, r2, ror #8",
        "smlad r7, r0, r2, r7",
        "smlad r11, r1, r2, r11",
        ".endr",
        ".elseif {format} == 1",
        ".rept {unrolled}",
        "ldr.w r1, [r3, #{pixel}]",
        "ldr.w r0, [r3], #4",
        "ldr.w r2, [lr], #4",
        "sxtb16 r12, r2",
        "smlad r4, r0, r12, r4",
        "smlad r8, r1, r12, r8",
        "sxtb16 r12, r2, ror #8",
        "smlad r5, r0, r12, r5",
        "smlad r9, r1, r12, r9",
        "ldr.w r2, [lr], #4",
        "sxtb16 r12, r2",
        "smlad r6, r0, r12, r6",
        "smlad r10, r1, r12, r10",
        "sxtb16 r12, r2, ror #8",
        "smlad r7, r0, r12, r7",
        "smlad r11, r1, r12, r11",
        ".endr",
        ".elseif {pixel} == 0",
        ".rept {unrolled}",
        "ldr.w r0, [r3], #4",
        "ldr.w r1, [r12], #4",
        "ldr.w r2, [lr], #4",
        "smlad r5, r0, r2, r5",
        "smlad r9, r1, r2, r9",
        "sxtb16 r2, r2",
        "smlad r4, r0, r2, r4",
        "smlad r8, r1, r2, r8",
        "ldr.w r2, [lr], #4",
        "smlad r7, r0, r2, r7",
        "smlad r11, r1, r2, r11",
        "sxtb16 r2, r2",
        "smlad r6, r0, r2, r6",
        "smlad r10, r1, r2, r10",
        ".endr",
        ".else",
        ".rept {unrolled}",
        "ldr.w r1, [r3, #{pixel}]",
        "ldr.w r0, [r3], #4",
        "ldrd r2, r12, [lr], #8",
        "smlad r5, r0, r2, r5",
        "smlad r9, r1, r2, r9",
        "sxtb16 r2, r2",
        "smlad r7, r0, r12, r7",
        "smlad r11, r1, r12, r11",
        "sxtb16 r12, r12",
        "smlad r4, r0, r2, r4",
        "smlad r8, r1, r2, r8",
        "smlad r6, r0, r12, r6",
        "smlad r10, r1, r12, r10",
        ".endr",
        ".endif",
        ".if {words} == 0",
        next_pass!(),
        ".endif",
        ".if {runs} == 0",
        next_run!(),
        ".endif",
        ".endr",
        "ldrd lr, r12, [sp, #28]",
        "ldm r12, {{r0-r3}}",
        ".if {format} == 1",
        "add r4, r4, r0",
        "add r5, r5, r1",
        "add r6, r6, r2",
        "add r7, r7, r3",
        "add r8, r8, r0",
        "add r9, r9, r1",
        "add r10, r10, r2",
        "add r11, r11, r3",
        ".else",
        // odd = bias + (raw - low) / 256, even = bias + low
        "subs r5, r5, r4",
        "subs r7, r7, r6",
        "sub r9, r9, r8",
        "sub r11, r11, r10",
        "add r4, r4, r0",
        "add r5, r1, r5, asr #8",
        "add r6, r6, r2",
        "add r7, r3, r7, asr #8",
        "add r8, r8, r0",
        "add r9, r1, r9, asr #8",
        "add r10, r10, r2",
        "add r11, r3, r11, asr #8",
        ".endif",
        "stm lr, {{r4-r11}}",
        "ldrd r0, r1, [sp, #44]",
        "ldr r2, [sp, #52]",
        "add lr, lr, r2",
        "str lr, [sp, #28]",
        "ldr r2, [sp, #8]",
        "add r2, r2, r1",
        "str r2, [sp, #8]",
        "subs r0, r0, #2",
        "str r0, [sp, #44]",
        "bgt 1b",
        "add sp, #60",
        "pop {{r4-r11, pc}}",
        format = const FORMAT,
        pixel = const PIXEL,
        words = const WORDS,
        unrolled = const if WORDS == 0 { PASS } else { WORDS },
        runs = const RUNS,
        unrolled_runs = const if RUNS == 0 { 1 } else { RUNS },
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}

/// One pixel, eight channels: 16 multiply-accumulates in 19 cycles, or 23 if the weights are `INTERLEAVED`.
///
/// # Safety
/// As [`MicroKernel::strip`], with sums that fit 24 bits if they are `PAIRS`.
#[unsafe(naked)]
unsafe extern "C" fn one_by_eight<const FORMAT: usize>(job: &Strip<Int8>, accumulators: *mut i32) {
    naked_asm!(
        prologue!(),
        ".if {format} == 1",
        passes!("76"),
        ".else",
        passes!("60"),
        ".endif",
        clear!(),
        "2:",
        "ldr r1, [r0], #4",
        "str r0, [sp]",
        "ldr r2, [sp, #8]",
        "ldr r0, [sp, #24]",
        "add r3, r2, r1, lsl #1",
        "bx r0",
        ".balign 4",
        "3:",
        ".if {format} == 1",
        ".rept {pass}",
        "ldr.w r0, [r3], #4",
        "ldrd r1, r2, [lr], #8",
        "sxtb16 r12, r1",
        "smlad r4, r0, r12, r4",
        "sxtb16 r1, r1, ror #8",
        "smlad r5, r0, r1, r5",
        "sxtb16 r12, r2",
        "smlad r6, r0, r12, r6",
        "sxtb16 r2, r2, ror #8",
        "smlad r7, r0, r2, r7",
        "ldrd r1, r2, [lr], #8",
        "sxtb16 r12, r1",
        "smlad r8, r0, r12, r8",
        "sxtb16 r1, r1, ror #8",
        "smlad r9, r0, r1, r9",
        "sxtb16 r12, r2",
        "smlad r10, r0, r12, r10",
        "sxtb16 r2, r2, ror #8",
        "smlad r11, r0, r2, r11",
        ".endr",
        ".else",
        ".rept {pass}",
        "ldr.w r0, [r3], #4",
        "ldrd r1, r2, [lr], #8",
        "smlad r5, r0, r1, r5",
        "sxtb16 r1, r1",
        "smlad r7, r0, r2, r7",
        "sxtb16 r2, r2",
        "smlad r4, r0, r1, r4",
        "smlad r6, r0, r2, r6",
        "ldrd r1, r2, [lr], #8",
        "smlad r9, r0, r1, r9",
        "sxtb16 r1, r1",
        "smlad r11, r0, r2, r11",
        "sxtb16 r2, r2",
        "smlad r8, r0, r1, r8",
        "smlad r10, r0, r2, r10",
        ".endr",
        ".endif",
        next_pass!(),
        next_run!(),
        "ldrd lr, r12, [sp, #28]",
        "ldm r12!, {{r0-r3}}",
        ".if {format} == 1",
        "add r4, r4, r0",
        "add r5, r5, r1",
        "add r6, r6, r2",
        "add r7, r7, r3",
        "ldm r12, {{r0-r3}}",
        "add r8, r8, r0",
        "add r9, r9, r1",
        "add r10, r10, r2",
        "add r11, r11, r3",
        ".else",
        "subs r5, r5, r4",
        "subs r7, r7, r6",
        "sub r9, r9, r8",
        "sub r11, r11, r10",
        "add r4, r4, r0",
        "add r5, r1, r5, asr #8",
        "add r6, r6, r2",
        "add r7, r3, r7, asr #8",
        "ldm r12, {{r0-r3}}",
        "add r8, r8, r0",
        "add r9, r1, r9, asr #8",
        "add r10, r10, r2",
        "add r11, r3, r11, asr #8",
        ".endif",
        "stm lr, {{r4-r11}}",
        "add sp, #60",
        "pop {{r4-r11, pc}}",
        format = const FORMAT,
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}
