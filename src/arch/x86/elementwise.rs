use super::finish::{Words256, Words512};
use super::{Avx2, Avx512Vnni, Sse2};
use crate::arch::Portable;
use crate::kernels::elementwise::{Elementwise, FloatLanes, Lanes, MAX_SUMS, SumLanes, Task};
use crate::kernels::requantize;
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::x86_64::*;

impl Elementwise for Avx2 {
    type Bytes = Bytes;
    type Halves = Halves;
    type Floats = Floats;
    type Sums = Bytes;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> usize {
        // SAFETY: the caller's promise.
        unsafe { requantize::add_int8::<Words256, R>(parameters, a, b, to, count) }
    }

    #[inline(always)]
    unsafe fn run<T: Task>(task: T) {
        /// # Safety
        /// AVX2 is available.
        #[target_feature(enable = "avx2")]
        unsafe fn with_avx2<T: Task>(task: T) {
            // SAFETY: the caller's promise.
            unsafe { task.run::<Avx2>() }
        }
        // SAFETY: the caller's promise that the backend, which is AVX2, is available.
        unsafe { with_avx2(task) }
    }
}

/// Vectors of 256 bits: a pixel rarely has the channels that fill longer ones.
impl Elementwise for Avx512Vnni {
    type Bytes = Bytes;
    type Halves = Halves;
    type Floats = Floats;
    type Sums = Bytes;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> usize {
        // SAFETY: the caller's promise.
        unsafe { requantize::add_int8::<Words512, R>(parameters, a, b, to, count) }
    }

    #[inline(always)]
    unsafe fn run<T: Task>(task: T) {
        /// # Safety
        /// AVX-512 with VNNI is available.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn with_avx512<T: Task>(task: T) {
            // SAFETY: the caller's promise.
            unsafe { task.run::<Avx512Vnni>() }
        }
        // SAFETY: the caller's promise that the backend, which is AVX-512 with VNNI, is available.
        unsafe { with_avx512(task) }
    }
}

/// Compilers have SSE2 for plain Rust, too.
impl Elementwise for Sse2 {
    type Bytes = <Portable as Elementwise>::Bytes;
    type Halves = <Portable as Elementwise>::Halves;
    type Floats = <Portable as Elementwise>::Floats;
    type Sums = <Portable as Elementwise>::Sums;
}

// SAFETY, for every intrinsic below: it needs AVX2 or less, and the caller promises that the backend is available.
// Loads and stores are the unaligned ones, and the caller promises COUNT values behind the pointer.

/// 32 int8 values, or the sums of 16.
pub struct Bytes;

impl Lanes for Bytes {
    type Element = i8;
    type Vector = __m256i;
    const COUNT: usize = 32;

    #[inline(always)]
    unsafe fn load(from: *const i8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m256i, to: *mut i8) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi8(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256i, current: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_max_epi8(candidate, current) }
    }
}

/// Sixteen int16 values.
pub struct Halves;

impl Lanes for Halves {
    type Element = i16;
    type Vector = __m256i;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m256i, to: *mut i16) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi16(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256i, current: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_max_epi16(candidate, current) }
    }
}

impl SumLanes for Bytes {
    type Sums = __m256i;
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn add(sums: __m256i, from: *const i8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi16(sums, _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn drain(sums: __m256i, totals: &mut [i32; MAX_SUMS]) {
        let mut values = [0i16; 16];
        // SAFETY: see above; the array has the vector's 16 values.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), sums) };
        for (total, value) in totals.iter_mut().zip(values) {
            *total += value as i32;
        }
    }
}

/// Eight values of single precision.
pub struct Floats;

impl Lanes for Floats {
    type Element = f32;
    type Vector = __m256;
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m256, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn larger(candidate: __m256, current: __m256) -> __m256 {
        // VMAXPS is `first > second ? first : second`, so the second operand stays where neither is greater.
        // SAFETY: see above.
        unsafe { _mm256_max_ps(candidate, current) }
    }
}

impl FloatLanes for Floats {
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn divide(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn leak(x: __m256, slope: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let not_negative = _mm256_cmp_ps::<_CMP_GE_OQ>(x, _mm256_setzero_ps());
            _mm256_blendv_ps(_mm256_mul_ps(slope, x), x, not_negative)
        }
    }
}
