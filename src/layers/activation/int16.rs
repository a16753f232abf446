use super::elementwise;
use crate::kernels::elementwise::activation::{Sigmoid, Tanh};
use crate::quant::Quantization;
use crate::reference::{Knots, Rectifier};
use crate::tensor::{View, ViewMut};

/// The leaky rectified linear unit in int16, from one scale to another:
/// [`reference::leaky_relu_i16`](crate::reference::leaky_relu_i16), the bits of TensorFlow Lite Micro, on every backend.
///
/// Give it a slope of 0 and it is `RELU` with a change of scale, of 1 and it is the change alone.
///
/// ```
/// use bareconv::{LeakyReluInt16, Tensor};
///
/// const LEAKY: LeakyReluInt16 = LeakyReluInt16::new(0.1, 0.5, 0.25);
/// let mut values = Tensor([[[-1000, 0, 10]]]); // -500.0, 0.0 and 5.0
/// LEAKY.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-200, 0, 20]]])); // -50.0, 0.0 and 5.0
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeakyReluInt16 {
    rectifier: Rectifier,
}

impl LeakyReluInt16 {
    /// A leaky ReLU of this slope from one scale to another; any finite slope will do.
    ///
    /// # Panics
    /// Where `from / to`, or that times the slope, is not finite or not below 2^30. In a constant this is a compile
    /// error.
    pub const fn new(slope: f32, from: f32, to: f32) -> Self {
        Self { rectifier: Rectifier::leaky(slope, Quantization::new(from, 0), Quantization::new(to, 0)) }
    }
}

/// The logistic sigmoid in int16, to the scale 1/32768: [`reference::sigmoid_i16`](crate::reference::sigmoid_i16), the
/// bits of TensorFlow Lite Micro, on every backend.
///
/// ```
/// use bareconv::{SigmoidInt16, Tensor};
///
/// const SIGMOID: SigmoidInt16 = SigmoidInt16::new(0.001);
/// let mut values = Tensor([[[-32768, 0, 32767]]]);
/// SIGMOID.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[1, 16384, 32767]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::SigmoidInt16;
/// const SIGMOID: SigmoidInt16 = SigmoidInt16::new(3.0); // int16 sigmoid and tanh need an input scale below 8/3
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SigmoidInt16 {
    knots: Knots,
}

impl SigmoidInt16 {
    /// The scale of every int16 sigmoid's output.
    pub const OUTPUT: f32 = 1.0 / 32768.0;

    /// The sigmoid of an input of this scale.
    ///
    /// # Panics
    /// Where the scale is not in 2^-32..8/3. In a constant this is a compile error.
    pub const fn new(scale: f32) -> Self {
        Self { knots: Knots::sigmoid(scale) }
    }
}

/// The hyperbolic tangent in int16, to the scale 1/32768: [`reference::tanh_i16`](crate::reference::tanh_i16), the bits
/// of TensorFlow Lite Micro, on every backend.
///
/// ```
/// use bareconv::{TanhInt16, Tensor};
///
/// const TANH: TanhInt16 = TanhInt16::new(0.001);
/// let mut values = Tensor([[[-32768, 0, 32767]]]);
/// TANH.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-32767, 0, 32767]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TanhInt16 {
    knots: Knots,
}

impl TanhInt16 {
    /// The scale of every int16 hyperbolic tangent's output.
    pub const OUTPUT: f32 = 1.0 / 32768.0;

    /// The hyperbolic tangent of an input of this scale.
    ///
    /// # Panics
    /// Where the scale is not in 2^-32..8/3. In a constant this is a compile error.
    pub const fn new(scale: f32) -> Self {
        Self { knots: Knots::tanh(scale) }
    }
}

elementwise!(LeakyReluInt16: i16, |this| this.rectifier);
elementwise!(SigmoidInt16: i16, |this| Sigmoid(this.knots));
elementwise!(TanhInt16: i16, |this| Tanh(this.knots));
