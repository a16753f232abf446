//! x86-64 with AVX2.

mod conv;
mod depthwise;
mod elementwise;

use super::portable::depthwise::Plain;
use super::portable::{Blocks, Layouts};
use crate::kernels::{Backend, MicroKernel, sealed::Sealed};
use crate::pack::Layout;

/// x86-64 with AVX2: sixteen int8 products to an instruction, eight in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

impl Sealed for Avx2 {}

impl Backend for Avx2 {
    const NAME: &'static str = "avx2";
    type Int8 = conv::Int8;
    type Float = conv::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = depthwise::Float;

    #[inline]
    fn available() -> bool {
        #[cfg(feature = "std")]
        {
            std::arch::is_x86_feature_detected!("avx2")
        }
        #[cfg(not(feature = "std"))]
        {
            cfg!(target_feature = "avx2")
        }
    }
}

/// Plain Rust on filters packed for [`Avx2`]: what layers run on where a machine turns out not to have it.
#[derive(Clone, Copy, Debug)]
pub struct Fallback;

impl Sealed for Fallback {}

impl Backend for Fallback {
    const NAME: &'static str = "portable";
    type Int8 = Blocks<i8, LayoutsOf<conv::Int8>>;
    type Float = Blocks<f32, LayoutsOf<conv::Float>>;
    type DepthwiseInt8 = Plain<depthwise::PlainInt8>;
    type DepthwiseFloat = Plain<depthwise::PlainFloat>;
}

/// The layouts of another micro-kernel.
pub struct LayoutsOf<K>(core::marker::PhantomData<K>);

impl<K: MicroKernel> Layouts for LayoutsOf<K> {
    const CONVOLUTION: Layout = K::CONVOLUTION;
    const DENSE: Layout = K::DENSE;
}
