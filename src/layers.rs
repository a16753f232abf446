//! Layers of fixed shape. A layer is a constant: its shape is checked and its filters are packed when it compiles.

mod activation;
mod argmax;
mod conv2d;
mod depthwise;
mod pool;
mod softmax;

pub use activation::{LEAKY_RELU_SLOPE, LeakyReluF32, LeakyReluInt8, Relu};
pub use argmax::argmax;
pub use conv2d::{Conv2d, Dense, dynamic};
pub use depthwise::DepthwiseConv2d;
pub use pool::{AveragePool2d, MaxPool2d};
pub use softmax::{SoftmaxF32, SoftmaxInt8};
