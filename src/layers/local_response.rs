use crate::arch::{Job, dispatch};
use crate::kernels::{Backend, elementwise::local_response as kernel};
use crate::quant::Quantization;
pub use crate::reference::LocalResponse;
use crate::reference::LocalResponseInt8;
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};

/// Local response normalization over channels, in single precision, as in AlexNet.
///
/// The result is that of [`reference::local_response_f32`](crate::reference::local_response_f32), bit for bit, on every
/// backend.
///
/// ```
/// use bareconv::{LocalResponse, LocalResponseNormF32, Tensor};
///
/// const NORM: LocalResponseNormF32 = LocalResponseNormF32::new(LocalResponse::new(3, 1.0, 0.5, 1.0));
/// let mut output = Tensor::filled(0.0);
/// NORM.run(Tensor([[[0.0, 6.0, -2.0, 3.0]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0.0, 6.0 / 41f32.sqrt(), -2.0 / 50f32.sqrt(), 3.0 / 14f32.sqrt()]]]));
/// ```
///
/// The number of channels is odd:
///
/// ```compile_fail
/// # use bareconv::{LocalResponse, LocalResponseNormF32};
/// const NORM: LocalResponseNormF32 = LocalResponseNormF32::new(LocalResponse::new(4, 1.0, 0.5, 1.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LocalResponseNormF32 {
    pub(super) norm: LocalResponse,
}

impl LocalResponseNormF32 {
    /// A normalization with these parameters.
    pub const fn new(norm: LocalResponse) -> Self {
        Self { norm }
    }

    /// Computes the layer's output.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        struct Normalize<'a>(&'a LocalResponse, usize, &'a [f32], &'a mut [f32]);
        impl Job for Normalize<'_> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                kernel::local_response_f32::<B>(self.0, self.1, self.2, self.3)
            }
        }
        const { assert!(C > 0, "a pixel has channels") };
        let fits = dispatch(Normalize(&self.norm, C, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the types have the same shape");
    }
}

/// Local response normalization over channels, in int8, from one quantization to another.
///
/// The power is computed in `f32`; on cores without a floating point unit that is slow. The result is that of
/// [`reference::local_response_i8`](crate::reference::local_response_i8), bit for bit, on every backend.
///
/// ```
/// use bareconv::{LocalResponse, LocalResponseNormInt8, Quantization, Tensor};
///
/// const NORM: LocalResponseNormInt8 = LocalResponseNormInt8::new(
///     LocalResponse::new(3, 1.0, 0.5, 1.0),
///     Quantization::new(0.5, 0),
///     Quantization::new(1.0 / 128.0, 0),
/// );
/// let mut output = Tensor::filled(0);
/// NORM.run(Tensor([[[0, 12, -4, 6]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0, 120, -36, 103]]])); // 0.0, 0.937, -0.283, 0.802
/// ```
///
/// Scales are positive:
///
/// ```compile_fail
/// # use bareconv::{LocalResponse, LocalResponseNormInt8, Quantization};
/// const NORM: LocalResponseNormInt8 =
///     LocalResponseNormInt8::new(LocalResponse::ALEXNET, Quantization::new(0.0, 0), Quantization::new(1.0, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LocalResponseNormInt8 {
    norm: LocalResponseInt8,
}

impl LocalResponseNormInt8 {
    /// A normalization with these parameters, from one quantization to another.
    ///
    /// # Panics
    /// Where a scale is not positive, or what follows from it is not finite. In a constant this is a compile error.
    pub const fn new(norm: LocalResponse, from: Quantization, to: Quantization) -> Self {
        Self { norm: LocalResponseInt8::new(norm, from, to) }
    }

    /// Computes the layer's output.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        struct Normalize<'a>(&'a LocalResponseInt8, usize, &'a [i8], &'a mut [i8]);
        impl Job for Normalize<'_> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                kernel::local_response_i8::<B>(self.0, self.1, self.2, self.3)
            }
        }
        const { assert!(C > 0, "a pixel has channels") };
        let fits = dispatch(Normalize(&self.norm, C, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the types have the same shape");
    }
}
