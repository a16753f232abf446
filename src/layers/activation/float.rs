use super::elementwise;
use crate::kernels::elementwise::Element;
use crate::kernels::elementwise::activation::{HardSigmoid, HardSwish, Limit};
use crate::quant::Quantization;
use crate::reference;
use crate::tensor::{View, ViewMut};

/// ReLU limited to 6: [`reference::relu6`], bit for bit, on every backend.
///
/// In int8 and int16, input and output have the same quantization, and the bits are TensorFlow Lite Micro's
/// ([`Int8Table::relu6`](crate::Int8Table::relu6) changes it). Behind a convolution or dense layer it is free, as that
/// layer's activation. In `f32` a NaN passes, and -0.0 stays -0.0.
///
/// ```
/// use bareconv::{Quantization, Relu6, Tensor};
///
/// let mut values = Tensor([[[-1.5, 2.5, 7.0]]]);
/// Relu6::float().run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[0.0, 2.5, 6.0]]]));
///
/// let mut values = Tensor([[[-128, 0, 127]]]);
/// Relu6::int8(Quantization::new(0.1, -28)).run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-28, 0, 32]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Relu6<T> {
    /// What stands for 0.
    zero: T,
    /// What stands for 6.
    six: T,
}

impl Relu6<i8> {
    /// ReLU6 of int8 values of this quantization.
    pub const fn int8(of: Quantization) -> Self {
        Self { zero: of.zero_point, six: reference::six_i8(of) }
    }
}

impl Relu6<i16> {
    /// ReLU6 of int16 values of this scale.
    pub const fn int16(scale: f32) -> Self {
        Self { zero: 0, six: reference::six_i16(scale) }
    }
}

impl Relu6<f32> {
    /// ReLU6 in single precision.
    pub const fn float() -> Self {
        Self { zero: 0.0, six: 6.0 }
    }
}

elementwise!(all Element: Relu6<T>: T, |this| Limit(this.zero, this.six));

/// Hard swish in single precision, `x * relu6(x + 3) / 6`: [`reference::hard_swish_f32`], bit for bit, on every backend;
/// the bits of TensorFlow Lite. In int8 it is [`Int8Table::hard_swish`](crate::Int8Table::hard_swish).
///
/// ```
/// use bareconv::{HardSwishF32, Tensor};
///
/// let mut values = Tensor([[[-4.0, 0.0, 1.5, 4.0]]]);
/// HardSwishF32.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-0.0, 0.0, 1.125, 4.0]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HardSwishF32;

elementwise!(HardSwishF32: f32, |_this| HardSwish);

/// Hard sigmoid in single precision, `min(1, max(0, alpha * x + beta))`: [`reference::hard_sigmoid_f32`], bit for bit, on
/// every backend. In int8 it is [`Int8Table::hard_sigmoid`](crate::Int8Table::hard_sigmoid).
///
/// ```
/// use bareconv::{HardSigmoidF32, Tensor};
///
/// let mut values = Tensor([[[-4.0, 0.0, 1.25, 4.0]]]);
/// HardSigmoidF32::ONNX.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[0.0, 0.5, 0.75, 1.0]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HardSigmoidF32 {
    /// The slope.
    pub alpha: f32,
    /// The value at 0.
    pub beta: f32,
}

impl HardSigmoidF32 {
    /// `alpha` 1/6 and `beta` 1/2: `relu6(x + 3) / 6`, as Keras (from version 3 on) and PyTorch have it.
    pub const KERAS: Self = Self::new(1.0 / 6.0, 0.5);

    /// `alpha` 0.2 and `beta` 1/2: ONNX's default, and Keras' before version 3.
    pub const ONNX: Self = Self::new(0.2, 0.5);

    /// A hard sigmoid with this slope and value at 0.
    pub const fn new(alpha: f32, beta: f32) -> Self {
        Self { alpha, beta }
    }
}

/// [`HardSigmoidF32::KERAS`].
impl Default for HardSigmoidF32 {
    fn default() -> Self {
        Self::KERAS
    }
}

elementwise!(HardSigmoidF32: f32, |this| HardSigmoid { alpha: this.alpha, beta: this.beta });

/// Gives a layer that is a plain function the methods of an elementwise layer.
macro_rules! function {
    ($layer:ty, $function:path) => {
        impl $layer {
            /// Computes the layer's output.
            pub fn run<const H: usize, const W: usize, const C: usize>(
                &self,
                input: View<'_, f32, H, W, C>,
                mut output: ViewMut<'_, f32, H, W, C>,
            ) {
                for (out, &x) in output.as_mut_slice().iter_mut().zip(input.as_slice()) {
                    *out = $function(x);
                }
            }

            /// Replaces the values by the layer's output.
            pub fn run_in_place<const H: usize, const W: usize, const C: usize>(
                &self,
                mut values: ViewMut<'_, f32, H, W, C>,
            ) {
                for x in values.as_mut_slice() {
                    *x = $function(*x);
                }
            }
        }
    };
}

/// The logistic sigmoid in single precision, `1 / (1 + exp(-x))`: [`reference::sigmoid_f32`] itself.
///
/// In int8 it is [`Int8Table::sigmoid`](crate::Int8Table::sigmoid), in int16 [`SigmoidInt16`](crate::SigmoidInt16).
///
/// ```
/// use bareconv::{SigmoidF32, Tensor};
///
/// let mut values = Tensor([[[-100.0, 0.0, 100.0]]]);
/// SigmoidF32.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[0.0, 0.5, 1.0]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SigmoidF32;

function!(SigmoidF32, reference::sigmoid);

/// The hyperbolic tangent in single precision: [`reference::tanh_f32`] itself.
///
/// In int8 it is [`Int8Table::tanh`](crate::Int8Table::tanh), in int16 [`TanhInt16`](crate::TanhInt16).
///
/// ```
/// use bareconv::{TanhF32, Tensor};
///
/// let mut values = Tensor([[[-100.0, 0.0, 100.0]]]);
/// TanhF32.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-1.0, 0.0, 1.0]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TanhF32;

function!(TanhF32, libm::tanhf);
