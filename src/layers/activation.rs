mod approximate;
mod float;
mod int16;
mod prelu;
mod table;

pub use approximate::Approximate;
pub use float::{HardSigmoidF32, HardSwishF32, Relu6, SigmoidF32, TanhF32};
pub use int16::{LeakyReluInt16, SigmoidInt16, TanhInt16};
pub use prelu::{PReluF32, PReluInt8, PReluInt16};
pub use table::Int8Table;

use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::{self as kernels, Element, unary, unary::Function};
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};
use bytemuck::Pod;

/// The rectified linear unit: negative values become 0.
///
/// In int8 and int16, input and output have the same quantization ([`Int8Table::leaky_relu`] and [`LeakyReluInt16`] with
/// a slope of 0 change it). Behind a convolution or dense layer it is free, as that layer's activation. The result is
/// that of [`reference::relu_i8`](crate::reference::relu_i8), its like in int16, or
/// [`reference::relu_f32`](crate::reference::relu_f32), bit for bit, on every backend: in `f32` a NaN passes, and -0.0
/// stays -0.0.
///
/// ```
/// use bareconv::{Relu, Tensor};
///
/// let mut values = Tensor([[[-1.5, 0.0, 2.5]]]);
/// Relu::float().run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[0.0, 0.0, 2.5]]]));
///
/// let mut output = Tensor::filled(0);
/// Relu::int8(-10).run(Tensor([[[-128, -10, 3]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[-10, -10, 3]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Relu<T> {
    /// What stands for 0.
    zero: T,
}

impl Relu<i8> {
    /// ReLU of int8 values of this zero point.
    pub const fn int8(zero_point: i8) -> Self {
        Self { zero: zero_point }
    }
}

impl Relu<i16> {
    /// ReLU of int16 values, whose zero point is 0.
    pub const fn int16() -> Self {
        Self { zero: 0 }
    }
}

impl Relu<f32> {
    /// ReLU in single precision.
    pub const fn float() -> Self {
        Self { zero: 0.0 }
    }
}

impl<T: Element> Relu<T> {
    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, H, W, C>,
    ) {
        struct Map<'a, T>(T, &'a [T], &'a mut [T]);
        impl<T: Element> Job for Map<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                let same_length = kernels::relu::<B, T>(self.0, self.1, self.2);
                debug_assert!(same_length.is_ok());
            }
        }
        dispatch(Map(self.zero, input.as_slice(), output.as_mut_slice()));
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, mut values: ViewMut<'_, T, H, W, C>) {
        struct Map<'a, T>(T, &'a mut [T]);
        impl<T: Element> Job for Map<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                kernels::relu_in_place::<B, T>(self.0, self.1);
            }
        }
        dispatch(Map(self.zero, values.as_mut_slice()));
    }
}

/// The slope that [`LeakyReluF32::default`] has, and what most networks use.
pub const LEAKY_RELU_SLOPE: f32 = 0.1;

/// The leaky rectified linear unit in single precision: negative values are multiplied by a slope.
///
/// The result is that of [`reference::leaky_relu_f32`](crate::reference::leaky_relu_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{LeakyReluF32, Tensor};
///
/// let mut values = Tensor([[[-10.0, 0.0, 2.5]]]);
/// LeakyReluF32::default().run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-1.0, 0.0, 2.5]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeakyReluF32 {
    slope: f32,
}

impl Default for LeakyReluF32 {
    fn default() -> Self {
        Self::new(LEAKY_RELU_SLOPE)
    }
}

impl LeakyReluF32 {
    /// A leaky ReLU of this slope; any number will do.
    pub const fn new(slope: f32) -> Self {
        Self { slope }
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        struct Map<'a>(f32, &'a [f32], &'a mut [f32]);
        impl Job for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                let same_length = kernels::leaky_relu_f32::<B>(self.0, self.1, self.2);
                debug_assert!(same_length.is_ok());
            }
        }
        dispatch(Map(self.slope, input.as_slice(), output.as_mut_slice()));
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, mut values: ViewMut<'_, f32, H, W, C>) {
        struct Map<'a>(f32, &'a mut [f32]);
        impl Job for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                kernels::leaky_relu_f32_in_place::<B>(self.0, self.1);
            }
        }
        dispatch(Map(self.slope, values.as_mut_slice()));
    }
}

/// The function of every value, on the backend that layers run on; compiled once for all shapes.
#[inline(never)]
fn each<F: Function>(function: F, input: &[F::From], output: &mut [F::To]) {
    struct Map<'a, F: Function>(F, &'a [F::From], &'a mut [F::To]);
    impl<F: Function> Job for Map<'_, F> {
        type Output = Result<(), ShapeError>;
        #[inline(always)]
        fn run<B: Backend>(self) -> Self::Output {
            unary::map::<B, F>(self.0, self.1, self.2)
        }
    }
    let same_length = dispatch(Map(function, input, output));
    debug_assert!(same_length.is_ok());
}

/// [`each`], in place.
#[inline(never)]
fn each_in_place<T: Pod, F: Function<From = T, To = T>>(function: F, values: &mut [T]) {
    struct Map<'a, T, F>(F, &'a mut [T]);
    impl<T: Pod, F: Function<From = T, To = T>> Job for Map<'_, T, F> {
        type Output = ();
        #[inline(always)]
        fn run<B: Backend>(self) {
            unary::map_in_place::<B, T, F>(self.0, self.1);
        }
    }
    dispatch(Map(function, values));
}

/// Gives a layer the methods of an elementwise one.
macro_rules! elementwise {
    (all $bound:ident: $layer:ty: $value:ty, |$this:ident| $function:expr) => {
        elementwise!(@ [<T: $bound>] $layer: $value, |$this| $function);
    };
    ($layer:ident: $value:ty, |$this:ident| $function:expr) => {
        elementwise!(@ [] $layer: $value, |$this| $function);
    };
    (@ [$($generics:tt)*] $layer:ty: $value:ty, |$this:ident| $function:expr) => {
        impl $($generics)* $layer {
            /// Computes the layer's output.
            pub fn run<const H: usize, const W: usize, const C: usize>(
                &self,
                input: View<'_, $value, H, W, C>,
                mut output: ViewMut<'_, $value, H, W, C>,
            ) {
                let $this = self;
                $crate::layers::activation::each($function, input.as_slice(), output.as_mut_slice());
            }

            /// Replaces the values by the layer's output.
            pub fn run_in_place<const H: usize, const W: usize, const C: usize>(
                &self,
                mut values: ViewMut<'_, $value, H, W, C>,
            ) {
                let $this = self;
                $crate::layers::activation::each_in_place($function, values.as_mut_slice());
            }
        }
    };
}
use elementwise;
