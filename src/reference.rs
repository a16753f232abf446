//! The specification: one naive loop nest per operator, on slices in NHWC order.
//!
//! Nothing here is fast. Every backend must return these functions' bits, for every input; they in turn are tested
//! against arithmetic in `i64` and `f64` and against TensorFlow Lite Micro.
//!
//! # Floating point
//! Sums start at the bias and take the products in the order filter row, filter column, input channel, each
//! product rounded before it is added: no fused multiply-add, so that cores without it give the same bits. Padding
//! takes part as `0.0`. A NaN in a result is a NaN everywhere, but its sign and payload are not specified.

mod activation;
mod add;
mod argmax;
mod arrange;
mod batch_norm;
mod blur_pool;
mod conv2d;
mod depthwise;
mod fixed_point;
mod local_response;
mod locally_connected;
mod multiply;
mod pool;
mod quantize;
mod sigmoid;
mod softmax;
mod spatial_pyramid;
mod transposed;

pub(crate) use activation::{HardSwish, Rectifier, clamp_f32, hard_sigmoid, hard_swish, limit};
pub use activation::{
    hard_sigmoid_f32, hard_sigmoid_i8, hard_swish_f32, hard_swish_i8, leaky_relu_f32, leaky_relu_i8, leaky_relu_i16,
    prelu_f32, prelu_i8, prelu_i16, relu_f32, relu_i8, relu6, six_i8, six_i16,
};
pub use add::{SumParameters, add_f32, add_i8, add_i16, subtract_f32};
pub(crate) use argmax::is_greater;
pub use argmax::{argmax, top_k};
pub use arrange::{nearest, pad, place, slice, upsample};
pub use batch_norm::{BatchNormParameters, batch_norm_f32, batch_norm_i8};
pub use blur_pool::{binomials, blur_pool2d, blur_pool2d_f32};
pub use conv2d::{conv2d_f32, conv2d_i8, conv2d_i16, conv2d_i16_wide};
pub use depthwise::{depthwise_conv2d_f32, depthwise_conv2d_i8, depthwise_conv2d_i16};
pub(crate) use fixed_point::saturate_i8;
pub use local_response::{LocalResponse, LocalResponseInt8, local_response_f32, local_response_i8};
pub use locally_connected::{locally_connected2d_f32, locally_connected2d_i8, locally_connected2d_i16};
pub use multiply::{ProductParameters, multiply_f32, multiply_i8, multiply_i16};
pub use pool::{MeanParameters, average_pool2d, average_pool2d_f32, max_pool2d, mean2d};
pub use quantize::{
    Quantized, RequantizeParameters, dequantize_i8, dequantize_i16, quantize_i8, quantize_i16, requantize,
};
pub(crate) use sigmoid::{Knots, Q4, sigmoid};
pub use sigmoid::{sigmoid_f32, sigmoid_i8, sigmoid_i16, tanh_f32, tanh_i8, tanh_i16};
pub use softmax::{SoftmaxParameters, SoftmaxParametersInt16, softmax_f32, softmax_i8, softmax_i16};
pub(crate) use softmax::{share_f32, share_i8, share_i16};
pub use spatial_pyramid::{pyramid_bin, spatial_pyramid_average, spatial_pyramid_average_f32, spatial_pyramid_max};
pub use transposed::{transposed_conv2d_f32, transposed_conv2d_i8, transposed_conv2d_i16};
