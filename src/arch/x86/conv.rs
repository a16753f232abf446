use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::x86_64::*;

/// Channels in a vector of 32-bit sums.
const LANES: usize = 8;

/// The layout of a block of `vectors` vectors of channels.
const fn layout(vectors: usize, group: usize) -> Layout {
    Layout::channels(vectors * LANES, LANES, group)
}

/// Goes along a strip, four pixels at a time, with the instance of a kernel for the number of pixels and channels.
macro_rules! along {
    ($kernel:ident, $job:expr, $channels:expr, $accumulators:expr) => {{
        let mut p = 0;
        while p < $job.pixels {
            let activations = $job.activations.add(p * $job.pixel_step);
            let accumulators = $accumulators.add(p * $job.rows * $channels);
            match ($channels / LANES, $job.pixels - p) {
                (1, 1) => $kernel::<1, 1>($job, activations, accumulators),
                (1, 2) => $kernel::<2, 1>($job, activations, accumulators),
                (1, 3) => $kernel::<3, 1>($job, activations, accumulators),
                (1, _) => $kernel::<4, 1>($job, activations, accumulators),
                (2, 1) => $kernel::<1, 2>($job, activations, accumulators),
                (2, 2) => $kernel::<2, 2>($job, activations, accumulators),
                (2, 3) => $kernel::<3, 2>($job, activations, accumulators),
                (2, _) => $kernel::<4, 2>($job, activations, accumulators),
                // More channels only where a row has one pixel.
                (3, _) => $kernel::<1, 3>($job, activations, accumulators),
                _ => $kernel::<1, 4>($job, activations, accumulators),
            }
            p += 4;
        }
    }};
}

/// int8: rows widened to 16 bits; VPMADDWD multiplies pairs of taps with those of eight channels.
pub struct Int8;

impl Sealed for Int8 {}

impl MicroKernel for Int8 {
    type Input = i8;
    type Weight = i8;
    type Activation = i16;
    type Accumulator = i32;
    const CONVOLUTION: Layout = layout(2, 2);
    const DENSE: Layout = layout(4, 2);
    const PIXELS: usize = 4;
    const STRIP: usize = 64;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    fn load_row(input: &[i8], row: &mut [i16]) {
        for (wide, &value) in row.iter_mut().zip(input) {
            *wide = value.into();
        }
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
        // SAFETY: the caller's promise, AVX2 included.
        unsafe { along!(int8, job, channels, accumulators) }
    }
}

/// Single precision: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct Float;

impl Sealed for Float {}

impl MicroKernel for Float {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const CONVOLUTION: Layout = layout(2, 1);
    const DENSE: Layout = layout(4, 1);
    const PIXELS: usize = 4;
    const STRIP: usize = 64;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    fn load_row(input: &[f32], row: &mut [f32]) {
        row.copy_from_slice(input);
    }

    unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut f32) {
        // SAFETY: the caller's promise, AVX2 included.
        unsafe { along!(float, job, channels, accumulators) }
    }
}

/// `P` pixels, `V` vectors of channels.
///
/// # Safety
/// As [`MicroKernel::strip`], for `P` pixels from `activations` on.
#[target_feature(enable = "avx2")]
unsafe fn int8<const P: usize, const V: usize>(job: &Strip<Int8>, activations: *const i16, accumulators: *mut i32) {
    // SAFETY: pairs of taps are whole (the group is 2); loads of weights and biases stay within the
    // block's `V * LANES` channels; loads need no alignment.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); V]; P];
        for sums in &mut sums {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_si256(job.bias.add(v * LANES).cast());
            }
        }
        let mut weights = job.weights;
        for run in 0..job.run_count {
            let mut taps = activations.add(*job.runs.add(run) as usize);
            for _ in 0..job.run_groups {
                let mut wide = [_mm256_setzero_si256(); V];
                for (v, wide) in wide.iter_mut().enumerate() {
                    *wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(v * LANES * 2).cast()));
                }
                for (p, sums) in sums.iter_mut().enumerate() {
                    let pair = taps.add(p * job.pixel_step).cast::<i32>().read_unaligned();
                    let pair = _mm256_set1_epi32(pair);
                    for (sum, wide) in sums.iter_mut().zip(wide) {
                        // Products of int8 values: their pairwise sum cannot saturate.
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, wide));
                    }
                }
                weights = weights.add(V * LANES * 2);
                taps = taps.add(2);
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm256_storeu_si256(accumulators.add((p * V + v) * LANES).cast(), sum);
            }
        }
    }
}

/// `P` pixels, `V` vectors of channels.
///
/// # Safety
/// As [`MicroKernel::strip`], for `P` pixels from `activations` on.
#[target_feature(enable = "avx2")]
unsafe fn float<const P: usize, const V: usize>(job: &Strip<Float>, activations: *const f32, accumulators: *mut f32) {
    // SAFETY: loads of weights and biases stay within the block's `V * LANES` channels and need no alignment.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); V]; P];
        for sums in &mut sums {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_ps(job.bias.add(v * LANES));
            }
        }
        let mut weights = job.weights;
        for run in 0..job.run_count {
            let mut taps = activations.add(*job.runs.add(run) as usize);
            for _ in 0..job.run_groups {
                for (p, sums) in sums.iter_mut().enumerate() {
                    let tap = _mm256_set1_ps(*taps.add(p * job.pixel_step));
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let weight = _mm256_loadu_ps(weights.add(v * LANES));
                        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(tap, weight));
                    }
                }
                weights = weights.add(V * LANES);
                taps = taps.add(1);
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm256_storeu_ps(accumulators.add((p * V + v) * LANES), sum);
            }
        }
    }
}
