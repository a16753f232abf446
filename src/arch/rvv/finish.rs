//! Requantization of strips, as many channels at a time as a vector has.

use super::conv::{Int8, Int16};
use crate::kernels::finish::{IntegerEpilogue, Requantize, Sums, finish_any};
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
use core::arch::naked_asm;

/// What the routine reads.
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
    /// Channels that have outputs, at least 1.
    channels: usize,
    multipliers: *const u32,
    /// [`DoubleRounding`](crate::DoubleRounding) only.
    exponents: *const u32,
    /// [`SingleRounding`](crate::SingleRounding): the high word of the offset. Otherwise the zero point.
    offset: isize,
    /// [`SingleRounding`](crate::SingleRounding): the shift less 32.
    shift: usize,
    /// The lowest and highest output. [`DoubleRounding`](crate::DoubleRounding): the zero point subtracted.
    bounds: [isize; 2],
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
    // SAFETY: the caller's promise; the routine reads and writes no channel beyond `present`.
    unsafe {
        routine(&Columns {
            columns: strip.columns,
            sums: strip.sums,
            step: 4 * strip.channels,
            output: output.cast(),
            stride: strip.stride * size_of::<E::Output>(),
            channels: strip.present,
            multipliers: strip.parameters,
            exponents: strip.parameters.wrapping_add(strip.channels),
            offset: offset as isize,
            shift: common.shift.saturating_sub(32) as usize,
            // Clamped before the zero point is added: so the sum cannot wrap, where the scalar form saturates.
            bounds: [(common.low - zero_point) as isize, (common.high - zero_point) as isize],
        });
    }
}

/// The roundings, for assembly.
const SINGLE: usize = 1;
const DOUBLE: usize = 2;
const REDUCED: usize = 3;
const SHIFT: usize = 4;

/// Finishes the columns of a strip; `MODE` is the rounding, `POOL` the size of the pooling window, `BYTES` that of an
/// output.
///
/// Single rounding: the sum's high word is `high word of the product + high word of the offset`, since the low word of
/// the offset is 0. Double rounding: VSMUL, rounding halves upwards, is gemmlowp's `SaturatingRoundingDoublingHighMul`;
/// VSSRA rounds halves upwards too, and with 1 subtracted from what is negative (the sign of `value & -right`), away from
/// zero. Reduced: the high word of the product, shifted. Power of two: a shift alone.
///
/// # Safety
/// The sums, parameters and outputs that [`Columns`] names are there; where `POOL` is 2, a tile is two rows of four
/// pixels.
#[unsafe(naked)]
unsafe extern "C" fn columns<const MODE: usize, const POOL: usize, const BYTES: usize>(job: &Columns) {
    // a1 sums, a2 step, a3 output, a4 stride, a5 channels left, a6 multipliers, a7 exponents, t0 offset, t1 shift, t2 and
    // t3 bounds; t4 columns left, t5 and t6 next sums and output. v0 multipliers, v4 and v8 shifts left and right.
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        ".if {pool} == 2",
        "addi sp, sp, -32",
        "sd s0, 0(sp)",
        "sd s1, 8(sp)",
        "sd s2, 16(sp)",
        ".endif",
        "ld a1, 8(a0)",
        "ld a2, 16(a0)",
        "ld a3, 24(a0)",
        "ld a4, 32(a0)",
        "ld a5, 40(a0)",
        "ld a6, 48(a0)",
        "ld a7, 56(a0)",
        "ld t0, 64(a0)",
        "ld t1, 72(a0)",
        "ld t2, 80(a0)",
        "ld t3, 88(a0)",
        ".if {mode} == 2 || {mode} == 3",
        "csrwi vxrm, 0",
        ".endif",
        "1:",
        "vsetvli t4, a5, e32, m4, ta, ma",
        "vle32.v v0, (a6)",
        ".if {mode} == 2",
        "vle32.v v8, (a7)",
        "vmax.vx v4, v8, zero",
        "vmin.vx v8, v8, zero",
        ".elseif {mode} == 3",
        "vle32.v v8, (a7)",
        ".endif",
        "mv t5, a1",
        "mv t6, a3",
        // The second window of a tile begins two pixels after the first, three before the last that the first read; the
        // next tile's begins behind the second's last.
        ".if {pool} == 2",
        "slli s2, a2, 1",
        "add s2, s2, a2",
        "neg s0, s2",
        "xor s1, s0, a2",
        ".endif",
        "ld t4, 0(a0)",
        "2:",
        "vle32.v v12, (t5)",
        "add t5, t5, a2",
        ".if {pool} == 2",
        "vle32.v v16, (t5)",
        "add t5, t5, s2",
        "vmax.vv v12, v12, v16",
        "vle32.v v16, (t5)",
        "add t5, t5, a2",
        "vmax.vv v12, v12, v16",
        "vle32.v v16, (t5)",
        "add t5, t5, s0",
        "xor s0, s0, s1",
        "vmax.vv v12, v12, v16",
        ".endif",
        ".if {mode} == 1",
        "vmulh.vv v12, v12, v0",
        "vadd.vx v12, v12, t0",
        "vsra.vx v12, v12, t1",
        ".elseif {mode} == 3",
        "vmulh.vv v12, v12, v0",
        "vssra.vv v12, v12, v8",
        ".elseif {mode} == 4",
        "vsra.vv v12, v12, v0",
        ".else",
        "vsll.vv v12, v12, v4",
        "vsmul.vv v12, v12, v0",
        "vand.vv v16, v12, v8",
        "vsra.vi v16, v16, 31",
        "vsadd.vv v12, v12, v16",
        "vrsub.vi v16, v8, 0",
        "vssra.vv v12, v12, v16",
        ".endif",
        "vmax.vx v12, v12, t2",
        "vmin.vx v12, v12, t3",
        ".if {mode} == 2 || {mode} == 3",
        "vadd.vx v12, v12, t0",
        ".endif",
        "vsetvli zero, zero, e16, m2, ta, ma",
        "vnsra.wi v16, v12, 0",
        ".if {bytes} == 1",
        "vsetvli zero, zero, e8, m1, ta, ma",
        "vnsra.wi v12, v16, 0",
        "vse8.v v12, (t6)",
        ".else",
        "vse16.v v16, (t6)",
        ".endif",
        "vsetvli zero, zero, e32, m4, ta, ma",
        "add t6, t6, a4",
        "addi t4, t4, -1",
        "bnez t4, 2b",
        "csrr t4, vl",
        "sub a5, a5, t4",
        ".if {bytes} == 2",
        "slli t5, t4, 1",
        "add a3, a3, t5",
        ".else",
        "add a3, a3, t4",
        ".endif",
        "slli t4, t4, 2",
        "add a1, a1, t4",
        "add a6, a6, t4",
        ".if {mode} == 2 || {mode} == 3",
        "add a7, a7, t4",
        ".endif",
        "bnez a5, 1b",
        ".if {pool} == 2",
        "ld s0, 0(sp)",
        "ld s1, 8(sp)",
        "ld s2, 16(sp)",
        "addi sp, sp, 32",
        ".endif",
        "ret",
        ".option pop",
        mode = const MODE,
        pool = const POOL,
        bytes = const BYTES,
    )
}
