//! Addition of int8 values in vectors, for [`Elementwise::add_int8`](super::Elementwise::add_int8).

use crate::kernels::requantize::{Integers, add_int8_twice};
use crate::quant::ProductRounding;
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

/// [`Elementwise::add_int8`](super::Elementwise::add_int8) in vectors: `P` for single rounding, `I` for double. Inlined into
/// a function that enables the backend's instructions.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn add_in_vectors<P: PairSums, I: Integers, R: ProductRounding>(
    parameters: &SumParameters<i8, R>,
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    count: usize,
) -> usize {
    if R::TWICE {
        // SAFETY: the caller's promise.
        return unsafe { add_int8_twice::<I, R>(parameters, a, b, to, count) };
    }
    let mut done = 0;
    // SAFETY: the caller's promise; `done + COUNT` is at most `count`.
    unsafe {
        let constants = P::constants(&PairNumbers::new(parameters));
        while count - done >= P::COUNT {
            P::add(&constants, a.add(done), b.add(done), to.add(done));
            done += P::COUNT;
        }
    }
    done
}
