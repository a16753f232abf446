//! WebAssembly with SIMD128.

mod conv;
mod depthwise;
mod elementwise;
mod finish;

use crate::kernels::{Backend, sealed::Sealed};

/// WebAssembly with SIMD128: eight int8 products to an instruction, four in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

impl Sealed for Simd128 {}

impl Backend for Simd128 {
    const NAME: &'static str = "simd128";
    type Int8 = conv::Int8;
    type Int16 = conv::Int16;
    type Float = conv::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = depthwise::Float;
}
