//! Cortex-M: `cortex-m-rt` does what there is to do, and switches the floating-point unit on.

#[cortex_m_rt::entry]
fn main() -> ! {
    // SAFETY: `main!` defines it with this type.
    semihosting::process::exit(unsafe { crate::machine_main() })
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    crate::fault(&[("pc", frame.pc() as usize), ("lr", frame.lr() as usize)])
}
