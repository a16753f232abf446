//! The fixed-point functions of gemmlowp (`fixedpoint.h`), and the exponential that tables are made of.

use crate::quant::{rounding_divide_by_power_of_two as divide_by_power_of_two, saturating_rounding_doubling_high_mul};

/// Not inlined: the functions here are chains of it, and this is for little code.
#[inline(never)]
pub(super) const fn high_mul(a: i32, b: i32) -> i32 {
    saturating_rounding_doubling_high_mul(a, b)
}

/// `exp(a)` in Q0.31 of `a <= 0` with `INTEGER_BITS` (at most 5) integer bits; gemmlowp's `exp_on_negative_values`.
pub(crate) const fn exp_on_negative_values<const INTEGER_BITS: u32>(a: i32) -> i32 {
    if a == 0 {
        return i32::MAX;
    }
    let quarter = 1 << (29 - INTEGER_BITS);
    // a = (a modulo 1/4, in -1/4..0) - remainder, a multiple of 1/4.
    let within = (a & (quarter - 1)) - quarter;
    let remainder = within - a;
    let mut result = exp_in_last_quarter(within << INTEGER_BITS);
    // exp(-2^k) in Q0.31 for k = -2..=4: one factor for each bit of the remainder.
    const POWERS: [i32; 7] = [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    let mut bit = 0;
    while bit < 2 + INTEGER_BITS {
        if remainder & (quarter << bit) != 0 {
            result = high_mul(result, POWERS[bit as usize]);
        }
        bit += 1;
    }
    result
}

/// `exp(a)` in Q0.31 of `a` in -1/4..0, Q0.31: the Taylor polynomial of degree 4 around -1/8; gemmlowp's
/// `exp_on_interval_between_negative_one_quarter_and_0_excl`.
const fn exp_in_last_quarter(a: i32) -> i32 {
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

/// `2 / (1 + a)` in Q2.29 of `a` in 0..=1, Q0.31: three steps of Newton's method.
const fn two_over_one_plus(a: i32) -> i32 {
    const FORTY_EIGHT_17THS: i32 = 1_515_870_810;
    const MINUS_THIRTY_TWO_17THS: i32 = -1_010_580_540;
    // Half of 1 + a, where 1 is the largest number of Q0.31; a half is rounded up.
    let half_denominator = ((a as i64 + i32::MAX as i64 + 1) / 2) as i32;
    let mut x = FORTY_EIGHT_17THS + high_mul(half_denominator, MINUS_THIRTY_TWO_17THS);
    let mut step = 0;
    while step < 3 {
        let rest = ONE_IN_Q2_29 - high_mul(half_denominator, x);
        // The product of two numbers of Q2.29 is Q4.27.
        x += saturating_shift_left(high_mul(x, rest), 2);
        step += 1;
    }
    x
}

const ONE_IN_Q2_29: i32 = 1 << 29;

/// `1 / (1 + a)` in Q0.31 of `a` in 0..=1, Q0.31; gemmlowp's `one_over_one_plus_x_for_x_in_0_1`.
pub(crate) const fn one_over_one_plus(a: i32) -> i32 {
    saturating_shift_left(two_over_one_plus(a), 1)
}

/// `(1 - a) / (1 + a)` in Q0.31 of `a` in 0..=1, Q0.31; gemmlowp's `one_minus_x_over_one_plus_x_for_x_in_0_1`.
const fn one_minus_over_one_plus(a: i32) -> i32 {
    saturating_shift_left(two_over_one_plus(a) - ONE_IN_Q2_29, 2)
}

/// `1 / (1 + exp(-a))` in Q0.31 of `a` in Q4.27, which is not `i32::MIN`; gemmlowp's `logistic`.
pub(crate) const fn logistic(a: i32) -> i32 {
    if a == 0 {
        return 1 << 30;
    }
    let of_magnitude = one_over_one_plus(exp_on_negative_values::<4>(if a > 0 { -a } else { a }));
    if a > 0 { of_magnitude } else { i32::MAX - of_magnitude }
}

/// `tanh(a)` in Q0.31 of `a` in Q4.27, which is not `i32::MIN`; gemmlowp's `tanh`.
pub(crate) const fn tanh(a: i32) -> i32 {
    if a == 0 {
        return 0;
    }
    // Twice a number of Q4.27 is the same bits in Q5.26.
    let of_magnitude = one_minus_over_one_plus(exp_on_negative_values::<5>(if a > 0 { -a } else { a }));
    if a > 0 { of_magnitude } else { -of_magnitude }
}

/// `value * 2^by`, saturated; gemmlowp's `SaturatingRoundingMultiplyByPOT`.
const fn saturating_shift_left(value: i32, by: u32) -> i32 {
    let shifted = (value as i64) << by;
    if shifted > i32::MAX as i64 {
        i32::MAX
    } else if shifted < i32::MIN as i64 {
        i32::MIN
    } else {
        shifted as i32
    }
}

/// `exp(x)` of `x` in -16..=0 with a relative error below 1e-12, in constants.
pub(crate) const fn exp(x: f64) -> f64 {
    // The Taylor polynomial of exp(x / 1024), squared ten times.
    let y = x / 1024.0;
    let mut result = 1.0;
    let mut degree = 8;
    while degree > 0 {
        result = 1.0 + y / degree as f64 * result;
        degree -= 1;
    }
    let mut square = 0;
    while square < 10 {
        result *= result;
        square += 1;
    }
    result
}

/// The integer nearest to `x`, halves away from zero, in constants; saturated.
pub(crate) const fn round(x: f64) -> i64 {
    let whole = x as i64;
    let fraction = x - whole as f64;
    if fraction >= 0.5 {
        whole.saturating_add(1)
    } else if fraction <= -0.5 {
        whole.saturating_sub(1)
    } else {
        whole
    }
}

/// `value` saturated to int8.
pub(crate) const fn saturate_i8(value: i64) -> i8 {
    if value < -128 {
        -128
    } else if value > 127 {
        127
    } else {
        value as i8
    }
}

/// `value` saturated to int16.
pub(crate) const fn saturate_i16(value: i64) -> i16 {
    if value < i16::MIN as i64 {
        i16::MIN
    } else if value > i16::MAX as i64 {
        i16::MAX
    } else {
        value as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: f64 = (1u64 << 31) as f64;

    #[test]
    fn the_exponential_is_near_the_exponential() {
        for i in 0..200_000 {
            let a = -i * 10_007;
            // A relative error of the polynomial, and a half for each of eight roundings.
            let near = |result: i32, exact: f64| libm::fabs(result as f64 - exact) <= 3e-7 * exact + 4.5;
            let result = exp_on_negative_values::<5>(a);
            assert!(near(result, libm::exp(a as f64 / (1 << 26) as f64) * ONE), "exp({a}) is not {result}");
            let result = exp_on_negative_values::<4>(a);
            assert!(near(result, libm::exp(a as f64 / (1 << 27) as f64) * ONE), "exp({a}) is not {result}");
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

    #[test]
    fn logistic_and_tanh_are_near_themselves() {
        for i in -100_000..=100_000 {
            let a = i * 20_011;
            let x = a as f64 / (1 << 27) as f64;
            let error = logistic(a) as f64 - ONE / (1.0 + libm::exp(-x));
            assert!(libm::fabs(error) <= 700.0, "logistic({x}) is off by {error} of 2^31");
            let error = tanh(a) as f64 - libm::tanh(x) * ONE;
            assert!(libm::fabs(error) <= 1400.0, "tanh({x}) is off by {error} of 2^31");
        }
    }

    #[test]
    fn the_exponential_of_constants_is_the_exponential() {
        for i in 0..=16_000 {
            let x = i as f64 / -1000.0;
            assert!(libm::fabs(exp(x) / libm::exp(x) - 1.0) < 1e-12, "exp({x})");
        }
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let numbers = [0.5, -0.5, 1.5, -2.5, 0.499_999_999_999_999_94, -3.2, 1e30, -0.0];
        let rounded = [1, -1, 2, -3, 0, -3, i64::MAX, 0];
        for (x, expected) in numbers.into_iter().zip(rounded) {
            assert_eq!(round(x), expected, "{x}");
        }
    }
}
