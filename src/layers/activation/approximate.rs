use crate::layers::{SigmoidF32, SoftmaxF32, TanhF32};
use crate::tensor::{View, ViewMut};
use micromath::F32Ext;

/// A layer that is fast and approximate: [`SigmoidF32`], [`TanhF32`] or [`SoftmaxF32`] with the exponential of the crate
/// `micromath`.
///
/// It is outside the contract of this library: neither the reference's bits nor the same bits in every version. To make
/// that impossible to miss, it is a type of its own without the methods of the exact layers: `estimate` in place of
/// `run`.
///
/// The largest errors, as a test measures them (softmax: of 40 values between -40 and 40):
///
/// | | absolute |
/// |---|---|
/// | sigmoid | 0.00054 |
/// | tanh | 0.00107 |
/// | softmax | 0.00055 |
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
                self,
                input: View<'_, f32, H, W, C>,
                mut output: ViewMut<'_, f32, H, W, C>,
            ) {
                for (out, &x) in output.as_mut_slice().iter_mut().zip(input.as_slice()) {
                    *out = $function(x);
                }
            }

            /// Replaces the values by an estimate of the layer's output.
            pub fn estimate_in_place<const H: usize, const W: usize, const C: usize>(
                self,
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

/// `exp(x)`, where `x` is limited to what micromath's integers can hold.
#[inline(never)]
fn exp(x: f32) -> f32 {
    F32Ext::exp(x.clamp(-87.0, 88.0))
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
        self,
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
