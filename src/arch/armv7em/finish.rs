//! Requantization of sums to int8, channel by channel, for outputs of which every int8 value is one: the clamp is SSAT.
//!
//! A channel's multiplier and shift stay in registers for all pixels of a strip. Of two roundings the first is the high word
//! of twice the product, rounded by the bit below: SMMULR where sums are below 2^30, which `shift` tells. The second rounds
//! by the last bit that is shifted out, the carry, halves upwards; where a value is negative one less is divided, and halves
//! go downwards. Nothing overflows: the high word is not less than `-i32::MAX`, as the sum is not (packing checks it) and
//! the multiplier is below 2^31. Counts of cycles are those of the Cortex-M4 (Arm DDI 0439) without wait states.

use super::conv::cpu;
use crate::kernels::Requantization;
use crate::kernels::finish::Sums;
use crate::quant::{CommonRequantization, RoundingMode};
use core::arch::naked_asm;

/// [`SingleRounding`](crate::SingleRounding).
const SINGLE: usize = 1;
/// [`DoubleRounding`](crate::DoubleRounding).
const DOUBLE: usize = 2;
/// The same for any sums.
const DOUBLE_WIDE: usize = 3;

/// What finishes strips without pooling and phases, of one pixel each where the layer is dense; `None` where the numbers
/// want another way.
pub(crate) const fn requantization(
    common: &CommonRequantization,
    mode: RoundingMode,
    dense: bool,
) -> Option<Requantization> {
    if common.low != -128 || common.high != 127 {
        return None;
    }
    match (mode, dense) {
        // The low word of the offset is 0, so nothing carries.
        (RoundingMode::Single, true) if common.shift > 32 => Some(finish_pixel::<SINGLE>),
        (RoundingMode::Single, false) if common.shift > 32 => Some(finish_channels::<SINGLE>),
        (RoundingMode::Double, true) if common.shift == 2 => Some(finish_pixel::<DOUBLE>),
        (RoundingMode::Double, false) if common.shift == 2 => Some(finish_channels::<DOUBLE>),
        (RoundingMode::Double, true) if common.shift == 1 => Some(finish_pixel::<DOUBLE_WIDE>),
        (RoundingMode::Double, false) if common.shift == 1 => Some(finish_channels::<DOUBLE_WIDE>),
        _ => None,
    }
}

/// What a rounding adds, and the shift that all channels share.
#[inline(always)]
fn terms<const MODE: usize>(common: &CommonRequantization) -> (i32, u32) {
    if MODE == SINGLE { ((common.offset >> 32) as i32, common.shift.wrapping_sub(32)) } else { (common.zero_point, 0) }
}

/// # Safety
/// As `Finish` of [`kernels::finish`](crate::kernels::finish), with neither pooling nor phases; `MODE` and `common` are what [`requantization`] speaks of.
unsafe fn finish_channels<const MODE: usize>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut i8) {
    let (term, shift) = terms::<MODE>(common);
    // SAFETY: the caller's promise.
    unsafe { channels::<MODE>(strip, output, term, shift) }
}

/// # Safety
/// As [`finish_channels`], for a strip of one pixel.
unsafe fn finish_pixel<const MODE: usize>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut i8) {
    let (term, shift) = terms::<MODE>(common);
    // SAFETY: the caller's promise.
    unsafe { pixel::<MODE>(strip, output, term, shift) }
}

// Fields of `Sums`: 0 sums, 4 parameters, 12 channels, 28 columns, 32 present, 36 stride.

// The sum in a register becomes an output there: r5 multiplier, r6 shift, r7 zero point or offset. `DOUBLE_WIDE` needs lr.
macro_rules! scale {
    ($v:literal) => {
        concat!(
            ".if {mode} == 1\n",
            concat!("smmla ", $v, ", ", $v, ", r5, r7\n"),
            concat!("asrs ", $v, ", ", $v, ", r6\n"),
            ".else\n",
            ".if {mode} == 2\n",
            concat!("lsls ", $v, ", ", $v, ", #1\n"),
            concat!("smmulr ", $v, ", ", $v, ", r5\n"),
            ".else\n",
            concat!("smull lr, ", $v, ", ", $v, ", r5\n"),
            "adds lr, lr, lr\n",
            concat!("adc ", $v, ", ", $v, ", ", $v, "\n"),
            concat!("add ", $v, ", ", $v, ", lr, lsr #31\n"),
            ".endif\n",
            concat!("add ", $v, ", ", $v, ", ", $v, ", asr #31\n"),
            concat!("asrs ", $v, ", ", $v, ", r6\n"),
            concat!("adc ", $v, ", ", $v, ", r7\n"),
            ".endif\n",
            concat!("ssat ", $v, ", #8, ", $v, "\n"),
        )
    };
}

// The parameters of a channel, of which r12 is the first and r3 the distance in bytes.
macro_rules! parameters {
    () => {
        concat!(
            "ldr r5, [r12]\n",
            ".if {mode} > 1\n",
            "ldr r6, [r12, r3]\n",
            "rsbs r6, r6, #0\n",
            ".endif\n",
            "adds r12, #4\n",
        )
    };
}

/// Channel after channel, four pixels at a time: an output in 10 cycles, 7 with `SINGLE` and 12.5 with
/// `DOUBLE_WIDE` rounding.
///
/// # Safety
/// As [`finish_channels`].
#[unsafe(naked)]
unsafe extern "C" fn channels<const MODE: usize>(strip: &Sums<i32>, output: *mut i8, term: i32, shift: u32) {
    // r0 next sum, r1 next output, r2 columns left, r3 bytes from a sum of a channel to its next, lr three times as many,
    // r4 bytes between outputs; the stack has the channel's output, the columns, the channels left, and the channel's sum.
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "mov r7, r2",
        "mov r6, r3",
        "ldrd r11, r12, [r0]",
        "ldr r3, [r0, #12]",
        "ldrd r9, r10, [r0, #28]",
        "ldr r4, [r0, #36]",
        "mov r8, r1",
        "lsls r3, r3, #2",
        "push {{r8-r11}}",
        "add lr, r3, r3, lsl #1",
        "1:",
        parameters!(),
        "ldrd r1, r2, [sp]",
        "ldr r0, [sp, #12]",
        "add r8, r1, #1",
        "add r9, r0, #4",
        "str r8, [sp]",
        "str r9, [sp, #12]",
        "subs r2, r2, #4",
        "blo 3f",
        "2:",
        "ldr r8, [r0]",
        "ldr r9, [r0, r3]",
        ".if {mode} == 3",
        "add r0, r0, r3, lsl #1",
        "ldr r10, [r0]",
        "ldr r11, [r0, r3]",
        "add r0, r0, r3, lsl #1",
        ".else",
        "ldr r10, [r0, r3, lsl #1]",
        "ldr r11, [r0, lr]",
        "add r0, r0, r3, lsl #2",
        ".endif",
        scale!("r8"),
        scale!("r9"),
        scale!("r10"),
        scale!("r11"),
        "strb r8, [r1]",
        "strb r9, [r1, r4]",
        "add r1, r1, r4, lsl #1",
        "strb r10, [r1]",
        "strb r11, [r1, r4]",
        "add r1, r1, r4, lsl #1",
        "subs r2, r2, #4",
        "bhs 2b",
        "3:",
        "adds r2, r2, #4",
        "beq 5f",
        "4:",
        "ldr r8, [r0]",
        "add r0, r3",
        scale!("r8"),
        "strb r8, [r1]",
        "add r1, r4",
        "subs r2, r2, #1",
        "bne 4b",
        "5:",
        "ldr r8, [sp, #8]",
        "subs r8, r8, #1",
        "str r8, [sp, #8]",
        "bne 1b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
        mode = const MODE,
    )
}

/// The channels of one pixel: an output in 17 cycles, 12 with `SINGLE` and 19 with `DOUBLE_WIDE` rounding.
///
/// # Safety
/// As [`finish_pixel`].
#[unsafe(naked)]
unsafe extern "C" fn pixel<const MODE: usize>(strip: &Sums<i32>, output: *mut i8, term: i32, shift: u32) {
    naked_asm!(
        cpu!(),
        "push {{r4-r7, lr}}",
        "mov r7, r2",
        "mov r6, r3",
        "ldrd r2, r12, [r0]",
        "ldr r3, [r0, #12]",
        "lsls r3, r3, #2",
        "ldr r4, [r0, #32]",
        "1:",
        parameters!(),
        "ldr r0, [r2], #4",
        scale!("r0"),
        "strb r0, [r1], #1",
        "subs r4, r4, #1",
        "bne 1b",
        "pop {{r4-r7, pc}}",
        mode = const MODE,
    )
}
