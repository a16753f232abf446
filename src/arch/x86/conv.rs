use crate::kernels::finish::{ClampSums, IntegerEpilogue, Requantize, SumVectors, Sums, finish_any, finish_in_vectors};
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
use core::arch::x86_64::*;
use core::marker::PhantomData;

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
    const FINISHES_STRIPS: bool = true;

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
    const FINISHES_STRIPS: bool = true;

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

impl Requantize for Int8 {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise; blocks are whole vectors, and AVX2 is available.
        unsafe {
            match E::Rounding::MODE {
                RoundingMode::Single if common.shift >= 32 => vectors::<Single<E::Output>>(strip, common, output),
                RoundingMode::Double => vectors::<Double<E::Output>>(strip, common, output),
                _ => finish_any::<E>(strip, common, output),
            }
        }
    }
}

impl ClampSums for Float {
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: the caller's promise; blocks are whole vectors, and AVX2 is available.
        unsafe { vectors::<Clamped>(strip, bounds, output) }
    }
}

/// # Safety
/// As [`finish_in_vectors`], with AVX2.
#[target_feature(enable = "avx2")]
unsafe fn vectors<V: SumVectors>(strip: &Sums<V::Sum>, common: &V::Common, output: *mut V::Output) {
    // SAFETY: the caller's promise.
    unsafe { finish_in_vectors::<V>(strip, common, output) }
}

// SAFETY, for every intrinsic below: it needs AVX2 or less, and the caller promises that the backend is available.
// Loads and stores are the unaligned ones, and the caller promises eight values behind the pointer.

/// Eight sums with [`SingleRounding`](crate::SingleRounding), its shift at least 32.
struct Single<O>(PhantomData<O>);

/// What [`Single`] keeps in registers.
#[derive(Clone, Copy)]
struct SingleParameters {
    even: __m256i,
    odd: __m256i,
    offset: __m256i,
    shift: __m128i,
    bounds: [__m256i; 2],
}

impl<O: Copy> SumVectors for Single<O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = __m256i;
    type Parameters = SingleParameters;
    const COUNT: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256i, current: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_max_epi32(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(from: *const u32, _: usize, common: &CommonRequantization) -> SingleParameters {
        // SAFETY: see above.
        unsafe {
            let even = _mm256_loadu_si256(from.cast());
            SingleParameters {
                even,
                odd: _mm256_srli_epi64::<32>(even),
                offset: _mm256_set1_epi64x(common.offset),
                shift: _mm_cvtsi32_si128(common.shift as i32 - 32),
                bounds: [_mm256_set1_epi32(common.low), _mm256_set1_epi32(common.high)],
            }
        }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256i, p: &SingleParameters, to: *mut O) {
        // SAFETY: see above.
        unsafe {
            let even = _mm256_add_epi64(_mm256_mul_epi32(sums, p.even), p.offset);
            let odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), p.odd), p.offset);
            // The high words, of which the scalar form too takes no others.
            let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            let [low, up] = p.bounds;
            let value = _mm256_min_epi32(_mm256_max_epi32(_mm256_sra_epi32(high, p.shift), low), up);
            store_outputs(value, to);
        }
    }
}

/// Eight sums with [`DoubleRounding`](crate::DoubleRounding).
struct Double<O>(PhantomData<O>);

/// What [`Double`] keeps in registers.
#[derive(Clone, Copy)]
struct DoubleParameters {
    even: __m256i,
    odd: __m256i,
    left: __m256i,
    right: __m256i,
    mask: __m256i,
    half: __m256i,
    zero_point: __m256i,
    bounds: [__m256i; 2],
}

impl<O: Copy> SumVectors for Double<O> {
    type Sum = i32;
    type Output = O;
    type Common = CommonRequantization;
    type Vector = __m256i;
    type Parameters = DoubleParameters;
    const COUNT: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256i, current: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_max_epi32(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(from: *const u32, stride: usize, common: &CommonRequantization) -> DoubleParameters {
        // SAFETY: see above.
        unsafe {
            let even = _mm256_loadu_si256(from.cast());
            let exponent = _mm256_loadu_si256(from.add(stride).cast());
            let (zero, one) = (_mm256_setzero_si256(), _mm256_set1_epi32(1));
            let right = _mm256_max_epi32(_mm256_sub_epi32(zero, exponent), zero);
            let mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, right), one);
            // Clamped before the zero point is added: so the sum cannot wrap, where the scalar form saturates.
            let bounds = [common.low, common.high].map(|bound| _mm256_set1_epi32(bound - common.zero_point));
            DoubleParameters {
                even,
                odd: _mm256_srli_epi64::<32>(even),
                left: _mm256_max_epi32(exponent, zero),
                right,
                mask,
                half: _mm256_srli_epi32::<1>(mask),
                zero_point: _mm256_set1_epi32(common.zero_point),
                bounds,
            }
        }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256i, p: &DoubleParameters, to: *mut O) {
        // SAFETY: see above.
        unsafe {
            // floor((a * b + 2^30) / 2^31) is the high product; it cannot overflow, as no multiplier is negative.
            let sums = _mm256_sllv_epi32(sums, p.left);
            let nudge = _mm256_set1_epi64x(1 << 30);
            let even = _mm256_add_epi64(_mm256_mul_epi32(sums, p.even), nudge);
            let odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), p.odd), nudge);
            let value = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd));
            // The division: one more where the remainder is above the threshold, which is one more if negative.
            let remainder = _mm256_and_si256(value, p.mask);
            let threshold = _mm256_sub_epi32(p.half, _mm256_srai_epi32::<31>(value));
            let up = _mm256_cmpgt_epi32(remainder, threshold);
            let value = _mm256_sub_epi32(_mm256_srav_epi32(value, p.right), up);
            let [low, high] = p.bounds;
            let value = _mm256_min_epi32(_mm256_max_epi32(value, low), high);
            store_outputs(_mm256_add_epi32(value, p.zero_point), to);
        }
    }
}

/// Writes eight outputs of one byte or two; they are in the type's range.
///
/// # Safety
/// `to` is valid for writes of eight values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_outputs<O>(values: __m256i, to: *mut O) {
    const { assert!(size_of::<O>() == 1 || size_of::<O>() == 2) };
    // SAFETY: see above.
    unsafe {
        let words = _mm256_packs_epi32(values, values);
        if size_of::<O>() == 1 {
            let bytes = _mm256_packs_epi16(words, words);
            let bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            _mm_storel_epi64(to.cast(), bytes);
        } else {
            let words = _mm256_permute4x64_epi64::<0b1000>(words);
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(words));
        }
    }
}

/// Eight sums in single precision.
struct Clamped;

impl SumVectors for Clamped {
    type Sum = f32;
    type Output = f32;
    type Common = [f32; 2];
    type Vector = __m256;
    type Parameters = [__m256; 2];
    const COUNT: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256, current: __m256) -> __m256 {
        // VMAXPS is `first > second ? first : second`.
        // SAFETY: see above.
        unsafe { _mm256_max_ps(candidate, current) }
    }

    #[inline(always)]
    unsafe fn parameters(_: *const u32, _: usize, bounds: &[f32; 2]) -> [__m256; 2] {
        // SAFETY: see above.
        bounds.map(|bound| unsafe { _mm256_set1_ps(bound) })
    }

    #[inline(always)]
    unsafe fn store(sums: __m256, &[low, high]: &[__m256; 2], to: *mut f32) {
        // SAFETY: see above. Comparisons as the specification has them: a zero equal to a bound takes the bound's
        // sign, and a NaN compares as false and passes.
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LE_OQ>(sums, low);
            let above = _mm256_cmp_ps::<_CMP_GE_OQ>(sums, high);
            let clamped = _mm256_blendv_ps(_mm256_blendv_ps(sums, high, above), low, below);
            _mm256_storeu_ps(to, clamped);
        }
    }
}
