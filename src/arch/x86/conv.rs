use super::{Avx2, Avx512Vnni, Sse2};
use crate::kernels::vectors::{self, Vectors};
use crate::kernels::{MicroKernel, Strip, sealed::Sealed};
use crate::pack::Layout;
use core::arch::x86_64::*;
use core::marker::PhantomData;

/// Added to int8 values, because VPDPBUSD multiplies unsigned bytes with signed ones. Packing takes it out of the bias.
const OFFSET: i32 = 128;

/// int8: four taps of a channel lie side by side, as VPDPBUSD multiplies and adds them.
pub struct Int8<B>(PhantomData<B>);

/// Single precision: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct Float<B>(PhantomData<B>);

/// int16: as int8 of AVX2, without the offset.
pub struct Int16<B>(PhantomData<B>);

impl<B> Sealed for Int8<B> {}
impl<B> Sealed for Int16<B> {}
impl<B> Sealed for Float<B> {}

/// Implements the kernels of a backend: the features that it needs, whether it finishes strips, what rows hold of int8
/// values, and its vectors for int8, int16 and single precision.
macro_rules! kernels {
    ($backend:ident, $enabled:literal, $finishes:literal, $activation:ty, $int8:ty, $int16:ty, $float:ty) => {
        impl MicroKernel for Int8<$backend> {
            type Input = i8;
            type Weight = i8;
            type Activation = $activation;
            type Accumulator = i32;
            const CONVOLUTION: Layout = Layout::channels(32, 8, 4).offset(OFFSET);
            const DENSE: Layout = Layout::channels(64, 8, 4).offset(OFFSET);
            const PIXELS: usize = 8;
            const STRIP: usize = 64;
            const FINISHES_STRIPS: bool = $finishes;

            #[inline(always)]
            fn widen(value: i8) -> $activation {
                <$activation>::from(value as u8 ^ 0x80)
            }

            fn load_row(input: &[i8], row: &mut [$activation]) {
                for (wide, &value) in row.iter_mut().zip(input) {
                    *wide = Self::widen(value);
                }
            }

            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
                /// # Safety
                /// As [`MicroKernel::strip`].
                #[target_feature(enable = $enabled)]
                unsafe fn enabled(job: &Strip<Int8<$backend>>, channels: usize, accumulators: *mut i32) {
                    // SAFETY: the caller's promise.
                    unsafe { vectors::strip::<_, $int8>(job, channels, accumulators) }
                }
                // SAFETY: the caller's promise, that the backend is available included.
                unsafe { enabled(job, channels, accumulators) }
            }
        }

        impl MicroKernel for Int16<$backend> {
            type Input = i16;
            type Weight = i8;
            type Activation = i16;
            type Accumulator = i32;
            const CONVOLUTION: Layout = Layout::channels(32, 8, 4);
            const DENSE: Layout = Layout::channels(64, 8, 4);
            const PIXELS: usize = 8;
            const STRIP: usize = 64;
            const FINISHES_STRIPS: bool = $finishes;

            #[inline(always)]
            fn widen(value: i16) -> i16 {
                value
            }

            fn load_row(input: &[i16], row: &mut [i16]) {
                row.copy_from_slice(input);
            }

            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut i32) {
                /// # Safety
                /// As [`MicroKernel::strip`].
                #[target_feature(enable = $enabled)]
                unsafe fn enabled(job: &Strip<Int16<$backend>>, channels: usize, accumulators: *mut i32) {
                    // SAFETY: the caller's promise.
                    unsafe { vectors::strip::<_, $int16>(job, channels, accumulators) }
                }
                // SAFETY: the caller's promise, that the backend is available included.
                unsafe { enabled(job, channels, accumulators) }
            }
        }

        impl MicroKernel for Float<$backend> {
            type Input = f32;
            type Weight = f32;
            type Activation = f32;
            type Accumulator = f32;
            const CONVOLUTION: Layout = Layout::channels(32, 8, 1);
            const DENSE: Layout = Layout::channels(64, 8, 1);
            const PIXELS: usize = 8;
            const STRIP: usize = 64;
            const FINISHES_STRIPS: bool = $finishes;

            #[inline(always)]
            fn widen(value: f32) -> f32 {
                value
            }

            fn load_row(input: &[f32], row: &mut [f32]) {
                row.copy_from_slice(input);
            }

            unsafe fn strip(job: &Strip<Self>, channels: usize, accumulators: *mut f32) {
                /// # Safety
                /// As [`MicroKernel::strip`].
                #[target_feature(enable = $enabled)]
                unsafe fn enabled(job: &Strip<Float<$backend>>, channels: usize, accumulators: *mut f32) {
                    // SAFETY: the caller's promise.
                    unsafe { vectors::strip::<_, $float>(job, channels, accumulators) }
                }
                // SAFETY: the caller's promise, that the backend is available included.
                unsafe { enabled(job, channels, accumulators) }
            }
        }
    };
}

kernels!(Sse2, "sse2", false, i16, Pairs128, Pairs128, Floats128);
kernels!(Avx2, "avx2", true, i16, Pairs256, Pairs256, Floats256);
kernels!(Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni", true, u8, Quads512, Pairs256, Floats512);

// SAFETY, for every intrinsic below: the caller promises that the backend is available, and so the instruction, and
// that the pointer is valid for the values. Loads and stores are the unaligned ones.

/// Four channels with SSE2. A vector has two channels' taps: PMADDWD adds them in pairs, whose sums are added last.
pub struct Pairs128;

impl Vectors for Pairs128 {
    type Activation = i16;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = [__m128i; 2];
    type Weights = [__m128i; 2];
    type Taps = __m128i;
    type Rest = Self;
    const LANES: usize = 4;
    const GROUP: usize = 4;
    const WIDTH: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m128i; 2] {
        // SAFETY: see above.
        unsafe {
            let (bias, zero) = (_mm_loadu_si128(bias.cast()), _mm_setzero_si128());
            [_mm_unpacklo_epi32(bias, zero), _mm_unpackhi_epi32(bias, zero)]
        }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i16) -> __m128i {
        // SAFETY: see above.
        unsafe { _mm_set1_epi64x(from.cast::<i64>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m128i; 2] {
        // SAFETY: see above.
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            let signs = _mm_cmpgt_epi8(_mm_setzero_si128(), bytes);
            [_mm_unpacklo_epi8(bytes, signs), _mm_unpackhi_epi8(bytes, signs)]
        }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: [__m128i; 2], taps: __m128i, weights: [__m128i; 2]) -> [__m128i; 2] {
        // SAFETY: see above. Two products of 16 bits and 8 cannot overflow.
        unsafe {
            [
                _mm_add_epi32(sums[0], _mm_madd_epi16(taps, weights[0])),
                _mm_add_epi32(sums[1], _mm_madd_epi16(taps, weights[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m128i; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe {
            let [low, high] = [_mm_castsi128_ps(sums[0]), _mm_castsi128_ps(sums[1])];
            let even = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(low, high));
            let odd = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low, high));
            _mm_storeu_si128(to.cast(), _mm_add_epi32(even, odd));
        }
    }
}

/// Eight channels with AVX2. A vector has four channels' taps: VPMADDWD adds them in pairs, whose sums are added last.
pub struct Pairs256;

impl Vectors for Pairs256 {
    type Activation = i16;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];
    type Taps = __m256i;
    type Rest = Self;
    const LANES: usize = 8;
    const GROUP: usize = 4;
    const WIDTH: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m256i; 2] {
        // SAFETY: see above. A bias joins the first pair of its channel.
        unsafe {
            [
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.cast())),
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(4).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi64x(from.cast::<i64>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: [__m256i; 2], taps: __m256i, weights: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above. Two products of 16 bits and 8 cannot overflow.
        unsafe {
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(taps, weights[0])),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(taps, weights[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m256i; 2], to: *mut i32) {
        // SAFETY: see above. VPHADDD works within halves: channels 0 1 4 5 | 2 3 6 7.
        unsafe {
            let channels = _mm256_hadd_epi32(sums[0], sums[1]);
            _mm256_storeu_si256(to.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(channels));
        }
    }
}

/// Sixteen channels with AVX-512 VNNI: VPDPBUSD multiplies four taps of each and adds the products.
pub struct Quads512;

impl Vectors for Quads512 {
    type Activation = u8;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = __m512i;
    type Weights = __m512i;
    type Taps = __m512i;
    type Rest = Quads256;
    const LANES: usize = 16;
    const GROUP: usize = 4;
    const WIDTH: usize = 2;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(bias.cast()) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: __m512i, taps: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sums, taps, weights) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512i, to: *mut i32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.cast(), sums) }
    }
}

/// As [`Quads512`], eight channels.
pub struct Quads256;

impl Vectors for Quads256 {
    type Activation = u8;
    type Weight = i8;
    type Accumulator = i32;
    type Sums = __m256i;
    type Weights = __m256i;
    type Taps = __m256i;
    type Rest = Self;
    const LANES: usize = 8;
    const GROUP: usize = 4;
    const WIDTH: usize = 2;
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(bias.cast()) }
    }

    #[inline(always)]
    unsafe fn taps(from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add<const N: usize>(sums: __m256i, taps: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_dpbusd_epi32(sums, taps, weights) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256i, to: *mut i32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), sums) }
    }
}

/// Vectors of single precision: their type, length and intrinsics.
macro_rules! floats {
    (
        $(#[$doc:meta])* $name:ident, $rest:ty, $vector:ty, $lanes:literal, $pixels:literal,
        $load:ident, $splat:ident, $multiply:ident, $add:ident, $store:ident
    ) => {
        $(#[$doc])*
        pub struct $name;

        impl Vectors for $name {
            type Activation = f32;
            type Weight = f32;
            type Accumulator = f32;
            type Sums = $vector;
            type Weights = $vector;
            type Taps = $vector;
            type Rest = $rest;
            const LANES: usize = $lanes;
            const GROUP: usize = 1;
            const WIDTH: usize = 2;
            const PIXELS: usize = $pixels;

            #[inline(always)]
            unsafe fn start(bias: *const f32) -> $vector {
                // SAFETY: see above.
                unsafe { $load(bias) }
            }

            #[inline(always)]
            unsafe fn taps(from: *const f32) -> $vector {
                // SAFETY: see above.
                unsafe { $splat(*from) }
            }

            #[inline(always)]
            unsafe fn weights(from: *const f32) -> $vector {
                // SAFETY: see above.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn multiply_add<const N: usize>(sums: $vector, taps: $vector, weights: $vector) -> $vector {
                // SAFETY: see above.
                unsafe { $add(sums, $multiply(taps, weights)) }
            }

            #[inline(always)]
            unsafe fn store(sums: $vector, to: *mut f32) {
                // SAFETY: see above.
                unsafe { $store(to, sums) }
            }
        }
    };
}

floats!(
    /// Four channels with SSE.
    Floats128, Self, __m128, 4, 4, _mm_loadu_ps, _mm_set1_ps, _mm_mul_ps, _mm_add_ps, _mm_storeu_ps
);
floats!(
    /// Eight channels with AVX.
    Floats256, Self, __m256, 8, 4, _mm256_loadu_ps, _mm256_set1_ps, _mm256_mul_ps, _mm256_add_ps, _mm256_storeu_ps
);
floats!(
    /// Sixteen channels with AVX-512.
    Floats512, Floats256, __m512, 16, 8, _mm512_loadu_ps, _mm512_set1_ps, _mm512_mul_ps, _mm512_add_ps, _mm512_storeu_ps
);
