use super::Armv7em;
use crate::kernels::elementwise::add::PairNumbers;
use crate::kernels::elementwise::{Array, Elementwise, Lanes, MAX_SUMS, SumLanes};
use crate::quant::ProductRounding;
use crate::reference::SumParameters;
use core::arch::asm;

impl Elementwise for Armv7em {
    type Bytes = Word;
    type Halves = Pair;
    type Floats = Array<f32, 4>;
    type Sums = Word;

    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        let done = unsafe {
            match R::TWICE {
                false => {
                    let sum = SingleSum::new(parameters);
                    words([a, b], to, count, parameters, |a, b| sum.add(a, b))
                }
                true => match DoubleSum::new(parameters) {
                    Some(sum) => words([a, b], to, count, parameters, |a, b| sum.add(a, b)),
                    None => 0,
                },
            }
        };
        Some(done)
    }
}

/// Applies a function to four values at a time, as often as there are as many, and clamps the results to the bounds of
/// the parameters; returns how many values that was.
///
/// # Safety
/// As [`Elementwise::add_int8`].
#[inline(always)]
unsafe fn words<R>(
    [a, b]: [*const i8; 2],
    to: *mut i8,
    count: usize,
    parameters: &SumParameters<i8, R>,
    function: impl Fn(u32, u32) -> u32,
) -> usize {
    let SumParameters { low, high, .. } = *parameters;
    let saturates = low == -128 && high == 127;
    // SAFETY: the caller's promise; `done + 4` is at most `count`.
    unsafe {
        let (low, high) = (Word::splat(low as i8), Word::splat(high as i8));
        let mut done = 0;
        while count - done >= 4 {
            let mut values = function(Word::load(a.add(done)), Word::load(b.add(done)));
            if !saturates {
                values = Word::smaller(high, Word::larger(low, values));
            }
            Word::store(values, to.add(done));
            done += 4;
        }
        done
    }
}

/// Four values of at most 16 bits, saturated to bytes.
#[inline(always)]
fn saturate([mut a, b, c, mut d]: [i32; 4]) -> u32 {
    // SAFETY: register arithmetic alone. SSAT16 may set Q, and the flags are not claimed to be preserved.
    unsafe {
        asm!(
            "pkhbt {a}, {a}, {c}, lsl #16",
            "pkhbt {d}, {b}, {d}, lsl #16",
            "ssat16 {a}, #8, {a}",
            "ssat16 {d}, #8, {d}",
            "uxtb16 {a}, {a}",
            "uxtb16 {d}, {d}",
            "orr {a}, {a}, {d}, lsl #8",
            a = inout(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            d = inout(reg) d,
            options(pure, nomem, nostack),
        );
    }
    let _ = d;
    a as u32
}

/// A sum with one rounding.
struct SingleSum {
    /// Both multipliers, the first below.
    multipliers: u32,
    offset: i32,
    shift: u32,
}

impl SingleSum {
    #[inline(always)]
    fn new<R>(parameters: &SumParameters<i8, R>) -> Self {
        let PairNumbers { multipliers: [a, b], offset, shift, .. } = PairNumbers::new(parameters);
        Self { multipliers: (b as u32) << 16 | a as u16 as u32, offset, shift }
    }

    /// Four sums, saturated.
    #[inline(always)]
    fn add(&self, a: u32, b: u32) -> u32 {
        let [s0, s1, s2, s3]: [i32; 4];
        // SAFETY: register arithmetic alone, in exact 32 bits (`PairNumbers`), so that SMLAxy does not set Q. No output is
        // late, as they are written while inputs are still to be read.
        unsafe {
            asm!(
                "sxtb16 {s0}, {a}",
                "sxtb16 {s1}, {a}, ror #8",
                "sxtb16 {a}, {b}",
                "sxtb16 {b}, {b}, ror #8",
                "smlatb {s2}, {s0}, {m}, {offset}",
                "smlabb {s0}, {s0}, {m}, {offset}",
                "smlatb {s3}, {s1}, {m}, {offset}",
                "smlabb {s1}, {s1}, {m}, {offset}",
                "smlatt {s2}, {a}, {m}, {s2}",
                "smlabt {s0}, {a}, {m}, {s0}",
                "smlatt {s3}, {b}, {m}, {s3}",
                "smlabt {s1}, {b}, {m}, {s1}",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                m = in(reg) self.multipliers,
                offset = in(reg) self.offset,
                s0 = out(reg) s0,
                s1 = out(reg) s1,
                s2 = out(reg) s2,
                s3 = out(reg) s3,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        saturate([s0 >> self.shift, s1 >> self.shift, s2 >> self.shift, s3 >> self.shift])
    }
}

/// A sum with two roundings of each product.
struct DoubleSum {
    first: Scale,
    second: Scale,
    /// Adds the zero point, too.
    sum: Scale,
    sign: i32,
    /// The inputs' zero points, negated and shifted as the inputs are.
    zero_points: [i32; 2],
}

/// A multiplication and a division by a power of two, each rounded.
#[derive(Clone, Copy)]
struct Scale {
    multiplier: i32,
    shift: u32,
    /// What is added before the division: half of what it drops.
    half: i32,
    /// Nothing where there is no division; otherwise all bits.
    divides: i32,
}

impl Scale {
    #[inline(always)]
    fn new(multiplier: i32, shift: u32) -> Self {
        Self { multiplier, shift, half: ((1u64 << shift) >> 1) as i32, divides: if shift > 0 { -1 } else { 0 } }
    }

    /// The scaled halves of `doubled`, halves away from zero.
    #[inline(always)]
    fn apply(self, doubled: [i32; 4]) -> [i32; 4] {
        // Where the value is negative and the product 0, one less than half of the divisor still gives 0.
        doubled.map(
            #[inline(always)]
            |doubled| {
                let product = high_product(doubled, self.multiplier, self.half);
                (product + (doubled >> 31 & self.divides)) >> self.shift
            },
        )
    }
}

/// The high word of `a * b`, rounded, halves upwards, plus `c`.
#[inline(always)]
fn high_product(a: i32, b: i32, c: i32) -> i32 {
    let high: i32;
    // SAFETY: register arithmetic alone; SMMLAR sets no flags.
    unsafe {
        asm!(
            "smmlar {high}, {a}, {b}, {c}",
            a = in(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            high = lateout(reg) high,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

impl DoubleSum {
    /// `None` where the inputs' scales are so far from the output's that the sum's last shift is not in 14..=23.
    #[inline(always)]
    fn new<R>(parameters: &SumParameters<i8, R>) -> Option<Self> {
        let SumParameters { multipliers, shifts, zero_points, sign, .. } = *parameters;
        // A product of at most 2^28 then fits 16 bits, with the zero point, and the zero point shifted to its place 32.
        if shifts[2] < 14 || shifts[2] > 23 {
            return None;
        }
        let mut sum = Scale::new(multipliers[2], shifts[2]);
        sum.half += zero_points[2] << shifts[2];
        Some(Self {
            first: Scale::new(multipliers[0], shifts[0]),
            second: Scale::new(multipliers[1], shifts[1]),
            sum,
            sign,
            zero_points: [-zero_points[0] << DOUBLED, -zero_points[1] << DOUBLED],
        })
    }

    /// Four sums, saturated.
    #[inline(always)]
    fn add(&self, a: u32, b: u32) -> u32 {
        let [a0, a1, a2, a3] = self.first.apply(doubled(a, self.zero_points[0]));
        let [b0, b1, b2, b3] = self.second.apply(doubled(b, self.zero_points[1]));
        let sum = |a, b| 2 * (a + self.sign * b);
        saturate(self.sum.apply([sum(a0, b0), sum(a1, b1), sum(a2, b2), sum(a3, b3)]))
    }
}

/// The bytes of a word, shifted and doubled, and the zero point.
#[inline(always)]
fn doubled(word: u32, zero_point: i32) -> [i32; 4] {
    // Each byte at the top, the others below it dropped.
    [word << 24, word << 16 & TOP, word << 8 & TOP, word & TOP].map(
        #[inline(always)]
        |top| (top as i32 >> (24 - DOUBLED)) + zero_point,
    )
}

const TOP: u32 = 0xff00_0000;

/// The shift of inputs to the left, and one more, because the high word of a product is half of what is called for.
const DOUBLED: u32 = 20 + 1;

/// Four int8 values in a register.
pub struct Word;

impl Word {
    /// The smaller of each two bytes, signed.
    ///
    /// # Safety
    /// The backend is available.
    #[inline(always)]
    unsafe fn smaller(a: u32, b: u32) -> u32 {
        let smaller: u32;
        // SAFETY: as in `larger`, the bytes taken from the other operand.
        unsafe {
            asm!(
                "ssub8 {scratch}, {a}, {b}",
                "sel {smaller}, {b}, {a}",
                a = in(reg) a,
                b = in(reg) b,
                scratch = out(reg) _,
                smaller = lateout(reg) smaller,
                options(pure, nomem, nostack),
            );
        }
        smaller
    }
}

impl Lanes for Word {
    type Element = i8;
    type Vector = u32;
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const i8) -> u32 {
        // SAFETY: the caller's promise. LDR takes any address on these cores.
        unsafe { from.cast::<u32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: u32, to: *mut i8) {
        // SAFETY: the caller's promise. STR takes any address on these cores.
        unsafe { to.cast::<u32>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i8) -> u32 {
        value as u8 as u32 * 0x0101_0101
    }

    #[inline(always)]
    unsafe fn larger(candidate: u32, current: u32) -> u32 {
        let larger: u32;
        // SAFETY: register arithmetic alone. SSUB8 sets each byte's GE flag where candidate - current, with its ninth
        // bit, is not negative; SEL takes those bytes from candidate. The flags live from one to the other in one
        // block, and are not claimed to be preserved. The output may share a register with an input: SSUB8 writes a
        // scratch register that shares none (it is an early output).
        unsafe {
            asm!(
                "ssub8 {scratch}, {candidate}, {current}",
                "sel {larger}, {candidate}, {current}",
                candidate = in(reg) candidate,
                current = in(reg) current,
                scratch = out(reg) _,
                larger = lateout(reg) larger,
                options(pure, nomem, nostack),
            );
        }
        larger
    }
}

/// Two int16 values in a register.
pub struct Pair;

impl Lanes for Pair {
    type Element = i16;
    type Vector = u32;
    const COUNT: usize = 2;

    #[inline(always)]
    unsafe fn load(from: *const i16) -> u32 {
        // SAFETY: the caller's promise. LDR takes any address on these cores.
        unsafe { from.cast::<u32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: u32, to: *mut i16) {
        // SAFETY: the caller's promise. STR takes any address on these cores.
        unsafe { to.cast::<u32>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: i16) -> u32 {
        value as u16 as u32 * 0x0001_0001
    }

    #[inline(always)]
    unsafe fn larger(candidate: u32, current: u32) -> u32 {
        let larger: u32;
        // SAFETY: as in `Word::larger`; SSUB16 sets the two GE flags of each halfword by its 17-bit difference.
        unsafe {
            asm!(
                "ssub16 {scratch}, {candidate}, {current}",
                "sel {larger}, {candidate}, {current}",
                candidate = in(reg) candidate,
                current = in(reg) current,
                scratch = out(reg) _,
                larger = lateout(reg) larger,
                options(pure, nomem, nostack),
            );
        }
        larger
    }
}

impl SumLanes for Word {
    /// Bytes 0 and 2, then 1 and 3, as halfwords.
    type Sums = [u32; 2];
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> [u32; 2] {
        [0; 2]
    }

    #[inline(always)]
    unsafe fn add([mut even, mut odd]: [u32; 2], from: *const i8) -> [u32; 2] {
        // SAFETY: the caller's promise for the load; the rest is register arithmetic, and SXTAB16 sets no flags.
        unsafe {
            let values = <Self as Lanes>::load(from);
            asm!(
                "sxtab16 {even}, {even}, {values}",
                "sxtab16 {odd}, {odd}, {values}, ror #8",
                even = inout(reg) even,
                odd = inout(reg) odd,
                values = in(reg) values,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        [even, odd]
    }

    #[inline(always)]
    unsafe fn drain([even, odd]: [u32; 2], totals: &mut [i32; MAX_SUMS]) {
        totals[0] += even as i16 as i32;
        totals[1] += odd as i16 as i32;
        totals[2] += even as i32 >> 16;
        totals[3] += odd as i32 >> 16;
    }
}
