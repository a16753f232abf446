//! LeNet-5 on an emulated Cortex-M4 (QEMU's `mps2-an386`).
//!
//! What it can do is described at `harness::run`. It logs through `defmt`; `cargo xtask run` builds and starts it,
//! and decodes the log.

#![no_std]
#![no_main]

use bareconv::Arena;
// Linked for its critical section, which logging needs.
use cortex_m as _;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use harness::{Input, Network, Output};
use semihosting::process;

include!(concat!(env!("OUT_DIR"), "/model.rs"));

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ model::RAM_BYTES }> = Arena::new();
    harness::run(Network {
        name: model::NAME,
        arena_bytes: model::RAM_BYTES,
        weight_bytes: model::FLASH_BYTES,
        macs: model::MACS,
        infer: &mut |input: &Input| -> Output { model::MODEL.infer(input, ARENA) },
    })
}

unsafe extern "C" {
    fn DefaultHandler();
}

/// No interrupt is enabled, so that the vector table may end after the first one.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [DefaultHandler];

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at pc={=u32:#x} lr={=u32:#x}", frame.pc(), frame.lr());
    process::exit(102)
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    defmt::error!("unexpected exception {=i16}", number);
    process::exit(103)
}
