use super::finish::{Words256, Words512};
use super::{Avx2, Avx512Vnni, Sse2};
use crate::arch::Portable;
use crate::kernels::elementwise::add::{PairNumbers, PairSums, add_in_vectors};
use crate::kernels::elementwise::{Elementwise, FloatLanes, Lanes, MAX_SUMS, SumLanes, Task};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::x86_64::*;

impl Elementwise for Avx2 {
    type Bytes = Bytes;
    type Halves = Halves;
    type Floats = Floats;
    type Sums = Bytes;

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

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { add_in_vectors::<Bytes, Words256, R>(parameters, a, b, to, count) })
    }

    #[inline(always)]
    unsafe fn look_up(table: &[i8; 256], from: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { look_up(table, from, to, count) })
    }
}

/// Vectors of 256 bits: a pixel rarely has the channels that fill longer ones.
impl Elementwise for Avx512Vnni {
    type Bytes = Bytes;
    type Halves = Halves;
    type Floats = Floats;
    type Sums = Bytes;

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

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { add_in_vectors::<Bytes, Words512, R>(parameters, a, b, to, count) })
    }

    #[inline(always)]
    unsafe fn look_up(table: &[i8; 256], from: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { look_up(table, from, to, count) })
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

/// What a sum needs.
#[derive(Clone, Copy)]
pub struct Pairs {
    /// Both multipliers side by side.
    multipliers: __m256i,
    offset: __m256i,
    shift: __m128i,
    low: __m256i,
    high: __m256i,
}

impl PairSums for Bytes {
    type Constants = Pairs;
    const COUNT: usize = 32;

    #[inline(always)]
    unsafe fn constants(numbers: &PairNumbers) -> Pairs {
        let &PairNumbers { multipliers: [a, b], offset, shift, bounds: [low, high] } = numbers;
        // SAFETY: see above.
        unsafe {
            Pairs {
                multipliers: _mm256_set1_epi32(i32::from(b) << 16 | i32::from(a as u16)),
                offset: _mm256_set1_epi32(offset),
                shift: _mm_cvtsi32_si128(shift as i32),
                low: _mm256_set1_epi8(low),
                high: _mm256_set1_epi8(high),
            }
        }
    }

    #[inline(always)]
    unsafe fn add(constants: &Pairs, a: *const i8, b: *const i8, to: *mut i8) {
        let &Pairs { multipliers, offset, shift, low, high } = constants;
        // SAFETY: see above. Interleaving and packing both work within halves, so that values come back to their places.
        unsafe {
            let (a, b) = (_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast()));
            // The sums of four pairs of bytes in each half, doubled to two bytes each and shifted down.
            let sums = |doubled| {
                let products = _mm256_madd_epi16(_mm256_srai_epi16::<8>(doubled), multipliers);
                _mm256_sra_epi32(_mm256_add_epi32(products, offset), shift)
            };
            let (first, second) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let first =
                _mm256_packs_epi32(sums(_mm256_unpacklo_epi8(first, first)), sums(_mm256_unpackhi_epi8(first, first)));
            let second = _mm256_packs_epi32(
                sums(_mm256_unpacklo_epi8(second, second)),
                sums(_mm256_unpackhi_epi8(second, second)),
            );
            let packed = _mm256_packs_epi16(first, second);
            _mm256_storeu_si256(to.cast(), _mm256_min_epi8(_mm256_max_epi8(packed, low), high));
        }
    }
}

/// [`Elementwise::look_up`] with AVX2: VPSHUFB looks up in sixteen values, so the table is sixteen such.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn look_up(table: &[i8; 256], from: *const i8, to: *mut i8, count: usize) -> usize {
    let mut done = 0;
    // SAFETY: see above; the table has sixteen times sixteen bytes.
    unsafe {
        let mut parts = [_mm256_setzero_si256(); 16];
        for (i, part) in parts.iter_mut().enumerate() {
            *part = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().add(16 * i).cast()));
        }
        while count - done >= 32 {
            // Places in the table.
            let places = _mm256_xor_si256(_mm256_loadu_si256(from.add(done).cast()), _mm256_set1_epi8(-128));
            let mut values = _mm256_setzero_si256();
            for (i, &part) in parts.iter().enumerate() {
                // VPSHUFB gives 0 where the high bit is set: so it must be, but for places in this part.
                let place = _mm256_sub_epi8(places, _mm256_set1_epi8((16 * i) as i8));
                let place = _mm256_adds_epu8(place, _mm256_set1_epi8(0x70));
                values = _mm256_or_si256(values, _mm256_shuffle_epi8(part, place));
            }
            _mm256_storeu_si256(to.add(done).cast(), values);
            done += 32;
        }
    }
    done
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
