//! RISC-V without vectors, 32 or 64 bits.

mod conv;
mod elementwise;

use super::portable::depthwise::{self, Plain};
use super::portable::{Blocks, Own};
use crate::kernels::{Backend, sealed::Sealed};

/// RISC-V with multiplication and without vectors, 32 or 64 bits: sixteen sums in registers.
#[derive(Clone, Copy, Debug)]
pub struct Riscv;

impl Sealed for Riscv {}

impl Backend for Riscv {
    const NAME: &'static str = "riscv";
    type Int8 = conv::Int8;
    type Int16 = Blocks<i16, Own>;
    type Float = Blocks<f32, Own>;
    type DepthwiseInt8 = Plain<depthwise::Int8>;
    type DepthwiseFloat = Plain<depthwise::Float>;
}
