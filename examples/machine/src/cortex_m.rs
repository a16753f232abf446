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

unsafe extern "C" {
    fn DefaultHandler();
}

/// No interrupt is enabled, so that the vector table may end after the first one.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [DefaultHandler];
