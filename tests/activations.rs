//! Activations, softmax and rankings: the reference gives the bits of TensorFlow Lite Micro where it has the operator, and
//! is near the function in `f64` everywhere; every backend and every layer gives the bits of the reference.

mod conformance;
mod golden;

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::activation;
use bareconv::{
    HardSigmoidF32, HardSwishF32, Int8Table, LeakyReluInt16, PReluF32, PReluInt8, PReluInt16, Quantization, Relu,
    Relu6, ShapeError, SigmoidF32, SigmoidInt16, SoftmaxInt16, TanhF32, TanhInt16, Tensor, View, ViewMut, argmax,
    reference, top_k,
};
use golden::{Case, cases};
use proptest::prelude::*;

// ---- The reference against TensorFlow Lite Micro ----

fn quantization(case: &Case, of: &str) -> Quantization {
    Quantization::new(case.value(&format!("{of}_scale")), case.value(&format!("{of}_zero_point")))
}

#[test]
fn int8_functions_are_those_of_tflite_micro() {
    let mut seen = Vec::new();
    for case in cases(include_str!("golden/activations.txt")) {
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        assert_eq!(input.len(), 256);
        let (from, to) = (quantization(&case, "input"), quantization(&case, "output"));
        let mut output = vec![99; 256];
        let operator = case.name.split(' ').next().unwrap().to_owned();
        let table = match operator.as_str() {
            "LOGISTIC" => {
                assert_eq!(to, Int8Table::SIGMOID_OUTPUT);
                reference::sigmoid_i8(from, &input, &mut output);
                Int8Table::sigmoid(from)
            }
            "TANH" => {
                assert_eq!(to, Int8Table::TANH_OUTPUT);
                reference::tanh_i8(from, &input, &mut output);
                Int8Table::tanh(from)
            }
            "HARD_SWISH" => {
                reference::hard_swish_i8(from, to, &input, &mut output);
                Int8Table::hard_swish(from, to)
            }
            "RELU" => {
                reference::leaky_relu_i8(0.0, from, to, &input, &mut output);
                Int8Table::relu(from, to)
            }
            "RELU6" => {
                reference::relu6(from.zero_point, reference::six_i8(from), &input, &mut output);
                let mut values = input.clone();
                Relu6::int8(from).run_in_place(ViewMut::<i8, 1, 1, 256>::from_slice(&mut values).unwrap());
                assert_eq!(values, expected, "the layer, {}", case.name);
                Int8Table::relu6(from, to)
            }
            other => panic!("{other}"),
        };
        assert_eq!(output, expected, "{}", case.name);
        table.run(View::<i8, 1, 1, 256>::from_slice(&input).unwrap(), ViewMut::from_slice(&mut output).unwrap());
        assert_eq!(output, expected, "the table, {}", case.name);
        assert!(input.iter().map(|&x| table.apply(x)).eq(expected), "{}", case.name);
        seen.push(operator);
    }
    seen.dedup();
    assert_eq!(seen, ["LOGISTIC", "TANH", "HARD_SWISH", "RELU", "RELU6"]);
}

#[test]
fn int16_functions_are_those_of_tflite_micro() {
    let mut seen = std::collections::HashSet::new();
    for case in cases(include_str!("golden/activations_int16.txt")) {
        let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        let (from, to) = (case.value("input_scale"), case.value("output_scale"));
        let mut output = vec![99; input.len()];
        let operator = case.name.split(' ').next().unwrap().to_owned();
        match operator.as_str() {
            "LOGISTIC" => reference::sigmoid_i16(from, &input, &mut output),
            "TANH" => reference::tanh_i16(from, &input, &mut output),
            "RELU" => reference::leaky_relu_i16(0.0, [from, to], &input, &mut output),
            "LEAKY_RELU" => reference::leaky_relu_i16(case.value("slope"), [from, to], &input, &mut output),
            "RELU6" => reference::relu6(0, reference::six_i16(from), &input, &mut output),
            other => panic!("{other}"),
        }
        assert_eq!(output, expected, "{}", case.name);
        seen.insert(operator);
    }
    assert_eq!(seen.len(), 5);
}

#[test]
fn prelu_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/prelu.txt")) {
        let slopes: Vec<i8> = case.values("slopes");
        let of_slopes = quantization(&case, "slope");
        if case.name.starts_with("int8") {
            let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
            let mut output = vec![99; input.len()];
            let (from, to) = (quantization(&case, "input"), quantization(&case, "output"));
            reference::prelu_i8(&slopes, of_slopes, from, to, &input, &mut output);
            assert_eq!(output, expected, "{}", case.name);
        } else {
            let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
            let mut output = vec![99; input.len()];
            let scales = [case.value("input_scale"), case.value("output_scale")];
            reference::prelu_i16(&slopes, of_slopes, scales, &input, &mut output);
            assert_eq!(output, expected, "{}", case.name);
        }
    }
}

#[test]
fn int16_softmax_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/softmax_int16.txt")) {
        let channels = case.value("channels");
        let parameters = reference::SoftmaxParametersInt16::new(case.value("input_scale"), case.value("beta"));
        let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        for (pixel, expected) in input.chunks(channels).zip(expected.chunks(channels)) {
            let mut output = vec![0; channels];
            reference::softmax_i16(&parameters, pixel, &mut output);
            assert_eq!(output, expected, "{}: {pixel:?}", case.name);
        }
    }
}

// ---- The reference against mathematics in f64 ----

/// Any int8 value, extremes often.
fn int8() -> impl Strategy<Value = i8> + Clone {
    prop_oneof![2 => any::<i8>(), 1 => prop::sample::select(vec![-128, -127, -1, 0, 1, 127])]
}

/// Any int16 value, extremes often.
fn int16() -> impl Strategy<Value = i16> + Clone {
    prop_oneof![2 => any::<i16>(), 1 => prop::sample::select(vec![-32768, -32767, -1, 0, 1, 32767])]
}

/// Any `f32`, special ones often.
fn float() -> impl Strategy<Value = f32> + Clone {
    let special =
        [0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    prop_oneof![4 => -20f32..20f32, 1 => any::<f32>(), 1 => prop::sample::select(special.to_vec())]
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Bits of numbers, all NaNs being the same.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 2000 }))]

    #[test]
    fn int8_sigmoid_and_tanh_are_near_themselves(scale in 1e-4f32..2.0, zero in int8(), x in int8()) {
        let from = Quantization::new(scale, zero);
        let real = f64::from(scale) * (f64::from(x) - f64::from(zero));
        let exact = (256.0 * sigmoid(real) - 128.0).min(127.0);
        let output = f64::from(Int8Table::sigmoid(from).apply(x));
        prop_assert!((output - exact).abs() < 0.51, "sigmoid({real}): {output} is not {exact}");
        let exact = (128.0 * real.tanh()).min(127.0);
        let output = f64::from(Int8Table::tanh(from).apply(x));
        prop_assert!((output - exact).abs() < 0.51, "tanh({real}): {output} is not {exact}");
    }

    #[test]
    fn int16_sigmoid_and_tanh_are_near_themselves(scale in 1e-6f32..2.6, x in int16()) {
        let real = f64::from(scale) * f64::from(x);
        let (mut s, mut t) = ([0], [0]);
        reference::sigmoid_i16(scale, &[x], &mut s);
        reference::tanh_i16(scale, &[x], &mut t);
        // The factor of the place has 14 bits or more, and x f'(x) is at most 0.23 or 0.45; the place is rounded to
        // 1/12288, beyond 10.625 (or half) comes the limit, and interpolation and rounding err by less than a step each.
        let exact = 32768.0 * sigmoid(real);
        prop_assert!((f64::from(s[0]) - exact).abs() < 4.0, "sigmoid({real}): {} is not {exact}", s[0]);
        let exact = 32768.0 * real.tanh();
        prop_assert!((f64::from(t[0]) - exact).abs() < 7.0, "tanh({real}): {} is not {exact}", t[0]);
    }

    #[test]
    fn int8_hard_swish_is_near_hard_swish(
        from_scale in 0.01f32..0.5, from_zero in int8(), ratio in 0.05f32..20.0, to_zero in int8(), x in int8(),
    ) {
        let (from, to) = (Quantization::new(from_scale, from_zero), Quantization::new(from_scale * ratio, to_zero));
        let real = f64::from(from_scale) * (f64::from(x) - f64::from(from_zero));
        let exact = real * (real + 3.0).clamp(0.0, 6.0) / 6.0 / f64::from(to.scale) + f64::from(to_zero);
        let exact = exact.clamp(-128.0, 127.0);
        let output = f64::from(Int8Table::hard_swish(from, to).apply(x));
        // Multipliers of 15 bits: a relative error of 2^-15 each of up to 255 / 0.05 steps, and the roundings.
        prop_assert!((output - exact).abs() < 1.3, "{output} is not {exact}");
    }

    #[test]
    fn int8_hard_sigmoid_is_the_rounded_hard_sigmoid(
        alpha in -1f32..1.0, beta in -1f32..2.0, scale in 1e-3f32..1.0, zero in int8(), to_scale in 1e-3f32..0.5,
        to_zero in int8(), x in int8(),
    ) {
        let (from, to) = (Quantization::new(scale, zero), Quantization::new(to_scale, to_zero));
        let real = f64::from(scale) * (f64::from(x) - f64::from(zero));
        let exact = (f64::from(alpha) * real + f64::from(beta)).clamp(0.0, 1.0) / f64::from(to_scale) + f64::from(to_zero);
        let output = f64::from(Int8Table::hard_sigmoid(HardSigmoidF32::new(alpha, beta), from, to).apply(x));
        prop_assert!((output - exact.clamp(-128.0, 127.0)).abs() < 0.500_001, "{output} is not {exact}");
    }

    #[test]
    fn float_functions_are_near_themselves(x in prop_oneof![-30f32..30.0, -120f32..120.0]) {
        let real = f64::from(x);
        let of = |function: fn(&[f32], &mut [f32])| {
            let mut output = [0.0];
            function(&[x], &mut output);
            f64::from(output[0])
        };
        let near = |output: f64, exact: f64, roundings: f64| {
            (output - exact).abs() <= roundings * f64::from(f32::EPSILON) * exact.abs() + 1.2e-38
        };
        let output = of(reference::sigmoid_f32);
        prop_assert!(near(output, sigmoid(real), 2.0), "sigmoid({x}): {output}");
        let output = of(reference::tanh_f32);
        prop_assert!(near(output, real.tanh(), 1.5), "tanh({x}): {output}");
        let output = of(reference::hard_swish_f32);
        // x + 3 is rounded before it is multiplied with up to 3.
        let exact = real * (real + 3.0).clamp(0.0, 6.0) / 6.0;
        prop_assert!((output - exact).abs() <= 3e-7 * (1.0 + exact.abs()), "hard swish of {x}: {output}");
        let output = of(|x, out| reference::hard_sigmoid_f32(1.0 / 6.0, 0.5, x, out));
        let exact = (real + 3.0).clamp(0.0, 6.0) / 6.0;
        prop_assert!((output - exact).abs() <= 1.5e-7, "hard sigmoid of {x}: {output}");
    }

    #[test]
    fn int16_softmax_is_near_softmax(input in prop::collection::vec(int16(), 1..40), scale in 1e-5f32..1.0) {
        let mut output = vec![0; input.len()];
        reference::softmax_i16(&reference::SoftmaxParametersInt16::new(scale, 1.0), &input, &mut output);
        let largest = f64::from(*input.iter().max().unwrap());
        let powers: Vec<f64> = input.iter().map(|&x| ((f64::from(x) - largest) * f64::from(scale)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (&output, power) in output.iter().zip(&powers) {
            let exact = 32768.0 * power / sum;
            // Each exponential is off by up to 2 of 32768, or by exp(-10), which is 1.5; so is their sum's reciprocal.
            let bound = 4.0 + 4.0 * input.len() as f64 * power / (sum * sum);
            prop_assert!((f64::from(output) - exact).abs() < bound, "{output} is not {exact}");
        }
    }

    #[test]
    fn int16_leaky_relu_and_prelu_are_near_themselves(
        slope in -2f32..2.0, from in 1e-4f32..1.0, ratio in 0.1f32..10.0, x in int16(), steps in int8(), zero in int8(),
    ) {
        let to = from * ratio;
        let mut output = [0];
        let quotient = f64::from(x) * f64::from(from) / f64::from(to);
        reference::leaky_relu_i16(slope, [from, to], &[x], &mut output);
        let exact = (quotient * if x < 0 { f64::from(slope) } else { 1.0 }).clamp(-32768.0, 32767.0);
        prop_assert!((f64::from(output[0]) - exact).abs() < 0.751, "{} is not {exact}", output[0]);
        let slopes = Quantization::new(0.01, zero);
        reference::prelu_i16(&[steps], slopes, [from, to], &[x], &mut output);
        let factor = (f64::from(steps) - f64::from(zero)) * f64::from(slopes.scale);
        let exact = (quotient * if x < 0 { factor } else { 1.0 }).clamp(-32768.0, 32767.0);
        prop_assert!((f64::from(output[0]) - exact).abs() < 0.751, "{} is not {exact}", output[0]);
    }

    #[test]
    fn top_k_is_the_head_of_a_stable_sort(values in prop::collection::vec(prop_oneof![-3i8..3, int8()], 8), floats in prop::collection::vec(float(), 8)) {
        let mut sorted: Vec<(usize, i8)> = values.iter().copied().enumerate().collect();
        sorted.sort_by_key(|entry| std::cmp::Reverse(entry.1));
        let mut ranking = [(99, 0); 5];
        prop_assert_eq!(reference::top_k(&values, &mut ranking), 5);
        prop_assert_eq!(&ranking[..], &sorted[..5]);
        let view = View::<i8, 1, 1, 8>::from_slice(&values).unwrap();
        prop_assert_eq!(&top_k::<5, _, _>(view)[..], &sorted[..5]);
        prop_assert_eq!(top_k::<1, _, _>(view)[0].0, argmax(view));
        prop_assert_eq!(top_k::<0, _, _>(view).len(), 0);
        prop_assert_eq!(&top_k::<8, _, _>(view)[..], &sorted[..]);
        let mut longer = [(99, 0); 10];
        prop_assert_eq!(reference::top_k(&values, &mut longer), 8);
        prop_assert_eq!((&longer[..8], longer[8]), (&sorted[..], (99, 0)));

        // A NaN is below every number.
        let mut sorted: Vec<(usize, f32)> = floats.iter().copied().enumerate().collect();
        sorted.sort_by(|a, b| match (a.1.is_nan(), b.1.is_nan()) {
            (false, false) => b.1.partial_cmp(&a.1).unwrap(),
            (a, b) => a.cmp(&b),
        });
        let places = |ranking: &[(usize, f32)]| ranking.iter().map(|entry| entry.0).collect::<Vec<_>>();
        let mut ranking = [(99, 0.0); 6];
        reference::top_k(&floats, &mut ranking);
        prop_assert_eq!(places(&ranking), places(&sorted[..6]));
        let view = View::<f32, 1, 1, 8>::from_slice(&floats).unwrap();
        prop_assert_eq!(places(&top_k::<6, _, _>(view)), places(&sorted[..6]));
    }
}

#[test]
fn special_numbers_are_treated_as_stated() {
    const INF: f32 = f32::INFINITY;
    let input = [-0.0, f32::NAN, -INF, INF, 6.0, 7.0, -1e-45];
    let mut output = [9.0; 7];
    reference::relu6(0.0, 6.0, &input, &mut output);
    assert_eq!(bits(&output), bits(&[-0.0, f32::NAN, 0.0, 6.0, 6.0, 6.0, 0.0]));
    reference::hard_swish_f32(&input, &mut output);
    assert_eq!(bits(&output[..6]), bits(&[-0.0, f32::NAN, f32::NAN, INF, 6.0, 7.0]));
    reference::hard_sigmoid_f32(0.2, 0.5, &input, &mut output);
    assert_eq!(bits(&output), bits(&[0.5, f32::NAN, 0.0, 1.0, 1.0, 1.0, 0.5]));
    reference::sigmoid_f32(&input, &mut output);
    assert_eq!(bits(&output[..4]), bits(&[0.5, f32::NAN, 0.0, 1.0]));
    reference::tanh_f32(&input, &mut output);
    assert_eq!(bits(&output[..4]), bits(&[-0.0, f32::NAN, -1.0, 1.0]));
    reference::prelu_f32(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &input, &mut output);
    assert_eq!(bits(&output), bits(&[-0.0, f32::NAN, -INF, INF, 6.0, 7.0, -1e-45 * 8.0]));
}

/// All int16 values: the functions are monotonic, and odd but for rounding.
#[test]
fn int16_functions_are_monotonic() {
    let input: Vec<i16> = (-32768..=32767).collect();
    let mut output = vec![0; input.len()];
    for scale in [1.0 / 4096.0, 1.0 / 2048.0, 0.001, 2.6, 1e-9] {
        for function in [reference::sigmoid_i16, reference::tanh_i16] {
            function(scale, &input, &mut output);
            assert!(output.is_sorted(), "scale {scale}");
        }
    }
}

// ---- Every backend against the reference ----

/// Runs a check on every backend of this machine.
macro_rules! on_every_backend {
    ($check:ident($($argument:expr),*)) => {{
        $check::<Portable>($($argument),*)?;
        #[cfg(target_arch = "x86_64")]
        if bareconv::arch::Avx2::available() {
            $check::<bareconv::arch::Avx2>($($argument),*)?;
        }
    }};
}

fn int16_on<B: Backend>(input: &[i16], scale: f32, slope: f32) -> Result<(), TestCaseError> {
    let (mut output, mut expected) = (vec![7; input.len()], vec![9; input.len()]);
    let mut values = input.to_vec();
    macro_rules! check {
        ($name:ident, $in_place:ident, $($argument:expr),*) => {
            reference::$name($($argument,)* input, &mut expected);
            prop_assert_eq!(activation::$name::<B>($($argument,)* input, &mut output), Ok(()));
            prop_assert_eq!(&output, &expected, "{}, {}", stringify!($name), B::NAME);
            values.copy_from_slice(input);
            activation::$in_place::<B>($($argument,)* &mut values);
            prop_assert_eq!(&values, &expected, "{} in place, {}", stringify!($name), B::NAME);
        };
    }
    check!(sigmoid_i16, sigmoid_i16_in_place, scale);
    check!(tanh_i16, tanh_i16_in_place, scale);
    check!(leaky_relu_i16, leaky_relu_i16_in_place, slope, [scale, 0.7 * scale]);
    reference::relu6(0, 99, input, &mut expected);
    prop_assert_eq!(activation::relu6::<B, i16>(0, 99, input, &mut output), Ok(()));
    prop_assert_eq!(&output, &expected);
    activation::relu6_in_place::<B, i16>(0, 99, &mut output);
    prop_assert_eq!(&output, &expected);
    Ok(())
}

fn floats_on<B: Backend>(input: &[f32], alpha: f32, beta: f32) -> Result<(), TestCaseError> {
    let (mut output, mut expected) = (vec![7.0; input.len()], vec![9.0; input.len()]);
    let mut values = input.to_vec();
    macro_rules! check {
        ($name:ident $(::<$generic:ident>)?, $in_place:ident, $($argument:expr),*) => {
            reference::$name($($argument,)* input, &mut expected);
            prop_assert_eq!(activation::$name::<B $(, $generic)?>($($argument,)* input, &mut output), Ok(()));
            prop_assert_eq!(bits(&output), bits(&expected), "{}, {}", stringify!($name), B::NAME);
            values.copy_from_slice(input);
            activation::$in_place::<B $(, $generic)?>($($argument,)* &mut values);
            prop_assert_eq!(bits(&values), bits(&expected), "{} in place, {}", stringify!($name), B::NAME);
        };
    }
    check!(hard_swish_f32, hard_swish_f32_in_place,);
    check!(hard_sigmoid_f32, hard_sigmoid_f32_in_place, alpha, beta);
    check!(relu6::<f32>, relu6_in_place, 0.0, 6.0);
    for channels in [1, 3, 4, 9] {
        let slopes: Vec<f32> = (0..channels).map(|c| alpha * c as f32).collect();
        let len = input.len() / channels * channels;
        reference::prelu_f32(&slopes, &input[..len], &mut expected[..len]);
        prop_assert_eq!(activation::prelu_f32::<B>(&slopes, &input[..len], &mut output[..len]), Ok(()));
        prop_assert_eq!(bits(&output[..len]), bits(&expected[..len]), "PReLU, {}", B::NAME);
        values.copy_from_slice(input);
        prop_assert_eq!(activation::prelu_f32_in_place::<B>(&slopes, &mut values[..len]), Ok(()));
        prop_assert_eq!(bits(&values[..len]), bits(&expected[..len]), "PReLU in place, {}", B::NAME);
    }
    Ok(())
}

fn prelu_on<B: Backend>(
    bytes: &[i8],
    halves: &[i16],
    slopes: &[i8],
    zero: i8,
    [from, to]: [f32; 2],
) -> Result<(), TestCaseError> {
    let of_slopes = Quantization::new(0.02, zero);
    let centered: Vec<i16> = slopes.iter().map(|&slope| i16::from(slope) - i16::from(zero)).collect();
    let len = bytes.len() / slopes.len() * slopes.len();
    let (mut output, mut expected) = (vec![7; len], vec![9; len]);
    let ends = [Quantization::new(from, -zero.max(-127)), Quantization::new(to, zero)];
    reference::prelu_i8(slopes, of_slopes, ends[0], ends[1], &bytes[..len], &mut expected);
    prop_assert_eq!(activation::prelu_i8::<B>(&centered, 0.02, ends, &bytes[..len], &mut output), Ok(()));
    prop_assert_eq!(output, expected, "{}", B::NAME);
    let len = halves.len() / slopes.len() * slopes.len();
    let (mut output, mut expected) = (vec![7; len], vec![9; len]);
    reference::prelu_i16(slopes, of_slopes, [from, to], &halves[..len], &mut expected);
    prop_assert_eq!(activation::prelu_i16::<B>(&centered, 0.02, [from, to], &halves[..len], &mut output), Ok(()));
    prop_assert_eq!(output, expected, "{}", B::NAME);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_backend_has_the_references_bits(
        bytes in prop::collection::vec(int8(), 0..90), halves in prop::collection::vec(int16(), 0..90),
        floats in prop::collection::vec(float(), 0..70), slopes in prop::collection::vec(int8(), 1..9), zero in int8(),
        scale in 1e-5f32..2.6, ratio in 0.01f32..100.0, alpha in float(), beta in float(),
    ) {
        on_every_backend!(int16_on(&halves, scale, 1.0 - ratio));
        on_every_backend!(floats_on(&floats, alpha, beta));
        on_every_backend!(prelu_on(&bytes, &halves, &slopes, zero, [scale, scale * ratio]));
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    assert_eq!(activation::relu6::<Portable, i8>(0, 6, &[0; 3], &mut [0; 2]), Err(ShapeError::Output));
    assert_eq!(activation::prelu_f32::<Portable>(&[0.0; 2], &[0.0; 4], &mut [0.0; 2]), Err(ShapeError::Output));
    assert_eq!(activation::prelu_f32::<Portable>(&[0.0; 2], &[0.0; 3], &mut [0.0; 3]), Err(ShapeError::Channels));
    assert_eq!(activation::prelu_f32_in_place::<Portable>(&[], &mut []), Err(ShapeError::Channels));
}

// ---- The layers ----

#[test]
fn layers_are_the_reference() {
    let bytes: [i8; 150] = core::array::from_fn(|i| (i * i * 37 + i * 11) as i8);
    let halves: [i16; 150] = core::array::from_fn(|i| (i * i * 4357 + i * 11) as i16);
    let floats: [f32; 150] = bytes.map(|x| f32::from(x) / 13.0);
    macro_rules! check {
        ($layer:expr, $input:ident, $zero:expr, |$from:ident, $to:ident| $reference:expr) => {
            let input = View::<_, 5, 6, 5>::from_slice(&$input).unwrap();
            let (mut output, mut expected) = (Tensor::filled($zero), [$zero; 150]);
            let ($from, $to) = (&$input[..], &mut expected[..]);
            $reference;
            $layer.run(input, output.view_mut());
            assert_eq!(output.as_slice(), expected, "{}", stringify!($layer));
            let mut values = $input;
            $layer.run_in_place(ViewMut::<_, 5, 6, 5>::from_slice(&mut values).unwrap());
            assert_eq!(values, expected, "{} in place", stringify!($layer));
        };
    }
    let (from, to) = (Quantization::new(0.04, -9), Quantization::new(0.05, 11));
    check!(Relu6::int8(from), bytes, 0, |x, out| reference::relu6(-9, 127, x, out));
    check!(Relu6::int16(0.001), halves, 0, |x, out| reference::relu6(0, 6000, x, out));
    check!(Relu6::float(), floats, 0.0, |x, out| reference::relu6(0.0, 6.0, x, out));
    check!(Relu::int16(), halves, 0, |x, out| reference::leaky_relu_i16(0.0, [1.0, 1.0], x, out));
    check!(Int8Table::leaky_relu(0.1, from, to), bytes, 0, |x, out| reference::leaky_relu_i8(0.1, from, to, x, out));
    check!(Int8Table::hard_swish(from, to), bytes, 0, |x, out| reference::hard_swish_i8(from, to, x, out));
    check!(Int8Table::hard_sigmoid(HardSigmoidF32::ONNX, from, to), bytes, 0, |x, out| {
        reference::hard_sigmoid_i8(0.2, 0.5, from, to, x, out)
    });
    check!(Int8Table::sigmoid(from), bytes, 0, |x, out| reference::sigmoid_i8(from, x, out));
    check!(Int8Table::tanh(from), bytes, 0, |x, out| reference::tanh_i8(from, x, out));
    check!(LeakyReluInt16::new(0.3, 0.2, 0.1), halves, 0, |x, out| {
        reference::leaky_relu_i16(0.3, [0.2, 0.1], x, out)
    });
    check!(SigmoidInt16::new(0.0002), halves, 0, |x, out| reference::sigmoid_i16(0.0002, x, out));
    check!(TanhInt16::new(0.0002), halves, 0, |x, out| reference::tanh_i16(0.0002, x, out));
    check!(HardSwishF32, floats, 0.0, |x, out| reference::hard_swish_f32(x, out));
    check!(HardSigmoidF32::KERAS, floats, 0.0, |x, out| reference::hard_sigmoid_f32(1.0 / 6.0, 0.5, x, out));
    check!(SigmoidF32, floats, 0.0, |x, out| reference::sigmoid_f32(x, out));
    check!(TanhF32, floats, 0.0, |x, out| reference::tanh_f32(x, out));
    let (slopes, steps) = ([100i8, -100, 0, 7, -128], Quantization::new(0.01, -3));
    check!(PReluF32::new([0.1, 0.2, -0.3, 0.0, 2.0]), floats, 0.0, |x, out| {
        reference::prelu_f32(&[0.1, 0.2, -0.3, 0.0, 2.0], x, out)
    });
    check!(PReluInt8::new(slopes, steps, from, to), bytes, 0, |x, out| {
        reference::prelu_i8(&slopes, steps, from, to, x, out)
    });
    check!(PReluInt16::new(slopes, steps, 0.2, 0.1), halves, 0, |x, out| {
        reference::prelu_i16(&slopes, steps, [0.2, 0.1], x, out)
    });

    let mut output = [0; 150];
    let view = View::<i16, 5, 6, 5>::from_slice(&halves).unwrap();
    SoftmaxInt16::new(0.0001, 1.0).run(view, ViewMut::from_slice(&mut output).unwrap());
    for (pixel, output) in halves.chunks(5).zip(output.chunks(5)) {
        let mut expected = [0; 5];
        reference::softmax_i16(&reference::SoftmaxParametersInt16::new(0.0001, 1.0), pixel, &mut expected);
        assert_eq!(output, expected);
    }
}

/// The largest errors of the approximate layers, which their documentation states.
#[test]
fn approximate_layers_err_as_documented() {
    use bareconv::{Approximate, SoftmaxF32};
    let mut largest = [0f64; 3];
    let mut check = |x: f32| {
        let mut output = Tensor([[[x]]]);
        Approximate(SigmoidF32).estimate_in_place(output.view_mut());
        largest[0] = largest[0].max((f64::from(output.0[0][0][0]) - sigmoid(f64::from(x))).abs());
        let mut output = Tensor([[[0.0]]]);
        Approximate(TanhF32).estimate(Tensor([[[x]]]).view(), output.view_mut());
        largest[1] = largest[1].max((f64::from(output.0[0][0][0]) - f64::from(x).tanh()).abs());
    };
    for i in -2_000_000..=2_000_000 {
        check(i as f32 * 1e-5);
    }
    for x in [0.0, f32::MAX, f32::MIN, 1e-45, f32::INFINITY, f32::NEG_INFINITY, 87.0, -87.0, 89.0, -89.0, 200.0, -200.0]
    {
        check(x);
    }
    let mut generator = conformance::Generator(7);
    for round in 0..20_000 {
        let range = [1.0, 4.0, 40.0][round % 3];
        let input = Tensor([[core::array::from_fn::<f32, 40, _>(|_| generator.real(-range, range))]]);
        let mut output = Tensor::filled(0.0);
        Approximate(SoftmaxF32).estimate(input.view(), output.view_mut());
        let peak = input.as_slice().iter().fold(f32::MIN, |a, &b| a.max(b));
        let powers: Vec<f64> = input.as_slice().iter().map(|&x| (f64::from(x) - f64::from(peak)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (&output, power) in output.as_slice().iter().zip(powers) {
            largest[2] = largest[2].max((f64::from(output) - power / sum).abs());
        }
    }
    let documented = [7.5e-7, 1.5e-6, 1.05e-6];
    for (error, bound) in largest.into_iter().zip(documented) {
        assert!(error <= bound && error > 0.9 * bound, "{error} is not just below {bound}");
    }
}
