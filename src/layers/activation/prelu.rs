use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::activation::{self, ByChannel, PRelu};
use crate::quant::Quantization;
use crate::reference::Rectifier;
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};

/// The parametric rectified linear unit in single precision, with a slope for each channel:
/// [`reference::prelu_f32`](crate::reference::prelu_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{PReluF32, Tensor};
///
/// const PRELU: PReluF32<2> = PReluF32::new([0.5, 0.0]);
/// let mut values = Tensor([[[-1.0, -1.0], [1.0, 1.0]]]);
/// PRELU.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-0.5, -0.0], [1.0, 1.0]]]));
/// ```
///
/// There is a slope for each channel:
///
/// ```compile_fail
/// # use bareconv::{PReluF32, Tensor};
/// PReluF32::new([0.5, 0.0, 0.1]).run_in_place(Tensor([[[-1.0, -1.0]]]).view_mut());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PReluF32<const C: usize> {
    slopes: [f32; C],
}

impl<const C: usize> PReluF32<C> {
    /// A PReLU with these slopes; any numbers will do.
    pub const fn new(slopes: [f32; C]) -> Self {
        Self { slopes }
    }
}

/// The parametric rectified linear unit in int8, with an int8 slope for each channel, from one quantization to another:
/// [`reference::prelu_i8`](crate::reference::prelu_i8), the bits of TensorFlow Lite Micro, on every backend.
///
/// ```
/// use bareconv::{PReluInt8, Quantization, Tensor};
///
/// const STEPS: Quantization = Quantization::new(0.1, 0);
/// // Slopes of 0.5 and 0.25.
/// const PRELU: PReluInt8<2> = PReluInt8::new([64, 32], Quantization::new(1.0 / 128.0, 0), STEPS, STEPS);
/// let mut values = Tensor([[[-100, -100], [100, 100]]]);
/// PRELU.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-50, -25], [100, 100]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PReluInt8<const C: usize> {
    rectifier: Rectifier,
    /// Less their zero point.
    slopes: [i16; C],
}

impl<const C: usize> PReluInt8<C> {
    /// A PReLU with slopes of this quantization, from one quantization to another.
    ///
    /// # Panics
    /// Where `from.scale / to.scale`, or that times the slopes' scale, is not finite or not below 2^30. In a constant
    /// this is a compile error.
    pub const fn new(slopes: [i8; C], quantization: Quantization, from: Quantization, to: Quantization) -> Self {
        let rectifier = Rectifier::leaky(quantization.scale, from, to);
        Self { rectifier, slopes: centered(slopes, quantization.zero_point) }
    }
}

/// The parametric rectified linear unit in int16, with an int8 slope for each channel, from one scale to another:
/// [`reference::prelu_i16`](crate::reference::prelu_i16), the bits of TensorFlow Lite Micro, on every backend.
///
/// ```
/// use bareconv::{PReluInt16, Quantization, Tensor};
///
/// const PRELU: PReluInt16<2> = PReluInt16::new([64, 32], Quantization::new(1.0 / 128.0, 0), 0.1, 0.1);
/// let mut values = Tensor([[[-1000, -1000], [1000, 1000]]]);
/// PRELU.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-500, -250], [1000, 1000]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PReluInt16<const C: usize> {
    rectifier: Rectifier,
    /// Less their zero point.
    slopes: [i16; C],
}

impl<const C: usize> PReluInt16<C> {
    /// A PReLU with slopes of this quantization, from one scale to another.
    ///
    /// # Panics
    /// Where `from / to`, or that times the slopes' scale, is not finite or not below 2^30. In a constant this is a
    /// compile error.
    pub const fn new(slopes: [i8; C], quantization: Quantization, from: f32, to: f32) -> Self {
        let rectifier = Rectifier::leaky(quantization.scale, Quantization::new(from, 0), Quantization::new(to, 0));
        Self { rectifier, slopes: centered(slopes, quantization.zero_point) }
    }
}

const fn centered<const C: usize>(slopes: [i8; C], zero_point: i8) -> [i16; C] {
    let (mut centered, mut c) = ([0; C], 0);
    while c < C {
        centered[c] = slopes[c] as i16 - zero_point as i16;
        c += 1;
    }
    centered
}

/// A function of every value and its channel, on the backend that layers run on; compiled once for all shapes.
#[inline(never)]
fn each<F: ByChannel>(function: F, channels: &[F::Channel], input: &[F::Value], output: &mut [F::Value]) {
    struct Map<'a, F: ByChannel>(F, &'a [F::Channel], &'a [F::Value], &'a mut [F::Value]);
    impl<F: ByChannel> Job for Map<'_, F> {
        type Output = Result<(), ShapeError>;
        #[inline(always)]
        fn run<B: Backend>(self) -> Self::Output {
            activation::by_channel::<B, F>(self.0, self.1, self.2, self.3)
        }
    }
    let lengths_fit = dispatch(Map(function, channels, input, output));
    debug_assert!(lengths_fit.is_ok());
}

/// [`each`], in place.
#[inline(never)]
fn each_in_place<F: ByChannel>(function: F, channels: &[F::Channel], values: &mut [F::Value]) {
    struct Map<'a, F: ByChannel>(F, &'a [F::Channel], &'a mut [F::Value]);
    impl<F: ByChannel> Job for Map<'_, F> {
        type Output = Result<(), ShapeError>;
        #[inline(always)]
        fn run<B: Backend>(self) -> Self::Output {
            activation::by_channel_in_place::<B, F>(self.0, self.1, self.2)
        }
    }
    let lengths_fit = dispatch(Map(function, channels, values));
    debug_assert!(lengths_fit.is_ok());
}

/// Gives a layer its methods.
macro_rules! by_channel {
    ($layer:ident: $value:ty, |$this:ident| $function:expr) => {
        impl<const C: usize> $layer<C> {
            /// Computes the layer's output.
            ///
            /// # Panics
            /// Does not compile without channels.
            pub fn run<const H: usize, const W: usize>(
                &self,
                input: View<'_, $value, H, W, C>,
                mut output: ViewMut<'_, $value, H, W, C>,
            ) {
                const { assert!(C > 0, "a pixel has at least one channel") };
                let $this = self;
                each($function, &self.slopes, input.as_slice(), output.as_mut_slice());
            }

            /// Replaces the values by the layer's output.
            ///
            /// # Panics
            /// Does not compile without channels.
            pub fn run_in_place<const H: usize, const W: usize>(&self, mut values: ViewMut<'_, $value, H, W, C>) {
                const { assert!(C > 0, "a pixel has at least one channel") };
                let $this = self;
                each_in_place($function, &self.slopes, values.as_mut_slice());
            }
        }
    };
}

by_channel!(PReluF32: f32, |_this| activation::PReluF32);
by_channel!(PReluInt8: i8, |this| PRelu::<i8>::new(this.rectifier));
by_channel!(PReluInt16: i16, |this| PRelu::<i16>::new(this.rectifier));
