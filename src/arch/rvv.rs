//! RISC-V with the vector extension, version 1.0, of any vector length.

mod conv;
mod depthwise;
mod elementwise;
mod finish;

use crate::kernels::{Backend, sealed::Sealed};

/// RISC-V with the vector extension (RVV 1.0, 64 bits): the lanes are output channels, as many as a vector has.
///
/// Start code must enable the unit: `mstatus.VS` and `mstatus.FS` must not be 0.
#[derive(Clone, Copy, Debug)]
pub struct Rvv;

impl Sealed for Rvv {}

impl Backend for Rvv {
    const NAME: &'static str = "rvv";
    type Int8 = conv::Int8;
    type Int16 = conv::Int16;
    type Float = conv::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = depthwise::Float;
}
