//! The pooling family: the reference gives the bits of TensorFlow Lite Micro and of plain mathematics. That every backend
//! gives the bits of the reference is for `conformance`, and here for the layers.

#[allow(dead_code)]
mod golden;

use bareconv::kernels::elementwise::{self, blur_pool::blur_pool2d};
use bareconv::{
    AveragePool2d, BlurPadding, BlurPool2d, BlurPool2dShape, GlobalAveragePool2d, GlobalMaxPool2d, MaxPool2d, Mean2d,
    Pool2dShape, Quantization, ShapeError, SpatialPyramidPool, Tensor, View, arch::Portable, reference,
    reference::MeanParameters,
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

// ---- Spatial pyramid pooling ----

proptest! {
    /// The bins as the paper has them, in real numbers; maxima and averages from their definitions.
    #[test]
    fn a_spatial_pyramid_pools_the_papers_bins(
        (levels, height, width) in prop::collection::vec(1..6usize, 1..4).prop_flat_map(|levels| {
            let largest = *levels.iter().max().unwrap();
            (Just(levels), largest..12, largest..12)
        }),
        values in prop::collection::vec(any::<i8>(), 2 * 121),
    ) {
        let shape = [height, width, 2];
        let input = &values[..height * width * 2];
        let len = 2 * levels.iter().map(|level| level * level).sum::<usize>();
        let (mut maxima, mut averages) = (vec![0; len], vec![0; len]);
        reference::spatial_pyramid_max(&levels, shape, input, &mut maxima);
        reference::spatial_pyramid_average(&levels, shape, input, &mut averages);
        let mut at = 0;
        for &level in &levels {
            for bin in 0..level * level {
                let range = |i: usize, size: usize| {
                    let share = size as f64 / level as f64;
                    // A thousandth, so that an exact product is not lifted by a rounding error.
                    let end = ((i + 1) as f64 * share - 1e-3).ceil();
                    (i as f64 * share + 1e-3).floor() as usize..end as usize
                };
                for channel in 0..2 {
                    let mut bin_values = Vec::new();
                    for y in range(bin / level, height) {
                        for x in range(bin % level, width) {
                            bin_values.push(input[(y * width + x) * 2 + channel]);
                        }
                    }
                    prop_assert_eq!(maxima[at], *bin_values.iter().max().unwrap());
                    let sum: f64 = bin_values.iter().map(|&x| f64::from(x)).sum();
                    prop_assert_eq!(f64::from(averages[at]), (sum / bin_values.len() as f64).round());
                    at += 1;
                }
            }
        }
    }
}

#[test]
fn a_spatial_pyramid_makes_one_length_of_any_size() {
    const POOL: SpatialPyramidPool<4, 2, 0, 1> = SpatialPyramidPool;
    assert_eq!(SpatialPyramidPool::<4, 2, 0, 1>::LEVELS, [4, 2, 1]);
    assert_eq!(SpatialPyramidPool::<4, 2, 0, 1>::BINS, 21);
    let values: Vec<f32> = (0..13 * 13 * 5).map(|i| (i as f32 * 0.37).sin()).collect();
    for (height, width) in [(4, 4), (13, 13), (5, 12), (10, 4)] {
        let input = &values[..height * width * 5];
        let (mut output, mut expected) = ([9.0; 105], [8.0; 105]);
        assert_eq!(POOL.max_slice([height, width, 5], input, &mut output), Ok(()));
        reference::spatial_pyramid_max(&[4, 2, 1], [height, width, 5], input, &mut expected);
        assert_eq!(output, expected);
        assert_eq!(POOL.average_slice([height, width, 5], input, &mut output), Ok(()));
        reference::spatial_pyramid_average_f32(&[4, 2, 1], [height, width, 5], input, &mut expected);
        assert_eq!(output, expected);
    }
    // The layer of fixed shape is the same.
    let (mut output, mut expected) = (Tensor::<f32, 1, 1, 105>::filled(9.0), [8.0; 105]);
    POOL.average(View::<f32, 13, 13, 5>::from_slice(&values).unwrap(), output.view_mut());
    POOL.average_slice([13, 13, 5], &values, &mut expected).unwrap();
    assert_eq!(output.as_slice(), expected);
}

#[test]
fn pyramids_that_break_a_rule_are_refused() {
    let pool = SpatialPyramidPool::<1, 3>;
    let mut output = [0i16; 10];
    assert_eq!(pool.max_slice([3, 3, 1], &[1; 9], &mut output), Ok(()));
    assert_eq!(pool.max_slice([3, 2, 1], &[1; 6], &mut output), Err(ShapeError::PyramidLevel));
    assert_eq!(pool.average_slice([2, 3, 1], &[1; 6], &mut output), Err(ShapeError::PyramidLevel));
    assert_eq!(pool.max_slice([3, 3, 0], &[], &mut output), Err(ShapeError::Zero));
    assert_eq!(pool.max_slice([3, 3, 1], &[1; 8], &mut output), Err(ShapeError::Input));
    assert_eq!(pool.max_slice([3, 3, 1], &[1; 9], &mut output[..9]), Err(ShapeError::Output));
    assert_eq!(pool.max_slice([usize::MAX, usize::MAX, 1], &[1; 9], &mut output), Err(ShapeError::TooLarge));
    // One bin of 2^16 values is more than an int16 sum has room for; its maximum is not.
    let large = vec![i16::MIN; 1 << 16];
    assert_eq!(pool.max_slice([256, 256, 1], &large, &mut output), Ok(()));
    assert_eq!(pool.average_slice([256, 256, 1], &large, &mut output), Err(ShapeError::TooLarge));
    assert_eq!(SpatialPyramidPool::<0>.max_slice([3, 3, 1], &[1i16; 9], &mut []), Err(ShapeError::Zero));
}

// ---- Anti-aliased pooling ----

/// An output of anti-aliased pooling in `f64`, from its definition: maxima, then a row of Pascal's triangle by
/// convolution of `[1, 1]` with itself, then every `stride`-th.
fn blurred(shape: &BlurPool2dShape, zero: f64, input: &[f64]) -> Vec<f64> {
    let [height, width, channels] = shape.input;
    let (dense_height, dense_width) = (height + 1 - shape.max, width + 1 - shape.max);
    let mut filter = vec![1.0];
    for _ in 1..shape.taps {
        let shifted = std::iter::once(&0.0).chain(&filter);
        filter = shifted.zip(filter.iter().chain(std::iter::once(&0.0))).map(|(a, b)| (a + b) / 2.0).collect();
    }
    let mirrored = |place: i64, size: i64| {
        if place < 0 {
            -place
        } else if place >= size {
            2 * size - 2 - place
        } else {
            place
        }
    };
    let mut output = Vec::new();
    for y in (0..dense_height).step_by(shape.stride) {
        for x in (0..dense_width).step_by(shape.stride) {
            for c in 0..channels {
                let mut sum = 0.0;
                for (i, row_weight) in filter.iter().enumerate() {
                    for (j, weight) in filter.iter().enumerate() {
                        let mut row = (y + i) as i64 - (shape.taps as i64 - 1) / 2;
                        let mut column = (x + j) as i64 - (shape.taps as i64 - 1) / 2;
                        if shape.padding == BlurPadding::Reflect {
                            row = mirrored(row, dense_height as i64);
                            column = mirrored(column, dense_width as i64);
                        }
                        let inside =
                            (0..dense_height as i64).contains(&row) && (0..dense_width as i64).contains(&column);
                        let value = if inside {
                            let window = (0..shape.max * shape.max).map(|at| {
                                let (y, x) = (row as usize + at / shape.max, column as usize + at % shape.max);
                                input[(y * width + x) * channels + c]
                            });
                            window.fold(f64::NEG_INFINITY, f64::max)
                        } else {
                            zero
                        };
                        sum += row_weight * weight * value;
                    }
                }
                output.push(sum);
            }
        }
    }
    output
}

fn blur_shapes() -> impl Strategy<Value = BlurPool2dShape> {
    (1..9usize, 1..9usize, 1..3usize, 2..8usize, 1..4usize, 1..4usize, any::<bool>())
        .prop_map(|(height, width, channels, taps, stride, max, zero)| {
            let shape = BlurPool2dShape::new([height, width, channels], taps, stride).max_pool(max);
            if zero { shape.zero_padding() } else { shape }
        })
        .prop_filter("the shape obeys the rules", |shape| shape.check().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn anti_aliased_pooling_is_the_blurred_maximum(
        shape in blur_shapes(), values in prop::collection::vec(int16(), 128), zero_point in any::<i8>(),
    ) {
        let values = &values[..shape.input.iter().product()];
        let reals: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        // Exact in f64: 16 bits and 12 of the weights. Halves are rounded upwards.
        let expected: Vec<f64> = blurred(&shape, 0.0, &reals).iter().map(|x| (x + 0.5).floor()).collect();
        let mut output = vec![0i16; expected.len()];
        reference::blur_pool2d(&shape, 0, values, &mut output);
        prop_assert_eq!(output.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), expected);

        let bytes: Vec<i8> = values.iter().map(|&x| (x >> 8) as i8).collect();
        let reals: Vec<f64> = bytes.iter().map(|&x| f64::from(x)).collect();
        let exact = blurred(&shape, zero_point.into(), &reals);
        let expected: Vec<f64> = exact.iter().map(|x| (x + 0.5).floor()).collect();
        let mut output = vec![0i8; expected.len()];
        reference::blur_pool2d(&shape, zero_point, &bytes, &mut output);
        prop_assert_eq!(output.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), expected);

        // Of whole numbers of 8 bits the sums of up to 12 bits more are exact in f32.
        let floats: Vec<f32> = bytes.iter().map(|&x| f32::from(x)).collect();
        let mut output = vec![0.0; exact.len()];
        reference::blur_pool2d_f32(&shape, &floats, &mut output);
        let exact = blurred(&shape, 0.0, &reals);
        prop_assert_eq!(output.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), exact);
    }

    #[test]
    fn float_anti_aliased_pooling_is_near_the_blurred_maximum(
        shape in blur_shapes(), values in prop::collection::vec(-100f32..100.0, 128),
    ) {
        let values = &values[..shape.input.iter().product()];
        let exact = blurred(&shape, 0.0, &values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let mut output = vec![0.0; exact.len()];
        reference::blur_pool2d_f32(&shape, values, &mut output);
        for (output, exact) in output.iter().zip(exact) {
            // Two sums of seven products, of numbers below 100 and weights that add up to 1.
            prop_assert!((f64::from(*output) - exact).abs() < 30.0 * 100.0 * f64::from(f32::EPSILON));
        }
    }
}

/// What anti-aliasing is for: an input shifted by one pixel changes the output less.
#[test]
fn anti_aliased_pooling_is_more_consistent_under_shifts() {
    const SIZE: usize = 32;
    const MAX: MaxPool2d<Tensor<i8, SIZE, SIZE, 1>, Tensor<i8, 16, 16, 1>> =
        MaxPool2d::new(Pool2dShape::new([SIZE, SIZE, 1], [2, 2]));
    const BLUR_3: BlurPool2d<Tensor<i8, SIZE, SIZE, 1>, Tensor<i8, 16, 16, 1>> =
        BlurPool2d::int8(BlurPool2dShape::new([SIZE, SIZE, 1], 3, 2).max_pool(2), 0);
    const BLUR_5: BlurPool2d<Tensor<i8, SIZE, SIZE, 1>, Tensor<i8, 16, 16, 1>> =
        BlurPool2d::int8(BlurPool2dShape::new([SIZE, SIZE, 1], 5, 2).max_pool(2), 0);
    // Disks and stripes; `shift` moves them to the right.
    let picture = |kind: usize, shift: f64| {
        let mut picture = Tensor::<i8, SIZE, SIZE, 1>::filled(0);
        for (y, row) in picture.0.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (y, x) = (y as f64 - 16.0, x as f64 - 16.0 - shift);
                let bright = match kind {
                    0 => x.hypot(y) < 7.5,
                    1 => (x + 0.4 * y).rem_euclid(5.0) < 2.0,
                    2 => x.hypot(y).rem_euclid(4.0) < 1.5,
                    _ => (x * 0.9).sin() * (y * 0.7).cos() > 0.2,
                };
                pixel[0] = if bright { 100 } else { -100 };
            }
        }
        picture
    };
    // The difference that is left when the output, too, is moved: half a pixel, so outputs of shifts 0 and 2 differ by
    // one whole pixel, and those of shift 1 lie between them.
    let change = |run: &dyn Fn(&Tensor<i8, SIZE, SIZE, 1>) -> Tensor<i8, 16, 16, 1>| {
        let mut sum = 0i64;
        for kind in 0..4 {
            let [before, here, after] = [0.0, 1.0, 2.0].map(|shift| run(&picture(kind, shift)));
            for y in 2..14 {
                for x in 2..14 {
                    let between = i64::from(before.0[y][x][0]) + i64::from(after.0[y][x][0]);
                    sum += (2 * i64::from(here.0[y][x][0]) - between).abs();
                }
            }
        }
        sum
    };
    let max = change(&|picture| {
        let mut output = Tensor::filled(0);
        MAX.run(picture.view(), output.view_mut());
        output
    });
    let [three, five] = [&BLUR_3, &BLUR_5].map(|layer| {
        change(&|picture| {
            let mut output = Tensor::filled(0);
            layer.run(picture.view(), output.view_mut());
            output
        })
    });
    println!("change under a shift: maximum {max}, with 3 taps {three}, with 5 taps {five}");
    assert!(three * 3 < max * 2 && five < three, "{max} {three} {five}");
}

#[test]
fn blurs_that_break_a_rule_are_refused() {
    let good = BlurPool2dShape::new([4, 4, 2], 3, 2);
    assert_eq!(good.check(), Ok(()));
    let bad = [
        (BlurPool2dShape { input: [4, 0, 2], ..good }, ShapeError::Zero),
        (BlurPool2dShape { stride: 0, ..good }, ShapeError::Zero),
        (BlurPool2dShape { max: 0, ..good }, ShapeError::Zero),
        (BlurPool2dShape { taps: 1, ..good }, ShapeError::Taps),
        (BlurPool2dShape { taps: 8, ..good }, ShapeError::Taps),
        (good.max_pool(5), ShapeError::WindowTooLarge),
        (good.max_pool(4), ShapeError::Reflection),
        (BlurPool2dShape { input: [1 << 16, 1 << 16, 1], ..good }, ShapeError::TooLarge),
    ];
    for (shape, error) in bad {
        assert_eq!(shape.check(), Err(error), "{shape:?}");
    }
    assert_eq!(good.max_pool(4).zero_padding().check(), Ok(()));
    let pool = blur_pool2d::<Portable, i8>;
    assert_eq!(pool(&good, 0, &[0; 31], &mut [0; 8]), Err(ShapeError::Input));
    assert_eq!(pool(&good, 0, &[0; 32], &mut [0; 7]), Err(ShapeError::Output));
    assert_eq!(pool(&good.max_pool(4), 0, &[0; 32], &mut [0; 2]), Err(ShapeError::Reflection));
}
