use crate::arch::{Job, dispatch};
use crate::kernels::{Backend, elementwise::batch_norm as kernel};
use crate::quant::Quantization;
pub use crate::reference::BatchNormParameters;
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};

/// Batch normalization in single precision, where it cannot be folded into a convolution
/// ([`BatchNormParameters::fold`]): a product and a sum for each value.
///
/// The result is that of [`reference::batch_norm_f32`](crate::reference::batch_norm_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{BatchNormF32, BatchNormParameters, Tensor};
///
/// const NORM: BatchNormF32<2> = BatchNormF32::new(BatchNormParameters {
///     gamma: &[1.0, 3.0], beta: &[0.5, 0.0], mean: &[2.0, 1.0], variance: &[4.0, 9.0], epsilon: 0.0,
/// });
/// let mut values = Tensor([[[6.0, 1.5]]]);
/// NORM.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[2.5, 0.5]]]));
/// ```
///
/// Every channel has its parameters:
///
/// ```compile_fail
/// # use bareconv::{BatchNormF32, BatchNormParameters};
/// const NORM: BatchNormF32<2> = BatchNormF32::new(BatchNormParameters {
///     gamma: &[1.0], beta: &[0.5], mean: &[2.0], variance: &[4.0], epsilon: 0.0,
/// });
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormF32<const C: usize> {
    /// Scale and shift of each channel.
    parameters: [[f32; 2]; C],
}

impl<const C: usize> BatchNormF32<C> {
    /// The normalization of `C` channels.
    ///
    /// # Panics
    /// Where a rule of [`BatchNormParameters::check`] is broken, or a scale or shift is beyond `f32`. In a constant this
    /// is a compile error.
    pub const fn new(norm: BatchNormParameters<'_>) -> Self {
        if let Err(error) = norm.check(C) {
            panic!("{}", error.message());
        }
        let mut parameters = [[0.0; 2]; C];
        let mut c = 0;
        while c < C {
            let [scale, shift] = [norm.scale(c) as f32, norm.shift(c) as f32];
            if !scale.is_finite() || !shift.is_finite() {
                panic!("{}", ShapeError::Scale.message());
            }
            parameters[c] = [scale, shift];
            c += 1;
        }
        Self { parameters }
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        let fits = dispatch(NormalizeF32(&self.parameters, Some(input.as_slice()), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the types have the same shape");
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize>(&self, mut values: ViewMut<'_, f32, H, W, C>) {
        let fits = dispatch(NormalizeF32(&self.parameters, None, values.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the type has the layer's channels");
    }
}

struct NormalizeF32<'a>(&'a [[f32; 2]], Option<&'a [f32]>, &'a mut [f32]);

impl Job for NormalizeF32<'_> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        kernel::batch_norm_f32::<B>(self.0, self.1, self.2)
    }
}

/// Batch normalization in int8, from one quantization to another, where it cannot be folded into a convolution
/// ([`BatchNormParameters::fold`]): a multiplication, a sum and a shift in 32 bits for each value.
///
/// The result is that of [`reference::batch_norm_i8`](crate::reference::batch_norm_i8), bit for bit, on every backend.
///
/// ```
/// use bareconv::{BatchNormInt8, BatchNormParameters, Quantization, Tensor};
///
/// const NORM: BatchNormInt8<1> = BatchNormInt8::new(
///     BatchNormParameters { gamma: &[1.0], beta: &[0.5], mean: &[2.0], variance: &[4.0], epsilon: 0.0 },
///     Quantization::new(0.5, 0),
///     Quantization::new(0.25, -8),
/// );
/// let mut output = Tensor::filled(0);
/// NORM.run(Tensor([[[12], [4]]]).view(), output.view_mut()); // 6.0 and 2.0
/// assert_eq!(output, Tensor([[[2], [-6]]])); // 2.5 and 0.5
/// ```
///
/// Variances are above 0, with epsilon:
///
/// ```compile_fail
/// # use bareconv::{BatchNormInt8, BatchNormParameters, Quantization};
/// const NORM: BatchNormInt8<1> = BatchNormInt8::new(
///     BatchNormParameters { gamma: &[1.0], beta: &[0.5], mean: &[2.0], variance: &[0.0], epsilon: 0.0 },
///     Quantization::new(0.5, 0),
///     Quantization::new(0.25, -8),
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormInt8<const C: usize> {
    /// Multiplier and offset of each channel.
    parameters: [[i32; 2]; C],
    shift: u32,
}

impl<const C: usize> BatchNormInt8<C> {
    /// The normalization of `C` channels.
    ///
    /// # Panics
    /// Where a rule of [`BatchNormParameters::check`] is broken, a scale is not positive and finite, or a factor is 2^20
    /// or more. In a constant this is a compile error.
    pub const fn new(norm: BatchNormParameters<'_>, from: Quantization, to: Quantization) -> Self {
        if let Err(error) = norm.check(C) {
            panic!("{}", error.message());
        }
        let shift = match norm.requantization_shift(from, to) {
            Ok(shift) => shift,
            Err(error) => panic!("{}", error.message()),
        };
        let mut parameters = [[0; 2]; C];
        let mut c = 0;
        while c < C {
            parameters[c] = norm.requantization(c, from, to, shift);
            c += 1;
        }
        Self { parameters, shift }
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        let normalize = NormalizeInt8(&self.parameters, self.shift, Some(input.as_slice()), output.as_mut_slice());
        let fits = dispatch(normalize);
        debug_assert!(fits.is_ok(), "the types have the same shape");
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize>(&self, mut values: ViewMut<'_, i8, H, W, C>) {
        let fits = dispatch(NormalizeInt8(&self.parameters, self.shift, None, values.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the type has the layer's channels");
    }
}

struct NormalizeInt8<'a>(&'a [[i32; 2]], u32, Option<&'a [i8]>, &'a mut [i8]);

impl Job for NormalizeInt8<'_> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        kernel::batch_norm_i8::<B>(self.0, self.1, self.2, self.3)
    }
}

format!([const C: usize] BatchNormF32<C>, "BatchNormF32 {{ channels: {} }}", |_this| C);
format!([const C: usize] BatchNormInt8<C>, "BatchNormInt8 {{ channels: {} }}", |_this| C);
