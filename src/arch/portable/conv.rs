use crate::kernels::finish::{ClampSums, Requantize};
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use bytemuck::Pod;
use core::marker::PhantomData;

/// Two pixels times four channels at a time, in the layouts of `L`, which may be another backend's.
pub struct Blocks<T, L>(PhantomData<(T, L)>);

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

/// An element type: how its values multiply and add.
pub trait Element: Pod + PartialOrd {
    type Weight: Pod;
    type Accumulator: Pod + PartialOrd;
    fn multiply_add(sum: Self::Accumulator, activation: Self, weight: Self::Weight) -> Self::Accumulator;
}

impl Element for i8 {
    type Weight = i8;
    type Accumulator = i32;

    #[inline(always)]
    fn multiply_add(sum: i32, activation: i8, weight: i8) -> i32 {
        // Cannot overflow: packing checks the accumulator's bound. Wrapping leaves no panic behind.
        sum.wrapping_add(activation as i32 * weight as i32)
    }
}

impl Element for i16 {
    type Weight = i8;
    type Accumulator = i32;

    #[inline(always)]
    fn multiply_add(sum: i32, activation: i16, weight: i8) -> i32 {
        // As above.
        sum.wrapping_add(activation as i32 * weight as i32)
    }
}

impl Element for f32 {
    type Weight = f32;
    type Accumulator = f32;

    #[inline(always)]
    fn multiply_add(sum: f32, activation: f32, weight: f32) -> f32 {
        sum + activation * weight
    }
}

impl<T: Element, L: Layouts> Sealed for Blocks<T, L> {}

impl<T: Element, L: Layouts> MicroKernel for Blocks<T, L> {
    type Input = T;
    type Weight = T::Weight;
    type Activation = T;
    type Accumulator = T::Accumulator;
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

    unsafe fn strip(job: &Strip<Self>, channels: usize, mut accumulators: *mut T::Accumulator) {
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
                        sums::<Self, T, 2, CHANNELS>(job, group, channels, [p, c], accumulators);
                    } else {
                        sums::<Self, T, 1, CHANNELS>(job, group, channels, [p, c], accumulators);
                    }
                }
                for c in whole..channels {
                    for p in p..p + pixels {
                        sums::<Self, T, 1, 1>(job, group, channels, [p, c], accumulators);
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
unsafe fn sums<K, T: Element, const P: usize, const C: usize>(
    job: &Strip<K>,
    group: usize,
    channels: usize,
    first: [usize; 2],
    accumulators: *mut T::Accumulator,
) where
    K: MicroKernel<Activation = T, Weight = T::Weight, Accumulator = T::Accumulator>,
{
    let [pixel, channel] = first;
    // SAFETY: every pointer is used within the bounds that `MicroKernel::strip` states; the weights' last step may
    // leave them, so it wraps and is not followed.
    unsafe {
        let bias: [T::Accumulator; C] = core::array::from_fn(|c| *job.bias.add(channel + c));
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
                            *sum = T::multiply_add(*sum, activation, weight);
                        }
                    }
                    taps = taps.add(1);
                }
                weights = weights.wrapping_add(channels * group);
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            accumulators.add((pixel % 2 + p) * channels + channel).cast::<[T::Accumulator; C]>().write(sums);
        }
    }
}
