//! LeNet-5 on the PC, from the very module that the firmware compiles in.
//!
//! `cargo run --release -- INPUTS OUTPUTS` reads int8 pictures of 28 x 28 from the file INPUTS and writes the ten
//! output bytes of each to the file OUTPUTS.

use bareconv::{Arena, Tensor};
use std::error::Error;
use std::{env, fs};

#[path = "../../lenet/mod.rs"]
mod lenet;

const INPUT_BYTES: usize = 28 * 28;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [inputs, outputs] = arguments.as_slice() else {
        return Err("usage: host INPUTS OUTPUTS".into());
    };
    let bytes = fs::read(inputs)?;
    if bytes.len() % INPUT_BYTES != 0 {
        return Err(format!("{} bytes are no whole number of pictures of {INPUT_BYTES}", bytes.len()).into());
    }
    let mut arena = Arena::new();
    let mut answers = Vec::new();
    for picture in bytes.chunks_exact(INPUT_BYTES) {
        let mut input = Tensor::filled(0);
        for (value, byte) in input.as_mut_slice().iter_mut().zip(picture) {
            *value = byte.cast_signed();
        }
        let output = lenet::MODEL.infer(&input, &mut arena);
        answers.extend(output.as_slice().iter().map(|value| value.cast_unsigned()));
    }
    fs::write(outputs, answers)?;
    let pictures = bytes.len() / INPUT_BYTES;
    let (name, weights, macs) = (lenet::NAME, lenet::FLASH_BYTES, lenet::MACS);
    println!("{name} ({weights} bytes of weights, {macs} multiply-accumulates): {pictures} pictures");
    Ok(())
}
