//! The pooling family: the reference gives the bits of TensorFlow Lite Micro and of plain mathematics. That every backend
//! gives the bits of the reference is for `conformance`, and here for the layers.

#[allow(dead_code)]
mod golden;

use bareconv::kernels::elementwise;
use bareconv::{
    AveragePool2d, GlobalAveragePool2d, GlobalMaxPool2d, Mean2d, Pool2dShape, Quantization, ShapeError, Tensor, View,
    arch::Portable, reference, reference::MeanParameters,
};
use golden::{Case, cases};
use proptest::prelude::*;

fn pool_shape(case: &Case) -> Pool2dShape {
    let shape = Pool2dShape {
        input: case.array("input_shape"),
        window: case.array("window"),
        stride: case.array("stride"),
        padding: case.array("padding"),
    };
    assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
    shape
}

#[test]
fn int16_maximum_pooling_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/max_pool_int16.txt")) {
        let expected: Vec<i16> = case.values("output");
        let mut output = vec![0; expected.len()];
        reference::max_pool2d(&pool_shape(&case), &case.values::<i16>("input"), &mut output);
        assert_eq!(output, expected, "{}", case.name);
    }
}

#[test]
fn int16_average_pooling_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/average_pool_int16.txt")) {
        let expected: Vec<i16> = case.values("output");
        let mut output = vec![0; expected.len()];
        reference::average_pool2d(&pool_shape(&case), None, &case.values::<i16>("input"), &mut output);
        assert_eq!(output, expected, "{}", case.name);
    }
}

fn mean_parameters(case: &Case) -> MeanParameters {
    let [height, width, _] = case.array::<usize, 3>("input_shape");
    MeanParameters::new(
        height * width,
        [case.value("input_scale"), case.value("output_scale")],
        [case.value("input_zero_point"), case.value("output_zero_point")],
    )
}

#[test]
fn the_int8_mean_is_that_of_tflite_micro() {
    let mut unlike_average_pooling = 0;
    for case in cases(include_str!("golden/mean.txt")) {
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::mean2d(&mean_parameters(&case), &input, &mut output);
        assert_eq!(output, expected, "{}", case.name);

        let shape: [usize; 3] = case.array("input_shape");
        reference::average_pool2d(&Pool2dShape::new(shape, [shape[0], shape[1]]), None, &input, &mut output);
        let same_quantization = case.value::<f32>("input_scale") == case.value::<f32>("output_scale")
            && case.value::<i8>("input_zero_point") == case.value::<i8>("output_zero_point");
        unlike_average_pooling += usize::from(same_quantization && output != expected);
    }
    assert!(unlike_average_pooling > 0, "why else have both");
}

#[test]
fn the_int16_mean_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/mean_int16.txt")) {
        let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        let mut output = vec![0; expected.len()];
        reference::mean2d(&mean_parameters(&case), &input, &mut output);
        assert_eq!(output, expected, "{}", case.name);
    }
}

/// Any int16 value, extremes often.
fn int16() -> impl Strategy<Value = i16> + Clone {
    prop_oneof![2 => any::<i16>(), 1 => prop::sample::select(vec![i16::MIN, -32767, -1, 0, 1, i16::MAX])]
}

proptest! {
    #[test]
    fn int16_average_pooling_is_the_rounded_average(
        [height, width, stride, before, after] in [1..9usize, 1..9usize, 1..4usize, 0..3usize, 0..3usize],
        values in prop::collection::vec(int16(), 64),
        include in any::<bool>(),
    ) {
        let shape = Pool2dShape {
            stride: [stride, 1], padding: [before, 0, after, 1], ..Pool2dShape::new([height, width, 1], [3, 2])
        };
        prop_assume!(shape.check().is_ok());
        let mut output = vec![0; shape.output().iter().product()];
        reference::average_pool2d(&shape, include.then_some(0), &values[..height * width], &mut output);
        let [_, out_width, _] = shape.output();
        for (at, &average) in output.iter().enumerate() {
            let (mut sum, mut count) = (0.0, 0.0);
            for i in 0..3 {
                for j in 0..2 {
                    let (y, x) = ((at / out_width * stride + i) as i64 - before as i64, at % out_width + j);
                    if (0..height as i64).contains(&y) && x < width {
                        sum += f64::from(values[y as usize * width + x]);
                        count += 1.0;
                    }
                }
            }
            // Exact in f64 but for the division, whose result is no half unless it is exact. round() goes away from 0.
            prop_assert_eq!(f64::from(average), (sum / if include { 6.0 } else { count }).round());
        }
    }

    #[test]
    fn the_mean_is_near_the_mean(
        pixels in prop::collection::vec(any::<i8>(), 1..200), from_zero in any::<i8>(), to_zero in any::<i8>(),
        ratio in 0.01f32..4.0,
    ) {
        let parameters = MeanParameters::new(pixels.len(), [ratio, 1.0], [from_zero.into(), to_zero.into()]);
        let mut output = [0i8];
        reference::mean2d(&parameters, &pixels, &mut output);
        let mean = pixels.iter().map(|&x| f64::from(x) - f64::from(from_zero)).sum::<f64>() / pixels.len() as f64;
        let exact = (mean * f64::from(ratio) + f64::from(to_zero)).clamp(-128.0, 127.0);
        prop_assert!((f64::from(output[0]) - exact).abs() < 0.7501, "{} is not {exact}", output[0]);
    }
}

#[test]
fn extreme_sums_do_not_overflow() {
    for value in [i16::MIN, i16::MAX] {
        let shape = Pool2dShape::new([255, 257, 1], [255, 257]);
        let mut output = [0];
        let input = vec![value; 255 * 257];
        assert_eq!(elementwise::average_pool2d::<Portable, i16>(&shape, None, &input, &mut output), Ok(()));
        assert_eq!(output, [value]);
        let shape = Pool2dShape::new([256, 256, 1], [256, 256]);
        let result = elementwise::average_pool2d::<Portable, i16>(&shape, None, &vec![value; 65536], &mut output);
        assert_eq!(result, Err(ShapeError::TooLarge));
    }
    for value in [i8::MIN, i8::MAX] {
        // The largest sum of distances to the zero point, with the largest and the smallest multiplier.
        for scales in [[1.0, 1.0], [1e9, 1.0], [1e-9, 1.0]] {
            for zero_point in [-128, 127] {
                let parameters = MeanParameters::new(1 << 20, scales, [zero_point, 0]);
                let mut output = [0];
                let input = vec![value; 1 << 20];
                let shape = [1 << 10, 1 << 10, 1];
                elementwise::mean2d::<Portable, i8>(shape, &parameters, &input, &mut output).unwrap();
                let mut expected = [1];
                reference::mean2d(&parameters, &input, &mut expected);
                assert_eq!(output, expected);
            }
        }
    }
}

#[test]
fn layers_are_the_reference() {
    let values: Vec<i16> = (0..7 * 5 * 37i64).map(|i| (i * i * 3701 + i * 11) as i16).collect();
    let bytes: Vec<i8> = values.iter().map(|&x| (x >> 3) as i8).collect();
    let shape = Pool2dShape { stride: [2, 1], padding: [1, 0, 1, 1], ..Pool2dShape::new([7, 5, 37], [3, 2]) };
    let whole = Pool2dShape::new([7, 5, 37], [7, 5]);
    let (input, byte_input) = (View::from_slice(&values).unwrap(), View::from_slice(&bytes).unwrap());

    const AVERAGE: AveragePool2d<Tensor<i16, 7, 5, 37>, Tensor<i16, 4, 5, 37>> = AveragePool2d::int16(Pool2dShape {
        stride: [2, 1],
        padding: [1, 0, 1, 1],
        ..Pool2dShape::new([7, 5, 37], [3, 2])
    })
    .including_padding();
    let (mut output, mut expected) = (Tensor::filled(0), Tensor::filled(1));
    AVERAGE.run(input, output.view_mut());
    reference::average_pool2d(&shape, Some(0), &values, expected.as_mut_slice());
    assert_eq!(output, expected);

    let (mut output, mut expected) = (Tensor::filled(0), Tensor::filled(1));
    GlobalAveragePool2d.run(input, output.view_mut());
    reference::average_pool2d(&whole, None, &values, expected.as_mut_slice());
    assert_eq!(output, expected);
    GlobalMaxPool2d.run(input, output.view_mut());
    reference::max_pool2d(&whole, &values, expected.as_mut_slice());
    assert_eq!(output, expected);

    const MEAN: Mean2d<Tensor<i16, 7, 5, 37>, Tensor<i16, 1, 1, 37>> = Mean2d::int16(0.03, 0.02);
    MEAN.run(input, output.view_mut());
    reference::mean2d(&MeanParameters::new(35, [0.03, 0.02], [0, 0]), &values, expected.as_mut_slice());
    assert_eq!(output, expected);
    const BYTES: Mean2d<Tensor<i8, 7, 5, 37>, Tensor<i8, 1, 1, 37>> =
        Mean2d::int8(Quantization::new(0.03, -7), Quantization::new(0.02, 100));
    let (mut output, mut expected) = (Tensor::filled(0), Tensor::filled(1));
    BYTES.run(byte_input, output.view_mut());
    reference::mean2d(&MeanParameters::new(35, [0.03, 0.02], [-7, 100]), &bytes, expected.as_mut_slice());
    assert_eq!(output, expected);
}
