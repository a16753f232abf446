//! Requantization of sixteen, eight or four channels at a time, along the columns of a strip.

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
    /// [`SingleRounding`](crate::SingleRounding): twice the offset's high word. Otherwise the zero point.
    offset: i32,
    /// [`SingleRounding`](crate::SingleRounding): 31 less the shift.
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

/// The routines for four and for eight channels: without pooling, and for windows of two by two.
macro_rules! kernels {
    ($mode:ident, $bytes:literal) => {
        [
            [columns::<$mode, 1, $bytes>, eight_columns::<$mode, 1, $bytes>],
            [columns::<$mode, 2, $bytes>, eight_columns::<$mode, 2, $bytes>],
        ]
    };
}

/// # Safety
/// As [`Requantize::requantize`].
unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
    type Kernel = unsafe extern "C" fn(&Columns) -> usize;
    const { assert!(size_of::<E::Output>() == 1 || size_of::<E::Output>() == 2) };
    let (usable, [plain, pooled]): (bool, [[Kernel; 2]; 2]) = match (E::Rounding::MODE, size_of::<E::Output>()) {
        // What saturates before its shift, by 23 or by 16 at most, is saturated after it as well.
        (RoundingMode::Single, 1) => (common.shift >= 32 && common.shift <= 54, kernels!(SINGLE, 1)),
        (RoundingMode::Single, _) => (common.shift >= 32 && common.shift <= 47, kernels!(SINGLE, 2)),
        (RoundingMode::Double, 1) => (true, kernels!(DOUBLE, 1)),
        (RoundingMode::Double, _) => (true, kernels!(DOUBLE, 2)),
        // Multipliers below a quarter.
        (RoundingMode::Reduced, 1) => (common.shift == 1, kernels!(REDUCED, 1)),
        (RoundingMode::Reduced, _) => (common.shift == 1, kernels!(REDUCED, 2)),
        (RoundingMode::PowerOfTwo, 1) => (true, kernels!(SHIFT, 1)),
        (RoundingMode::PowerOfTwo, _) => (true, kernels!(SHIFT, 2)),
    };
    let [four, eight] = match strip.pool {
        [1, 1] if usable => plain,
        [2, 2] if usable => pooled,
        // SAFETY: the caller's promise.
        _ => return unsafe { finish_any::<E>(strip, common, output) },
    };
    let (zero_point, offset) = match E::Rounding::MODE {
        RoundingMode::Single => (0, (common.offset >> 31) as i32),
        RoundingMode::PowerOfTwo => (0, 0),
        _ => (common.zero_point, common.zero_point),
    };
    // Bytes of one multiplier a channel, from sums that lie densely.
    let (sixteen, densely): (Kernel, bool) = match E::Rounding::MODE {
        RoundingMode::Single => (sixteen_columns::<SINGLE>, size_of::<E::Output>() == 1),
        RoundingMode::PowerOfTwo => (sixteen_columns::<SHIFT>, size_of::<E::Output>() == 1),
        _ => (eight, false),
    };
    let densely = densely && strip.channels == 4 * LANES && strip.pool == [1, 1];
    let mut job = Columns {
        columns: strip.columns,
        sums: strip.sums,
        step: 4 * strip.channels,
        output: output.cast(),
        stride: strip.stride * size_of::<E::Output>(),
        lanes: strip.present,
        multipliers: strip.parameters,
        exponents: strip.parameters.wrapping_add(strip.channels),
        offset,
        shift: 31 - common.shift as i32,
        // Clamped before the zero point is added: so the sum cannot wrap, where the scalar form saturates.
        bounds: [common.low - zero_point, common.high - zero_point],
    };
    loop {
        // SAFETY: the caller's promise; nothing of a channel beyond `present` is read or written.
        let done = unsafe {
            if densely && job.lanes >= 4 * LANES {
                sixteen(&job);
                4 * LANES
            } else if job.lanes >= 2 * LANES && eight(&job) != 0 {
                2 * LANES
            } else {
                four(&job);
                LANES
            }
        };
        if job.lanes <= done {
            break;
        }
        job.lanes -= done;
        // SAFETY: the channels from here on are there.
        unsafe {
            job.sums = job.sums.add(done);
            job.output = job.output.add(done * size_of::<E::Output>());
            job.multipliers = job.multipliers.add(done);
            job.exponents = job.exponents.wrapping_add(done);
        }
    }
}

/// The roundings, for assembly.
const SINGLE: usize = 1;
const DOUBLE: usize = 2;
const REDUCED: usize = 3;
const SHIFT: usize = 4;

/// Finishes the columns of four channels and returns 1; `MODE` is the rounding, `POOL` the size of the pooling window, `BYTES` that of
/// an output.
///
/// Single rounding: VQDMLASH is the high word of `2 * (sum * multiplier + offset)`, since the low 31 bits of the offset
/// are 0. Double rounding: VQRDMULH is gemmlowp's `SaturatingRoundingDoublingHighMul`; VRSHL rounds halves
/// upwards, and with 1 subtracted from what is negative (the sign of `value & -right`), away from zero. Reduced: the high
/// word of the product, shifted. Power of two: a shift alone.
///
/// # Safety
/// The sums, parameters and outputs that [`Columns`] names are there; where `POOL` is 2, a window is a tile of two by two
/// pixels.
#[unsafe(naked)]
unsafe extern "C" fn columns<const MODE: usize, const POOL: usize, const BYTES: usize>(job: &Columns) -> usize {
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
        "vqdmlash.s32 q0, q1, r6",
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
        "movs r0, #1",
        "pop {{r4-r8, pc}}",
        mode = const MODE,
        pool = const POOL,
        bytes = const BYTES,
    )
}

/// The same for eight channels, unless it returns 0, having done nothing: for double rounding with a multiplier of 1 or
/// more, which is rare.
///
/// Even channels are in q0, odd ones in q1, until both are narrowed, saturated, into one vector of 16 bits.
///
/// # Safety
/// As [`columns`]; eight channels have outputs.
#[unsafe(naked)]
unsafe extern "C" fn eight_columns<const MODE: usize, const POOL: usize, const BYTES: usize>(job: &Columns) -> usize {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0!, {{r1-r7}}",
        "vld20.32 {{q2, q3}}, [r7]",
        "vld21.32 {{q2, q3}}, [r7]",
        "ldm r0, {{r0, r6, r7, r8, r12}}",
        ".if {mode} == 2 || {mode} == 3",
        "vld20.32 {{q4, q5}}, [r0]",
        "vld21.32 {{q4, q5}}, [r0]",
        ".endif",
        "movs r0, #0",
        ".if {mode} == 2",
        "mov lr, r0",
        "vmaxv.s32 lr, q4",
        "vmaxv.s32 lr, q5",
        "cmp lr, #0",
        "bgt 3f",
        ".elseif {mode} == 3",
        "vneg.s32 q4, q4",
        "vneg.s32 q5, q5",
        ".else",
        "vdup.16 q4, r8",
        "vdup.16 q5, r12",
        ".endif",
        ".if {mode} == 4",
        "vneg.s32 q2, q2",
        "vneg.s32 q3, q3",
        ".endif",
        "dls lr, r1",
        "2:",
        "vld20.32 {{q0, q1}}, [r2]",
        "vld21.32 {{q0, q1}}, [r2]",
        "add r2, r3",
        ".if {pool} == 2",
        ".rept 3",
        "vld20.32 {{q6, q7}}, [r2]",
        "vld21.32 {{q6, q7}}, [r2]",
        "vmax.s32 q0, q0, q6",
        "add r2, r3",
        "vmax.s32 q1, q1, q7",
        ".endr",
        ".endif",
        ".if {mode} == 1",
        "vqdmlash.s32 q0, q2, r6",
        "vqdmlash.s32 q1, q3, r6",
        "vshl.s32 q0, r7",
        "vshl.s32 q1, r7",
        ".elseif {mode} == 3",
        "vmulh.s32 q0, q0, q2",
        "vmulh.s32 q1, q1, q3",
        "vrshl.s32 q0, q0, q4",
        "vrshl.s32 q1, q1, q5",
        ".elseif {mode} == 4",
        "vshl.s32 q0, q0, q2",
        "vshl.s32 q1, q1, q3",
        ".else",
        "vqrdmulh.s32 q0, q0, q2",
        "vqrdmulh.s32 q1, q1, q3",
        "vand q6, q0, q4",
        "vand q7, q1, q5",
        "vshr.s32 q6, q6, #31",
        "vshr.s32 q7, q7, #31",
        "vqadd.s32 q0, q0, q6",
        "vqadd.s32 q1, q1, q7",
        "vrshl.s32 q0, q0, q4",
        "vrshl.s32 q1, q1, q5",
        ".endif",
        "vqmovnb.s32 q0, q0",
        "vqmovnt.s32 q0, q1",
        ".if {mode} == 2 || {mode} == 3",
        "vdup.16 q1, r8",
        "vdup.16 q6, r12",
        "vmax.s16 q0, q0, q1",
        "vmin.s16 q0, q0, q6",
        "vadd.i16 q0, q0, r6",
        ".else",
        "vmax.s16 q0, q0, q4",
        "vmin.s16 q0, q0, q5",
        ".endif",
        ".if {bytes} == 1",
        "vstrb.16 q0, [r4]",
        ".else",
        "vstrh.16 q0, [r4]",
        ".endif",
        "add r4, r5",
        "le lr, 2b",
        "movs r0, #1",
        "3:",
        "vpop {{d8-d15}}",
        "pop {{r4-r8, pc}}",
        mode = const MODE,
        pool = const POOL,
        bytes = const BYTES,
    )
}

/// The same for sixteen channels that have bytes for outputs and whose sums lie densely; single rounding or a shift.
///
/// Every fourth channel is in a vector, until all are narrowed, saturated, into one vector of bytes.
///
/// # Safety
/// As [`columns`] without pooling; sixteen channels have outputs, and `step` is 64.
#[unsafe(naked)]
unsafe extern "C" fn sixteen_columns<const MODE: usize>(job: &Columns) -> usize {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0!, {{r1-r7}}",
        "vld40.32 {{q4, q5, q6, q7}}, [r7]",
        "vld41.32 {{q4, q5, q6, q7}}, [r7]",
        "vld42.32 {{q4, q5, q6, q7}}, [r7]",
        "vld43.32 {{q4, q5, q6, q7}}, [r7]",
        "ldm r0, {{r0, r6, r7, r8, r12}}",
        ".if {mode} == 4",
        "vneg.s32 q4, q4",
        "vneg.s32 q5, q5",
        "vneg.s32 q6, q6",
        "vneg.s32 q7, q7",
        ".endif",
        "dls lr, r1",
        "2:",
        "vld40.32 {{q0, q1, q2, q3}}, [r2]",
        "vld41.32 {{q0, q1, q2, q3}}, [r2]",
        "vld42.32 {{q0, q1, q2, q3}}, [r2]",
        "vld43.32 {{q0, q1, q2, q3}}, [r2]!",
        ".if {mode} == 1",
        "vqdmlash.s32 q0, q4, r6",
        "vqdmlash.s32 q1, q5, r6",
        "vqdmlash.s32 q2, q6, r6",
        "vqdmlash.s32 q3, q7, r6",
        "vshl.s32 q0, r7",
        "vshl.s32 q1, r7",
        "vshl.s32 q2, r7",
        "vshl.s32 q3, r7",
        ".else",
        "vshl.s32 q0, q0, q4",
        "vshl.s32 q1, q1, q5",
        "vshl.s32 q2, q2, q6",
        "vshl.s32 q3, q3, q7",
        ".endif",
        "vqmovnb.s32 q0, q0",
        "vqmovnt.s32 q0, q2",
        "vqmovnb.s32 q1, q1",
        "vqmovnt.s32 q1, q3",
        "vdup.8 q2, r8",
        "vqmovnb.s16 q0, q0",
        "vqmovnt.s16 q0, q1",
        "vdup.8 q3, r12",
        "vmax.s8 q0, q0, q2",
        "vmin.s8 q0, q0, q3",
        "vstrb.8 q0, [r4]",
        "add r4, r5",
        "le lr, 2b",
        "movs r0, #1",
        "vpop {{d8-d15}}",
        "pop {{r4-r8, pc}}",
        mode = const MODE,
    )
}
