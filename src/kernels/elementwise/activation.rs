//! Activations: functions of a value, and of a value and its channel.

use super::unary::{Function, map, map_in_place};
use super::{Backend, Element, Elementwise, Task, run};
use crate::quant::Quantization;
use crate::reference::{self, Knots, Rectifier};
use crate::shape::ShapeError;
use core::marker::PhantomData;

/// A clamp: ReLU6, and whatever else has two bounds.
#[derive(Clone, Copy)]
pub(crate) struct Limit<T>(pub(crate) T, pub(crate) T);

impl<T: Element> Function for Limit<T> {
    type From = T;
    type To = T;

    #[inline(always)]
    fn apply(self, x: T) -> T {
        reference::limit(self.0, self.1, x)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl Function for HardSwish {
    type From = f32;
    type To = f32;

    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        reference::hard_swish(x)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSigmoid {
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
}

impl Function for HardSigmoid {
    type From = f32;
    type To = f32;

    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        reference::limit(0.0, 1.0, self.alpha * x + self.beta)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sigmoid<T>(pub(crate) T);

impl Function for Sigmoid<Knots> {
    type From = i16;
    type To = i16;

    #[inline(always)]
    fn apply(self, x: i16) -> i16 {
        self.0.sigmoid_of(x)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Tanh<T>(pub(crate) T);

impl Function for Tanh<Knots> {
    type From = i16;
    type To = i16;

    #[inline(always)]
    fn apply(self, x: i16) -> i16 {
        self.0.tanh_of(x)
    }
}

impl Function for Rectifier {
    type From = i16;
    type To = i16;

    #[inline(always)]
    fn apply(self, x: i16) -> i16 {
        saturate(self.rectify(x as i32, 1))
    }
}

/// Not the reference's, which constants can call: this one is a saturation to compilers.
#[inline(always)]
fn saturate(value: i64) -> i16 {
    value.clamp(-32768, 32767) as i16
}

/// Functions of a value and of what its channel has, a channel after the other.
pub(crate) trait ByChannel: Copy {
    type Channel: Copy;
    type Value: Copy;
    fn apply(self, channel: Self::Channel, x: Self::Value) -> Self::Value;
}

struct Pixels<'a, F: ByChannel> {
    function: F,
    channels: &'a [F::Channel],
    input: &'a [F::Value],
    output: &'a mut [F::Value],
}

impl<F: ByChannel> Task for Pixels<'_, F> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let Self { function, channels, input, output } = self;
        // There is at least one channel; the compiler does not see it.
        let count = channels.len().max(1);
        for (input, output) in input.chunks_exact(count).zip(output.chunks_exact_mut(count)) {
            for ((&channel, &x), out) in channels.iter().zip(input).zip(output) {
                *out = function.apply(channel, x);
            }
        }
    }
}

struct PixelsInPlace<'a, F: ByChannel> {
    function: F,
    channels: &'a [F::Channel],
    values: &'a mut [F::Value],
}

impl<F: ByChannel> Task for PixelsInPlace<'_, F> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let Self { function, channels, values } = self;
        for pixel in values.chunks_exact_mut(channels.len().max(1)) {
            for (&channel, x) in channels.iter().zip(pixel) {
                *x = function.apply(channel, *x);
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct PReluF32;

impl ByChannel for PReluF32 {
    type Channel = f32;
    type Value = f32;

    #[inline(always)]
    fn apply(self, slope: f32, x: f32) -> f32 {
        if x >= 0.0 { x } else { slope * x }
    }
}

/// Slopes less their zero point, for values of type `T`.
#[derive(Clone, Copy)]
pub(crate) struct PRelu<T>(Rectifier, PhantomData<T>);

impl<T> PRelu<T> {
    pub(crate) const fn new(rectifier: Rectifier) -> Self {
        Self(rectifier, PhantomData)
    }
}

impl ByChannel for PRelu<i8> {
    type Channel = i16;
    type Value = i8;

    #[inline(always)]
    fn apply(self, slope: i16, x: i8) -> i8 {
        self.0.rectify(x as i32, slope as i32).clamp(-128, 127) as i8
    }
}

impl ByChannel for PRelu<i16> {
    type Channel = i16;
    type Value = i16;

    #[inline(always)]
    fn apply(self, slope: i16, x: i16) -> i16 {
        saturate(self.0.rectify(x as i32, slope as i32))
    }
}

/// # Errors
/// Where the slices' lengths differ, or are not a multiple of the number of channels.
#[inline(always)]
pub(crate) fn by_channel<B: Backend, F: ByChannel>(
    function: F,
    channels: &[F::Channel],
    input: &[F::Value],
    output: &mut [F::Value],
) -> Result<(), ShapeError> {
    if input.len() != output.len() {
        return Err(ShapeError::Output);
    }
    if channels.is_empty() || !input.len().is_multiple_of(channels.len()) {
        return Err(ShapeError::Channels);
    }
    run::<B>(Pixels { function, channels, input, output });
    Ok(())
}

/// # Errors
/// Where the number of values is not a multiple of the number of channels.
#[inline(always)]
pub(crate) fn by_channel_in_place<B: Backend, F: ByChannel>(
    function: F,
    channels: &[F::Channel],
    values: &mut [F::Value],
) -> Result<(), ShapeError> {
    if channels.is_empty() || !values.len().is_multiple_of(channels.len()) {
        return Err(ShapeError::Channels);
    }
    run::<B>(PixelsInPlace { function, channels, values });
    Ok(())
}

/// A pair of functions: out of place, and in place.
macro_rules! function {
    ($(#[doc = $doc:literal])* $name:ident, $in_place:ident,
     $value:ty, ($($parameter:ident: $type:ty),*), $function:expr $(, $($generics:tt)*)?) => {
        $(#[doc = $doc])*
        ///
        /// # Errors
        /// Where the slices' lengths differ.
        ///
        /// # Panics
        /// Where the machine lacks the backend, or as the reference.
        #[inline(always)]
        pub fn $name<B: Backend $(, $($generics)*)?>(
            $($parameter: $type,)* input: &[$value], output: &mut [$value],
        ) -> Result<(), ShapeError> {
            map::<B, _>($function, input, output)
        }

        #[doc = concat!("[`", stringify!($name), "`], in place.")]
        ///
        /// # Panics
        /// Where the machine lacks the backend, or as the reference.
        #[inline(always)]
        pub fn $in_place<B: Backend $(, $($generics)*)?>($($parameter: $type,)* values: &mut [$value]) {
            map_in_place::<B, _, _>($function, values);
        }
    };
}

function!(
    /// [`reference::relu6`] on backend `B`.
    relu6, relu6_in_place, T, (zero: T, six: T), Limit(zero, six), T: Element
);
function!(
    /// [`reference::hard_swish_f32`] on backend `B`.
    hard_swish_f32, hard_swish_f32_in_place, f32, (), HardSwish
);
function!(
    /// [`reference::hard_sigmoid_f32`] on backend `B`.
    hard_sigmoid_f32, hard_sigmoid_f32_in_place, f32, (alpha: f32, beta: f32), HardSigmoid { alpha, beta }
);
function!(
    /// [`reference::sigmoid_i16`] on backend `B`.
    sigmoid_i16, sigmoid_i16_in_place, i16, (scale: f32), Sigmoid(Knots::sigmoid(scale))
);
function!(
    /// [`reference::tanh_i16`] on backend `B`.
    tanh_i16, tanh_i16_in_place, i16, (scale: f32), Tanh(Knots::tanh(scale))
);
function!(
    /// [`reference::leaky_relu_i16`] on backend `B`.
    leaky_relu_i16, leaky_relu_i16_in_place, i16, (slope: f32, scales: [f32; 2]),
    Rectifier::leaky(slope, Quantization::new(scales[0], 0), Quantization::new(scales[1], 0))
);
/// [`reference::prelu_f32`] on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ, or are not a multiple of the number of slopes.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn prelu_f32<B: Backend>(slopes: &[f32], input: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
    by_channel::<B, _>(PReluF32, slopes, input, output)
}

/// [`prelu_f32`], in place.
///
/// # Errors
/// Where the number of values is not a multiple of the number of slopes.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn prelu_f32_in_place<B: Backend>(slopes: &[f32], values: &mut [f32]) -> Result<(), ShapeError> {
    by_channel_in_place::<B, _>(PReluF32, slopes, values)
}

/// [`reference::prelu_i8`] on backend `B`, slopes less their zero point being given, whose scale is `scale`.
///
/// # Errors
/// Where the slices' lengths differ, or are not a multiple of the number of slopes.
///
/// # Panics
/// Where the machine lacks the backend, or as the reference.
#[inline(always)]
pub fn prelu_i8<B: Backend>(
    slopes: &[i16],
    scale: f32,
    [from, to]: [Quantization; 2],
    input: &[i8],
    output: &mut [i8],
) -> Result<(), ShapeError> {
    by_channel::<B, _>(PRelu::<i8>::new(Rectifier::leaky(scale, from, to)), slopes, input, output)
}

/// [`reference::prelu_i16`] on backend `B`, slopes less their zero point being given, whose scale is `scale`.
///
/// # Errors
/// Where the slices' lengths differ, or are not a multiple of the number of slopes.
///
/// # Panics
/// Where the machine lacks the backend, or as the reference.
#[inline(always)]
pub fn prelu_i16<B: Backend>(
    slopes: &[i16],
    scale: f32,
    [from, to]: [f32; 2],
    input: &[i16],
    output: &mut [i16],
) -> Result<(), ShapeError> {
    let rectifier = Rectifier::leaky(scale, Quantization::new(from, 0), Quantization::new(to, 0));
    by_channel::<B, _>(PRelu::<i16>::new(rectifier), slopes, input, output)
}
