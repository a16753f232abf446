//! RISC-V with the vector extension, version 1.0, of any vector length.

mod conv;
mod elementwise;
mod finish;

use super::portable::depthwise::{self, Plain};
use super::portable::{Blocks, Own};
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
    type Int16 = Blocks<i16, Own>;
    type Float = conv::Float;
    type DepthwiseInt8 = Plain<depthwise::Int8>;
    type DepthwiseFloat = Plain<depthwise::Float>;
}
