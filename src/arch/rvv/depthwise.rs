//! Depthwise convolution, as many channels as a vector has of four pixels at once.

use crate::kernels::depthwise::{Band, DepthwiseKernel, Layout, Load, Order};
use crate::kernels::sealed::Sealed;
use core::arch::naked_asm;

/// Channels of a block.
const LANES: usize = 16;

const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 1, order: Order::Filter, scratch: 4096 };

/// int8 with VWMACC.
pub struct Int8;

impl Sealed for Int8 {}

impl DepthwiseKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const LAYOUT: Layout = LAYOUT;

    #[inline(always)]
    fn widen(value: i8) -> i8 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise.
        unsafe { load_rows::<Self, 0>(load) }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { sums::<Self, 0>(band, accumulators) }
    }
}

/// Single precision: a product, rounded, then a sum, rounded; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Float {}

impl DepthwiseKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const LAYOUT: Layout = LAYOUT;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise.
        unsafe { load_rows::<Self, 2>(load) }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { sums::<Self, 2>(band, accumulators) }
    }
}

/// [`DepthwiseKernel::load_rows`], of elements of `1 << BITS` bytes.
///
/// # Safety
/// As there.
unsafe fn load_rows<K: DepthwiseKernel<Activation = <K as DepthwiseKernel>::Input>, const BITS: usize>(load: &Load<K>) {
    let (mut from, mut to) = (load.from, load.to);
    for _ in 0..load.rows {
        // SAFETY: the caller's promise. The last steps may leave the memory, so they wrap and are not followed.
        unsafe { load_row::<K::Input, BITS>(from, load.from_pixel, load.pixels, to) };
        from = from.wrapping_add(load.from_row);
        to = to.wrapping_add(load.to_row);
    }
}

/// A row of [`load_rows`]. Vectors have at least 128 bits, so that four of them hold
/// the lanes.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn load_row<T, const BITS: usize>(from: *const T, stride: usize, pixels: usize, to: *mut T) {
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "beqz a2, 3f",
        "slli a1, a1, {bits}",
        "li t0, {lanes}",
        ".if {bits} == 0",
        "vsetvli zero, t0, e8, m1, ta, ma",
        ".else",
        "vsetvli zero, t0, e32, m4, ta, ma",
        ".endif",
        "2:",
        ".if {bits} == 0",
        "vle8.v v0, (a0)",
        "vse8.v v0, (a3)",
        ".else",
        "vle32.v v0, (a0)",
        "vse32.v v0, (a3)",
        ".endif",
        "add a0, a0, a1",
        "addi a3, a3, {lanes} << {bits}",
        "addi a2, a2, -1",
        "bnez a2, 2b",
        "3:",
        "ret",
        ".option pop",
        bits = const BITS,
        lanes = const LANES,
    )
}

// One pixel of a tap: activations from t0, weights in v20 and v21 (int8, widened) or v20 to v23.
macro_rules! pixel {
    ($sums:literal) => {
        concat!(
            ".if {bits} == 0\n",
            "vle8.v v16, (t0)\n",
            "vsext.vf2 v18, v16\n",
            "vwmacc.vv ",
            $sums,
            ", v18, v20\n",
            ".else\n",
            "vle32.v v16, (t0)\n",
            "vfmul.vv v16, v16, v20\n",
            "vfadd.vv ",
            $sums,
            ", ",
            $sums,
            ", v16\n",
            ".endif\n",
        )
    };
}

/// [`DepthwiseKernel::sums`], of elements of `1 << BITS` bytes: int8, or single precision.
///
/// # Safety
/// As there.
#[unsafe(naked)]
unsafe extern "C" fn sums<K: DepthwiseKernel, const BITS: usize>(band: &Band<K>, accumulators: *mut K::Accumulator) {
    // s0 the row, s1 rows left, s2 columns left, s3 to s6 four pixels, s7 bytes from pixel to pixel, s8 weights, s9
    // biases; a0 the band, a1 the row's sums, a2 lanes left, a3 bytes of the lanes before, a4 the tile's sums, a5 next tap,
    // a6 taps left, a7 next weights; t0 and t1 scratch, t2 lanes in the piece, t3 columns in the tile. Sums are in v0 to v15.
    naked_asm!(
        ".option push",
        ".option arch, +m, +v",
        "addi sp, sp, -96",
        "sd s0, 0(sp)",
        "sd s1, 8(sp)",
        "sd s2, 16(sp)",
        "sd s3, 24(sp)",
        "sd s4, 32(sp)",
        "sd s5, 40(sp)",
        "sd s6, 48(sp)",
        "sd s7, 56(sp)",
        "ld s0, 0(a0)",
        "ld s1, 56(a0)",
        "ld s7, 48(a0)",
        "slli s7, s7, {bits}",
        "1:",
        "ld s2, 40(a0)",
        "mv s3, s0",
        "2:",
        // Pixels that do not exist are the first once more.
        "mv s4, s3",
        "mv s5, s3",
        "mv s6, s3",
        "li t0, 2",
        "blt s2, t0, 3f",
        "add s4, s3, s7",
        "beq s2, t0, 3f",
        "add s5, s4, s7",
        "li t0, 3",
        "beq s2, t0, 3f",
        "add s6, s5, s7",
        "3:",
        "li a2, {lanes}",
        "li a3, 0",
        "4:",
        "vsetvli t2, a2, e32, m4, ta, ma",
        "ld t0, 16(a0)",
        "slli t1, a3, 2",
        "add t0, t0, t1",
        "vle32.v v0, (t0)",
        "vmv.v.v v4, v0",
        "vmv.v.v v8, v0",
        "vmv.v.v v12, v0",
        ".if {bits} == 0",
        "vsetvli zero, zero, e16, m2, ta, ma",
        ".endif",
        "ld a5, 24(a0)",
        "ld a6, 32(a0)",
        "ld a7, 8(a0)",
        "slli t1, a3, {bits}",
        "add a7, a7, t1",
        "5:",
        "lwu t1, 0(a5)",
        "addi a5, a5, 4",
        ".if {bits} == 0",
        "vle8.v v16, (a7)",
        "vsext.vf2 v20, v16",
        ".else",
        "vle32.v v20, (a7)",
        ".endif",
        "addi a7, a7, {lanes} << {bits}",
        // Offsets count elements, and so do lanes.
        "add t1, t1, a3",
        ".if {bits}",
        "slli t1, t1, {bits}",
        ".endif",
        "add t0, s3, t1",
        pixel!("v0"),
        "add t0, s4, t1",
        pixel!("v4"),
        "add t0, s5, t1",
        pixel!("v8"),
        "add t0, s6, t1",
        pixel!("v12"),
        "addi a6, a6, -1",
        "bnez a6, 5b",
        ".if {bits} == 0",
        "vsetvli zero, zero, e32, m4, ta, ma",
        ".endif",
        "slli t1, a3, 2",
        "add a4, a1, t1",
        "vse32.v v0, (a4)",
        "addi t3, s2, -1",
        "beqz t3, 6f",
        "addi a4, a4, {lanes} * 4",
        "vse32.v v4, (a4)",
        "addi t3, t3, -1",
        "beqz t3, 6f",
        "addi a4, a4, {lanes} * 4",
        "vse32.v v8, (a4)",
        "addi t3, t3, -1",
        "beqz t3, 6f",
        "addi a4, a4, {lanes} * 4",
        "vse32.v v12, (a4)",
        "6:",
        "add a3, a3, t2",
        "sub a2, a2, t2",
        "bnez a2, 4b",
        "slli t0, s7, 2",
        "add s3, s3, t0",
        "li t0, 4",
        "ble s2, t0, 7f",
        "addi a1, a1, {lanes} * 16",
        "addi s2, s2, -4",
        "j 2b",
        "7:",
        "slli t0, s2, 2",
        "li t1, {lanes}",
        "mul t0, t0, t1",
        "add a1, a1, t0",
        "ld t0, 64(a0)",
        "slli t0, t0, {bits}",
        "add s0, s0, t0",
        "addi s1, s1, -1",
        "bnez s1, 1b",
        "ld s0, 0(sp)",
        "ld s1, 8(sp)",
        "ld s2, 16(sp)",
        "ld s3, 24(sp)",
        "ld s4, 32(sp)",
        "ld s5, 40(sp)",
        "ld s6, 48(sp)",
        "ld s7, 56(sp)",
        "addi sp, sp, 96",
        "ret",
        ".option pop",
        bits = const BITS,
        lanes = const LANES,
    )
}
