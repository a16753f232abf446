//! Pooling, activations, softmax and argmax: the reference gives the bits of TensorFlow Lite Micro and of plain
//! mathematics, and every backend gives the bits of the reference.

mod golden;

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::{self, Element};
use bareconv::quant::Rounding;
use bareconv::{
    Activation, AveragePool2d, Conv2dShape, DoubleRounding, Int8Filters, Int8Table, Int16Filters, LeakyReluF32,
    MaxPool2d, Pool2dShape, Quantization, ReducedRounding, Relu, ShapeError, SoftmaxInt8, Tensor, View, ViewMut,
    argmax, pack, reference,
};
use golden::{Case, cases};
use proptest::prelude::*;

// ---- The reference against TensorFlow Lite Micro ----

fn pool_shape(case: &Case) -> Pool2dShape {
    let shape = Pool2dShape {
        input: case.array("input_shape"),
        window: case.array("window"),
        stride: case.array("stride"),
        padding: case.array("padding"),
    };
    assert_eq!(shape.check(), Ok(()), "{}", case.name);
    assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
    shape
}

fn quantization(case: &Case, of: &str) -> Quantization {
    Quantization::new(case.value(&format!("{of}_scale")), case.value(&format!("{of}_zero_point")))
}

#[test]
fn max_pooling_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/max_pool.txt")) {
        let expected: Vec<i8> = case.values("output");
        let mut output = vec![0; expected.len()];
        reference::max_pool2d(&pool_shape(&case), &case.values::<i8>("input"), &mut output);
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn average_pooling_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/average_pool.txt")) {
        let expected: Vec<i8> = case.values("output");
        let mut output = vec![0; expected.len()];
        reference::average_pool2d(&pool_shape(&case), None, &case.values::<i8>("input"), &mut output);
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn leaky_relu_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/leaky_relu.txt")) {
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        let (slope, from, to) = (case.value("slope"), quantization(&case, "input"), quantization(&case, "output"));
        let mut output = vec![0; expected.len()];
        reference::leaky_relu_i8(slope, from, to, &input, &mut output);
        assert_eq!(output, expected, "{}", case.name);
        let layer = Int8Table::leaky_relu(slope, from, to);
        assert!(input.iter().map(|&x| layer.apply(x)).eq(expected), "the layer, {}", case.name);
    }
}

#[test]
fn softmax_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/softmax.txt")) {
        let channels = case.value("channels");
        let parameters = reference::SoftmaxParameters::new(case.value("input_scale"), case.value("beta"));
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        for (pixel, expected) in input.chunks(channels).zip(expected.chunks(channels)) {
            let mut output = vec![0; channels];
            reference::softmax_i8(&parameters, pixel, &mut output);
            assert_eq!(output, expected, "{}: {pixel:?}", case.name);
        }
    }
}

/// Convolutions and dense layers of TensorFlow Lite Micro against the reference, with double rounding.
fn convolutions_are_those_of_tflite_micro(file: &str, is_dense: bool) {
    for case in cases(file) {
        let [filters, height, width, channels] = case.array("filter_shape");
        let [_, _, input_channels] = case.array::<usize, 3>("input_shape");
        let groups = input_channels / channels;
        let plain = Conv2dShape::new(case.array("input_shape"), filters, [height, width]);
        let shape = if is_dense {
            plain
        } else {
            Conv2dShape {
                stride: case.array("stride"),
                dilation: case.array("dilation"),
                padding: case.array("padding"),
                groups,
                ..plain
            }
        };
        assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
        let numbers = Int8Filters {
            filters: &case.values("weights"),
            bias: &case.values("bias"),
            scales: &case.values("weight_scales"),
            input: quantization(&case, "input"),
            output: quantization(&case, "output"),
            activation: if case.value::<u8>("relu") == 1 { Activation::Relu } else { Activation::Identity },
        };
        let mode = DoubleRounding::MODE;
        let common = pack::common_requantization(&numbers, mode);
        let mut parameters = vec![0; DoubleRounding::WORDS * filters];
        for (channel, words) in parameters.chunks_exact_mut(DoubleRounding::WORDS).enumerate() {
            pack::requantization_parameters(&numbers, mode, &common, channel, words);
        }
        let expected: Vec<i8> = case.values("output");
        let mut output = vec![0; expected.len()];
        reference::conv2d_i8::<DoubleRounding>(
            &shape,
            &case.values::<i8>("input"),
            numbers.input.zero_point,
            numbers.filters,
            numbers.bias,
            &parameters,
            &common,
            &mut output,
        );
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn convolution_is_that_of_tflite_micro() {
    convolutions_are_those_of_tflite_micro(include_str!("golden/conv2d.txt"), false);
}

#[test]
fn a_grouped_convolution_is_that_of_tflite_micro() {
    convolutions_are_those_of_tflite_micro(include_str!("golden/conv2d_groups.txt"), false);
}

#[test]
fn a_dense_layer_is_that_of_tflite_micro() {
    convolutions_are_those_of_tflite_micro(include_str!("golden/dense.txt"), true);
}

/// How many sums of int16 have 32 bits and two roundings, 32 bits and one, 64 bits.
#[derive(Debug, Default)]
struct Int16Compared {
    twice: usize,
    once: usize,
    wide: usize,
}

/// int16 activations: with a bias of 64 bits TensorFlow Lite Micro rounds once, with one of 32 bits twice. Sums that fit 32
/// bits are the same in 64.
fn int16_convolutions_are_those_of_tflite_micro(file: &str, fits: bool) -> Int16Compared {
    fn output<R: Rounding>(case: &Case, shape: &Conv2dShape, numbers: &Int16Filters<'_>) -> Vec<i16> {
        let common = pack::common_requantization_i16(numbers, R::MODE);
        let mut parameters = vec![0; R::WORDS * shape.filters];
        for (channel, words) in parameters.chunks_exact_mut(R::WORDS).enumerate() {
            pack::requantization_parameters_i16(numbers, R::MODE, &common, channel, words);
        }
        let mut output = vec![0; shape.output().iter().product()];
        let input: Vec<i16> = case.values("input");
        let Int16Filters { filters, bias, .. } = numbers;
        reference::conv2d_i16::<R>(shape, &input, filters, bias, &parameters, &common, &mut output);
        output
    }
    fn wide_output(case: &Case, shape: &Conv2dShape, numbers: &Int16Filters<'_>) -> Vec<i16> {
        let common = pack::common_requantization_i16(numbers, ReducedRounding::MODE);
        let parameters: Vec<_> =
            (0..shape.filters).map(|o| pack::requantization_parameters_i16_wide(numbers, o)).collect();
        let mut output = vec![0; shape.output().iter().product()];
        let input: Vec<i16> = case.values("input");
        let Int16Filters { filters, bias, .. } = numbers;
        reference::conv2d_i16_wide(shape, &input, filters, bias, &parameters, &common, &mut output);
        output
    }
    let mut compared = Int16Compared::default();
    for case in cases(file) {
        let [filters, height, width, _] = case.array("filter_shape");
        let shape = Conv2dShape {
            stride: case.array("stride"),
            dilation: case.array("dilation"),
            padding: case.array("padding"),
            ..Conv2dShape::new(case.array("input_shape"), filters, [height, width])
        };
        assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
        let numbers = Int16Filters {
            filters: &case.values("weights"),
            bias: &case.values("bias"),
            scales: &case.values("weight_scales"),
            input: case.value("input_scale"),
            output: case.value("output_scale"),
            activation: match case.value::<u8>("relu") {
                0 => Activation::Identity,
                1 => Activation::Relu,
                _ => Activation::Relu6,
            },
        };
        let expected: Vec<i16> = case.values("output");
        if case.value::<u32>("bias_bits") == 32 {
            assert_eq!(output::<DoubleRounding>(&case, &shape, &numbers), expected, "{}", case.name);
            compared.twice += expected.len();
            continue;
        }
        assert_eq!(wide_output(&case, &shape, &numbers), expected, "{}, sums of 64 bits", case.name);
        compared.wide += expected.len();
        if fits {
            assert_eq!(output::<ReducedRounding>(&case, &shape, &numbers), expected, "{}", case.name);
            compared.once += expected.len();
        }
    }
    compared
}

#[test]
fn an_int16_convolution_is_that_of_tflite_micro() {
    let compared = int16_convolutions_are_those_of_tflite_micro(include_str!("golden/conv2d_int16.txt"), true);
    assert!(compared.twice > 100 && compared.once > 100 && compared.wide > 100, "{compared:?}");
}

#[test]
fn an_int16_dense_layer_is_that_of_tflite_micro() {
    int16_convolutions_are_those_of_tflite_micro(include_str!("golden/dense_int16.txt"), true);
}

#[test]
fn an_int16_convolution_of_many_taps_is_that_of_tflite_micro() {
    let compared = int16_convolutions_are_those_of_tflite_micro(include_str!("golden/int16_wide.txt"), false);
    assert!(compared.wide > 10, "{compared:?}");
}

// ---- The reference against mathematics in i64 and f64 ----

/// The values of channel `c` that a window sees, padding as `None`; written from the definition of padding.
fn window<T: Copy>(shape: &Pool2dShape, input: &[T], y: usize, x: usize, c: usize) -> Vec<Option<T>> {
    let [height, width, channels] = shape.input;
    let mut values = Vec::new();
    for i in 0..shape.window[0] {
        for j in 0..shape.window[1] {
            let row = (y * shape.stride[0] + i) as i64 - shape.padding[0] as i64;
            let column = (x * shape.stride[1] + j) as i64 - shape.padding[1] as i64;
            let inside = (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
            values.push(inside.then(|| input[(row as usize * width + column as usize) * channels + c]));
        }
    }
    values
}

/// `value(y, x, channel)` for every place of the output.
fn expected<T>(shape: &Pool2dShape, value: impl Fn(usize, usize, usize) -> T) -> Vec<T> {
    let [height, width, channels] = shape.output();
    let value = &value;
    (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| value(y, x, c)))).collect()
}

/// Shapes of all kinds: windows of one pixel and of the whole input, strides below and above the window, padding on
/// each side, channels around the lengths of vectors.
fn pool_shapes() -> impl Strategy<Value = Pool2dShape> {
    let channels = prop_oneof![
        4 => 1..10usize,
        2 => prop::sample::select(vec![15, 16, 17, 31, 32, 33, 35, 48, 63, 64, 65, 67]),
    ];
    let axis = || (1..9usize, 1..6usize, 1..5usize, 0..5usize, 0..5usize);
    (axis(), axis(), channels)
        .prop_map(|(y, x, channels)| Pool2dShape {
            input: [y.0, x.0, channels],
            window: [y.1, x.1],
            stride: [y.2, x.2],
            padding: [y.3 % y.1, x.3 % x.1, y.4 % y.1, x.4 % x.1],
        })
        .prop_filter("the window fits", |shape| shape.check().is_ok())
}

/// Any int8 value, extremes often.
fn int8() -> impl Strategy<Value = i8> + Clone {
    prop_oneof![2 => any::<i8>(), 1 => prop::sample::select(vec![-128, -127, -1, 0, 1, 127])]
}

/// Any int16 value, extremes often.
fn int16() -> impl Strategy<Value = i16> + Clone {
    prop_oneof![2 => any::<i16>(), 1 => prop::sample::select(vec![i16::MIN, -32767, -1, 0, 1, i16::MAX])]
}

/// Any `f32`, special ones often.
fn float() -> impl Strategy<Value = f32> + Clone {
    let special =
        [0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    prop_oneof![4 => -100f32..100f32, 1 => prop::sample::select(special.to_vec())]
}

/// A shape, an input for it (a third of them all the same value), and what the output held before.
fn pooling<T: Copy + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = (Pool2dShape, Vec<T>)> {
    pool_shapes().prop_flat_map(move |shape| {
        let count = shape.input.iter().product::<usize>();
        let same = values.clone().prop_map(move |value| vec![value; count]);
        (Just(shape), prop_oneof![2 => prop::collection::vec(values.clone(), count), 1 => same])
    })
}

/// Bits of numbers, all NaNs being the same.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

fn outputs<T: Clone>(shape: &Pool2dShape, filled: T) -> Vec<T> {
    vec![filled; shape.output().iter().product()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 600 } else { 2000 }))]

    #[test]
    fn max_pooling_is_the_maximum((shape, input) in pooling(int8())) {
        let mut output = outputs(&shape, 0);
        reference::max_pool2d(&shape, &input, &mut output);
        prop_assert_eq!(output, expected(&shape, |y, x, c| window(&shape, &input, y, x, c).into_iter().flatten().max().unwrap()));
    }

    #[test]
    fn int8_average_pooling_is_the_rounded_average((shape, input) in pooling(int8()), zero_point in int8()) {
        let round = |values: Vec<i8>| {
            let sum: i64 = values.iter().map(|&x| i64::from(x)).sum();
            // Exact in f64: sums and counts are small. round() goes away from zero.
            (sum as f64 / values.len() as f64).round() as i8
        };
        let mut output = outputs(&shape, 0);
        reference::average_pool2d(&shape, None, &input, &mut output);
        prop_assert_eq!(&output, &expected(&shape, |y, x, c| {
            round(window(&shape, &input, y, x, c).into_iter().flatten().collect())
        }));
        reference::average_pool2d(&shape, Some(zero_point), &input, &mut output);
        prop_assert_eq!(&output, &expected(&shape, |y, x, c| {
            round(window(&shape, &input, y, x, c).into_iter().map(|value| value.unwrap_or(zero_point)).collect())
        }));
    }

    #[test]
    fn float_average_pooling_is_near_the_average((shape, input) in pooling(-100f32..100f32)) {
        for include_padding in [false, true] {
            let mut output = outputs(&shape, 0.0);
            reference::average_pool2d_f32(&shape, include_padding, &input, &mut output);
            let exact = expected(&shape, |y, x, c| {
                let values = window(&shape, &input, y, x, c);
                let count = if include_padding { values.len() } else { values.iter().flatten().count() };
                values.iter().flatten().map(|&x| f64::from(x)).sum::<f64>() / count as f64
            });
            for (output, exact) in output.iter().zip(exact) {
                // At most 25 values below 100: 26 roundings of numbers below 2500.
                let bound = 26.0 * 2500.0 * f64::from(f32::EPSILON);
                prop_assert!((f64::from(*output) - exact).abs() <= bound, "{output} is not {exact}");
            }
        }
    }

    #[test]
    fn int8_softmax_is_near_softmax(input in prop::collection::vec(int8(), 1..40), scale in 1e-3f32..1.0) {
        let mut output = vec![0; input.len()];
        reference::softmax_i8(&reference::SoftmaxParameters::new(scale, 1.0), &input, &mut output);
        let largest = f64::from(*input.iter().max().unwrap());
        let powers: Vec<f64> = input.iter().map(|&x| ((f64::from(x) - largest) * f64::from(scale)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (&output, power) in output.iter().zip(&powers) {
            // In units of 1/256; 256/256 saturates to 255.
            let exact = (256.0 * power / sum).min(255.0);
            prop_assert!((f64::from(output) + 128.0 - exact).abs() < 0.51, "{output} is not {exact} - 128");
        }
    }

    #[test]
    fn float_softmax_is_near_softmax(input in prop::collection::vec(-50f32..50f32, 1..40)) {
        let mut output = vec![0.0; input.len()];
        reference::softmax_f32(&input, &mut output);
        let powers: Vec<f64> = input.iter().map(|&x| f64::from(x).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (&output, power) in output.iter().zip(&powers) {
            let exact = power / sum;
            // The difference to the maximum, below 100, is rounded; that error is the exponential's relative error.
            prop_assert!((f64::from(output) - exact).abs() <= 1e-5 * exact + 1e-37, "{output} is not {exact}");
        }
    }

    #[test]
    fn int8_leaky_relu_is_near_leaky_relu(
        slope in -2f32..2f32, from_scale in 0.01f32..1.0, from_zero in int8(), ratio in 0.1f32..10.0, to_zero in int8(), x in int8(),
    ) {
        let (from, to) = (Quantization::new(from_scale, from_zero), Quantization::new(from_scale * ratio, to_zero));
        let steps = f64::from(x) - f64::from(from_zero);
        let real = steps * f64::from(from.scale) * if steps < 0.0 { f64::from(slope) } else { 1.0 };
        let exact = (real / f64::from(to.scale) + f64::from(to_zero)).clamp(-128.0, 127.0);
        let output = f64::from(Int8Table::leaky_relu(slope, from, to).apply(x));
        // Two roundings: half a step, and half a step before the division by two or more.
        prop_assert!((output - exact).abs() < 0.751, "{output} is not {exact}");
    }

    #[test]
    fn argmax_is_the_first_maximum(values in prop::collection::vec(-3i8..3, 1..20)) {
        let largest = *values.iter().max().unwrap();
        prop_assert_eq!(reference::argmax(&values), values.iter().position(|&x| x == largest));
    }
}

#[test]
fn special_numbers_are_treated_as_stated() {
    let mut output = [9.0; 5];
    reference::relu_f32(&[-0.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -1e-45], &mut output);
    assert_eq!(bits(&output), bits(&[-0.0, f32::NAN, 0.0, f32::INFINITY, 0.0]));
    reference::leaky_relu_f32(0.5, &[-0.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -3.0], &mut output);
    assert_eq!(bits(&output), bits(&[-0.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -1.5]));

    let pool = |values: [f32; 2]| {
        let mut output = [9.0];
        reference::max_pool2d(&Pool2dShape::new([1, 2, 1], [1, 2]), &values, &mut output);
        bits(&output)
    };
    assert_eq!(pool([-0.0, 0.0]), bits(&[-0.0]), "of equal values the first");
    assert_eq!(pool([0.0, -0.0]), bits(&[0.0]));
    assert_eq!(pool([f32::NAN, 1.0]), bits(&[f32::NAN]), "a NaN that comes first stays");
    assert_eq!(pool([1.0, f32::NAN]), bits(&[1.0]), "a NaN that comes later never wins");

    assert_eq!(reference::argmax(&[1.0, f32::NAN, 2.0]), Some(2));
    assert_eq!(reference::argmax(&[f32::NAN, 1.0, 2.0]), Some(0));
    assert_eq!(reference::argmax::<f32>(&[]), None);
}

#[test]
fn int8_softmax_of_very_many_values_rounds_to_the_nearest() {
    // Where the sum of exponentials reaches 512, each share is at most a half of 1/256.
    let parameters = reference::SoftmaxParameters::new(0.1, 1.0);
    for (count, step) in [(255, -127), (511, -127), (513, -128), (4095, -128)] {
        let mut output = vec![5; count];
        reference::softmax_i8(&parameters, &vec![7; count], &mut output);
        assert_eq!(output, vec![step; count], "{count} equal values");
    }
}

// ---- Every backend against the reference ----

/// Runs a check on every backend of this machine.
macro_rules! on_every_backend {
    ($check:ident($($argument:expr),*)) => {{
        $check::<Portable>($($argument),*)?;
        #[cfg(target_arch = "x86_64")]
        {
            use bareconv::arch::{Avx2, Avx512Vnni, Sse2};
            $check::<Sse2>($($argument),*)?;
            $check::<Avx2>($($argument),*)?;
            if Avx512Vnni::available() {
                $check::<Avx512Vnni>($($argument),*)?;
            }
        }
    }};
}

fn check_max_pool<B: Backend, T: Element + std::fmt::Debug>(
    shape: &Pool2dShape,
    input: &[T],
    filled: T,
    same: impl Fn(&[T], &[T]) -> bool,
) -> Result<(), TestCaseError> {
    let (mut output, mut expected) = (outputs(shape, filled), outputs(shape, filled));
    reference::max_pool2d(shape, input, &mut expected);
    prop_assert_eq!(elementwise::max_pool2d::<B, T>(shape, input, &mut output), Ok(()));
    prop_assert!(same(&output, &expected), "{}: {output:?} is not {expected:?}", B::NAME);
    Ok(())
}

fn max_pool_i8<B: Backend>(shape: &Pool2dShape, input: &[i8]) -> Result<(), TestCaseError> {
    check_max_pool::<B, i8>(shape, input, 0, |a, b| a == b)
}

fn max_pool_i16<B: Backend>(shape: &Pool2dShape, input: &[i16]) -> Result<(), TestCaseError> {
    check_max_pool::<B, i16>(shape, input, 0, |a, b| a == b)
}

fn max_pool_f32<B: Backend>(shape: &Pool2dShape, input: &[f32]) -> Result<(), TestCaseError> {
    check_max_pool::<B, f32>(shape, input, 0.0, |a, b| bits(a) == bits(b))
}

fn average_pool_i8<B: Backend>(shape: &Pool2dShape, input: &[i8], zero_point: i8) -> Result<(), TestCaseError> {
    for padding in [None, Some(zero_point)] {
        let (mut output, mut expected) = (outputs(shape, 1), outputs(shape, 2));
        reference::average_pool2d(shape, padding, input, &mut expected);
        prop_assert_eq!(elementwise::average_pool2d::<B, i8>(shape, padding, input, &mut output), Ok(()));
        prop_assert_eq!(&output, &expected, "{} with padding {:?}", B::NAME, padding);
    }
    Ok(())
}

fn average_pool_f32<B: Backend>(shape: &Pool2dShape, input: &[f32]) -> Result<(), TestCaseError> {
    for include in [false, true] {
        let (mut output, mut expected) = (outputs(shape, 1.0), outputs(shape, 2.0));
        reference::average_pool2d_f32(shape, include, input, &mut expected);
        prop_assert_eq!(
            elementwise::average_pool2d::<B, f32>(shape, include.then_some(0.0), input, &mut output),
            Ok(())
        );
        prop_assert_eq!(bits(&output), bits(&expected), "{}, padding counted: {}", B::NAME, include);
    }
    Ok(())
}

/// A slice that starts `offset` values into a fresh allocation, so that vectors meet every alignment.
fn shifted<T: Copy>(values: &[T], offset: usize) -> Vec<T> {
    values.iter().cycle().take(offset.min(values.len())).chain(values).copied().collect()
}

fn activations_i8<B: Backend>(input: &[i8], zero_point: i8, offset: usize) -> Result<(), TestCaseError> {
    let mut expected = vec![0; input.len()];
    reference::relu_i8(zero_point, input, &mut expected);
    let mut values = shifted(input, offset);
    let at = values.len() - input.len();
    let mut output = vec![0; input.len()];
    prop_assert_eq!(elementwise::relu::<B, i8>(zero_point, &values[at..], &mut output), Ok(()));
    prop_assert_eq!(&output, &expected, "{}", B::NAME);
    elementwise::relu_in_place::<B, i8>(zero_point, &mut values[at..]);
    prop_assert_eq!(&values[at..], &expected[..], "{} in place", B::NAME);
    Ok(())
}

fn activations_f32<B: Backend>(input: &[f32], slope: f32, offset: usize) -> Result<(), TestCaseError> {
    let mut expected = vec![0.0; input.len()];
    let mut output = vec![0.0; input.len()];
    let mut values = shifted(input, offset);
    let at = values.len() - input.len();

    reference::relu_f32(input, &mut expected);
    prop_assert_eq!(elementwise::relu::<B, f32>(0.0, &values[at..], &mut output), Ok(()));
    prop_assert_eq!(bits(&output), bits(&expected), "ReLU, {}", B::NAME);
    elementwise::relu_in_place::<B, f32>(0.0, &mut values[at..]);
    prop_assert_eq!(bits(&values[at..]), bits(&expected), "ReLU, {} in place", B::NAME);

    values = shifted(input, offset);
    reference::leaky_relu_f32(slope, input, &mut expected);
    prop_assert_eq!(elementwise::leaky_relu_f32::<B>(slope, &values[at..], &mut output), Ok(()));
    prop_assert_eq!(bits(&output), bits(&expected), "leaky ReLU, {}", B::NAME);
    elementwise::leaky_relu_f32_in_place::<B>(slope, &mut values[at..]);
    prop_assert_eq!(bits(&values[at..]), bits(&expected), "leaky ReLU, {} in place", B::NAME);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn max_pooling_has_the_references_bits(
        (shape, input) in pooling(int8()), (half_shape, halves) in pooling(int16()),
        (float_shape, floats) in pooling(float()),
    ) {
        on_every_backend!(max_pool_i8(&shape, &input));
        on_every_backend!(max_pool_i16(&half_shape, &halves));
        on_every_backend!(max_pool_f32(&float_shape, &floats));
    }

    #[test]
    fn average_pooling_has_the_references_bits(
        (shape, input) in pooling(int8()), zero_point in int8(), (float_shape, floats) in pooling(float()),
    ) {
        on_every_backend!(average_pool_i8(&shape, &input, zero_point));
        on_every_backend!(average_pool_f32(&float_shape, &floats));
    }

    #[test]
    fn activations_have_the_references_bits(
        input in prop::collection::vec(int8(), 0..140), zero_point in int8(),
        floats in prop::collection::vec(float(), 0..40), slope in float(), offset in 0..5usize,
    ) {
        on_every_backend!(activations_i8(&input, zero_point, offset));
        on_every_backend!(activations_f32(&floats, slope, offset));
    }
}

/// Windows whose sums leave 16 bits: every value extreme, one to three parts along each axis.
#[test]
fn large_windows_do_not_overflow() -> Result<(), TestCaseError> {
    for [height, width] in [[16, 16], [16, 17], [17, 16], [1, 256], [1, 257], [257, 1], [2, 300], [3, 700], [40, 30]] {
        for channels in [1, 4, 17] {
            let shape = Pool2dShape::new([height, width, channels], [height, width]);
            for value in [-128, 127] {
                on_every_backend!(average_pool_i8(&shape, &vec![value; height * width * channels], 0));
            }
        }
    }
    Ok(())
}

// ---- The layers ----

#[test]
fn layers_are_the_reference() {
    const SHAPE: Pool2dShape =
        Pool2dShape { stride: [1, 2], padding: [1, 0, 1, 1], ..Pool2dShape::new([6, 5, 37], [3, 2]) };
    const MAX: MaxPool2d<Tensor<i8, 6, 5, 37>, Tensor<i8, 6, 3, 37>> = MaxPool2d::new(SHAPE);
    const AVERAGE: AveragePool2d<Tensor<i8, 6, 5, 37>, Tensor<i8, 6, 3, 37>> =
        AveragePool2d::int8(SHAPE).including_padding_of(-9);
    const FLOAT: AveragePool2d<Tensor<f32, 6, 5, 37>, Tensor<f32, 6, 3, 37>> = AveragePool2d::float(SHAPE);
    let values: Vec<i8> = (0..6 * 5 * 37).map(|i| (i * i * 37 + i * 11) as i8).collect();
    let floats: Vec<f32> = values.iter().map(|&x| f32::from(x) / 7.0).collect();
    let (input, float_input) = (View::from_slice(&values).unwrap(), View::from_slice(&floats).unwrap());

    let mut output = Tensor::filled(0);
    let mut expected = outputs(&SHAPE, 1);
    MAX.run(input, output.view_mut());
    reference::max_pool2d(&SHAPE, &values, &mut expected);
    assert_eq!(output.as_slice(), expected);
    AVERAGE.run(input, output.view_mut());
    reference::average_pool2d(&SHAPE, Some(-9), &values, &mut expected);
    assert_eq!(output.as_slice(), expected);
    let mut float_output = Tensor::filled(0.0);
    let mut float_expected = outputs(&SHAPE, 1.0);
    FLOAT.run(float_input, float_output.view_mut());
    reference::average_pool2d_f32(&SHAPE, false, &floats, &mut float_expected);
    assert_eq!(float_output.as_slice(), float_expected);

    let mut output = values.clone();
    let mut expected = output.clone();
    Relu::int8(5).run(input, ViewMut::from_slice(&mut output).unwrap());
    reference::relu_i8(5, &values, &mut expected);
    assert_eq!(output, expected);
    let mut float_output = floats.clone();
    let mut float_expected = floats.clone();
    LeakyReluF32::new(0.25).run(float_input, ViewMut::from_slice(&mut float_output).unwrap());
    reference::leaky_relu_f32(0.25, &floats, &mut float_expected);
    assert_eq!(float_output, float_expected);

    SoftmaxInt8::new(0.05, 1.0).run(input, ViewMut::from_slice(&mut output).unwrap());
    for (pixel, output) in values.chunks(37).zip(output.chunks(37)) {
        let mut expected = [0; 37];
        reference::softmax_i8(&reference::SoftmaxParameters::new(0.05, 1.0), pixel, &mut expected);
        assert_eq!(output, expected);
    }
    assert_eq!(argmax(Tensor([[[-4.0f32, 8.0, 8.0]]]).view()), 1);
}

#[test]
fn shapes_that_break_a_rule_are_refused() {
    let good = Pool2dShape::new([4, 4, 2], [2, 2]);
    assert_eq!(good.check(), Ok(()));
    let bad = [
        (Pool2dShape { input: [0, 4, 2], ..good }, ShapeError::Zero),
        (Pool2dShape { window: [2, 0], ..good }, ShapeError::Zero),
        (Pool2dShape { stride: [0, 1], ..good }, ShapeError::Zero),
        (Pool2dShape { window: [5, 1], ..good }, ShapeError::WindowTooLarge),
        (Pool2dShape { padding: [0, 0, 2, 0], ..good }, ShapeError::PaddingTooLarge),
        (Pool2dShape { padding: [0, usize::MAX, 0, 0], ..good }, ShapeError::PaddingTooLarge),
        (Pool2dShape { input: [1 << 14, 1 << 14, 8], ..good }, ShapeError::TooLarge),
        (Pool2dShape { input: [2000, 2000, 1], window: [2000, 2000], ..good }, ShapeError::TooLarge),
    ];
    for (shape, error) in bad {
        assert_eq!(shape.check(), Err(error), "{shape:?}");
        let refused = elementwise::max_pool2d::<Portable, i8>(&shape, &[0; 32], &mut [0; 8]);
        assert_eq!(refused, Err(error), "{shape:?}");
    }
    let max_pool = elementwise::max_pool2d::<Portable, i8>;
    assert_eq!(max_pool(&good, &[0; 31], &mut [0; 8]), Err(ShapeError::Input));
    assert_eq!(max_pool(&good, &[0; 32], &mut [0; 9]), Err(ShapeError::Output));
    assert_eq!(elementwise::relu::<Portable, i8>(0, &[0; 3], &mut [0; 2]), Err(ShapeError::Output));
}
