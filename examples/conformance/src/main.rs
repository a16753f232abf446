//! Runs the conformance cases of bareconv on whatever this is compiled for: a PC, or a core without an operating
//! system under semihosting.
//!
//! It prints the backend that layers run on, then a line for every operator, type and backend there is: how many results
//! were compared with the reference, how many differ, and the digest of all of them, which is the same on every core.
//! The first difference of an operator has a line of its own, before. The exit status is 0 only if nothing differs.

#![no_std]
#![cfg_attr(any(target_os = "none", target_family = "wasm"), no_main)]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

#[path = "../../../tests/conformance/mod.rs"]
mod conformance;

use bareconv::arch::{self, Visitor};
use bareconv::kernels::Backend;
use conformance::{Console, Memory, Session};
use core::fmt::Arguments;
use machine::println;

machine::main!(run);

/// Prints to the host, and calls the markers that a profiler watches.
struct Markers;

impl Console for Markers {
    fn print(&mut self, line: Arguments<'_>) {
        println!("{line}");
    }

    fn start(&mut self) {
        machine::roi_start();
    }

    fn stop(&mut self) {
        machine::roi_stop();
    }

    fn mark(&mut self) {
        machine::roi_mark();
    }
}

/// The cases, to be run on all backends.
struct All<'a>(Session<'a>);

impl Visitor for All<'_> {
    fn visit<B: Backend>(&mut self) {
        conformance::run_on::<B>(&mut self.0);
    }
}

/// Runs everything; the exit status.
fn run() -> i32 {
    let (mut console, mut memory) = (Markers, Memory::new());
    println!("native={}", arch::native());
    let mut all = All(Session::new(&mut console, &mut memory));
    arch::visit_all(&mut all);
    conformance::run_layers(&mut all.0);
    i32::from(all.0.differing > 0)
}
