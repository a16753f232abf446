//! Arm with 16-bit instructions: Cortex-M0, M0+, M23.

mod conv;
mod elementwise;

use super::portable::depthwise::{self, Plain};
use super::portable::{Blocks, Own};
use crate::kernels::{Backend, sealed::Sealed};

/// Arm with 16-bit instructions (Cortex-M0, M0+, M23): sums in the high registers.
#[derive(Clone, Copy, Debug)]
pub struct Armv6m;

impl Sealed for Armv6m {}

impl Backend for Armv6m {
    const NAME: &'static str = "armv6m";
    type Int8 = conv::Int8;
    type Int16 = Blocks<i16, Own>;
    type Float = Blocks<f32, Own>;
    type DepthwiseInt8 = Plain<depthwise::Int8>;
    type DepthwiseFloat = Plain<depthwise::Float>;
}
