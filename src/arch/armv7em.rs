//! Arm with the DSP extension: Cortex-M4, M7, and M33 where it has it.

mod conv;
mod depthwise;
mod finish;

#[cfg(bareconv_native = "armv7em")]
pub(crate) use conv::{routine, routine_i16};
#[cfg(bareconv_native = "armv7em")]
pub(crate) use depthwise::routine as depthwise_routine;
#[cfg(bareconv_native = "armv7em")]
pub(crate) use finish::requantization;
mod elementwise;

use super::portable::depthwise::{Float, Plain};
use super::portable::{Blocks, Own};
use crate::kernels::{Backend, sealed::Sealed};

/// Arm with the DSP extension: SMLAD, two 16-bit products and their sum in a cycle.
///
/// Activations are loaded at any even address: `CCR.UNALIGN_TRP` must be off, as it is after reset.
///
/// Single precision runs plain Rust: the cores have no vectors of floats.
#[derive(Clone, Copy, Debug)]
pub struct Armv7em;

impl Sealed for Armv7em {}

impl Backend for Armv7em {
    const NAME: &'static str = "armv7em";
    type Int8 = conv::Int8;
    type Int16 = conv::Int16;
    type Float = Blocks<f32, Own>;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = Plain<Float>;
}
