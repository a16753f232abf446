//! int8 convolution with six sums in the high registers: those of one pixel and six channels.
//!
//! MULS overwrites a factor, which here is the weight: with one pixel none is needed twice. Rows hold activations plus
//! 128, because only unsigned bytes are loaded from constant offsets.

use crate::kernels::finish::Requantize;
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::naked_asm;

/// int8 with MULS.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = u8;
    type Accumulator = i32;
    const CONVOLUTION: Layout = Layout::channels(6, 2, 1).offset(128);
    const DENSE: Layout = Self::CONVOLUTION;
    const PIXELS: usize = 2;
    const STRIP: usize = 16;

    #[inline(always)]
    fn widen(value: i8) -> u8 {
        value as u8 ^ 0x80
    }

    fn load_row(input: &[i8], row: &mut [u8]) {
        for (wide, &value) in row.iter_mut().zip(input) {
            *wide = Self::widen(value);
        }
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
        let kernel = match channels {
            2 => pixels::<2>,
            4 => pixels::<4>,
            _ => pixels::<6>,
        };
        // SAFETY: the caller's promise; these are all the sizes of blocks that the layouts have.
        unsafe { kernel(job, accumulators) }
    }
}

impl Requantize for Int8 {}

/// Taps in a pass of the loop over a run; a pass is straight-line code.
const PASS: usize = 8;

/// A strip, pixel by pixel, and `CHANNELS` channels: a tap of six channels, as many multiply-accumulates, takes 21
/// instructions.
///
/// # Safety
/// As [`MicroKernel::strip`], for blocks of `CHANNELS`.
#[unsafe(naked)]
unsafe extern "C" fn pixels<const CHANNELS: usize>(job: &Strip<Int8>, accumulators: *mut i32) {
    // The frame, in bytes from the stack pointer:
    //   0 first run offset   4 end of the run offsets   8 next run offset   12 activations, less what the first pass skips
    //   16 bytes of the passes of a run   20 bytes to the next pixel   24 biases   28 sums   32 pixels left
    //   36 bytes to the next sums   40 weights   44 where the first pass begins   48 end of the run's last pass
    //   52 what 36 changes by between the first pixel of a tile and the second
    // Sums are in r8 to r12 and lr. r0, r1 and r2 are the weights of channels 0, 2 and 4; r3 and r4 run along them, one
    // channel apart. r5 is the next activation, r6 an activation, r7 a weight and then a product.
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "sub sp, #56",
        "str r1, [sp, #28]",
        "ldr r1, [r0, #4]",
        "str r1, [sp, #0]",
        "ldr r2, [r0, #8]",
        "lsls r2, r2, #2",
        "adds r1, r1, r2",
        "str r1, [sp, #4]",
        // The passes of a run of n taps: ceil(n / PASS), the first of which begins within the code, so many bytes a tap.
        "ldr r1, [r0, #12]",
        "movs r2, r1",
        "adds r2, #{pass} - 1",
        "movs r3, #{pass} - 1",
        "bics r2, r3",
        "str r2, [sp, #16]",
        "subs r1, r2, r1",
        "ldr r2, [r0]",
        "subs r2, r2, r1",
        "str r2, [sp, #12]",
        "movs r2, #{bytes}",
        "muls r1, r2, r1",
        "adr r2, 3f",
        "adds r1, r1, r2",
        "adds r1, #1",
        "str r1, [sp, #44]",
        "ldr r1, [r0, #16]",
        "str r1, [sp, #20]",
        "ldr r1, [r0, #20]",
        "str r1, [sp, #40]",
        "ldr r1, [r0, #24]",
        "str r1, [sp, #24]",
        "ldr r1, [r0, #28]",
        "str r1, [sp, #32]",
        // Nothing between the two pixels of a tile; behind them the tiles of other rows.
        "movs r1, #0",
        "str r1, [sp, #36]",
        "ldr r1, [r0, #32]",
        "subs r1, r1, #1",
        "movs r2, #{channels} * 8",
        "muls r1, r2, r1",
        "str r1, [sp, #52]",
        "1:",
        "ldr r0, [sp, #24]",
        "ldm r0!, {{r4, r5}}",
        "mov r8, r4",
        "mov r9, r5",
        ".if {channels} >= 4",
        "ldm r0!, {{r4, r5}}",
        "mov r10, r4",
        "mov r11, r5",
        ".endif",
        ".if {channels} >= 6",
        "ldm r0!, {{r4, r5}}",
        "mov r12, r4",
        "mov lr, r5",
        ".endif",
        "ldr r0, [sp, #40]",
        "adds r1, r0, #2",
        "adds r2, r0, #4",
        "movs r3, #0",
        "movs r4, #1",
        "ldr r6, [sp, #0]",
        "2:",
        "ldm r6!, {{r7}}",
        "str r6, [sp, #8]",
        "ldr r5, [sp, #12]",
        "adds r5, r5, r7",
        "ldr r6, [sp, #16]",
        "adds r6, r6, r5",
        "str r6, [sp, #48]",
        "ldr r6, [sp, #44]",
        "bx r6",
        ".balign 4",
        "3:",
        ".irp tap, 0, 1, 2, 3, 4, 5, 6, 7",
        "ldrb r6, [r5, #\\tap]",
        "ldrsb r7, [r0, r3]",
        "muls r7, r6, r7",
        "add r8, r7",
        "ldrsb r7, [r0, r4]",
        "muls r7, r6, r7",
        "add r9, r7",
        ".if {channels} >= 4",
        "ldrsb r7, [r1, r3]",
        "muls r7, r6, r7",
        "add r10, r7",
        "ldrsb r7, [r1, r4]",
        "muls r7, r6, r7",
        "add r11, r7",
        ".endif",
        ".if {channels} >= 6",
        "ldrsb r7, [r2, r3]",
        "muls r7, r6, r7",
        "add r12, r7",
        "ldrsb r7, [r2, r4]",
        "muls r7, r6, r7",
        "add lr, r7",
        ".endif",
        "adds r3, #{channels}",
        "adds r4, #{channels}",
        ".endr",
        "adds r5, #{pass}",
        "ldr r6, [sp, #48]",
        "cmp r5, r6",
        "beq 4f",
        "b 3b",
        "4:",
        "ldr r6, [sp, #8]",
        "ldr r7, [sp, #4]",
        "cmp r6, r7",
        "beq 5f",
        "b 2b",
        "5:",
        "ldr r0, [sp, #28]",
        "mov r1, r8",
        "mov r2, r9",
        "stm r0!, {{r1, r2}}",
        ".if {channels} >= 4",
        "mov r1, r10",
        "mov r2, r11",
        "stm r0!, {{r1, r2}}",
        ".endif",
        ".if {channels} >= 6",
        "mov r1, r12",
        "mov r2, lr",
        "stm r0!, {{r1, r2}}",
        ".endif",
        "ldr r1, [sp, #12]",
        "ldr r2, [sp, #20]",
        "adds r1, r1, r2",
        "str r1, [sp, #12]",
        "ldr r1, [sp, #36]",
        "adds r0, r0, r1",
        "str r0, [sp, #28]",
        "ldr r2, [sp, #52]",
        "eors r1, r2",
        "str r1, [sp, #36]",
        "ldr r1, [sp, #32]",
        "subs r1, r1, #1",
        "str r1, [sp, #32]",
        "beq 6f",
        "b 1b",
        "6:",
        "add sp, #56",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
        channels = const CHANNELS,
        pass = const PASS,
        bytes = const 2 * (3 * CHANNELS + 3),
    )
}
