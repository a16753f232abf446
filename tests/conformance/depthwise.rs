//! Depthwise convolutions whose shape is known at run time only.

use super::{Cases, Generator, Memory, Session, Space};
use bareconv::dynamic::depthwise;
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, DepthwiseConv2dShape, DoubleRounding, F32Filters, Int8Filters, Int16Filters, Int16x8,
    Quantization, ReducedRounding, SingleRounding, pack, reference,
};

/// Int8 convolutions, each with both roundings.
const INT8_CASES: u32 = super::number_of_cases(600);
/// Convolutions of int16 values, each with three roundings.
const INT16_CASES: u32 = super::number_of_cases(150);
/// Convolutions in single precision.
const FLOAT_CASES: u32 = super::number_of_cases(200);
/// Activations of a case.
const VALUES: usize = super::most(3000);
/// The most channels of a case.
const CHANNELS: usize = 72;

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["depthwise", "int8", B::NAME], int8::<B>);
    session.operator(["depthwise", "int16", B::NAME], int16::<B>);
    session.operator(["depthwise", "f32", B::NAME], float::<B>);
}

impl Generator {
    /// A shape that obeys the rules and fits the buffers.
    pub fn depthwise(&mut self) -> DepthwiseConv2dShape {
        loop {
            let (h, w, c) = match self.within(0, 4) {
                0 => (self.within(1, 5), self.within(1, 5), self.within(15, 36)),
                1 => (self.within(1, 40), self.within(1, 40), self.within(1, 5)),
                _ => (self.within(1, 12), self.within(1, 12), self.within(1, 9)),
            };
            let mut axis = || {
                // Filters of three, most of all.
                let filter = if self.within(0, 1) == 0 { 3 } else { self.within(1, 6) };
                let dilation = if self.within(0, 1) == 0 { 1 } else { self.within(1, 3) };
                [filter, self.within(1, 3), dilation, self.within(0, 3), self.within(0, 3)]
            };
            let (y, x) = (axis(), axis());
            let shape = DepthwiseConv2dShape {
                input: [h, w, c],
                multiplier: if self.within(0, 2) == 0 { self.within(2, 5) } else { 1 },
                filter: [y[0], x[0]],
                stride: [y[1], x[1]],
                dilation: [y[2], x[2]],
                padding: [y[3], x[3], y[4], x[4]],
            };
            if shape.check().is_ok()
                && h * w * c <= VALUES
                && shape.channels() <= CHANNELS
                && shape.output().iter().product::<usize>() <= VALUES
            {
                return shape;
            }
        }
    }
}

fn int8<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..INT8_CASES {
        let shape = generator.depthwise();
        let mut space = memory.space();
        let (bias, scales) = (space.take(shape.channels()), space.take(shape.channels()));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = generator.within(0, 10_000) as i32 - 5_000;
            *scale = generator.real(0.0001, 0.02);
        }
        generator.large_bias(bias, scales);
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
        generator.int8(input, -128);
        generator.int8(filters, -127);
        let numbers = Int8Filters {
            filters,
            bias,
            scales,
            input: Quantization::new(0.02, generator.next() as i8),
            output: Quantization::new(generator.real(0.0005, 0.5), generator.next() as i8),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)],
        };
        int8_case::<B, SingleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int8_case::<B, DoubleRounding>(cases, case, &shape, &numbers, input, space.lend());
    }
}

fn int8_case<B: Backend, R: Rounding>(
    cases: &mut Cases<'_>,
    case: u32,
    shape: &DepthwiseConv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    mut space: Space<'_>,
) {
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    specified_int8::<R>(shape, numbers, input, expected);
    let zero_point = numbers.input.zero_point;
    let packed = space.take(depthwise::packed_words::<B, R>(shape));
    let common = depthwise::pack_int8::<B, R>(shape, numbers, packed).expect("the case obeys the rules");
    let scratch = space.take(depthwise::scratch_words::<B, R>(shape));
    // Whatever the memory held before must not matter.
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| depthwise::run::<B, R>(shape, packed, zero_point, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, R::MODE, shape), output, expected);
}

/// The output that the reference specifies.
pub fn specified_int8<R: Rounding>(
    shape: &DepthwiseConv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    output: &mut [i8],
) {
    let common: CommonRequantization = pack::common_requantization(numbers, R::MODE);
    let mut parameters = [0; 2 * CHANNELS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.channels()) {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    let Int8Filters { filters, bias, input: Quantization { zero_point, .. }, .. } = *numbers;
    reference::depthwise_conv2d_i8::<R>(shape, input, zero_point, filters, bias, &parameters, &common, output);
}

fn int16<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..INT16_CASES {
        let shape = generator.depthwise();
        let mut space = memory.space();
        let (bias, scales) = (space.take(shape.channels()), space.take(shape.channels()));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = generator.within(0, 4_000_000) as i32 - 2_000_000;
            *scale = generator.real(0.0001, 0.02);
        }
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
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
        int16_case::<B, SingleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int16_case::<B, DoubleRounding>(cases, case, &shape, &numbers, input, space.lend());
        int16_case::<B, ReducedRounding>(cases, case, &shape, &numbers, input, space.lend());
    }
}

fn int16_case<B: Backend, R: Rounding>(
    cases: &mut Cases<'_>,
    case: u32,
    shape: &DepthwiseConv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    mut space: Space<'_>,
) {
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    specified_int16::<R>(shape, numbers, input, expected);
    let packed = space.take(depthwise::packed_words::<B, Int16x8<R>>(shape));
    let common = depthwise::pack_int16::<B, R>(shape, numbers, packed).expect("the case obeys the rules");
    let scratch = space.take(depthwise::scratch_words::<B, Int16x8<R>>(shape));
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| depthwise::run::<B, Int16x8<R>>(shape, packed, 0, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, R::MODE, shape), output, expected);
}

/// The output that the reference specifies for int16.
pub fn specified_int16<R: Rounding>(
    shape: &DepthwiseConv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    output: &mut [i16],
) {
    let common = pack::common_requantization_i16(numbers, R::MODE);
    let mut parameters = [0; 2 * CHANNELS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.channels()) {
        pack::requantization_parameters_i16(numbers, R::MODE, &common, o, words);
    }
    let Int16Filters { filters, bias, .. } = *numbers;
    reference::depthwise_conv2d_i16::<R>(shape, input, filters, bias, &parameters, &common, output);
}

fn float<B: Backend>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..FLOAT_CASES {
        let shape = generator.depthwise();
        let mut space = memory.space();
        let bias = space.take(shape.channels());
        let input = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
        generator.float(bias);
        generator.float(input);
        generator.float(filters);
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)];
        let (numbers, bounds) = (F32Filters { filters, bias, activation }, activation.bounds());
        let len = shape.output().iter().product();
        let (output, expected) = (space.take(len), space.take(len));
        reference::depthwise_conv2d_f32(&shape, input, filters, bias, bounds, expected);
        let packed = space.take(depthwise::packed_words::<B, Clamp>(&shape));
        depthwise::pack_float::<B>(&shape, &numbers, packed).expect("the case obeys the rules");
        let scratch = space.take(depthwise::scratch_words::<B, Clamp>(&shape));
        scratch.fill(0xffff_ffff);
        output.fill(99.0);
        cases
            .measure(|| depthwise::run::<B, Clamp>(&shape, packed, 0.0, &bounds, input, output, scratch))
            .expect("the case obeys the rules");
        cases.compare(&(case, shape), output, expected);
    }
}
