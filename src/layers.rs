//! Layers of fixed shape. A layer is a constant: its shape is checked and its filters are packed when it compiles.

/// Gives layers `defmt::Format`: the name and what is worth seeing, which weights and tables are not.
macro_rules! format {
    ([$($generics:tt)*] $layer:ty, $text:literal $(, |$this:ident| $($value:expr),+)?) => {
        #[cfg(feature = "defmt")]
        impl<$($generics)*> defmt::Format for $layer {
            fn format(&self, formatter: defmt::Formatter<'_>) {
                $(let $this = self;)?
                defmt::write!(formatter, $text $($(, $value)+)?);
            }
        }
    };
}

mod activation;
mod add;
mod argmax;
mod batch_norm;
mod blur_pool;
mod concatenate;
mod conv2d;
mod depthwise;
mod local_response;
mod locally_connected;
mod multiply;
mod pad;
mod pool;
mod quantize;
mod slice;
mod softmax;
mod spatial_pyramid;
mod stream;
mod top_k;
mod transposed;
mod upsample;

pub use activation::{
    Approximate, HardSigmoidF32, HardSwishF32, Int8Table, LEAKY_RELU_SLOPE, LeakyReluF32, LeakyReluInt16, PReluF32,
    PReluInt8, PReluInt16, Relu, Relu6, SigmoidF32, SigmoidInt16, TanhF32, TanhInt16,
};
pub use add::{Add, Subtract, SubtractFrom};
pub use argmax::argmax;
pub use batch_norm::{BatchNormF32, BatchNormInt8, BatchNormParameters};
pub use blur_pool::BlurPool2d;
pub use concatenate::{Concatenate, Inputs};
pub use conv2d::{Conv2d, Dense};
pub use depthwise::DepthwiseConv2d;
pub use local_response::{LocalResponse, LocalResponseNormF32, LocalResponseNormInt8};
pub use locally_connected::LocallyConnected2d;
pub use multiply::Multiply;
pub use pad::Pad;
pub use pool::{AveragePool2d, GlobalAveragePool2d, GlobalMaxPool2d, MaxPool2d, Mean2d};
pub use quantize::{Dequantize, Quantize, Requantize, RequantizeInt8};
pub use slice::Slice;
pub use softmax::{SoftmaxF32, SoftmaxInt8, SoftmaxInt16};
pub use spatial_pyramid::SpatialPyramidPool;
pub use stream::Stream;
pub use top_k::top_k;
pub use transposed::TransposedConv2d;
pub use upsample::Upsample;

/// Layers whose shape is known at run time only, on any backend: for tools on a PC and for tests.
///
/// Each module has `packed_words` and `scratch_words` of a shape, `pack_int8` and its like, and `run`.
pub mod dynamic {
    #[doc(inline)]
    pub use super::conv2d::dynamic as conv2d;
    #[doc(inline)]
    pub use super::depthwise::dynamic as depthwise;
    #[doc(inline)]
    pub use super::locally_connected::dynamic as locally_connected;
    #[doc(inline)]
    pub use super::transposed::dynamic as transposed;
}
