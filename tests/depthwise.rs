//! Depthwise convolution: the reference gives the bits of TensorFlow Lite Micro and of an ordinary convolution with
//! zeros between channels, and every backend gives the bits of the reference.
//!
//! They need the feature `std`, to find the backends that this machine has; `tests/backends.rs` says which it must have.

mod golden;

use bareconv::arch::{Portable, Visitor, visit_all};
use bareconv::dynamic::depthwise;
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2dShape, DepthwiseConv2dShape, DoubleRounding, F32Filters, Int8Filters, Int16Filters,
    Int16x8, PowerOfTwo, Quantization, ReducedRounding, ShapeError, SingleRounding, pack, reference,
};
use golden::{Case, cases};
use proptest::prelude::*;

// ---- The reference ----

/// The parameters of every output channel, and what they share.
fn parameters<R: Rounding>(numbers: &Int8Filters<'_>) -> (CommonRequantization, Vec<u32>) {
    let common = pack::common_requantization(numbers, R::MODE);
    let mut parameters = vec![0; numbers.scales.len() * R::WORDS];
    for (o, words) in parameters.chunks_mut(R::WORDS).enumerate() {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    (common, parameters)
}

fn specified<R: Rounding>(shape: &DepthwiseConv2dShape, numbers: &Int8Filters<'_>, input: &[i8]) -> Vec<i8> {
    let (common, parameters) = parameters::<R>(numbers);
    let mut output = vec![0; shape.output().iter().product()];
    let Int8Filters { filters, bias, input: Quantization { zero_point, .. }, .. } = *numbers;
    reference::depthwise_conv2d_i8::<R>(shape, input, zero_point, filters, bias, &parameters, &common, &mut output);
    output
}

fn run<B: Backend, R: Rounding>(shape: &DepthwiseConv2dShape, numbers: &Int8Filters<'_>, input: &[i8]) -> Vec<i8> {
    let mut packed = vec![0xdead_beef; depthwise::packed_words::<B, R>(shape)];
    let common = depthwise::pack_int8::<B, R>(shape, numbers, &mut packed).unwrap();
    // Whatever the scratch memory held before must not matter.
    let mut scratch = vec![0x7f80_80ff; depthwise::scratch_words::<B, R>(shape)];
    let mut output = vec![99; shape.output().iter().product()];
    let fill = numbers.input.zero_point;
    depthwise::run::<B, R>(shape, &packed, fill, &common, input, &mut output, &mut scratch).unwrap();
    output
}

fn golden_shape(case: &Case) -> DepthwiseConv2dShape {
    let input: [usize; 3] = case.array("input_shape");
    let [height, width, channels]: [usize; 3] = case.array("filter_shape");
    let shape = DepthwiseConv2dShape {
        input,
        multiplier: channels / input[2],
        filter: [height, width],
        stride: case.array("stride"),
        dilation: case.array("dilation"),
        padding: case.array("padding"),
    };
    assert_eq!(shape.check(), Ok(()), "{}", case.name);
    assert_eq!(shape.output(), case.array("output_shape"), "{}", case.name);
    shape
}

#[test]
fn double_rounding_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/depthwise_conv2d.txt")) {
        let shape = golden_shape(&case);
        let quantization =
            |of: &str| Quantization::new(case.value(&format!("{of}_scale")), case.value(&format!("{of}_zero_point")));
        let (filters, bias, scales): (Vec<i8>, Vec<i32>, Vec<f32>) =
            (case.values("weights"), case.values("bias"), case.values("weight_scales"));
        let numbers = Int8Filters {
            filters: &filters,
            bias: &bias,
            scales: &scales,
            input: quantization("input"),
            output: quantization("output"),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][case.value::<usize>("activation")],
        };
        let (input, expected): (Vec<i8>, Vec<i8>) = (case.values("input"), case.values("output"));
        assert_eq!(specified::<DoubleRounding>(&shape, &numbers, &input), expected, "{}", case.name);
        assert_eq!(run::<Portable, DoubleRounding>(&shape, &numbers, &input), expected, "{}", case.name);
    }
}

#[test]
fn reduced_rounding_of_int16_is_that_of_tflite_micro() {
    for case in cases(include_str!("golden/depthwise_conv2d_int16.txt")) {
        let shape = golden_shape(&case);
        let (filters, bias, scales): (Vec<i8>, Vec<i32>, Vec<f32>) =
            (case.values("weights"), case.values("bias"), case.values("weight_scales"));
        let numbers = Int16Filters {
            filters: &filters,
            bias: &bias,
            scales: &scales,
            input: case.value("input_scale"),
            output: case.value("output_scale"),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][case.value::<usize>("activation")],
        };
        let (input, expected): (Vec<i16>, Vec<i16>) = (case.values("input"), case.values("output"));
        type E = Int16x8<ReducedRounding>;
        let mut packed = vec![0; depthwise::packed_words::<Portable, E>(&shape)];
        let common = depthwise::pack_int16::<Portable, ReducedRounding>(&shape, &numbers, &mut packed).unwrap();
        let mut scratch = vec![0; depthwise::scratch_words::<Portable, E>(&shape)];
        let mut output = vec![99; expected.len()];
        depthwise::run::<Portable, E>(&shape, &packed, 0, &common, &input, &mut output, &mut scratch).unwrap();
        assert_eq!(output, expected, "{}", case.name);
    }
}

/// The ordinary convolution that computes the same, and its filters: `value` is each weight's, elsewhere they are zero.
fn ordinary<T: Copy + Default>(shape: &DepthwiseConv2dShape, filters: &[T]) -> (Conv2dShape, Vec<T>) {
    let (channels, outputs) = (shape.input[2], shape.channels());
    let convolution = Conv2dShape {
        stride: shape.stride,
        dilation: shape.dilation,
        padding: shape.padding,
        ..Conv2dShape::new(shape.input, outputs, shape.filter)
    };
    let taps = shape.filter_len();
    let mut expanded = vec![T::default(); outputs * taps * channels];
    for o in 0..outputs {
        for tap in 0..taps {
            expanded[(o * taps + tap) * channels + o / shape.multiplier] = filters[tap * outputs + o];
        }
    }
    (convolution, expanded)
}

// ---- The backends ----

/// Shapes up to a few dozen pixels, and long rows; whatever breaks a rule is left out.
fn shapes() -> impl Strategy<Value = DepthwiseConv2dShape> {
    let input = prop_oneof![
        4 => (1..12usize, 1..12usize, 1..10usize),
        1 => (1..5usize, 1..5usize, 14..40usize),
        // Several bands.
        1 => (20..70usize, 20..70usize, 1..5usize),
        1 => (1..3usize, 60..300usize, 1..18usize),
    ];
    let size = prop_oneof![1 => Just(3usize), 1 => 1..7usize];
    let axis = || (size.clone(), 1..4usize, prop_oneof![Just(1usize), 1..4usize], 0..4usize, 0..4usize);
    (input, prop_oneof![2 => Just(1usize), 1 => 2..6usize], axis(), axis())
        .prop_map(|((h, w, c), multiplier, y, x)| DepthwiseConv2dShape {
            input: [h, w, c],
            multiplier,
            filter: [y.0, x.0],
            stride: [y.1, x.1],
            dilation: [y.2, x.2],
            padding: [y.3, x.3, y.4, x.4],
        })
        .prop_filter("a shape that obeys the rules", |shape| shape.check().is_ok())
}

/// Values from all of `range`, or only its ends.
fn int8(len: usize, range: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = Vec<i8>> {
    let (low, high) = (*range.start(), *range.end());
    prop_oneof![
        3 => prop::collection::vec(range, len),
        1 => prop::collection::vec(prop::sample::select(vec![low, high]), len),
        1 => Just(vec![low; len]),
    ]
}

#[derive(Debug, Clone)]
struct Int8Case {
    shape: DepthwiseConv2dShape,
    input: Vec<i8>,
    filters: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    quantization: [Quantization; 2],
    activation: Activation,
}

fn int8_cases() -> impl Strategy<Value = Int8Case> {
    shapes().prop_flat_map(|shape| {
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        (
            int8(shape.input.iter().product(), -128..=127),
            int8(shape.channels() * shape.filter_len(), -127..=127),
            prop::collection::vec(-20_000..20_000i32, shape.channels()),
            prop::collection::vec(0.0001..0.02f32, shape.channels()),
            (any::<i8>(), any::<i8>(), 0.0001..0.5f32),
            activation,
        )
            .prop_map(move |(input, filters, bias, scales, (zero_in, zero_out, scale), activation)| Int8Case {
                shape,
                input,
                filters,
                bias,
                scales,
                quantization: [Quantization::new(0.02, zero_in), Quantization::new(scale, zero_out)],
                activation,
            })
    })
}

impl Int8Case {
    fn numbers<'a>(&'a self, filters: &'a [i8]) -> Int8Filters<'a> {
        let [input, output] = self.quantization;
        let Self { bias, scales, activation, .. } = self;
        Int8Filters { filters, bias, scales, input, output, activation: *activation }
    }

    fn run<B: Backend, R: Rounding>(&self) -> Vec<i8> {
        run::<B, R>(&self.shape, &self.numbers(&self.filters), &self.input)
    }

    /// The output, after the reference has been compared with that of an ordinary convolution.
    fn specified<R: Rounding>(&self) -> Vec<i8> {
        let output = specified::<R>(&self.shape, &self.numbers(&self.filters), &self.input);
        let (shape, filters) = ordinary(&self.shape, &self.filters);
        let (common, parameters) = parameters::<R>(&self.numbers(&filters));
        let mut expected = vec![0; output.len()];
        let zero_point = self.quantization[0].zero_point;
        reference::conv2d_i8::<R>(
            &shape,
            &self.input,
            zero_point,
            &filters,
            &self.bias,
            &parameters,
            &common,
            &mut expected,
        );
        assert_eq!(output, expected, "the reference");
        output
    }
}

#[derive(Debug, Clone)]
struct F32Case {
    shape: DepthwiseConv2dShape,
    input: Vec<f32>,
    filters: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

fn f32_cases() -> impl Strategy<Value = F32Case> {
    let odd = || prop::sample::select(vec![-0.0, 0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40]);
    // Ordinary numbers; some odd ones among them; nothing but odd ones; nothing but zeros of both signs.
    let style = prop::sample::select(vec![0, 0, 1, 2, 3]);
    (shapes(), style).prop_flat_map(move |(shape, style)| {
        let value = || match style {
            0 => (-4.0..4.0f32).boxed(),
            1 => prop_oneof![30 => -4.0..4.0f32, 1 => odd()].boxed(),
            2 => odd().boxed(),
            _ => prop::sample::select(vec![-0.0, 0.0, -1.0f32]).boxed(),
        };
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        (
            prop::collection::vec(value(), shape.input.iter().product::<usize>()),
            prop::collection::vec(value(), shape.channels() * shape.filter_len()),
            prop::collection::vec(value(), shape.channels()),
            activation,
        )
            .prop_map(move |(input, filters, bias, activation)| F32Case {
                shape,
                input,
                filters,
                bias,
                activation,
            })
    })
}

/// Bits, with one NaN for all: sign and payload of a NaN are not specified.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

impl F32Case {
    fn run<B: Backend>(&self) -> Vec<u32> {
        let Self { shape, filters, bias, activation, .. } = self;
        let mut output = vec![0.0; shape.output().iter().product()];
        let mut packed = vec![0xdead_beef; depthwise::packed_words::<B, Clamp>(shape)];
        let numbers = F32Filters { filters, bias, activation: *activation };
        depthwise::pack_float::<B>(shape, &numbers, &mut packed).unwrap();
        let mut scratch = vec![0xffff_ffff; depthwise::scratch_words::<B, Clamp>(shape)];
        let bounds = activation.bounds();
        depthwise::run::<B, Clamp>(shape, &packed, 0.0, &bounds, &self.input, &mut output, &mut scratch).unwrap();
        bits(&output)
    }

    fn specified(&self) -> Vec<f32> {
        let Self { shape, input, filters, bias, activation } = self;
        let mut output = vec![0.0; shape.output().iter().product()];
        reference::depthwise_conv2d_f32(shape, input, filters, bias, activation.bounds(), &mut output);
        output
    }

    /// Output and its possible error, from arithmetic in `f64` by another way: every input value is added to the outputs
    /// that see it. Before the activation.
    fn in_f64(&self) -> Vec<(f64, f64)> {
        let Self { shape, input, filters, bias, .. } = self;
        let [_, width, channels] = shape.input;
        let [out_h, out_w, out_c] = shape.output();
        let mut sums: Vec<(f64, f64)> = (0..out_h * out_w * out_c)
            .map(|at| (f64::from(bias[at % out_c]), f64::from(bias[at % out_c].abs())))
            .collect();
        for (at, &value) in input.iter().enumerate() {
            let (row, column, channel) = (at / channels / width, at / channels % width, at % channels);
            for (tap, weights) in filters.chunks(out_c).enumerate() {
                let (i, j) = (tap / shape.filter[1], tap % shape.filter[1]);
                // row = y * stride - top + i * dilation
                let y = (row + shape.padding[0]).checked_sub(i * shape.dilation[0]);
                let x = (column + shape.padding[1]).checked_sub(j * shape.dilation[1]);
                let (Some(y), Some(x)) = (y, x) else { continue };
                let (in_y, in_x) = (y % shape.stride[0] == 0, x % shape.stride[1] == 0);
                let (y, x) = (y / shape.stride[0], x / shape.stride[1]);
                if !in_y || !in_x || y >= out_h || x >= out_w {
                    continue;
                }
                for o in channel * shape.multiplier..(channel + 1) * shape.multiplier {
                    let product = f64::from(value) * f64::from(weights[o]);
                    let (sum, magnitude) = &mut sums[(y * out_w + x) * out_c + o];
                    *sum += product;
                    *magnitude += product.abs();
                }
            }
        }
        sums
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn int8_backends_agree_with_the_reference(case in int8_cases()) {
        /// The case, and what both roundings must give.
        struct Check<'a>(&'a Int8Case, [Vec<i8>; 2]);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, [single, double]) = self;
                assert_eq!(case.run::<B, SingleRounding>(), *single, "{}", B::NAME);
                assert_eq!(case.run::<B, DoubleRounding>(), *double, "{}", B::NAME);
            }
        }
        let expected = [case.specified::<SingleRounding>(), case.specified::<DoubleRounding>()];
        visit_all(&mut Check(&case, expected));
    }

    /// Only scales whose ratio is a power of two.
    #[test]
    fn power_of_two_rounding_agrees_with_the_reference(case in int8_cases(), shift in 3..12i32) {
        struct Check<'a>(&'a Int8Case, Vec<i8>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                assert_eq!(self.0.run::<B, PowerOfTwo>(), self.1, "{}", B::NAME);
            }
        }
        let mut case = case;
        case.quantization[1].scale = case.quantization[0].scale;
        for (o, scale) in case.scales.iter_mut().enumerate() {
            *scale = 0.5f32.powi(shift + o as i32 % 3);
        }
        let expected = case.specified::<PowerOfTwo>();
        visit_all(&mut Check(&case, expected));
    }

    #[test]
    fn f32_backends_agree_with_the_reference(case in f32_cases()) {
        struct Check<'a>(&'a F32Case, Vec<u32>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                assert_eq!(self.0.run::<B>(), self.1, "{}", B::NAME);
            }
        }
        visit_all(&mut Check(&case, bits(&case.specified())));
    }

    #[test]
    fn the_f32_reference_is_the_mathematics(case in f32_cases()) {
        prop_assume!(case.input.iter().chain(&case.filters).chain(&case.bias).all(|value| value.is_finite()));
        let [low, high] = case.activation.bounds().map(f64::from);
        let taps = case.shape.filter_len() as f64;
        for (value, (sum, magnitude)) in case.specified().into_iter().zip(case.in_f64()) {
            // Each of the products and sums rounds once, to 24 bits; the least number is that far from zero.
            let error = (magnitude * (taps + 2.0) * f64::from(f32::EPSILON)).max(1e-44 * taps);
            prop_assert!((f64::from(value) - sum.clamp(low, high)).abs() <= error, "{value} is not {sum}");
        }
    }
}

// ---- The rules ----

#[test]
fn shapes_that_break_a_rule_are_refused() {
    use ShapeError::*;
    let refused = |change: &dyn Fn(&mut DepthwiseConv2dShape)| {
        let mut shape = DepthwiseConv2dShape::new([8, 8, 2], 3, [3, 3]).padding(1);
        assert_eq!(shape.check(), Ok(()));
        change(&mut shape);
        shape.check()
    };
    assert_eq!(refused(&|s| s.input[2] = 0), Err(Zero));
    assert_eq!(refused(&|s| s.multiplier = 0), Err(Zero));
    assert_eq!(refused(&|s| s.stride[0] = 0), Err(Zero));
    assert_eq!(refused(&|s| s.dilation[1] = 0), Err(Zero));
    assert_eq!(refused(&|s| s.filter[1] = 11), Err(FilterTooLarge));
    assert_eq!(refused(&|s| s.padding[2] = 3), Err(PaddingTooLarge));
    assert_eq!(refused(&|s| s.multiplier = 1 << 15), Ok(()));
    assert_eq!(refused(&|s| s.multiplier = (1 << 15) + 1), Err(TooLarge));
    assert_eq!(refused(&|s| s.multiplier = usize::MAX), Err(TooLarge));
    assert_eq!(refused(&|s| (s.input[2], s.multiplier) = (usize::MAX, usize::MAX)), Err(TooLarge));
}

#[test]
fn numbers_that_break_a_rule_are_refused() {
    let shape = DepthwiseConv2dShape::new([1, 3, 2], 1, [1, 3]);
    let q = Quantization::new(0.5, -3);
    let good = Int8Filters {
        filters: &[127, -127, 0, 1, 2, 3],
        bias: &[5, -5],
        scales: &[0.25, 0.5],
        input: q,
        output: q,
        activation: Activation::Identity,
    };
    let words = depthwise::packed_words::<Portable, DoubleRounding>(&shape);
    let pack_in = |shape: &DepthwiseConv2dShape, numbers: Int8Filters<'_>, words: usize| {
        depthwise::pack_int8::<Portable, DoubleRounding>(shape, &numbers, &mut vec![0; words]).map(|_| ())
    };
    let pack = |numbers: Int8Filters<'_>| pack_in(&shape, numbers, words);
    assert_eq!(pack(good), Ok(()));
    assert_eq!(pack(Int8Filters { filters: &[1; 5], ..good }), Err(ShapeError::DepthwiseFilters));
    assert_eq!(pack(Int8Filters { filters: &[0, 0, 0, 0, 0, -128], ..good }), Err(ShapeError::Weight));
    assert_eq!(pack(Int8Filters { bias: &[1], ..good }), Err(ShapeError::Channels));
    assert_eq!(pack(Int8Filters { scales: &[1.0; 3], ..good }), Err(ShapeError::Channels));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e30] {
        assert_eq!(pack(Int8Filters { scales: &[1.0, scale], ..good }), Err(ShapeError::Scale), "{scale}");
        assert_eq!(pack(Int8Filters { input: Quantization::new(scale, 0), ..good }), Err(ShapeError::Scale), "{scale}");
    }
    // Channel 1 has the weights -127, 1, 3: 131 in magnitude, -123 in sum.
    let reach = i32::MAX - 255 * 131;
    let one = Int8Filters { scales: &[0.25, 0.25], ..good };
    assert_eq!(pack(Int8Filters { bias: &[0, reach], ..one }), Ok(()));
    assert_eq!(pack(Int8Filters { bias: &[0, reach + 1], ..one }), Err(ShapeError::Accumulator));
    assert_eq!(pack(Int8Filters { bias: &[0, -reach - 1], ..one }), Err(ShapeError::Accumulator));
    assert_eq!(pack_in(&shape, good, words + 1), Err(ShapeError::Packed));
    assert_eq!(pack_in(&DepthwiseConv2dShape { multiplier: 0, ..shape }, good, words), Err(ShapeError::Zero));
}

#[test]
fn memory_of_another_size_is_refused() {
    let shape = DepthwiseConv2dShape::new([1, 3, 2], 1, [1, 2]);
    let packed = vec![0; depthwise::packed_words::<Portable, Clamp>(&shape)];
    let mut scratch = vec![0; depthwise::scratch_words::<Portable, Clamp>(&shape)];
    let mut run = |packed: &[u32], input: usize, output: usize, short: usize| {
        let (input, mut output, words) = (vec![0.0; input], vec![0.0; output], scratch.len() - short);
        let scratch = &mut scratch[..words];
        depthwise::run::<Portable, Clamp>(&shape, packed, 0.0, &[0.0, 1.0], &input, &mut output, scratch)
    };
    assert_eq!(run(&packed, 6, 4, 0), Ok(()));
    assert_eq!(run(&packed, 7, 4, 0), Err(ShapeError::Input));
    assert_eq!(run(&packed, 6, 3, 0), Err(ShapeError::Output));
    assert_eq!(run(&packed[1..], 6, 4, 0), Err(ShapeError::Packed));
    assert_eq!(run(&packed, 6, 4, 1), Err(ShapeError::Scratch));
}
