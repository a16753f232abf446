//! Requantization of four channels at a time, along the columns of a strip.

use super::conv::{Int8, Int16};
use crate::kernels::finish::{IntegerEpilogue, Requantize, Sums, finish_any};
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
use core::arch::naked_asm;

/// Channels in a vector of 32-bit sums.
const LANES: usize = 4;

/// What the routine reads: the sums of up to four neighbouring channels of a strip, and where their outputs go.
#[repr(C)]
struct Columns {
    /// Output columns, at least 1.
    columns: usize,
    sums: *const i32,
    /// Bytes from one pixel to the next.
    step: usize,
    output: *mut u8,
    /// Bytes from one output column to the next.
    stride: usize,
    /// Channels that have outputs, at least 1; more than four are four.
    lanes: usize,
    multipliers: *const u32,
    /// [`DoubleRounding`](crate::DoubleRounding) only.
    exponents: *const u32,
    /// [`SingleRounding`](crate::SingleRounding): the high word of the offset. Otherwise the zero point.
    offset: i32,
    /// [`SingleRounding`](crate::SingleRounding): 32 less the shift.
    shift: i32,
    /// The lowest and highest output. [`DoubleRounding`](crate::DoubleRounding): the zero point subtracted.
    bounds: [i32; 2],
}

impl Requantize for Int8 {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise.
        unsafe { requantize::<E>(strip, common, output) }
    }
}

impl Requantize for Int16 {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise.
        unsafe { requantize::<E>(strip, common, output) }
    }
}

/// # Safety
/// As [`Requantize::requantize`].
unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
    type Kernel = unsafe extern "C" fn(&Columns);
    const { assert!(size_of::<E::Output>() == 1 || size_of::<E::Output>() == 2) };
    // Without pooling, and for windows of two by two.
    let (usable, [plain, pooled]): (bool, [Kernel; 2]) = match (E::Rounding::MODE, size_of::<E::Output>()) {
        // The low word of the offset is 0, so nothing carries.
        (RoundingMode::Single, 1) => (common.shift > 32, [columns::<SINGLE, 1, 1>, columns::<SINGLE, 2, 1>]),
        (RoundingMode::Single, _) => (common.shift > 32, [columns::<SINGLE, 1, 2>, columns::<SINGLE, 2, 2>]),
        (RoundingMode::Double, 1) => (true, [columns::<DOUBLE, 1, 1>, columns::<DOUBLE, 2, 1>]),
        (RoundingMode::Double, _) => (true, [columns::<DOUBLE, 1, 2>, columns::<DOUBLE, 2, 2>]),
        // Multipliers below a quarter.
        (RoundingMode::Reduced, 1) => (common.shift == 1, [columns::<REDUCED, 1, 1>, columns::<REDUCED, 2, 1>]),
        (RoundingMode::Reduced, _) => (common.shift == 1, [columns::<REDUCED, 1, 2>, columns::<REDUCED, 2, 2>]),
        (RoundingMode::PowerOfTwo, 1) => (true, [columns::<SHIFT, 1, 1>, columns::<SHIFT, 2, 1>]),
        (RoundingMode::PowerOfTwo, _) => (true, [columns::<SHIFT, 1, 2>, columns::<SHIFT, 2, 2>]),
    };
    let routine = match strip.pool {
        [1, 1] if usable => plain,
        [2, 2] if usable => pooled,
        // SAFETY: the caller's promise.
        _ => return unsafe { finish_any::<E>(strip, common, output) },
    };
    let (zero_point, offset) = match E::Rounding::MODE {
        RoundingMode::Single => (0, (common.offset >> 32) as i32),
        RoundingMode::PowerOfTwo => (0, 0),
        _ => (common.zero_point, common.zero_point),
    };
    for c in (0..strip.present).step_by(LANES) {
        // SAFETY: the caller's promise; nothing of a channel beyond `present` is read or written.
        unsafe {
            let multipliers = strip.parameters.add(c);
            routine(&Columns {
                columns: strip.columns,
                sums: strip.sums.add(c),
                step: 4 * strip.channels,
                output: output.add(c).cast(),
                stride: strip.stride * size_of::<E::Output>(),
                lanes: strip.present - c,
                multipliers,
                exponents: multipliers.wrapping_add(strip.channels),
                offset,
                shift: 32 - common.shift as i32,
                // Clamped before the zero point is added: so the sum cannot wrap, where the scalar form saturates.
                bounds: [common.low - zero_point, common.high - zero_point],
            });
        }
    }
}

/// The roundings, for assembly.
const SINGLE: usize = 1;
const DOUBLE: usize = 2;
const REDUCED: usize = 3;
const SHIFT: usize = 4;

/// Finishes the columns of four channels; `MODE` is the rounding, `POOL` the size of the pooling window, `BYTES` that of
/// an output.
///
/// Single rounding: the sum's high word is `high word of the product + high word of the offset`, since the low word of
/// the offset is 0. Double rounding: VQRDMULH is gemmlowp's `SaturatingRoundingDoublingHighMul`; VRSHL rounds halves
/// upwards, and with 1 subtracted from what is negative (the sign of `value & -right`), away from zero. Reduced: the high
/// word of the product, shifted. Power of two: a shift alone.
///
/// # Safety
/// The sums, parameters and outputs that [`Columns`] names are there; where `POOL` is 2, a window is a tile of two by two
/// pixels.
#[unsafe(naked)]
unsafe extern "C" fn columns<const MODE: usize, const POOL: usize, const BYTES: usize>(job: &Columns) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        ".if {mode} > 1 || {pool} == 2",
        "vpush {{d8-d13}}",
        ".endif",
        "ldm r0!, {{r1-r7}}",
        "vctp.32 r6",
        "vpst",
        "vldrwt.u32 q1, [r7]",
        "ldm r0, {{r0, r6, r7, r8, r12}}",
        "vdup.32 q2, r8",
        "vdup.32 q3, r12",
        ".if {mode} == 2",
        "vpst",
        "vldrwt.u32 q4, [r0]",
        "vmov.i32 q0, #0",
        "vmax.s32 q5, q4, q0",
        "vmin.s32 q4, q4, q0",
        ".elseif {mode} == 3",
        "vpst",
        "vldrwt.u32 q4, [r0]",
        "vneg.s32 q4, q4",
        ".elseif {mode} == 4",
        "vneg.s32 q4, q1",
        ".endif",
        "dls lr, r1",
        "2:",
        "vpst",
        "vldrwt.u32 q0, [r2]",
        "add r2, r3",
        ".if {pool} == 2",
        ".rept 3",
        "vpst",
        "vldrwt.u32 q6, [r2]",
        "add r2, r3",
        "vmax.s32 q0, q0, q6",
        ".endr",
        ".endif",
        ".if {mode} == 1",
        "vmulh.s32 q0, q0, q1",
        "vadd.i32 q0, q0, r6",
        "vshl.s32 q0, r7",
        ".elseif {mode} == 3",
        "vmulh.s32 q0, q0, q1",
        "vrshl.s32 q0, q0, q4",
        ".elseif {mode} == 4",
        "vshl.s32 q0, q0, q4",
        ".else",
        "vshl.s32 q0, q0, q5",
        "vqrdmulh.s32 q0, q0, q1",
        "vand q6, q0, q4",
        "vshr.s32 q6, q6, #31",
        "vqadd.s32 q0, q0, q6",
        "vrshl.s32 q0, q0, q4",
        ".endif",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        ".if {mode} == 2 || {mode} == 3",
        "vadd.i32 q0, q0, r6",
        ".endif",
        "vpst",
        ".if {bytes} == 1",
        "vstrbt.32 q0, [r4]",
        ".else",
        "vstrht.32 q0, [r4]",
        ".endif",
        "add r4, r5",
        "le lr, 2b",
        ".if {mode} > 1 || {pool} == 2",
        "vpop {{d8-d13}}",
        ".endif",
        "pop {{r4-r8, pc}}",
        mode = const MODE,
        pool = const POOL,
        bytes = const BYTES,
    )
}
