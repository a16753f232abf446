use crate::arch::portable::depthwise::{Numbers, Plain};
use crate::kernels::depthwise::{Band, DepthwiseKernel, Lanes, Layout, Load, Order, in_lanes};
use crate::kernels::sealed::Sealed;
use core::arch::x86_64::*;

// SAFETY, for every intrinsic below: the caller promises that the backend is available, and so the instruction, and that
// the pointer is valid for the values of `COUNT` channels. Loads and stores are the unaligned ones.

/// Channels of a block. All backends share the layout, because filters are packed before it is known which will run.
const LANES: usize = 16;
/// Those of a layer that has no more.
const HALF: usize = 8;

/// int8 with AVX2: VPMADDWD multiplies two taps of eight channels with their weights.
///
/// Unpacking interleaves two taps, but within the 128-bit halves of a vector: one vector of sums holds the quarters 0 and
/// 2 of the sixteen channels, the other 1 and 3.
pub struct Int8Avx2;

impl Sealed for Int8Avx2 {}

impl DepthwiseKernel for Int8Avx2 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 2, order: Order::Filter, scratch: 8192 };
    const NARROW: usize = HALF;
    const PARTIAL: bool = true;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise, AVX2 included.
        unsafe { load_rows(load) }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        /// # Safety
        /// As the trait says.
        #[target_feature(enable = "avx2")]
        unsafe fn sums(band: &Band<Int8Avx2>, accumulators: *mut i32) {
            // SAFETY: the caller's promise.
            unsafe {
                if band.lanes == LANES {
                    in_lanes::<Int8Avx2, 4>(&Band { lanes: LANES, ..*band }, accumulators);
                } else {
                    in_half_lanes::<Int8Avx2, 4>(band, accumulators);
                }
            }
        }
        // SAFETY: the caller's promise, AVX2 included.
        unsafe { sums(band, accumulators) }
    }
}

/// # Safety
/// As [`DepthwiseKernel::load_rows`], with AVX2.
#[target_feature(enable = "avx2")]
unsafe fn load_rows<K: DepthwiseKernel<Input = i8, Activation = i16>>(load: &Load<K>) {
    match load.channels {
        LANES => load.for_each_pixel(|from, to| {
            // SAFETY: see above.
            unsafe { _mm256_storeu_si256(to.cast(), _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()))) }
        }),
        HALF => load.for_each_pixel(|from, to| {
            // SAFETY: see above.
            unsafe { _mm_storeu_si128(to.cast(), _mm_cvtepi8_epi16(_mm_loadl_epi64(from.cast()))) }
        }),
        // SAFETY: the caller's promise.
        _ => unsafe { load_some(load) },
    }
}

/// [`DepthwiseKernel::load_rows`] for blocks of any number of channels.
///
/// # Safety
/// As there.
unsafe fn load_some<K: DepthwiseKernel<Input = i8, Activation = i16>>(load: &Load<K>) {
    load.for_each_pixel(|from, to| {
        for c in 0..load.channels {
            // SAFETY: the caller's promise.
            unsafe { to.add(c).write((*from.add(c)).into()) }
        }
    });
}

impl Lanes for Int8Avx2 {
    const COUNT: usize = LANES;
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(from: *const i32) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { quarters(from, from.add(4), 8) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i16) -> [__m256i; 2] {
        // SAFETY: see above; there are two weights for each channel.
        unsafe { quarters(from, from.add(8), 16) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: [__m256i; 2], taps: [*const i16; 2], weights: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above. The sum of two products of int8 values cannot saturate.
        unsafe {
            let [first, second] = taps.map(|tap| _mm256_loadu_si256(tap.cast()));
            let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(first, second), weights[0]);
            let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(first, second), weights[1]);
            [_mm256_add_epi32(sums[0], low), _mm256_add_epi32(sums[1], high)]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m256i; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe {
            let [even, odd] = sums;
            _mm256_storeu_si256(to.cast(), _mm256_permute2x128_si256::<0x20>(even, odd));
            _mm256_storeu_si256(to.add(8).cast(), _mm256_permute2x128_si256::<0x31>(even, odd));
        }
    }
}

/// int8 with AVX-512 VNNI: as [`Int8Avx2`], where VPDPWSSD adds products to sums as it multiplies.
pub struct Int8Avx512;

impl Sealed for Int8Avx512 {}

impl DepthwiseKernel for Int8Avx512 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Int8Avx2::LAYOUT;
    const NARROW: usize = HALF;
    const PARTIAL: bool = true;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // SAFETY: the caller's promise; a machine with AVX-512 has AVX2.
        unsafe { load_rows(load) }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        /// # Safety
        /// As the trait says.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn sums(band: &Band<Int8Avx512>, accumulators: *mut i32) {
            // SAFETY: the caller's promise.
            unsafe {
                if band.lanes == LANES {
                    in_lanes::<Int8Avx512, 8>(&Band { lanes: LANES, ..*band }, accumulators);
                } else {
                    in_half_lanes::<Int8Avx512, 8>(band, accumulators);
                }
            }
        }
        // SAFETY: the caller's promise, AVX-512 with VNNI included.
        unsafe { sums(band, accumulators) }
    }
}

impl Lanes for Int8Avx512 {
    const COUNT: usize = LANES;
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(from: *const i32) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { Int8Avx2::start(from) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i16) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { Int8Avx2::weights(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: [__m256i; 2],
        [first, second]: [*const i16; 2],
        weights: [__m256i; 2],
    ) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let (first, second) = (_mm256_loadu_si256(first.cast()), _mm256_loadu_si256(second.cast()));
            [
                _mm256_dpwssd_epi32(sums[0], _mm256_unpacklo_epi16(first, second), weights[0]),
                _mm256_dpwssd_epi32(sums[1], _mm256_unpackhi_epi16(first, second), weights[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m256i; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe { Int8Avx2::store(sums, to) }
    }
}

/// [`DepthwiseKernel::sums`] where a pixel has eight lanes: two pixels that lie side by side are as sixteen lanes.
/// Inlined into a function that enables the backend's instructions.
///
/// # Safety
/// As there, with AVX2.
#[inline(always)]
unsafe fn in_half_lanes<L, const PAIRS: usize>(band: &Band<L>, mut accumulators: *mut i32)
where
    L: Lanes<Activation = i16, Weight = i16, Accumulator = i32, Sums = [__m256i; 2], Weights = [__m256i; 2]>,
{
    // SAFETY: the caller's promise. A band has the same fields whatever its kernel is, of the same types here.
    unsafe {
        if band.pixel_step != HALF || band.columns < 2 {
            return in_lanes::<Int8Sse2, 4>(&*(&raw const *band).cast(), accumulators);
        }
        for row in 0..band.rows {
            let mut pixel = band.activations.add(row * band.row_step);
            let mut left = band.columns;
            while left >= 2 * PAIRS {
                pairs::<L, PAIRS>(band, pixel, accumulators);
                pixel = pixel.wrapping_add(2 * PAIRS * HALF);
                accumulators = accumulators.add(2 * PAIRS * HALF);
                left -= 2 * PAIRS;
            }
            while left > 0 {
                // An odd pixel goes with the one before it, once more.
                let back = if left == 1 { HALF } else { 0 };
                pairs::<L, 1>(band, pixel.wrapping_sub(back), accumulators.sub(back));
                pixel = pixel.wrapping_add(2 * HALF - back);
                accumulators = accumulators.add(2 * HALF - back);
                left -= left.min(2);
            }
        }
    }
}

/// The sums of `PAIRS` pairs of pixels of eight lanes, the first at `pixel`. A vector holds four channels of a pixel, then
/// the same of its neighbour.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for these pixels.
#[inline(always)]
unsafe fn pairs<L, const PAIRS: usize>(band: &Band<L>, pixel: *const i16, accumulators: *mut i32)
where
    L: Lanes<Activation = i16, Weight = i16, Accumulator = i32, Sums = [__m256i; 2], Weights = [__m256i; 2]>,
{
    // SAFETY: the caller's promise; the last steps of weights and taps may leave them, so they wrap.
    unsafe {
        let mut sums = [[twice(band.bias), twice(band.bias.add(4))]; PAIRS];
        let (mut weights, mut taps) = (band.weights, band.taps);
        for _ in 0..band.groups {
            let of_group = [twice(weights), twice(weights.add(HALF))];
            let (first, second) = (*taps as usize, *taps.add(1) as usize);
            for (p, sums) in sums.iter_mut().enumerate() {
                let pixel = pixel.add(p * 2 * HALF);
                *sums = L::multiply_add(*sums, [pixel.add(first), pixel.add(second)], of_group);
            }
            weights = weights.wrapping_add(2 * HALF);
            taps = taps.wrapping_add(2);
        }
        for (p, sums) in sums.into_iter().enumerate() {
            L::store(sums, accumulators.add(p * 2 * HALF));
        }
    }
}

/// The 128 bits at `from`, twice.
///
/// # Safety
/// They are valid for reads; AVX2 is available.
#[inline(always)]
unsafe fn twice<T>(from: *const T) -> __m256i {
    // SAFETY: see above.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast())) }
}

/// A vector of the 128 bits at `even` and those `distance` values further, and one of those at `odd`.
///
/// # Safety
/// All are valid for reads of 128 bits; AVX2 is available.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn quarters<T>(even: *const T, odd: *const T, distance: usize) -> [__m256i; 2] {
    [even, odd].map(|from| {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_castsi128_si256(_mm_loadu_si128(from.cast()));
            _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(from.add(distance).cast()))
        }
    })
}

/// Single precision with AVX2: a product, rounded, then a sum; no fused multiply-add, as the specification has it.
pub struct FloatAvx2;

impl Sealed for FloatAvx2 {}

impl DepthwiseKernel for FloatAvx2 {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const LAYOUT: Layout = Layout { lanes: LANES, planes: 0, group: 1, order: Order::Filter, scratch: 8192 };
    const PARTIAL: bool = true;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    unsafe fn load_rows(load: &Load<Self>) {
        // Copies of constant size are vectors.
        match load.channels {
            // SAFETY: the caller's promise.
            LANES => load.for_each_pixel(|from, to| unsafe { core::ptr::copy_nonoverlapping(from, to, LANES) }),
            // SAFETY: the caller's promise.
            HALF => load.for_each_pixel(|from, to| unsafe { core::ptr::copy_nonoverlapping(from, to, HALF) }),
            // SAFETY: the caller's promise.
            channels => load.for_each_pixel(|from, to| unsafe { core::ptr::copy_nonoverlapping(from, to, channels) }),
        }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut f32) {
        /// # Safety
        /// As the trait says.
        #[target_feature(enable = "avx2")]
        unsafe fn sums(band: &Band<FloatAvx2>, accumulators: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { in_lanes::<FloatAvx2, 4>(band, accumulators) }
        }
        // SAFETY: the caller's promise, AVX2 included.
        unsafe { sums(band, accumulators) }
    }
}

impl Lanes for FloatAvx2 {
    const COUNT: usize = LANES;
    type Sums = [__m256; 2];
    type Weights = [__m256; 2];

    #[inline(always)]
    unsafe fn start(from: *const f32) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: [__m256; 2], [tap, _]: [*const f32; 2], weights: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_mul_ps(_mm256_loadu_ps(tap), weights[0]);
            let high = _mm256_mul_ps(_mm256_loadu_ps(tap.add(8)), weights[1]);
            [_mm256_add_ps(sums[0], low), _mm256_add_ps(sums[1], high)]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m256; 2], to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(to, sums[0]);
            _mm256_storeu_ps(to.add(8), sums[1]);
        }
    }
}

/// int8 without extensions: PMADDWD multiplies two taps of four channels with their weights.
pub struct Int8Sse2;

impl Sealed for Int8Sse2 {}

impl DepthwiseKernel for Int8Sse2 {
    type Input = i8;
    type Weight = i16;
    type Activation = i16;
    type Accumulator = i32;
    const LAYOUT: Layout = Int8Avx2::LAYOUT;
    const NARROW: usize = HALF;
    const PARTIAL: bool = true;

    #[inline(always)]
    fn widen(value: i8) -> i16 {
        value.into()
    }

    unsafe fn load_rows(load: &Load<Self>) {
        /// # Safety
        /// As [`DepthwiseKernel::load_rows`], for blocks of `N` channels.
        unsafe fn by_constant<const N: usize>(load: &Load<Int8Sse2>) {
            load.for_each_pixel(|from, to| {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[i16; N]>().write(from.cast::<[i8; N]>().read().map(i16::from)) }
            });
        }
        // SAFETY: the caller's promise.
        unsafe {
            match load.channels {
                LANES => by_constant::<LANES>(load),
                HALF => by_constant::<HALF>(load),
                _ => load_some(load),
            }
        }
    }

    unsafe fn sums(band: &Band<Self>, accumulators: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { in_lanes::<Self, 4>(band, accumulators) }
    }
}

impl Lanes for Int8Sse2 {
    const COUNT: usize = 8;
    type Sums = [__m128i; 2];
    type Weights = [__m128i; 2];

    #[inline(always)]
    unsafe fn start(from: *const i32) -> [__m128i; 2] {
        // SAFETY: see above.
        unsafe { [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i16) -> [__m128i; 2] {
        // SAFETY: see above; there are two weights for each channel.
        unsafe { [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(8).cast())] }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: [__m128i; 2], taps: [*const i16; 2], weights: [__m128i; 2]) -> [__m128i; 2] {
        // SAFETY: see above. The sum of two products of int8 values cannot saturate.
        unsafe {
            let [first, second] = taps.map(|tap| _mm_loadu_si128(tap.cast()));
            let low = _mm_madd_epi16(_mm_unpacklo_epi16(first, second), weights[0]);
            let high = _mm_madd_epi16(_mm_unpackhi_epi16(first, second), weights[1]);
            [_mm_add_epi32(sums[0], low), _mm_add_epi32(sums[1], high)]
        }
    }

    #[inline(always)]
    unsafe fn store(sums: [__m128i; 2], to: *mut i32) {
        // SAFETY: see above.
        unsafe {
            _mm_storeu_si128(to.cast(), sums[0]);
            _mm_storeu_si128(to.add(4).cast(), sums[1]);
        }
    }
}

/// Single precision without extensions: plain Rust, which the compiler puts into vectors.
pub type FloatSse2 = Plain<FloatNumbers>;

/// The numbers of single precision in the layout of [`FloatAvx2`].
pub struct FloatNumbers;

impl Numbers for FloatNumbers {
    type Input = f32;
    type Weight = f32;
    type Activation = f32;
    type Accumulator = f32;
    const LAYOUT: Layout = FloatAvx2::LAYOUT;

    #[inline(always)]
    fn widen(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn multiply_add(sum: f32, activation: f32, weight: f32) -> f32 {
        sum + activation * weight
    }
}
