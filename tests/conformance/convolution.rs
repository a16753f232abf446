//! 2-D convolutions and dense layers whose shape is known at run time only.

use super::{Cases, Generator, Memory, Session, Space};
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int4, Int4Filters, Int8Filters, Int16Filters, Int16x8,
    Int16x8Wide, PowerOfTwo, Quantization, ReducedRounding, SingleRounding, dynamic::conv2d, pack, reference,
};

/// Int8 convolutions, each with both roundings.
const INT8_CASES: u32 = super::number_of_cases(1000);
/// Convolutions with int4 weights.
const INT4_CASES: u32 = super::number_of_cases(400);
/// Convolutions of int16 values that every core runs, each with three roundings.
const INT16_CASES: u32 = super::number_of_cases(400);
/// Convolutions in single precision.
const FLOAT_CASES: u32 = super::number_of_cases(400);
/// Activations of a case.
const VALUES: usize = super::most(2048);
/// Weights of a case.
const WEIGHTS: usize = super::most(8192);
/// The most channels of a case.
const CHANNELS: usize = 40;

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["conv2d", "int8", B::NAME], int8::<B>);
    session.operator(["conv2d", "int4", B::NAME], int4::<B>);
    session.operator(["conv2d", "int16", B::NAME], int16::<B>);
    session.operator(["conv2d", "f32", B::NAME], float::<B>);
}

impl Generator {
    /// A shape that obeys the rules and fits the buffers.
    pub fn shape(&mut self) -> Conv2dShape {
        loop {
            let (h, w, c) = match self.within(0, 5) {
                0 => (self.within(1, 3), self.within(1, 3), self.within(11, 40)),
                1 => (1, 1, self.within(1, 700)),
                2 => (1, 1, self.within(1000, 1100)),
                _ => (self.within(1, 14), self.within(1, 14), self.within(1, 10)),
            };
            let filters = if self.within(0, 3) == 0 { self.within(9, 34) } else { self.within(1, 8) };
            let mut axis = || {
                [
                    self.within(1, 5),
                    self.within(1, 3),
                    self.within(1, 3),
                    self.within(0, 4),
                    self.within(0, 4),
                    self.within(1, 3),
                ]
            };
            let (y, x) = (axis(), axis());
            let groups = match self.within(0, 7) {
                0 => 2,
                1 => 3,
                // A filter for each channel, or several.
                2 => c,
                _ => 1,
            };
            let groups = if c.is_multiple_of(groups) && filters.is_multiple_of(groups) { groups } else { 1 };
            let plain = Conv2dShape {
                input: [h, w, c],
                filters,
                filter: [y[0], x[0]],
                stride: [y[1], x[1]],
                dilation: [y[2], x[2]],
                padding: [y[3], x[3], y[4], x[4]],
                pool: [y[5], x[5]],
                groups,
            };
            let pointwise = Conv2dShape::new(plain.input, filters, [1, 1]).groups(groups);
            let shape = if self.within(0, 9) == 0 { pointwise } else { plain };
            if shape.check().is_ok()
                && h * w * c <= VALUES
                && filters * shape.filter_len() <= WEIGHTS
                && shape.output().iter().product::<usize>() <= VALUES
            {
                return shape;
            }
        }
    }
}

impl Generator {
    /// Of some cases one channel has a bias that says nearly all, as training leaves it where weights died out.
    pub fn large_bias(&mut self, bias: &mut [i32], scales: &mut [f32]) {
        if self.within(0, 3) == 0 {
            let channel = self.within(0, bias.len() - 1);
            bias[channel] = (self.within(1 << 29, 3 << 29) as i32) * [-1, 1][self.within(0, 1)];
            scales[channel] = [1e-12, 1e-8, 1e-7][self.within(0, 2)];
        }
    }
}

fn int8<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..INT8_CASES {
        let shape = generator.shape();
        let mut space = memory.space();
        let (bias, scales) = (space.take(shape.filters), space.take(shape.filters));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = generator.within(0, 40_000) as i32 - 20_000;
            *scale = generator.real(0.0001, 0.02);
        }
        generator.large_bias(bias, scales);
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.filters * shape.filter_len());
        generator.int8(input, -128);
        generator.int8(filters, -127);
        let numbers = Int8Filters {
            filters,
            bias,
            scales,
            input: Quantization::new(0.02, generator.next() as i8),
            output: Quantization::new(generator.real(0.0005, 2.0), generator.next() as i8),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)],
        };
        int8_case::<B, SingleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int8_case::<B, DoubleRounding>(cases, case, &shape, &numbers, input, space.lend());
        let powers = space.take(shape.filters);
        for scale in &mut *powers {
            *scale = power(generator.within(2, 9));
        }
        let numbers = Int8Filters {
            scales: powers,
            input: Quantization::new(power(6), numbers.input.zero_point),
            output: Quantization::new(power(generator.within(0, 4)), numbers.output.zero_point),
            ..numbers
        };
        int8_case::<B, PowerOfTwo>(cases, case, &shape, &numbers, input, space.lend());
    }
}

/// 2 to the power of `-exponent`.
fn power(exponent: usize) -> f32 {
    1.0 / (1 << exponent) as f32
}

fn int4<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..INT4_CASES {
        let shape = generator.shape();
        let mut space = memory.space();
        let (bias, scales) = (space.take(shape.filters), space.take(shape.filters));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = generator.within(0, 4_000) as i32 - 2_000;
            *scale = generator.real(0.001, 0.2);
        }
        let input = space.take(shape.input.iter().product());
        let filters: &mut [i8] = space.take(shape.filters * shape.filter_len());
        generator.int8(input, -128);
        generator.int8(filters, -128);
        filters.iter_mut().for_each(|weight| *weight >>= 4);
        let nibbles: &mut [u8] = space.take(filters.len().div_ceil(2));
        for (byte, pair) in nibbles.iter_mut().zip(filters.chunks(2)) {
            *byte = pair[0] as u8 & 15 | pair.get(1).map_or(0, |&second| (second as u8) << 4);
        }
        let numbers = Int8Filters {
            filters,
            bias,
            scales,
            input: Quantization::new(0.02, generator.next() as i8),
            output: Quantization::new(generator.real(0.0005, 2.0), generator.next() as i8),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)],
        };
        let len = shape.output().iter().product();
        let (output, expected) = (space.take(len), space.take(len));
        specified_int8::<SingleRounding>(&shape, &numbers, input, expected);
        let Int8Filters { input: from, output: to, activation, .. } = numbers;
        let numbers = Int4Filters { filters: nibbles, bias, scales, input: from, output: to, activation };
        let packed = space.take(conv2d::packed_words::<B, Int4<SingleRounding>>(&shape));
        let common =
            conv2d::pack_int4::<B, SingleRounding>(&shape, &numbers, packed).expect("the case obeys the rules");
        let scratch = space.take(conv2d::scratch_words::<B, Int4<SingleRounding>>(&shape));
        scratch.fill(0x7f80_80ff);
        output.fill(99);
        let fill = from.zero_point;
        cases
            .measure(|| conv2d::run::<B, Int4<SingleRounding>>(&shape, packed, fill, &common, input, output, scratch))
            .expect("the case obeys the rules");
        cases.compare(&(case, shape), output, expected);
    }
}

fn int16<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..INT16_CASES {
        let shape = generator.shape();
        let mut space = memory.space();
        let (bias, scales) = (space.take(shape.filters), space.take(shape.filters));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = generator.within(0, 4_000_000) as i32 - 2_000_000;
            *scale = generator.real(0.0001, 0.02);
        }
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.filters * shape.filter_len());
        let style = generator.within(0, 5);
        for value in &mut *input {
            *value = match style {
                0 => -32768,
                1 => [-32768, 32767][generator.within(0, 1)],
                _ => generator.next() as i16,
            };
        }
        generator.int8(filters, -127);
        let output = [generator.real(0.0005, 0.02), generator.real(0.000_01, 0.0005)][generator.within(0, 1)];
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)];
        let numbers = Int16Filters { filters, bias, scales, input: 0.0005, output, activation };
        wide_case::<B>(cases, case, &shape, &numbers, input, space.lend());
        // Many taps of full weight would not fit an accumulator of 32 bits.
        let divisor = (shape.filter_len() / 500 + 1) as i8;
        filters.iter_mut().for_each(|weight| *weight /= divisor);
        let numbers = Int16Filters { filters, bias, scales, input: 0.0005, output, activation };
        int16_case::<B, SingleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int16_case::<B, DoubleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int16_case::<B, ReducedRounding>(cases, case, &shape, &numbers, input, space.lend());
    }
}

fn int16_case<B: Backend, R: Rounding>(
    cases: &mut Cases<'_>,
    case: u32,
    shape: &Conv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    mut space: Space<'_>,
) {
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    specified_int16::<R>(shape, numbers, input, expected);
    let packed = space.take(conv2d::packed_words::<B, Int16x8<R>>(shape));
    let common = conv2d::pack_int16::<B, R>(shape, numbers, packed).expect("the case obeys the rules");
    let scratch = space.take(conv2d::scratch_words::<B, Int16x8<R>>(shape));
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| conv2d::run::<B, Int16x8<R>>(shape, packed, 0, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, R::MODE, shape), output, expected);
}

fn wide_case<B: Backend>(
    cases: &mut Cases<'_>,
    case: u32,
    shape: &Conv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    mut space: Space<'_>,
) {
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    let common = pack::common_requantization_i16(numbers, ReducedRounding::MODE);
    let mut parameters = [[0; 2]; CHANNELS];
    for (o, words) in parameters.iter_mut().enumerate().take(shape.filters) {
        *words = pack::requantization_parameters_i16_wide(numbers, o);
    }
    reference::conv2d_i16_wide(shape, input, numbers.filters, numbers.bias, &parameters, &common, expected);
    let packed = space.take(conv2d::packed_words::<B, Int16x8Wide>(shape));
    let common = conv2d::pack_int16_wide::<B>(shape, numbers, packed).expect("the case obeys the rules");
    let scratch = space.take(conv2d::scratch_words::<B, Int16x8Wide>(shape));
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| conv2d::run::<B, Int16x8Wide>(shape, packed, 0, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, "wide", shape), output, expected);
}

fn int8_case<B: Backend, R: Rounding>(
    cases: &mut Cases<'_>,
    case: u32,
    shape: &Conv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    mut space: Space<'_>,
) {
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    specified_int8::<R>(shape, numbers, input, expected);
    let zero_point = numbers.input.zero_point;
    let packed = space.take(conv2d::packed_words::<B, R>(shape));
    let common = conv2d::pack_int8::<B, R>(shape, numbers, packed).expect("the case obeys the rules");
    let scratch = space.take(conv2d::scratch_words::<B, R>(shape));
    // Whatever the memory held before must not matter.
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| conv2d::run::<B, R>(shape, packed, zero_point, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, R::MODE, shape), output, expected);
}

/// The output that the reference specifies.
pub fn specified_int8<R: Rounding>(shape: &Conv2dShape, numbers: &Int8Filters<'_>, input: &[i8], output: &mut [i8]) {
    let common: CommonRequantization = pack::common_requantization(numbers, R::MODE);
    let mut parameters = [0; 2 * CHANNELS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.filters) {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    let zero_point = numbers.input.zero_point;
    reference::conv2d_i8::<R>(shape, input, zero_point, numbers.filters, numbers.bias, &parameters, &common, output);
}

/// The output that the reference specifies for int16.
pub fn specified_int16<R: Rounding>(
    shape: &Conv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    output: &mut [i16],
) {
    let common = pack::common_requantization_i16(numbers, R::MODE);
    let mut parameters = [0; 2 * CHANNELS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.filters) {
        pack::requantization_parameters_i16(numbers, R::MODE, &common, o, words);
    }
    reference::conv2d_i16::<R>(shape, input, numbers.filters, numbers.bias, &parameters, &common, output);
}

/// 2^-63: a product of two such numbers is the smallest that is not subnormal.
const SMALL: f32 = f32::from_bits((127 - 63) << 23);

fn float<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..FLOAT_CASES {
        let shape = generator.shape();
        let mut space = memory.space();
        let bias = space.take(shape.filters);
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.filters * shape.filter_len());
        generator.float(bias);
        generator.float(input);
        generator.float(filters);
        if generator.within(0, 7) == 0 {
            // So small that some products and sums are subnormal, which vectors may treat otherwise than scalars.
            let scales = [(&mut *bias, f32::MIN_POSITIVE), (&mut *input, SMALL), (&mut *filters, SMALL)];
            for (values, scale) in scales {
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)];
        let numbers = F32Filters { filters, bias, activation };
        let len = shape.output().iter().product();
        let (output, expected) = (space.take(len), space.take(len));
        reference::conv2d_f32(&shape, input, filters, bias, activation.bounds(), expected);
        let packed = space.take(conv2d::packed_words::<B, Clamp>(&shape));
        conv2d::pack_float::<B>(&shape, &numbers, packed).expect("the case obeys the rules");
        let scratch = space.take(conv2d::scratch_words::<B, Clamp>(&shape));
        scratch.fill(0xffff_ffff);
        output.fill(99.0);
        cases
            .measure(|| conv2d::run::<B, Clamp>(&shape, packed, 0.0, &activation.bounds(), input, output, scratch))
            .expect("the case obeys the rules");
        cases.compare(&(case, shape), output, expected);
    }
}
