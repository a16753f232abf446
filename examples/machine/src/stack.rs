//! Measures how much stack a function uses, by painting the unused stack and looking for what changed.

use core::arch::asm;
use core::ptr;

const PAINT: u32 = 0xCCCC_CCCC;

/// Bytes left alone below the stack pointer while painting and scanning, for frames of this module.
const MARGIN: usize = 128;

unsafe extern "C" {
    static mut _stack_end: u32;
}

/// The most bytes of stack that `f` uses at a time, its own frame and those of everything it calls.
///
/// Words that `f` leaves as [`PAINT`] at the far end go unnoticed; up to [`MARGIN`] bytes may be counted too many
/// if `f` uses less than that.
pub fn peak(f: &mut dyn FnMut()) -> usize {
    let top = stack_pointer();
    let bottom = &raw mut _stack_end;
    let words = (top - MARGIN).saturating_sub(bottom.addr()) / 4;
    for i in 0..words {
        // SAFETY: from the end of the statics to MARGIN bytes below the stack pointer nothing is alive: no heap
        // is placed there, and no interrupt is enabled whose handler could run on it. Volatile, as to the
        // compiler this is not memory of any object.
        unsafe { ptr::write_volatile(bottom.add(i), PAINT) };
    }
    call(f);
    let untouched = (0..words)
        // SAFETY: as above, and the words were just written.
        .take_while(|&i| unsafe { ptr::read_volatile(bottom.add(i)) } == PAINT)
        .count();
    top - (bottom.addr() + 4 * untouched)
}

#[inline(never)]
fn call(f: &mut dyn FnMut()) {
    f();
}

#[inline(always)]
fn stack_pointer() -> usize {
    let sp;
    // SAFETY: it copies a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}
