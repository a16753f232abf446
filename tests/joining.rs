//! Joining tensors: the reference gives the bits of TensorFlow Lite Micro and of plain mathematics, and every backend
//! gives the bits of the reference.

mod golden;

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::binary::{self, FloatSum, Joined};
use bareconv::kernels::elementwise::{arrange, unary};
use bareconv::quant::ProductRounding;
use bareconv::reference::{self, ProductParameters, Quantized, RequantizeParameters, SumParameters};
use bareconv::{
    Activation, Add, Axis, Broadcast, Concatenate, Coordinates, Dequantize, DoubleRounding, Multiply, Pad,
    Quantization, Quantize, Region, Requantize, RequantizeInt8, ShapeError, SingleRounding, Slice, SliceShape,
    Subtract, SubtractFrom, Tensor, Upsample, UpsampleShape,
};
use bytemuck::Pod;
use golden::{Case, cases};
use proptest::prelude::*;
use std::fmt::Debug;
use std::str::FromStr;

// ---- The reference, and every backend, against TensorFlow Lite Micro ----

fn quantization(case: &Case, of: &str) -> Quantization {
    Quantization::new(case.value(&format!("{of}_scale")), case.value(&format!("{of}_zero_point")))
}

fn activation(case: &Case) -> Activation {
    match case.value("activation") {
        0 => Activation::Identity,
        1 => Activation::Relu,
        3 => Activation::Relu6,
        other => panic!("activation {other}"),
    }
}

/// Runs a check on every backend of this machine.
macro_rules! on_every_backend {
    ($check:ident $(::<$($types:ty),*>)?($($argument:expr),*)) => {{
        $check::<Portable $($(, $types)*)?>($($argument),*)?;
        #[cfg(target_arch = "x86_64")]
        {
            use bareconv::arch::{Avx2, Avx512Vnni, Sse2};
            $check::<Sse2 $($(, $types)*)?>($($argument),*)?;
            $check::<Avx2 $($(, $types)*)?>($($argument),*)?;
            if Avx512Vnni::available() {
                $check::<Avx512Vnni $($(, $types)*)?>($($argument),*)?;
            }
        }
    }};
}

#[test]
fn int8_sums_are_those_of_tflite_micro() -> Result<(), TestCaseError> {
    for (file, subtract) in [(include_str!("golden/add.txt"), false), (include_str!("golden/sub.txt"), true)] {
        for case in cases(file) {
            let inputs = [quantization(&case, "input"), quantization(&case, "second")];
            let parameters = SumParameters::<i8, DoubleRounding>::int8(
                subtract,
                inputs,
                quantization(&case, "output"),
                activation(&case),
            );
            let (shapes, parameters) = ([case.array("input_shape"), case.array("second_shape")], parameters.unwrap());
            let (first, second, expected) = (case.values("input"), case.values("second"), case.values("output"));
            let mut output = vec![0; expected.len()];
            reference::add_i8(shapes, &parameters, &first, &second, &mut output);
            assert_eq!(output, expected, "{}", case.name);
            on_every_backend!(check_sum::<i8, DoubleRounding>(shapes, &parameters, &first, &second, &expected));
        }
    }
    Ok(())
}

#[test]
fn differences_from_the_smaller_input_are_those_of_tflite_micro() -> Result<(), TestCaseError> {
    for case in cases(include_str!("golden/sub_small_first.txt")) {
        let inputs = [quantization(&case, "input"), quantization(&case, "second")];
        let sum = SumParameters::int8(true, inputs, quantization(&case, "output"), activation(&case)).unwrap();
        let shapes = [case.array("second_shape"), case.array("input_shape")];
        let (small, large, expected) = (case.values("input"), case.values("second"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::add_i8([shapes[1], shapes[0]], &sum, &small, &large, &mut output);
        assert_eq!(output, expected, "{}", case.name);
        on_every_backend!(check_difference::<i8, DoubleRounding>(shapes, &sum, &large, &small, &expected));
    }
    for case in cases(include_str!("golden/sub_small_first_int16.txt")) {
        let scales = [case.value("input_scale"), case.value("second_scale")];
        let sum = SumParameters::int16(true, scales, case.value("output_scale"), activation(&case)).unwrap();
        let shapes = [case.array("second_shape"), case.array("input_shape")];
        let (small, large, expected) = (case.values("input"), case.values("second"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::add_i16([shapes[1], shapes[0]], &sum, &small, &large, &mut output);
        assert_eq!(output, expected, "{}", case.name);
        on_every_backend!(check_difference::<i16, DoubleRounding>(shapes, &sum, &large, &small, &expected));
    }
    Ok(())
}

#[test]
fn slices_are_those_of_tflite_micro() {
    fn check<T: Pod + PartialEq + Debug + FromStr<Err: Debug>>(case: &Case) {
        let [begin, end, stride] = ["begin", "end", "stride"].map(|key| case.array(key));
        // As far as there is.
        let far = |place: isize| match place {
            2_147_483_647 => isize::MAX,
            -2_147_483_647 => isize::MIN,
            near => near,
        };
        let shape = SliceShape::new(case.array("input_shape"), begin.map(far), end.map(far), stride).unwrap();
        assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
        sliced(&shape, &case.values::<T>("input"), &case.values("output"));
    }
    for case in cases(include_str!("golden/strided_slice.txt")) {
        match case.value("bits") {
            8 => check::<i8>(&case),
            16 => check::<i16>(&case),
            32 => check::<f32>(&case),
            bits => panic!("{bits} bits"),
        }
    }
}

/// The reference and the kernel give what is expected.
fn sliced<T: Pod + PartialEq + Debug>(shape: &SliceShape, input: &[T], expected: &[T]) {
    let mut output = vec![T::zeroed(); expected.len()];
    reference::slice(shape, input, &mut output);
    assert_eq!(output, expected, "{shape:?}");
    output.fill(T::zeroed());
    arrange::slice(shape, input, &mut output).unwrap();
    assert_eq!(output, expected, "{shape:?}");
}

#[test]
fn splits_are_those_of_tflite_micro() {
    for case in cases(include_str!("golden/split.txt")) {
        let (shape, part): ([usize; 3], [usize; 3]) = (case.array("input_shape"), case.array("output_shape"));
        let (input, outputs): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        let axis: usize = case.value("axis");
        for (number, expected) in outputs.chunks(part.iter().product()).enumerate() {
            let mut begin = [0; 3];
            begin[axis] = number * part[axis];
            sliced(&SliceShape::at(shape, begin, part).unwrap(), &input, expected);
        }
    }
}

#[test]
fn int16_sums_are_those_of_tflite_micro() -> Result<(), TestCaseError> {
    for (file, subtract) in
        [(include_str!("golden/add_int16.txt"), false), (include_str!("golden/sub_int16.txt"), true)]
    {
        for case in cases(file) {
            let parameters = SumParameters::<i16, DoubleRounding>::int16(
                subtract,
                [case.value("input_scale"), case.value("second_scale")],
                case.value("output_scale"),
                activation(&case),
            );
            let (shapes, parameters) = ([case.array("input_shape"), case.array("second_shape")], parameters.unwrap());
            let (first, second, expected) = (case.values("input"), case.values("second"), case.values("output"));
            let mut output = vec![0; expected.len()];
            reference::add_i16(shapes, &parameters, &first, &second, &mut output);
            assert_eq!(output, expected, "{}", case.name);
            on_every_backend!(check_sum::<i16, DoubleRounding>(shapes, &parameters, &first, &second, &expected));
        }
    }
    Ok(())
}

#[test]
fn products_are_those_of_tflite_micro() -> Result<(), TestCaseError> {
    for case in cases(include_str!("golden/mul.txt")) {
        let inputs = [quantization(&case, "input"), quantization(&case, "second")];
        let output = quantization(&case, "output");
        let parameters = ProductParameters::<i8, DoubleRounding>::int8(inputs, output, activation(&case)).unwrap();
        let shapes = [case.array("input_shape"), case.array("second_shape")];
        let (first, second, expected) = (case.values("input"), case.values("second"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::multiply_i8(shapes, &parameters, &first, &second, &mut output);
        assert_eq!(output, expected, "{}", case.name);
        on_every_backend!(check_product::<i8, DoubleRounding>(shapes, &parameters, &first, &second, &expected));
    }
    for case in cases(include_str!("golden/mul_int16.txt")) {
        let inputs = [case.value("input_scale"), case.value("second_scale")];
        let output = case.value("output_scale");
        let parameters = ProductParameters::<i16, DoubleRounding>::int16(inputs, output, activation(&case)).unwrap();
        let shapes = [case.array("input_shape"), case.array("second_shape")];
        let (first, second, expected) = (case.values("input"), case.values("second"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::multiply_i16(shapes, &parameters, &first, &second, &mut output);
        assert_eq!(output, expected, "{}", case.name);
        on_every_backend!(check_product::<i16, DoubleRounding>(shapes, &parameters, &first, &second, &expected));
    }
    Ok(())
}

#[test]
fn concatenation_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/concatenation.txt")) {
        let (shapes, whole) = ([case.array("input_shape"), case.array("second_shape")], case.array("output_shape"));
        let expected: Vec<i16> = case.values("output");
        let (mut output, mut specified) = (vec![99; expected.len()], vec![99; expected.len()]);
        let mut at = [0; 3];
        for (shape, values) in shapes.into_iter().zip([case.values("input"), case.values("second")]) {
            let region = Region::new(shape, at, whole).unwrap();
            reference::place(&region, &values, &mut specified);
            arrange::place(&region, &values, &mut output).unwrap();
            let axis: usize = case.value("axis");
            at[axis] += shape[axis];
        }
        assert_eq!(specified, expected, "{}", case.name);
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn padding_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/pad.txt")) {
        let (values, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        let region = Region::new(case.array("input_shape"), case.array("before"), case.array("output_shape")).unwrap();
        let (mut output, mut specified) = (vec![99; expected.len()], vec![99; expected.len()]);
        reference::pad(&region, case.value("input_zero_point"), &values, &mut specified);
        assert_eq!(specified, expected, "{}", case.name);
        arrange::pad(&region, case.value("input_zero_point"), &values, &mut output).unwrap();
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn upsampling_is_that_of_tflite_micro() {
    fn check<T: Pod + PartialEq + Debug + FromStr<Err: Debug>>(case: &Case) {
        let (values, expected): (Vec<T>, Vec<T>) = (case.values("input"), case.values("output"));
        let coordinates = match case.name.split(' ').next() {
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("half_pixel") => Coordinates::HalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            other => panic!("coordinates {other:?}"),
        };
        let shape = UpsampleShape::between(case.array("input_shape"), case.array("output_shape"), coordinates).unwrap();
        let (mut output, mut specified) = (vec![T::zeroed(); expected.len()], vec![T::zeroed(); expected.len()]);
        reference::upsample(&shape, &values, &mut specified);
        assert_eq!(specified, expected, "{}", case.name);
        arrange::upsample(&shape, &values, &mut output).unwrap();
        assert_eq!(output, expected, "{}", case.name);
    }
    for case in cases(include_str!("golden/upsample.txt")) {
        match case.value("bits") {
            8 => check::<i8>(&case),
            16 => check::<i16>(&case),
            32 => check::<f32>(&case),
            bits => panic!("{bits} bits"),
        }
    }
}

/// In exact arithmetic, by whole numbers; single precision agrees where factors are small.
#[test]
fn nearest_is_the_exact_pixel_where_factors_are_small() {
    use Coordinates::{AlignCorners, Asymmetric, HalfPixel};
    for factor in 1..41 {
        for size in (1..300).chain([511, 512, 1000, 1023]) {
            let same = |c, y| reference::nearest(size, size * factor, c, y) == y / factor;
            assert!((0..size * factor).all(|y| same(Asymmetric, y)), "{size} by {factor}");
            assert!((0..size * factor).all(|y| same(HalfPixel, y)), "{size} by {factor}");
        }
    }
    assert_eq!(reference::nearest(2, 82, Asymmetric, 41), 0);
    for (input, output) in (1..40).flat_map(|input| (1..40).map(move |output| (input, output))) {
        for y in 0..output {
            let half = (2 * y + 1) * input / (2 * output);
            // A place that is a whole number may come out as the one before.
            let found = reference::nearest(input, output, HalfPixel, y);
            let whole = ((2 * y + 1) * input).is_multiple_of(2 * output);
            assert!(found == half || whole && found + 1 == half, "{y} of {input} to {output}");
            let (corner, rest) = if output > 1 {
                ((2 * y * (input - 1) + output - 1) / (2 * (output - 1)), (2 * y * (input - 1)) % (2 * (output - 1)))
            } else {
                (0, 0)
            };
            let found = reference::nearest(input, output, AlignCorners, y);
            let tie = output > 1 && rest == output - 1;
            assert!(found == corner || tie && found + 1 == corner, "{y} of {input} to {output}");
        }
        assert_eq!(reference::nearest(input, output, AlignCorners, 0), 0);
        if output > 1 {
            assert_eq!(reference::nearest(input, output, AlignCorners, output - 1), input - 1);
        }
    }
}

fn check_quantize<B: Backend>(
    scale: f32,
    zero_point: i8,
    input: &[f32],
    expected: &[i32],
) -> Result<(), TestCaseError> {
    let mut bytes = vec![99; input.len()];
    let byte = Quantization::new(scale, zero_point);
    prop_assert_eq!(unary::quantize_i8::<B>(byte, input, &mut bytes), Ok(()));
    let mut halves = vec![99; input.len()];
    prop_assert_eq!(unary::quantize_i16::<B>(scale, input, &mut halves), Ok(()));
    for (i, &steps) in expected.iter().enumerate() {
        let zero_point = i32::from(zero_point);
        prop_assert_eq!(i32::from(bytes[i]), (steps + zero_point).clamp(-128, 127), "{}: {:?}", B::NAME, input[i]);
        prop_assert_eq!(i32::from(halves[i]), steps.clamp(-32768, 32767), "{}: {:?}", B::NAME, input[i]);
    }
    Ok(())
}

#[test]
fn quantization_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/quantize.txt")) {
        let (input, expected): (Vec<f32>, Vec<i16>) = (case.values("input"), case.values("output"));
        let (mut bytes, mut halves) = (vec![99; input.len()], vec![99; input.len()]);
        if case.value::<u8>("bits") == 8 {
            reference::quantize_i8(quantization(&case, "output"), &input, &mut bytes);
            assert!(bytes.iter().zip(&expected).all(|(&a, &b)| i16::from(a) == b), "{}", case.name);
            unary::quantize_i8::<Portable>(quantization(&case, "output"), &input, &mut bytes).unwrap();
            assert!(bytes.iter().zip(&expected).all(|(&a, &b)| i16::from(a) == b), "{}", case.name);
        } else {
            reference::quantize_i16(case.value("output_scale"), &input, &mut halves);
            assert_eq!(halves, expected, "{}", case.name);
            unary::quantize_i16::<Portable>(case.value("output_scale"), &input, &mut halves).unwrap();
            assert_eq!(halves, expected, "{}", case.name);
        }
    }
}

#[test]
fn dequantization_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/dequantize.txt")) {
        let expected: Vec<f32> = case.values("output");
        let mut output = vec![99.0; expected.len()];
        if case.value::<u8>("bits") == 8 {
            reference::dequantize_i8(quantization(&case, "input"), &case.values::<i8>("input"), &mut output);
        } else {
            reference::dequantize_i16(case.value("input_scale"), &case.values::<i16>("input"), &mut output);
        }
        assert_eq!(output, expected, "{}", case.name);
    }
}

fn check_requantize<B: Backend, I: Quantized, O: Quantized + PartialEq + Debug, R: ProductRounding>(
    parameters: &RequantizeParameters<I, O, R>,
    input: &[I],
    expected: &[O],
) -> Result<(), TestCaseError> {
    let mut output = vec![O::zeroed(); input.len()];
    reference::requantize(parameters, input, &mut output);
    prop_assert_eq!(&output[..], expected);
    output.fill(O::zeroed());
    prop_assert_eq!(unary::requantize::<B, I, O, R>(parameters, input, &mut output), Ok(()));
    prop_assert_eq!(&output[..], expected, "{}", B::NAME);
    Ok(())
}

#[test]
fn requantization_is_that_of_tflite_micro() -> Result<(), TestCaseError> {
    type R = DoubleRounding;
    for case in cases(include_str!("golden/requantize.txt")) {
        let (from, to): (f32, f32) = (case.value("input_scale"), case.value("output_scale"));
        match (case.value("input_bits"), case.value("output_bits")) {
            (8, 8) => {
                let (from, to) = (quantization(&case, "input"), quantization(&case, "output"));
                let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
                let parameters = RequantizeParameters::int8(from, to).unwrap();
                on_every_backend!(check_requantize::<i8, i8, R>(&parameters, &input, &expected));
                let table = RequantizeInt8::new::<R>(from, to);
                assert!(input.iter().map(|&x| table.apply(x)).eq(expected), "the table, {}", case.name);
            }
            (8, 16) => {
                let parameters = RequantizeParameters::int8_to_int16(quantization(&case, "input"), to).unwrap();
                let (input, expected) = (case.values("input"), case.values("output"));
                on_every_backend!(check_requantize::<i8, i16, R>(&parameters, &input, &expected));
            }
            (16, 8) => {
                let parameters = RequantizeParameters::int16_to_int8(from, quantization(&case, "output")).unwrap();
                let (input, expected) = (case.values("input"), case.values("output"));
                on_every_backend!(check_requantize::<i16, i8, R>(&parameters, &input, &expected));
            }
            (16, 16) => {
                let parameters = RequantizeParameters::int16(from, to).unwrap();
                let (input, expected) = (case.values("input"), case.values("output"));
                on_every_backend!(check_requantize::<i16, i16, R>(&parameters, &input, &expected));
            }
            types => panic!("{types:?}"),
        }
    }
    Ok(())
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
    prop_oneof![4 => -100f32..100f32, 1 => prop::sample::select(special.to_vec())]
}

/// Scales, from tiny ones to large ones.
fn scale() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![3 => -6f32..2.0, 1 => -60f32..10.0].prop_map(f32::exp2)
}

fn int8_quantization() -> impl Strategy<Value = Quantization> + Clone {
    (scale(), int8()).prop_map(|(scale, zero_point)| Quantization::new(scale, zero_point))
}

fn activations() -> impl Strategy<Value = Activation> + Clone {
    prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6])
}

fn real(q: Quantization, value: i8) -> f64 {
    (f64::from(value) - f64::from(q.zero_point)) * f64::from(q.scale)
}

/// The bounds of an activation in an output's quantization, saturated.
fn bounds(activation: Activation, scale: f32, zero_point: f64, range: [f64; 2]) -> [f64; 2] {
    match activation {
        Activation::Identity => range,
        Activation::Relu => [zero_point, range[1]],
        Activation::Relu6 => [zero_point, (zero_point + f64::from((6.0 / scale).round())).min(range[1])],
    }
}

fn single_tolerance(steps: f64, largest_ratio: f64) -> f64 {
    // A multiplier of 15 bits is off by at most one in 2^15, or by 2^-23.
    0.5 + steps * (largest_ratio / 32768.0).max(1.0 / (1 << 23) as f64) + 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 4000 } else { 20_000 }))]

    #[test]
    fn int8_sums_are_near_the_sum(
        inputs in [int8_quantization(), int8_quantization()], output in int8_quantization(), activation in activations(),
        a in int8(), b in int8(), subtract in any::<bool>(),
    ) {
        let sign = if subtract { -1.0 } else { 1.0 };
        let to = f64::from(output.scale);
        let ratios = [f64::from(inputs[0].scale) / to, f64::from(inputs[1].scale) / to];
        let largest = ratios[0].max(ratios[1]);
        let [low, high] = bounds(activation, output.scale, output.zero_point.into(), [-128.0, 127.0]);
        let exact = (real(inputs[0], a) + sign * real(inputs[1], b)) / to + f64::from(output.zero_point);
        let exact = exact.clamp(low, high);
        let steps = (f64::from(a) - f64::from(inputs[0].zero_point)).abs()
            + (f64::from(b) - f64::from(inputs[1].zero_point)).abs();

        let single = SumParameters::<i8, SingleRounding>::int8(subtract, inputs, output, activation);
        prop_assert_eq!(single.is_err(), largest >= 31.9995, "a ratio of {}", largest);
        if let Ok(parameters) = single {
            let mut result = [0];
            reference::add_i8([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            prop_assert!((f64::from(result[0]) - exact).abs() <= single_tolerance(steps, largest), "{result:?}, {exact}");
        }
        let double = SumParameters::<i8, DoubleRounding>::int8(subtract, inputs, output, activation);
        prop_assert_eq!(double.is_err(), largest >= f64::from(1 << 19), "a ratio of {}", largest);
        if let Ok(parameters) = double {
            let mut result = [0];
            reference::add_i8([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            // Each input is off by at most 2^-20 of the larger scale, twice; the sum is rounded twice.
            let bound = 0.5 + 0.25 + largest * 4.0 / f64::from(1 << 20);
            prop_assert!((f64::from(result[0]) - exact).abs() <= bound, "{result:?}, {exact}");
        }
    }

    #[test]
    fn int16_sums_are_near_the_sum(
        scales in [scale(), scale(), scale()], activation in activations(), a in int16(), b in int16(),
        subtract in any::<bool>(),
    ) {
        let sign = if subtract { -1.0 } else { 1.0 };
        let [first, second, to] = scales.map(f64::from);
        let largest = (first / to).max(second / to);
        let [low, high] = bounds(activation, scales[2], 0.0, [-32768.0, 32767.0]);
        let exact = ((f64::from(a) * first + sign * f64::from(b) * second) / to).clamp(low, high);
        if let Ok(parameters) =
            SumParameters::<i16, SingleRounding>::int16(subtract, [scales[0], scales[1]], scales[2], activation)
        {
            let mut result = [0];
            reference::add_i16([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            // A multiplier of 31 bits is off by at most one in 2^31, or by 2^-47.
            let bound = 0.5 + 65536.0 * (largest / 2f64.powi(31)).max(2f64.powi(-47)) + 1e-6;
            prop_assert!((f64::from(result[0]) - exact).abs() <= bound, "{result:?}, {exact}");
        }
        if let Ok(parameters) =
            SumParameters::<i16, DoubleRounding>::int16(subtract, [scales[0], scales[1]], scales[2], activation)
        {
            let mut result = [0];
            reference::add_i16([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            let bound = 0.5 + 0.25 + largest * 4.0 / f64::from(1 << 15);
            prop_assert!((f64::from(result[0]) - exact).abs() <= bound, "{result:?}, {exact}");
        }
    }

    #[test]
    fn int8_products_are_near_the_product(
        inputs in [int8_quantization(), int8_quantization()], output in int8_quantization(), activation in activations(),
        a in int8(), b in int8(),
    ) {
        let to = f64::from(output.scale);
        let ratio = f64::from(inputs[0].scale) * f64::from(inputs[1].scale) / to;
        let [low, high] = bounds(activation, output.scale, output.zero_point.into(), [-128.0, 127.0]);
        let exact = real(inputs[0], a) * real(inputs[1], b) / to;
        let steps = exact.abs() / ratio;
        let exact = (exact + f64::from(output.zero_point)).clamp(low, high);
        if let Ok(parameters) = ProductParameters::<i8, SingleRounding>::int8(inputs, output, activation) {
            let mut result = [0];
            reference::multiply_i8([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            // A multiplier of 14 bits is off by at most one in 2^14, or by 2^-23.
            let bound = 0.5 + steps * (ratio / 16384.0).max(2f64.powi(-23)) + 1e-6;
            prop_assert!((f64::from(result[0]) - exact).abs() <= bound, "{result:?}, {exact}");
        }
        if let Ok(parameters) = ProductParameters::<i8, DoubleRounding>::int8(inputs, output, activation) {
            let mut result = [0];
            reference::multiply_i8([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            prop_assert!((f64::from(result[0]) - exact).abs() <= 0.751, "{result:?}, {exact}");
        }
    }

    #[test]
    fn int16_products_are_near_the_product(
        scales in [scale(), scale(), scale()], activation in activations(), a in int16(), b in int16(),
    ) {
        let [first, second, to] = scales.map(f64::from);
        let [low, high] = bounds(activation, scales[2], 0.0, [-32768.0, 32767.0]);
        let exact = (f64::from(a) * first * f64::from(b) * second / to).clamp(low, high);
        let single = ProductParameters::<i16, SingleRounding>::int16([scales[0], scales[1]], scales[2], activation);
        prop_assert_eq!(single.is_err(), first * second / to >= 1.0 - 2f64.powi(-32));
        if let Ok(parameters) = single {
            let mut result = [0];
            reference::multiply_i16([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            prop_assert!((f64::from(result[0]) - exact).abs() <= 1.001, "{result:?}, {exact}");
        }
        if let Ok(parameters) =
            ProductParameters::<i16, DoubleRounding>::int16([scales[0], scales[1]], scales[2], activation)
        {
            let mut result = [0];
            reference::multiply_i16([[1; 3]; 2], &parameters, &[a], &[b], &mut result);
            prop_assert!((f64::from(result[0]) - exact).abs() <= 1.251, "{result:?}, {exact}");
        }
    }

    #[test]
    fn requantization_is_near_the_same_number(
        from in int8_quantization(), to in int8_quantization(), a in int8(), b in int16(),
    ) {
        fn check(output: f64, exact: f64, double: bool) -> Result<(), TestCaseError> {
            let bound = if double { 0.751 } else { 0.501 };
            prop_assert!((output - exact).abs() <= bound, "{} is not {}", output, exact);
            Ok(())
        }
        fn run<I: Quantized, O: Quantized, R: ProductRounding>(
            parameters: Result<RequantizeParameters<I, O, R>, ShapeError>, value: I, exact: f64,
        ) -> Result<(), TestCaseError> {
            if let Ok(parameters) = parameters {
                let mut output = [O::zeroed()];
                reference::requantize(&parameters, &[value], &mut output);
                let [low, high] = if size_of::<O>() == 1 { [-128.0, 127.0] } else { [-32768.0, 32767.0] };
                check(Into::<i32>::into(output[0]).into(), exact.clamp(low, high), R::WORDS == 2)?;
            }
            Ok(())
        }
        let ratio = f64::from(from.scale) / f64::from(to.scale);
        let zero = f64::from(to.zero_point);
        let difference = f64::from(a) - f64::from(from.zero_point);
        run(RequantizeParameters::<_, _, SingleRounding>::int8(from, to), a, difference * ratio + zero)?;
        run(RequantizeParameters::<_, _, DoubleRounding>::int8(from, to), a, difference * ratio + zero)?;
        run(RequantizeParameters::<_, _, SingleRounding>::int8_to_int16(from, to.scale), a, difference * ratio)?;
        run(RequantizeParameters::<_, _, DoubleRounding>::int8_to_int16(from, to.scale), a, difference * ratio)?;
        let exact = f64::from(b) * ratio;
        run(RequantizeParameters::<_, _, SingleRounding>::int16_to_int8(from.scale, to), b, exact + zero)?;
        run(RequantizeParameters::<_, _, DoubleRounding>::int16_to_int8(from.scale, to), b, exact + zero)?;
        run(RequantizeParameters::<_, _, SingleRounding>::int16(from.scale, to.scale), b, exact)?;
        run(RequantizeParameters::<_, _, DoubleRounding>::int16(from.scale, to.scale), b, exact)?;
    }
}

/// Halves and their neighbours are where roundings differ.
#[test]
fn quantizing_rounds_halves_away_from_zero() -> Result<(), TestCaseError> {
    let mut input = vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, 8388609.0];
    for i in (-66_000..66_000).step_by(7).chain(-300..300) {
        let half = i as f32 + 0.5;
        input.extend([half, half.next_up(), half.next_down(), i as f32]);
    }
    // And all kinds of bits.
    input.extend((0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b1))));
    for scale in [1.0, 0.5, 0.0235, 3e-20, 7e30] {
        // The quotient in single precision, rounded in double precision, of which this part is exact.
        let expected: Vec<i32> = input.iter().map(|&x| f64::from(x / scale).round() as i32).collect();
        let expected: Vec<i32> = expected.iter().map(|&steps| steps.clamp(-100_000, 100_000)).collect();
        for zero_point in [0, -128, 127, 5] {
            let mut bytes = vec![99; input.len()];
            reference::quantize_i8(Quantization::new(scale, zero_point), &input, &mut bytes);
            for (i, &steps) in expected.iter().enumerate() {
                assert_eq!(i32::from(bytes[i]), (steps + i32::from(zero_point)).clamp(-128, 127), "{:?}", input[i]);
            }
            on_every_backend!(check_quantize(scale, zero_point, &input, &expected));
        }
    }
    Ok(())
}

/// Every pair of int8 values, at the ends of what scales and zero points may be: nothing overflows, and backends agree.
#[test]
fn every_pair_at_every_extreme() -> Result<(), TestCaseError> {
    fn both<R: ProductRounding>(
        [first, second]: [&[i8]; 2],
        inputs: [Quantization; 2],
        output: Quantization,
        activation: Activation,
    ) -> Result<(), TestCaseError> {
        let (shapes, mut expected) = ([[1, 1, first.len()]; 2], vec![0; first.len()]);
        for subtract in [false, true] {
            if let Ok(parameters) = SumParameters::<i8, R>::int8(subtract, inputs, output, activation) {
                reference::add_i8(shapes, &parameters, first, second, &mut expected);
                on_every_backend!(check_sum::<i8, R>(shapes, &parameters, first, second, &expected));
            }
        }
        if let Ok(parameters) = ProductParameters::<i8, R>::int8(inputs, output, activation) {
            reference::multiply_i8(shapes, &parameters, first, second, &mut expected);
            on_every_backend!(check_product::<i8, R>(shapes, &parameters, first, second, &expected));
        }
        Ok(())
    }
    let (first, second): (Vec<i8>, Vec<i8>) = (0..=0xffff).map(|i| ((i >> 8) as i8, i as i8)).unzip();
    for ratios in [[31.99, 31.99], [31.99, 1e-3], [1.0, 1.0], [1e-7, 1e-7], [0.7, 0.3], [500_000.0, 1.0], [0.5, 90.0]] {
        for zero_points in [[-128, -128, 127], [127, 127, -128], [127, -128, 0], [-128, 127, 127], [3, -5, -128]] {
            let [a, b] = [0, 1].map(|i| Quantization::new(ratios[i], zero_points[i]));
            let output = Quantization::new(1.0, zero_points[2]);
            for activation in [Activation::Identity, Activation::Relu6] {
                both::<SingleRounding>([&first, &second], [a, b], output, activation)?;
                both::<DoubleRounding>([&first, &second], [a, b], output, activation)?;
            }
        }
    }
    Ok(())
}

// ---- Every backend against the reference ----

/// Bits of values, all NaNs being the same.
fn bits<T: bytemuck::Pod>(values: &[T]) -> Vec<u8> {
    let mut values = values.to_vec();
    if size_of::<T>() == 4 {
        for value in bytemuck::cast_slice_mut::<T, f32>(&mut values).iter_mut().filter(|value| value.is_nan()) {
            *value = f32::NAN;
        }
    }
    bytemuck::cast_slice(&values).to_vec()
}

fn check_sum<B: Backend, T: Joined, R: ProductRounding>(
    shapes: [[usize; 3]; 2],
    parameters: &T::Sum<R>,
    first: &[T],
    second: &[T],
    expected: &[T],
) -> Result<(), TestCaseError> {
    let broadcast = Broadcast::new(shapes[0], shapes[1]).unwrap();
    let mut output = vec![T::zeroed(); first.len()];
    prop_assert_eq!(binary::add::<B, R, T>(parameters, &broadcast, first, second, &mut output), Ok(()));
    prop_assert_eq!(bits(&output), bits(expected), "{}, {:?}: {:?}", B::NAME, shapes, output);
    let mut output = first.to_vec();
    prop_assert_eq!(binary::add_in_place::<B, R, T>(parameters, &broadcast, &mut output, second), Ok(()));
    prop_assert_eq!(bits(&output), bits(expected), "{}, {:?}, in place", B::NAME, shapes);
    Ok(())
}

fn check_difference<B: Backend, T: Joined + PartialEq, R: ProductRounding>(
    shapes: [[usize; 3]; 2],
    parameters: &T::Sum<R>,
    first: &[T],
    second: &[T],
    expected: &[T],
) -> Result<(), TestCaseError> {
    let broadcast = Broadcast::new(shapes[0], shapes[1]).expect("the second shape repeats over the first");
    let mut output = vec![T::zeroed(); first.len()];
    let done = binary::subtract_from::<B, R, T>(parameters, &broadcast, first, second, &mut output);
    prop_assert_eq!(done, Ok(()));
    prop_assert_eq!(&output, expected, "{}", B::NAME);
    output.copy_from_slice(first);
    let done = binary::subtract_from_in_place::<B, R, T>(parameters, &broadcast, &mut output, second);
    prop_assert_eq!(done, Ok(()));
    prop_assert_eq!(&output, expected, "{}, in place", B::NAME);
    Ok(())
}

fn check_product<B: Backend, T: Joined, R: ProductRounding>(
    shapes: [[usize; 3]; 2],
    parameters: &T::Product<R>,
    first: &[T],
    second: &[T],
    expected: &[T],
) -> Result<(), TestCaseError> {
    let broadcast = Broadcast::new(shapes[0], shapes[1]).unwrap();
    let mut output = vec![T::zeroed(); first.len()];
    prop_assert_eq!(binary::multiply::<B, R, T>(parameters, &broadcast, first, second, &mut output), Ok(()));
    prop_assert_eq!(bits(&output), bits(expected), "{}, {:?}: {:?}", B::NAME, shapes, output);
    let mut output = first.to_vec();
    prop_assert_eq!(binary::multiply_in_place::<B, R, T>(parameters, &broadcast, &mut output, second), Ok(()));
    prop_assert_eq!(bits(&output), bits(expected), "{}, {:?}, in place", B::NAME, shapes);
    Ok(())
}

/// A shape and one that can be repeated over it, sizes around the lengths of vectors.
fn shapes() -> impl Strategy<Value = [[usize; 3]; 2]> + Clone {
    let channels = prop_oneof![
        4 => 1..10usize,
        2 => prop::sample::select(vec![15, 16, 17, 31, 32, 33, 35, 63, 64, 65, 67]),
    ];
    (1..6usize, 1..6usize, channels, 0..8u8).prop_map(|(h, w, c, repeated)| {
        let second = [[h, 1], [w, 1], [c, 1]];
        [[h, w, c], [0, 1, 2].map(|axis| second[axis][usize::from(repeated >> axis & 1)])]
    })
}

/// Two inputs of such shapes.
fn pairs<T: Copy + Debug + 'static>(
    values: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = ([[usize; 3]; 2], Vec<T>, Vec<T>)> {
    shapes().prop_flat_map(move |shapes| {
        let [first, second] = shapes.map(|shape| {
            let count = shape.iter().product::<usize>();
            let same = values.clone().prop_map(move |value| vec![value; count]);
            prop_oneof![3 => prop::collection::vec(values.clone(), count), 1 => same]
        });
        (Just(shapes), first, second)
    })
}

/// A scale near others, so that results do not all saturate.
fn near() -> impl Strategy<Value = f32> + Clone {
    (-2f32..2.0).prop_map(f32::exp2)
}

fn near_quantization() -> impl Strategy<Value = Quantization> + Clone {
    (near(), int8()).prop_map(|(scale, zero_point)| Quantization::new(scale, zero_point))
}

fn int8_pair<R: ProductRounding>(
    (shapes, first, second): &([[usize; 3]; 2], Vec<i8>, Vec<i8>),
    inputs: [Quantization; 2],
    output: Quantization,
    activation: Activation,
    subtract: bool,
) -> Result<(), TestCaseError> {
    let mut expected = vec![0; first.len()];
    let parameters = SumParameters::<i8, R>::int8(subtract, inputs, output, activation).unwrap();
    reference::add_i8(*shapes, &parameters, first, second, &mut expected);
    on_every_backend!(check_sum::<i8, R>(*shapes, &parameters, first, second, &expected));
    let output = Quantization { scale: output.scale * 50.0, ..output };
    let parameters = ProductParameters::<i8, R>::int8(inputs, output, activation).unwrap();
    reference::multiply_i8(*shapes, &parameters, first, second, &mut expected);
    on_every_backend!(check_product::<i8, R>(*shapes, &parameters, first, second, &expected));
    Ok(())
}

fn int16_pair<R: ProductRounding>(
    (shapes, first, second): &([[usize; 3]; 2], Vec<i16>, Vec<i16>),
    inputs: [f32; 2],
    output: f32,
    activation: Activation,
    subtract: bool,
) -> Result<(), TestCaseError> {
    let mut expected = vec![0; first.len()];
    let parameters = SumParameters::<i16, R>::int16(subtract, inputs, output, activation).unwrap();
    reference::add_i16(*shapes, &parameters, first, second, &mut expected);
    on_every_backend!(check_sum::<i16, R>(*shapes, &parameters, first, second, &expected));
    let parameters = ProductParameters::<i16, R>::int16(inputs, output * 12_800.0, activation).unwrap();
    reference::multiply_i16(*shapes, &parameters, first, second, &mut expected);
    on_every_backend!(check_product::<i16, R>(*shapes, &parameters, first, second, &expected));
    Ok(())
}

fn check_look_up<B: Backend>(table: &[i8; 256], input: &[i8], offset: usize) -> Result<(), TestCaseError> {
    let input = &input[offset.min(input.len())..];
    let expected: Vec<i8> = input.iter().map(|&x| table[(i32::from(x) + 128) as usize]).collect();
    let mut output = vec![99; input.len()];
    prop_assert_eq!(unary::look_up::<B>(table, input, &mut output), Ok(()));
    prop_assert_eq!(&output, &expected, "{}", B::NAME);
    let mut output = input.to_vec();
    unary::look_up_in_place::<B>(table, &mut output);
    prop_assert_eq!(&output, &expected, "{} in place", B::NAME);
    Ok(())
}

fn check_conversions<B: Backend>(
    (bytes, halves): (&[i8], &[i16]),
    from: Quantization,
    to: Quantization,
) -> Result<(), TestCaseError> {
    fn requantized<B: Backend, I: Quantized, O: Quantized + PartialEq + Debug, R: ProductRounding>(
        parameters: RequantizeParameters<I, O, R>,
        input: &[I],
    ) -> Result<(), TestCaseError> {
        let mut expected = vec![O::zeroed(); input.len()];
        reference::requantize(&parameters, input, &mut expected);
        check_requantize::<B, I, O, R>(&parameters, input, &expected)
    }
    fn all<B: Backend, R: ProductRounding>(
        (bytes, halves): (&[i8], &[i16]),
        from: Quantization,
        to: Quantization,
    ) -> Result<(), TestCaseError> {
        requantized::<B, _, _, R>(RequantizeParameters::int8(from, to).unwrap(), bytes)?;
        requantized::<B, _, _, R>(RequantizeParameters::int8_to_int16(from, to.scale / 256.0).unwrap(), bytes)?;
        requantized::<B, _, _, R>(RequantizeParameters::int16_to_int8(from.scale / 256.0, to).unwrap(), halves)?;
        let parameters = RequantizeParameters::int16(from.scale, to.scale).unwrap();
        requantized::<B, _, _, R>(parameters, halves)?;
        let (mut values, mut expected) = (halves.to_vec(), halves.to_vec());
        unary::requantize_in_place::<B, _, R>(&parameters, &mut values);
        reference::requantize(&parameters, halves, &mut expected);
        prop_assert_eq!(values, expected);
        Ok(())
    }
    all::<B, SingleRounding>((bytes, halves), from, to)?;
    all::<B, DoubleRounding>((bytes, halves), from, to)?;

    let (mut output, mut expected) = (vec![99.0; bytes.len()], vec![0.0; bytes.len()]);
    prop_assert_eq!(unary::dequantize_i8::<B>(from, bytes, &mut output), Ok(()));
    reference::dequantize_i8(from, bytes, &mut expected);
    prop_assert_eq!(bits(&output), bits(&expected));
    let (mut output, mut expected) = (vec![99.0; halves.len()], vec![0.0; halves.len()]);
    prop_assert_eq!(unary::dequantize_i16::<B>(from.scale, halves, &mut output), Ok(()));
    reference::dequantize_i16(from.scale, halves, &mut expected);
    prop_assert_eq!(bits(&output), bits(&expected));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn integer_pairs_have_the_references_bits(
        bytes in pairs(int8()), inputs in [near_quantization(), near_quantization()], output in near_quantization(),
        halves in pairs(int16()), activation in activations(), subtract in any::<bool>(),
    ) {
        int8_pair::<SingleRounding>(&bytes, inputs, output, activation, subtract)?;
        int8_pair::<DoubleRounding>(&bytes, inputs, output, activation, subtract)?;
        let scales = [inputs[0].scale, inputs[1].scale];
        int16_pair::<SingleRounding>(&halves, scales, output.scale, activation, subtract)?;
        int16_pair::<DoubleRounding>(&halves, scales, output.scale, activation, subtract)?;
    }

    #[test]
    fn float_pairs_have_the_references_bits(
        (shapes, first, second) in pairs(float()), activation in activations(), subtract in any::<bool>(),
    ) {
        let bounds = activation.bounds();
        let mut expected = vec![0.0; first.len()];
        let sum = if subtract { reference::subtract_f32 } else { reference::add_f32 };
        sum(shapes, bounds, &first, &second, &mut expected);
        on_every_backend!(check_sum::<f32, SingleRounding>(shapes, &FloatSum { subtract, bounds }, &first, &second, &expected));
        reference::multiply_f32(shapes, bounds, &first, &second, &mut expected);
        on_every_backend!(check_product::<f32, SingleRounding>(shapes, &bounds, &first, &second, &expected));
    }

    #[test]
    fn conversions_have_the_references_bits(
        bytes in prop::collection::vec(int8(), 0..140), halves in prop::collection::vec(int16(), 0..70),
        from in near_quantization(), to in near_quantization(),
    ) {
        on_every_backend!(check_conversions((&bytes, &halves), from, to));
    }

    #[test]
    fn look_ups_have_the_tables_values(
        input in prop::collection::vec(int8(), 0..200), table in prop::collection::vec(int8(), 256), offset in 0..5usize,
    ) {
        on_every_backend!(check_look_up(&table.clone().try_into().unwrap(), &input, offset));
    }

    /// Written from the definition: a value of the output is the input's where its place lies in the box.
    #[test]
    fn placing_and_padding_are_what_they_say(
        shape in [1..5usize, 1..5usize, 1..7usize], before in [0..3usize, 0..3usize, 0..3usize],
        after in [0..3usize, 0..3usize, 0..3usize],
    ) {
        let whole = [0, 1, 2].map(|axis| before[axis] + shape[axis] + after[axis]);
        let len = shape.iter().product::<usize>();
        let input: Vec<i16> = (1..=len as i16).collect();
        let region = Region::new(shape, before, whole).unwrap();
        let expected = |outside: &dyn Fn(usize) -> i16| -> Vec<i16> {
            (0..whole.iter().product()).map(|i| {
                let place = [i / whole[2] / whole[1], i / whole[2] % whole[1], i % whole[2]];
                let inside = [0, 1, 2].map(|axis| place[axis].checked_sub(before[axis]).filter(|&p| p < shape[axis]));
                match inside {
                    [Some(y), Some(x), Some(c)] => input[(y * shape[1] + x) * shape[2] + c],
                    _ => outside(i),
                }
            }).collect()
        };
        let padded = expected(&|_| -7);
        let mut output = vec![0; padded.len()];
        reference::pad(&region, -7, &input, &mut output);
        prop_assert_eq!(&output, &padded);
        output.fill(0);
        prop_assert_eq!(arrange::pad(&region, -7, &input, &mut output), Ok(()));
        prop_assert_eq!(&output, &padded);

        let placed = expected(&|i| -(i as i16));
        let mut output: Vec<i16> = (0..placed.len() as i16).map(|i| -i).collect();
        prop_assert_eq!(arrange::place(&region, &input, &mut output), Ok(()));
        prop_assert_eq!(&output, &placed);
    }

    #[test]
    fn upsampling_repeats(shape in [1..5usize, 1..5usize, 1..7usize], factors in [1..5usize, 1..5usize]) {
        let [h, w, c] = shape;
        let input: Vec<u16> = (0..(h * w * c) as u16).collect();
        let shape = UpsampleShape::new(shape, [h * factors[0], w * factors[1]], Coordinates::Asymmetric).unwrap();
        let mut expected = Vec::new();
        for row in input.chunks(w * c) {
            for _ in 0..factors[0] {
                expected.extend(row.chunks(c).flat_map(|pixel| pixel.repeat(factors[1])));
            }
        }
        let mut output = vec![0; expected.len()];
        reference::upsample(&shape, &input, &mut output);
        prop_assert_eq!(&output, &expected);
        output.fill(0);
        prop_assert_eq!(arrange::upsample(&shape, &input, &mut output), Ok(()));
        prop_assert_eq!(&output, &expected);
    }

    /// Along each axis the places of Python's `range`, after negative places are counted from behind and all are clamped.
    #[test]
    fn slices_are_ranges(
        shape in [1..6usize, 1..6usize, 1..9usize],
        begin in [-7..8isize, -7..8isize, -10..11isize],
        end in [-7..8isize, -7..8isize, -10..11isize],
        stride in [prop_oneof![-3..0isize, 1..4isize], prop_oneof![-3..0isize, 1..4isize], prop_oneof![-3..0isize, 1..4isize]],
    ) {
        let places: Vec<Vec<usize>> = (0..3).map(|axis| {
            let size = shape[axis] as isize;
            let behind = |at: isize| if at < 0 { at + size } else { at };
            let (mut at, to) = (behind(begin[axis]), behind(end[axis]));
            if stride[axis] > 0 {
                at = at.clamp(0, size);
            } else {
                at = at.clamp(-1, size - 1);
            }
            let mut places = Vec::new();
            while (0..size).contains(&at) && (if stride[axis] > 0 { at < to } else { at > to }) {
                places.push(at as usize);
                at += stride[axis];
            }
            places
        }).collect();
        let slice = SliceShape::new(shape, begin, end, stride);
        if places.iter().any(Vec::is_empty) {
            prop_assert_eq!(slice, Err(ShapeError::Slice));
        } else {
            let slice = slice.unwrap();
            let [h, w, c] = shape;
            let input: Vec<i16> = (0..(h * w * c) as i16).collect();
            let mut expected = Vec::new();
            for y in &places[0] {
                for x in &places[1] {
                    expected.extend(places[2].iter().map(|channel| input[(y * w + x) * c + channel]));
                }
            }
            prop_assert_eq!(slice.output(), [places[0].len(), places[1].len(), places[2].len()]);
            sliced(&slice, &input, &expected);
        }
    }

    #[test]
    fn sums_and_products_do_not_depend_on_the_order(
        scales in [0.01f32..1.0, 0.01f32..1.0], zeros in [any::<i8>(), any::<i8>(), any::<i8>()],
        values in prop::collection::vec(any::<[i8; 2]>(), 1..40),
    ) {
        let [a, b] = [0, 1].map(|i| Quantization::new(scales[i], zeros[i]));
        let to = Quantization::new(0.7, zeros[2]);
        let shape = [[1, 1, values.len()]; 2];
        let [first, second] = [0, 1].map(|i| values.iter().map(|pair| pair[i]).collect::<Vec<i8>>());
        let mut outputs = [vec![0; values.len()], vec![0; values.len()]];
        let sum = |inputs| SumParameters::<i8, DoubleRounding>::int8(false, inputs, to, Activation::Identity).unwrap();
        reference::add_i8(shape, &sum([a, b]), &first, &second, &mut outputs[0]);
        reference::add_i8(shape, &sum([b, a]), &second, &first, &mut outputs[1]);
        prop_assert_eq!(&outputs[0], &outputs[1]);
        let sum = |inputs| SumParameters::<i8, SingleRounding>::int8(false, inputs, to, Activation::Identity).unwrap();
        reference::add_i8(shape, &sum([a, b]), &first, &second, &mut outputs[0]);
        reference::add_i8(shape, &sum([b, a]), &second, &first, &mut outputs[1]);
        prop_assert_eq!(&outputs[0], &outputs[1]);
        let product = |inputs| ProductParameters::<i8, DoubleRounding>::int8(inputs, to, Activation::Identity).unwrap();
        reference::multiply_i8(shape, &product([a, b]), &first, &second, &mut outputs[0]);
        reference::multiply_i8(shape, &product([b, a]), &second, &first, &mut outputs[1]);
        prop_assert_eq!(&outputs[0], &outputs[1]);
    }

    #[test]
    fn resizing_is_the_reference(
        shape in [1..9usize, 1..9usize, 1..7usize],
        size in [1..30usize, 1..30usize],
        coordinates in prop_oneof![
            Just(Coordinates::Asymmetric), Just(Coordinates::HalfPixel), Just(Coordinates::AlignCorners)
        ],
    ) {
        let [h, w, c] = shape;
        let input: Vec<u16> = (0..(h * w * c) as u16).collect();
        let shape = UpsampleShape::new(shape, size, coordinates).unwrap();
        let mut expected = vec![0; size[0] * size[1] * c];
        reference::upsample(&shape, &input, &mut expected);
        let mut output = vec![99; expected.len()];
        prop_assert_eq!(arrange::upsample(&shape, &input, &mut output), Ok(()));
        prop_assert_eq!(&output, &expected);
    }
}

// ---- The layers ----

const STEP: Quantization = Quantization::new(0.1, -5);
const COARSE: Quantization = Quantization::new(0.19, 40);

fn numbers<T: Copy, const H: usize, const W: usize, const C: usize>(
    zero: T,
    value: impl Fn(usize) -> T,
) -> Tensor<T, H, W, C> {
    let mut tensor = Tensor::filled(zero);
    tensor.as_mut_slice().iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
    tensor
}

#[test]
fn layers_are_the_reference() {
    type Full = Tensor<i8, 3, 5, 7>;
    const SHAPES: [[usize; 3]; 2] = [[3, 5, 7], [1, 1, 7]];
    static ADD: Add<Full, Full, DoubleRounding> = Add::int8([STEP, COARSE], COARSE, Activation::Relu);
    static SUBTRACT: Subtract<Full, Tensor<i8, 1, 1, 7>> = Subtract::int8([STEP, COARSE], STEP, Activation::Identity);
    static MULTIPLY: Multiply<Full, Tensor<i8, 1, 1, 7>> = Multiply::int8([STEP, COARSE], COARSE, Activation::Relu6);
    let (a, b): (Full, Full) = (numbers(0, |i| (i * 37) as i8), numbers(0, |i| (i * 101 + 3) as i8));
    let channels: Tensor<i8, 1, 1, 7> = numbers(0, |i| (i * 29) as i8);
    let (mut output, mut expected) = (Full::filled(99), Full::filled(0));

    let parameters = SumParameters::<_, DoubleRounding>::int8(false, [STEP, COARSE], COARSE, Activation::Relu).unwrap();
    reference::add_i8([SHAPES[0]; 2], &parameters, a.as_slice(), b.as_slice(), expected.as_mut_slice());
    ADD.run(a.view(), b.view(), output.view_mut());
    assert_eq!(output, expected);
    output = a;
    ADD.run_in_place(output.view_mut(), b.view());
    assert_eq!(output, expected);

    let parameters =
        SumParameters::<_, SingleRounding>::int8(true, [STEP, COARSE], STEP, Activation::Identity).unwrap();
    reference::add_i8(SHAPES, &parameters, a.as_slice(), channels.as_slice(), expected.as_mut_slice());
    SUBTRACT.run(a.view(), channels.view(), output.view_mut());
    assert_eq!(output, expected);
    output = a;
    SUBTRACT.run_in_place(output.view_mut(), channels.view());
    assert_eq!(output, expected);

    let parameters = ProductParameters::<_, SingleRounding>::int8([STEP, COARSE], COARSE, Activation::Relu6).unwrap();
    reference::multiply_i8(SHAPES, &parameters, a.as_slice(), channels.as_slice(), expected.as_mut_slice());
    MULTIPLY.run(a.view(), channels.view(), output.view_mut());
    assert_eq!(output, expected);
    output = a;
    MULTIPLY.run_in_place(output.view_mut(), channels.view());
    assert_eq!(output, expected);

    // int16 and f32 take the same way; their arithmetic is checked above.
    static WIDE: Add<Tensor<i16, 1, 1, 9>> = Add::int16([0.5, 0.25], 0.5, Activation::Identity);
    let mut wide = numbers(0i16, |i| 1000 * i as i16);
    WIDE.run_in_place(wide.view_mut(), Tensor([[[2; 9]]]).view());
    assert_eq!(wide, numbers(0, |i| 1000 * i as i16 + 1));
    static DIFFERENCE: Subtract<Tensor<f32, 1, 1, 9>> = Subtract::float(Activation::Relu);
    let mut output = Tensor::filled(0.0);
    DIFFERENCE.run(Tensor([[[1.5; 9]]]).view(), numbers(0.0, |i| i as f32).view(), output.view_mut());
    assert_eq!(output.as_slice(), [1.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    static HALVES: Multiply<Tensor<i16, 1, 1, 9>> = Multiply::int16([1.0 / 32768.0, 2.0], 2.0, Activation::Identity);
    wide = numbers(0, |i| 1000 * i as i16);
    HALVES.run_in_place(wide.view_mut(), Tensor([[[16384; 9]]]).view());
    assert_eq!(wide, numbers(0, |i| 500 * i as i16));
}

#[test]
fn requantizing_concatenation_converts_each_input() {
    type A = Tensor<i8, 2, 3, 4>;
    type B = Tensor<i8, 2, 3, 1>;
    type C = Tensor<i8, 2, 3, 40>;
    static MAPS: [RequantizeInt8; 3] = [
        RequantizeInt8::new::<DoubleRounding>(STEP, COARSE),
        RequantizeInt8::new::<SingleRounding>(Quantization::new(0.4, 9), COARSE),
        RequantizeInt8::new::<DoubleRounding>(COARSE, COARSE),
    ];
    static JOIN: Concatenate<(A, B, C), Tensor<i8, 2, 3, 45>, [RequantizeInt8; 3]> = Concatenate::requantizing(
        Axis::Channels,
        [
            RequantizeInt8::new::<DoubleRounding>(STEP, COARSE),
            RequantizeInt8::new::<SingleRounding>(Quantization::new(0.4, 9), COARSE),
            RequantizeInt8::new::<DoubleRounding>(COARSE, COARSE),
        ],
    );
    let (a, b, c): (A, B, C) =
        (numbers(0, |i| (i * 11) as i8), numbers(0, |i| (i * 50) as i8), numbers(0, |i| (i * 7) as i8));
    let mut output = Tensor::filled(0);
    JOIN.run((a.view(), b.view(), c.view()), output.view_mut());
    for y in 0..2 {
        for x in 0..3 {
            let pixel = &output.0[y][x];
            assert!((0..4).all(|i| pixel[i] == MAPS[0].apply(a.0[y][x][i])));
            assert_eq!(pixel[4], MAPS[1].apply(b.0[y][x][0]));
            assert_eq!(pixel[5..], c.0[y][x], "the same quantization");
        }
    }
}

#[test]
fn concatenation_joins_along_each_axis() {
    let (a, b) = (Tensor([[[1.0f32, 2.0]], [[3.0, 4.0]]]), Tensor([[[5.0, 6.0]], [[7.0, 8.0]]]));
    type T = Tensor<f32, 2, 1, 2>;
    const ROWS: Concatenate<(T, T), Tensor<f32, 4, 1, 2>> = Concatenate::new(Axis::Rows);
    const COLUMNS: Concatenate<(T, T), Tensor<f32, 2, 2, 2>> = Concatenate::new(Axis::Columns);
    const CHANNELS: Concatenate<(T, T), Tensor<f32, 2, 1, 4>> = Concatenate::new(Axis::Channels);
    let mut output = Tensor::filled(0.0);
    ROWS.run((a.view(), b.view()), output.view_mut());
    assert_eq!(output, Tensor([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0]]]));
    let mut output = Tensor::filled(0.0);
    COLUMNS.run((a.view(), b.view()), output.view_mut());
    assert_eq!(output, Tensor([[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [7.0, 8.0]]]));
    let mut output = Tensor::filled(0.0);
    CHANNELS.run((a.view(), b.view()), output.view_mut());
    assert_eq!(output, Tensor([[[1.0, 2.0, 5.0, 6.0]], [[3.0, 4.0, 7.0, 8.0]]]));
}

#[test]
fn the_other_layers_are_the_reference() {
    let input: Tensor<f32, 2, 2, 9> = numbers(0.0, |i| i as f32 * 0.731 - 13.0);
    let (mut bytes, mut expected) = (Tensor::filled(0), [0; 36]);
    Quantize::int8(STEP).run(input.view(), bytes.view_mut());
    reference::quantize_i8(STEP, input.as_slice(), &mut expected);
    assert_eq!(bytes.as_slice(), expected);
    let (mut reals, mut expected) = (Tensor::filled(0.0), [0.0; 36]);
    Dequantize::int8(STEP).run(bytes.view(), reals.view_mut());
    reference::dequantize_i8(STEP, bytes.as_slice(), &mut expected);
    assert_eq!(reals.as_slice(), expected);

    let (mut halves, mut expected) = (Tensor::filled(0), [0; 36]);
    Quantize::int16(0.01).run(input.view(), halves.view_mut());
    reference::quantize_i16(0.01, input.as_slice(), &mut expected);
    assert_eq!(halves.as_slice(), expected);

    let mut narrow = Tensor::filled(0);
    Requantize::<_, _, DoubleRounding>::int16_to_int8(0.01, STEP).run(halves.view(), narrow.view_mut());
    let mut expected = [0; 36];
    let parameters = RequantizeParameters::<_, _, DoubleRounding>::int16_to_int8(0.01, STEP).unwrap();
    reference::requantize(&parameters, halves.as_slice(), &mut expected);
    assert_eq!(narrow.as_slice(), expected);

    let parameters = RequantizeParameters::<_, _, SingleRounding>::int8(STEP, COARSE).unwrap();
    reference::requantize(&parameters, bytes.as_slice(), &mut expected);
    let mut output = bytes;
    RequantizeInt8::new::<SingleRounding>(STEP, COARSE).run_in_place(output.view_mut());
    assert_eq!(output.as_slice(), expected);
    output = bytes;
    Requantize::<_, _, SingleRounding>::int8(STEP, COARSE).run_in_place(output.view_mut());
    assert_eq!(output.as_slice(), expected);

    const PAD: Pad<Tensor<i8, 2, 2, 9>, Tensor<i8, 3, 4, 10>> = Pad::new([1, 0, 1], [0, 2, 0], -5);
    let (mut output, mut expected) = (Tensor::filled(0), [0; 120]);
    PAD.run(bytes.view(), output.view_mut());
    reference::pad(&Region::new([2, 2, 9], [1, 0, 1], [3, 4, 10]).unwrap(), -5, bytes.as_slice(), &mut expected);
    assert_eq!(output.as_slice(), expected);

    const UPSAMPLE: Upsample<Tensor<i8, 2, 2, 9>, Tensor<i8, 6, 4, 9>> = Upsample::nearest();
    let (mut output, mut expected) = (Tensor::filled(0), [0; 216]);
    UPSAMPLE.run(bytes.view(), output.view_mut());
    let shape = UpsampleShape::new([2, 2, 9], [6, 4], Coordinates::Asymmetric).unwrap();
    reference::upsample(&shape, bytes.as_slice(), &mut expected);
    assert_eq!(output.as_slice(), expected);

    const SLICE: Slice<Tensor<i8, 2, 2, 9>, Tensor<i8, 2, 1, 4>> = Slice::new([0, -1, 1], [2, 0, 9], [1, -1, 2]);
    let (mut output, mut expected) = (Tensor::filled(0), [0; 8]);
    SLICE.run(bytes.view(), output.view_mut());
    reference::slice(&SLICE.shape(), bytes.as_slice(), &mut expected);
    assert_eq!(output.as_slice(), expected);

    const FROM: SubtractFrom<Tensor<i8, 2, 2, 9>, Tensor<i8, 1, 1, 9>> =
        SubtractFrom::int8([STEP, COARSE], STEP, Activation::Identity);
    let small: Tensor<i8, 1, 1, 9> = Tensor([[[1, -2, 3, -4, 5, -6, 7, -8, 127]]]);
    let (mut output, mut expected) = (Tensor::filled(0), [0; 36]);
    FROM.run(bytes.view(), small.view(), output.view_mut());
    let sum = SumParameters::<i8, SingleRounding>::int8(true, [COARSE, STEP], STEP, Activation::Identity).unwrap();
    reference::add_i8([[1, 1, 9], [2, 2, 9]], &sum, small.as_slice(), bytes.as_slice(), &mut expected);
    assert_eq!(output.as_slice(), expected);
    let mut output = bytes;
    FROM.run_in_place(output.view_mut(), small.view());
    assert_eq!(output.as_slice(), expected);
}

#[test]
fn what_breaks_a_rule_is_refused() {
    assert_eq!(Broadcast::new([4, 4, 8], [1, 1, 4]), Err(ShapeError::Broadcast));
    assert_eq!(Broadcast::new([1, 4, 8], [4, 4, 8]), Err(ShapeError::Broadcast));
    assert_eq!(Broadcast::new([4, 4, 8], [1, 0, 8]), Err(ShapeError::Zero));
    assert_eq!(Broadcast::new([0, 4, 8], [1, 1, 8]), Err(ShapeError::Zero));
    assert_eq!(Broadcast::new([1 << 16, 1 << 15, 1], [1; 3]), Err(ShapeError::TooLarge));
    assert_eq!(Broadcast::new([usize::MAX, 2, 1], [1; 3]), Err(ShapeError::TooLarge));
    assert_eq!(Region::new([2, 2, 2], [1, 0, 0], [2, 2, 2]), Err(ShapeError::Output));
    assert_eq!(Region::new([2, 2, 2], [0, usize::MAX, 0], [2, 2, 2]), Err(ShapeError::Output));
    assert_eq!(Region::new([2, 0, 2], [0, 0, 0], [2, 2, 2]), Err(ShapeError::Zero));
    let slice = |begin, end, stride| SliceShape::new([4, 4, 4], [begin; 3], [end; 3], [stride; 3]).map(|_| ());
    assert_eq!(slice(0, 4, 0), Err(ShapeError::Zero));
    assert_eq!(slice(2, 2, 1), Err(ShapeError::Slice));
    assert_eq!(slice(4, 9, 1), Err(ShapeError::Slice));
    assert_eq!(slice(0, 4, -1), Err(ShapeError::Slice));
    assert_eq!(slice(isize::MIN, isize::MAX, isize::MAX), Ok(()));
    assert_eq!(slice(isize::MAX, isize::MIN, isize::MIN), Ok(()));
    assert_eq!(SliceShape::new([0, 4, 4], [0; 3], [4; 3], [1; 3]), Err(ShapeError::Zero));
    assert_eq!(SliceShape::at([4, 4, 4], [1, 0, 0], [4, 4, 4]), Err(ShapeError::Slice));
    assert_eq!(SliceShape::at([4, 4, 4], [0, usize::MAX, 0], [4, 1, 4]), Err(ShapeError::Slice));
    assert_eq!(SliceShape::at([4, 4, 4], [0, 0, 0], [4, 0, 4]), Err(ShapeError::Zero));
    let between = |input, output| UpsampleShape::between(input, output, Coordinates::HalfPixel).map(|_| ());
    assert_eq!(between([2, 2, 2], [3, 5, 2]), Ok(()));
    assert_eq!(between([2, 2, 2], [4, 4, 3]), Err(ShapeError::Output));
    assert_eq!(between([0, 2, 2], [4, 4, 2]), Err(ShapeError::Zero));
    assert_eq!(between([2, 2, 2], [0, 4, 2]), Err(ShapeError::Zero));
    assert_eq!(between([300, 1, 1], [(1 << 16) + 1, 1, 1]), Err(ShapeError::TooLarge));
    assert_eq!(between([300, 1, 1], [1 << 16, 1 << 15, 1]), Err(ShapeError::TooLarge));

    let broadcast = Broadcast::new([1, 2, 3], [1, 1, 3]).unwrap();
    let sum = FloatSum { subtract: false, bounds: Activation::Identity.bounds() };
    let add = binary::add::<Portable, SingleRounding, f32>;
    assert_eq!(add(&sum, &broadcast, &[0.0; 6], &[0.0; 3], &mut [0.0; 6]), Ok(()));
    assert_eq!(add(&sum, &broadcast, &[0.0; 5], &[0.0; 3], &mut [0.0; 6]), Err(ShapeError::Output));
    assert_eq!(add(&sum, &broadcast, &[0.0; 5], &[0.0; 3], &mut [0.0; 5]), Err(ShapeError::Input));
    assert_eq!(add(&sum, &broadcast, &[0.0; 6], &[0.0; 6], &mut [0.0; 6]), Err(ShapeError::Input));
    let region = Region::new([1, 2, 3], [0; 3], [1, 2, 4]).unwrap();
    assert_eq!(arrange::place(&region, &[0; 5], &mut [0; 8]), Err(ShapeError::Input));
    assert_eq!(arrange::pad(&region, 0, &[0; 6], &mut [0; 9]), Err(ShapeError::Output));
    let shape = UpsampleShape::new([1, 2, 3], [2, 4], Coordinates::Asymmetric).unwrap();
    assert_eq!(arrange::upsample(&shape, &[0; 6], &mut [0; 12]), Err(ShapeError::Output));
    assert_eq!(unary::look_up::<Portable>(&[0; 256], &[0; 3], &mut [0; 2]), Err(ShapeError::Output));

    let (good, bad) = (Quantization::new(1.0, 0), [0.0, -1.0, f32::INFINITY, f32::NAN]);
    for scale in bad {
        let bad = Quantization::new(scale, 0);
        let sum = |inputs, output| {
            SumParameters::<i8, SingleRounding>::int8(false, inputs, output, Activation::Identity).err()
        };
        assert_eq!(sum([bad, good], good), Some(ShapeError::Scale));
        assert_eq!(sum([good, bad], good), Some(ShapeError::Scale));
        assert_eq!(sum([good, good], bad), Some(ShapeError::Scale));
        let product = ProductParameters::<i8, DoubleRounding>::int8([good, good], bad, Activation::Identity);
        assert_eq!(product.err(), Some(ShapeError::Scale));
        assert_eq!(RequantizeParameters::<_, _, DoubleRounding>::int8(bad, good).err(), Some(ShapeError::Scale));
    }
    let coarse = RequantizeParameters::<_, _, SingleRounding>::int16(32768.0, 1.0);
    assert_eq!(coarse.err(), Some(ShapeError::Ratio));
}
