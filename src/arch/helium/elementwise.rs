//! What int8 operators do to values side by side: loops that predicate their last, partial vector.

use super::Helium;
use crate::kernels::elementwise::{Array, Elementwise, SUM_LENGTH, Window};
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
    padded: i32,
    half: i32,
    /// 2^31 divided by the number of pixels, rounded upwards.
    reciprocal: u32,
}

impl Average {
    /// With `n = |sum| + half`, below 129 times the count, `n * reciprocal / 2^31` is above `n / count` by less than
    /// `n / 2^31`, and so has the same integer part as long as that is at most `1 / count`: up to a count of 4080.
    #[inline(always)]
    fn new(window: Window, padded: i32, count: i32) -> Self {
        // wrapping_div, because the compiler does not see that the count is never zero.
        let reciprocal = ((1 << 31) + (count as u32 - 1)).wrapping_div((count as u32).max(1));
        Self { window, padded, half: count / 2, reciprocal }
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

/// The larger of each value and `zero`.
///
/// # Safety
/// As [`Elementwise::relu_int8`].
#[unsafe(naked)]
unsafe extern "C" fn relu(zero: i8, from: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vdup.8 q1, r0",
        "wlstp.8 lr, r3, 3f",
        "2:",
        "vldrb.u8 q0, [r1], #16",
        "vmax.s8 q0, q0, q1",
        "vstrb.8 q0, [r2], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// The maxima of a window, sixteen channels at a time.
///
/// # Safety
/// As [`Elementwise::max_int8`].
#[unsafe(naked)]
unsafe extern "C" fn max(window: &Window, input: *const i8, output: *mut i8) {
    // r1 the first pixel, r2 the output, r3 rows, r4 columns, r5 bytes from row to row, r6 from column to column, r7
    // channels left, r8 the row, r9 rows left, r10 the pixel.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r10, lr}}",
        "ldm r0, {{r0, r3, r4, r5, r6}}",
        "add r1, r0",
        "mov r7, r6",
        "1:",
        "vctp.8 r7",
        "vmov.i8 q0, #128",
        "mov r8, r1",
        "mov r9, r3",
        "2:",
        "mov r10, r8",
        "dls lr, r4",
        "3:",
        "vpst",
        "vldrbt.u8 q1, [r10]",
        "add r10, r6",
        "vmax.s8 q0, q0, q1",
        "le lr, 3b",
        "add r8, r5",
        "subs r9, r9, #1",
        "bne 2b",
        "vpst",
        "vstrbt.8 q0, [r2], #16",
        "add r1, #16",
        "subs r7, r7, #16",
        "bgt 1b",
        "pop {{r4-r10, pc}}",
    )
}

/// The averages of a window, eight channels at a time: sums in 16 bits, then a division by multiplication in 32.
///
/// # Safety
/// As [`Elementwise::average_int8`], for at most [`SUM_LENGTH`] pixels and a count of at most [`MAX_COUNT`].
#[unsafe(naked)]
unsafe extern "C" fn average(job: &Average, input: *const i8, output: *mut i8) {
    // r0 the pixel, r1 the first pixel, r2 the output, r3 rows, r4 columns, r5 bytes from row to row, r6 from column to
    // column, r7 channels left, r8 the row, r9 rows left, r10 the sum of padding, r11 half.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #4",
        "vpush {{d8-d11}}",
        "ldrd r10, r11, [r0, #20]",
        "ldr r3, [r0, #28]",
        "vdup.32 q4, r3",
        "ldm r0, {{r0, r3, r4, r5, r6}}",
        "add r1, r0",
        "mov r7, r6",
        "1:",
        "vctp.16 r7",
        "vmov.i32 q0, #0",
        "mov r8, r1",
        "mov r9, r3",
        "2:",
        "mov r0, r8",
        "dls lr, r4",
        "3:",
        "vpst",
        "vldrbt.s16 q1, [r0]",
        "add r0, r6",
        "vadd.i16 q0, q0, q1",
        "le lr, 3b",
        "add r8, r5",
        "subs r9, r9, #1",
        "bne 2b",
        // Even channels, then odd ones.
        "vmovlb.s16 q1, q0",
        "vmovlt.s16 q2, q0",
        ".irp sums, q1, q2",
        "vadd.i32 \\sums, \\sums, r10",
        "vabs.s32 q3, \\sums",
        "vadd.i32 q3, q3, r11",
        "vshl.i32 q3, q3, #1",
        "vmulh.u32 q3, q3, q4",
        "vcmp.s32 lt, \\sums, zr",
        "vpst",
        "vnegt.s32 q3, q3",
        "vmov \\sums, q3",
        ".endr",
        "vmovnb.i32 q0, q1",
        "vmovnt.i32 q0, q2",
        "vctp.16 r7",
        "vpst",
        "vstrbt.16 q0, [r2], #8",
        "add r1, #8",
        "subs r7, r7, #8",
        "bgt 1b",
        "vpop {{d8-d11}}",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
