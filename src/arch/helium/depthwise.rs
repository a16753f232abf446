//! int8 depthwise convolution of blocks of sixteen channels, or of eight where a layer has no more.
//!
//! Filters of up to four by four taps, not dilated: input rows are interleaved, so that four rows' values of a channel
//! and column share a word. One load gathers a window of four columns, and one VMLADAV multiplies all its taps, of which a
//! filter of three by three has nine. Other filters go tap by tap, eight channels of two pixels at once.

use crate::kernels::depthwise::{Band, DepthwiseKernel, Layout, Load, Order, fits_window};
use crate::kernels::{Routine, sealed::Sealed};
use crate::shape::DepthwiseConv2dShape;
use core::arch::naked_asm;

/// int8: VMLADAV over interleaved rows, or VMULLB and VMULLT, which multiply every other of eight values.
pub struct Int8;

impl Sealed for Int8 {}

/// Channels of a block.
const WIDE: usize = 16;
/// Channels of a block of a layer that has no more.
const NARROW: usize = 8;

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: WIDE, planes: 0, group: 1, order: Order::Windows, scratch: 1280 };
    const NARROW: usize = NARROW;
    const PARTIAL: bool = true;
    // Narrow pixels are interleaved in pairs.
    const OVERREAD: usize = NARROW / 4;

    #[inline(always)]
    fn widen(value: i8) -> i8 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise; these are the lanes that a block may have.
        unsafe { if load.lanes == WIDE { load_wide(load) } else { load_narrow(load) } }
    }

    unsafe fn move_down(from: *const i8, to: *mut i8, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { move_down(from, to, count) }
    }

    fn routine(shape: &DepthwiseConv2dShape) -> Option<Routine> {
        Some(routine(shape))
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        if let Some(routine) = band.routine {
            // SAFETY: the caller's promise: the routine is the one for the shape.
            unsafe { routine((&raw const *band).cast(), accumulators.cast()) }
        }
    }
}

/// The routine for a shape.
pub(crate) const fn routine(shape: &DepthwiseConv2dShape) -> Routine {
    type Kernel = unsafe extern "C" fn(&Band<Int8>, *mut i32);
    let wide = shape.output()[2] > NARROW;
    let kernel: Kernel = match (fits_window(shape), wide, shape.filter[0], shape.stride[1]) {
        (true, true, 1, 1) => interleaved::<WIDE, 1, 1>,
        (true, true, 1, 2) => interleaved::<WIDE, 1, 2>,
        (true, true, 2, 1) => interleaved::<WIDE, 2, 1>,
        (true, true, 2, 2) => interleaved::<WIDE, 2, 2>,
        (true, true, 3, 1) => interleaved::<WIDE, 3, 1>,
        (true, true, 3, 2) => interleaved::<WIDE, 3, 2>,
        (true, true, _, 1) => interleaved::<WIDE, 4, 1>,
        (true, true, _, _) => interleaved::<WIDE, 4, 2>,
        (true, false, 1, 1) => interleaved::<NARROW, 1, 1>,
        (true, false, 1, 2) => interleaved::<NARROW, 1, 2>,
        (true, false, 2, 1) => interleaved::<NARROW, 2, 1>,
        (true, false, 2, 2) => interleaved::<NARROW, 2, 2>,
        (true, false, 3, 1) => interleaved::<NARROW, 3, 1>,
        (true, false, 3, 2) => interleaved::<NARROW, 3, 2>,
        (true, false, _, 1) => interleaved::<NARROW, 4, 1>,
        (true, false, _, _) => interleaved::<NARROW, 4, 2>,
        (false, true, ..) => by_taps_wide,
        (false, false, ..) => by_taps::<NARROW>,
    };
    // SAFETY: the parameters are pointers, which are passed alike.
    unsafe { core::mem::transmute::<Kernel, Routine>(kernel) }
}

// Fields of `Load`: 0 first pixel, 4 bytes from pixel to pixel, 8 from row to row, 12 pixels, 16 rows, 20 where they go,
// 24 bytes from row to row there, 36 channels.

/// [`DepthwiseKernel::load_rows`] for blocks of sixteen lanes.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn load_wide(load: &Load<Int8>) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        "ldm r0, {{r1-r7}}",
        "ldr r8, [r0, #36]",
        "cmp r5, #0",
        "beq 4f",
        "vctp.8 r8",
        "cmp r8, #16",
        "bne 5f",
        "1:",
        "mov r0, r1",
        "mov r12, r6",
        "dls lr, r4",
        "2:",
        "vldrb.u8 q0, [r0]",
        "add r0, r2",
        "vstrb.8 q0, [r12], #16",
        "le lr, 2b",
        "add r1, r3",
        "add r6, r7",
        "subs r5, #1",
        "bne 1b",
        "b 4f",
        "5:",
        "mov r0, r1",
        "mov r12, r6",
        "dls lr, r4",
        "3:",
        "vpst",
        "vldrbt.u8 q0, [r0]",
        "add r0, r2",
        "vstrb.8 q0, [r12], #16",
        "le lr, 3b",
        "add r1, r3",
        "add r6, r7",
        "subs r5, #1",
        "bne 5b",
        "4:",
        "pop {{r4-r8, pc}}",
    )
}

/// [`DepthwiseKernel::load_rows`] for blocks of eight lanes.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn load_narrow(load: &Load<Int8>) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r8, lr}}",
        "ldm r0, {{r1-r7}}",
        "ldr r8, [r0, #36]",
        "cbz r5, 5f",
        "1:",
        "mov r12, r1",
        "mov r0, r6",
        "cmp r2, #8",
        "bne 3f",
        // The pixels lie side by side: bytes, sixteen at a time, the last of them as many as are left.
        "lsls r8, r4, #3",
        "wlstp.8 lr, r8, 4f",
        "2:",
        "vldrb.u8 q0, [r1], #16",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 2b",
        "b 4f",
        "3:",
        "vctp.16 r8",
        "dls lr, r4",
        "6:",
        "vpst",
        "vldrbt.u16 q0, [r1]",
        "add r1, r2",
        "vstrb.16 q0, [r0], #8",
        "le lr, 6b",
        "4:",
        "add r1, r12, r3",
        "add r6, r7",
        "subs r5, #1",
        "bne 1b",
        "5:",
        "pop {{r4-r8, pc}}",
    )
}

/// [`DepthwiseKernel::move_down`].
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn move_down(from: *const i8, to: *mut i8, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        "wlstp.8 lr, r2, 2f",
        // What lies after these sixteen bytes is written after it has been read.
        "1:",
        "vldrb.u8 q0, [r0], #16",
        "vstrb.8 q0, [r1], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r4, pc}}",
    )
}

/// Output columns that [`interleaved`] computes at once: offsets of their windows fit the instructions.
const fn most(lanes: usize, stride: usize) -> usize {
    if lanes * stride <= WIDE { 8 } else { 4 }
}

/// Bytes of the interleaved columns that they see.
const fn columns(lanes: usize, stride: usize) -> usize {
    (((most(lanes, stride) - 1) * stride + 4) * lanes * 4).next_multiple_of(64)
}

/// [`DepthwiseKernel::sums`] for blocks of `LANES` channels and filters of `HEIGHT` rows, up to four columns and the
/// horizontal stride `STRIDE`: an output takes 3 instructions. Interleaving a column's four rows takes 9 for all
/// channels, and serves two output rows where filters of fewer rows do not skip any.
///
/// # Safety
/// As there; pixels are `STRIDE * LANES` apart, and loads may go `OVERREAD` words beyond the band.
#[unsafe(naked)]
unsafe extern "C" fn interleaved<const LANES: usize, const HEIGHT: usize, const STRIDE: usize>(
    band: &Band<Int8>,
    accumulators: *mut i32,
) {
    // The frame: 0 bytes to the row that only the second of two output rows sees, or 0   4 rows left   8 the first pixel of
    // the row   16 the windows of the first output, less a step   32 interleaved columns: [column][channel][row]. A
    // window may reach beyond the columns that were written, where its weights are zero.
    //
    // Weights are moved by a row for the first of two output rows, or for the only one, so that their address is odd.
    //
    // VMOV of two registers puts the first into the lower lane, which its text names last.
    // q0 to q3 are the weights of four channels, q6 their biases, q7 the addresses of the columns before the windows of
    // the first output. r1 bytes from a row of sums to the next, r3 output columns at once, r5 next biases, r7 where their
    // code begins, r8 columns left, r9 next weights, r10 the first pixel, r11 the band, r12 next sums.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, #4",
        "vpush {{d8-d15}}",
        "sub sp, #{frame}",
        "mov r11, r0",
        "mov r12, r1",
        "movs r2, #0",
        "add r3, sp, #16",
        "vidup.u32 q7, r2, #4",
        "vshl.i32 q7, q7, #{log}",
        "vadd.i32 q7, q7, r3",
        "vstrw.32 q7, [sp, #16]",
        "ldr r10, [r11]",
        "ldr r1, [r11, #20]",
        "ldr r2, [r11, #28]",
        "lsls r1, r1, #{log} + 2",
        // A row of outputs, or two.
        "4:",
        "strd r2, r10, [sp, #4]",
        ".if {height} < 4",
        "ldrd r4, r3, [r11, #32]",
        "movs r0, #0",
        "cmp r2, #2",
        "it hs",
        "cmphs r4, r3",
        "it eq",
        "moveq r0, r3",
        "str r0, [sp]",
        ".endif",
        "ldr r8, [r11, #20]",
        // Some of its columns.
        "5:",
        "movs r3, #{most}",
        "cmp r3, r8",
        "it hi",
        "movhi r3, r8",
        "adr.w r7, 9f",
        "movs r0, #48",
        "mls r7, r3, r0, r7",
        "adds r7, #1",
        "ldr r2, [r11, #48]",
        "subs r4, r3, #1",
        ".if {stride} == 2",
        "lsls r4, r4, #1",
        ".endif",
        "adds r4, r4, r2",
        ".if {lanes} == 8",
        "adds r4, #1",
        "lsrs r4, r4, #1",
        ".endif",
        "dls lr, r4",
        "add r2, sp, #32",
        "mov r0, r10",
        "ldr r4, [r11, #36]",
        ".if {height} == 1",
        "ldr r4, [sp]",
        ".endif",
        "adds r5, r0, r4",
        ".if {height} > 1",
        ".if {height} == 2",
        "ldr r4, [sp]",
        ".endif",
        "adds r6, r5, r4",
        ".endif",
        ".if {height} > 2",
        ".if {height} == 3",
        "ldr r4, [sp]",
        ".endif",
        "add r9, r6, r4",
        ".endif",
        "6:",
        "vldrb.u8 q0, [r0], #16",
        "vldrb.u8 q1, [r5], #16",
        ".if {height} > 1",
        "vldrb.u8 q2, [r6], #16",
        ".endif",
        ".if {height} > 2",
        "vldrb.u8 q3, [r9], #16",
        ".endif",
        "vst40.8 {{q0, q1, q2, q3}}, [r2]",
        "vst41.8 {{q0, q1, q2, q3}}, [r2]",
        "vst42.8 {{q0, q1, q2, q3}}, [r2]",
        "vst43.8 {{q0, q1, q2, q3}}, [r2]!",
        "le lr, 6b",
        "ldr r9, [r11, #4]",
        ".if {height} < 4",
        "adds r9, #1",
        ".endif",
        // One row.
        "7:",
        "ldr r5, [r11, #8]",
        "movs r4, #{lanes} / 4",
        "vldrw.u32 q7, [sp, #16]",
        "dls lr, r4",
        // Four channels.
        "8:",
        "vldrb.u8 q0, [r9], #16",
        "vldrb.u8 q1, [r9], #16",
        "vldrb.u8 q2, [r9], #16",
        "vldrb.u8 q3, [r9], #16",
        "vldrw.u32 q6, [r5], #16",
        "bx r7",
        // Outputs, of 48 bytes of code each.
        ".set bareconv_output, {most} - 1",
        ".rept {most} - 1",
        "vldrw.u32 q4, [q7, #bareconv_output * {step} + 16]",
        "vldrw.u32 q5, [q7, #bareconv_output * {step} + 20]",
        "vmladav.s8 r0, q4, q0",
        "vldrw.u32 q4, [q7, #bareconv_output * {step} + 24]",
        "vmladav.s8 r2, q5, q1",
        "vldrw.u32 q5, [q7, #bareconv_output * {step} + 28]",
        "vmladav.s8 r4, q4, q2",
        "vmladav.s8 r6, q5, q3",
        "vmov q4[2], q4[0], r0, r4",
        "vmov q4[3], q4[1], r2, r6",
        "vadd.i32 q4, q4, q6",
        "vstrw.32 q4, [r12, #bareconv_output * {lanes} * 4]",
        ".set bareconv_output, bareconv_output - 1",
        ".endr",
        "vldrw.u32 q5, [q7, #20]",
        "vldrw.u32 q4, [q7, #24]",
        "vmladav.s8 r2, q5, q1",
        "vldrw.u32 q5, [q7, #28]",
        "vmladav.s8 r4, q4, q2",
        "vldrw.u32 q4, [q7, #16]!",
        "vmladav.s8 r6, q5, q3",
        "vmladav.s8 r0, q4, q0",
        "vmov q4[2], q4[0], r0, r4",
        "vmov q4[3], q4[1], r2, r6",
        "vadd.i32 q4, q4, q6",
        "vstrw.32 q4, [r12], #16",
        "9:",
        "le lr, 8b",
        ".if {height} < 4",
        "lsls r0, r9, #31",
        "beq 2f",
        "ldr r0, [sp]",
        "cbz r0, 3f",
        "subw r9, r9, #{lanes} * 16 + 1",
        "add r12, r12, r1",
        "sub r12, r12, #{lanes} * 4",
        "b 7b",
        "2:",
        "sub r12, r12, r1",
        "3:",
        ".endif",
        "subs r0, r3, #1",
        "add r12, r12, r0, lsl #{log} + 2",
        "add r10, r10, r3, lsl #{log} + {stride} - 1",
        "subs r8, r8, r3",
        "bne 5b",
        "ldrd r2, r10, [sp, #4]",
        "ldr r4, [r11, #32]",
        "add r10, r10, r4",
        ".if {height} < 4",
        "ldr r0, [sp]",
        "cbz r0, 3f",
        "add r10, r10, r4",
        "add r12, r12, r1",
        "subs r2, r2, #1",
        "3:",
        ".endif",
        "subs r2, r2, #1",
        "bne 4b",
        "add sp, #{frame}",
        "vpop {{d8-d15}}",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        lanes = const LANES,
        log = const LANES.ilog2(),
        height = const HEIGHT,
        stride = const STRIDE,
        step = const STRIDE * LANES * 4,
        most = const most(LANES, STRIDE),
        frame = const 32 + columns(LANES, STRIDE),
    )
}

/// [`DepthwiseKernel::sums`] for any filter and sixteen lanes.
///
/// # Safety
/// As there.
unsafe extern "C" fn by_taps_wide(band: &Band<Int8>, accumulators: *mut i32) {
    for lane in [0, WIDE / 2] {
        // SAFETY: the caller's promise, for half of the lanes.
        unsafe {
            let band = Band::<Int8> {
                activations: band.activations.add(lane),
                weights: band.weights.add(lane),
                bias: band.bias.add(lane),
                ..*band
            };
            by_taps::<WIDE>(&band, accumulators.add(lane));
        }
    }
}

/// [`DepthwiseKernel::sums`] for eight of `LANES` lanes: a tap of two pixels, sixteen multiply-accumulates, takes 14
/// instructions.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn by_taps<const LANES: usize>(band: &Band<Int8>, accumulators: *mut i32) {
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
        "vldrb.s16 q4, [r5], #{lanes}",
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
        "vst21.32 {{q0, q1}}, [r0]",
        "add r0, r0, #{lanes} * 4",
        "subs r2, r2, #1",
        "beq 4f",
        "vst20.32 {{q2, q3}}, [r0]",
        "vst21.32 {{q2, q3}}, [r0]",
        "add r0, r0, #{lanes} * 4",
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
        lanes = const LANES,
    )
}
