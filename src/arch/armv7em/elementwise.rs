use super::Armv7em;
use crate::kernels::elementwise::{Array, Elementwise, Lanes, MAX_SUMS, SumLanes};
use core::arch::asm;

impl Elementwise for Armv7em {
    type Bytes = Word;
    type Halves = Pair;
    type Floats = Array<f32, 4>;
    type Sums = Word;
}

/// Four int8 values in a register.
pub struct Word;

impl Lanes for Word {
    type Element = i8;
    type Vector = u32;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const i8) -> u32 {
        // SAFETY: the caller's promise. LDR takes any address on these cores.
        unsafe { from.cast::<u32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: u32, to: *mut i8) {
        // SAFETY: the caller's promise. STR takes any address on these cores.
        unsafe { to.cast::<u32>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i8) -> u32 {
        value as u8 as u32 * 0x0101_0101
    }

    #[inline(always)]
    unsafe fn larger(candidate: u32, current: u32) -> u32 {
        let larger: u32;
        // SAFETY: register arithmetic alone. SSUB8 sets each byte's GE flag where candidate - current, with its ninth
        // bit, is not negative; SEL takes those bytes from candidate. The flags live from one to the other in one
        // block, and are not claimed to be preserved. The output may share a register with an input: SSUB8 writes a
        // scratch register that shares none (it is an early output).
        unsafe {
            asm!(
                "ssub8 {scratch}, {candidate}, {current}",
                "sel {larger}, {candidate}, {current}",
                candidate = in(reg) candidate,
                current = in(reg) current,
                scratch = out(reg) _,
                larger = lateout(reg) larger,
                options(pure, nomem, nostack),
            );
        }
        larger
    }
}

/// Two int16 values in a register.
pub struct Pair;

impl Lanes for Pair {
    type Element = i16;
    type Vector = u32;
    const COUNT: usize = 2;

    #[inline(always)]
    unsafe fn load(from: *const i16) -> u32 {
        // SAFETY: the caller's promise. LDR takes any address on these cores.
        unsafe { from.cast::<u32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: u32, to: *mut i16) {
        // SAFETY: the caller's promise. STR takes any address on these cores.
        unsafe { to.cast::<u32>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i16) -> u32 {
        value as u16 as u32 * 0x0001_0001
    }

    #[inline(always)]
    unsafe fn larger(candidate: u32, current: u32) -> u32 {
        let larger: u32;
        // SAFETY: as in `Word::larger`; SSUB16 sets the two GE flags of each halfword by its 17-bit difference.
        unsafe {
            asm!(
                "ssub16 {scratch}, {candidate}, {current}",
                "sel {larger}, {candidate}, {current}",
                candidate = in(reg) candidate,
                current = in(reg) current,
                scratch = out(reg) _,
                larger = lateout(reg) larger,
                options(pure, nomem, nostack),
            );
        }
        larger
    }
}

impl SumLanes for Word {
    /// Bytes 0 and 2, then 1 and 3, as halfwords.
    type Sums = [u32; 2];
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> [u32; 2] {
        [0; 2]
    }

    #[inline(always)]
    unsafe fn add([mut even, mut odd]: [u32; 2], from: *const i8) -> [u32; 2] {
        // SAFETY: the caller's promise for the load; the rest is register arithmetic, and SXTAB16 sets no flags.
        unsafe {
            let values = <Self as Lanes>::load(from);
            asm!(
                "sxtab16 {even}, {even}, {values}",
                "sxtab16 {odd}, {odd}, {values}, ror #8",
                even = inout(reg) even,
                odd = inout(reg) odd,
                values = in(reg) values,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        [even, odd]
    }

    #[inline(always)]
    unsafe fn drain([even, odd]: [u32; 2], totals: &mut [i32; MAX_SUMS]) {
        totals[0] += even as i16 as i32;
        totals[1] += odd as i16 as i32;
        totals[2] += even as i32 >> 16;
        totals[3] += odd as i32 >> 16;
    }
}
