use crate::kernels::finish::{ClampSums, Requantize};
use crate::kernels::{MicroKernel, Strip, WideSum, sealed::Sealed};
use crate::pack::Layout;
use bytemuck::Pod;
use core::marker::PhantomData;

/// Two pixels times four channels at a time, in the layouts of `L`, which may be another backend's, with sums of `S`.
pub struct Blocks<T: Element, L, S = <T as Element>::Accumulator>(PhantomData<(T, L, S)>);

/// Where the layouts come from.
pub trait Layouts: 'static {
    const CONVOLUTION: Layout;
    const DENSE: Layout;
}

/// The layouts that suit plain Rust best.
pub struct Own;

impl Layouts for Own {
    const CONVOLUTION: Layout = Layout::channels(CHANNELS, 1, 1);
    const DENSE: Layout = Self::CONVOLUTION;
}

/// Channels that are summed at once.
const CHANNELS: usize = 4;

/// An element type, its weights and the sums it usually has.
pub trait Element: Pod + PartialOrd {
    type Weight: Pod;
    type Accumulator: Accumulate<Self>;
}

impl Element for i8 {
    type Weight = i8;
    type Accumulator = i32;
}

impl Element for i16 {
    type Weight = i8;
    type Accumulator = i32;
}

impl Element for f32 {
    type Weight = f32;
    type Accumulator = f32;
}

/// A sum of products of `T`.
pub trait Accumulate<T: Element>: Pod + PartialOrd {
    /// What a packed bias is, a word.
    type Bias: Pod;
    fn start(bias: Self::Bias) -> Self;
    fn multiply_add(self, activation: T, weight: T::Weight) -> Self;
}

impl<T: Element<Weight = i8> + Into<i32>> Accumulate<T> for i32 {
    type Bias = i32;

    #[inline(always)]
    fn start(bias: i32) -> i32 {
        bias
    }

    #[inline(always)]
    fn multiply_add(self, activation: T, weight: i8) -> i32 {
        // Cannot overflow: packing checks the accumulator's bound. Wrapping leaves no panic behind.
        self.wrapping_add(activation.into() * weight as i32)
    }
}

impl Accumulate<i16> for WideSum {
    type Bias = i32;

    #[inline(always)]
    fn start(bias: i32) -> Self {
        Self(bias.into())
    }

    #[inline(always)]
    fn multiply_add(self, activation: i16, weight: i8) -> Self {
        // As above.
        Self({ self.0 }.wrapping_add((activation as i32 * weight as i32).into()))
    }
}

impl Accumulate<f32> for f32 {
    type Bias = f32;

    #[inline(always)]
    fn start(bias: f32) -> f32 {
        bias
    }

    #[inline(always)]
    fn multiply_add(self, activation: f32, weight: f32) -> f32 {
        self + activation * weight
    }
}

impl<T: Element, L: Layouts, S: Accumulate<T>> Sealed for Blocks<T, L, S> {}

impl<T: Element, L: Layouts, S: Accumulate<T>> MicroKernel for Blocks<T, L, S> {
    type Input = T;
    type Weight = T::Weight;
    type Activation = T;
    type Accumulator = S;
    const CONVOLUTION: Layout = L::CONVOLUTION;
    const DENSE: Layout = L::DENSE;
    const PIXELS: usize = 2;
    const STRIP: usize = 16;

    #[inline(always)]
    fn widen(value: T) -> T {
        value
    }

    fn load_row(input: &[T], row: &mut [T]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, mut accumulators: *mut S) {
        const { assert!(L::CONVOLUTION.group == L::DENSE.group) };
        let group = L::CONVOLUTION.group;
        let whole = channels / CHANNELS * CHANNELS;
        // SAFETY: the caller's promise; all pixels are the strip's, all channels are below `channels`.
        unsafe {
            let mut p = 0;
            while p < job.pixels {
                let pixels = (job.pixels - p).min(2);
                for c in (0..whole).step_by(CHANNELS) {
                    if pixels == 2 {
                        sums::<Self, T, S, 2, CHANNELS>(job, group, channels, [p, c], accumulators);
                    } else {
                        sums::<Self, T, S, 1, CHANNELS>(job, group, channels, [p, c], accumulators);
                    }
                }
                for c in whole..channels {
                    for p in p..p + pixels {
                        sums::<Self, T, S, 1, 1>(job, group, channels, [p, c], accumulators);
                    }
                }
                p += pixels;
                // In the middle of a dense strip's only tile, but then this was all.
                accumulators = accumulators.wrapping_add(2 * channels * job.rows);
            }
        }
    }
}

impl<L: Layouts> Requantize for Blocks<i8, L> {}

impl<L: Layouts> Requantize for Blocks<i16, L> {}

impl<L: Layouts> ClampSums for Blocks<f32, L> {}

/// The sums of `P` pixels and `C` channels, from pixel and channel `first` on.
///
/// # Safety
/// As [`MicroKernel::strip`]; the pixels and channels are the strip's.
#[inline(never)]
unsafe fn sums<K, T: Element, S: Accumulate<T>, const P: usize, const C: usize>(
    job: &Strip<K>,
    group: usize,
    channels: usize,
    first: [usize; 2],
    accumulators: *mut S,
) where
    K: MicroKernel<Activation = T, Weight = T::Weight, Accumulator = S>,
{
    let [pixel, channel] = first;
    // SAFETY: every pointer is used within the bounds that `MicroKernel::strip` states; the weights' last step may
    // leave them, so it wraps and is not followed.
    unsafe {
        let bias = job.bias.cast::<S::Bias>();
        let bias: [S; C] = core::array::from_fn(|c| S::start(*bias.add(channel + c)));
        let mut sums = [bias; P];
        let mut weights = job.weights.add(channel * group);
        for run in 0..job.run_count {
            let mut taps = job.activations.add(*job.runs.add(run) as usize + pixel * job.pixel_step);
            for _ in 0..job.run_groups {
                for j in 0..group {
                    let weight: [T::Weight; C] = core::array::from_fn(|c| *weights.add(c * group + j));
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let activation = *taps.add(p * job.pixel_step);
                        for (sum, weight) in sums.iter_mut().zip(weight) {
                            *sum = sum.multiply_add(activation, weight);
                        }
                    }
                    taps = taps.add(1);
                }
                weights = weights.wrapping_add(channels * group);
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            accumulators.add((pixel % 2 + p) * channels + channel).cast::<[S; C]>().write(sums);
        }
    }
}
