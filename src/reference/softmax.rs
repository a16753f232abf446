use crate::quant::{
    Multiplier, rounding_divide_by_power_of_two as divide_by_power_of_two,
    saturating_rounding_doubling_high_mul as high_mul,
};

/// Softmax in `f32` over all values: `exp(x - max) / sum of exp(x - max)`.
///
/// The maximum is the first value, replaced in order by every value that is `>` it; the exponential is
/// [`libm::expf`]; the sum begins with 0.0 and takes the exponentials in order; each is then divided by the sum. A NaN
/// or an infinity of positive sign makes NaN of all that it touches, as the formula has it.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn softmax_f32(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    share_f32(input, output);
}

/// [`softmax_f32`] of slices of the same length; compiled once, whatever their length.
#[inline(never)]
pub(crate) fn share_f32(input: &[f32], output: &mut [f32]) {
    let Some(&first) = input.first() else { return };
    let largest = input.iter().fold(first, |largest, &x| if x > largest { x } else { largest });
    let mut sum = 0.0f32;
    for (out, &x) in output.iter_mut().zip(input) {
        *out = libm::expf(x - largest);
        sum += *out;
    }
    for out in output {
        *out /= sum;
    }
}

/// What int8 softmax needs to know of its input: scale times beta as a fixed-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftmaxParameters {
    /// `input scale * beta` in units of 2^-26, as a multiplier with an exponent in 0..=31.
    pub multiplier: Multiplier,
    /// The lowest difference to the maximum that counts, in quantization steps; at most 0. Lower ones give -128.
    pub lowest_difference: i32,
}

impl SoftmaxParameters {
    /// The parameters for an input of this scale; `beta` is 1 for plain softmax.
    ///
    /// TensorFlow Lite's `PreprocessSoftmaxScaling` and `CalculateInputRadius`, for 5 integer bits.
    ///
    /// # Panics
    /// Where `input_scale * beta` is not above 2^-26 (about 1.5e-8), or not a number. In a constant this is a compile
    /// error.
    pub const fn new(input_scale: f32, beta: f32) -> Self {
        let real = beta as f64 * input_scale as f64 * (1u64 << 26) as f64;
        assert!(real > 1.0, "softmax needs an input scale times beta above 2^-26");
        let real = if real < 2_147_483_647.0 { real } else { 2_147_483_647.0 };
        // A quarter of it, because Multiplier takes numbers below 2^30; a power of two changes no digit.
        let quarter = Multiplier::from_real(real / 4.0);
        let multiplier = Multiplier { multiplier: quarter.multiplier, exponent: quarter.exponent + 2 };
        let radius = (31u64 << 26) >> multiplier.exponent;
        Self { multiplier, lowest_difference: -(radius as i32) }
    }
}

/// Softmax in int8 over all values, with output scale 1/256 and zero point -128: TensorFlow Lite Micro's `SOFTMAX`, in
/// the fixed-point arithmetic of gemmlowp (`fixedpoint.h`).
///
/// Differences to the maximum are multiplied into Q5.26 (5 integer bits, 26 fractional bits), their exponentials are
/// Q0.31, their sum is Q12.19; the sum's reciprocal is found by three steps of Newton's method. Where the sum of the
/// exponentials reaches 512, TensorFlow Lite Micro stops; here the same division goes on with more bits.
///
/// # Panics
/// Where the slices' lengths differ, or there are more than 4095 values.
pub fn softmax_i8(parameters: &SoftmaxParameters, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(input.len() <= 4095, "the sum of up to 4095 exponentials fits Q12.19");
    share_i8(parameters, input, output);
}

/// [`softmax_i8`] of slices of the same length, at most 4095 values; compiled once, whatever their length.
#[inline(never)]
pub(crate) fn share_i8(parameters: &SoftmaxParameters, input: &[i8], output: &mut [i8]) {
    let Some(&largest) = input.iter().max() else { return };
    let exponential = |x: i8| {
        let difference = x as i32 - largest as i32;
        (difference >= parameters.lowest_difference).then(|| {
            let Multiplier { multiplier, exponent } = parameters.multiplier;
            exp_on_negative_values(high_mul(difference << exponent, multiplier))
        })
    };
    let sum: i32 = input.iter().filter_map(|&x| exponential(x)).map(|e| divide_by_power_of_two(e, 12)).sum();
    // sum = (1 + fraction) * 2^(11 - zeros) in Q12.19, the fraction in 0..1.
    let zeros = sum.leading_zeros();
    let fraction = ((sum as u32) << zeros) - (1 << 31);
    let reciprocal = one_over_one_plus(fraction as i32);
    // From Q0.31 to units of 1/256: 23 bits, and 12 - zeros for the sum's power of two.
    let shift = 12 + 23 - zeros;
    for (out, &x) in output.iter_mut().zip(input) {
        *out = exponential(x).map_or(-128, |e| {
            let product = high_mul(reciprocal, e) as i64;
            // The product is not negative, so adding a half rounds halves away from zero.
            let steps = (product + (1 << (shift - 1))) >> shift;
            (steps - 128).clamp(-128, 127) as i8
        });
    }
}

/// `exp(a)` in Q0.31 of `a <= 0` in Q5.26; gemmlowp's `exp_on_negative_values`.
pub(crate) fn exp_on_negative_values(a: i32) -> i32 {
    if a == 0 {
        return i32::MAX;
    }
    const QUARTER: i32 = 1 << 24;
    // a = (a modulo 1/4, in -1/4..0) - remainder, a multiple of 1/4.
    let within = (a & (QUARTER - 1)) - QUARTER;
    let remainder = within - a;
    let mut result = exp_in_last_quarter(within << 5);
    // exp(-2^k) in Q0.31 for k = -2..=4: one factor for each bit of the remainder.
    const POWERS: [i32; 7] = [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    for (bit, &power) in POWERS.iter().enumerate() {
        if remainder & (QUARTER << bit) != 0 {
            result = high_mul(result, power);
        }
    }
    result
}

/// `exp(a)` in Q0.31 of `a` in -1/4..0, Q0.31: the Taylor polynomial of degree 4 around -1/8; gemmlowp's
/// `exp_on_interval_between_negative_one_quarter_and_0_excl`.
fn exp_in_last_quarter(a: i32) -> i32 {
    const EXP_OF_MINUS_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a + (1 << 28);
    let x2 = high_mul(x, x);
    let x3 = high_mul(x2, x);
    let x4 = high_mul(x2, x2);
    let x4_over_4 = divide_by_power_of_two(x4, 2);
    let higher_terms = divide_by_power_of_two(high_mul(x4_over_4 + x3, THIRD) + x2, 1);
    EXP_OF_MINUS_EIGHTH + high_mul(EXP_OF_MINUS_EIGHTH, x + higher_terms)
}

/// `1 / (1 + a)` in Q0.31 of `a` in 0..1, Q0.31; gemmlowp's `one_over_one_plus_x_for_x_in_0_1`.
pub(crate) fn one_over_one_plus(a: i32) -> i32 {
    const ONE_IN_Q2_29: i32 = 1 << 29;
    const FORTY_EIGHT_17THS: i32 = 1_515_870_810;
    const MINUS_THIRTY_TWO_17THS: i32 = -1_010_580_540;
    // Half of 1 + a, where 1 is the largest number of Q0.31; a half is rounded up.
    let half_denominator = ((a as i64 + i32::MAX as i64 + 1) / 2) as i32;
    let mut x = FORTY_EIGHT_17THS + high_mul(half_denominator, MINUS_THIRTY_TWO_17THS);
    for _ in 0..3 {
        let rest = ONE_IN_Q2_29 - high_mul(half_denominator, x);
        // The product of two numbers of Q2.29 is Q4.27.
        x += saturating_shift_left(high_mul(x, rest), 2);
    }
    // x / 2 from Q2.29 to Q0.31.
    saturating_shift_left(x, 1)
}

/// `value * 2^by`, saturated; gemmlowp's `SaturatingRoundingMultiplyByPOT`.
fn saturating_shift_left(value: i32, by: u32) -> i32 {
    ((value as i64) << by).clamp(i32::MIN as i64, i32::MAX as i64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: f64 = (1u64 << 31) as f64;

    #[test]
    fn the_exponential_is_near_the_exponential() {
        for i in 0..200_000 {
            let a = -i * 10_007;
            let exact = libm::exp(a as f64 / (1 << 26) as f64) * ONE;
            let error = exp_on_negative_values(a) as f64 - exact;
            // A relative error of the polynomial, and a half for each of eight roundings.
            assert!(libm::fabs(error) <= 3e-7 * exact + 4.5, "exp({a}) is off by {error} of 2^31");
        }
    }

    #[test]
    fn the_reciprocal_is_near_the_reciprocal() {
        for i in 0..=200_000 {
            let a = i * 10_737;
            let exact = ONE / (1.0 + a as f64 / ONE);
            let error = one_over_one_plus(a) as f64 - exact;
            assert!(libm::fabs(error) <= 16.0, "1 / (1 + {a}) is off by {error} of 2^31");
        }
    }
}
