//! Plain Rust, for every core.

pub(super) mod conv;
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
    type Int16 = conv::Blocks<i16, conv::Own>;
    type Float = conv::Blocks<f32, conv::Own>;
    type DepthwiseInt8 = depthwise::Plain<depthwise::Int8>;
    type DepthwiseFloat = depthwise::Plain<depthwise::Float>;
}

// For the types that a backend has no kernel of its own for. Not every target has such a backend.
#[cfg(bareconv_helium)]
pub(crate) use conv::Layouts;
#[allow(unused_imports)]
pub(crate) use conv::{Blocks, Own};
