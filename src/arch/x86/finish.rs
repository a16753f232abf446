use super::conv::{Float, Int8, Int16};
use super::elementwise::Floats;
use super::{Avx2, Avx512Vnni, Sse2};
use crate::kernels::finish::{ClampSums, IntegerEpilogue, Requantize, Sums, finish_in_vectors};
use crate::kernels::requantize::{ClampLanes, Clamped, Integers, finish};
use crate::quant::CommonRequantization;
use core::arch::x86_64::*;

impl Requantize for Int8<Sse2> {}

impl Requantize for Int16<Sse2> {}

impl ClampSums for Float<Sse2> {}

impl Requantize for Int8<Avx2> {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        /// # Safety
        /// As [`Requantize::requantize`], with AVX2.
        #[target_feature(enable = "avx2")]
        unsafe fn enabled<E: IntegerEpilogue>(
            strip: &Sums<i32>,
            common: &CommonRequantization,
            output: *mut E::Output,
        ) {
            // SAFETY: the caller's promise.
            unsafe { finish::<Words256, E>(strip, common, output) }
        }
        // SAFETY: the caller's promise; blocks are whole vectors, and AVX2 is available.
        unsafe { enabled::<E>(strip, common, output) }
    }
}

impl Requantize for Int8<Avx512Vnni> {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        /// # Safety
        /// As [`Requantize::requantize`], with AVX-512.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        unsafe fn enabled<E: IntegerEpilogue>(
            strip: &Sums<i32>,
            common: &CommonRequantization,
            output: *mut E::Output,
        ) {
            // SAFETY: the caller's promise.
            unsafe { finish::<Words512, E>(strip, common, output) }
        }
        // SAFETY: the caller's promise; a machine with AVX-512 has AVX2.
        unsafe {
            // The shorter vectors where one of them takes all.
            if strip.channels.is_multiple_of(Words512::COUNT) && strip.present > Words256::COUNT {
                enabled::<E>(strip, common, output);
            } else {
                <Int8<Avx2> as Requantize>::requantize::<E>(strip, common, output);
            }
        }
    }
}

impl Requantize for Int16<Avx2> {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise; the blocks are those of int8.
        unsafe { <Int8<Avx2> as Requantize>::requantize::<E>(strip, common, output) }
    }
}

impl Requantize for Int16<Avx512Vnni> {
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output) {
        // SAFETY: the caller's promise; the blocks are those of int8.
        unsafe { <Int8<Avx512Vnni> as Requantize>::requantize::<E>(strip, common, output) }
    }
}

impl ClampSums for Float<Avx2> {
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        /// # Safety
        /// As [`ClampSums::clamp`], with AVX2.
        #[target_feature(enable = "avx2")]
        unsafe fn enabled(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { finish_in_vectors::<Clamped<Floats>>(strip, bounds, output) }
        }
        // SAFETY: the caller's promise; blocks are whole vectors, and AVX2 is available.
        unsafe { enabled(strip, bounds, output) }
    }
}

impl ClampSums for Float<Avx512Vnni> {
    unsafe fn clamp(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: as above; a machine with AVX-512 has AVX2.
        unsafe { <Float<Avx2> as ClampSums>::clamp(strip, bounds, output) }
    }
}

// SAFETY, for every intrinsic below: the caller promises that the backend is available, and so the instruction, and
// that the pointer is valid for the values. Loads and stores are the unaligned ones.

/// Eight sums with AVX2.
pub struct Words256;

impl Integers for Words256 {
    type Vector = __m256i;
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store<O>(values: __m256i, to: *mut O) {
        const { assert!(size_of::<O>() == 1 || size_of::<O>() == 2) };
        // SAFETY: see above. VPACKSSDW and VPACKSSWB work within halves.
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

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn subtract(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_mullo_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_max_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_min_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn add_where_greater(value: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above. True is -1.
        unsafe { _mm256_sub_epi32(value, _mm256_cmpgt_epi32(a, b)) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: __m256i, by: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sllv_epi32(a, by) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: __m256i, by: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_srav_epi32(a, by) }
    }

    #[inline(always)]
    unsafe fn shift_all_right(a: __m256i, by: u32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn multiply_high(a: __m256i, b: __m256i, offset: i64) -> __m256i {
        // SAFETY: see above. VPMULDQ multiplies the even values.
        unsafe {
            let offset = _mm256_set1_epi64x(offset);
            let even = _mm256_add_epi64(_mm256_mul_epi32(a, b), offset);
            let (a, b) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            let odd = _mm256_add_epi64(_mm256_mul_epi32(a, b), offset);
            _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
        }
    }

    #[inline(always)]
    unsafe fn doubling_high(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let nudge = _mm256_set1_epi64x(1 << 30);
            let even = _mm256_add_epi64(_mm256_mul_epi32(a, b), nudge);
            let (a, b) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            let odd = _mm256_add_epi64(_mm256_mul_epi32(a, b), nudge);
            _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd))
        }
    }
}

/// Sixteen sums with AVX-512.
pub struct Words512;

impl Integers for Words512 {
    type Vector = __m512i;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store<O>(values: __m512i, to: *mut O) {
        const { assert!(size_of::<O>() == 1 || size_of::<O>() == 2) };
        // SAFETY: see above.
        unsafe {
            if size_of::<O>() == 1 {
                _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(values));
            } else {
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(values));
            }
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn subtract(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_max_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_min_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn add_where_greater(value: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_mask_add_epi32(value, _mm512_cmpgt_epi32_mask(a, b), value, _mm512_set1_epi32(1)) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: __m512i, by: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sllv_epi32(a, by) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: __m512i, by: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_srav_epi32(a, by) }
    }

    #[inline(always)]
    unsafe fn shift_all_right(a: __m512i, by: u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn multiply_high(a: __m512i, b: __m512i, offset: i64) -> __m512i {
        // SAFETY: see above. VPMULDQ multiplies the even values.
        unsafe {
            let offset = _mm512_set1_epi64(offset);
            let even = _mm512_add_epi64(_mm512_mul_epi32(a, b), offset);
            let (a, b) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let odd = _mm512_add_epi64(_mm512_mul_epi32(a, b), offset);
            _mm512_mask_mov_epi32(_mm512_srli_epi64::<32>(even), 0b1010_1010_1010_1010, odd)
        }
    }

    #[inline(always)]
    unsafe fn doubling_high(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let nudge = _mm512_set1_epi64(1 << 30);
            let even = _mm512_add_epi64(_mm512_mul_epi32(a, b), nudge);
            let (a, b) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let odd = _mm512_add_epi64(_mm512_mul_epi32(a, b), nudge);
            let odd = _mm512_slli_epi64::<1>(odd);
            _mm512_mask_mov_epi32(_mm512_srli_epi64::<31>(even), 0b1010_1010_1010_1010, odd)
        }
    }
}

impl ClampLanes for Floats {
    #[inline(always)]
    unsafe fn clamp(x: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: see above. A comparison with a NaN is false.
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LE_OQ>(x, low);
            let above = _mm256_cmp_ps::<_CMP_GE_OQ>(x, high);
            _mm256_blendv_ps(_mm256_blendv_ps(x, high, above), low, below)
        }
    }
}
