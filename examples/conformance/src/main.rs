//! Runs the conformance cases of bareconv on whatever this is compiled for: a PC, or a core without an operating
//! system under semihosting.
//!
//! It prints the backend that layers run on, then a line for every operator, type and backend there is: how many results
//! were compared with the reference, how many differ, and the digest of all of them, which is the same on every core.
//! The first difference of an operator has a line of its own, before. The exit status is 0 only if nothing differs.

#![no_std]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(not(target_os = "none"))]
extern crate std;

#[path = "../../../tests/conformance/mod.rs"]
mod conformance;

use bareconv::arch::{self, Native, Portable};
use bareconv::kernels::Backend;
use conformance::{Console, Memory, Session};
use core::fmt::Arguments;
use core::hint::black_box;
#[cfg(target_os = "none")]
use semihosting::println;
#[cfg(not(target_os = "none"))]
use std::println;

/// Prints to the host, and calls the markers that a profiler watches.
struct Markers;

impl Console for Markers {
    fn print(&mut self, line: Arguments<'_>) {
        println!("{line}");
    }

    fn start(&mut self) {
        roi_start();
    }

    fn stop(&mut self) {
        roi_stop();
    }

    fn mark(&mut self) {
        roi_mark();
    }
}

/// Where a profiler starts to count. The markers' bodies differ, or the linker would fold them into one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn roi_start() {
    black_box(1);
}

/// Where a profiler stops counting.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn roi_stop() {
    black_box(2);
}

/// Where a profiler notes what it has counted for an operator, whose line is printed next.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn roi_mark() {
    black_box(3);
}

/// Runs everything; the exit status.
fn run() -> i32 {
    let (mut console, mut memory) = (Markers, Memory::new());
    println!("native={}", arch::native());
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_on::<Portable>(&mut session);
    // What is not native to this machine cannot run on it.
    if Native::NAME != Portable::NAME && Native::available() {
        conformance::run_on::<Native>(&mut session);
    }
    conformance::run_layers(&mut session);
    i32::from(session.differing > 0)
}

#[cfg(not(target_os = "none"))]
fn main() {
    std::process::exit(run());
}

#[cfg(all(target_arch = "arm", target_os = "none"))]
#[cortex_m_rt::entry]
fn main() -> ! {
    semihosting::process::exit(run())
}

#[cfg(all(target_arch = "arm", target_os = "none"))]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    println!("hard fault at pc={:#x} lr={:#x}", frame.pc(), frame.lr());
    semihosting::process::exit(102)
}
