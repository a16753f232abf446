use super::add::{broadcast, obeys};
use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::binary::{self, Joined};
use crate::pack::Activation;
use crate::quant::{ProductRounding, Quantization, SingleRounding};
use crate::reference::ProductParameters;
use crate::shape::{Broadcast, ShapeError, TensorShape};
use crate::tensor::{Tensor, View, ViewMut};
use core::marker::PhantomData;

/// Multiplication of two tensors, value by value, with its activation.
///
/// `A` is the type of the first input and of the output, `B` that of the second input. Each dimension of `B` is that of
/// `A`, or 1: then its values are repeated, as the factor for each channel of a squeeze-and-excite block is (Hu, Shen,
/// Sun, 2018). `R` says how int8 and int16 products are rounded: [`SingleRounding`], or
/// [`DoubleRounding`](crate::DoubleRounding) for the bits of TensorFlow Lite Micro; it is of no consequence in `f32`. The
/// result is that of [`reference::multiply_i8`](crate::reference::multiply_i8), `multiply_i16` or `multiply_f32`, bit for
/// bit, on every backend.
///
/// ```
/// use bareconv::{Activation, Multiply, Quantization, Tensor};
///
/// // Factors from 0 to 1, one for each channel, as a sigmoid gives them.
/// const SCALE: Multiply<Tensor<i8, 1, 2, 2>, Tensor<i8, 1, 1, 2>> = Multiply::int8(
///     [Quantization::new(0.1, 0), Quantization::new(1.0 / 256.0, -128)],
///     Quantization::new(0.1, 0),
///     Activation::Identity,
/// );
/// let mut features = Tensor([[[100, 100], [-40, 40]]]);
/// SCALE.run_in_place(features.view_mut(), Tensor([[[0, -64]]]).view()); // a half and a quarter
/// assert_eq!(features, Tensor([[[50, 25], [-20, 10]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{Activation, Multiply, Tensor};
/// // each dimension of the second input must be the first input's, or 1
/// const SCALE: Multiply<Tensor<f32, 4, 4, 8>, Tensor<f32, 1, 1, 4>> = Multiply::float(Activation::Identity);
/// ```
#[derive(Debug)]
pub struct Multiply<A: TensorShape<Element: Joined>, B = A, R: ProductRounding = SingleRounding> {
    parameters: <A::Element as Joined>::Product<R>,
    broadcast: Broadcast,
    types: PhantomData<fn(&A, &B)>,
}

impl<A: TensorShape<Element = i8>, B: TensorShape<Element = i8>, R: ProductRounding> Multiply<A, B, R> {
    /// An int8 multiplication: the quantizations of both inputs, of the output, and the activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule. The limits of
    /// scales are those of [`ProductParameters::int8`].
    pub const fn int8(inputs: [Quantization; 2], output: Quantization, activation: Activation) -> Self {
        Self::new(obeys(ProductParameters::int8(inputs, output, activation)))
    }
}

impl<A: TensorShape<Element = i16>, B: TensorShape<Element = i16>, R: ProductRounding> Multiply<A, B, R> {
    /// An int16 multiplication: the scales of both inputs, of the output, and the activation. Zero points are 0.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule. The limits of
    /// scales are those of [`ProductParameters::int16`].
    pub const fn int16(inputs: [f32; 2], output: f32, activation: Activation) -> Self {
        Self::new(obeys(ProductParameters::int16(inputs, output, activation)))
    }
}

impl<A: TensorShape<Element = f32>, B: TensorShape<Element = f32>> Multiply<A, B> {
    /// A multiplication in single precision, and its activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(activation: Activation) -> Self {
        Self::new(activation.bounds())
    }
}

impl<A: TensorShape<Element: Joined>, B: TensorShape, R: ProductRounding> Multiply<A, B, R> {
    const fn new(parameters: <A::Element as Joined>::Product<R>) -> Self {
        Self { parameters, broadcast: broadcast::<A, B>(), types: PhantomData }
    }
}

impl<
    T: Joined,
    R: ProductRounding,
    const H: usize,
    const W: usize,
    const C: usize,
    const H2: usize,
    const W2: usize,
    const C2: usize,
> Multiply<Tensor<T, H, W, C>, Tensor<T, H2, W2, C2>, R>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(
        &self,
        first: View<'_, T, H, W, C>,
        second: View<'_, T, H2, W2, C2>,
        mut output: ViewMut<'_, T, H, W, C>,
    ) {
        struct Product<'a, T: Joined, R: ProductRounding>(
            &'a T::Product<R>,
            &'a Broadcast,
            &'a [T],
            &'a [T],
            &'a mut [T],
        );
        impl<T: Joined, R: ProductRounding> Job for Product<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::multiply::<B, R, T>(self.0, self.1, self.2, self.3, self.4)
            }
        }
        let slices = (first.as_slice(), second.as_slice(), output.as_mut_slice());
        let fits = dispatch(Product::<T, R>(&self.parameters, &self.broadcast, slices.0, slices.1, slices.2));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }

    /// Replaces the first input by the layer's output.
    #[inline]
    pub fn run_in_place(&self, mut values: ViewMut<'_, T, H, W, C>, second: View<'_, T, H2, W2, C2>) {
        struct Product<'a, T: Joined, R: ProductRounding>(&'a T::Product<R>, &'a Broadcast, &'a mut [T], &'a [T]);
        impl<T: Joined, R: ProductRounding> Job for Product<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::multiply_in_place::<B, R, T>(self.0, self.1, self.2, self.3)
            }
        }
        let (values, second) = (values.as_mut_slice(), second.as_slice());
        let fits = dispatch(Product::<T, R>(&self.parameters, &self.broadcast, values, second));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }
}

format!([A: TensorShape<Element: Joined>, B, R: ProductRounding] Multiply<A, B, R>, "Multiply {{ broadcast: {} }}",
    |this| this.broadcast);
