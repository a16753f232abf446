//! What int8 operators do to values side by side.

use super::Rvv;
use crate::kernels::elementwise::{Array, Elementwise};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::naked_asm;

impl Elementwise for Rvv {
    type Bytes = Array<i8, 16>;
    type Halves = Array<i16, 8>;
    type Floats = Array<f32, 4>;
    type Sums = Array<i8, 16>;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        let &SumParameters { multipliers, shifts, zero_points, sign, offset, low, high, .. } = parameters;
        let job = Addition {
            multipliers: multipliers.map(|multiplier| multiplier as isize),
            shifts: shifts.map(|shift| shift as usize),
            inputs: [zero_points[0] as isize, zero_points[1] as isize],
            output: match R::TWICE {
                false => offset as isize,
                true => zero_points[2] as isize,
            },
            sign: sign as isize,
            low: low as isize,
            high: high as isize,
        };
        // SAFETY: the caller's promise.
        unsafe {
            match R::TWICE {
                false => add::<1>(&job, a, b, to, count),
                true => add::<2>(&job, a, b, to, count),
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

/// The numbers of an addition.
#[repr(C)]
struct Addition {
    multipliers: [isize; 3],
    shifts: [usize; 3],
    /// The inputs' zero points.
    inputs: [isize; 2],
    /// Single rounding: the offset. Double: the output's zero point.
    output: isize,
    /// 1, or -1 to subtract.
    sign: isize,
    low: isize,
    high: isize,
}

// Multiplies by `multiplier` and divides by 2 to the power of `shift`, with double rounding: VSMUL, rounding halves
// upwards, is gemmlowp's `SaturatingRoundingDoublingHighMul`; VSSRA rounds halves upwards too, and with 1 subtracted from
// what is negative (the sign of `value & -shift`), away from zero.
macro_rules! scale {
    ($sums:literal, $multiplier:literal, $shift:literal) => {
        concat!(
            "vsmul.vx ",
            $sums,
            ", ",
            $sums,
            ", ",
            $multiplier,
            "\n",
            "neg s11, ",
            $shift,
            "\n",
            "vand.vx v16, ",
            $sums,
            ", s11\n",
            "vsra.vi v16, v16, 31\n",
            "vadd.vv ",
            $sums,
            ", ",
            $sums,
            ", v16\n",
            "vssra.vx ",
            $sums,
            ", ",
            $sums,
            ", ",
            $shift,
            "\n",
        )
    };
}

/// Adds with single rounding (`MODE` is 1), `(a * m_a + b * m_b + offset) >> shift`, or with TensorFlow Lite's double
/// rounding (2).
///
/// # Safety
/// As [`Elementwise::add_int8`].
#[unsafe(naked)]
unsafe extern "C" fn add<const MODE: usize>(job: &Addition, a: *const i8, b: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "addi sp, sp, -16",
        "sd s10, 0(sp)",
        "sd s11, 8(sp)",
        "ld t0, 0(a0)",
        "ld t1, 8(a0)",
        "ld t2, 16(a0)",
        "ld t3, 24(a0)",
        "ld t4, 32(a0)",
        "ld t5, 40(a0)",
        "ld t6, 48(a0)",
        "ld a5, 56(a0)",
        "ld a6, 64(a0)",
        "ld a7, 72(a0)",
        "csrwi vxrm, 0",
        "beqz a4, 3f",
        "2:",
        "vsetvli s10, a4, e32, m4, ta, ma",
        "vle8.v v16, (a1)",
        "vle8.v v18, (a2)",
        "vsext.vf4 v0, v16",
        "vsext.vf4 v4, v18",
        ".if {mode} == 1",
        "vmul.vx v0, v0, t0",
        "vmacc.vx v0, t1, v4",
        "vadd.vx v0, v0, a6",
        "vsra.vx v0, v0, t5",
        ".else",
        "vsub.vx v0, v0, t6",
        "vsub.vx v4, v4, a5",
        "vsll.vi v0, v0, 20",
        "vsll.vi v4, v4, 20",
        scale!("v0", "t0", "t3"),
        scale!("v4", "t1", "t4"),
        "vmacc.vx v0, a7, v4",
        scale!("v0", "t2", "t5"),
        "vadd.vx v0, v0, a6",
        ".endif",
        "ld s11, 80(a0)",
        "vmax.vx v0, v0, s11",
        "ld s11, 88(a0)",
        "vmin.vx v0, v0, s11",
        "vsetvli zero, zero, e16, m2, ta, ma",
        "vnsra.wi v4, v0, 0",
        "vsetvli zero, zero, e8, m1, ta, ma",
        "vnsra.wi v0, v4, 0",
        "vse8.v v0, (a3)",
        "add a1, a1, s10",
        "add a2, a2, s10",
        "add a3, a3, s10",
        "sub a4, a4, s10",
        "bnez a4, 2b",
        "3:",
        "ld s10, 0(sp)",
        "ld s11, 8(sp)",
        "addi sp, sp, 16",
        "ret",
        ".option pop",
        mode = const MODE,
    )
}

/// `table[x + 128]`, gathered.
///
/// # Safety
/// As [`Elementwise::look_up`].
#[unsafe(naked)]
unsafe extern "C" fn look_up(table: *const i8, from: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "li t1, 128",
        "beqz a3, 3f",
        "2:",
        "vsetvli t0, a3, e8, m4, ta, ma",
        "vle8.v v0, (a1)",
        "vxor.vx v0, v0, t1",
        "vluxei8.v v4, (a0), v0",
        "vse8.v v4, (a2)",
        "add a1, a1, t0",
        "add a2, a2, t0",
        "sub a3, a3, t0",
        "bnez a3, 2b",
        "3:",
        "ret",
        ".option pop",
    )
}
