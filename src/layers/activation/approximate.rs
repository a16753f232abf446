use crate::layers::{SigmoidF32, SoftmaxF32, TanhF32};
use crate::tensor::{View, ViewMut};

/// A layer that is fast and approximate: [`SigmoidF32`], [`TanhF32`] or [`SoftmaxF32`] with an exponential of a few
/// multiplications, or, with the feature `micromath`, [`LocalResponseNormF32`](crate::LocalResponseNormF32).
///
/// It is outside the contract of this library: not the reference's bits, and not the same bits in every version. To make
/// that impossible to miss, it is a type of its own without the methods of the exact layers: `estimate` in place of
/// `run`.
///
/// The largest errors, as a test measures them (softmax: of 40 values between -40 and 40), and instructions for a value on
/// a Cortex-M4 with a floating-point unit (softmax over 10 channels):
///
/// | | largest error | instructions | of the exact layer |
/// |---|---|---|---|
/// | sigmoid | 7.5e-7 | 30 | 66 |
/// | tanh | 1.5e-6 | 31 | 96 |
/// | softmax | 1.05e-6 | 50 | 72 |
///
/// The exponential of the crate `micromath` was measured in its place: errors of 5e-4, 1e-3 and 5e-4, and 103, 106 and 115
/// instructions, more than the exact layers. Its reciprocal square root is another matter: with the feature `micromath`
/// and two steps of Newton's method it approximates [`LocalResponseNormF32`](crate::LocalResponseNormF32). AlexNet's
/// (5 channels, power 0.75) has a largest relative error of 1.2e-5 and takes 111 instructions for a value instead of 161,
/// 152 cycles instead of 234.
///
/// ```
/// use bareconv::{Approximate, SigmoidF32, Tensor};
///
/// let mut output = Tensor::filled(0.0);
/// Approximate(SigmoidF32).estimate(Tensor([[[1.0]]]).view(), output.view_mut());
/// assert!((output.0[0][0][0] - 0.731_058_6).abs() < 0.001);
/// ```
///
/// What needs an exact layer does not take it:
///
/// ```compile_fail
/// # use bareconv::{Approximate, SigmoidF32, Tensor};
/// Approximate(SigmoidF32).run_in_place(Tensor([[[1.0]]]).view_mut());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Approximate<L>(
    /// The layer that it approximates.
    pub L,
);

/// Gives an approximate layer its methods.
macro_rules! estimate {
    ($layer:ty, $function:path) => {
        impl Approximate<$layer> {
            /// Estimates the layer's output.
            pub fn estimate<const H: usize, const W: usize, const C: usize>(
                &self,
                input: View<'_, f32, H, W, C>,
                mut output: ViewMut<'_, f32, H, W, C>,
            ) {
                for (out, &x) in output.as_mut_slice().iter_mut().zip(input.as_slice()) {
                    *out = $function(x);
                }
            }

            /// Replaces the values by an estimate of the layer's output.
            pub fn estimate_in_place<const H: usize, const W: usize, const C: usize>(
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

estimate!(SigmoidF32, sigmoid);
estimate!(TanhF32, tanh);

/// `exp(x)`, `x` being limited to -87..=88: two to the power of the integer nearest to `x * log2(e)`, times a polynomial
/// in the rest.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Added to a small number, it leaves the nearest integer in the lowest bits.
    const TO_INTEGER: f32 = 12_582_912.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let y = x * core::f32::consts::LOG2_E;
    let shifted = y + TO_INTEGER;
    let f = y - (shifted - TO_INTEGER);
    // The polynomial of degree 4 with the least relative error in -1/2..=1/2: 2.6e-6.
    let power = 0.999_999_3 + f * (0.693_121_8 + f * (0.240_247_45 + f * (0.055_917_86 + f * 0.009_570_1)));
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

impl Approximate<SoftmaxF32> {
    /// Estimates the layer's output: softmax over the channels of each pixel.
    pub fn estimate<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        let pixels = input.as_slice().as_chunks::<C>().0;
        for (pixel, out) in pixels.iter().zip(output.as_mut_slice().as_chunks_mut::<C>().0) {
            share(pixel, out);
        }
    }
}

#[inline(never)]
fn share(input: &[f32], output: &mut [f32]) {
    let largest = input.iter().fold(f32::NEG_INFINITY, |largest, &x| largest.max(x));
    let mut sum = 0.0;
    for (out, &x) in output.iter_mut().zip(input) {
        *out = exp(x - largest);
        sum += *out;
    }
    // One division for all: the shares need not be rounded once.
    let factor = 1.0 / sum;
    for out in output {
        *out *= factor;
    }
}

#[cfg(feature = "micromath")]
impl Approximate<crate::LocalResponseNormF32> {
    /// Estimates the layer's output. Powers other than 0.5, 0.75 and 1 are those of micromath, with relative errors of 3e-3
    /// and more.
    pub fn estimate<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        let pixels = input.as_slice().as_chunks::<C>().0;
        for (pixel, out) in pixels.iter().zip(output.as_mut_slice().as_chunks_mut::<C>().0) {
            normalize(&self.0.norm, pixel, out);
        }
    }
}

#[cfg(feature = "micromath")]
#[inline(never)]
fn normalize(norm: &crate::LocalResponse, input: &[f32], output: &mut [f32]) {
    for (channel, out) in output.iter_mut().enumerate() {
        let first = channel.saturating_sub(norm.radius());
        let seen = input.iter().skip(first).take(channel + norm.radius() + 1 - first);
        let (base, power) = norm.power(seen.fold(0.0, |sum, x| sum + x * x));
        let root = reciprocal_square_root(base);
        let factor = if power == 0.75 {
            root * root * reciprocal_square_root(root)
        } else if power == 0.5 {
            root
        } else if power == 1.0 {
            1.0 / base
        } else {
            // Spelled out: with std linked, the method is std's.
            micromath::F32Ext::powf(base, -power)
        };
        *out = input.get(channel).map_or(0.0, |x| x * factor);
    }
}

/// `1 / sqrt(x)` of a positive number: micromath's guess, and two steps of Newton's method.
#[cfg(feature = "micromath")]
#[inline(always)]
fn reciprocal_square_root(x: f32) -> f32 {
    let half = 0.5 * x;
    let mut root = micromath::F32Ext::invsqrt(x);
    root *= 1.5 - half * root * root;
    root * (1.5 - half * root * root)
}
