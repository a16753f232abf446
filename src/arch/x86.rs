//! x86-64: SSE2, which every such processor has, AVX2, and AVX-512 with VNNI.
//!
//! Where the processor is known only at run time, filters are packed before it is: all three read the same layouts, and
//! their plans need the same memory.

mod conv;
mod depthwise;
mod elementwise;
mod finish;

use crate::kernels::{Backend, sealed::Sealed};

/// x86-64 without extensions: eight int8 products to an instruction, four in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Sse2;

/// x86-64 with AVX2: sixteen int8 products to an instruction, eight in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// x86-64 with AVX-512 F, BW, VL and VNNI: sixty-four int8 products and their sums to an instruction, sixteen in single
/// precision.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Vnni;

impl Sealed for Sse2 {}
impl Sealed for Avx2 {}
impl Sealed for Avx512Vnni {}

impl Backend for Sse2 {
    const NAME: &'static str = "sse2";
    type Int8 = conv::Int8<Self>;
    type Int16 = conv::Int16<Self>;
    type Float = conv::Float<Self>;
    type DepthwiseInt8 = depthwise::Int8Sse2;
    type DepthwiseFloat = depthwise::FloatSse2;
}

/// Whether this machine has the features: known at compile time, or detected where there is an operating system.
macro_rules! has {
    ($($feature:tt)*) => {{
        #[cfg(bareconv_std)]
        {
            $(std::arch::is_x86_feature_detected!($feature))&&*
        }
        #[cfg(not(bareconv_std))]
        {
            $(cfg!(target_feature = $feature))&&*
        }
    }};
}

impl Backend for Avx2 {
    const NAME: &'static str = "avx2";
    type Int8 = conv::Int8<Self>;
    type Int16 = conv::Int16<Self>;
    type Float = conv::Float<Self>;
    type DepthwiseInt8 = depthwise::Int8Avx2;
    type DepthwiseFloat = depthwise::FloatAvx2;

    #[inline]
    fn available() -> bool {
        has!("avx2")
    }
}

impl Backend for Avx512Vnni {
    const NAME: &'static str = "avx512vnni";
    type Int8 = conv::Int8<Self>;
    type Int16 = conv::Int16<Self>;
    type Float = conv::Float<Self>;
    type DepthwiseInt8 = depthwise::Int8Avx512;
    type DepthwiseFloat = depthwise::FloatAvx2;

    #[inline]
    fn available() -> bool {
        has!("avx512vnni" "avx512f" "avx512bw" "avx512vl")
    }
}
