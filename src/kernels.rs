//! The bodies of the layers, written once over a small set of instructions that each backend supplies.
//!
//! A convolution works on *rows*: input rows are copied into a ring in scratch memory, widened and padded on the way
//! ([`MicroKernel::load_row`]), so that the taps of a filter row lie side by side and no border needs a test. The
//! filters are packed in constant evaluation ([`crate::pack`]). What remains is a *strip*: the sums of neighbouring
//! pixels for a few output channels, a few pixels at a time held in registers over all taps
//! ([`MicroKernel::strip`]). That and the widening is all that a backend writes.

pub(crate) mod conv2d;
pub mod depthwise;
pub mod elementwise;
pub mod finish;
pub mod requantize;
pub mod vectors;

use crate::pack::Layout;
pub(crate) use crate::reference::clamp_f32;
use crate::shape::Conv2dShape;
use bytemuck::Pod;
use core::fmt::Debug;
use depthwise::DepthwiseKernel;
use finish::{ClampSums, Finish, IntegerEpilogue, Requantize, Sums};

pub(crate) mod sealed {
    /// Backends are the crate's own: their unsafe contracts are not for others to sign.
    pub trait Sealed {}

    /// So are epilogues: the sizes of packed filters depend on them.
    pub trait Epilogue {}
}

/// A set of instructions that inference can run on.
pub trait Backend: elementwise::Elementwise + sealed::Sealed + Copy + 'static {
    /// What reports call it: `"portable"`, `"armv7em"`, `"avx2"` and so on.
    const NAME: &'static str;
    /// Convolution of int8 values with int8 weights.
    type Int8: MicroKernel<Input = i8, Weight = i8, Accumulator = i32> + Requantize;
    /// Convolution of int16 values with int8 weights.
    type Int16: MicroKernel<Input = i16, Weight = i8, Accumulator = i32> + Requantize;
    /// Convolution in single precision.
    type Float: MicroKernel<Input = f32, Weight = f32, Accumulator = f32> + ClampSums;
    /// Depthwise convolution of int8 values with int8 weights.
    type DepthwiseInt8: DepthwiseKernel<Input = i8, Accumulator = i32>;
    /// Depthwise convolution in single precision.
    type DepthwiseFloat: DepthwiseKernel<Input = f32, Accumulator = f32>;
    /// Whether this machine can run it; constant unless detected at run time.
    fn available() -> bool {
        true
    }
}

/// The part of a convolution that differs from core to core.
pub trait MicroKernel: sealed::Sealed + 'static {
    /// The type of the input tensor.
    type Input: Pod;
    /// The type of the weights.
    type Weight: Pod;
    /// What rows are widened to; its size divides a word's.
    type Activation: Pod;
    /// The type of sums: a word, or several.
    type Accumulator: Pod + PartialOrd;
    /// How filters are packed where a row of the output has several pixels.
    const CONVOLUTION: Layout;
    /// How filters are packed where a row of the output has one pixel, as in a dense layer.
    const DENSE: Layout;
    /// Pixels that are computed at once where a row has several; a strip may compute as many more than asked for as
    /// complete them.
    const PIXELS: usize;
    /// The most pixels in a strip that need not be longer.
    const STRIP: usize;
    /// Whether vectors finish its strips, by [`Requantize`] or [`ClampSums`], instead of a loop over outputs.
    const FINISHES_STRIPS: bool = false;

    /// The value that stands for `value` in a row.
    fn widen(value: Self::Input) -> Self::Activation;

    /// Copies part of an input row into a row of the ring, widened; both have the same length.
    fn load_row(input: &[Self::Input], row: &mut [Self::Activation]);

    /// The routine for a shape, where the backend has several: what constant evaluation chooses, here at run time.
    fn routine(shape: &Conv2dShape) -> Option<Routine> {
        let _ = shape;
        None
    }

    /// Computes `bias[c] + sum over taps of activation * weight` for a strip of neighbouring pixels and a block of
    /// output channels. Pixel `p` and channel `c` come to `accumulators[t * rows * tile + q * channels + c]` with the
    /// tile `t = p / PIXELS`, the place in it `q = p % PIXELS`, and `tile = PIXELS * channels`: between the tiles is
    /// room for those of other rows. A dense strip has `PIXELS` 1.
    ///
    /// # Safety
    /// Let `pixels` be the strip's pixels rounded up to a multiple of `PIXELS`; in the dense layout a strip has one.
    /// * `accumulators` is valid for writes of those values.
    /// * For each of the `run_count` offsets, `activations + offset + p * pixel_step` is valid for reads of
    ///   `run_groups * group + overread` values for each `p` below `pixels`, with the layout's `group` and `overread`. Multiples of its `align` are
    ///   faster, but any place can come.
    /// * `weights` are `run_count * run_groups * group * channels` packed values, or `merged * group * channels` if `merged`
    ///   is not 0, aligned to a word; `bias` holds
    ///   `channels` values; `channels` is a block size of the layout.
    /// * The backend is available on this machine, and `routine` was chosen by it for the shape.
    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut Self::Accumulator);
}

/// How far a layer is that is computed row by row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The input row to read.
    pub read: usize,
    /// The output row to write.
    pub written: usize,
    /// Whether the output row sees no later input row.
    pub ready: bool,
}

impl Progress {
    /// Whether the next of `rows` output rows sees no input row after the one to read. `until` is the row behind the last
    /// that an output row sees.
    pub fn look(&mut self, rows: usize, until: impl FnOnce(usize) -> usize) -> bool {
        self.ready = self.written < rows && until(self.written) <= self.read + 1;
        self.ready
    }

    /// Goes to the next input row, behind the last to the first of the next picture.
    pub fn next(&mut self, rows: usize) {
        self.read += 1;
        if self.read >= rows {
            *self = Self::default();
        }
    }
}

/// Writes a value and steps on. Not inlined, because a loop with a call in it is not unrolled: this is for little code.
///
/// # Safety
/// `at` is valid for the write.
#[inline(never)]
pub(crate) unsafe fn push(at: *mut u32, value: u32) -> *mut u32 {
    // SAFETY: the caller's promise.
    unsafe {
        at.write(value);
        at.add(1)
    }
}

/// Fills memory with a value. Not inlined: layers of all kinds share it.
///
/// # Safety
/// `to` is valid for writes of `len` values.
#[inline(never)]
pub(crate) unsafe fn fill<T: Copy>(to: *mut T, len: usize, value: T) {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(to, len) }.fill(value);
}

/// A routine that a backend chooses for the shape of a layer, in constant evaluation, so that firmware links only what
/// its layers use. Its parameters are a [`Strip`] and the accumulators.
pub type Routine = unsafe extern "C" fn(strip: *const (), accumulators: *mut ());

/// What a backend finishes strips of int8 outputs with, chosen as a [`Routine`] is: sums, what their channels share, and
/// where the outputs go.
pub type Requantization = unsafe fn(&Sums<i32>, &crate::quant::CommonRequantization, *mut i8);

/// What a strip reads; laid out for assembly.
#[repr(C)]
pub struct Strip<K: MicroKernel + ?Sized> {
    /// The first pixel's place in the ring; run offsets are added to it.
    pub activations: *const K::Activation,
    /// Offsets of the runs, in activations. A run is a stretch of taps that lie side by side.
    pub runs: *const u32,
    /// The number of runs.
    pub run_count: usize,
    /// Groups of taps in a run; a group is what one multiply instruction consumes of one channel.
    pub run_groups: usize,
    /// Distance between neighbouring pixels, in activations.
    pub pixel_step: usize,
    /// The packed weights of this block of channels.
    pub weights: *const K::Weight,
    /// What the sums start with: words, also where sums have more.
    pub bias: *const K::Accumulator,
    /// The number of pixels, at least 1.
    pub pixels: usize,
    /// The number of rows whose accumulators lie between each other.
    pub rows: usize,
    /// The routine to use, where the backend has several.
    pub routine: Option<Routine>,
    /// Taps of a run, padding not counted; of use where runs are [merged](crate::pack::Layout::merge).
    pub taps: usize,
    /// Groups of all runs together, or 0 where the weights of runs are not merged.
    pub merged: usize,
}

/// What becomes of an accumulator: requantization, or an activation in floating point.
///
/// It also says what kind of layer it ends: the kernel that computes the accumulators.
pub trait Epilogue: sealed::Epilogue + Copy + 'static {
    /// The type of the input tensor.
    type Input: Pod + Debug;
    /// The type of sums.
    type Accumulator: Pod + PartialOrd;
    /// The type of the output tensor.
    type Output: Pod;
    /// What all channels share.
    type Common: Copy + Debug;
    /// A backend's kernel for these types.
    type Kernel<B: Backend>: MicroKernel<Input = Self::Input, Accumulator = Self::Accumulator>;
    /// Words of parameters for each channel.
    const WORDS: usize;
    /// Bits of a packed weight. Where they are 4 and the kernel's weights have 8, a block is unpacked before its strips.
    const WEIGHT_BITS: usize = 8;
    /// The output value.
    fn finish(accumulator: Self::Accumulator, parameters: &[u32], common: &Self::Common) -> Self::Output;
    /// Finishes a strip with the vectors of `B`.
    ///
    /// # Safety
    /// As [`Requantize::requantize`].
    unsafe fn finish_strip<B: Backend>(
        strip: &Sums<Self::Accumulator>,
        common: &Self::Common,
        output: *mut Self::Output,
    );

    /// What `B` finishes plain strips with, as [`Requantize::requantization`] has it.
    fn requantization<B: Backend>(common: &Self::Common, dense: bool) -> Option<Finish<Self>> {
        let _ = (common, dense);
        None
    }
}

impl<R: crate::quant::Rounding> sealed::Epilogue for R {}

impl<R: crate::quant::Rounding> Epilogue for R {
    type Input = i8;
    type Accumulator = i32;
    type Output = i8;
    type Common = crate::quant::CommonRequantization;
    type Kernel<B: Backend> = B::Int8;
    const WORDS: usize = R::WORDS;

    #[inline(always)]
    fn finish(accumulator: i32, parameters: &[u32], common: &Self::Common) -> i8 {
        common.clamp(R::scale_folded(accumulator, parameters, common))
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<i32>, common: &Self::Common, output: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe { B::Int8::requantize::<R>(strip, common, output) }
    }

    fn requantization<B: Backend>(common: &Self::Common, dense: bool) -> Option<Finish<Self>> {
        B::Int8::requantization(common, R::MODE, dense)
    }
}

impl<R: crate::quant::Rounding> IntegerEpilogue for R {
    type Rounding = R;
}

impl<R: crate::quant::Rounding> IntegerEpilogue for Saturate<R> {
    type Rounding = R;
}

/// The epilogue of rounding `R` where every int8 value is an output, as behind a ReLU of zero point -128: the clamp is a
/// saturation, one instruction on many cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saturate<R>(core::marker::PhantomData<R>);

impl<R: crate::quant::Rounding> sealed::Epilogue for Saturate<R> {}

impl<R: crate::quant::Rounding> Epilogue for Saturate<R> {
    type Input = i8;
    type Accumulator = i32;
    type Output = i8;
    type Common = crate::quant::CommonRequantization;
    type Kernel<B: Backend> = B::Int8;
    const WORDS: usize = R::WORDS;

    #[inline(always)]
    fn finish(accumulator: i32, parameters: &[u32], common: &Self::Common) -> i8 {
        R::scale_folded(accumulator, parameters, common).clamp(-128, 127) as i8
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<i32>, common: &Self::Common, output: *mut i8) {
        // SAFETY: the caller's promise. A kernel clamps in any case: the bounds make it the same.
        unsafe { B::Int8::requantize::<R>(strip, common, output) }
    }
}

/// The epilogue of int16 activations with int8 weights, with rounding `R`: outputs are int16, zero points 0.
///
/// [`ReducedRounding`](crate::ReducedRounding) gives TensorFlow Lite Micro's bits where the bias has 64 bits there, as its
/// converter writes them, [`DoubleRounding`](crate::DoubleRounding) where it has 32.
#[derive(Clone, Copy, Debug)]
pub struct Int16x8<R>(core::marker::PhantomData<R>);

impl<R: crate::quant::Rounding> sealed::Epilogue for Int16x8<R> {}

impl<R: crate::quant::Rounding> Epilogue for Int16x8<R> {
    type Input = i16;
    type Accumulator = i32;
    type Output = i16;
    type Common = crate::quant::CommonRequantization;
    type Kernel<B: Backend> = B::Int16;
    const WORDS: usize = R::WORDS;

    #[inline(always)]
    fn finish(accumulator: i32, parameters: &[u32], common: &Self::Common) -> i16 {
        common.clamp_i16(R::scale_folded(accumulator, parameters, common))
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<i32>, common: &Self::Common, output: *mut i16) {
        // SAFETY: the caller's promise.
        unsafe { B::Int16::requantize::<Self>(strip, common, output) }
    }
}

impl<R: crate::quant::Rounding> IntegerEpilogue for Int16x8<R> {
    type Rounding = R;
}

/// The epilogue of int16 activations with int8 weights and sums of 64 bits, for layers whose sums could overflow 32, as they
/// can from 516 taps on. The arithmetic is that of [`ReducedRounding`](crate::ReducedRounding): TensorFlow Lite Micro's
/// where the bias has 64 bits, as its converter writes them.
///
/// It is plain Rust on every core, and slower than [`Int16x8`].
#[derive(Clone, Copy, Debug)]
pub struct Int16x8Wide;

impl sealed::Epilogue for Int16x8Wide {}

impl Epilogue for Int16x8Wide {
    type Input = i16;
    type Accumulator = WideSum;
    type Output = i16;
    type Common = crate::quant::CommonRequantization;
    type Kernel<B: Backend> = crate::arch::WideInt16;
    const WORDS: usize = 2;

    #[inline(always)]
    fn finish(accumulator: WideSum, parameters: &[u32], common: &Self::Common) -> i16 {
        // Packing checks that neither the product nor what it becomes overflows. Without the mask the shift could panic.
        let (multiplier, shift) = (parameters[0] as i64, parameters[1] & 63);
        let product = { accumulator.0 }.wrapping_mul(multiplier).wrapping_add((1 << shift) >> 1);
        common.clamp_i16((product >> shift) as i32)
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<WideSum>, common: &Self::Common, output: *mut i16) {
        // SAFETY: the caller's promise.
        unsafe { finish::finish_any::<Self>(strip, common, output) }
    }
}

/// A sum of 64 bits that lies at any word.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
#[repr(C, packed(4))]
pub struct WideSum(pub i64);

// SAFETY: an integer without padding, of which every bit pattern is a value.
unsafe impl bytemuck::Zeroable for WideSum {}

// SAFETY: as above.
unsafe impl Pod for WideSum {}

/// The epilogue of int8 activations with int4 weights, with rounding `R`: the results are those of the same weights in int8.
///
/// Weights stay two to a byte in flash. For every strip of pixels a block of four to 64 output channels is unpacked into
/// scratch memory, a few instructions for eight weights, which costs little where a strip has many pixels and much in a
/// dense layer, where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Int4<R>(core::marker::PhantomData<R>);

impl<R: crate::quant::Rounding> sealed::Epilogue for Int4<R> {}

impl<R: crate::quant::Rounding> Epilogue for Int4<R> {
    type Input = i8;
    type Accumulator = i32;
    type Output = i8;
    type Common = crate::quant::CommonRequantization;
    type Kernel<B: Backend> = B::Int8;
    const WORDS: usize = R::WORDS;
    const WEIGHT_BITS: usize = 4;

    #[inline(always)]
    fn finish(accumulator: i32, parameters: &[u32], common: &Self::Common) -> i8 {
        common.clamp(R::scale_folded(accumulator, parameters, common))
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<i32>, common: &Self::Common, output: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe { B::Int8::requantize::<R>(strip, common, output) }
    }

    fn requantization<B: Backend>(common: &Self::Common, dense: bool) -> Option<Finish<Self>> {
        B::Int8::requantization(common, R::MODE, dense)
    }
}

/// The epilogue of floating point: a clamp to `[low, high]`, which is the activation. `low` is not above `high`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Clamp;

impl sealed::Epilogue for Clamp {}

impl Epilogue for Clamp {
    type Input = f32;
    type Accumulator = f32;
    type Output = f32;
    type Common = [f32; 2];
    type Kernel<B: Backend> = B::Float;
    const WORDS: usize = 0;
    const WEIGHT_BITS: usize = 32;

    #[inline(always)]
    fn finish(accumulator: f32, _: &[u32], &[low, high]: &[f32; 2]) -> f32 {
        clamp_f32(accumulator, low, high)
    }

    #[inline(always)]
    unsafe fn finish_strip<B: Backend>(strip: &Sums<f32>, common: &Self::Common, output: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { B::Float::clamp(strip, common, output) }
    }
}
