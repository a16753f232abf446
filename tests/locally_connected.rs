//! Locally connected layers: the reference against the sum of the definition in `i64`, and against the convolution that
//! the layer is where all pixels have the same filters; every backend against the reference.

use bareconv::arch::Portable;
use bareconv::dynamic::{conv2d, locally_connected};
use bareconv::kernels::Backend;
use bareconv::quant::Rounding;
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int8Filters, Int16Filters, Int16x8, LocallyConnected2d,
    Quantization, ShapeError, SingleRounding, Tensor, pack, reference,
};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let axis = || (1..9usize, 1..5usize, 1..4usize, 1..3usize, 0..4usize, 0..4usize);
    (axis(), axis(), 1..20usize, 1..12usize)
        .prop_map(|(y, x, channels, filters)| Conv2dShape {
            stride: [y.2, x.2],
            dilation: [y.3, x.3],
            padding: [y.4, x.4, y.5, x.5],
            ..Conv2dShape::new([y.0, x.0, channels], filters, [y.1, x.1])
        })
        .prop_filter("the rules", |shape| shape.check().is_ok())
}

/// Numbers of a layer and an input; where `shared`, every pixel has the same filters and biases.
fn cases(shared: bool) -> impl Strategy<Value = (Conv2dShape, Vec<i8>, Vec<i8>, Vec<i32>)> {
    shapes().prop_flat_map(move |shape| {
        let [h, w, c] = shape.output();
        let pixels = if shared { 1 } else { h * w };
        let input = prop::collection::vec(any::<i8>(), shape.input.iter().product::<usize>());
        let filters = prop::collection::vec(-127..=127i8, pixels * c * shape.filter_len());
        (Just(shape), input, filters, prop::collection::vec(-9999..9999i32, pixels * c))
    })
}

fn numbers<'a>(filters: &'a [i8], bias: &'a [i32], scales: &'a [f32], scale: f32) -> Int8Filters<'a> {
    let (input, output) = (Quantization::new(1.0, -7), Quantization::new(scale, 5));
    Int8Filters { filters, bias, scales, input, output, activation: Activation::Identity }
}

fn specified<R: Rounding>(shape: &Conv2dShape, numbers: &Int8Filters<'_>, input: &[i8]) -> Vec<i8> {
    let common = pack::common_requantization(numbers, R::MODE);
    let mut parameters = vec![0; R::WORDS * numbers.bias.len()];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate() {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    let mut output = vec![0; numbers.bias.len()];
    let zero_point = numbers.input.zero_point;
    let Int8Filters { filters, bias, .. } = numbers;
    reference::locally_connected2d_i8::<R>(shape, input, zero_point, filters, bias, &parameters, &common, &mut output);
    output
}

fn backend_int8<B: Backend, R: Rounding>(shape: &Conv2dShape, numbers: &Int8Filters<'_>, input: &[i8]) -> Vec<i8> {
    let mut output = vec![99; numbers.bias.len()];
    let mut packed = vec![0xdead_beef; locally_connected::packed_words::<B, R>(shape)];
    let common = locally_connected::pack_int8::<B, R>(shape, numbers, &mut packed).expect("the rules");
    let mut scratch = vec![0x7f80_80ff; locally_connected::scratch_words::<B, R>(shape)];
    let fill = numbers.input.zero_point;
    locally_connected::run::<B, R>(shape, &packed, fill, &common, input, &mut output, &mut scratch).expect("the rules");
    output
}

fn backend_float<B: Backend>(shape: &Conv2dShape, numbers: &F32Filters<'_>, input: &[f32]) -> Vec<u32> {
    let mut output = vec![99.0; numbers.bias.len()];
    let mut packed = vec![0xdead_beef; locally_connected::packed_words::<B, Clamp>(shape)];
    locally_connected::pack_float::<B>(shape, numbers, &mut packed).expect("the rules");
    let mut scratch = vec![0xffff_ffff; locally_connected::scratch_words::<B, Clamp>(shape)];
    let bounds = numbers.activation.bounds();
    locally_connected::run::<B, Clamp>(shape, &packed, 0.0, &bounds, input, &mut output, &mut scratch)
        .expect("the rules");
    output.into_iter().map(f32::to_bits).collect()
}

proptest! {
    #[test]
    fn the_reference_is_the_definition((shape, input, filters, bias) in cases(false)) {
        let scales = vec![1.0; bias.len()];
        let numbers = numbers(&filters, &bias, &scales, 512.0);
        let [h, w, c] = shape.input;
        let [_, out_w, channels] = shape.output();
        let expected: Vec<i8> = (0..bias.len()).map(|at| {
            let (x, y) = (at / channels % out_w, at / channels / out_w);
            let mut sum = i64::from(bias[at]);
            for (place, &weight) in filters[at * shape.filter_len()..][..shape.filter_len()].iter().enumerate() {
                let (k, j, i) = (place % c, place / c % shape.filter[1], place / c / shape.filter[1]);
                let row = (y * shape.stride[0] + i * shape.dilation[0]).wrapping_sub(shape.padding[0]);
                let column = (x * shape.stride[1] + j * shape.dilation[1]).wrapping_sub(shape.padding[1]);
                if row < h && column < w {
                    sum += i64::from(weight) * (i64::from(input[(row * w + column) * c + k]) + 7);
                }
            }
            ((sum as f64 / 512.0 + 0.5).floor() as i64 + 5).clamp(-128, 127) as i8
        }).collect();
        prop_assert_eq!(specified::<SingleRounding>(&shape, &numbers, &input), expected);
    }

    /// With the same filters for all pixels it is the convolution.
    #[test]
    fn shared_filters_make_a_convolution((shape, input, filters, bias) in cases(true)) {
        let [h, w, _] = shape.output();
        let scales = vec![0.25; bias.len()];
        let one = numbers(&filters, &bias, &scales, 100.0);
        let mut convolved = vec![0; h * w * bias.len()];
        let mut packed = vec![0; conv2d::packed_words::<Portable, DoubleRounding>(&shape)];
        let common = conv2d::pack_int8::<Portable, DoubleRounding>(&shape, &one, &mut packed)?;
        let mut scratch = vec![0; conv2d::scratch_words::<Portable, DoubleRounding>(&shape)];
        conv2d::run::<Portable, DoubleRounding>(&shape, &packed, -7, &common, &input, &mut convolved, &mut scratch)?;
        let (filters, bias, scales) = (filters.repeat(h * w), bias.repeat(h * w), scales.repeat(h * w));
        let all = numbers(&filters, &bias, &scales, 100.0);
        prop_assert_eq!(specified::<DoubleRounding>(&shape, &all, &input), convolved);
    }

    #[test]
    fn int16_backends_have_the_references_bits((shape, input, filters, bias) in cases(false), scale in 50.0..9000f32) {
        let input: Vec<i16> = input.iter().map(|&x| i16::from(x) * 251 + 77).collect();
        let scales = vec![0.5; bias.len()];
        let numbers = Int16Filters {
            filters: &filters, bias: &bias, scales: &scales, input: 1.0, output: scale, activation: Activation::Identity,
        };
        let common = pack::common_requantization_i16(&numbers, DoubleRounding::MODE);
        let mut parameters = vec![0; 2 * bias.len()];
        for (o, words) in parameters.chunks_exact_mut(2).enumerate() {
            pack::requantization_parameters_i16(&numbers, DoubleRounding::MODE, &common, o, words);
        }
        let mut expected = vec![0; bias.len()];
        reference::locally_connected2d_i16::<DoubleRounding>(
            &shape, &input, &filters, &bias, &parameters, &common, &mut expected,
        );
        fn output<B: Backend>(shape: &Conv2dShape, numbers: &Int16Filters<'_>, input: &[i16]) -> Vec<i16> {
            let mut output = vec![99; numbers.bias.len()];
            type Wide = Int16x8<DoubleRounding>;
            let mut packed = vec![0xdead_beef; locally_connected::packed_words::<B, Wide>(shape)];
            let common =
                locally_connected::pack_int16::<B, DoubleRounding>(shape, numbers, &mut packed).expect("the rules");
            let mut scratch = vec![0x7f80_80ff; locally_connected::scratch_words::<B, Wide>(shape)];
            locally_connected::run::<B, Wide>(shape, &packed, 0, &common, input, &mut output, &mut scratch)
                .expect("the rules");
            output
        }
        prop_assert_eq!(&output::<Portable>(&shape, &numbers, &input), &expected);
        #[cfg(target_arch = "x86_64")]
        prop_assert_eq!(&output::<bareconv::arch::Avx2>(&shape, &numbers, &input), &expected);
        // The first output against its definition.
        let mut sum = i64::from(bias[0]);
        for (place, &weight) in filters[..shape.filter_len()].iter().enumerate() {
            let c = shape.input[2];
            let (k, j, i) = (place % c, place / c % shape.filter[1], place / c / shape.filter[1]);
            let row = (i * shape.dilation[0]).wrapping_sub(shape.padding[0]);
            let column = (j * shape.dilation[1]).wrapping_sub(shape.padding[1]);
            if row < shape.input[0] && column < shape.input[1] {
                sum += i64::from(weight) * i64::from(input[(row * shape.input[1] + column) * c + k]);
            }
        }
        let real = sum as f64 * 0.5 / f64::from(scale);
        prop_assert!((real.clamp(-32768.0, 32767.0) - f64::from(expected[0])).abs() <= 1.0);
    }

    #[test]
    fn backends_have_the_references_bits((shape, input, filters, bias) in cases(false), scale in 0.5..200f32) {
        let scales: Vec<f32> = (0..bias.len()).map(|o| 0.01 + (o % 17) as f32 * 0.003).collect();
        let numbers = numbers(&filters, &bias, &scales, scale);
        let single = specified::<SingleRounding>(&shape, &numbers, &input);
        let double = specified::<DoubleRounding>(&shape, &numbers, &input);
        prop_assert_eq!(&backend_int8::<Portable, SingleRounding>(&shape, &numbers, &input), &single);
        prop_assert_eq!(&backend_int8::<Portable, DoubleRounding>(&shape, &numbers, &input), &double);

        let x: Vec<f32> = input.iter().map(|&v| f32::from(v) / 7.0).collect();
        let weights: Vec<f32> = filters.iter().map(|&v| f32::from(v) / 11.0).collect();
        let biases: Vec<f32> = bias.iter().map(|&b| b as f32 / 13.0).collect();
        let numbers_f32 = F32Filters { filters: &weights, bias: &biases, activation: Activation::Relu };
        let mut expected = vec![0.0; bias.len()];
        let bounds = Activation::Relu.bounds();
        reference::locally_connected2d_f32(&shape, &x, &weights, &biases, bounds, &mut expected);
        let expected: Vec<u32> = expected.into_iter().map(f32::to_bits).collect();
        prop_assert_eq!(&backend_float::<Portable>(&shape, &numbers_f32, &x), &expected);
        #[cfg(target_arch = "x86_64")]
        {
            use bareconv::arch::Avx2;
            prop_assert_eq!(&backend_int8::<Avx2, SingleRounding>(&shape, &numbers, &input), &single);
            prop_assert_eq!(&backend_int8::<Avx2, DoubleRounding>(&shape, &numbers, &input), &double);
            prop_assert_eq!(&backend_float::<Avx2>(&shape, &numbers_f32, &x), &expected);
        }
    }
}

#[test]
fn layers_are_the_reference() {
    const SHAPE: Conv2dShape = Conv2dShape::new([5, 4, 3], 3, [3, 3]).stride(2).padding(1);
    const OUTPUTS: usize = 3 * 2 * 3;
    const WEIGHTS: [i8; OUTPUTS * 27] = {
        let mut weights = [0; OUTPUTS * 27];
        let mut i = 0;
        while i < weights.len() {
            weights[i] = (i * 37 % 251) as u8 as i8;
            weights[i] = if weights[i] == -128 { 0 } else { weights[i] };
            i += 1;
        }
        weights
    };
    const NUMBERS: Int8Filters<'static> = Int8Filters {
        filters: &WEIGHTS,
        bias: &[100; OUTPUTS],
        scales: &[0.02; OUTPUTS],
        input: Quantization::new(0.5, -3),
        output: Quantization::new(3.0, 9),
        activation: Activation::Relu,
    };
    static LAYER: LocallyConnected2d<
        Tensor<i8, 5, 4, 3>,
        Tensor<i8, 3, 2, 3>,
        { SHAPE.locally_connected_words::<DoubleRounding>() },
        DoubleRounding,
    > = LocallyConnected2d::int8(SHAPE, NUMBERS);
    let (mut input, mut output) = (Tensor::filled(0), Tensor::filled(99));
    for (i, value) in input.as_mut_slice().iter_mut().enumerate() {
        *value = (i * 91) as i8;
    }
    LAYER.run(input.view(), output.view_mut(), &mut [0; SHAPE.locally_connected_scratch_words::<DoubleRounding>()]);
    assert_eq!(output.as_slice(), specified::<DoubleRounding>(&SHAPE, &NUMBERS, input.as_slice()));
}

#[test]
fn broken_rules_are_named() {
    let shape = Conv2dShape::new([4, 4, 2], 2, [3, 3]);
    let words = locally_connected::packed_words::<Portable, SingleRounding>(&shape);
    let pack = |shape: &Conv2dShape, filters: usize, outputs: usize, words: usize| {
        let (filters, bias, scales) = (vec![1; filters], vec![0; outputs], vec![1.0; outputs]);
        let numbers = numbers(&filters, &bias, &scales, 1.0);
        locally_connected::pack_int8::<Portable, SingleRounding>(shape, &numbers, &mut vec![0; words]).map(|_| ())
    };
    assert_eq!(pack(&shape, 8 * 18, 8, words - 1), Err(ShapeError::Packed));
    let run = |shape: &Conv2dShape, filters: usize, outputs: usize| pack(shape, filters, outputs, words);
    assert_eq!(run(&shape, 8 * 18, 8), Ok(()));
    assert_eq!(run(&shape, 8 * 17, 8), Err(ShapeError::Filters));
    assert_eq!(run(&shape, 8 * 18, 7), Err(ShapeError::Channels));
    assert_eq!(run(&shape.max_pool(2), 8 * 18, 8), Err(ShapeError::Unshared));
    assert_eq!(run(&Conv2dShape { groups: 2, ..shape }, 8 * 9, 8), Err(ShapeError::Unshared));
}
