use crate::reference::{self, SoftmaxParameters, SoftmaxParametersInt16};
use crate::tensor::{View, ViewMut};

/// Softmax over the channels of each pixel, in single precision: [`reference::softmax_f32`] itself.
///
/// ```
/// use bareconv::{SoftmaxF32, Tensor};
///
/// let mut output = Tensor::filled(0.0);
/// SoftmaxF32.run(Tensor([[[1.0, 1.0]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0.5, 0.5]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftmaxF32;

impl SoftmaxF32 {
    /// Computes the layer's output.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        let pixels = input.as_slice().as_chunks::<C>().0;
        for (pixel, out) in pixels.iter().zip(output.as_mut_slice().as_chunks_mut::<C>().0) {
            reference::share_f32(pixel, out);
        }
    }
}

/// Softmax over the channels of each pixel, in int8: [`reference::softmax_i8`] itself, the bits of TensorFlow Lite
/// Micro.
///
/// The output has scale 1/256 and zero point -128: [`SoftmaxInt8::OUTPUT`].
///
/// ```
/// use bareconv::{SoftmaxInt8, Tensor};
///
/// const SOFTMAX: SoftmaxInt8 = SoftmaxInt8::new(0.1, 1.0);
/// let mut output = Tensor::filled(0);
/// SOFTMAX.run(Tensor([[[10, 10, -128]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0, 0, -128]]])); // 128/256, 128/256 and 0
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftmaxInt8 {
    parameters: SoftmaxParameters,
}

impl SoftmaxInt8 {
    /// The quantization of every int8 softmax's output.
    pub const OUTPUT: crate::Quantization = crate::Quantization::new(1.0 / 256.0, -128);

    /// Softmax of an input of this scale; differences are multiplied by `beta`, which is usually 1.
    ///
    /// # Panics
    /// Where `input_scale * beta` is not above 2^-26 (about 1.5e-8). In a constant this is a compile error.
    pub const fn new(input_scale: f32, beta: f32) -> Self {
        Self { parameters: SoftmaxParameters::new(input_scale, beta) }
    }

    /// Computes the layer's output.
    ///
    /// # Panics
    /// Does not compile for more than 4095 channels.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        const { assert!(C <= 4095, "int8 softmax sums at most 4095 exponentials") };
        let pixels = input.as_slice().as_chunks::<C>().0;
        for (pixel, out) in pixels.iter().zip(output.as_mut_slice().as_chunks_mut::<C>().0) {
            reference::share_i8(&self.parameters, pixel, out);
        }
    }
}

/// Softmax over the channels of each pixel, in int16, to the scale 1/32768 ([`SoftmaxInt16::OUTPUT`]): [`reference::softmax_i16`] itself, the bits
/// of TensorFlow Lite Micro.
///
/// ```
/// use bareconv::{SoftmaxInt16, Tensor};
///
/// const SOFTMAX: SoftmaxInt16 = SoftmaxInt16::new(0.001, 1.0);
/// let mut output = Tensor::filled(0);
/// SOFTMAX.run(Tensor([[[1000, 1000, -32768]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[16384, 16384, 1]]])); // 1/2, 1/2, and next to nothing: at most exp(-10)
/// ```
///
/// ```compile_fail
/// # use bareconv::SoftmaxInt16;
/// const SOFTMAX: SoftmaxInt16 = SoftmaxInt16::new(5.0, 1.0); // needs an input scale times beta below 5
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftmaxInt16 {
    parameters: SoftmaxParametersInt16,
}

impl SoftmaxInt16 {
    /// The scale of every int16 softmax's output.
    pub const OUTPUT: f32 = 1.0 / 32768.0;

    /// Softmax of an input of this scale; differences are multiplied by `beta`, which is usually 1.
    ///
    /// # Panics
    /// Where `input_scale * beta` is not above 0 and below 5. In a constant this is a compile error.
    pub const fn new(input_scale: f32, beta: f32) -> Self {
        Self { parameters: SoftmaxParametersInt16::new(input_scale, beta) }
    }

    /// Computes the layer's output.
    ///
    /// # Panics
    /// Does not compile for more than 65536 channels.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i16, H, W, C>,
        mut output: ViewMut<'_, i16, H, W, C>,
    ) {
        const { assert!(C <= 65536, "int16 softmax sums at most 65536 exponentials") };
        let pixels = input.as_slice().as_chunks::<C>().0;
        for (pixel, out) in pixels.iter().zip(output.as_mut_slice().as_chunks_mut::<C>().0) {
            reference::share_i16(&self.parameters, pixel, out);
        }
    }
}
