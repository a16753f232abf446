//! RISC-V, 32 or 64 bits, in machine mode.

use core::arch::{asm, global_asm};

// QEMU starts every core at the beginning of the RAM; the first one goes on.
global_asm!(
    ".pushsection .init, \"ax\"",
    ".globl _start",
    "_start:",
    "csrr t0, mhartid",
    "2: bnez t0, 2b",
    ".option push",
    ".option norelax",
    "la gp, __global_pointer$",
    ".option pop",
    "la sp, _stack_start",
    "la t0, _trap",
    "csrw mtvec, t0",
    // mstatus.FS and VS: floating-point and vector registers are on; bits of what the core lacks stay 0.
    "li t0, 0x2200",
    "csrs mstatus, t0",
    "la t0, _bss_start",
    "la t1, _bss_end",
    "3: bgeu t0, t1, 4f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 3b",
    "4: tail {main}",
    // The direct mode of mtvec wants a multiple of 4.
    ".balign 4",
    "_trap: tail {trap}",
    ".popsection",
    main = sym main,
    trap = sym trap,
);

extern "C" fn main() -> ! {
    // SAFETY: `main!` defines it with this type.
    semihosting::process::exit(unsafe { crate::machine_main() })
}

/// Every exception ends here; nothing returns.
extern "C" fn trap() -> ! {
    let (cause, pc, value): (usize, usize, usize);
    // SAFETY: they read registers that exist in machine mode.
    unsafe {
        asm!("csrr {}, mcause", "csrr {}, mepc", "csrr {}, mtval", out(reg) cause, out(reg) pc, out(reg) value);
    }
    crate::fault(&[("mcause", cause), ("mepc", pc), ("mtval", value)])
}
