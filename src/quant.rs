//! Quantization: how int8 values stand for real numbers, and how accumulators come back to int8.
//!
//! The scheme is TensorFlow Lite's (<https://ai.google.dev/edge/litert/models/quantization_spec>):
//! `real = scale * (q - zero_point)`. Activations have one scale and one zero point for the whole tensor; the
//! weights of a filter are symmetric (zero point 0, values in -127..=127) with one scale per output channel; a
//! bias is an `i32` of scale `input scale * weight scale`.
//!
//! An accumulator becomes an output by a multiplication with `input scale * weight scale / output scale`, done in
//! integers. How the result is rounded is a type, because it decides the bits: [`SingleRounding`] rounds once,
//! [`DoubleRounding`] twice, as TensorFlow Lite Micro does, [`ReducedRounding`] once with a short multiplier, as it does
//! with biases of 64 bits, and [`PowerOfTwo`] only shifts.
//!
//! An int16 tensor has the zero point 0: `real = scale * q`.

use core::fmt::Debug;

/// Scale and zero point of an int8 tensor: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    /// The step between neighbouring values; positive and finite.
    pub scale: f32,
    /// The int8 value that stands for 0.
    pub zero_point: i8,
}

impl Quantization {
    /// A quantization with this scale and zero point.
    pub const fn new(scale: f32, zero_point: i8) -> Self {
        Self { scale, zero_point }
    }

    /// The finest quantization whose values reach from `low` to `high`, both widened to hold 0, with 0 exactly one of
    /// them. A range of nothing but 0 gets the smallest positive scale.
    ///
    /// ```
    /// // Behind a ReLU: the int8 range begins at 0.
    /// let q = bareconv::Quantization::from_range(0.0, 25.5);
    /// assert_eq!((q.scale, q.zero_point), (0.1, -128));
    /// ```
    pub fn from_range(low: f32, high: f32) -> Self {
        let (low, high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let scale = ((high - low) / 255.0).max(f64::from(f32::MIN_POSITIVE)) as f32;
        let zero_point = libm::round(-128.0 - low / f64::from(scale));
        Self { scale, zero_point: zero_point.clamp(-128.0, 127.0) as i8 }
    }

    /// The int8 value nearest to `real`, halves away from zero, saturated to -128..=127; a NaN gives the zero point.
    ///
    /// ```
    /// let q = bareconv::Quantization::new(0.5, -128);
    /// assert_eq!([q.quantize(0.0), q.quantize(1.2), q.quantize(-3.0), q.quantize(1e9)], [-128, -126, -128, 127]);
    /// ```
    pub fn quantize(self, real: f32) -> i8 {
        let steps = libm::roundf(real / self.scale);
        let steps = steps.clamp(-512.0, 512.0) as i32;
        (steps + self.zero_point as i32).clamp(-128, 127) as i8
    }

    /// The real number that `q` stands for.
    pub fn dequantize(self, q: i8) -> f32 {
        (q as i32 - self.zero_point as i32) as f32 * self.scale
    }
}

/// A positive real number as `multiplier * 2^(exponent - 31)`, with `multiplier` in 2^30..2^31, or zero.
///
/// This is TensorFlow Lite's `QuantizeMultiplier`: the significand is rounded to 31 bits, halves upwards; numbers
/// below 2^-32 become zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Multiplier {
    /// The significand, in 2^30..2^31, or 0.
    pub multiplier: i32,
    /// The power of two; positive is a shift to the left.
    pub exponent: i32,
}

impl Multiplier {
    /// Rounds `real` to a multiplier.
    ///
    /// # Panics
    /// Where `real` is negative, not finite, or not below 2^30. In a constant the panic is a compile error.
    pub const fn from_real(real: f64) -> Self {
        assert!(real >= 0.0 && real < 1_073_741_824.0, "a multiplier must be finite, not negative, and below 2^30");
        let bits = real.to_bits();
        let biased = (bits >> 52) as i32;
        if biased == 0 {
            return Self { multiplier: 0, exponent: 0 };
        }
        // real = significand / 2^53 * 2^exponent, the significand in 2^52..2^53.
        let significand = (bits & ((1 << 52) - 1)) | (1 << 52);
        let mut exponent = biased - 1022;
        let mut multiplier = (significand + (1 << 21)) >> 22;
        if multiplier == 1 << 31 {
            multiplier >>= 1;
            exponent += 1;
        }
        if exponent < -31 {
            return Self { multiplier: 0, exponent: 0 };
        }
        Self { multiplier: multiplier as i32, exponent }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Which rounding a requantization uses, as a value; see [`Rounding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RoundingMode {
    /// [`SingleRounding`].
    Single,
    /// [`DoubleRounding`].
    Double,
    /// [`ReducedRounding`].
    Reduced,
    /// [`PowerOfTwo`].
    PowerOfTwo,
}

/// How an accumulator is rounded to int8 or int16; the type chooses the arithmetic at compile time.
pub trait Rounding: sealed::Sealed + Copy + Debug + 'static {
    /// The mode as a value, for constant evaluation.
    const MODE: RoundingMode;
    /// How many words a channel's parameters take.
    const WORDS: usize;
    /// `accumulator` times the channel's multiplier, rounded, plus the zero point; not yet clamped.
    fn scale(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32;

    /// The same for an accumulator whose bias holds what [`folded_term`](crate::pack::folded_term) says, as packing
    /// leaves it.
    #[inline(always)]
    fn scale_folded(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32 {
        Self::scale(accumulator, parameters, common)
    }
}

/// A rounding of products with any positive multiplier, which is what elementwise operators offer: [`SingleRounding`] and
/// [`DoubleRounding`].
pub trait ProductRounding: Rounding {
    /// Whether it rounds twice.
    const TWICE: bool;
}

impl ProductRounding for SingleRounding {
    const TWICE: bool = false;
}

impl ProductRounding for DoubleRounding {
    const TWICE: bool = true;
}

/// What the channels of a layer share in requantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommonRequantization {
    /// [`SingleRounding`]: the shift to the right, 1..=54. [`ReducedRounding`]: 1 if every channel's multiplier is below
    /// a quarter, which is the usual case and has a shorter way, otherwise 0. [`DoubleRounding`] of an int8 layer: 1 if every
    /// channel's multiplier is below a half, 2 if in addition every sum is below 2^30, otherwise 0. 0 for the others.
    pub shift: u32,
    /// [`SingleRounding`]: half a unit of the result plus the output's zero point, at the scale of the product. 0 for
    /// the others.
    pub offset: i64,
    /// The output's zero point.
    pub zero_point: i32,
    /// The lowest output, after the activation.
    pub low: i32,
    /// The highest output, after the activation.
    pub high: i32,
}

/// One rounding, halves upwards: `floor((accumulator * multiplier + 2^(shift-1)) / 2^shift)`, exact in 64 bits.
///
/// All channels of a layer share the shift, so the largest multiplier has 31 significant bits (fewer below 2^-23, where
/// the shift stops at 54) and the others the same resolution. It is the library's own mode, for networks trained with it: one SMLAL and one saturating shift
/// on Armv7E-M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SingleRounding;

/// Two roundings, the bits of TensorFlow Lite Micro: a saturating, rounding, doubling high product (halves upwards),
/// then a rounding division by a power of two (halves away from zero).
///
/// Specified by `MultiplyByQuantizedMultiplier` of TensorFlow Lite and by gemmlowp's
/// `SaturatingRoundingDoublingHighMul` and `RoundingDivideByPOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DoubleRounding;

/// One rounding, halves upwards, with a multiplier of 15 bits: the bits of TensorFlow Lite Micro for int16 layers whose
/// biases have 64 bits.
///
/// `floor((accumulator * reduced + 2^(shift-1)) / 2^shift)`, where `reduced` is the significand of the [`Multiplier`]
/// divided by 2^16, rounded halves upwards and at most 32767, and `shift` is 15 less its exponent: TensorFlow Lite's
/// `MultiplyByQuantizedMultiplier` for accumulators of 64 bits. It wants multipliers below 128 and results that fit 32
/// bits; packing checks both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReducedRounding;

/// A shift, halves upwards: `floor((accumulator + 2^(shift-1)) / 2^shift)`, for layers whose
/// `input scale * weight scale / output scale` is `2^-shift` for every channel, `shift` in 0..=23.
///
/// The zero point and the 2^(shift-1) are part of the packed bias, so that one shift and a saturation remain. Halves go
/// upwards, also where the result is negative: -1.5 becomes -1. Scales that are powers of two themselves always obey
/// the rule. It is the library's own mode, after Jacob et al. 2018 (<https://arxiv.org/abs/1712.05877>, appendix B),
/// with the scale restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PowerOfTwo;

impl sealed::Sealed for SingleRounding {}
impl sealed::Sealed for DoubleRounding {}
impl sealed::Sealed for ReducedRounding {}
impl sealed::Sealed for PowerOfTwo {}

impl Rounding for SingleRounding {
    const MODE: RoundingMode = RoundingMode::Single;
    const WORDS: usize = 1;

    #[inline(always)]
    fn scale(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32 {
        let product = accumulator as i64 * parameters[0] as i32 as i64 + common.offset;
        if common.shift >= 32 {
            // The high word alone: one instruction where a 64-bit shift takes several.
            ((product >> 32) as i32) >> (common.shift - 32)
        } else {
            shift_and_saturate(product, common.shift)
        }
    }
}

/// `product >> shift`, saturated. Out of line, because multipliers of a half and more are rare.
#[cold]
#[inline(never)]
fn shift_and_saturate(product: i64, shift: u32) -> i32 {
    (product >> shift).max(i32::MIN as i64).min(i32::MAX as i64) as i32
}

impl Rounding for DoubleRounding {
    const MODE: RoundingMode = RoundingMode::Double;
    const WORDS: usize = 2;

    #[inline(always)]
    fn scale(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32 {
        let scaled = multiply_by_quantized_multiplier(
            accumulator,
            Multiplier { multiplier: parameters[0] as i32, exponent: parameters[1] as i32 },
        );
        scaled.saturating_add(common.zero_point)
    }
}

impl Rounding for ReducedRounding {
    const MODE: RoundingMode = RoundingMode::Reduced;
    const WORDS: usize = 2;

    #[inline(always)]
    fn scale(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32 {
        let (multiplier, right) = (parameters[0] as i32, parameters[1] as i32);
        let scaled = if right > 0 {
            // The multiplier is at the scale that leaves a shift of the product's high word by 1 at least.
            let high = ((accumulator as i64 * multiplier as i64) >> 32) as i32;
            (high + (1 << (right - 1))) >> right
        } else {
            shift_and_round(accumulator as i64 * multiplier as i64, (right + 32) as u32)
        };
        scaled.saturating_add(common.zero_point)
    }
}

/// `product / 2^shift`, rounded, halves upwards. Out of line, because multipliers of a quarter and more are rare.
#[cold]
#[inline(never)]
fn shift_and_round(product: i64, shift: u32) -> i32 {
    ((product + (1 << (shift - 1))) >> shift) as i32
}

impl Rounding for PowerOfTwo {
    const MODE: RoundingMode = RoundingMode::PowerOfTwo;
    const WORDS: usize = 1;

    #[inline(always)]
    fn scale(accumulator: i32, parameters: &[u32], common: &CommonRequantization) -> i32 {
        let shift = parameters[0];
        let half = (1 << shift) >> 1;
        (((accumulator as i64 + half) >> shift) as i32).saturating_add(common.zero_point)
    }

    #[inline(always)]
    fn scale_folded(accumulator: i32, parameters: &[u32], _: &CommonRequantization) -> i32 {
        // At most 23; without the mask a shift could panic.
        accumulator >> (parameters[0] & 31)
    }
}

impl CommonRequantization {
    /// The clamp to `low..=high`.
    #[inline(always)]
    pub fn clamp(&self, value: i32) -> i8 {
        // Not `clamp`, which can panic.
        value.max(self.low).min(self.high) as i8
    }

    /// The same for an int16 output.
    #[inline(always)]
    pub fn clamp_i16(&self, value: i32) -> i16 {
        value.max(self.low).min(self.high) as i16
    }
}

/// `a * b / 2^31`, rounded, halves upwards, saturated in the one case that overflows.
///
/// gemmlowp's `SaturatingRoundingDoublingHighMul`.
#[inline(always)]
pub const fn saturating_rounding_doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((a as i64 * b as i64 + (1 << 30)) >> 31) as i32
}

/// `value / 2^exponent`, halves away from zero; `exponent` in 0..=31. gemmlowp's `RoundingDivideByPOT`.
#[inline(always)]
pub const fn rounding_divide_by_power_of_two(value: i32, exponent: u32) -> i32 {
    let mask = ((1u32 << exponent) - 1) as i32;
    let remainder = value & mask;
    let threshold = (mask >> 1) + if value < 0 { 1 } else { 0 };
    (value >> exponent) + if remainder > threshold { 1 } else { 0 }
}

/// TensorFlow Lite's `MultiplyByQuantizedMultiplier` in its double rounding form.
///
/// A shift to the left wraps, as it does there.
#[inline(always)]
pub const fn multiply_by_quantized_multiplier(value: i32, by: Multiplier) -> i32 {
    let (left, right) = if by.exponent > 0 { (by.exponent as u32, 0) } else { (0, -by.exponent as u32) };
    rounding_divide_by_power_of_two(
        saturating_rounding_doubling_high_mul(value.wrapping_shl(left), by.multiplier),
        right,
    )
}
