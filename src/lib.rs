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

pub use heapless;
pub use kernels::{Clamp, Int4, Int16x8};
pub use layers::*;
pub use pack::{Activation, F32Filters, Int4Filters, Int8Filters, Int16Filters, flipped, nibbles};
pub use quant::{DoubleRounding, PowerOfTwo, Quantization, ReducedRounding, SingleRounding};
pub use shape::{
    Axis, BlurPadding, BlurPool2dShape, Broadcast, Conv1dShape, Conv2dShape, Coordinates, DepthwiseConv2dShape,
    Pool2dShape, Region, Shape, ShapeError, SliceShape, TensorShape, TransposedConv2dShape, UpsampleShape,
};
pub use tensor::{Arena, Slot, Tensor, View, ViewMut, largest};
