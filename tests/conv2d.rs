//! Every backend's convolution gives the reference's bits, at awkward shapes and with extreme values.
//!
//! They need the feature `std`, to find the backends that this machine has; `tests/backends.rs` says which it must have.

use bareconv::arch::{Portable, Visitor, visit_all};
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int4, Int4Filters, Int8Filters, Int16Filters, Int16x8,
    Int16x8Wide, PowerOfTwo, Quantization, ReducedRounding, ShapeError, SingleRounding, dynamic::conv2d, pack,
    reference,
};
use proptest::prelude::*;

/// Shapes up to a few dozen pixels; whatever breaks a rule is left out.
fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let input = prop_oneof![
        4 => (1..12usize, 1..12usize, 1..10usize),
        1 => (1..4usize, 1..4usize, 14..36usize),
        1 => (Just(1), Just(1), 1..600usize),
        1 => (Just(1), Just(1), 1000..1100usize),
        // Several strips in a row.
        1 => (1..3usize, 60..200usize, 1..3usize),
    ];
    let axis = || (1..6usize, 1..4usize, 1..4usize, 0..4usize, 0..4usize, 1..4usize);
    let groups = prop_oneof![3 => Just(1), 1 => 2..5usize];
    let pointwise = prop::bool::weighted(0.1);
    (input, prop_oneof![1..9usize, 14..19usize, 30..42usize], axis(), axis(), groups, pointwise)
        .prop_map(|((h, w, c), filters, y, x, groups, pointwise)| {
            if pointwise {
                return Conv2dShape::new([h, w, c * groups], filters * groups, [1, 1]).groups(groups);
            }
            Conv2dShape {
                input: [h, w, c * groups],
                filters: filters * groups,
                filter: [y.0.min(h + y.3 + y.4), x.0.min(w + x.3 + x.4)],
                stride: [y.1, x.1],
                dilation: [y.2, x.2],
                padding: [y.3, x.3, y.4, x.4],
                pool: [y.5, x.5],
                groups,
            }
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
    shape: Conv2dShape,
    input: Vec<i8>,
    filters: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    quantization: [Quantization; 2],
    activation: Activation,
}

fn int8_cases() -> impl Strategy<Value = Int8Case> {
    shapes()
        .prop_flat_map(|shape| {
            let [h, w, c] = shape.input;
            let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
            (
                int8(h * w * c, -128..=127),
                int8(shape.filters * shape.filter_len(), -127..=127),
                prop::collection::vec(-20_000..20_000i32, shape.filters),
                prop::collection::vec(0.0001..0.02f32, shape.filters),
                // Fine outputs, too: multipliers of a half and more.
                (any::<i8>(), any::<i8>(), prop_oneof![3 => 0.0005..2.0f32, 1 => 0.000_01..0.000_5f32]),
                activation,
            )
                .prop_map(move |(input, filters, bias, scales, (zero_in, zero_out, scale), activation)| {
                    Int8Case {
                        shape,
                        input,
                        filters,
                        bias,
                        scales,
                        quantization: [Quantization::new(0.02, zero_in), Quantization::new(scale, zero_out)],
                        activation,
                    }
                })
        })
        .prop_filter("sums that cannot overflow", |case| {
            let mut packed = vec![0; conv2d::packed_words::<Portable, DoubleRounding>(&case.shape)];
            conv2d::pack_int8::<Portable, DoubleRounding>(&case.shape, &case.numbers(), &mut packed).is_ok()
        })
}

impl Int8Case {
    fn numbers(&self) -> Int8Filters<'_> {
        let [input, output] = self.quantization;
        Int8Filters {
            filters: &self.filters,
            bias: &self.bias,
            scales: &self.scales,
            input,
            output,
            activation: self.activation,
        }
    }

    fn output(&self) -> Vec<i8> {
        let [h, w, c] = self.shape.output();
        vec![0; h * w * c]
    }

    fn reference<R: Rounding>(&self) -> Vec<i8> {
        let numbers = self.numbers();
        let common: CommonRequantization = pack::common_requantization(&numbers, R::MODE);
        let mut parameters = vec![0; self.shape.filters * R::WORDS];
        for (o, words) in parameters.chunks_mut(R::WORDS).enumerate() {
            pack::requantization_parameters(&numbers, R::MODE, &common, o, words);
        }
        let mut output = self.output();
        let zero_point = self.quantization[0].zero_point;
        reference::conv2d_i8::<R>(
            &self.shape,
            &self.input,
            zero_point,
            &self.filters,
            &self.bias,
            &parameters,
            &common,
            &mut output,
        );
        output
    }

    fn run<B: Backend, R: Rounding>(&self) -> Vec<i8> {
        let mut packed = vec![0xdead_beef; conv2d::packed_words::<B, R>(&self.shape)];
        let common = conv2d::pack_int8::<B, R>(&self.shape, &self.numbers(), &mut packed).unwrap();
        // Whatever the scratch memory held before must not matter.
        let mut scratch = vec![0x7f80_80ff; conv2d::scratch_words::<B, R>(&self.shape)];
        let mut output = self.output();
        let fill = self.quantization[0].zero_point;
        conv2d::run::<B, R>(&self.shape, &packed, fill, &common, &self.input, &mut output, &mut scratch).unwrap();
        output
    }
}

/// Two to a byte, the first in the low half.
fn nibbles(values: &[i8]) -> Vec<u8> {
    let nibble = |value: Option<&i8>| value.map_or(0, |&value| value as u8 & 15);
    values.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect()
}

impl Int8Case {
    fn run_int4<B: Backend, R: Rounding>(&self) -> Vec<i8> {
        let Int8Filters { bias, scales, input, output, activation, .. } = self.numbers();
        let numbers = Int4Filters { filters: &nibbles(&self.filters), bias, scales, input, output, activation };
        let mut packed = vec![0xdead_beef; conv2d::packed_words::<B, Int4<R>>(&self.shape)];
        let common = conv2d::pack_int4::<B, R>(&self.shape, &numbers, &mut packed).unwrap();
        let mut scratch = vec![0x7f80_80ff; conv2d::scratch_words::<B, Int4<R>>(&self.shape)];
        let mut output = self.output();
        let fill = input.zero_point;
        conv2d::run::<B, Int4<R>>(&self.shape, &packed, fill, &common, &self.input, &mut output, &mut scratch).unwrap();
        output
    }
}

/// Scales that are powers of two.
fn power_of_two_cases() -> impl Strategy<Value = Int8Case> {
    let power = |exponent: i32| f32::from_bits(((127 - exponent) as u32) << 23);
    (int8_cases(), prop::collection::vec(2..10i32, 1..20), -1..5i32).prop_map(move |(mut case, weights, output)| {
        for (o, scale) in case.scales.iter_mut().enumerate() {
            *scale = power(weights[o % weights.len()]);
        }
        case.quantization[0].scale = power(6);
        case.quantization[1].scale = power(output);
        case
    })
}

#[derive(Debug, Clone)]
struct Int16Case {
    shape: Conv2dShape,
    input: Vec<i16>,
    filters: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    output: f32,
    activation: Activation,
}

fn int16_cases() -> impl Strategy<Value = Int16Case> {
    shapes().prop_flat_map(|shape| {
        let len = shape.input.iter().product::<usize>();
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        let ends = || prop::sample::select(vec![i16::MIN, i16::MAX]);
        (
            prop_oneof![
                3 => prop::collection::vec(any::<i16>(), len),
                1 => prop::collection::vec(ends(), len),
                1 => Just(vec![i16::MIN; len]),
            ],
            int8(shape.filters * shape.filter_len(), -127..=127),
            prop::collection::vec(-4_000_000..4_000_000i32, shape.filters),
            prop::collection::vec(0.0001..0.02f32, shape.filters),
            // Fine outputs, too: multipliers of a quarter and more.
            prop_oneof![3 => 0.000_02..0.05f32, 1 => 0.000_000_5..0.000_02f32],
            activation,
        )
            .prop_map(move |(input, mut filters, bias, scales, output, activation)| {
                // As heavy as the accumulators allow.
                let magnitude = |filter: &[i8]| filter.iter().map(|&w| i64::from(w).abs()).sum::<i64>();
                for filter in filters.chunks_mut(shape.filter_len()) {
                    while magnitude(filter) * 32768 + 4_000_000 > i64::from(i32::MAX) {
                        filter.iter_mut().for_each(|weight| *weight -= weight.signum());
                    }
                }
                Int16Case { shape, input, filters, bias, scales, output, activation }
            })
            .prop_filter("multiples that fit 32 bits", |case| {
                let mut packed = vec![0; conv2d::packed_words::<Portable, Int16x8<DoubleRounding>>(&case.shape)];
                conv2d::pack_int16::<Portable, DoubleRounding>(&case.shape, &case.numbers(), &mut packed).is_ok()
            })
    })
}

impl Int16Case {
    fn numbers(&self) -> Int16Filters<'_> {
        Int16Filters {
            filters: &self.filters,
            bias: &self.bias,
            scales: &self.scales,
            input: 0.0005,
            output: self.output,
            activation: self.activation,
        }
    }

    fn reference<R: Rounding>(&self) -> Vec<i16> {
        let numbers = self.numbers();
        let common = pack::common_requantization_i16(&numbers, R::MODE);
        let mut parameters = vec![0; self.shape.filters * R::WORDS];
        for (o, words) in parameters.chunks_mut(R::WORDS).enumerate() {
            pack::requantization_parameters_i16(&numbers, R::MODE, &common, o, words);
        }
        let mut output = vec![0; self.shape.output().iter().product()];
        let Self { shape, input, filters, bias, .. } = self;
        reference::conv2d_i16::<R>(shape, input, filters, bias, &parameters, &common, &mut output);
        output
    }

    fn wide_reference(&self) -> Vec<i16> {
        let numbers = self.numbers();
        let common = pack::common_requantization_i16(&numbers, ReducedRounding::MODE);
        let parameters: Vec<_> =
            (0..self.shape.filters).map(|o| pack::requantization_parameters_i16_wide(&numbers, o)).collect();
        let mut output = vec![0; self.shape.output().iter().product()];
        let Self { shape, input, filters, bias, .. } = self;
        reference::conv2d_i16_wide(shape, input, filters, bias, &parameters, &common, &mut output);
        output
    }

    fn run_wide<B: Backend>(&self) -> Vec<i16> {
        let mut packed = vec![0xdead_beef; conv2d::packed_words::<B, Int16x8Wide>(&self.shape)];
        let common = conv2d::pack_int16_wide::<B>(&self.shape, &self.numbers(), &mut packed).unwrap();
        let mut scratch = vec![0x7f80_80ff; conv2d::scratch_words::<B, Int16x8Wide>(&self.shape)];
        let mut output = vec![0; self.shape.output().iter().product()];
        conv2d::run::<B, Int16x8Wide>(&self.shape, &packed, 0, &common, &self.input, &mut output, &mut scratch)
            .unwrap();
        output
    }

    fn run<B: Backend, R: Rounding>(&self) -> Vec<i16> {
        let mut packed = vec![0xdead_beef; conv2d::packed_words::<B, Int16x8<R>>(&self.shape)];
        let common = conv2d::pack_int16::<B, R>(&self.shape, &self.numbers(), &mut packed).unwrap();
        let mut scratch = vec![0x7f80_80ff; conv2d::scratch_words::<B, Int16x8<R>>(&self.shape)];
        let mut output = vec![0; self.shape.output().iter().product()];
        conv2d::run::<B, Int16x8<R>>(&self.shape, &packed, 0, &common, &self.input, &mut output, &mut scratch).unwrap();
        output
    }
}

#[derive(Debug, Clone)]
struct F32Case {
    shape: Conv2dShape,
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
        let [h, w, c] = shape.input;
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        (
            prop::collection::vec(value(), h * w * c),
            prop::collection::vec(value(), shape.filters * shape.filter_len()),
            prop::collection::vec(value(), shape.filters),
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
        let [h, w, c] = self.shape.output();
        let mut output = vec![0.0; h * w * c];
        let mut packed = vec![0xdead_beef; conv2d::packed_words::<B, Clamp>(&self.shape)];
        let numbers = F32Filters { filters: &self.filters, bias: &self.bias, activation: self.activation };
        conv2d::pack_float::<B>(&self.shape, &numbers, &mut packed).unwrap();
        let mut scratch = vec![0xffff_ffff; conv2d::scratch_words::<B, Clamp>(&self.shape)];
        let bounds = self.activation.bounds();
        conv2d::run::<B, Clamp>(&self.shape, &packed, 0.0, &bounds, &self.input, &mut output, &mut scratch).unwrap();
        bits(&output)
    }

    fn reference(&self) -> Vec<u32> {
        let [h, w, c] = self.shape.output();
        let mut output = vec![0.0; h * w * c];
        let bounds = self.activation.bounds();
        reference::conv2d_f32(&self.shape, &self.input, &self.filters, &self.bias, bounds, &mut output);
        bits(&output)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn int8_backends_agree_with_the_reference(case in int8_cases()) {
        struct Check<'a>(&'a Int8Case, [Vec<i8>; 2], Result<(), TestCaseError>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, [single, double], result) = self;
                let check = || {
                    prop_assert_eq!(&case.run::<B, SingleRounding>(), &*single, "{}", B::NAME);
                    prop_assert_eq!(&case.run::<B, DoubleRounding>(), &*double, "{}", B::NAME);
                    Ok(())
                };
                *result = result.clone().and_then(|()| check());
            }
        }
        let expected = [case.reference::<SingleRounding>(), case.reference::<DoubleRounding>()];
        let mut check = Check(&case, expected, Ok(()));
        visit_all(&mut check);
        check.2?;
    }

    #[test]
    fn int8_backends_agree_with_the_reference_in_powers_of_two(case in power_of_two_cases()) {
        struct Check<'a>(&'a Int8Case, Vec<i8>, Result<(), TestCaseError>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, expected, result) = self;
                let check = || {
                    prop_assert_eq!(&case.run::<B, PowerOfTwo>(), &*expected, "{}", B::NAME);
                    Ok(())
                };
                *result = result.clone().and_then(|()| check());
            }
        }
        let mut check = Check(&case, case.reference::<PowerOfTwo>(), Ok(()));
        visit_all(&mut check);
        check.2?;
    }

    /// int4 weights give the bits of the same weights in int8.
    #[test]
    fn int4_backends_agree_with_the_reference(case in int8_cases()) {
        let mut case = case;
        case.filters.iter_mut().for_each(|weight| *weight >>= 4);
        struct Check<'a>(&'a Int8Case, [Vec<i8>; 2], Result<(), TestCaseError>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, [single, double], result) = self;
                let check = || {
                    prop_assert_eq!(&case.run_int4::<B, SingleRounding>(), &*single, "{}", B::NAME);
                    prop_assert_eq!(&case.run_int4::<B, DoubleRounding>(), &*double, "{}", B::NAME);
                    Ok(())
                };
                *result = result.clone().and_then(|()| check());
            }
        }
        let expected = [case.reference::<SingleRounding>(), case.reference::<DoubleRounding>()];
        let mut check = Check(&case, expected, Ok(()));
        visit_all(&mut check);
        check.2?;
    }

    #[test]
    fn int16_backends_agree_with_the_reference(case in int16_cases()) {
        struct Check<'a>(&'a Int16Case, [Vec<i16>; 3], Result<(), TestCaseError>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, [single, double, reduced], result) = self;
                let check = || {
                    prop_assert_eq!(&case.run::<B, SingleRounding>(), &*single, "{}", B::NAME);
                    prop_assert_eq!(&case.run::<B, DoubleRounding>(), &*double, "{}", B::NAME);
                    prop_assert_eq!(&case.run::<B, ReducedRounding>(), &*reduced, "{}", B::NAME);
                    Ok(())
                };
                *result = result.clone().and_then(|()| check());
            }
        }
        let expected =
            [case.reference::<SingleRounding>(), case.reference::<DoubleRounding>(), case.reference::<ReducedRounding>()];
        let mut check = Check(&case, expected, Ok(()));
        visit_all(&mut check);
        check.2?;
    }

    #[test]
    fn f32_backends_agree_with_the_reference(case in f32_cases()) {
        struct Check<'a>(&'a F32Case, Vec<u32>, Result<(), TestCaseError>);
        impl Visitor for Check<'_> {
            fn visit<B: Backend>(&mut self) {
                let Self(case, expected, result) = self;
                let check = || {
                    prop_assert_eq!(&case.run::<B>(), &*expected, "{}", B::NAME);
                    Ok(())
                };
                *result = result.clone().and_then(|()| check());
            }
        }
        let mut check = Check(&case, case.reference(), Ok(()));
        visit_all(&mut check);
        check.2?;
    }
}

/// The geometry of `shape`, with one thing changed.
fn refused(change: impl FnOnce(&mut Conv2dShape)) -> Result<(), ShapeError> {
    let mut shape = Conv2dShape::new([8, 8, 2], 3, [3, 3]).padding(1).max_pool(2);
    assert_eq!(shape.check(), Ok(()));
    change(&mut shape);
    shape.check()
}

#[test]
fn shapes_that_break_a_rule_are_refused() {
    use ShapeError::*;
    assert_eq!(refused(|s| s.input[2] = 0), Err(Zero));
    assert_eq!(refused(|s| s.filters = 0), Err(Zero));
    assert_eq!(refused(|s| s.stride[1] = 0), Err(Zero));
    assert_eq!(refused(|s| s.dilation[0] = 0), Err(Zero));
    assert_eq!(refused(|s| s.groups = 0), Err(Zero));
    assert_eq!(refused(|s| s.groups = 2), Err(Groups));
    assert_eq!(refused(|s| s.groups = 3), Err(Groups));
    assert_eq!(refused(|s| (s.filters, s.groups) = (4, 2)), Ok(()));
    assert_eq!(refused(|s| s.pool[0] = 0), Err(Zero));
    assert_eq!(refused(|s| s.filter[0] = 11), Err(FilterTooLarge));
    assert_eq!(refused(|s| s.dilation[1] = 5), Err(FilterTooLarge));
    assert_eq!(refused(|s| s.pool[1] = 9), Err(WindowTooLarge));
    assert_eq!(refused(|s| s.padding[3] = 3), Err(PaddingTooLarge));
    assert_eq!(refused(|s| s.input[0] = (1 << 16) + 1), Err(TooLarge));
    assert_eq!(refused(|s| s.input = [1 << 16, 1 << 16, 2]), Err(TooLarge));
    assert_eq!(refused(|s| s.filters = 1 << 16), Ok(()));
    // More weights than a 32-bit core could count in bytes.
    let huge = |s: &mut Conv2dShape| {
        (s.filter, s.padding, s.pool) = ([16384, 16384], [16383; 4], [1, 1]);
    };
    assert_eq!(refused(huge), Err(TooLarge));
    // A stride that skips so much that offsets would not fit.
    assert_eq!(refused(|s| (s.input[2], s.stride[1]) = (1 << 15, 1 << 16)), Err(TooLarge));
}

#[test]
#[should_panic(expected = "2^29 words of scratch")]
fn scratch_memory_that_no_core_has_is_refused() {
    let mut shape = Conv2dShape::new([1 << 15, 1 << 15, 1], 1, [1, 1]);
    shape.pool = [1 << 15, 1 << 15];
    assert_eq!(shape.check(), Ok(()));
    let _ = conv2d::scratch_words::<Portable, Clamp>(&shape);
}

fn pack_in(shape: &Conv2dShape, numbers: Int8Filters<'_>, words: usize) -> Result<(), ShapeError> {
    conv2d::pack_int8::<Portable, DoubleRounding>(shape, &numbers, &mut vec![0; words]).map(|_| ())
}

#[test]
fn numbers_that_break_a_rule_are_refused() {
    let shape = Conv2dShape::dense(3, 2).max_pool(1);
    let q = Quantization::new(0.5, -3);
    let good = Int8Filters {
        filters: &[127, -127, 0, 1, 2, 3],
        bias: &[5, -5],
        scales: &[0.25, 0.5],
        input: q,
        output: q,
        activation: Activation::Identity,
    };
    let words = conv2d::packed_words::<Portable, DoubleRounding>(&shape);
    let pack = |numbers| pack_in(&shape, numbers, words);
    assert_eq!(pack(good), Ok(()));
    assert_eq!(pack(Int8Filters { filters: &[1; 5], ..good }), Err(ShapeError::Filters));
    assert_eq!(pack(Int8Filters { filters: &[-128, 0, 0, 0, 0, 0], ..good }), Err(ShapeError::Weight));
    assert_eq!(pack(Int8Filters { bias: &[1], ..good }), Err(ShapeError::Channels));
    assert_eq!(pack(Int8Filters { scales: &[1.0; 3], ..good }), Err(ShapeError::Channels));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e30] {
        let numbers = Int8Filters { scales: &[1.0, scale], ..good };
        assert_eq!(pack_in(&shape, numbers, words), Err(ShapeError::Scale), "{scale}");
        let numbers = Int8Filters { input: Quantization::new(scale, 0), ..good };
        assert_eq!(pack_in(&shape, numbers, words), Err(ShapeError::Scale), "{scale}");
    }
    assert_eq!(pack(Int8Filters { bias: &[0, i32::MAX], ..good }), Err(ShapeError::Accumulator));
    assert_eq!(pack(Int8Filters { bias: &[0, i32::MIN], ..good }), Err(ShapeError::Accumulator));
    assert_eq!(pack_in(&shape, good, words + 1), Err(ShapeError::Packed));
    assert_eq!(pack_in(&Conv2dShape { filters: 0, ..shape }, good, words), Err(ShapeError::Zero));
    // Double rounding shifts to the left where the multiplier is more than 1; that must not overflow either.
    let wide = Conv2dShape::new([2, 2, 1], 1, [1, 1]).max_pool(2);
    let numbers = Int8Filters {
        filters: &[127],
        bias: &[(1 << 28) - 100],
        scales: &[4.0],
        input: Quantization::new(1.0, 0),
        output: Quantization::new(1.0, 0),
        activation: Activation::Identity,
    };
    let words = conv2d::packed_words::<Portable, DoubleRounding>(&wide);
    assert_eq!(pack_in(&wide, numbers, words), Err(ShapeError::Accumulator));
    assert_eq!(pack_in(&wide, Int8Filters { bias: &[0], ..numbers }, words), Ok(()));
}

#[test]
fn int16_sums_reach_the_accumulators_bound() {
    let shape = Conv2dShape::dense(516, 1);
    let mut filters = vec![127i8; 516];
    filters[515] = 0;
    let weight: i64 = filters.iter().map(|&w| i64::from(w)).sum();
    let most = i64::from(i32::MAX) - 32768 * weight;
    let numbers = Int16Filters {
        filters: &filters,
        bias: &[],
        scales: &[1.0],
        input: 1.0,
        output: 65536.0,
        activation: Activation::Identity,
    };
    let words = conv2d::packed_words::<Portable, Int16x8<SingleRounding>>(&shape);
    let pack = |bias: &[i32]| {
        let numbers = Int16Filters { bias, ..numbers };
        conv2d::pack_int16::<Portable, SingleRounding>(&shape, &numbers, &mut vec![0; words]).map(|_| ())
    };
    assert_eq!(pack(&[most as i32]), Ok(()));
    assert_eq!(pack(&[-most as i32]), Ok(()));
    assert_eq!(pack(&[most as i32 + 1]), Err(ShapeError::Accumulator));
    assert_eq!(pack(&[-most as i32 - 1]), Err(ShapeError::Accumulator));
    let bias = [-most as i32];
    let case = Int16Case {
        shape,
        input: vec![-32768; 516],
        filters: filters.clone(),
        bias: bias.to_vec(),
        scales: vec![1.0],
        output: 65536.0 * 0.0005,
        activation: Activation::Identity,
    };
    // -(2^31 - 1) / 65536 is nearest to -32768.
    assert_eq!(case.run::<Portable, SingleRounding>(), [-32768]);
}

/// Convolutions of so many taps that sums need not fit 32 bits, weights and inputs often of one sign.
fn wide_cases() -> impl Strategy<Value = Int16Case> {
    let shape = (1..4usize, 1..4usize, 100..600usize, 1..6usize, 1..4usize, 1..4usize, 1..3usize);
    shape.prop_flat_map(|(height, width, channels, filters, filter_h, filter_w, pool)| {
        let filter = [filter_h.min(height), filter_w.min(width)];
        let shape = Conv2dShape::new([height, width, channels], filters, filter);
        let shape = if shape.max_pool(pool).check().is_ok() { shape.max_pool(pool) } else { shape };
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        (
            prop_oneof![
                prop::collection::vec(any::<i16>(), height * width * channels),
                prop::collection::vec(30_000..=i16::MAX, height * width * channels),
                Just(vec![i16::MIN; height * width * channels]),
            ],
            prop_oneof![
                prop::collection::vec(-127..=127i8, filters * shape.filter_len()),
                prop::collection::vec(100..=127i8, filters * shape.filter_len()),
                Just(vec![-127; filters * shape.filter_len()]),
            ],
            prop::collection::vec(any::<i32>(), filters),
            prop::collection::vec(0.0001..0.02f32, filters),
            0.001..1.0f32,
            activation,
        )
            .prop_map(move |(input, filters, bias, scales, output, activation)| Int16Case {
                shape,
                input,
                filters,
                bias,
                scales,
                output,
                activation,
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sums_of_64_bits_are_the_references(case in wide_cases()) {
        let expected = case.wide_reference();
        prop_assert_eq!(case.run_wide::<Portable>(), expected.clone());
        prop_assert_eq!(case.run_wide::<bareconv::arch::Native>(), expected);
    }

    /// Where they fit 32 bits they are those of 32 bits.
    #[test]
    fn sums_of_64_bits_that_fit_32_are_the_same(case in int16_cases()) {
        prop_assert_eq!(case.run_wide::<Portable>(), case.run::<Portable, ReducedRounding>());
    }
}

#[test]
fn int16_sums_of_64_bits_reach_beyond_32() {
    let taps = 65_536;
    let case = |input: i16, bias: i32| Int16Case {
        shape: Conv2dShape::dense(taps, 1),
        input: vec![input; taps],
        filters: vec![64; taps],
        bias: vec![bias],
        // 2^22 in all with the weights; outputs are of the inputs' scale.
        scales: vec![1.0 / 4_194_304.0],
        output: 0.0005,
        activation: Activation::Identity,
    };
    assert_eq!(case(-32_768, 0).run_wide::<Portable>(), [-32_768]);
    assert_eq!(case(32_767, 0).run_wide::<Portable>(), [32_767]);
    assert_eq!(case(12_345, 1 << 21).run_wide::<Portable>(), [12_346]);
    assert_eq!(case(12_345, (1 << 21) - 1).run_wide::<Portable>(), [12_345]);
    assert_eq!(case(-12_345, i32::MIN).run_wide::<Portable>(), [-12_345 - 512]);
}

#[test]
fn int4_weights_have_their_own_rules() {
    let shape = Conv2dShape::dense(3, 3);
    let words = conv2d::packed_words::<Portable, Int4<SingleRounding>>(&shape);
    let q = Quantization::new(0.5, -3);
    let good = Int4Filters {
        filters: &[0x78, 0x12, 0x34, 0x56, 0x07],
        bias: &[1, 2, 3],
        scales: &[1.0; 3],
        input: q,
        output: q,
        activation: Activation::Identity,
    };
    let pack = |numbers: Int4Filters<'_>, words: usize| {
        conv2d::pack_int4::<Portable, SingleRounding>(&shape, &numbers, &mut vec![0; words]).map(|_| ())
    };
    assert_eq!(pack(good, words), Ok(()));
    assert_eq!(pack(good, words + 1), Err(ShapeError::Packed));
    assert_eq!(pack(Int4Filters { filters: &[0; 4], ..good }, words), Err(ShapeError::Filters));
    assert_eq!(pack(Int4Filters { filters: &[0; 6], ..good }, words), Err(ShapeError::Filters));
    assert_eq!(pack(Int4Filters { scales: &[1.0, 0.0, 1.0], ..good }, words), Err(ShapeError::Scale));
    assert_eq!(pack(Int4Filters { bias: &[1], ..good }, words), Err(ShapeError::Channels));
    assert_eq!(pack(Int4Filters { bias: &[i32::MAX, 0, 0], ..good }, words), Err(ShapeError::Accumulator));
    // A 3 x 3 convolution of 64 channels takes half a byte a weight.
    let shape = Conv2dShape::new([8, 8, 64], 64, [3, 3]);
    let [half, whole] = [
        conv2d::packed_words::<Portable, Int4<SingleRounding>>(&shape),
        conv2d::packed_words::<Portable, SingleRounding>(&shape),
    ];
    assert_eq!(4 * (whole - half), shape.filters * shape.filter_len() / 2);
}

#[test]
fn powers_of_two_have_their_own_rules() {
    let shape = Conv2dShape::dense(1, 1);
    let words = conv2d::packed_words::<Portable, PowerOfTwo>(&shape);
    let pack = |scale: f32, bias: i32, zero_point: i8| {
        let numbers = Int8Filters {
            filters: &[1],
            bias: &[bias],
            scales: &[scale],
            input: Quantization::new(0.25, 0),
            output: Quantization::new(0.5, zero_point),
            activation: Activation::Identity,
        };
        conv2d::pack_int8::<Portable, PowerOfTwo>(&shape, &numbers, &mut vec![0; words]).map(|_| ())
    };
    assert_eq!(pack(2.0, 0, 0), Ok(()));
    assert_eq!(pack(4.0, 0, 0), Err(ShapeError::PowerOfTwo));
    assert_eq!(pack(1.5, 0, 0), Err(ShapeError::PowerOfTwo));
    assert_eq!(pack(0.7, 0, 0), Err(ShapeError::PowerOfTwo));
    let smallest = 1.0 / (1 << 22) as f32;
    assert_eq!(pack(smallest, 0, 127), Ok(()));
    assert_eq!(pack(smallest / 2.0, 0, 0), Err(ShapeError::PowerOfTwo));
    // The zero point, half a unit, the weight and the bias fill the accumulator: 127.5 * 2^23 + 255 + bias.
    let most = i32::MAX - (127 << 23) - (1 << 22) - 255;
    assert_eq!(pack(smallest, most, 127), Ok(()));
    assert_eq!(pack(smallest, most + 1, 127), Err(ShapeError::Accumulator));
}

#[test]
fn memory_of_another_size_is_refused() {
    let shape = Conv2dShape::dense(3, 2);
    let packed = vec![0; conv2d::packed_words::<Portable, Clamp>(&shape)];
    let mut scratch = vec![0; conv2d::scratch_words::<Portable, Clamp>(&shape)];
    let mut run = |packed: &[u32], input: usize, output: usize, short: usize| {
        let (input, mut output, words) = (vec![0.0; input], vec![0.0; output], scratch.len() - short);
        let scratch = &mut scratch[..words];
        conv2d::run::<Portable, Clamp>(&shape, packed, 0.0, &[0.0, 1.0], &input, &mut output, scratch)
    };
    assert_eq!(run(&packed, 3, 2, 0), Ok(()));
    assert_eq!(run(&packed, 4, 2, 0), Err(ShapeError::Input));
    assert_eq!(run(&packed, 3, 1, 0), Err(ShapeError::Output));
    assert_eq!(run(&packed[1..], 3, 2, 0), Err(ShapeError::Packed));
    assert_eq!(run(&packed, 3, 2, 1), Err(ShapeError::Scratch));
}

/// Biases as large as packing allows.
#[test]
fn sums_at_the_edge_of_32_bits_are_right() {
    struct Check(Int8Case, Vec<i8>);
    impl Visitor for Check {
        fn visit<B: Backend>(&mut self) {
            assert_eq!(self.0.run::<B, SingleRounding>(), self.1, "{}", B::NAME);
        }
    }
    for (weight, sign) in [(127, 1), (127, -1), (-127, 1), (-127, -1)] {
        for (inputs, value, zero_point) in [(600, 127, -128), (600, -128, 127), (9, -128, -128), (9, 127, 127)] {
            let shape = Conv2dShape::dense(inputs, 40);
            let bias = sign * (i32::MAX - 256 * 127 * inputs as i32);
            let case = Int8Case {
                shape,
                input: vec![value; inputs],
                filters: vec![weight; 40 * inputs],
                bias: vec![bias; 40],
                scales: vec![1.0; 40],
                // 2^31 becomes 128, and a difference of 2^24 a step.
                quantization: [Quantization::new(1.0, zero_point), Quantization::new(16_777_216.0, 0)],
                activation: Activation::Identity,
            };
            let products = i64::from(weight) * (i64::from(value) - i64::from(zero_point)) * inputs as i64;
            let exact = ((i64::from(bias) + products) as f64 / 16_777_216.0 + 0.5).floor().clamp(-128.0, 127.0);
            let expected = case.reference::<SingleRounding>();
            assert_eq!(expected, vec![exact as i8; 40]);
            visit_all(&mut Check(case, expected));
        }
    }
}

#[test]
fn relu6_ends_at_the_value_nearest_to_six() {
    for (scale, zero_point, high) in
        [(0.1, -128, -68), (0.0235, -128, 127), (6e-19, 5, 127), (12.000_001, 3, 3), (12.0, 3, 4)]
    {
        let q = Quantization::new(scale, zero_point);
        let numbers =
            Int8Filters { filters: &[], bias: &[], scales: &[], input: q, output: q, activation: Activation::Relu6 };
        let common = pack::common_requantization(&numbers, SingleRounding::MODE);
        assert_eq!((common.low, common.high), (i32::from(zero_point), high), "scale {scale}");
    }
}
