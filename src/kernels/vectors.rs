//! The strips of cores with vector registers, written once over a handful of instructions: the sums of a few
//! neighbouring channels lie in a register, for several pixels at a time.

use super::{MicroKernel, Strip};

/// Sums of neighbouring channels, and what adds products to them.
///
/// Every function's safety has two conditions in common: the backend is available on this machine, and the pointer is
/// valid for the values that the function reads or writes. No pointer needs more alignment than its type's.
pub trait Vectors: 'static {
    /// What rows hold.
    type Activation;
    /// The type of weights.
    type Weight;
    /// The type of sums.
    type Accumulator;
    /// The sums of `LANES` channels.
    type Sums: Copy;
    /// A group of weights of `LANES` channels.
    type Weights: Copy;
    /// Groups of taps of one pixel, each the same for all channels.
    type Taps: Copy;
    /// The vectors for channels that do not fill one of these; itself where every block is a multiple of `LANES`.
    type Rest: Vectors<Activation = Self::Activation, Weight = Self::Weight, Accumulator = Self::Accumulator>;
    /// Channels.
    const LANES: usize;
    /// Taps in a group.
    const GROUP: usize;
    /// Groups of taps that are read at once, beyond the end of a run even: 1 or 4.
    const AHEAD: usize = 1;
    /// Vectors of channels that are summed at once for several pixels: 1 or 2. For one pixel it is 4.
    const WIDTH: usize;
    /// Pixels that are summed at once: 4 or 8.
    const PIXELS: usize;

    /// What the sums of `LANES` channels start with.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn start(bias: *const Self::Accumulator) -> Self::Sums;

    /// Reads `AHEAD` groups of taps.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn taps(from: *const Self::Activation) -> Self::Taps;

    /// Reads the weights of `LANES` channels, `GROUP` of each.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn weights(from: *const Self::Weight) -> Self::Weights;

    /// Adds the products of the taps' group `N` and weights to the sums; integers wrap.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn multiply_add<const N: usize>(sums: Self::Sums, taps: Self::Taps, weights: Self::Weights) -> Self::Sums;

    /// Writes the sums of `LANES` channels.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn store(sums: Self::Sums, to: *mut Self::Accumulator);
}

/// [`MicroKernel::strip`] of a kernel whose layouts have groups of `GROUP` taps and blocks of a multiple of
/// `L::Rest::LANES` channels, and whose `PIXELS` are 4 or 8.
///
/// Inlined, so that all of it is compiled with the instructions that its caller enables.
///
/// # Safety
/// As [`MicroKernel::strip`].
#[inline(always)]
pub unsafe fn strip<K, L>(job: &Strip<K>, channels: usize, accumulators: *mut K::Accumulator)
where
    K: MicroKernel,
    L: Vectors<Activation = K::Activation, Weight = K::Weight, Accumulator = K::Accumulator>,
{
    const {
        assert!(K::PIXELS == 4 || K::PIXELS == 8);
        assert!(L::GROUP == K::CONVOLUTION.group && L::GROUP == K::DENSE.group && L::GROUP == L::Rest::GROUP);
        assert!(K::CONVOLUTION.tail.is_multiple_of(L::Rest::LANES) && K::DENSE.tail.is_multiple_of(L::Rest::LANES));
        assert!((L::WIDTH == 1 || L::WIDTH == 2) && (L::AHEAD == 1 || L::AHEAD == 4));
        assert!(L::PIXELS == 4 || L::PIXELS == K::PIXELS);
        let overread = (L::AHEAD - 1) * L::GROUP;
        assert!(K::CONVOLUTION.overread >= overread && K::DENSE.overread >= overread);
    }
    let mut pixel = 0;
    while pixel < job.pixels {
        // A tile has room for pixels that complete it, so that three cost as much as four.
        let (position, left) = (pixel % K::PIXELS, job.pixels - pixel);
        // SAFETY: the caller's promise. What is computed at once ends in the tile that it begins in: pixels are a
        // multiple of 4 behind the tile's first while 3 or more are left.
        unsafe {
            let job = Place {
                job,
                channels,
                activations: job.activations.add(pixel * job.pixel_step),
                accumulators: accumulators.add(((pixel - position) * job.rows + position) * channels),
            };
            pixel += if L::PIXELS == 8 && left >= 7 && position == 0 {
                job.pixels::<L, 8>();
                8
            } else if left >= 3 {
                job.pixels::<L, 4>();
                4
            } else if left == 2 {
                job.pixels::<L, 2>();
                2
            } else {
                job.pixels::<L, 1>();
                1
            };
        }
    }
}

/// A few pixels of a strip.
struct Place<'a, K: MicroKernel> {
    job: &'a Strip<K>,
    /// Channels of the block.
    channels: usize,
    /// The first pixel's place in the ring.
    activations: *const K::Activation,
    /// Where the first pixel's sums go.
    accumulators: *mut K::Accumulator,
}

impl<K: MicroKernel> Place<'_, K> {
    /// The sums of `P` pixels.
    ///
    /// # Safety
    /// As [`MicroKernel::strip`], for these pixels.
    #[inline(always)]
    unsafe fn pixels<L, const P: usize>(&self)
    where
        L: Vectors<Activation = K::Activation, Weight = K::Weight, Accumulator = K::Accumulator>,
    {
        let mut channel = 0;
        while channel < self.channels {
            let left = self.channels - channel;
            // SAFETY: the channels are the block's.
            unsafe {
                channel += if P == 1 && left >= 4 * L::LANES {
                    self.sums::<L, P, 4>(channel);
                    4 * L::LANES
                } else if L::WIDTH == 2 && left >= 2 * L::LANES {
                    self.sums::<L, P, 2>(channel);
                    2 * L::LANES
                } else if left >= L::LANES {
                    self.sums::<L, P, 1>(channel);
                    L::LANES
                } else {
                    self.sums::<L::Rest, P, 1>(channel);
                    L::Rest::LANES
                };
            }
        }
    }

    /// The sums of `P` pixels and `V` vectors of channels, from channel `first` on.
    ///
    /// # Safety
    /// As [`MicroKernel::strip`], for these pixels; the channels are the block's.
    #[inline(always)]
    unsafe fn sums<L, const P: usize, const V: usize>(&self, first: usize)
    where
        L: Vectors<Activation = K::Activation, Weight = K::Weight, Accumulator = K::Accumulator>,
    {
        let job = self.job;
        // SAFETY: every pointer is used within the bounds that `MicroKernel::strip` states. Those to weights and taps
        // may leave them after the last step, so they wrap and are not followed.
        unsafe {
            let bias = job.bias.add(first);
            let mut sums = [[L::start(bias); V]; P];
            for v in 1..V {
                let start = L::start(bias.add(v * L::LANES));
                for sums in &mut sums {
                    sums[v] = start;
                }
            }
            let mut weights = job.weights.add(first * L::GROUP);
            let step = self.channels * L::GROUP;
            for run in 0..job.run_count {
                let mut at = self.activations.add(*job.runs.add(run) as usize);
                let mut groups = job.run_groups;
                while groups >= L::AHEAD {
                    let taps = self.taps::<L, P>(at);
                    group::<L, P, V, 0>(&mut sums, &taps, weights);
                    if L::AHEAD == 4 {
                        group::<L, P, V, 1>(&mut sums, &taps, weights.add(step));
                        group::<L, P, V, 2>(&mut sums, &taps, weights.add(2 * step));
                        group::<L, P, V, 3>(&mut sums, &taps, weights.add(3 * step));
                    }
                    weights = weights.wrapping_add(L::AHEAD * step);
                    at = at.wrapping_add(L::AHEAD * L::GROUP);
                    groups -= L::AHEAD;
                }
                if L::AHEAD == 4 && groups > 0 {
                    let taps = self.taps::<L, P>(at);
                    group::<L, P, V, 0>(&mut sums, &taps, weights);
                    if groups > 1 {
                        group::<L, P, V, 1>(&mut sums, &taps, weights.add(step));
                    }
                    if groups > 2 {
                        group::<L, P, V, 2>(&mut sums, &taps, weights.add(2 * step));
                    }
                    weights = weights.wrapping_add(groups * step);
                }
            }
            for (p, sums) in sums.into_iter().enumerate() {
                for (v, sums) in sums.into_iter().enumerate() {
                    L::store(sums, self.accumulators.add(p * self.channels + first + v * L::LANES));
                }
            }
        }
    }

    /// The taps of `P` pixels.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn taps<L: Vectors<Activation = K::Activation>, const P: usize>(
        &self,
        at: *const K::Activation,
    ) -> [L::Taps; P] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut taps = [L::taps(at); P];
            for (p, taps) in taps.iter_mut().enumerate().skip(1) {
                *taps = L::taps(at.add(p * self.job.pixel_step));
            }
            taps
        }
    }
}

/// Adds the products of the taps' group `N` with a group of weights of `V` vectors of channels.
///
/// # Safety
/// The weights are there, and the backend is available.
#[inline(always)]
unsafe fn group<L: Vectors, const P: usize, const V: usize, const N: usize>(
    sums: &mut [[L::Sums; V]; P],
    taps: &[L::Taps; P],
    weights: *const L::Weight,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut of_channels = [L::weights(weights); V];
        for (v, of_channels) in of_channels.iter_mut().enumerate().skip(1) {
            *of_channels = L::weights(weights.add(v * L::LANES * L::GROUP));
        }
        for (sums, &taps) in sums.iter_mut().zip(taps) {
            for (sums, of_channels) in sums.iter_mut().zip(of_channels) {
                *sums = L::multiply_add::<N>(*sums, taps, of_channels);
            }
        }
    }
}
