//! AArch64: NEON, which every such core with floating point has, and its dot product extension.
//!
//! Both read the same layouts, so that the extension may be found at run time.

mod conv;
mod depthwise;
mod elementwise;
mod finish;
mod memory;

use crate::kernels::{Backend, sealed::Sealed};

/// AArch64: eight int8 products to an instruction, four in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Neon;

/// AArch64 with the dot product extension: sixteen int8 products and their sums to an instruction, four in single
/// precision.
#[derive(Clone, Copy, Debug)]
pub struct NeonDotprod;

impl Sealed for Neon {}
impl Sealed for NeonDotprod {}

impl Backend for Neon {
    const NAME: &'static str = "neon";
    type Int8 = conv::Int8<Self>;
    type Int16 = conv::Int16;
    type Float = conv::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = depthwise::Float;
}

impl Backend for NeonDotprod {
    const NAME: &'static str = "neon-dotprod";
    type Int8 = conv::Int8<Self>;
    type Int16 = conv::Int16;
    type Float = conv::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = depthwise::Float;

    #[inline]
    fn available() -> bool {
        #[cfg(bareconv_std)]
        {
            std::arch::is_aarch64_feature_detected!("dotprod")
        }
        #[cfg(not(bareconv_std))]
        {
            cfg!(target_feature = "dotprod")
        }
    }
}
