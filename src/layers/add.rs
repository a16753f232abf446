use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::binary::{self, FloatSum, Joined};
use crate::pack::Activation;
use crate::quant::{ProductRounding, Quantization, SingleRounding};
use crate::reference::SumParameters;
use crate::shape::{Broadcast, ShapeError, TensorShape};
use crate::tensor::{Tensor, View, ViewMut};
use core::marker::PhantomData;

/// Addition of two tensors, with its activation: the end of a residual block.
///
/// `A` is the type of the first input and of the output, `B` that of the second input. Each dimension of `B` is that of
/// `A`, or 1: then its values are repeated, as a value for each channel is. `R` says how int8 and int16 sums are
/// rounded: [`SingleRounding`], or [`DoubleRounding`](crate::DoubleRounding) for the bits of TensorFlow Lite Micro; it
/// is of no consequence in `f32`. The result is that of [`reference::add_i8`](crate::reference::add_i8), `add_i16` or
/// `add_f32`, bit for bit, on every backend.
///
/// ```
/// use bareconv::{Activation, Add, Quantization, Tensor};
///
/// type Features = Tensor<i8, 2, 2, 2>;
/// // Half steps and whole steps come to whole steps.
/// const ADD: Add<Features> = Add::int8(
///     [Quantization::new(0.5, 0), Quantization::new(1.0, 10)],
///     Quantization::new(1.0, 0),
///     Activation::Relu,
/// );
/// let mut values = Tensor([[[20, 40], [-20, 60]], [[1, 2], [3, 4]]]);
/// let skipped = Tensor([[[11, 12], [13, 127]]; 2]);
/// ADD.run_in_place(values.view_mut(), skipped.view());
/// assert_eq!(values, Tensor([[[11, 22], [0, 127]], [[2, 3], [5, 119]]]));
///
/// // A bias for each channel, in single precision.
/// const BIAS: Add<Tensor<f32, 1, 2, 2>, Tensor<f32, 1, 1, 2>> = Add::float(Activation::Identity);
/// let mut output = Tensor::filled(0.0);
/// BIAS.run(Tensor([[[1.0, 2.0], [3.0, 4.0]]]).view(), Tensor([[[0.5, -0.5]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[1.5, 1.5], [3.5, 3.5]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{Activation, Add, Tensor};
/// // each dimension of the second input must be the first input's, or 1
/// const BIAS: Add<Tensor<f32, 4, 4, 8>, Tensor<f32, 1, 1, 4>> = Add::float(Activation::Identity);
/// ```
#[derive(Debug)]
pub struct Add<A: TensorShape<Element: Joined>, B = A, R: ProductRounding = SingleRounding> {
    parameters: <A::Element as Joined>::Sum<R>,
    broadcast: Broadcast,
    types: PhantomData<fn(&A, &B)>,
}

/// Subtraction of a tensor from another, with its activation; otherwise as [`Add`].
///
/// The result is that of [`reference::add_i8`](crate::reference::add_i8) or `add_i16`, with parameters that subtract, or
/// of [`reference::subtract_f32`](crate::reference::subtract_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{Activation, Quantization, Subtract, Tensor};
///
/// type Features = Tensor<i8, 1, 1, 3>;
/// const Q: Quantization = Quantization::new(0.1, 0);
/// const SUBTRACT: Subtract<Features> = Subtract::int8([Q, Q], Q, Activation::Identity);
/// let mut output = Tensor::filled(0);
/// SUBTRACT.run(Tensor([[[1, 100, -100]]]).view(), Tensor([[[3, -100, 20]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[-2, 127, -120]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Activation, Subtract, Tensor};
/// // each dimension of the second input must be the first input's, or 1
/// const S: Subtract<Tensor<f32, 4, 4, 8>, Tensor<f32, 2, 4, 8>> = Subtract::float(Activation::Identity);
/// ```
#[derive(Debug)]
pub struct Subtract<A: TensorShape<Element: Joined>, B = A, R: ProductRounding = SingleRounding>(Add<A, B, R>);

/// Subtraction *from* a tensor that may be the smaller one, with its activation: the second input less the first.
///
/// `A` is the type of the first input and of the output, `B` that of the second input, which is repeated as that of
/// [`Subtract`] is. (What [`Add`] and [`Multiply`](crate::Multiply) give does not depend on the order of their inputs, so
/// that the larger one can always be the first.) The result is that of
/// [`reference::add_i8`](crate::reference::add_i8) or `add_i16`, with parameters that subtract, or of
/// [`reference::subtract_f32`](crate::reference::subtract_f32), of the second input and the first, bit for bit, on every
/// backend.
///
/// ```
/// use bareconv::{Activation, SubtractFrom, Tensor};
///
/// // What a gate lets through less of: 1 - x.
/// const REST: SubtractFrom<Tensor<f32, 1, 2, 2>, Tensor<f32, 1, 1, 1>> = SubtractFrom::float(Activation::Identity);
/// let mut gate = Tensor([[[0.25, 1.0], [0.5, 0.0]]]);
/// REST.run_in_place(gate.view_mut(), Tensor([[[1.0]]]).view());
/// assert_eq!(gate, Tensor([[[0.75, 0.0], [0.5, 1.0]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Activation, SubtractFrom, Tensor};
/// // each dimension of the second input must be the first input's, or 1
/// const S: SubtractFrom<Tensor<f32, 4, 4, 8>, Tensor<f32, 2, 4, 8>> = SubtractFrom::float(Activation::Identity);
/// ```
#[derive(Debug)]
pub struct SubtractFrom<A: TensorShape<Element: Joined>, B = A, R: ProductRounding = SingleRounding>(Add<A, B, R>);

/// How the second input repeats itself over the first one.
pub(super) const fn broadcast<A: TensorShape, B: TensorShape>() -> Broadcast {
    match Broadcast::new(A::SHAPE, B::SHAPE) {
        Ok(broadcast) => broadcast,
        Err(error) => panic!("{}", error.message()),
    }
}

/// The parameters, or a panic with the rule that they break.
pub(super) const fn obeys<T: Copy>(parameters: Result<T, ShapeError>) -> T {
    match parameters {
        Ok(parameters) => parameters,
        Err(error) => panic!("{}", error.message()),
    }
}

impl<A: TensorShape<Element = i8>, B: TensorShape<Element = i8>, R: ProductRounding> Add<A, B, R> {
    /// An int8 addition: the quantizations of both inputs, of the output, and the activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule. The limits of
    /// scales are those of [`SumParameters::int8`].
    pub const fn int8(inputs: [Quantization; 2], output: Quantization, activation: Activation) -> Self {
        Self::new(obeys(SumParameters::int8(false, inputs, output, activation)))
    }
}

impl<A: TensorShape<Element = i8>, B: TensorShape<Element = i8>, R: ProductRounding> Subtract<A, B, R> {
    /// An int8 subtraction: the quantizations of both inputs, of the output, and the activation.
    ///
    /// # Panics
    /// As [`Add::int8`].
    pub const fn int8(inputs: [Quantization; 2], output: Quantization, activation: Activation) -> Self {
        Self(Add::new(obeys(SumParameters::int8(true, inputs, output, activation))))
    }
}

impl<A: TensorShape<Element = i16>, B: TensorShape<Element = i16>, R: ProductRounding> Add<A, B, R> {
    /// An int16 addition: the scales of both inputs, of the output, and the activation. Zero points are 0.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule. The limits of
    /// scales are those of [`SumParameters::int16`].
    pub const fn int16(inputs: [f32; 2], output: f32, activation: Activation) -> Self {
        Self::new(obeys(SumParameters::int16(false, inputs, output, activation)))
    }
}

impl<A: TensorShape<Element = i16>, B: TensorShape<Element = i16>, R: ProductRounding> Subtract<A, B, R> {
    /// An int16 subtraction: the scales of both inputs, of the output, and the activation. Zero points are 0.
    ///
    /// # Panics
    /// As [`Add::int16`].
    pub const fn int16(inputs: [f32; 2], output: f32, activation: Activation) -> Self {
        Self(Add::new(obeys(SumParameters::int16(true, inputs, output, activation))))
    }
}

impl<A: TensorShape<Element = i8>, B: TensorShape<Element = i8>, R: ProductRounding> SubtractFrom<A, B, R> {
    /// An int8 subtraction: the quantizations of both inputs, of the output, and the activation.
    ///
    /// # Panics
    /// As [`Add::int8`].
    pub const fn int8([first, second]: [Quantization; 2], output: Quantization, activation: Activation) -> Self {
        Self(Add::new(obeys(SumParameters::int8(true, [second, first], output, activation))))
    }
}

impl<A: TensorShape<Element = i16>, B: TensorShape<Element = i16>, R: ProductRounding> SubtractFrom<A, B, R> {
    /// An int16 subtraction: the scales of both inputs, of the output, and the activation. Zero points are 0.
    ///
    /// # Panics
    /// As [`Add::int16`].
    pub const fn int16([first, second]: [f32; 2], output: f32, activation: Activation) -> Self {
        Self(Add::new(obeys(SumParameters::int16(true, [second, first], output, activation))))
    }
}

impl<A: TensorShape<Element = f32>, B: TensorShape<Element = f32>> Add<A, B> {
    /// An addition in single precision, and its activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(activation: Activation) -> Self {
        Self::new(FloatSum { subtract: false, bounds: activation.bounds() })
    }
}

impl<A: TensorShape<Element = f32>, B: TensorShape<Element = f32>> Subtract<A, B> {
    /// A subtraction in single precision, and its activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(activation: Activation) -> Self {
        Self(Add::new(FloatSum { subtract: true, bounds: activation.bounds() }))
    }
}

impl<A: TensorShape<Element = f32>, B: TensorShape<Element = f32>> SubtractFrom<A, B> {
    /// A subtraction in single precision, and its activation.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(activation: Activation) -> Self {
        Self(Add::new(FloatSum { subtract: true, bounds: activation.bounds() }))
    }
}

impl<A: TensorShape<Element: Joined>, B: TensorShape, R: ProductRounding> Add<A, B, R> {
    const fn new(parameters: <A::Element as Joined>::Sum<R>) -> Self {
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
> Add<Tensor<T, H, W, C>, Tensor<T, H2, W2, C2>, R>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(
        &self,
        first: View<'_, T, H, W, C>,
        second: View<'_, T, H2, W2, C2>,
        mut output: ViewMut<'_, T, H, W, C>,
    ) {
        struct Sum<'a, T: Joined, R: ProductRounding>(&'a T::Sum<R>, &'a Broadcast, &'a [T], &'a [T], &'a mut [T]);
        impl<T: Joined, R: ProductRounding> Job for Sum<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::add::<B, R, T>(self.0, self.1, self.2, self.3, self.4)
            }
        }
        let slices = (first.as_slice(), second.as_slice(), output.as_mut_slice());
        let fits = dispatch(Sum::<T, R>(&self.parameters, &self.broadcast, slices.0, slices.1, slices.2));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }

    /// Replaces the first input by the layer's output.
    #[inline]
    pub fn run_in_place(&self, mut values: ViewMut<'_, T, H, W, C>, second: View<'_, T, H2, W2, C2>) {
        struct Sum<'a, T: Joined, R: ProductRounding>(&'a T::Sum<R>, &'a Broadcast, &'a mut [T], &'a [T]);
        impl<T: Joined, R: ProductRounding> Job for Sum<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::add_in_place::<B, R, T>(self.0, self.1, self.2, self.3)
            }
        }
        let (values, second) = (values.as_mut_slice(), second.as_slice());
        let fits = dispatch(Sum::<T, R>(&self.parameters, &self.broadcast, values, second));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
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
> Subtract<Tensor<T, H, W, C>, Tensor<T, H2, W2, C2>, R>
{
    /// Computes the layer's output: the first input less the second.
    #[inline]
    pub fn run(&self, first: View<'_, T, H, W, C>, second: View<'_, T, H2, W2, C2>, output: ViewMut<'_, T, H, W, C>) {
        self.0.run(first, second, output);
    }

    /// Replaces the first input by the layer's output.
    #[inline]
    pub fn run_in_place(&self, values: ViewMut<'_, T, H, W, C>, second: View<'_, T, H2, W2, C2>) {
        self.0.run_in_place(values, second);
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
> SubtractFrom<Tensor<T, H, W, C>, Tensor<T, H2, W2, C2>, R>
{
    /// Computes the layer's output: the second input less the first.
    #[inline]
    pub fn run(
        &self,
        first: View<'_, T, H, W, C>,
        second: View<'_, T, H2, W2, C2>,
        mut output: ViewMut<'_, T, H, W, C>,
    ) {
        struct Difference<'a, T: Joined, R: ProductRounding>(
            &'a T::Sum<R>,
            &'a Broadcast,
            &'a [T],
            &'a [T],
            &'a mut [T],
        );
        impl<T: Joined, R: ProductRounding> Job for Difference<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::subtract_from::<B, R, T>(self.0, self.1, self.2, self.3, self.4)
            }
        }
        let Self(Add { parameters, broadcast, .. }) = self;
        let slices = (first.as_slice(), second.as_slice(), output.as_mut_slice());
        let fits = dispatch(Difference::<T, R>(parameters, broadcast, slices.0, slices.1, slices.2));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }

    /// Replaces the first input by the layer's output.
    #[inline]
    pub fn run_in_place(&self, mut values: ViewMut<'_, T, H, W, C>, second: View<'_, T, H2, W2, C2>) {
        struct Difference<'a, T: Joined, R: ProductRounding>(&'a T::Sum<R>, &'a Broadcast, &'a mut [T], &'a [T]);
        impl<T: Joined, R: ProductRounding> Job for Difference<'_, T, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                binary::subtract_from_in_place::<B, R, T>(self.0, self.1, self.2, self.3)
            }
        }
        let Self(Add { parameters, broadcast, .. }) = self;
        let (values, second) = (values.as_mut_slice(), second.as_slice());
        let fits = dispatch(Difference::<T, R>(parameters, broadcast, values, second));
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }
}

format!([A: TensorShape<Element: Joined>, B, R: ProductRounding] Add<A, B, R>, "Add {{ broadcast: {} }}",
    |this| this.broadcast);

format!([A: TensorShape<Element: Joined>, B, R: ProductRounding] Subtract<A, B, R>, "Subtract {{ broadcast: {} }}",
    |this| this.0.broadcast);

format!([A: TensorShape<Element: Joined>, B, R: ProductRounding] SubtractFrom<A, B, R>, "SubtractFrom {{ broadcast: {} }}",
    |this| this.0.broadcast);
