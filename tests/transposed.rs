//! Transposed convolution: the reference against the definition in `i64`, against the convolution whose transpose it is,
//! and against TensorFlow Lite Micro; every backend against the reference.

mod golden;

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::quant::Rounding;
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int8Filters, Int16Filters, Int16x8, Quantization,
    ReducedRounding, ShapeError, SingleRounding, Tensor, TransposedConv2d, TransposedConv2dShape, dynamic::transposed,
    pack, reference,
};
use golden::cases;
use proptest::prelude::*;

const ONE: Quantization = Quantization::new(1.0, 0);

/// The definition: every input pixel adds its product with the filter to the output.
fn scatter(shape: &TransposedConv2dShape, input: &[i8], filters: &[i8], bias: &[i32]) -> Vec<i64> {
    let ([h, w, c], [out_h, out_w, filters_out]) = (shape.input, shape.output());
    let mut output: Vec<i64> = (0..out_h * out_w * filters_out).map(|i| i64::from(bias[i % filters_out])).collect();
    for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
        for (ky, kx) in (0..shape.filter[0]).flat_map(|ky| (0..shape.filter[1]).map(move |kx| (ky, kx))) {
            let y = (i * shape.stride[0] + ky).checked_sub(shape.padding[0]).filter(|&y| y < out_h);
            let x = (j * shape.stride[1] + kx).checked_sub(shape.padding[1]).filter(|&x| x < out_w);
            let (Some(y), Some(x)) = (y, x) else { continue };
            for o in 0..filters_out {
                for channel in 0..c {
                    let weight = filters[((o * shape.filter[0] + ky) * shape.filter[1] + kx) * c + channel];
                    let value = input[(i * w + j) * c + channel];
                    output[(y * out_w + x) * filters_out + o] += i64::from(weight) * i64::from(value);
                }
            }
        }
    }
    output
}

fn shapes() -> impl Strategy<Value = TransposedConv2dShape> {
    let axis = || (1..7usize, 1..6usize, 1..5usize, 0..5usize, 0..5usize, 0..4usize);
    (axis(), axis(), 1..20usize, 1..12usize)
        .prop_map(|(y, x, channels, filters)| TransposedConv2dShape {
            input: [y.0, x.0, channels],
            filters,
            filter: [y.1, x.1],
            stride: [y.2, x.2],
            padding: [y.3, x.3, y.4, x.4],
            output_padding: [y.5, x.5],
        })
        .prop_filter("the rules", |shape| shape.check().is_ok())
}

fn int8() -> impl Strategy<Value = (TransposedConv2dShape, Vec<i8>, Vec<i8>, Vec<i32>)> {
    shapes().prop_flat_map(|shape| {
        let values = prop::collection::vec(any::<i8>(), shape.input.iter().product::<usize>());
        let weights = prop::collection::vec(-127..=127i8, shape.filters * shape.filter_len());
        (Just(shape), values, weights, prop::collection::vec(-9999..9999i32, shape.filters))
    })
}

fn specified<R: Rounding>(shape: &TransposedConv2dShape, numbers: &Int8Filters<'_>, input: &[i8]) -> Vec<i8> {
    let common = pack::common_requantization(numbers, R::MODE);
    let mut parameters = vec![0; R::WORDS * shape.filters];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate() {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    let mut output = vec![0; shape.output().iter().product()];
    let zero_point = numbers.input.zero_point;
    let Int8Filters { filters, bias, .. } = numbers;
    reference::transposed_conv2d_i8::<R>(shape, input, zero_point, filters, bias, &parameters, &common, &mut output);
    output
}

fn backend_int8<B: Backend, R: Rounding>(
    shape: &TransposedConv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
) -> Vec<i8> {
    let mut output = vec![99; shape.output().iter().product()];
    let mut packed = vec![0xdead_beef; transposed::packed_words::<B, R>(shape)];
    let mut scratch = vec![0x7f80_80ff; transposed::scratch_words::<B, R>(shape)];
    let common = transposed::pack_int8::<B, R>(shape, numbers, &mut packed, &mut scratch).expect("the rules");
    let fill = numbers.input.zero_point;
    transposed::run::<B, R>(shape, &packed, fill, &common, input, &mut output, &mut scratch).expect("the rules");
    output
}

fn backend_float<B: Backend>(shape: &TransposedConv2dShape, numbers: &F32Filters<'_>, input: &[f32]) -> Vec<u32> {
    let mut output = vec![99.0; shape.output().iter().product()];
    let mut packed = vec![0xdead_beef; transposed::packed_words::<B, Clamp>(shape)];
    let mut scratch = vec![0xffff_ffff; transposed::scratch_words::<B, Clamp>(shape)];
    transposed::pack_float::<B>(shape, numbers, &mut packed, &mut scratch).expect("the rules");
    let bounds = numbers.activation.bounds();
    transposed::run::<B, Clamp>(shape, &packed, 0.0, &bounds, input, &mut output, &mut scratch).expect("the rules");
    output.into_iter().map(f32::to_bits).collect()
}

proptest! {
    #[test]
    fn the_reference_is_the_definition((shape, input, filters, bias) in int8()) {
        let small: Vec<i8> = filters.iter().map(|w| w / 32).collect();
        let scales = vec![1.0; shape.filters];
        let output = Quantization::new(64.0, 0);
        let numbers = Int8Filters {
            filters: &small, bias: &bias, scales: &scales, input: ONE, output, activation: Activation::Identity,
        };
        let expected: Vec<i8> = scatter(&shape, &input, &small, &bias)
            .into_iter()
            .map(|sum| (sum as f64 / 64.0 + 0.5).floor().clamp(-128.0, 127.0) as i8)
            .collect();
        prop_assert_eq!(specified::<SingleRounding>(&shape, &numbers, &input), expected);
    }

    /// The inner product of a convolution's output with `y` is that of its input with the transposed convolution of
    /// `y`, with height, width and channels of the filters exchanged accordingly.
    #[test]
    fn it_is_the_transpose_of_a_convolution((shape, y, filters, _) in int8(), seed in any::<u64>()) {
        // The convolution takes what the transposed convolution gives, and the reverse.
        let [h, w, c] = shape.output();
        let convolution = Conv2dShape {
            filter: shape.filter, stride: shape.stride, padding: shape.padding,
            ..Conv2dShape::new([h, w, c], shape.input[2], shape.filter)
        };
        prop_assume!(convolution.check().is_ok() && convolution.output() == shape.input);
        let mut state = seed;
        let x: Vec<i64> = (0..h * w * c).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as i64 - 128
        }).collect();
        let transposed = scatter(&shape, &y, &filters, &vec![0; c]);
        let right: i64 = x.iter().zip(&transposed).map(|(a, b)| a * b).sum();
        let mut left = 0;
        for (at, &y) in y.iter().enumerate() {
            let (channel, j, i) = (at % shape.input[2], at / shape.input[2] % shape.input[1], at / shape.input[2] / shape.input[1]);
            for (ky, kx, o) in (0..shape.filter[0]).flat_map(|a| (0..shape.filter[1]).flat_map(move |b| (0..c).map(move |o| (a, b, o)))) {
                let row = (i * shape.stride[0] + ky).checked_sub(shape.padding[0]).filter(|&r| r < h);
                let column = (j * shape.stride[1] + kx).checked_sub(shape.padding[1]).filter(|&q| q < w);
                if let (Some(row), Some(column)) = (row, column) {
                    let weight = filters[((o * shape.filter[0] + ky) * shape.filter[1] + kx) * shape.input[2] + channel];
                    left += i64::from(y) * i64::from(weight) * x[(row * w + column) * c + o];
                }
            }
        }
        prop_assert_eq!(left, right);
    }

    #[test]
    fn backends_have_the_references_bits(
        (shape, input, filters, bias) in int8(), zero_point in any::<i8>(), output_zero_point in any::<i8>(),
        scale in 0.5..200f32, activation in prop_oneof![Just(Activation::Identity), Just(Activation::Relu)],
    ) {
        let scales: Vec<f32> = (0..shape.filters).map(|o| 0.01 + o as f32 * 0.003).collect();
        let (from, to) = (Quantization::new(1.0, zero_point), Quantization::new(scale, output_zero_point));
        let numbers = Int8Filters { filters: &filters, bias: &bias, scales: &scales, input: from, output: to, activation };
        let (single, double) = (specified::<SingleRounding>(&shape, &numbers, &input), specified::<DoubleRounding>(&shape, &numbers, &input));
        prop_assert_eq!(&backend_int8::<Portable, SingleRounding>(&shape, &numbers, &input), &single);
        prop_assert_eq!(&backend_int8::<Portable, DoubleRounding>(&shape, &numbers, &input), &double);

        let floats = |values: &[i8]| values.iter().map(|&v| f32::from(v) / 7.0).collect::<Vec<f32>>();
        let (x, weights, b) = (floats(&input), floats(&filters), bias.iter().map(|&b| b as f32 / 9.0).collect::<Vec<f32>>());
        let numbers_f32 = F32Filters { filters: &weights, bias: &b, activation };
        let mut expected = vec![0.0; shape.output().iter().product()];
        reference::transposed_conv2d_f32(&shape, &x, &weights, &b, activation.bounds(), &mut expected);
        let expected: Vec<u32> = expected.into_iter().map(f32::to_bits).collect();
        let mut packed = vec![0; transposed::packed_words::<Portable, Clamp>(&shape)];
        let mut scratch = vec![0; transposed::scratch_words::<Portable, Clamp>(&shape)];
        let whole = transposed::pack_float::<Portable>(&shape, &numbers_f32, &mut packed, &mut scratch)
            != Err(ShapeError::MissingTaps);
        if whole {
            prop_assert_eq!(&backend_float::<Portable>(&shape, &numbers_f32, &x), &expected);
        }
        #[cfg(target_arch = "x86_64")]
        {
            use bareconv::arch::Avx2;
            prop_assert_eq!(&backend_int8::<Avx2, SingleRounding>(&shape, &numbers, &input), &single);
            prop_assert_eq!(&backend_int8::<Avx2, DoubleRounding>(&shape, &numbers, &input), &double);
            if whole {
                prop_assert_eq!(&backend_float::<Avx2>(&shape, &numbers_f32, &x), &expected);
            }
        }
    }
}

/// The usual enlargements have all their taps, so that single precision takes them.
#[test]
fn usual_shapes_are_whole() {
    for (filter, stride, before, after, extra) in [
        (2, 2, 0, 0, 0),
        (3, 2, 1, 1, 1),
        (3, 2, 0, 1, 0),
        (3, 2, 0, 0, 0),
        (4, 2, 1, 1, 0),
        (3, 1, 1, 1, 0),
        (5, 3, 1, 1, 0),
    ] {
        let shape = TransposedConv2dShape {
            stride: [stride; 2],
            padding: [before, before, after, after],
            output_padding: [extra; 2],
            ..TransposedConv2dShape::new([4, 5, 2], 3, [filter; 2])
        };
        let (weights, bias) = (vec![1.0; 3 * shape.filter_len()], [0.0; 3]);
        let numbers = F32Filters { filters: &weights, bias: &bias, activation: Activation::Identity };
        assert!(!backend_float::<Portable>(&shape, &numbers, &[1.0; 40]).is_empty(), "{shape:?}");
        // Every pair of input pixel and weight that meets the output is a product; padding adds others.
        let pairs: i64 = scatter(&shape, &[1; 40], &vec![1; weights.len()], &[0; 3]).iter().sum();
        assert!(shape.macs() as i64 >= pairs && (shape.macs() as i64) < 2 * pairs, "{shape:?}");
    }
}

#[test]
fn tensorflow_lite_micro_gives_the_same_bits() {
    for case in cases(include_str!("golden/transposed_conv.txt")) {
        let [out_channels, height, width, channels]: [usize; 4] = case.array("filter_shape");
        let shape = TransposedConv2dShape {
            stride: case.array("stride"),
            padding: case.array("padding"),
            output_padding: case.array("output_padding"),
            ..TransposedConv2dShape::new(case.array("input_shape"), out_channels, [height, width])
        };
        assert_eq!((shape.output(), shape.input[2]), (case.array("output_shape"), channels), "{}", case.name);
        let (filters, bias, scales): (Vec<i8>, Vec<i32>, Vec<f32>) =
            (case.values("weights"), case.values("bias"), case.values("weight_scales"));
        let numbers = Int8Filters {
            filters: &filters,
            bias: &bias,
            scales: &scales,
            input: Quantization::new(case.value("input_scale"), case.value("input_zero_point")),
            output: Quantization::new(case.value("output_scale"), case.value("output_zero_point")),
            activation: if case.value::<u8>("relu") == 1 { Activation::Relu } else { Activation::Identity },
        };
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        assert_eq!(specified::<DoubleRounding>(&shape, &numbers, &input), expected, "{}", case.name);
        assert_eq!(backend_int8::<Portable, DoubleRounding>(&shape, &numbers, &input), expected, "{}", case.name);
    }
}

fn specified_int16<R: Rounding>(shape: &TransposedConv2dShape, numbers: &Int16Filters<'_>, input: &[i16]) -> Vec<i16> {
    let common = pack::common_requantization_i16(numbers, R::MODE);
    let mut parameters = vec![0; R::WORDS * shape.filters];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate() {
        pack::requantization_parameters_i16(numbers, R::MODE, &common, o, words);
    }
    let mut output = vec![0; shape.output().iter().product()];
    let Int16Filters { filters, bias, .. } = numbers;
    reference::transposed_conv2d_i16::<R>(shape, input, filters, bias, &parameters, &common, &mut output);
    output
}

fn backend_int16<B: Backend, R: Rounding>(
    shape: &TransposedConv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
) -> Vec<i16> {
    let mut output = vec![99; shape.output().iter().product()];
    let mut packed = vec![0xdead_beef; transposed::packed_words::<B, Int16x8<R>>(shape)];
    let mut scratch = vec![0x7f80_80ff; transposed::scratch_words::<B, Int16x8<R>>(shape)];
    let common = transposed::pack_int16::<B, R>(shape, numbers, &mut packed, &mut scratch).expect("the rules");
    transposed::run::<B, Int16x8<R>>(shape, &packed, 0, &common, input, &mut output, &mut scratch).expect("the rules");
    output
}

proptest! {
    #[test]
    fn int16_is_the_definition_on_every_backend((shape, input, filters, bias) in int8(), low in 0..=127i8) {
        // The definition takes int8 values; those and their multiples by 256 have sums that are known.
        let small: Vec<i8> = filters.iter().map(|w| w / 16).collect();
        let wide: Vec<i16> = input.iter().map(|&x| i16::from(x) * 256 + i16::from(low)).collect();
        let ones = vec![1; input.len()];
        let nothing = vec![0; shape.filters];
        let (high, ones) = (scatter(&shape, &input, &small, &nothing), scatter(&shape, &ones, &small, &nothing));
        let scales = vec![1.0; shape.filters];
        let numbers = Int16Filters {
            filters: &small, bias: &bias, scales: &scales, input: 1.0, output: 64.0, activation: Activation::Identity,
        };
        let expected: Vec<i16> = (0..high.len())
            .map(|at| {
                let sum = high[at] * 256 + ones[at] * i64::from(low) + i64::from(bias[at % shape.filters]);
                (sum as f64 / 64.0 + 0.5).floor().clamp(-32768.0, 32767.0) as i16
            })
            .collect();
        prop_assert_eq!(&specified_int16::<SingleRounding>(&shape, &numbers, &wide), &expected);
        prop_assert_eq!(&backend_int16::<Portable, SingleRounding>(&shape, &numbers, &wide), &expected);
        #[cfg(target_arch = "x86_64")]
        prop_assert_eq!(&backend_int16::<bareconv::arch::Avx2, SingleRounding>(&shape, &numbers, &wide), &expected);
    }
}

#[test]
fn tensorflow_lite_micro_gives_the_same_bits_in_int16() {
    for case in cases(include_str!("golden/transposed_conv_int16.txt")) {
        let [out_channels, height, width, _]: [usize; 4] = case.array("filter_shape");
        let shape = TransposedConv2dShape {
            stride: case.array("stride"),
            padding: case.array("padding"),
            output_padding: case.array("output_padding"),
            ..TransposedConv2dShape::new(case.array("input_shape"), out_channels, [height, width])
        };
        let (filters, bias, scales): (Vec<i8>, Vec<i32>, Vec<f32>) =
            (case.values("weights"), case.values("bias"), case.values("weight_scales"));
        let numbers = Int16Filters {
            filters: &filters,
            bias: &bias,
            scales: &scales,
            input: case.value("input_scale"),
            output: case.value("output_scale"),
            activation: if case.value::<u8>("relu") == 1 { Activation::Relu } else { Activation::Identity },
        };
        let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        assert_eq!(specified_int16::<ReducedRounding>(&shape, &numbers, &input), expected, "{}", case.name);
        assert_eq!(backend_int16::<Portable, ReducedRounding>(&shape, &numbers, &input), expected, "{}", case.name);
    }
}

#[test]
fn layers_are_the_reference() {
    const SHAPE: TransposedConv2dShape =
        TransposedConv2dShape::new([3, 4, 3], 5, [3, 3]).stride(2).padding(1).output_padding(1);
    const WEIGHTS: [i8; 5 * 27] = {
        let mut weights = [0; 5 * 27];
        let mut i = 0;
        while i < weights.len() {
            weights[i] = (i * 37 % 255) as i8;
            weights[i] = if weights[i] == -128 { 0 } else { weights[i] };
            i += 1;
        }
        weights
    };
    const NUMBERS: Int8Filters<'static> = Int8Filters {
        filters: &WEIGHTS,
        bias: &[1, -2, 300, 4, 5],
        scales: &[0.02; 5],
        input: Quantization::new(0.5, -3),
        output: Quantization::new(3.0, 9),
        activation: Activation::Relu,
    };
    static LAYER: TransposedConv2d<
        Tensor<i8, 3, 4, 3>,
        Tensor<i8, 6, 8, 5>,
        { SHAPE.phases() },
        { SHAPE.packed_words::<DoubleRounding>() },
        DoubleRounding,
    > = TransposedConv2d::int8(SHAPE, NUMBERS);
    let (mut input, mut output) = (Tensor::filled(0), Tensor::filled(99));
    for (i, value) in input.as_mut_slice().iter_mut().enumerate() {
        *value = (i * 91) as i8;
    }
    LAYER.run(input.view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<DoubleRounding>()]);
    assert_eq!(output.as_slice(), specified::<DoubleRounding>(&SHAPE, &NUMBERS, input.as_slice()));

    const FLOATS: [f32; 5 * 27] = {
        let mut weights = [0.0; 5 * 27];
        let mut i = 0;
        while i < weights.len() {
            weights[i] = WEIGHTS[i] as f32 / 3.0;
            i += 1;
        }
        weights
    };
    const REAL: F32Filters<'static> =
        F32Filters { filters: &FLOATS, bias: &[0.5, 1.5, -2.0, 0.0, 1.0], activation: Activation::Relu6 };
    static FLOAT: TransposedConv2d<
        Tensor<f32, 3, 4, 3>,
        Tensor<f32, 6, 8, 5>,
        { SHAPE.phases() },
        { SHAPE.packed_words::<Clamp>() },
        Clamp,
    > = TransposedConv2d::float(SHAPE, REAL);
    let mut real: Tensor<f32, 3, 4, 3> = Tensor::filled(0.0);
    for (real, &value) in real.as_mut_slice().iter_mut().zip(input.as_slice()) {
        *real = f32::from(value) / 11.0;
    }
    let (mut output, mut expected) = (Tensor::filled(9.0), Tensor::<f32, 6, 8, 5>::filled(0.0));
    FLOAT.run(real.view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<Clamp>()]);
    let bounds = Activation::Relu6.bounds();
    reference::transposed_conv2d_f32(&SHAPE, real.as_slice(), REAL.filters, REAL.bias, bounds, expected.as_mut_slice());
    assert_eq!(output, expected);
}

#[test]
fn broken_rules_are_named() {
    let good = TransposedConv2dShape::new([4, 4, 2], 3, [3, 3]).stride(2).padding(1);
    assert_eq!(good.check(), Ok(()));
    for (shape, error) in [
        (TransposedConv2dShape { stride: [0, 1], ..good }, ShapeError::Zero),
        (good.padding(3), ShapeError::PaddingTooLarge),
        (good.output_padding(2), ShapeError::OutputPadding),
        (TransposedConv2dShape { filters: 1 << 17, ..good }, ShapeError::TooLarge),
        (TransposedConv2dShape::new([1, 1, 1], 1, [2, 2]).padding(1), ShapeError::FilterTooLarge),
    ] {
        assert_eq!(shape.check(), Err(error));
    }
}
