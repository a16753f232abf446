//! AArch64 at exception level 1.

use core::arch::{asm, global_asm};

// The MMU maps every address to itself, as without it all memory is a device's, where neither unaligned nor cached
// accesses are allowed: one gigabyte each, the first one for devices, the second one RAM.
global_asm!(
    ".pushsection .init, \"ax\"",
    ".globl _start",
    "_start:",
    // CPACR_EL1.FPEN: floating point and NEON do not trap.
    "mov x0, #(3 << 20)",
    "msr cpacr_el1, x0",
    "ldr x0, =_vectors",
    "msr vbar_el1, x0",
    "ldr x0, =_stack_start",
    "mov sp, x0",
    "ldr x0, =_bss_start",
    "ldr x1, =_bss_end",
    "2: cmp x0, x1",
    "b.hs 3f",
    "str xzr, [x0], #8",
    "b 2b",
    // Attribute 0: normal memory, write-back; attribute 1: a device.
    "3: mov x0, #0xff",
    "msr mair_el1, x0",
    // 39 bits of address, pages of 4 KB, shareable and cached, no second table.
    "ldr x0, =(25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23)",
    "msr tcr_el1, x0",
    "ldr x0, =_translation",
    "msr ttbr0_el1, x0",
    "dsb sy",
    "isb",
    "mrs x0, sctlr_el1",
    "mov x1, #(1 << 12 | 1 << 2 | 1)",
    "orr x0, x0, x1",
    "msr sctlr_el1, x0",
    "isb",
    "b {main}",
    ".popsection",
    // Sixteen vectors of 128 bytes.
    ".pushsection .text.vectors, \"ax\"",
    ".balign 2048",
    "_vectors:",
    ".rept 16",
    "b {fault}",
    ".balign 128",
    ".endr",
    ".popsection",
    // Blocks of a gigabyte, accessed: attribute 1; then attribute 0, shareable.
    ".pushsection .rodata.translation, \"a\"",
    ".balign 4096",
    "_translation:",
    ".quad 0x00000000 | 1 << 10 | 1 << 2 | 1",
    ".quad 0x40000000 | 1 << 10 | 3 << 8 | 1",
    ".fill 510, 8, 0",
    ".popsection",
    main = sym main,
    fault = sym fault,
);

extern "C" fn main() -> ! {
    // SAFETY: `main!` defines it with this type.
    semihosting::process::exit(unsafe { crate::machine_main() })
}

extern "C" fn fault() -> ! {
    let (syndrome, pc, address): (usize, usize, usize);
    // SAFETY: they read registers that exist at exception level 1.
    unsafe {
        asm!("mrs {}, esr_el1", "mrs {}, elr_el1", "mrs {}, far_el1", out(reg) syndrome, out(reg) pc, out(reg) address);
    }
    crate::fault(&[("esr", syndrome), ("elr", pc), ("far", address)])
}
