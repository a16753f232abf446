//! int8 depthwise convolution with SMLAD: planes of 16-bit activations, pairs of taps in a word.
//!
//! Three by three filters of stride 1 and 2 have routines of their own. They go along a row a word of activations, two
//! pixels, at a time: three loads, one of each row under the filter, whose words end the sums of two output pixels (of
//! one with stride 2) and begin those of the next. The six words of weights stay in registers; see
//! [`folds`] for what they hold. Counts of cycles are those of the Cortex-M4 (Arm DDI 0439) without wait states.

use super::conv::cpu;
use crate::kernels::depthwise::{Band, DepthwiseKernel, Layout, Order, folds};
use crate::kernels::{Routine, sealed::Sealed};
use crate::shape::DepthwiseConv2dShape;
use core::arch::{asm, naked_asm};

/// int8 with SMLAD.
pub struct Int8;

impl Sealed for Int8 {}

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: 1, planes: 4, group: 2, order: Order::Rows, scratch: 1024 };

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_row(mut from: *const i8, stride: usize, mut pixels: usize, mut to: *mut i16, plane: usize) {
        // SAFETY: the caller's promise: four bytes at each pixel, and room in four planes. LDR and STR take any address
        // on these cores. The last steps may leave the memory, so they wrap and are not followed.
        unsafe {
            if !to.addr().is_multiple_of(4) && pixels > 0 {
                let bytes = from.cast::<[i8; 4]>().read();
                for (c, value) in bytes.into_iter().enumerate() {
                    to.add(c * plane).write(value.into());
                }
                from = from.wrapping_add(stride);
                to = to.wrapping_add(1);
                pixels -= 1;
            }
            while pixels >= 2 {
                let first = from.cast::<u32>().read_unaligned();
                let second = from.add(stride).cast::<u32>().read_unaligned();
                let [zero, one, two, three]: [u32; 4];
                // SXTB16 takes channels 0 and 2, rotated 1 and 3; PKH puts a channel of both pixels together.
                asm!(
                    "sxtb16 {two}, {first}",
                    "sxtb16 {three}, {first}, ror #8",
                    "sxtb16 {first}, {second}",
                    "sxtb16 {second}, {second}, ror #8",
                    "pkhbt {zero}, {two}, {first}, lsl #16",
                    "pkhtb {two}, {first}, {two}, asr #16",
                    "pkhbt {one}, {three}, {second}, lsl #16",
                    "pkhtb {three}, {second}, {three}, asr #16",
                    first = inout(reg) first => _, second = inout(reg) second => _,
                    zero = out(reg) zero, one = out(reg) one, two = out(reg) two, three = out(reg) three,
                    options(pure, nomem, nostack, preserves_flags),
                );
                to.cast::<u32>().write_unaligned(zero);
                to.add(plane).cast::<u32>().write_unaligned(one);
                to.add(2 * plane).cast::<u32>().write_unaligned(two);
                to.add(3 * plane).cast::<u32>().write_unaligned(three);
                from = from.wrapping_add(2 * stride);
                to = to.wrapping_add(2);
                pixels -= 2;
            }
            if pixels > 0 {
                let bytes = from.cast::<[i8; 4]>().read();
                for (c, value) in bytes.into_iter().enumerate() {
                    to.add(c * plane).write(value.into());
                }
            }
        }
    }

    fn routine(shape: &DepthwiseConv2dShape) -> Option<Routine> {
        Some(routine(shape))
    }

    #[inline(always)]
    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise; this backend has a routine for every shape.
        unsafe {
            let routine = band.routine.unwrap_unchecked();
            routine(core::ptr::from_ref(band).cast(), accumulators.cast());
        }
    }
}

/// A routine before its parameters are cast away.
type Kernel = unsafe extern "C" fn(&Band<Int8>, *mut i32);

/// The routine for a shape.
pub(crate) const fn routine(shape: &DepthwiseConv2dShape) -> Routine {
    let kernel: Kernel = match shape.stride[1] {
        _ if !folds(shape) => any,
        1 => three_by_three,
        _ => three_by_three_apart,
    };
    // SAFETY: both are pointers to functions that take two pointers.
    unsafe { core::mem::transmute::<Kernel, Routine>(kernel) }
}

/// `sum` and two products of the halves of `a` and `b`; it wraps.
#[inline(always)]
fn smlad(a: u32, b: u32, sum: i32) -> i32 {
    let result: i32;
    // SAFETY: register arithmetic alone; SMLAD sets Q, which is not claimed to be preserved.
    unsafe {
        asm!(
            "smlad {result}, {a}, {b}, {sum}",
            a = in(reg) a, b = in(reg) b, sum = in(reg) sum, result = lateout(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}

/// Any filter, four pixels at a time.
///
/// # Safety
/// As [`DepthwiseKernel::sums`].
unsafe extern "C" fn any(band: &Band<Int8>, mut accumulators: *mut i32) {
    for row in 0..band.rows {
        // SAFETY: the caller's promise, for the pixels of this row; the last step wraps and is not followed.
        unsafe {
            let mut pixel = band.activations.add(row * band.row_step);
            let mut left = band.columns;
            while left >= 4 {
                pixels::<4>(band, pixel, accumulators);
                pixel = pixel.wrapping_add(4 * band.pixel_step);
                accumulators = accumulators.add(4);
                left -= 4;
            }
            while left > 0 {
                pixels::<1>(band, pixel, accumulators);
                pixel = pixel.wrapping_add(band.pixel_step);
                accumulators = accumulators.add(1);
                left -= 1;
            }
        }
    }
}

/// # Safety
/// As [`DepthwiseKernel::sums`], for `N` pixels of a row.
#[inline(always)]
unsafe fn pixels<const N: usize>(band: &Band<Int8>, pixel: *const i16, accumulators: *mut i32) {
    // SAFETY: the caller's promise; LDR takes any address on these cores. The last step of the weights and of the taps
    // wraps and is not followed.
    unsafe {
        let mut sums = [*band.bias; N];
        let (mut weights, mut taps) = (band.weights.cast::<u32>(), band.taps);
        for _ in 0..band.groups {
            let (pair, tap) = (*weights, pixel.add(*taps as usize));
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = smlad(tap.add(p * band.pixel_step).cast::<u32>().read_unaligned(), pair, *sum);
            }
            weights = weights.wrapping_add(1);
            taps = taps.wrapping_add(2);
        }
        accumulators.cast::<[i32; N]>().write(sums);
    }
}

/// Words in a pass of the loop along a row.
const PASS: usize = 4;

// The frame of both routines, in bytes from the stack pointer:
//   0 and 4 the bias   8 where the first pass begins   12 passes of a row, less one   16 rows left
//   20 passes left   24 bytes to the next row   28 next row   32 words of sums in a row, in bytes   36 next sums
//
// r0 is the band, r1 the sums. Registers within: r0-r2 activations, r3 their address, r4-r9 weights, r10 and r11 sums,
// r12 bytes between filter rows, lr the next sums. Falls into the loop over rows at label 1. A row has so many steps
// after the first words; of the passes the first begins within the code, so many bytes a step in.
macro_rules! prologue {
    ($steps:literal, $bytes:literal) => {
        concat!(
            cpu!(),
            "push {{r4-r11, lr}}\n",
            "sub sp, #44\n",
            "ldr r2, [r0, #8]\n",
            "ldr r2, [r2]\n",
            "strd r2, r2, [sp]\n",
            // Sums of a row, and steps between its first and its last words.
            "ldr r2, [r0, #20]\n",
            "lsls r3, r2, #2\n",
            "strd r3, r1, [sp, #32]\n",
            $steps,
            "subs r3, r2, #1\n",
            "asrs r3, r3, {shift}\n",
            "str r3, [sp, #12]\n",
            "rsbs r2, r2, #0\n",
            "and r2, r2, #{pass} - 1\n",
            "adr r3, 3f\n",
            "movs r4, #",
            $bytes,
            "\n",
            "mla r3, r2, r4, r3\n",
            "orr r3, r3, #1\n",
            "str r3, [sp, #8]\n",
            "ldr r2, [r0, #28]\n",
            "str r2, [sp, #16]\n",
            "ldr r2, [r0, #32]\n",
            "ldr r3, [r0]\n",
            "lsls r2, r2, #1\n",
            "strd r2, r3, [sp, #24]\n",
            "ldr r12, [r0, #36]\n",
            "ldr r2, [r0, #4]\n",
            "lsl r12, r12, #1\n",
            "ldm r2, {{r4-r9}}\n",
        )
    };
}

// The next words of the three rows.
macro_rules! load {
    () => {
        "ldr.w r2, [r3, r12, lsl #1]\nldr.w r1, [r3, r12]\nldr.w r0, [r3], #4\n"
    };
}

// A row's first words are loaded; the passes follow, if any.
macro_rules! row {
    () => {
        concat!("ldr r3, [sp, #28]\n", "ldr lr, [sp, #36]\n", load!(),)
    };
}

// Into the passes, or past them.
macro_rules! enter {
    () => {
        concat!(
            "ldr r0, [sp, #12]\n",
            "cmp r0, #0\n",
            "blt 4f\n",
            "str r0, [sp, #20]\n",
            "ldr r0, [sp, #8]\n",
            "bx r0\n",
            ".balign 4\n",
        )
    };
}

macro_rules! next_pass {
    () => {
        concat!("ldr r0, [sp, #20]\n", "subs r0, r0, #1\n", "str r0, [sp, #20]\n", "bpl 3b\n",)
    };
}

// To the next row of activations and sums.
macro_rules! next_row {
    () => {
        concat!(
            "ldrd r0, r1, [sp, #24]\n",
            "add r1, r1, r0\n",
            "str r1, [sp, #28]\n",
            "ldrd r0, r1, [sp, #32]\n",
            "add r1, r1, r0\n",
            "str r1, [sp, #36]\n",
            "ldr r0, [sp, #16]\n",
            "subs r0, r0, #1\n",
            "str r0, [sp, #16]\n",
            "bne 1b\n",
            "add sp, #44\n",
            "pop {{r4-r11, pc}}\n",
        )
    };
}

// The first two taps of r10 and the first of r11 are in the words.
macro_rules! begin_two {
    () => {
        concat!(
            "ldrd r10, r11, [sp]\n",
            "smlad r10, r0, r4, r10\n",
            "smlatb r11, r0, r4, r11\n",
            "smlad r10, r1, r6, r10\n",
            "smlatb r11, r1, r6, r11\n",
            "smlad r10, r2, r8, r10\n",
            "smlatb r11, r2, r8, r11\n",
        )
    };
}

// The last tap of r10 and the last two of r11 are in the words.
macro_rules! end_two {
    () => {
        concat!(
            "smlabb r10, r0, r5, r10\n",
            "smladx r11, r0, r5, r11\n",
            "smlabb r10, r1, r7, r10\n",
            "smladx r11, r1, r7, r11\n",
            "smlabb r10, r2, r9, r10\n",
            "smladx r11, r2, r9, r11\n",
            "str.w r10, [lr], #4\n",
            "str.w r11, [lr], #4\n",
        )
    };
}

/// Three by three, stride 1: 18 multiply-accumulates, two pixels, in 21 cycles.
///
/// The last of an odd number of pixels is computed with a neighbour, whose sum the next row overwrites; hence the room
/// for one more. The words read are those of `columns + 2` activations, rounded up to even, which a row has.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for filters that [`folds`] speaks of with a horizontal stride of 1.
#[unsafe(naked)]
unsafe extern "C" fn three_by_three(band: &Band<Int8>, accumulators: *mut i32) {
    naked_asm!(
        // Pairs of pixels but the last.
        prologue!("subs r2, r2, #1\nlsrs r2, r2, #1\n", "72"),
        "1:",
        row!(),
        begin_two!(),
        enter!(),
        "3:",
        ".rept {pass}",
        load!(),
        end_two!(),
        begin_two!(),
        ".endr",
        next_pass!(),
        "4:",
        load!(),
        end_two!(),
        next_row!(),
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}

macro_rules! begin_one {
    () => {
        concat!("smlad r10, r0, r4, r11\n", "smlad r10, r1, r6, r10\n", "smlad r10, r2, r8, r10\n",)
    };
}

macro_rules! end_one {
    () => {
        concat!(
            "smlabb r10, r0, r5, r10\n",
            "smlabb r10, r1, r7, r10\n",
            "smlabb r10, r2, r9, r10\n",
            "str.w r10, [lr], #4\n",
        )
    };
}

/// Three by three, stride 2: 9 multiply-accumulates, a pixel, in 11 cycles.
///
/// The words read are those of `2 * columns + 1` activations, rounded up to even, which a row has.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for filters that [`folds`] speaks of with a horizontal stride of 2.
#[unsafe(naked)]
unsafe extern "C" fn three_by_three_apart(band: &Band<Int8>, accumulators: *mut i32) {
    naked_asm!(
        // Pixels but the last.
        prologue!("subs r2, r2, #1\n", "40"),
        "ldr r11, [sp]",
        "1:",
        row!(),
        begin_one!(),
        enter!(),
        "3:",
        ".rept {pass}",
        load!(),
        end_one!(),
        begin_one!(),
        ".endr",
        next_pass!(),
        "4:",
        load!(),
        end_one!(),
        next_row!(),
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}
