//! Layers of fixed shape. A layer is a constant: its shape is checked and its filters are packed when it compiles.

mod activation;
mod add;
mod argmax;
mod concatenate;
mod conv2d;
mod multiply;
mod pad;
mod pool;
mod quantize;
mod softmax;
mod upsample;

pub use activation::{LEAKY_RELU_SLOPE, LeakyReluF32, LeakyReluInt8, Relu};
pub use add::{Add, Subtract};
pub use argmax::argmax;
pub use concatenate::{Concatenate, Inputs};
pub use conv2d::{Conv2d, Dense, dynamic};
pub use multiply::Multiply;
pub use pad::Pad;
pub use pool::{AveragePool2d, MaxPool2d};
pub use quantize::{Dequantize, Quantize, Requantize, RequantizeInt8};
pub use softmax::{SoftmaxF32, SoftmaxInt8};
pub use upsample::Upsample;
