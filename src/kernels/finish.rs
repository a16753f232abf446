//! How strips of sums become outputs: pooling, then requantization or an activation.
//!
//! Cores without vectors finish output by output. Others bring vectors of neighbouring channels, for which the
//! parameters of a block lie one word of all channels after the other.

use super::{Backend, Epilogue, MicroKernel, Requantization};
use crate::pack::Runs;
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
use crate::shape::Conv2dShape;
use core::hint::assert_unchecked;
use core::mem::MaybeUninit;

/// The accumulators of a strip, and where their outputs go; laid out for assembly.
///
/// They are `[tile][row of the pooling window][position in the tile][channel][phase]`: a tile is what the micro-kernel
/// computes at once, a position is a pixel, or as many as there are phases. Without pooling and phases that is
/// `[pixel][channel]`.
#[repr(C)]
pub struct Sums<A> {
    /// The first.
    pub sums: *const A,
    /// The block's parameters, `[word][channel][phase]`, the same for each phase.
    pub parameters: *const u32,
    /// Positions in a tile.
    pub pixels: usize,
    /// Channels times phases: those that have sums and parameters.
    pub channels: usize,
    /// Height and width of the pooling window.
    pub pool: [usize; 2],
    /// Phases; see [`pack`](crate::pack).
    pub phases: usize,
    /// Output columns.
    pub columns: usize,
    /// Output channels: those that have outputs.
    pub present: usize,
    /// Values from an output column to the next.
    pub stride: usize,
}

/// An epilogue of integers, which a backend may compute with vectors.
pub trait IntegerEpilogue: Epilogue<Accumulator = i32, Common = CommonRequantization> {
    /// How it rounds.
    type Rounding: Rounding;
}

/// Requantization of strips.
pub trait Requantize: MicroKernel<Accumulator = i32> {
    /// What finishes int8 outputs of strips without pooling and phases, of one pixel each where the layer is `dense`, if
    /// the backend has a way of its own for these numbers: what constant evaluation chooses, here at run time.
    fn requantization(common: &CommonRequantization, mode: RoundingMode, dense: bool) -> Option<Requantization> {
        let _ = (common, mode, dense);
        None
    }

    /// Finishes a strip; called if the kernel [finishes strips](MicroKernel::FINISHES_STRIPS). Besides `E::Rounding`
    /// the size of `E::Output` tells what is wanted; whatever a backend has no vectors for goes to [`finish_any`].
    ///
    /// # Safety
    /// * The strip's sums and parameters are there, for all its `channels`, which may be read beyond `present`;
    ///   `output` has room for `columns` times `present` values, `stride` apart.
    /// * `phases` is 1.
    /// * The backend is available on this machine.
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise.
        unsafe { finish_any::<E>(strip, common, output) }
    }
}

/// Clamping of strips in floating point.
pub trait ClampSums: MicroKernel<Accumulator = f32> {
    /// Finishes a strip as [`Clamp`](super::Clamp) does; called if the kernel
    /// [finishes strips](MicroKernel::FINISHES_STRIPS).
    ///
    /// # Safety
    /// As [`Requantize::requantize`].
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { finish_any::<super::Clamp>(strip, bounds, output) }
    }
}

/// Vectors of neighbouring channels, for [`finish_in_vectors`].
///
/// The safety of every function has one condition in common: the backend is available on this machine.
pub trait SumVectors {
    /// A sum.
    type Sum: Copy;
    /// What it becomes.
    type Output: Copy;
    /// What all channels share.
    type Common;
    /// The sums of [`COUNT`](Self::COUNT) channels.
    type Vector: Copy;
    /// What the channels need to be finished.
    type Parameters: Copy;
    /// Channels in a vector; every block has a multiple of as many.
    const COUNT: usize;

    /// Reads a vector from any address.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` sums.
    unsafe fn load(from: *const Self::Sum) -> Self::Vector;

    /// `candidate` where `candidate > current`, otherwise `current`, which includes equality and NaN.
    ///
    /// # Safety
    /// That of the trait.
    unsafe fn larger(candidate: Self::Vector, current: Self::Vector) -> Self::Vector;

    /// The parameters of `COUNT` channels, whose words begin `stride` words apart.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` words at each multiple of `stride` that the epilogue has a word for.
    unsafe fn parameters(from: *const u32, stride: usize, common: &Self::Common) -> Self::Parameters;

    /// Finishes a vector and writes its outputs to any address.
    ///
    /// # Safety
    /// `to` is valid for writes of `COUNT` outputs.
    unsafe fn store(vector: Self::Vector, parameters: &Self::Parameters, to: *mut Self::Output);
}

/// Finishes a strip with vectors: inlined into a function that enables the backend's instructions.
///
/// # Safety
/// As [`Requantize::requantize`], and the strip's `channels` are a multiple of `V::COUNT`, which is at most 64.
#[inline(always)]
#[allow(dead_code)] // Not every target has vectors.
pub unsafe fn finish_in_vectors<V: SumVectors>(strip: &Sums<V::Sum>, common: &V::Common, output: *mut V::Output) {
    const { assert!(V::COUNT <= 64) };
    let &Sums { pixels, channels, pool: [pool_h, pool_w], columns, present, stride, .. } = strip;
    let mut c = 0;
    while c < present {
        // SAFETY: vector `c` is of the channels, each place of the strip; a partial vector goes to an array as long.
        unsafe {
            let sums = strip.sums.add(c);
            let parameters = V::parameters(strip.parameters.add(c), channels, common);
            let (left, to) = (present - c, output.add(c));
            if (pool_h, pool_w) == (1, 1) {
                for x in 0..columns {
                    write::<V>(V::load(sums.add(x * channels)), &parameters, to.add(x * stride), left);
                }
            } else {
                // The tile and the place in it where a window begins.
                let (mut tile, mut place) = (0, 0);
                for x in 0..columns {
                    let mut best = V::load(sums.add((tile * pool_h * pixels + place) * channels));
                    let (mut next_tile, mut next_place) = (tile, place);
                    for y in 0..pool_h {
                        (next_tile, next_place) = (tile, place);
                        for _ in 0..pool_w {
                            // The first meets itself, which changes nothing.
                            let at = ((next_tile * pool_h + y) * pixels + next_place) * channels;
                            best = V::larger(V::load(sums.add(at)), best);
                            next_place += 1;
                            if next_place == pixels {
                                (next_tile, next_place) = (next_tile + 1, 0);
                            }
                        }
                    }
                    (tile, place) = (next_tile, next_place);
                    write::<V>(best, &parameters, to.add(x * stride), left);
                }
            }
        }
        c += V::COUNT;
    }
}

/// Finishes a vector and writes the first `left` of its outputs, or all.
///
/// # Safety
/// As [`SumVectors::store`], with room for `left` outputs.
// No closure: it would be compiled without the backend's instructions.
#[inline(always)]
unsafe fn write<V: SumVectors>(vector: V::Vector, parameters: &V::Parameters, to: *mut V::Output, left: usize) {
    // SAFETY: the caller's promise; the array has room for a vector.
    unsafe {
        if left >= V::COUNT {
            V::store(vector, parameters, to);
        } else {
            let mut values = [MaybeUninit::<V::Output>::uninit(); 64];
            V::store(vector, parameters, values.as_mut_ptr().cast());
            if left == V::COUNT / 2 {
                // Of constant length: no call.
                core::ptr::copy_nonoverlapping(values.as_ptr().cast(), to, V::COUNT / 2);
            } else {
                core::ptr::copy_nonoverlapping(values.as_ptr().cast(), to, left);
            }
        }
    }
}

/// Pools accumulators and writes outputs.
///
/// Pooling before the epilogue gives the same bits as after it, since an epilogue is monotonous (all positions share
/// their channel's parameters) and takes values that compare equal to the same bits. It needs a fraction of the
/// requantizations.
///
/// # Safety
/// The strip's accumulators and parameters are there, and so is room for its outputs.
pub(crate) type Finish<E> =
    unsafe fn(&Sums<<E as Epilogue>::Accumulator>, &<E as Epilogue>::Common, *mut <E as Epilogue>::Output);

/// What finishes the whole blocks of a shape, and what finishes the others. Chosen in constant evaluation, so that
/// firmware links what its layers use.
pub(crate) const fn finish<B: Backend, E: Epilogue>(shape: &Conv2dShape, runs: &Runs) -> [Finish<E>; 2] {
    if <E::Kernel<B> as MicroKernel>::FINISHES_STRIPS && runs.phases == 1 {
        [E::finish_strip::<B>; 2]
    } else {
        finish_by_one::<E::Kernel<B>, E>(shape, runs)
    }
}

/// [`finish`] for a kernel without vectors.
const fn finish_by_one<K: MicroKernel<Accumulator = E::Accumulator>, E: Epilogue>(
    shape: &Conv2dShape,
    runs: &Runs,
) -> [Finish<E>; 2] {
    // A smaller last block is common only where blocks are large.
    let tiles = K::CONVOLUTION.block > K::CONVOLUTION.tail;
    let dense = shape.convolved()[1] == 1;
    match (shape.pool, runs.phases) {
        _ if dense && shape.pool[0] == 1 => [finish_dense::<K, E>, finish_any::<E>],
        _ if dense => [finish_any::<E>; 2],
        ([1, 1], 1) if tiles => [finish_tiles::<K, E, 1, 1, true>, finish_tiles::<K, E, 1, 1, false>],
        ([2, 2], 1) if tiles => [finish_tiles::<K, E, 2, 1, true>, finish_tiles::<K, E, 2, 1, false>],
        ([1, 1], 1) => [finish_tiles::<K, E, 1, 1, true>, finish_any::<E>],
        ([2, 2], 1) => [finish_tiles::<K, E, 2, 1, true>, finish_any::<E>],
        ([2, 2], 2) => [finish_tiles::<K, E, 2, 2, true>, finish_any::<E>],
        _ => [finish_any::<E>; 2],
    }
}

/// [`Finish`] for a window of `POOL` by `POOL`. Where the block is `WHOLE`, every place in a tile is a constant.
///
/// # Safety
/// As `Finish`; `POOL` and `PHASES` are the strip's, its pixels are `PIXELS`; a `WHOLE` block has the channels of a
/// convolution's full block.
// Not inlined: in a body of its own its few pointers stay in registers.
#[inline(never)]
unsafe fn finish_tiles<
    K: MicroKernel<Accumulator = E::Accumulator>,
    E: Epilogue,
    const POOL: usize,
    const PHASES: usize,
    const WHOLE: bool,
>(
    strip: &Sums<E::Accumulator>,
    common: &E::Common,
    output: *mut E::Output,
) {
    let common = *common;
    let (channels, present) =
        if WHOLE { (K::CONVOLUTION.block, K::CONVOLUTION.block / PHASES) } else { (strip.channels, strip.present) };
    let tile = K::PIXELS * channels;
    let (mut sums, mut out, mut column) = (strip.sums, output, 0);
    for _ in 0..strip.columns {
        for c in 0..present {
            // SAFETY: the caller's promise.
            unsafe {
                let at = |y: usize, x: usize| *sums.add(y * tile + x / PHASES * channels + c * PHASES + x % PHASES);
                let mut best = at(0, 0);
                for y in 0..POOL {
                    for x in 0..POOL {
                        if (y, x) != (0, 0) {
                            best = larger(best, at(y, x));
                        }
                    }
                }
                let parameters = parameters::<E>(strip.parameters.add(c * PHASES), channels);
                out.add(c).write(E::finish(best, &parameters, &common));
            }
        }
        out = out.wrapping_add(strip.stride);
        sums = sums.wrapping_add(POOL / PHASES.min(POOL) * channels);
        if POOL > 1 {
            // Past the tile's other rows.
            column += 1;
            if column == K::PIXELS * PHASES / POOL {
                (sums, column) = (sums.wrapping_add((POOL - 1) * tile), 0);
            }
        }
    }
}

/// [`Finish`] for whole blocks of dense layers.
///
/// # Safety
/// As `Finish`; the strip has one pixel and the channels of a dense layer's full block.
#[inline(never)]
unsafe fn finish_dense<K: MicroKernel, E: Epilogue>(
    strip: &Sums<E::Accumulator>,
    common: &E::Common,
    output: *mut E::Output,
) {
    let common = *common;
    for c in 0..K::DENSE.block {
        // SAFETY: the caller's promise.
        unsafe {
            let parameters = parameters::<E>(strip.parameters.add(c), K::DENSE.block);
            output.add(c).write(E::finish(*strip.sums.add(c), &parameters, &common));
        }
    }
}

/// `Finish` for any window and any block.
///
/// # Safety
/// As `Finish`.
#[inline(never)]
pub unsafe fn finish_any<E: Epilogue>(strip: &Sums<E::Accumulator>, common: &E::Common, output: *mut E::Output) {
    for x in 0..strip.columns {
        for c in 0..strip.present {
            // SAFETY: the caller's promise.
            unsafe {
                let best = pooled_sum(strip, x, c);
                output.add(x * strip.stride + c).write(finish_one::<E>(best, strip, c, common));
            }
        }
    }
}

/// The output that a sum of channel `c` becomes.
///
/// # Safety
/// The strip's parameters are there.
// Not inlined, because a loop with a call in it is not unrolled: this is for little code.
#[inline(never)]
unsafe fn finish_one<E: Epilogue>(
    sum: E::Accumulator,
    strip: &Sums<E::Accumulator>,
    c: usize,
    common: &E::Common,
) -> E::Output {
    // SAFETY: the caller's promise.
    let parameters = unsafe { parameters::<E>(strip.parameters.add(c * strip.phases), strip.channels) };
    E::finish(sum, &parameters, common)
}

/// A channel's parameters, whose words are `stride` apart.
///
/// # Safety
/// `from` is valid for reads of the epilogue's words.
#[inline(always)]
unsafe fn parameters<E: Epilogue>(from: *const u32, stride: usize) -> [u32; MAX_WORDS] {
    const { assert!(E::WORDS <= MAX_WORDS) };
    let mut words = [0; MAX_WORDS];
    for (w, word) in words.iter_mut().enumerate().take(E::WORDS) {
        // SAFETY: the caller's promise.
        *word = unsafe { *from.add(w * stride) };
    }
    words
}

/// The most words of parameters that an epilogue has for a channel.
const MAX_WORDS: usize = 2;

/// The largest sum of output column `x` and channel `c`.
///
/// # Safety
/// As `Finish`.
#[inline(never)]
unsafe fn pooled_sum<A: Copy + PartialOrd>(strip: &Sums<A>, x: usize, c: usize) -> A {
    let [pool_h, pool_w] = strip.pool;
    // SAFETY: a window has a pixel. The division needs no test then.
    unsafe { assert_unchecked(pool_w > 0) };
    let mut best = None;
    for i in 0..pool_h * pool_w {
        // SAFETY: the caller's promise; the row and pixel are of the window.
        let sum = unsafe { sum_at(strip, i / pool_w, x * pool_w + i % pool_w, c) };
        best = Some(best.map_or(sum, |best| larger(best, sum)));
    }
    // SAFETY: a window has a pixel.
    unsafe { best.unwrap_unchecked() }
}

/// The sum of a pixel of a convolution row.
///
/// # Safety
/// As `Finish`; the row is of the window, the pixel of the strip.
#[inline(never)]
unsafe fn sum_at<A: Copy>(strip: &Sums<A>, row: usize, pixel: usize, c: usize) -> A {
    // SAFETY: neither is ever zero. The divisions need no test then.
    unsafe { assert_unchecked(strip.phases > 0 && strip.pixels > 0) };
    let (position, phase) = (pixel / strip.phases, pixel % strip.phases);
    let (tile, position) = (position / strip.pixels, position % strip.pixels);
    let place = (tile * strip.pool[0] + row) * strip.pixels + position;
    // SAFETY: the caller's promise.
    unsafe { *strip.sums.add(place * strip.channels + c * strip.phases + phase) }
}

/// `b` where it is greater, else `a`: as the reference compares.
#[inline(always)]
fn larger<A: PartialOrd>(a: A, b: A) -> A {
    if b > a { b } else { a }
}
