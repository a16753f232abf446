#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]
#![allow(clippy::type_complexity)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Only detection at run time needs it, so that firmware may be built with the feature, too.
#[cfg(bareconv_std)]
extern crate std;

#[allow(unsafe_code)]
pub mod arch;
#[allow(unsafe_code)]
pub mod kernels;
mod layers;
pub mod pack;
pub mod quant;
pub mod reference;
mod shape;
mod tensor;

/// The traits that bound the types and roundings of layers, for code that is generic over them.
///
/// They are implemented here for the types that there are, and not made to be implemented elsewhere.
///
/// ```
/// use bareconv::bounds::{Element, TensorShape};
/// use bareconv::{Relu, Tensor, ViewMut};
///
/// /// A ReLU of whatever has one.
/// fn rectify<T: Element, const C: usize>(relu: Relu<T>, values: ViewMut<'_, T, 1, 1, C>) {
///     relu.run_in_place(values);
/// }
///
/// let mut values = Tensor([[[-1i16, 2]]]);
/// rectify(Relu::int16(), values.view_mut());
/// assert_eq!(values, Tensor([[[0, 2]]]));
/// assert_eq!(<Tensor<f32, 2, 3, 4> as TensorShape>::LEN, 24);
/// ```
pub mod bounds {
    pub use crate::kernels::depthwise::DepthwiseEpilogue;
    pub use crate::kernels::elementwise::binary::Joined;
    pub use crate::kernels::elementwise::blur_pool::Blur;
    pub use crate::kernels::elementwise::{Average, Centered, Element, Integer};
    pub use crate::kernels::{Backend, Epilogue};
    pub use crate::layers::Inputs;
    pub use crate::quant::{ProductRounding, Rounding};
    pub use crate::reference::Quantized;
    pub use crate::shape::TensorShape;
}

pub use heapless;
pub use kernels::{Clamp, Int4, Int16x8, Int16x8Wide};
pub use layers::*;
pub use pack::{Activation, F32Filters, Int4Filters, Int8Filters, Int16Filters, flipped, nibbles};
pub use quant::{DoubleRounding, PowerOfTwo, Quantization, ReducedRounding, SingleRounding};
pub use shape::{
    Axis, BlurPadding, BlurPool2dShape, Broadcast, Conv1dShape, Conv2dShape, Coordinates, DepthwiseConv2dShape,
    Pool2dShape, Region, Shape, ShapeError, SliceShape, TensorShape, TransposedConv2dShape, UpsampleShape,
};
pub use tensor::{Arena, Slot, Tensor, View, ViewMut, largest};
