//! Addition of int8 values in vectors, for [`Elementwise::add_int8`](super::Elementwise::add_int8).

use crate::kernels::requantize::Integers;
use crate::quant::{Rounding, RoundingMode};
use crate::reference::SumParameters;

/// Sums of int8 values with [`SingleRounding`](crate::SingleRounding), `COUNT` at once.
///
/// Every function's safety has two conditions in common: the backend is available on this machine, and the pointers, to
/// any address, are valid for the `COUNT` values that the function reads or writes.
pub trait PairSums: 'static {
    /// What is kept in registers.
    type Constants: Copy;
    /// How many values.
    const COUNT: usize;

    /// Puts the numbers of a sum into registers.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn constants(numbers: &PairNumbers) -> Self::Constants;

    /// Writes `(a * multipliers[0] + b * multipliers[1] + offset) >> shift`, clamped, for each value. All values are read
    /// before any is written.
    ///
    /// # Safety
    /// As stated for the trait.
    unsafe fn add(constants: &Self::Constants, a: *const i8, b: *const i8, to: *mut i8);
}

/// The numbers of a sum with [`SingleRounding`](crate::SingleRounding). No sum overflows 32 bits, and shifted it fits 16.
#[derive(Clone, Copy, Debug)]
pub struct PairNumbers {
    /// What the inputs are multiplied with.
    pub multipliers: [i16; 2],
    /// What is added before the shift.
    pub offset: i32,
    /// The shift to the right, 10..=22.
    pub shift: u32,
    /// The lowest and the highest output.
    pub bounds: [i8; 2],
}

impl PairNumbers {
    /// The numbers of a sum with single rounding.
    #[inline(always)]
    pub(crate) fn new<R>(parameters: &SumParameters<i8, R>) -> Self {
        let SumParameters { multipliers, shifts, offset, low, high, .. } = *parameters;
        Self {
            multipliers: [multipliers[0] as i16, multipliers[1] as i16],
            offset: offset as i32,
            shift: shifts[2],
            bounds: [low as i8, high as i8],
        }
    }
}

/// [`Elementwise::add_int8`](super::Elementwise::add_int8) in vectors: `P` for single rounding, `I` for double.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn add_in_vectors<P: PairSums, I: Integers, R: Rounding>(
    parameters: &SumParameters<i8, R>,
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    count: usize,
) -> usize {
    let mut done = 0;
    match R::MODE {
        RoundingMode::Single => {
            // SAFETY: the backend is available.
            let constants = unsafe { P::constants(&PairNumbers::new(parameters)) };
            while count - done >= P::COUNT {
                // SAFETY: `done + COUNT` is at most `count`.
                unsafe { P::add(&constants, a.add(done), b.add(done), to.add(done)) };
                done += P::COUNT;
            }
        }
        RoundingMode::Double => {
            // SAFETY: the backend is available.
            let constants = unsafe { DoubleSum::<I>::new(parameters) };
            while count - done >= I::COUNT {
                // SAFETY: as above.
                unsafe { constants.add(a.add(done), b.add(done), to.add(done)) };
                done += I::COUNT;
            }
        }
    }
    done
}

/// A sum with [`DoubleRounding`](crate::DoubleRounding), in registers.
struct DoubleSum<I: Integers> {
    scales: [Scale<I>; 3],
    zero_points: [I::Vector; 3],
    left_shift: u32,
    subtract: bool,
    /// Less the zero point, which is added last.
    bounds: [I::Vector; 2],
}

/// A multiplication and a division by a power of two, each rounded.
struct Scale<I: Integers> {
    multiplier: I::Vector,
    shift: u32,
    /// The bits that the division drops, and half of what they can be.
    mask: I::Vector,
    half: I::Vector,
}

impl<I: Integers> Scale<I> {
    /// # Safety
    /// The backend is available.
    #[inline(always)]
    unsafe fn new(multiplier: i32, shift: u32) -> Self {
        let mask = ((1i64 << shift) - 1) as i32;
        // SAFETY: the caller's promise.
        unsafe { Self { multiplier: I::splat(multiplier), shift, mask: I::splat(mask), half: I::splat(mask >> 1) } }
    }

    /// # Safety
    /// The backend is available.
    #[inline(always)]
    unsafe fn apply(&self, value: I::Vector) -> I::Vector {
        // SAFETY: the caller's promise. The product cannot saturate, as no multiplier is negative.
        unsafe {
            let product = I::doubling_high(value, self.multiplier);
            // One more where the remainder is above the threshold, which is one more if negative.
            let remainder = I::and(product, self.mask);
            let threshold = I::subtract(self.half, I::shift_all_right(product, 31));
            I::add_where_greater(I::shift_all_right(product, self.shift), remainder, threshold)
        }
    }
}

impl<I: Integers> DoubleSum<I> {
    /// # Safety
    /// The backend is available.
    #[inline(always)]
    unsafe fn new<R>(parameters: &SumParameters<i8, R>) -> Self {
        let SumParameters { multipliers, shifts, zero_points, left_shift, sign, low, high, .. } = *parameters;
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                scales: [
                    Scale::new(multipliers[0], shifts[0]),
                    Scale::new(multipliers[1], shifts[1]),
                    Scale::new(multipliers[2], shifts[2]),
                ],
                zero_points: [I::splat(zero_points[0]), I::splat(zero_points[1]), I::splat(zero_points[2])],
                left_shift,
                subtract: sign < 0,
                bounds: [I::splat(low - zero_points[2]), I::splat(high - zero_points[2])],
            }
        }
    }

    /// # Safety
    /// The pointers are valid for `COUNT` values; the backend is available.
    #[inline(always)]
    unsafe fn add(&self, a: *const i8, b: *const i8, to: *mut i8) {
        let [zero_a, zero_b, zero] = self.zero_points;
        // SAFETY: the caller's promise; a value between the bounds is an int8 value, less the zero point.
        unsafe {
            let a = I::shift_all_left(I::subtract(I::load_bytes(a), zero_a), self.left_shift);
            let b = I::shift_all_left(I::subtract(I::load_bytes(b), zero_b), self.left_shift);
            let (a, b) = (self.scales[0].apply(a), self.scales[1].apply(b));
            let sum = self.scales[2].apply(if self.subtract { I::subtract(a, b) } else { I::add(a, b) });
            let [low, high] = self.bounds;
            I::store(I::add(I::min(I::max(sum, low), high), zero), to);
        }
    }
}
