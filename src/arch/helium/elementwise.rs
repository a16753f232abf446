//! What int8 operators do to values side by side: loops that predicate their last, partial vector.

use super::Helium;
use crate::kernels::elementwise::{Array, Elementwise};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::naked_asm;

impl Elementwise for Helium {
    type Bytes = Array<i8, 4>;
    type Halves = Array<i16, 2>;
    // Vectors flush subnormal numbers to zero.
    type Floats = Array<f32, 4>;
    type Sums = Array<i8, 4>;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        let &SumParameters { multipliers, shifts, zero_points, sign, offset, low, high, .. } = parameters;
        let right = shifts.map(|shift| -(shift as i32));
        // SAFETY: the caller's promise.
        unsafe {
            match R::TWICE {
                false => {
                    let [first, second, _] = multipliers;
                    let right = right[2];
                    let offset = offset as i32;
                    add_once_rounded(&OnceRounded { count, low, high, a, b, to, first, second, offset, right });
                }
                true => {
                    add_twice_rounded(&TwiceRounded {
                        count,
                        low,
                        high,
                        right,
                        a,
                        b,
                        to,
                        inputs: [zero_points[0], zero_points[1]],
                        multipliers,
                        shifts: right,
                        sign,
                        output: zero_points[2],
                    });
                }
            }
        }
        Some(count)
    }

    #[inline(always)]
    unsafe fn look_up(table: &[i8; 256], from: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        unsafe { look_up(table.as_ptr(), from, to, count) };
        Some(count)
    }
}

/// What [`add_once_rounded`] reads.
#[repr(C)]
struct OnceRounded {
    count: usize,
    low: i32,
    high: i32,
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    first: i32,
    second: i32,
    offset: i32,
    /// The shift, negative.
    right: i32,
}

/// `(a * first + b * second + offset) >> shift`, clamped.
///
/// # Safety
/// As [`Elementwise::add_int8`].
#[unsafe(naked)]
unsafe extern "C" fn add_once_rounded(job: &OnceRounded) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r7, lr}}",
        "ldm r0!, {{r1-r3}}",
        "vdup.32 q2, r2",
        "vdup.32 q3, r3",
        "mov r12, r1",
        "ldm r0, {{r1-r7}}",
        "wlstp.32 lr, r12, 3f",
        "2:",
        "vldrb.s32 q0, [r1], #4",
        "vldrb.s32 q1, [r2], #4",
        "vmul.i32 q0, q0, r4",
        "vmla.s32 q0, q1, r5",
        "vadd.i32 q0, q0, r6",
        "vshl.s32 q0, r7",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r3], #4",
        "letp lr, 2b",
        "3:",
        "pop {{r4-r7, pc}}",
    )
}

/// What [`add_twice_rounded`] reads.
#[repr(C)]
struct TwiceRounded {
    count: usize,
    low: i32,
    high: i32,
    /// The shifts of inputs and output, negative.
    right: [i32; 3],
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    /// The inputs' zero points.
    inputs: [i32; 2],
    multipliers: [i32; 3],
    /// The shifts again.
    shifts: [i32; 3],
    /// 1, or -1 to subtract.
    sign: i32,
    /// The output's zero point.
    output: i32,
}

/// TensorFlow Lite's addition: VQRDMULH is gemmlowp's `SaturatingRoundingDoublingHighMul`; VRSHL rounds halves upwards,
/// and with 1 subtracted from what is negative (the sign of `value & -shift`), away from zero.
///
/// # Safety
/// As [`Elementwise::add_int8`].
#[unsafe(naked)]
unsafe extern "C" fn add_twice_rounded(job: &TwiceRounded) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0!, {{r1-r6}}",
        "vdup.32 q3, r2",
        "vdup.32 q7, r3",
        "vdup.32 q4, r4",
        "vdup.32 q5, r5",
        "vdup.32 q6, r6",
        "mov lr, r1",
        "ldm r0, {{r0-r12}}",
        "wlstp.32 lr, lr, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vsub.i32 q0, q0, r3",
        "vsub.i32 q1, q1, r4",
        "vshl.i32 q0, q0, #20",
        "vshl.i32 q1, q1, #20",
        "vqrdmulh.s32 q0, q0, r5",
        "vqrdmulh.s32 q1, q1, r6",
        "vand q2, q0, q4",
        "vshr.s32 q2, q2, #31",
        "vadd.i32 q0, q0, q2",
        "vand q2, q1, q5",
        "vshr.s32 q2, q2, #31",
        "vadd.i32 q1, q1, q2",
        "vrshl.s32 q0, r8",
        "vrshl.s32 q1, r9",
        "vmla.s32 q0, q1, r11",
        "vqrdmulh.s32 q0, q0, r7",
        "vand q2, q0, q6",
        "vshr.s32 q2, q2, #31",
        "vadd.i32 q0, q0, q2",
        "vrshl.s32 q0, r10",
        "vadd.i32 q0, q0, r12",
        "vmax.s32 q0, q0, q3",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r2], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// `table[x + 128]`, gathered.
///
/// # Safety
/// As [`Elementwise::look_up`].
#[unsafe(naked)]
unsafe extern "C" fn look_up(table: *const i8, from: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vmov.i8 q1, #128",
        "wlstp.8 lr, r3, 3f",
        "2:",
        "vldrb.u8 q0, [r1], #16",
        "veor q0, q0, q1",
        "vldrb.u8 q2, [r0, q0]",
        "vstrb.8 q2, [r2], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}
