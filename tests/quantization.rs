//! Requantization against exact arithmetic in `i128` and `f64`.

use bareconv::quant::{
    CommonRequantization, Multiplier, Rounding, multiply_by_quantized_multiplier, rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_mul,
};
use bareconv::{
    Activation, DoubleRounding, Int8Filters, PowerOfTwo, Quantization, ReducedRounding, SingleRounding, pack,
};
use proptest::prelude::*;

/// `numerator / denominator` to the nearest integer, halves away from zero.
fn divide_half_away(numerator: i128, denominator: i128) -> i128 {
    let magnitude = (2 * numerator.abs() + denominator) / (2 * denominator);
    magnitude * numerator.signum()
}

/// `numerator / denominator` to the nearest integer, halves upwards.
fn divide_half_up(numerator: i128, denominator: i128) -> i128 {
    (2 * numerator + denominator).div_euclid(2 * denominator)
}

/// All of `i32`, its ends more often.
fn words() -> impl Strategy<Value = i32> {
    prop_oneof![4 => any::<i32>(), 1 => prop::sample::select(vec![i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX])]
}

/// Accumulators as large as a layer's can be, and the real multipliers that layers have.
fn requantizations() -> impl Strategy<Value = (i32, f64, i8)> {
    (prop_oneof![-2_000_000..2_000_000i32, words()], (-30.0..4.0f64).prop_map(f64::exp2), any::<i8>())
}

fn common_and_parameters<R: Rounding>(real: f64, zero_point: i8) -> (CommonRequantization, Vec<u32>, f64) {
    // The scale that gives this multiplier, and the multiplier that this scale really gives.
    let scale = real as f32;
    let one = Quantization::new(1.0, zero_point);
    let numbers = Int8Filters {
        filters: &[],
        bias: &[],
        scales: &[scale],
        input: one,
        output: one,
        activation: Activation::Identity,
    };
    let common = pack::common_requantization(&numbers, R::MODE);
    let mut parameters = vec![0; R::WORDS];
    pack::requantization_parameters(&numbers, R::MODE, &common, 0, &mut parameters);
    (common, parameters, f64::from(scale))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_multiplier_is_the_nearest_with_31_bits(exponent in -31.0..29.9f64) {
        let real = exponent.exp2();
        let Multiplier { multiplier, exponent } = Multiplier::from_real(real);
        prop_assert!((1 << 30..=i32::MAX).contains(&multiplier));
        let unit = f64::from(exponent - 31).exp2();
        prop_assert!((f64::from(multiplier) * unit - real).abs() <= unit / 2.0);
    }

    #[test]
    fn the_high_product_rounds_halves_upwards(a in words(), b in words()) {
        let exact = divide_half_up(i128::from(a) * i128::from(b), 1 << 31);
        prop_assert_eq!(i128::from(saturating_rounding_doubling_high_mul(a, b)), exact.min(i128::from(i32::MAX)));
    }

    #[test]
    fn division_by_a_power_of_two_rounds_halves_away(value in words(), exponent in 0..=31u32) {
        let exact = divide_half_away(i128::from(value), 1 << exponent);
        prop_assert_eq!(i128::from(rounding_divide_by_power_of_two(value, exponent)), exact);
    }

    #[test]
    fn single_rounding_is_one_exact_rounding((accumulator, real, zero_point) in requantizations()) {
        let (common, parameters, _) = common_and_parameters::<SingleRounding>(real, zero_point);
        let product = i128::from(accumulator) * i128::from(parameters[0]);
        let exact = divide_half_up(product, 1 << common.shift) + i128::from(zero_point);
        let exact = exact.clamp(-128, 127) as i8;
        prop_assert_eq!(common.clamp(SingleRounding::scale(accumulator, &parameters, &common)), exact);
    }

    #[test]
    fn reduced_rounding_is_one_exact_rounding((accumulator, real, zero_point) in requantizations()) {
        let (common, parameters, real) = common_and_parameters::<ReducedRounding>(real, zero_point);
        let Multiplier { multiplier, exponent } = Multiplier::from_real(real);
        let reduced = ((i128::from(multiplier) + (1 << 15)) >> 16).min(0x7fff);
        let exact = divide_half_up(i128::from(accumulator) * reduced, 1i128 << (15 - exponent));
        // What packing refuses.
        prop_assume!(i32::try_from(exact).is_ok());
        let exact = (exact + i128::from(zero_point)).clamp(-128, 127) as i8;
        prop_assert_eq!(common.clamp(ReducedRounding::scale(accumulator, &parameters, &common)), exact);
        prop_assert_eq!(common.shift, u32::from(exponent < -1));
    }

    #[test]
    fn power_of_two_rounding_is_one_exact_rounding(accumulator in words(), shift in 0..24u32, zero_point: i8) {
        let real = 1.0 / f64::from(1 << shift);
        let (common, parameters, _) = common_and_parameters::<PowerOfTwo>(real, zero_point);
        let exact = divide_half_up(i128::from(accumulator), 1 << shift) + i128::from(zero_point);
        let exact = exact.clamp(-128, 127) as i8;
        prop_assert_eq!(common.clamp(PowerOfTwo::scale(accumulator, &parameters, &common)), exact);
        // The form that kernels use, whose bias holds the rest.
        let scale = [real as f32];
        let q = Quantization::new(1.0, 0);
        let output = Quantization::new(1.0, zero_point);
        let activation = Activation::Identity;
        let numbers = Int8Filters { filters: &[], bias: &[0], scales: &scale, input: q, output, activation };
        let folded = accumulator.checked_add(pack::folded_term(&numbers, PowerOfTwo::MODE, 0));
        if let Some(folded) = folded {
            prop_assert_eq!(common.clamp(PowerOfTwo::scale_folded(folded, &parameters, &common)), exact);
        }
    }

    #[test]
    fn both_roundings_are_within_a_unit_of_real_arithmetic((accumulator, real, zero_point) in requantizations()) {
        let (common, parameters, real) = common_and_parameters::<SingleRounding>(real, zero_point);
        let exact = f64::from(accumulator) * real + f64::from(zero_point);
        let single = common.clamp(SingleRounding::scale(accumulator, &parameters, &common));
        prop_assert!((f64::from(single) - exact.clamp(-128.0, 127.0)).abs() <= 0.5 + 1e-5);
        // Left of the point, TensorFlow Lite's shift wraps for accumulators that no layer reaches.
        if real < 1.0 {
            let (common, parameters, _) = common_and_parameters::<DoubleRounding>(real, zero_point);
            let double = common.clamp(DoubleRounding::scale(accumulator, &parameters, &common));
            prop_assert!((f64::from(double) - exact.clamp(-128.0, 127.0)).abs() <= 1.0 + 1e-5);
        }
    }
}

#[test]
fn channels_share_a_shift_and_keep_their_ratio() {
    let q = Quantization::new(0.5, 3);
    let scales = [0.01, 0.000_02, 0.007];
    let numbers =
        Int8Filters { filters: &[], bias: &[], scales: &scales, input: q, output: q, activation: Activation::Relu };
    let common = pack::common_requantization(&numbers, SingleRounding::MODE);
    assert_eq!((common.low, common.high), (3, 127));
    for (o, scale) in scales.iter().enumerate() {
        let mut word = [0];
        pack::requantization_parameters(&numbers, SingleRounding::MODE, &common, o, &mut word);
        let real = f64::from(word[0]) / f64::from(common.shift).exp2();
        assert!((real - f64::from(*scale)).abs() < 1e-10, "{real} {scale}");
    }
}

/// The double rounding that a layer meets: TensorFlow Lite's own examples of the two steps, worked by hand.
#[test]
fn the_two_roundings_of_tensorflow_lite() {
    // 3 * 0.5 = 1.5 rounds to 2, then 2 / 4 = 0.5 rounds to 1; in one rounding 3 / 8 would be 0.
    let by = Multiplier { multiplier: 1 << 30, exponent: -2 };
    assert_eq!(multiply_by_quantized_multiplier(3, by), 1);
    // -3 * 0.5 = -1.5 rounds to -1 (a negative half goes up), then -1 / 4 = -0.25 to 0.
    assert_eq!(multiply_by_quantized_multiplier(-3, by), 0);
    // A shift to the left: 5 * 2 * 0.75.
    assert_eq!(multiply_by_quantized_multiplier(5, Multiplier { multiplier: 3 << 29, exponent: 1 }), 8);
}
