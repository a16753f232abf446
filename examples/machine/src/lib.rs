//! What programs need on every core that the examples run on: start, output, exit, and markers for the profiler.
//!
//! A program has one function that returns its exit status, and names it: `machine::main!(run);`. On Arm, AArch64 and
//! RISC-V without an operating system it talks to its host by semihosting; as WebAssembly it exports `run` and imports
//! `print` and the markers; on a PC it is an ordinary program. Its `build.rs` must pass `-Tmachine.x` to the linker where
//! there is no operating system, and export `run` from WebAssembly.

#![no_std]
#![cfg_attr(not(any(target_os = "none", target_family = "wasm")), allow(unused))]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

#[cfg(all(feature = "start", target_os = "none", target_arch = "arm"))]
#[path = "cortex_m.rs"]
mod start;
#[cfg(all(feature = "start", target_os = "none", any(target_arch = "riscv32", target_arch = "riscv64")))]
#[path = "riscv.rs"]
mod start;
#[cfg(all(feature = "start", target_os = "none", target_arch = "aarch64"))]
#[path = "aarch64.rs"]
mod start;
#[cfg(all(feature = "start", target_family = "wasm"))]
#[path = "wasm.rs"]
mod start;

#[cfg(all(target_os = "none", target_arch = "arm"))]
mod stack;
#[cfg(all(target_os = "none", target_arch = "arm"))]
pub use stack::peak as stack_peak;

#[cfg(feature = "print")]
use core::fmt;
use core::hint::black_box;

#[cfg(all(feature = "start", any(target_os = "none", target_family = "wasm")))]
unsafe extern "Rust" {
    /// What [`main!`] names.
    fn machine_main() -> i32;
}

/// Names the program's function `fn() -> i32`, which returns the exit status.
#[cfg(any(target_os = "none", target_family = "wasm"))]
#[macro_export]
macro_rules! main {
    ($run:path) => {
        #[unsafe(no_mangle)]
        fn machine_main() -> i32 {
            $run()
        }
    };
}

/// Names the program's function `fn() -> i32`, which returns the exit status.
#[cfg(not(any(target_os = "none", target_family = "wasm")))]
#[macro_export]
macro_rules! main {
    ($run:path) => {
        fn main() {
            ::std::process::exit($run())
        }
    };
}

/// Prints a line on the host.
#[cfg(feature = "print")]
#[macro_export]
macro_rules! println {
    ($($arguments:tt)*) => { $crate::print(format_args!($($arguments)*)) };
}

/// Prints a line on the host.
#[cfg(feature = "print")]
#[doc(hidden)]
pub fn print(line: fmt::Arguments<'_>) {
    #[cfg(target_os = "none")]
    semihosting::println!("{line}");
    #[cfg(target_family = "wasm")]
    start::print(line);
    #[cfg(not(any(target_os = "none", target_family = "wasm")))]
    std::println!("{line}");
}

/// Where the profiler starts to count. The markers' bodies differ, or the linker would fold them into one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn roi_start() {
    #[cfg(all(feature = "start", target_family = "wasm"))]
    start::start();
    black_box(1);
}

/// Where the profiler stops counting.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn roi_stop() {
    #[cfg(all(feature = "start", target_family = "wasm"))]
    start::stop();
    black_box(2);
}

/// Where the profiler closes an account: what it has counted since the mark before.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn roi_mark() {
    #[cfg(all(feature = "start", target_family = "wasm"))]
    start::mark();
    black_box(3);
}

#[cfg(all(feature = "start", target_os = "none"))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "print")]
    print(format_args!("{_info}"));
    semihosting::process::exit(101)
}

/// Ends the program after an exception of the processor.
#[cfg(all(feature = "start", target_os = "none"))]
fn fault(_registers: &[(&str, usize)]) -> ! {
    #[cfg(feature = "print")]
    for (name, value) in _registers {
        print(format_args!("fault: {name}={value:#x}"));
    }
    semihosting::process::exit(102)
}
