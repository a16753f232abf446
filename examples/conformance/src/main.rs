//! Runs the conformance cases of bareconv on whatever this is compiled for: a PC, or a core without an operating
//! system under semihosting.
//!
//! It prints the backend that layers run on, then a line for every kind of operator and every backend there is: how
//! many results were compared with the reference, how many differ, and the digest of all of them, which is the same on
//! every core. The exit status is 0 only if none differs.

#![no_std]
#![cfg_attr(any(target_os = "none", target_family = "wasm"), no_main)]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

#[path = "../../../tests/conformance/mod.rs"]
mod conformance;

use bareconv::arch::{self, Native, Portable};
use bareconv::kernels::Backend;
use conformance::{Memory, Report};
use machine::println;

machine::main!(run);

/// Runs everything; the exit status.
fn run() -> i32 {
    let mut memory = Memory::new();
    let mut differing = 0;
    let mut print = |report: Report<'_>| {
        differing += report.differing;
        println!("{report}");
    };
    println!("native={}", arch::native());
    conformance::run_on::<Portable>(&mut memory, &mut print);
    // What is not native to this machine cannot run on it.
    if Native::NAME != Portable::NAME && Native::available() {
        conformance::run_on::<Native>(&mut memory, &mut print);
    }
    conformance::run_layers(&mut print);
    i32::from(differing > 0)
}
