use crate::kernels::depthwise::{Band, DepthwiseKernel, Lanes, Layout, Order, in_lanes};
use crate::kernels::sealed::Sealed;
use bytemuck::Pod;
use core::marker::PhantomData;

/// Four channels of two pixels at a time, in plain Rust, for the numbers and in the layout of `N`.
pub struct Plain<N>(PhantomData<N>);

/// Types of numbers, how they multiply, and a layout.
pub trait Numbers: 'static {
    type Input: Pod;
    type Weight: Pod;
    type Activation: Pod;
    type Accumulator: Pod + PartialOrd;
    const LAYOUT: Layout;
    fn widen(value: Self::Input) -> Self::Activation;
    fn multiply_add(sum: Self::Accumulator, activation: Self::Activation, weight: Self::Weight) -> Self::Accumulator;
}

/// Channels that are summed at once.
const CHANNELS: usize = 4;

/// The layout that suits plain Rust best.
const OWN: Layout = Layout { lanes: CHANNELS, planes: 0, group: 1, order: Order::Filter, scratch: 1024 };

/// int8.
pub struct Int8;

impl Numbers for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i8;
    type Accumulator = i32;
    const LAYOUT: Layout = OWN;

    #[inline(always)]
    fn widen(value: i8) -> i8 {
        value
    }

    #[inline(always)]
    fn multiply_add(sum: i32, activation: i8, weight: i8) -> i32 {
        // Cannot overflow: packing checks the accumulator's bound. Wrapping leaves no panic behind.
        sum.wrapping_add(activation as i32 * weight as i32)
    }
}

/// int16.
pub struct Int16;

impl Numbers for Int16 {
    type Input = i16;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = OWN;

    #[inline(always)]
    fn widen(value: i16) -> i16 {
        value
    }

    #[inline(always)]
    fn multiply_add(sum: i32, activation: i16, weight: i8) -> i32 {
        sum.wrapping_add(activation as i32 * weight as i32)
    }
}

/// Single precision.
pub struct Float;

impl Numbers for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const LAYOUT: Layout = OWN;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn multiply_add(sum: f32, activation: f32, weight: f32) -> f32 {
        sum + activation * weight
    }
}

impl<N: Numbers> Sealed for Plain<N> {}

impl<N: Numbers> DepthwiseKernel for Plain<N> {
    type Input = N::Input;
    type Weight = N::Weight;
    type Activation = N::Activation;
    type Accumulator = N::Accumulator;
    const LAYOUT: Layout = N::LAYOUT;

    #[inline(always)]
    fn widen(value: N::Input) -> N::Activation {
        N::widen(value)
    }

    unsafe fn load_row(mut from: *const N::Input, stride: usize, pixels: usize, mut to: *mut N::Activation, _: usize) {
        for _ in 0..pixels {
            for lane in (0..N::LAYOUT.lanes).step_by(CHANNELS) {
                // SAFETY: the caller's promise: a pixel has as many channels as there are lanes.
                unsafe {
                    let values = from.add(lane).cast::<[N::Input; CHANNELS]>().read();
                    to.add(lane).cast::<[N::Activation; CHANNELS]>().write(values.map(N::widen));
                }
            }
            from = from.wrapping_add(stride);
            to = to.wrapping_add(N::LAYOUT.lanes);
        }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut N::Accumulator) {
        // SAFETY: the caller's promise.
        unsafe { in_lanes::<Self, 2>(band, accumulators) }
    }
}

impl<N: Numbers> Lanes for Plain<N> {
    const COUNT: usize = CHANNELS;
    type Sums = [N::Accumulator; CHANNELS];
    /// For each tap of a group, of which there are one or two.
    type Weights = [[N::Weight; CHANNELS]; 2];

    #[inline(always)]
    unsafe fn start(from: *const N::Accumulator) -> Self::Sums {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::Sums>().read() }
    }

    #[inline(always)]
    unsafe fn weights(from: *const N::Weight) -> Self::Weights {
        let group = N::LAYOUT.group;
        // SAFETY: the caller's promise; with groups of one tap the second is the first and not used.
        unsafe { core::array::from_fn(|tap| core::array::from_fn(|lane| *from.add(lane * group + tap.min(group - 1)))) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        mut sums: Self::Sums,
        taps: [*const N::Activation; 2],
        weights: Self::Weights,
    ) -> Self::Sums {
        for (tap, weights) in taps.into_iter().zip(weights).take(N::LAYOUT.group) {
            // SAFETY: the caller's promise.
            let activations = unsafe { tap.cast::<[N::Activation; CHANNELS]>().read() };
            for ((sum, activation), weight) in sums.iter_mut().zip(activations).zip(weights) {
                *sum = N::multiply_add(*sum, activation, weight);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, to: *mut N::Accumulator) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self::Sums>().write(sums) }
    }
}
