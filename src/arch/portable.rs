//! Plain Rust, for every core.

mod conv;
pub(crate) mod depthwise;
mod elementwise;

use crate::kernels::{Backend, sealed::Sealed};

/// Plain Rust, for every core.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Sealed for Portable {}

impl Backend for Portable {
    const NAME: &'static str = "portable";
    type Int8 = conv::Blocks<i8, conv::Own>;
    type Float = conv::Blocks<f32, conv::Own>;
    type DepthwiseInt8 = depthwise::Plain<depthwise::Int8>;
    type DepthwiseFloat = depthwise::Plain<depthwise::Float>;
}

#[cfg(any(bareconv_armv6m, bareconv_armv7m, bareconv_helium, bareconv_riscv))]
pub(crate) use conv::Blocks;
#[cfg(bareconv_helium)]
pub(crate) use conv::Layouts;
#[cfg(any(bareconv_armv6m, bareconv_armv7m, bareconv_riscv))]
pub(crate) use conv::Own;
