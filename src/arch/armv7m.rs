//! Arm without the DSP extension: Cortex-M3, and M33 without DSP.

mod conv;
mod elementwise;

use super::portable::depthwise::{self, Plain};
use super::portable::{Blocks, Own};
use crate::kernels::{Backend, sealed::Sealed};

/// Arm without the DSP extension (Cortex-M3): MLA, with all registers for sums.
#[derive(Clone, Copy, Debug)]
pub struct Armv7m;

impl Sealed for Armv7m {}

impl Backend for Armv7m {
    const NAME: &'static str = "armv7m";
    type Int8 = conv::Int8;
    type Int16 = Blocks<i16, Own>;
    type Float = Blocks<f32, Own>;
    type DepthwiseInt8 = Plain<depthwise::Int8>;
    type DepthwiseFloat = Plain<depthwise::Float>;
}
