//! Any network with one input and one output, on any core.
//!
//! In the folder that it is started in it reads inputs from the file `inputs.bin` and writes the outputs of all to
//! `outputs.bin`, bytes as they are in memory. The first inference is between the profiler's markers; the file
//! `sizes.bin` says what it took: bytes of stack (0 on a PC), of the arena, of packed weights, and multiply-accumulates, as
//! 32-bit numbers. Nothing is printed: text would take more flash than the layers.

#![no_std]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(not(target_os = "none"))]
extern crate std;

use bareconv::Arena;
use core::hint::black_box;
use model::{Input, MODEL, Output};

include!(concat!(env!("OUT_DIR"), "/model.rs"));

machine::main!(run);

/// What lies in RAM.
struct Memory {
    input: Input,
    arena: Arena<{ model::RAM_BYTES }>,
}

static mut MEMORY: Memory = Memory { input: ZERO, arena: Arena::new() };

const ZERO: Input = {
    // Zeros of any type.
    // SAFETY: a tensor is an array of numbers, for which zero bytes are zeros.
    unsafe { core::mem::zeroed() }
};

/// A file could not be read or written.
struct Failure;

fn run() -> i32 {
    // SAFETY: `run` is called once, and nothing else knows the static.
    let memory = unsafe { &mut *&raw mut MEMORY };
    match verify(memory) {
        Ok(()) => 0,
        Err(Failure) => 2,
    }
}

fn verify(Memory { input, arena }: &mut Memory) -> Result<(), Failure> {
    let mut inputs = files::open(c"inputs.bin")?;
    let mut outputs = files::create(c"outputs.bin")?;
    let mut stack = None;
    while files::fill(&mut inputs, bytemuck::must_cast_slice_mut(input.as_mut_slice()))? {
        let output: Output = if stack.is_none() {
            machine::roi_start();
            let output = MODEL.infer(black_box(input), arena);
            machine::roi_stop();
            stack = Some(stack_peak(&mut || {
                black_box(MODEL.infer(black_box(input), arena));
            }));
            output
        } else {
            MODEL.infer(input, arena)
        };
        files::write(&mut outputs, bytemuck::must_cast_slice(output.as_slice()))?;
    }
    let sizes = [stack.unwrap_or(0), model::RAM_BYTES, model::FLASH_BYTES, model::MACS].map(|size| size as u32);
    files::write(&mut files::create(c"sizes.bin")?, bytemuck::must_cast_slice(&sizes))
}

#[cfg(all(target_os = "none", target_arch = "arm"))]
use machine::stack_peak;

#[cfg(not(all(target_os = "none", target_arch = "arm")))]
fn stack_peak(f: &mut dyn FnMut()) -> usize {
    f();
    0
}

/// Files of the PC: by semihosting, or its own.
mod files {
    use super::Failure;
    use core::ffi::CStr;
    #[cfg(target_os = "none")]
    pub use semihosting::{
        fs::File,
        io::{Read, Write},
    };
    #[cfg(not(target_os = "none"))]
    pub use std::{
        fs::File,
        io::{Read, Write},
    };

    #[cfg(target_os = "none")]
    fn path(name: &CStr) -> Result<&CStr, Failure> {
        Ok(name)
    }

    #[cfg(not(target_os = "none"))]
    fn path(name: &CStr) -> Result<&str, Failure> {
        name.to_str().map_err(|_| Failure)
    }

    pub fn open(name: &CStr) -> Result<File, Failure> {
        File::open(path(name)?).map_err(|_| Failure)
    }

    pub fn create(name: &CStr) -> Result<File, Failure> {
        File::create(path(name)?).map_err(|_| Failure)
    }

    pub fn write(file: &mut File, bytes: &[u8]) -> Result<(), Failure> {
        file.write_all(bytes).map_err(|_| Failure)
    }

    /// Fills `bytes` from the file. `false` where the file ended before, a failure where it ended inside.
    pub fn fill(file: &mut File, bytes: &mut [u8]) -> Result<bool, Failure> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) | Err(_) => return Err(Failure),
                Ok(read) => filled += read,
            }
        }
        Ok(true)
    }
}
