//! Batch normalization, its folding into convolutions, and local response normalization against arithmetic in `f64`.
//! That every backend gives the bits of the reference is for `conformance`.

use bareconv::kernels::elementwise::{batch_norm, local_response};
use bareconv::{
    BatchNormF32, BatchNormInt8, BatchNormParameters, Conv2dShape, LocalResponse, LocalResponseNormF32,
    LocalResponseNormInt8, Quantization, ShapeError, Tensor, arch::Portable, reference,
};
use proptest::prelude::*;

const CHANNELS: usize = 3;

/// Parameters of the normalization of three channels.
#[derive(Clone, Debug)]
struct Norm {
    gamma: [f32; CHANNELS],
    beta: [f32; CHANNELS],
    mean: [f32; CHANNELS],
    variance: [f32; CHANNELS],
}

impl Norm {
    fn parameters(&self) -> BatchNormParameters<'_> {
        let Self { gamma, beta, mean, variance } = self;
        BatchNormParameters { gamma, beta, mean, variance, epsilon: 1e-3 }
    }

    /// The definition, in `f64`.
    fn exact(&self, channel: usize, x: f64) -> f64 {
        let deviation = (f64::from(self.variance[channel]) + f64::from(1e-3f32)).sqrt();
        f64::from(self.gamma[channel]) * (x - f64::from(self.mean[channel])) / deviation + f64::from(self.beta[channel])
    }
}

fn norms() -> impl Strategy<Value = Norm> {
    let real = || prop::array::uniform3(-4f32..4.0);
    (real(), real(), real(), prop::array::uniform3(0f32..9.0)).prop_map(|(gamma, beta, mean, variance)| Norm {
        gamma,
        beta,
        mean,
        variance,
    })
}

/// A convolution of 4 x 4 pixels of two channels with three filters of 3 x 3.
const SHAPE: Conv2dShape = Conv2dShape::new([4, 4, 2], CHANNELS, [3, 3]).padding(1);
const LINEAR: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

fn convolve(input: &[f32], filters: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; SHAPE.output().iter().product()];
    reference::conv2d_f32(&SHAPE, input, filters, bias, LINEAR, &mut output);
    output
}

/// The same in `f64`, and the sum of the absolute values of all terms.
fn convolve_exactly(input: &[f32], filters: &[f32], bias: &[f32]) -> Vec<[f64; 2]> {
    let mut output = Vec::new();
    for (y, x) in (0..16i64).map(|at| (at / 4, at % 4)) {
        for channel in 0..CHANNELS {
            let mut sum = [f64::from(bias[channel]), f64::from(bias[channel]).abs()];
            for (tap, weight) in filters[channel * 18..(channel + 1) * 18].iter().enumerate() {
                let (row, column) = (y + tap as i64 / 6 - 1, x + tap as i64 / 2 % 3 - 1);
                if (0..4).contains(&row) && (0..4).contains(&column) {
                    let product = f64::from(*weight) * f64::from(input[(row * 4 + column) as usize * 2 + tap % 2]);
                    sum = [sum[0] + product, sum[1] + product.abs()];
                }
            }
            output.push(sum);
        }
    }
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn float_batch_normalization_is_near_its_definition(norm in norms(), values in prop::array::uniform3(-10f32..10.0)) {
        let mut output = Tensor([[values]]);
        BatchNormF32::<CHANNELS>::new(norm.parameters()).run_in_place(output.view_mut());
        for (channel, (output, &x)) in output.as_slice().iter().zip(&values).enumerate() {
            let exact = norm.exact(channel, x.into());
            let scale = norm.parameters().scale(channel).abs();
            // The rounding of scale, shift, product and sum, each at most half a unit of the numbers that they are of.
            let bound = 2.0 * f64::from(f32::EPSILON) * (scale * (10.0 + 4.0) + 4.0);
            prop_assert!((f64::from(*output) - exact).abs() <= bound, "{output} is not {exact}");
        }
    }

    #[test]
    fn a_folded_convolution_is_near_convolution_and_normalization(
        norm in norms(),
        input in prop::collection::vec(-4f32..4.0, 32),
        filters in prop::collection::vec(-1f32..1.0, 54),
        bias in prop::array::uniform3(-1f32..1.0),
    ) {
        let (mut folded_filters, mut folded_bias) = (filters.clone(), bias);
        prop_assert_eq!(norm.parameters().fold(&mut folded_filters, &mut folded_bias), Ok(()));
        let folded = convolve(&input, &folded_filters, &folded_bias);
        for (at, (output, [sum, magnitude])) in folded.iter().zip(convolve_exactly(&input, &filters, &bias)).enumerate() {
            let channel = at % CHANNELS;
            let exact = norm.exact(channel, sum);
            // Each of 18 products and of 18 sums is rounded, weights and bias once before.
            let scale = norm.parameters().scale(channel).abs();
            let magnitude = scale * (magnitude + f64::from(norm.mean[channel]).abs()) + f64::from(norm.beta[channel]).abs();
            prop_assert!((f64::from(*output) - exact).abs() <= 40.0 * f64::from(f32::EPSILON) * magnitude, "{output} is not {exact}");
        }
    }

    /// The rule's promise: scales that are powers of two, no mean and no beta.
    #[test]
    fn a_folded_convolution_has_the_same_bits_where_the_rule_says_so(
        powers in prop::array::uniform3((-6i32..6, any::<bool>())),
        input in prop::collection::vec(-4f32..4.0, 32),
        filters in prop::collection::vec(-1f32..1.0, 54),
        bias in prop::array::uniform3(prop_oneof![-1f32..1.0, Just(0.0), Just(-0.0)]),
    ) {
        let gamma = powers.map(|(power, negative)| 2f32.powi(power) * if negative { -1.0 } else { 1.0 });
        // The variance and epsilon add up to 1/4 exactly; its root is 1/2.
        let zeros = [0.0; CHANNELS];
        let parameters = BatchNormParameters {
            gamma: &gamma, beta: &zeros, mean: &zeros, variance: &[0.125; CHANNELS], epsilon: 0.125,
        };
        let (mut folded_filters, mut folded_bias) = (filters.clone(), bias);
        prop_assert_eq!(parameters.fold(&mut folded_filters, &mut folded_bias), Ok(()));
        let folded = convolve(&input, &folded_filters, &folded_bias);
        let plain = convolve(&input, &filters, &bias);
        let mut apart = vec![0.0; plain.len()];
        let scales = [0, 1, 2].map(|channel| parameters.scale(channel) as f32);
        let shifts = [0, 1, 2].map(|channel| parameters.shift(channel) as f32);
        prop_assert_eq!(scales, gamma.map(|gamma| 2.0 * gamma));
        reference::batch_norm_f32(&scales, &shifts, &plain, &mut apart);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&folded), bits(&apart));
    }

    #[test]
    fn both_orders_of_filters_fold_alike(norm in norms(), filters in prop::collection::vec(-1f32..1.0, 12)) {
        let mut last: Vec<f32> = (0..12).map(|at| filters[at % 3 * 4 + at / 3]).collect();
        let (mut first, mut bias, mut other_bias) = (filters, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]);
        norm.parameters().fold(&mut first, &mut bias).unwrap();
        norm.parameters().fold_channel_last(&mut last, &mut other_bias).unwrap();
        prop_assert_eq!(bias, other_bias);
        prop_assert!((0..12).all(|at| last[at] == first[at % 3 * 4 + at / 3]));
    }

    #[test]
    fn int8_batch_normalization_is_near_its_definition(
        norm in norms(), values in prop::array::uniform3(any::<i8>()), from_zero in any::<i8>(), to_zero in any::<i8>(),
        from_scale in 0.001f32..1.0, to_scale in prop_oneof![0.001f32..1.0, Just(1e-7f32)],
    ) {
        let (from, to) = (Quantization::new(from_scale, from_zero), Quantization::new(to_scale, to_zero));
        let parameters = norm.parameters();
        // A ratio of 10^7 with a factor to match has no multiplier; it is refused.
        let Ok(shift) = parameters.requantization_shift(from, to) else {
            prop_assert!((0..3).any(|c| parameters.scale(c).abs() * f64::from(from_scale / to_scale) > 1e6));
            return Ok(());
        };
        let mut output = Tensor([[values]]);
        BatchNormInt8::<CHANNELS>::new(parameters, from, to).run_in_place(output.view_mut());
        for (channel, (output, &x)) in output.as_slice().iter().zip(&values).enumerate() {
            let real = norm.exact(channel, f64::from(x) * f64::from(from_scale) - f64::from(from_zero) * f64::from(from_scale));
            let exact = (real / f64::from(to_scale) + f64::from(to_zero)).clamp(-128.0, 127.0);
            // Half a step, and half a unit of 2^-shift in the multiplier, which 128 multiply, and in the offset.
            let bound = 0.5 + 129.0 * 0.5f64.powi(shift as i32 + 1) + 1e-6;
            prop_assert!((f64::from(*output) - exact).abs() <= bound, "{output} is not {exact}, shift {shift}");
        }
    }

    #[test]
    fn local_response_normalization_is_near_its_definition(
        values in prop::collection::vec(-4f32..4.0, 20), radius in 0..4usize, alpha in 0f32..2.0,
        beta in prop_oneof![Just(0.5f32), Just(0.75), Just(1.0), -1f32..2.0], k in 0.1f32..3.0,
    ) {
        let norm = LocalResponse::new(2 * radius + 1, alpha, beta, k);
        let channels = 10;
        let exact = |reals: &[f64]| -> Vec<f64> {
            (0..reals.len()).map(|at| {
                let pixel = &reals[at / channels * channels..][..channels];
                let squares = (0..channels).filter(|j| j.abs_diff(at % channels) <= radius).map(|j| pixel[j] * pixel[j]);
                reals[at] / (f64::from(k) + f64::from(alpha) * squares.sum::<f64>()).powf(f64::from(beta))
            }).collect()
        };
        let mut output = vec![0.0; 20];
        reference::local_response_f32(&norm, channels, &values, &mut output);
        let reals: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        for (output, exact) in output.iter().zip(exact(&reals)) {
            // About twenty roundings, all relative: every term of the sum is positive.
            prop_assert!((f64::from(*output) - exact).abs() <= 25.0 * f64::from(f32::EPSILON) * exact.abs());
        }

        let (from, to) = (Quantization::new(0.03, -7), Quantization::new(0.02, 11));
        let steps: Vec<i8> = values.iter().map(|&x| from.quantize(x)).collect();
        let mut output = vec![0; 20];
        reference::local_response_i8(&reference::LocalResponseInt8::new(norm, from, to), channels, &steps, &mut output);
        let reals: Vec<f64> = steps.iter().map(|&x| f64::from(x) * f64::from(0.03f32) + 7.0 * f64::from(0.03f32)).collect();
        for (output, exact) in output.iter().zip(exact(&reals)) {
            let exact = (exact / f64::from(0.02f32) + 11.0).clamp(-128.0, 127.0);
            prop_assert!((f64::from(*output) - exact).abs() <= 0.5 + 1e-2, "{output} is not {exact}");
        }
    }
}

#[test]
fn extreme_shifts_saturate() {
    for (beta, expected) in [(f32::MAX, 127), (f32::MIN, -128), (1e6, 127), (-1e6, -128)] {
        let norm = BatchNormParameters { gamma: &[1e-3], beta: &[beta], mean: &[0.0], variance: &[1.0], epsilon: 0.0 };
        let layer = BatchNormInt8::<1>::new(norm, Quantization::new(1.0, 0), Quantization::new(1.0, 0));
        let mut values = Tensor([[[-128], [0], [127]]]);
        layer.run_in_place(values.view_mut());
        assert_eq!(values, Tensor([[[expected]; 3]]));
    }
}

#[test]
fn layers_are_the_reference() {
    const NORM: BatchNormParameters<'static> = BatchNormParameters {
        gamma: &[1.5, -0.5, 0.25],
        beta: &[0.5, 0.0, -1.0],
        mean: &[2.0, 1.0, 0.0],
        variance: &[4.0, 9.0, 0.3],
        epsilon: 1e-3,
    };
    const FROM: Quantization = Quantization::new(0.05, -3);
    const TO: Quantization = Quantization::new(0.04, 10);
    const FLOAT: BatchNormF32<3> = BatchNormF32::new(NORM);
    const INT8: BatchNormInt8<3> = BatchNormInt8::new(NORM, FROM, TO);
    const RESPONSE: LocalResponseNormF32 = LocalResponseNormF32::new(LocalResponse::ALEXNET);
    const RESPONSE_INT8: LocalResponseNormInt8 = LocalResponseNormInt8::new(LocalResponse::ALEXNET, FROM, TO);

    let bytes = Tensor::<i8, 2, 2, 3>([[[1, 2, 3], [-128, 127, 0]], [[50, -60, 70], [-128, -128, 127]]]);
    let mut floats = Tensor::<f32, 2, 2, 3>::filled(0.0);
    floats.as_mut_slice().iter_mut().zip(bytes.as_slice()).for_each(|(float, &byte)| *float = f32::from(byte) / 7.0);

    let (mut output, mut expected) = (Tensor::filled(9.0), Tensor::filled(8.0));
    FLOAT.run(floats.view(), output.view_mut());
    let [scales, shifts] = [[0, 1, 2].map(|c| NORM.scale(c) as f32), [0, 1, 2].map(|c| NORM.shift(c) as f32)];
    reference::batch_norm_f32(&scales, &shifts, floats.as_slice(), expected.as_mut_slice());
    assert_eq!(output, expected);
    RESPONSE.run(floats.view(), output.view_mut());
    reference::local_response_f32(&LocalResponse::ALEXNET, 3, floats.as_slice(), expected.as_mut_slice());
    assert_eq!(output, expected);

    let (mut output, mut expected) = (Tensor::filled(9), Tensor::filled(8));
    INT8.run(bytes.view(), output.view_mut());
    let shift = NORM.requantization_shift(FROM, TO).unwrap();
    let parameters = [0, 1, 2].map(|c| NORM.requantization(c, FROM, TO, shift));
    reference::batch_norm_i8(&parameters, shift, bytes.as_slice(), expected.as_mut_slice());
    assert_eq!(output, expected);
    RESPONSE_INT8.run(bytes.view(), output.view_mut());
    let norm = reference::LocalResponseInt8::new(LocalResponse::ALEXNET, FROM, TO);
    reference::local_response_i8(&norm, 3, bytes.as_slice(), expected.as_mut_slice());
    assert_eq!(output, expected);
}

#[test]
fn parameters_that_break_a_rule_are_refused() {
    let good =
        BatchNormParameters { gamma: &[1.0, 1.0], beta: &[0.0; 2], mean: &[0.0; 2], variance: &[1.0; 2], epsilon: 0.0 };
    assert_eq!(good.check(2), Ok(()));
    assert_eq!(good.check(3), Err(ShapeError::Channels));
    assert_eq!(BatchNormParameters { mean: &[0.0], ..good }.check(2), Err(ShapeError::Channels));
    assert_eq!(BatchNormParameters { variance: &[1.0, 0.0], ..good }.check(2), Err(ShapeError::Scale));
    assert_eq!(BatchNormParameters { variance: &[1.0, f32::NAN], ..good }.check(2), Err(ShapeError::Scale));
    assert_eq!(BatchNormParameters { gamma: &[1.0, f32::INFINITY], ..good }.check(2), Err(ShapeError::Scale));
    assert_eq!(good.fold(&mut [0.0; 5], &mut [0.0; 2]), Err(ShapeError::Filters));
    assert_eq!(good.fold(&mut [0.0; 6], &mut [0.0; 3]), Err(ShapeError::Channels));
    let q = Quantization::new(1.0, 0);
    assert_eq!(good.requantization_shift(q, q), Ok(20));
    assert_eq!(good.requantization_shift(Quantization::new(2e6, 0), q), Err(ShapeError::Scale));
    assert_eq!(good.requantization_shift(q, Quantization::new(0.0, 0)), Err(ShapeError::Scale));

    let norm = LocalResponse::ALEXNET;
    let run = local_response::local_response_f32::<Portable>;
    assert_eq!(run(&norm, 0, &[], &mut []), Err(ShapeError::Channels));
    assert_eq!(run(&norm, 2, &[0.0; 3], &mut [0.0; 3]), Err(ShapeError::Input));
    assert_eq!(run(&norm, 2, &[0.0; 4], &mut [0.0; 2]), Err(ShapeError::Output));
    let run = batch_norm::batch_norm_i8::<Portable>;
    assert_eq!(run(&[], 20, None, &mut []), Err(ShapeError::Channels));
    assert_eq!(run(&[[1, 1]; 2], 20, None, &mut [0; 3]), Err(ShapeError::Output));
    assert_eq!(run(&[[1, 1]; 2], 20, Some(&[0; 4]), &mut [0; 2]), Err(ShapeError::Output));
}

/// The approximation of micromath's: how far it is from the exact layer, as its documentation says.
#[cfg(feature = "micromath")]
#[test]
fn the_approximation_is_as_near_as_documented() {
    use bareconv::Approximate;
    for (beta, documented) in [(0.5, 6e-6), (0.75, 1.3e-5), (1.0, 2e-7), (0.6, 3e-3)] {
        let layer = LocalResponseNormF32::new(LocalResponse::new(5, 0.02, beta, 2.0));
        let mut largest = 0.0f64;
        let mut state = 1u32;
        for _ in 0..20_000 {
            let mut input = Tensor::<f32, 1, 1, 16>::filled(0.0);
            for x in input.as_mut_slice() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *x = (state >> 8) as f32 / (1 << 24) as f32 * 2.0f32.powi((state >> 28) as i32 - 6);
            }
            let (mut exact, mut estimate) = (input, input);
            layer.run(input.view(), exact.view_mut());
            Approximate(layer).estimate(input.view(), estimate.view_mut());
            for (&exact, &estimate) in exact.as_slice().iter().zip(estimate.as_slice()) {
                if exact != 0.0 {
                    largest = largest.max((f64::from(estimate) / f64::from(exact) - 1.0).abs());
                }
            }
        }
        println!("power {beta}: relative error {largest:.2e}");
        assert!(largest <= documented && largest > documented / 10.0, "power {beta}: {largest:e}");
    }
}
