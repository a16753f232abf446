//! Every backend's convolution gives the reference's bits, at awkward shapes and with extreme values.
//!
//! They need the feature `std`. On a machine without AVX2 those for x86-64 fail: they would test less than they say.

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int8Filters, Quantization, SingleRounding, dynamic,
    pack, reference,
};
use proptest::prelude::*;

/// Shapes up to a few dozen pixels; whatever breaks a rule is left out.
fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let input = prop_oneof![
        4 => (1..12usize, 1..12usize, 1..10usize),
        1 => (1..4usize, 1..4usize, 14..36usize),
        1 => (Just(1), Just(1), 1..600usize),
        1 => (Just(1), Just(1), 1000..1100usize),
    ];
    let axis = || (1..6usize, 1..4usize, 1..4usize, 0..4usize, 0..4usize, 1..4usize);
    (input, prop_oneof![1..9usize, 14..19usize, 30..42usize], axis(), axis())
        .prop_map(|((h, w, c), filters, y, x)| Conv2dShape {
            input: [h, w, c],
            filters,
            filter: [y.0.min(h + y.3 + y.4), x.0.min(w + x.3 + x.4)],
            stride: [y.1, x.1],
            dilation: [y.2, x.2],
            padding: [y.3, x.3, y.4, x.4],
            pool: [y.5, x.5],
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
    shapes().prop_flat_map(|shape| {
        let [h, w, c] = shape.input;
        let activation = prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6]);
        (
            int8(h * w * c, -128..=127),
            int8(shape.filters * shape.filter_len(), -127..=127),
            prop::collection::vec(-20_000..20_000i32, shape.filters),
            prop::collection::vec(0.0001..0.02f32, shape.filters),
            (any::<i8>(), any::<i8>(), 0.0005..2.0f32),
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
        let mut packed = vec![0xdead_beef; dynamic::packed_words::<B, R>(&self.shape)];
        let common = dynamic::pack_int8::<B, R>(&self.shape, &self.numbers(), &mut packed).unwrap();
        // Whatever the scratch memory held before must not matter.
        let mut scratch = vec![0x7f80_80ff; dynamic::scratch_words::<B, R>(&self.shape)];
        let mut output = self.output();
        let fill = self.quantization[0].zero_point;
        dynamic::run::<B, R>(&self.shape, &packed, fill, &common, &self.input, &mut output, &mut scratch).unwrap();
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
    let value = || prop_oneof![20 => -4.0..4.0f32, 1 => any::<f32>(), 1 => Just(-0.0f32)];
    shapes().prop_flat_map(move |shape| {
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
        let mut packed = vec![0xdead_beef; dynamic::packed_words::<B, Clamp>(&self.shape)];
        let numbers = F32Filters { filters: &self.filters, bias: &self.bias, activation: self.activation };
        dynamic::pack_float::<B>(&self.shape, &numbers, &mut packed).unwrap();
        let mut scratch = vec![0xffff_ffff; dynamic::scratch_words::<B, Clamp>(&self.shape)];
        let bounds = self.activation.bounds();
        dynamic::run::<B, Clamp>(&self.shape, &packed, 0.0, &bounds, &self.input, &mut output, &mut scratch).unwrap();
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
        let (single, double) = (case.reference::<SingleRounding>(), case.reference::<DoubleRounding>());
        prop_assert_eq!(&case.run::<Portable, SingleRounding>(), &single);
        prop_assert_eq!(&case.run::<Portable, DoubleRounding>(), &double);
        #[cfg(target_arch = "x86_64")]
        {
            prop_assert_eq!(&case.run::<bareconv::arch::Avx2, SingleRounding>(), &single);
            prop_assert_eq!(&case.run::<bareconv::arch::Avx2, DoubleRounding>(), &double);
        }
    }

    #[test]
    fn f32_backends_agree_with_the_reference(case in f32_cases()) {
        let expected = case.reference();
        #[cfg(target_arch = "x86_64")]
        prop_assert_eq!(&case.run::<bareconv::arch::Avx2>(), &expected);
        prop_assert_eq!(case.run::<Portable>(), expected);
    }
}
