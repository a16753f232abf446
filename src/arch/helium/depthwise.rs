//! int8 depthwise convolution, eight channels of two pixels at once.

use crate::kernels::depthwise::{Band, DepthwiseKernel, Layout, Load, Order};
use crate::kernels::sealed::Sealed;
use core::arch::naked_asm;

/// int8: VMULLB and VMULLT multiply every other of eight values, widened to 16 bits when they are loaded.
pub struct Int8;

impl Sealed for Int8 {}

/// Channels at once.
const LANES: usize = 8;

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 1, order: Order::Filter, scratch: 1024 };

    #[inline(always)]
    fn widen(value: i8) -> i8 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        let (mut row, mut to_row) = (load.from, load.to);
        for _ in 0..load.rows {
            let (mut from, mut to) = (row, to_row);
            if load.from_pixel == LANES {
                // SAFETY: the caller's promise: the pixels lie side by side.
                unsafe { core::ptr::copy_nonoverlapping(from, to, load.pixels * LANES) };
            } else {
                for _ in 0..load.pixels {
                    // SAFETY: the caller's promise. The last steps of all these pointers may leave the memory, so they wrap
                    // and are not followed.
                    unsafe { to.cast::<[i8; LANES]>().write(from.cast::<[i8; LANES]>().read()) };
                    from = from.wrapping_add(load.from_pixel);
                    to = to.wrapping_add(LANES);
                }
            }
            row = row.wrapping_add(load.from_row);
            to_row = to_row.wrapping_add(load.to_row);
        }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { sums(band, accumulators) }
    }
}

/// [`DepthwiseKernel::sums`]: a tap of two pixels, sixteen multiply-accumulates, takes 14 instructions.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn sums(band: &Band<Int8>, accumulators: *mut i32) {
    // r0 next sums, r1 and r6 two pixels, r2 columns left, r3 next tap, r4 and r7 scratch, r5 next weights, r12 taps, r8
    // bytes from pixel to pixel, r9 rows left, r10 the row, r11 the band. q0 and q1 are the sums of the first pixel's even
    // and odd channels, q2 and q3 the second's.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #4",
        "vpush {{d8-d15}}",
        "mov r11, r0",
        "mov r0, r1",
        "ldr r10, [r11]",
        "ldr r12, [r11, #16]",
        "ldrd r8, r9, [r11, #24]",
        "1:",
        "mov r1, r10",
        "ldr r2, [r11, #20]",
        "2:",
        "ldrd r7, r3, [r11, #8]",
        "ldr r5, [r11, #4]",
        "vld20.32 {{q0, q1}}, [r7]",
        "vld21.32 {{q0, q1}}, [r7]",
        "vmov q2, q0",
        "vmov q3, q1",
        "add r6, r1, r8",
        // There is no second pixel: the first once more.
        "cmp r2, #1",
        "it eq",
        "moveq r6, r1",
        "dls lr, r12",
        "3:",
        "ldr r4, [r3], #4",
        "vldrb.s16 q4, [r5], #8",
        "add r7, r1, r4",
        "vldrb.s16 q5, [r7]",
        "add r7, r6, r4",
        "vmullb.s16 q6, q5, q4",
        "vmullt.s16 q7, q5, q4",
        "vldrb.s16 q5, [r7]",
        "vadd.i32 q0, q0, q6",
        "vmullb.s16 q6, q5, q4",
        "vadd.i32 q1, q1, q7",
        "vmullt.s16 q7, q5, q4",
        "vadd.i32 q2, q2, q6",
        "vadd.i32 q3, q3, q7",
        "le lr, 3b",
        "vst20.32 {{q0, q1}}, [r0]",
        "vst21.32 {{q0, q1}}, [r0]!",
        "subs r2, r2, #1",
        "beq 4f",
        "vst20.32 {{q2, q3}}, [r0]",
        "vst21.32 {{q2, q3}}, [r0]!",
        "add r1, r1, r8, lsl #1",
        "subs r2, r2, #1",
        "bne 2b",
        "4:",
        "ldr r4, [r11, #32]",
        "add r10, r10, r4",
        "subs r9, r9, #1",
        "bne 1b",
        "vpop {{d8-d15}}",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
