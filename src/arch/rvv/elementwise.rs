//! What int8 operators do to values side by side.

use super::Rvv;
use crate::kernels::elementwise::{Array, Elementwise, SUM_LENGTH, Window};
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

    #[inline(always)]
    unsafe fn relu_int8(zero: i8, from: *const i8, to: *mut i8, count: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { relu(zero, from, to, count) };
        count
    }

    #[inline(always)]
    unsafe fn max_int8(window: Window, input: *const i8, output: *mut i8) -> bool {
        // SAFETY: the caller's promise.
        unsafe { max(&window, input, output) };
        true
    }

    #[inline(always)]
    unsafe fn average_int8(window: Window, padded: i32, count: i32, input: *const i8, output: *mut i8) -> bool {
        let possible = window.rows * window.columns <= SUM_LENGTH && count <= MAX_COUNT;
        if possible {
            // SAFETY: the caller's promise.
            unsafe { average(&Average::new(window, padded, count), input, output) };
        }
        possible
    }
}

/// The most pixels that [`Average`] divides by.
const MAX_COUNT: i32 = 4080;

/// What [`average`] reads.
#[repr(C)]
struct Average {
    window: Window,
    padded: isize,
    half: usize,
    /// 2^31 divided by the number of pixels, rounded upwards.
    reciprocal: usize,
}

impl Average {
    /// With `n = |sum| + half`, below 129 times the count, `n * reciprocal / 2^31` is above `n / count` by less than
    /// `n / 2^31`, and so has the same integer part as long as that is at most `1 / count`: up to a count of 4080.
    #[inline(always)]
    fn new(window: Window, padded: i32, count: i32) -> Self {
        // wrapping_div, because the compiler does not see that the count is never zero.
        let reciprocal = ((1 << 31) + (count as u32 - 1)).wrapping_div((count as u32).max(1));
        Self { window, padded: padded as isize, half: count as usize / 2, reciprocal: reciprocal as usize }
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

/// The larger of each value and `zero`.
///
/// # Safety
/// As [`Elementwise::relu_int8`].
#[unsafe(naked)]
unsafe extern "C" fn relu(zero: i8, from: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "beqz a3, 3f",
        "2:",
        "vsetvli t0, a3, e8, m8, ta, ma",
        "vle8.v v0, (a1)",
        "vmax.vx v0, v0, a0",
        "vse8.v v0, (a2)",
        "add a1, a1, t0",
        "add a2, a2, t0",
        "sub a3, a3, t0",
        "bnez a3, 2b",
        "3:",
        "ret",
        ".option pop",
    )
}

/// The maxima of a window.
///
/// # Safety
/// As [`Elementwise::max_int8`].
#[unsafe(naked)]
unsafe extern "C" fn max(window: &Window, input: *const i8, output: *mut i8) {
    // a1 the first pixel, a2 the output, a3 rows, a4 columns, a5 bytes from row to row, a6 from column to column, a7
    // channels left; t0 channels in the vector, t2 the row, t3 rows left, t4 the pixel, t5 columns left.
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "ld t0, 0(a0)",
        "add a1, a1, t0",
        "ld a3, 8(a0)",
        "ld a4, 16(a0)",
        "ld a5, 24(a0)",
        "ld a6, 32(a0)",
        "mv a7, a6",
        "li t1, -128",
        "1:",
        "vsetvli t0, a7, e8, m4, ta, ma",
        "vmv.v.x v0, t1",
        "mv t2, a1",
        "mv t3, a3",
        "2:",
        "mv t4, t2",
        "mv t5, a4",
        "3:",
        "vle8.v v4, (t4)",
        "add t4, t4, a6",
        "vmax.vv v0, v0, v4",
        "addi t5, t5, -1",
        "bnez t5, 3b",
        "add t2, t2, a5",
        "addi t3, t3, -1",
        "bnez t3, 2b",
        "vse8.v v0, (a2)",
        "add a1, a1, t0",
        "add a2, a2, t0",
        "sub a7, a7, t0",
        "bnez a7, 1b",
        "ret",
        ".option pop",
    )
}

/// The averages of a window: sums in 16 bits, then a division by multiplication in 32.
///
/// # Safety
/// As [`Elementwise::average_int8`], for at most [`SUM_LENGTH`] pixels and a count of at most [`MAX_COUNT`].
#[unsafe(naked)]
unsafe extern "C" fn average(job: &Average, input: *const i8, output: *mut i8) {
    // As in `max`; t1 and t6 are scratch.
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "ld t0, 0(a0)",
        "add a1, a1, t0",
        "ld a3, 8(a0)",
        "ld a4, 16(a0)",
        "ld a5, 24(a0)",
        "ld a6, 32(a0)",
        "mv a7, a6",
        "1:",
        "vsetvli t0, a7, e16, m2, ta, ma",
        "vmv.v.i v0, 0",
        "vsetvli zero, zero, e8, m1, ta, ma",
        "mv t2, a1",
        "mv t3, a3",
        "2:",
        "mv t4, t2",
        "mv t5, a4",
        "3:",
        "vle8.v v4, (t4)",
        "add t4, t4, a6",
        "vwadd.wv v0, v0, v4",
        "addi t5, t5, -1",
        "bnez t5, 3b",
        "add t2, t2, a5",
        "addi t3, t3, -1",
        "bnez t3, 2b",
        "vsetvli zero, zero, e32, m4, ta, ma",
        "vsext.vf2 v8, v0",
        "ld t1, 40(a0)",
        "vadd.vx v8, v8, t1",
        // The magnitude, and with the sign again: x ^ s - s.
        "vsra.vi v12, v8, 31",
        "vxor.vv v8, v8, v12",
        "vsub.vv v8, v8, v12",
        "ld t1, 48(a0)",
        "vadd.vx v8, v8, t1",
        "vsll.vi v8, v8, 1",
        "ld t1, 56(a0)",
        "vmulhu.vx v8, v8, t1",
        "vxor.vv v8, v8, v12",
        "vsub.vv v8, v8, v12",
        "vsetvli zero, zero, e16, m2, ta, ma",
        "vnsra.wi v0, v8, 0",
        "vsetvli zero, zero, e8, m1, ta, ma",
        "vnsra.wi v4, v0, 0",
        "vse8.v v4, (a2)",
        "add a1, a1, t0",
        "add a2, a2, t0",
        "sub a7, a7, t0",
        "bnez a7, 1b",
        "ret",
        ".option pop",
    )
}
