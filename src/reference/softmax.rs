use super::fixed_point::{exp, exp_on_negative_values, high_mul, one_over_one_plus, round};
use crate::quant::{
    Multiplier, multiply_by_quantized_multiplier, rounding_divide_by_power_of_two as divide_by_power_of_two,
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
            exp_on_negative_values::<5>(high_mul(difference << exponent, multiplier))
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

/// What int16 softmax needs to know of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftmaxParametersInt16 {
    /// `input scale * beta` in units of 10 / 65535.
    pub multiplier: Multiplier,
}

impl SoftmaxParametersInt16 {
    /// The parameters for an input of this scale; `beta` is 1 for plain softmax.
    ///
    /// # Panics
    /// Where `input_scale * beta` is not positive, or not below 5, where differences could overflow 32 bits. In a
    /// constant this is a compile error.
    pub const fn new(input_scale: f32, beta: f32) -> Self {
        let real = input_scale as f64 * beta as f64;
        assert!(real > 0.0 && real < 5.0, "int16 softmax needs an input scale times beta above 0 and below 5");
        Self { multiplier: Multiplier::from_real(real / (10.0 / 65535.0)) }
    }
}

/// Softmax in int16 over all values, with zero points 0 and output scale 1/32768: TensorFlow Lite Micro's `SOFTMAX`.
///
/// Differences to the maximum are multiplied into units of 10 / 65535 and saturated at -10; their exponentials, Q0.15,
/// are interpolated in a table of 513 knots over -10..=0. Their sum is `(1 + fraction) * 2^n`; `1 / (1 + fraction)`,
/// Q0.15 too, is interpolated in a table over 0..=1, multiplied with each exponential and rounded, halves upwards.
///
/// The knots of a table of `f`, `step` apart, are `round(32768 f(x)) - round(m / 2)`, at most 32767, with the error `m`
/// that interpolation would have in the middle of the interval that follows:
/// `round((32768 f(x + step) + round(32768 f(x))) / 2) - round(32768 f(x + step / 2))`. TensorFlow Lite computes them
/// in single precision; here they are of exact numbers, rounded, and the same.
///
/// # Panics
/// Where the slices' lengths differ, or there are more than 65536 values.
pub fn softmax_i16(parameters: &SoftmaxParametersInt16, input: &[i16], output: &mut [i16]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(input.len() <= 65536, "the sum of up to 65536 exponentials fits 32 bits");
    share_i16(parameters, input, output);
}

/// [`softmax_i16`] of slices of the same length, at most 65536 values; compiled once, whatever their length.
#[inline(never)]
pub(crate) fn share_i16(parameters: &SoftmaxParametersInt16, input: &[i16], output: &mut [i16]) {
    let Some(&largest) = input.iter().max() else { return };
    let mut sum = 0i32;
    for (out, &x) in output.iter_mut().zip(input) {
        let difference = x as i32 - largest as i32;
        let scaled = multiply_by_quantized_multiplier(difference, parameters.multiplier);
        *out = interpolate(&EXPONENTIALS, scaled + 32767);
        sum = sum.wrapping_add(*out as i32);
    }
    // sum = (1 + fraction) * 2^(31 - zeros), the fraction in 0..1. The largest value's exponential is 32767, nearly, so
    // that the sum is above 2^14; the compiler does not see it.
    let zeros = sum.leading_zeros().clamp(1, 17);
    let one_plus_fraction = (((sum as i64) << (zeros - 1)) + (1 << 13)) >> 14;
    let reciprocal = interpolate(&RECIPROCALS, one_plus_fraction as i32 - (3 << 15)) as i64;
    let shift = 31 - zeros;
    for out in output {
        let share = (*out as i64 * reciprocal + (1 << (shift - 1))) >> shift;
        *out = share.clamp(0, 32767) as i16;
    }
}

/// `exp(x)` in Q0.15 at `x = -10 + 10 i / 512`.
static EXPONENTIALS: [i16; 513] = {
    let (mut knots, mut i) = ([0; 513], 0);
    while i <= 512 {
        let place = i as f64 - 512.0;
        knots[i] =
            knot([exp(place * 10.0 / 512.0), exp((place + 0.5) * 10.0 / 512.0), exp((place + 1.0) * 10.0 / 512.0)]);
        i += 1;
    }
    knots[512] = i16::MAX;
    knots
};

/// `1 / (1 + x)` in Q0.15 at `x = i / 512`.
static RECIPROCALS: [i16; 513] = {
    let (mut knots, mut i) = ([0; 513], 0);
    while i <= 512 {
        let denominator = 512.0 + i as f64;
        knots[i] = knot([512.0 / denominator, 512.0 / (denominator + 0.5), 512.0 / (denominator + 1.0)]);
        i += 1;
    }
    knots[512] = 1 << 14;
    knots
};

/// The knot for values of the function at it, in the middle of the interval that follows, and at the next knot.
const fn knot([at, middle, next]: [f64; 3]) -> i16 {
    const ONE: f64 = 32768.0;
    let sample = round(at * ONE);
    let error = round((next * ONE + sample as f64) / 2.0) - round(middle * ONE);
    let knot = sample - round(error as f64 / 2.0);
    if knot > 32767 { 32767 } else { knot as i16 }
}

/// The table's function of `x`, saturated to int16: linear between 513 knots that are 128 apart, rounded, halves
/// upwards; TensorFlow Lite's `LUTLookup`.
fn interpolate(knots: &[i16; 513], x: i32) -> i16 {
    let place = (x.clamp(-32768, 32767) + 32768) as usize;
    let (at, next) = (knots[place >> 7] as i32, knots[(place >> 7) + 1] as i32);
    (at + (((next - at) * (place & 127) as i32 + 64) >> 7)) as i16
}
