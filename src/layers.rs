//! Layers of fixed shape. A layer is a constant: its shape is checked and its filters are packed when it compiles.

mod activation;
mod argmax;
mod conv2d;
mod pool;
mod softmax;
mod transposed;

pub use activation::{LEAKY_RELU_SLOPE, LeakyReluF32, LeakyReluInt8, Relu};
pub use argmax::argmax;
pub use conv2d::{Conv2d, Dense};
pub use pool::{AveragePool2d, MaxPool2d};
pub use softmax::{SoftmaxF32, SoftmaxInt8};
pub use transposed::TransposedConv2d;

/// Convolutions whose shape is known at run time only, on any backend: for tools on a PC and for tests.
pub mod dynamic {
    pub use super::conv2d::dynamic::*;
    pub use super::transposed::{transposed_float, transposed_int8, transposed_words};
}
