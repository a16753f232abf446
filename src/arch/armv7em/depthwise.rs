//! int8 depthwise convolution with SMLAD: planes of 16-bit activations, pairs of taps in a word.
//!
//! Three by three filters of stride 1 and 2 have routines of their own. They go along a row a word of activations, two
//! pixels, at a time: three loads, one of each row under the filter, whose words end the sums of two output pixels (of
//! one with stride 2) and begin those of the next. The six words of weights stay in registers; see
//! [`folds`] for what they hold. Counts of cycles are those of the Cortex-M4 (Arm DDI 0439) without wait states.

use super::conv::cpu;
use crate::kernels::depthwise::{Band, DepthwiseKernel, Layout, Load, Order, finish_by_channel, folds};
use crate::kernels::finish::{IntegerEpilogue, Sums};
use crate::kernels::{Routine, sealed::Sealed};
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
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

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise: four bytes at each pixel, and room in four planes.
        unsafe { load_rows(load) }
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

    #[inline(always)]
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        const { assert!(size_of::<E::Output>() == 1) };
        let out = output.cast();
        // SAFETY: the caller's promise; a plane is of one channel, whose parameters are there.
        unsafe {
            let multiplier = *strip.parameters as i32;
            let (low, high) = (common.low, common.high);
            match E::Rounding::MODE {
                // Then the low word of the offset is zero, and the product's does not matter.
                RoundingMode::Single if common.shift > 32 => {
                    let (offset, shift) = ((common.offset >> 32) as i32, (common.shift - 32) & 31);
                    // No overflow: the high word is below 2^30 in magnitude, and shifts end at 22.
                    let offset = offset.wrapping_sub(low << shift);
                    each(strip, out, |sum| clamp(smmla(sum, multiplier, offset) >> shift, high - low, high));
                }
                RoundingMode::Double if (*strip.parameters.add(1) as i32) < 0 => {
                    let (shift, above) = ((*strip.parameters.add(1)).wrapping_neg(), common.zero_point - low);
                    each(strip, out, |sum| clamp(round_twice(sum, multiplier, shift, above), high - low, high));
                }
                _ => finish_by_channel::<E>(strip, common, output),
            }
        }
    }
}

/// `low + min(max(above, 0), high - low)`, where `above` is a value less `low`; both bounds are of int8.
#[inline(always)]
fn clamp(above: i32, span: i32, high: i32) -> i32 {
    let result: i32;
    // SAFETY: register arithmetic alone; USAT sets Q, which is not claimed to be preserved.
    unsafe {
        asm!(
            "usat {result}, #8, {above}",
            "subs {result}, {span}, {result}",
            "usat {result}, #8, {result}",
            "subs {result}, {high}, {result}",
            above = in(reg) above, span = in(reg) span, high = in(reg) high, result = out(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}

/// Writes the requantization of each sum of a channel.
///
/// # Safety
/// As [`DepthwiseKernel::requantize`].
#[inline(always)]
unsafe fn each(strip: &Sums<i32>, mut out: *mut i8, scale: impl Fn(i32) -> i32) {
    let (mut sums, mut left, stride) = (strip.sums, strip.columns, strip.stride);
    // SAFETY: the caller's promise; the last steps may leave the memory, so they wrap and are not followed.
    unsafe {
        while left >= 4 {
            for sum in sums.cast::<[i32; 4]>().read() {
                out.write(scale(sum) as i8);
                out = out.wrapping_add(stride);
            }
            sums = sums.wrapping_add(4);
            left -= 4;
        }
        while left > 0 {
            out.write(scale(*sums) as i8);
            out = out.wrapping_add(stride);
            sums = sums.wrapping_add(1);
            left -= 1;
        }
    }
}

/// The high word of `a * b`, plus `c`; it wraps.
#[inline(always)]
fn smmla(a: i32, b: i32, c: i32) -> i32 {
    let result: i32;
    // SAFETY: register arithmetic alone.
    unsafe {
        asm!(
            "smmla {result}, {a}, {b}, {c}",
            a = in(reg) a, b = in(reg) b, c = in(reg) c, result = lateout(reg) result,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    result
}

/// [`DoubleRounding`](crate::DoubleRounding) with a shift to the right of 1..=31, and the zero point added.
///
/// The high product is bits 31 to 62 of the product, rounded by bit 30: the product is doubled, and the top bit of its
/// low word added to its high word. The quotient is rounded by the last bit that is shifted out, the carry, halves
/// upwards; where it is negative one less is divided, and halves go downwards. Nothing overflows: the high product is not
/// less than `-i32::MAX`, as the sum is not (packing checks it) and the multiplier is below 2^31.
#[inline(always)]
fn round_twice(sum: i32, multiplier: i32, shift: u32, zero_point: i32) -> i32 {
    let result: i32;
    // SAFETY: register arithmetic alone; the flags are not claimed to be preserved.
    unsafe {
        asm!(
            "smull {low}, {high}, {sum}, {multiplier}",
            "adds {low}, {low}, {low}",
            "adc {high}, {high}, {high}",
            "add {high}, {high}, {low}, lsr #31",
            "add {high}, {high}, {high}, asr #31",
            "asrs {high}, {high}, {shift}",
            "adc {high}, {high}, {zero_point}",
            sum = in(reg) sum, multiplier = in(reg) multiplier, shift = in(reg) shift, zero_point = in(reg) zero_point,
            low = out(reg) _, high = out(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}

// Fields of `Load`: 0 first pixel, 4 values from pixel to pixel, 8 from row to row, 12 pixels, 16 rows, 20 where they go,
// 24 activations from row to row there, 28 from plane to plane.

/// Widens rows of four channels into four planes: two pixels, eight values, in 19 cycles. LDR takes any address on these
/// cores, and so does STR; a row that begins with the second half of a word begins with a single pixel.
///
/// # Safety
/// As [`DepthwiseKernel::load_rows`].
#[unsafe(naked)]
unsafe extern "C" fn load_rows(load: &Load<Int8>) {
    // r1 next pixel, r2 bytes to the one after it, r4 pixels of a row, r5 rows left, r6 where it goes, r7 from the end of
    // a row there to the next, r8 from plane to plane, r9 from the first plane to the fourth; the stack has the bytes from
    // the end of a row to the next. SXTB16 takes channels 0 and 2, rotated 1 and 3; PKH puts a channel of both pixels
    // together.
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldm r0, {{r1-r6}}",
        "cmp r5, #0",
        "beq 5f",
        "mls r3, r4, r2, r3",
        "ldrd r7, r8, [r0, #24]",
        "subs r7, r7, r4",
        "lsls r7, r7, #1",
        "lsl r8, r8, #1",
        "add r9, r8, r8, lsl #1",
        "push {{r3}}",
        "1:",
        "mov r0, r4",
        "lsls r3, r6, #30",
        "beq 2f",
        "ldr r10, [r1]",
        "add r1, r2",
        "sxtb16 r11, r10, ror #8",
        "sxtb16 r10, r10",
        "strh r11, [r6, r8]",
        "lsrs r3, r10, #16",
        "strh r3, [r6, r8, lsl #1]",
        "lsrs r3, r11, #16",
        "strh r3, [r6, r9]",
        "strh r10, [r6], #2",
        "subs r0, r0, #1",
        "2:",
        "subs r0, r0, #2",
        "blo 4f",
        "3:",
        "ldr r10, [r1]",
        "ldr r11, [r1, r2]",
        "add r1, r1, r2, lsl #1",
        "sxtb16 r12, r10",
        "sxtb16 lr, r10, ror #8",
        "sxtb16 r10, r11",
        "sxtb16 r11, r11, ror #8",
        "pkhbt r3, r12, r10, lsl #16",
        "pkhtb r12, r10, r12, asr #16",
        "pkhbt r10, lr, r11, lsl #16",
        "pkhtb r11, r11, lr, asr #16",
        "str r10, [r6, r8]",
        "str r12, [r6, r8, lsl #1]",
        "str r11, [r6, r9]",
        "str r3, [r6], #4",
        "subs r0, r0, #2",
        "bhs 3b",
        "4:",
        "lsls r0, r0, #31",
        "beq 6f",
        "ldr r10, [r1]",
        "add r1, r2",
        "sxtb16 r11, r10, ror #8",
        "sxtb16 r10, r10",
        "strh r11, [r6, r8]",
        "lsrs r3, r10, #16",
        "strh r3, [r6, r8, lsl #1]",
        "lsrs r3, r11, #16",
        "strh r3, [r6, r9]",
        "strh r10, [r6], #2",
        "6:",
        "ldr r3, [sp]",
        "add r6, r7",
        "add r1, r3",
        "subs r5, r5, #1",
        "bne 1b",
        "add sp, #4",
        "5:",
        "pop {{r4-r11, pc}}",
    )
}

/// A routine before its parameters are cast away.
type Kernel = unsafe extern "C" fn(&Band<Int8>, *mut i32);

/// The routine for a shape.
pub(crate) const fn routine(shape: &DepthwiseConv2dShape) -> Routine {
    /// The routine for so many columns, as far as that is not much code, else for any.
    macro_rules! by_columns {
        ($routine:ident: $($columns:literal)*) => {
            match shape.output()[1] {
                _ if shape.dilation[0] > 1 || shape.stride[0] != shape.stride[1] => $routine::<0>,
                $($columns => $routine::<$columns>,)*
                _ => $routine::<0>,
            }
        };
    }
    let kernel: Kernel = match shape.stride[1] {
        _ if !folds(shape) => any,
        1 => by_columns!(three_by_three: 1 2 3 4 5 6 7 8 10 12),
        _ => by_columns!(three_by_three_apart: 1 2 3 4 5 6 7 8 10 12),
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

/// Steps in a pass of the loop along a row of any length.
const PASS: usize = 4;

// The frame of both routines, in bytes from the stack pointer:
//   0 and 4 the bias   8 where the first pass begins   12 passes of a row, less one   16 rows left
//   20 passes left   24 bytes from the end of a row's words to the next row   28 bytes of sums too many in a row
//
// r0 is the band, r1 the sums. Registers within: r0-r2 activations, r3 their address, r4-r9 weights, r10 and r11 sums,
// r12 bytes between filter rows or, where the number of columns gives them, the bias; lr the next sums. Falls into the
// loop over rows at label 1. A row has steps between its first words and its last; a step has so many bytes of code, and
// the first pass begins within it.
macro_rules! prologue {
    ($steps:literal, $bytes:literal) => {
        concat!(
            cpu!(),
            "push {{r4-r11, lr}}\n",
            "sub sp, #36\n",
            "mov lr, r1\n",
            "ldr r1, [r0, #28]\n",
            "ldr r2, [r0, #8]\n",
            "str r1, [sp, #16]\n",
            ".if {columns} == 0\n",
            "ldr r3, [r0, #32]\n",
            "lsls r3, r3, #1\n",
            "ldr r1, [r2]\n",
            "strd r1, r1, [sp]\n",
            "ldr r2, [r0, #20]\n",
            $steps,
            "adds r1, r2, #2\n",
            "sub r3, r3, r1, lsl #2\n",
            "str r3, [sp, #24]\n",
            "subs r3, r2, #1\n",
            "asrs r3, r3, {shift}\n",
            "str r3, [sp, #12]\n",
            "rsbs r3, r2, #0\n",
            "and r3, r3, #{pass} - 1\n",
            "movs r4, #",
            $bytes,
            "\n",
            "adr r1, 3f\n",
            "mla r3, r3, r4, r1\n",
            "orr r3, r3, #1\n",
            "str r3, [sp, #8]\n",
            "ldr r12, [r0, #36]\n",
            "lsl r12, r12, #1\n",
            ".else\n",
            "ldr r12, [r2]\n",
            ".endif\n",
            "ldr r3, [r0]\n",
            "ldr r2, [r0, #4]\n",
            "ldm r2, {{r4-r9}}\n",
        )
    };
}

// The next words of the three rows.
macro_rules! load {
    () => {
        concat!(
            ".if {columns} == 0\n",
            "ldr.w r2, [r3, r12, lsl #1]\n",
            "ldr.w r1, [r3, r12]\n",
            ".else\n",
            "ldr.w r2, [r3, #2 * {pitch}]\n",
            "ldr.w r1, [r3, #{pitch}]\n",
            ".endif\n",
            "ldr.w r0, [r3], #4\n",
        )
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

// From a pass to the next one.
macro_rules! next_pass {
    () => {
        concat!("ldr r0, [sp, #20]\n", "subs r0, r0, #1\n", "str r0, [sp, #20]\n", "bpl 3b\n")
    };
}

// To the next row of activations.
macro_rules! next_row {
    () => {
        concat!(
            "ldr r1, [sp, #16]\n",
            ".if {columns} == 0\n",
            "ldr r0, [sp, #24]\n",
            "add r3, r3, r0\n",
            // The words of a row end where the next row begins.
            ".elseif {stride} > 1\n",
            "add r3, r3, #({stride} - 1) * {pitch}\n",
            ".endif\n",
            "subs r1, r1, #1\n",
            "str r1, [sp, #16]\n",
            "bne 1b\n",
            "add sp, #36\n",
            "pop {{r4-r11, pc}}\n",
        )
    };
}

// The first two taps of r10 and the first of r11 are in the words.
macro_rules! begin_two {
    () => {
        concat!(
            ".if {columns} == 0\n",
            "ldrd r10, r11, [sp]\n",
            "smlad r10, r0, r4, r10\n",
            "smlatb r11, r0, r4, r11\n",
            ".else\n",
            "smlad r10, r0, r4, r12\n",
            "smlatb r11, r0, r4, r12\n",
            ".endif\n",
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

// r10 alone, which starts with the bias in a register.
macro_rules! begin_one {
    ($bias:literal) => {
        concat!("smlad r10, r0, r4, ", $bias, "\n", "smlad r10, r1, r6, r10\n", "smlad r10, r2, r8, r10\n")
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

/// Three by three, stride 1: 18 multiply-accumulates, two pixels, in 21 cycles; in 18 where a row has `COLUMNS` pixels, which are
/// 0 for any number.
///
/// The words read are those of `columns + 2` activations, rounded up to even, which a row has: the pitch.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for filters that [`folds`] speaks of with a horizontal stride of 1, and
/// unless `COLUMNS` is 0 the same stride downwards and no dilation.
#[unsafe(naked)]
unsafe extern "C" fn three_by_three<const COLUMNS: usize>(band: &Band<Int8>, accumulators: *mut i32) {
    naked_asm!(
        // Steps are pairs of pixels but the last, which may lack one.
        prologue!("subs r2, r2, #1\nlsrs r2, r2, #1\n", "72"),
        // The last of an odd number of pixels is computed with a neighbour that is not there. Its sum has room behind
        // the last row's; the next row overwrites that of any other.
        ".if {columns} == 0",
        "ldr r1, [r0, #20]",
        "and r1, r1, #1",
        "lsls r1, r1, #2",
        "str r1, [sp, #28]",
        ".endif",
        "1:",
        load!(),
        ".if {columns} == 1",
        begin_one!("r12"),
        ".else",
        begin_two!(),
        ".endif",
        ".if {columns} == 0",
        enter!(),
        "3:",
        ".endif",
        ".rept {steps}",
        load!(),
        end_two!(),
        begin_two!(),
        ".endr",
        ".if {columns} == 0",
        next_pass!(),
        "4:",
        ".endif",
        load!(),
        ".if {columns} == 1",
        end_one!(),
        ".else",
        end_two!(),
        ".if {columns} == 0",
        "ldr r1, [sp, #28]",
        "sub lr, lr, r1",
        ".endif",
        ".if {columns} & 1",
        begin_one!("r12"),
        load!(),
        end_one!(),
        ".endif",
        ".endif",
        next_row!(),
        columns = const COLUMNS,
        pitch = const 2 * (COLUMNS + 2).next_multiple_of(2),
        stride = const 1,
        steps = const if COLUMNS == 0 { PASS } else { (COLUMNS / 2).saturating_sub(1) },
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}

/// Three by three, stride 2: 9 multiply-accumulates, a pixel, in 11 cycles. A row has `COLUMNS`, or 0 for any number.
///
/// The words read are those of `2 * columns + 1` activations, rounded up to even, which a row has: the pitch.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for filters that [`folds`] speaks of with a horizontal stride of 2, and
/// unless `COLUMNS` is 0 the same stride downwards and no dilation.
#[unsafe(naked)]
unsafe extern "C" fn three_by_three_apart<const COLUMNS: usize>(band: &Band<Int8>, accumulators: *mut i32) {
    naked_asm!(
        // Steps are pixels but the last.
        prologue!("subs r2, r2, #1\n", "40"),
        ".if {columns} == 0",
        "ldr r11, [sp]",
        ".else",
        "mov r11, r12",
        ".endif",
        "1:",
        load!(),
        begin_one!("r11"),
        ".if {columns} == 0",
        enter!(),
        "3:",
        ".endif",
        ".rept {steps}",
        load!(),
        end_one!(),
        begin_one!("r11"),
        ".endr",
        ".if {columns} == 0",
        next_pass!(),
        "4:",
        ".endif",
        load!(),
        end_one!(),
        next_row!(),
        columns = const COLUMNS,
        pitch = const 2 * (2 * COLUMNS + 2),
        stride = const 2,
        steps = const if COLUMNS == 0 { PASS } else { COLUMNS - 1 },
        pass = const PASS,
        shift = const PASS.ilog2(),
    )
}
