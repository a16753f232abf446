//! A network that the build script imports: run on inputs for which TensorFlow Lite Micro's outputs are known.

use bareconv::{Arena, Tensor};
use conv_2d_int8::{Input, MODEL, RAM_BYTES};
use std::process::ExitCode;

include!(concat!(env!("OUT_DIR"), "/conv_2d_int8.rs"));

fn main() -> ExitCode {
    let inputs = include_bytes!("../../../host-trainer/tests/models/conv_2d_int8.in");
    let expected = include_bytes!("../../../host-trainer/tests/models/conv_2d_int8.out");
    let mut arena = Arena::<RAM_BYTES>::new();
    let mut input: Input = Tensor::filled(0);
    let mut outputs: Vec<u8> = Vec::new();
    // A tensor may be longer than its elements: it begins and ends at words.
    for values in inputs.chunks_exact(input.as_slice().len()) {
        input.as_mut_slice().copy_from_slice(bytemuck::cast_slice(values));
        outputs.extend(bytemuck::cast_slice::<i8, u8>(MODEL.infer(&input, &mut arena).as_slice()));
    }
    if outputs == expected {
        println!("{} bytes of outputs, those of TensorFlow Lite Micro", outputs.len());
        ExitCode::SUCCESS
    } else {
        eprintln!("{outputs:?}\nare not\n{expected:?}");
        ExitCode::FAILURE
    }
}
