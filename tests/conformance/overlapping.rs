//! Operators in little memory: whose output overwrites their input, in the least memory that the shape allows or somewhat
//! more, and those that run row by row.

use super::{Cases, Generator, Memory, Session, Value, convolution, depthwise as depthwise_cases};
use bareconv::dynamic::{self, depthwise};
use bareconv::kernels::{Backend, elementwise};
use bareconv::{
    Activation, Clamp, Conv2dShape, DepthwiseConv2dShape, F32Filters, Int4, Int4Filters, Int8Filters, Int16Filters,
    Int16x8, Pool2dShape, Quantization, SingleRounding, reference,
};

/// Shapes of each operator and type.
const CASES: u32 = super::number_of_cases(200);

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["conv2d-overlapping", "int8", B::NAME], conv2d_int8::<B, false>);
    session.operator(["conv2d-by-rows", "int8", B::NAME], conv2d_int8::<B, true>);
    session.operator(["conv2d-overlapping", "int4", B::NAME], conv2d_int4::<B, false>);
    session.operator(["conv2d-by-rows", "int4", B::NAME], conv2d_int4::<B, true>);
    session.operator(["conv2d-overlapping", "int16", B::NAME], conv2d_int16::<B, false>);
    session.operator(["conv2d-by-rows", "int16", B::NAME], conv2d_int16::<B, true>);
    session.operator(["conv2d-overlapping", "f32", B::NAME], conv2d_float::<B, false>);
    session.operator(["conv2d-by-rows", "f32", B::NAME], conv2d_float::<B, true>);
    session.operator(["depthwise-overlapping", "int8", B::NAME], depthwise_int8::<B, false>);
    session.operator(["depthwise-by-rows", "int8", B::NAME], depthwise_int8::<B, true>);
    session.operator(["depthwise-overlapping", "int16", B::NAME], depthwise_int16::<B, false>);
    session.operator(["depthwise-by-rows", "int16", B::NAME], depthwise_int16::<B, true>);
    session.operator(["depthwise-overlapping", "f32", B::NAME], depthwise_float::<B, false>);
    session.operator(["depthwise-by-rows", "f32", B::NAME], depthwise_float::<B, true>);
    session.operator(["pooling-overlapping", "int8", B::NAME], |cases, generator, memory| {
        pooling::<B, i8>(cases, generator, memory, |generator, input| generator.int8(input, -128));
    });
    session.operator(["pooling-overlapping", "int16", B::NAME], |cases, generator, memory| {
        pooling::<B, i16>(cases, generator, memory, Generator::int16);
    });
    session.operator(["pooling-overlapping", "f32", B::NAME], |cases, generator, memory| {
        pooling::<B, f32>(cases, generator, memory, Generator::float);
    });
}

/// The shape, without its groups where it is to run row by row.
fn streamed<const BY_ROWS: bool>(shape: Conv2dShape) -> Conv2dShape {
    if !BY_ROWS || shape.groups == 1 {
        return shape;
    }
    Conv2dShape { input: [shape.input[0], shape.input[1], shape.input[2] / shape.groups], groups: 1, ..shape }
}

/// Whether the distance between input and output is more than none, and the memory no longer than it and the input.
fn closeness(shape: &Conv2dShape) -> bool {
    let len = shape.overlap() + shape.input.iter().product::<usize>();
    shape.groups == 1 && shape.overlap() > 0 && shape.overlapping_len() == len
}

fn depthwise_closeness(shape: &DepthwiseConv2dShape) -> bool {
    let len = shape.overlap() + shape.input.iter().product::<usize>();
    shape.multiplier == 1 && shape.overlap() > 0 && shape.overlapping_len() == len
}

/// Numbers for a convolution of this many channels.
struct Numbers<'a> {
    bias: &'a mut [i32],
    scales: &'a mut [f32],
    quantization: [Quantization; 2],
}

impl Generator {
    /// Draws a shape; every other time one whose input and output are as close as they may be, if there is one among many.
    fn close<S>(&mut self, draw: impl Fn(&mut Self) -> S, close: impl Fn(&S) -> bool) -> S {
        let draws = if self.within(0, 1) == 0 { 100 } else { 1 };
        let mut shape = draw(self);
        for _ in 1..draws {
            if close(&shape) {
                break;
            }
            shape = draw(self);
        }
        shape
    }

    fn numbers<'a>(&mut self, space: &mut super::Space<'a>, channels: usize) -> Numbers<'a> {
        let (bias, scales) = (space.take(channels), space.take(channels));
        for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
            *bias = self.within(0, 10_000) as i32 - 5_000;
            *scale = self.real(0.0001, 0.02);
        }
        let output = Quantization::new(self.real(0.0005, 0.5), self.next() as i8);
        Numbers { bias, scales, quantization: [Quantization::new(0.02, self.next() as i8), output] }
    }

    /// Copies the input to the end of memory of this length, or of up to three pixels more.
    fn place<'a, T: Value>(
        &mut self,
        space: &mut super::Space<'a>,
        len: usize,
        channels: usize,
        input: &[T],
    ) -> &'a mut [T] {
        let memory = space.take(len + self.within(0, 3) * channels);
        let (before, place) = memory.split_at_mut(memory.len() - input.len());
        before.fill(bytemuck::Zeroable::zeroed());
        place.copy_from_slice(input);
        memory
    }
}

fn conv2d_int8<B: Backend, const BY_ROWS: bool>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    for case in 0..CASES {
        let shape = streamed::<BY_ROWS>(generator.close(Generator::shape, closeness));
        let mut space = memory.space();
        let Numbers { bias, scales, quantization: [input, output] } = generator.numbers(&mut space, shape.filters);
        let values = space.take(shape.input.iter().product());
        let filters = space.take(shape.filters * shape.filter_len());
        generator.int8(values, -128);
        generator.int8(filters, -127);
        let numbers = Int8Filters { filters, bias, scales, input, output, activation: Activation::Identity };
        let expected = space.take(shape.output().iter().product());
        convolution::specified_int8::<SingleRounding>(&shape, &numbers, values, expected);
        let packed = space.take(dynamic::conv2d::packed_words::<B, SingleRounding>(&shape));
        let common =
            dynamic::conv2d::pack_int8::<B, SingleRounding>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(dynamic::conv2d::scratch_words_by_rows::<B, SingleRounding>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| {
                    dynamic::conv2d::run_by_rows::<B, SingleRounding>(
                        &shape,
                        packed,
                        input.zero_point,
                        &common,
                        values,
                        output,
                        scratch,
                    )
                })
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(dynamic::conv2d::scratch_words::<B, SingleRounding>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| {
                dynamic::conv2d::run_overlapping::<B, _, SingleRounding>(
                    &shape,
                    packed,
                    input.zero_point,
                    &common,
                    shared,
                    scratch,
                )
            })
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn conv2d_int4<B: Backend, const BY_ROWS: bool>(cases: &mut Cases<'_>, generator: &mut Generator, memory: &mut Memory) {
    type E = Int4<SingleRounding>;
    for case in 0..CASES {
        let shape = streamed::<BY_ROWS>(generator.close(Generator::shape, closeness));
        let mut space = memory.space();
        let Numbers { bias, scales, quantization: [input, output] } = generator.numbers(&mut space, shape.filters);
        let values = space.take(shape.input.iter().product());
        let filters = space.take::<i8>(shape.filters * shape.filter_len());
        let nibbles = space.take::<u8>(filters.len().div_ceil(2));
        generator.int8(values, -128);
        generator.int8(filters, -127);
        nibbles.fill(0);
        for (at, weight) in filters.iter_mut().enumerate() {
            *weight >>= 4;
            nibbles[at / 2] |= (*weight as u8 & 15) << (at % 2 * 4);
        }
        let activation = Activation::Identity;
        let specified = Int8Filters { filters, bias, scales, input, output, activation };
        let numbers = Int4Filters { filters: nibbles, bias, scales, input, output, activation };
        let expected = space.take(shape.output().iter().product());
        convolution::specified_int8::<SingleRounding>(&shape, &specified, values, expected);
        let packed = space.take(dynamic::conv2d::packed_words::<B, E>(&shape));
        let common =
            dynamic::conv2d::pack_int4::<B, SingleRounding>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(dynamic::conv2d::scratch_words_by_rows::<B, E>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| {
                    dynamic::conv2d::run_by_rows::<B, E>(
                        &shape,
                        packed,
                        input.zero_point,
                        &common,
                        values,
                        output,
                        scratch,
                    )
                })
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(dynamic::conv2d::scratch_words::<B, E>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| {
                dynamic::conv2d::run_overlapping::<B, _, E>(&shape, packed, input.zero_point, &common, shared, scratch)
            })
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn conv2d_int16<B: Backend, const BY_ROWS: bool>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
) {
    type E = Int16x8<SingleRounding>;
    for case in 0..CASES {
        let shape = streamed::<BY_ROWS>(generator.close(Generator::shape, closeness));
        let mut space = memory.space();
        let Numbers { bias, scales, .. } = generator.numbers(&mut space, shape.filters);
        let values = space.take(shape.input.iter().product());
        let filters = space.take::<i8>(shape.filters * shape.filter_len());
        generator.int16(values);
        generator.int8(filters, -127);
        // Many taps of full weight would not fit an accumulator.
        let divisor = (shape.filter_len() / 500 + 1) as i8;
        filters.iter_mut().for_each(|weight| *weight /= divisor);
        let output = generator.real(0.0005, 0.02);
        let numbers = Int16Filters { filters, bias, scales, input: 0.0005, output, activation: Activation::Identity };
        let expected = space.take(shape.output().iter().product());
        convolution::specified_int16::<SingleRounding>(&shape, &numbers, values, expected);
        let packed = space.take(dynamic::conv2d::packed_words::<B, E>(&shape));
        let common =
            dynamic::conv2d::pack_int16::<B, SingleRounding>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(dynamic::conv2d::scratch_words_by_rows::<B, E>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| dynamic::conv2d::run_by_rows::<B, E>(&shape, packed, 0, &common, values, output, scratch))
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(dynamic::conv2d::scratch_words::<B, E>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| dynamic::conv2d::run_overlapping::<B, _, E>(&shape, packed, 0, &common, shared, scratch))
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn conv2d_float<B: Backend, const BY_ROWS: bool>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
) {
    for case in 0..CASES {
        let shape = streamed::<BY_ROWS>(generator.close(Generator::shape, closeness));
        let mut space = memory.space();
        let bias = space.take(shape.filters);
        let values = space.take(shape.input.iter().product());
        let filters = space.take(shape.filters * shape.filter_len());
        generator.float(bias);
        generator.float(values);
        generator.float(filters);
        let bounds = Activation::Identity.bounds();
        let expected = space.take(shape.output().iter().product());
        reference::conv2d_f32(&shape, values, filters, bias, bounds, expected);
        let packed = space.take(dynamic::conv2d::packed_words::<B, Clamp>(&shape));
        let numbers = F32Filters { filters, bias, activation: Activation::Identity };
        dynamic::conv2d::pack_float::<B>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(dynamic::conv2d::scratch_words_by_rows::<B, Clamp>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| {
                    dynamic::conv2d::run_by_rows::<B, Clamp>(&shape, packed, 0.0, &bounds, values, output, scratch)
                })
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(dynamic::conv2d::scratch_words::<B, Clamp>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| dynamic::conv2d::run_overlapping::<B, _, Clamp>(&shape, packed, 0.0, &bounds, shared, scratch))
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn depthwise_int8<B: Backend, const BY_ROWS: bool>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
) {
    for case in 0..CASES {
        let shape = generator.close(Generator::depthwise, depthwise_closeness);
        let mut space = memory.space();
        let Numbers { bias, scales, quantization: [input, output] } = generator.numbers(&mut space, shape.channels());
        let values = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
        generator.int8(values, -128);
        generator.int8(filters, -127);
        let numbers = Int8Filters { filters, bias, scales, input, output, activation: Activation::Identity };
        let expected = space.take(shape.output().iter().product());
        depthwise_cases::specified_int8::<SingleRounding>(&shape, &numbers, values, expected);
        let packed = space.take(depthwise::packed_words::<B, SingleRounding>(&shape));
        let common = depthwise::pack_int8::<B, SingleRounding>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(depthwise::scratch_words_by_rows::<B, SingleRounding>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| {
                    depthwise::run_by_rows::<B, SingleRounding>(
                        &shape,
                        packed,
                        input.zero_point,
                        &common,
                        values,
                        output,
                        scratch,
                    )
                })
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(depthwise::scratch_words::<B, SingleRounding>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| {
                depthwise::run_overlapping::<B, _, SingleRounding>(
                    &shape,
                    packed,
                    input.zero_point,
                    &common,
                    shared,
                    scratch,
                )
            })
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn depthwise_int16<B: Backend, const BY_ROWS: bool>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
) {
    type E = Int16x8<SingleRounding>;
    for case in 0..CASES {
        let shape = generator.close(Generator::depthwise, depthwise_closeness);
        let mut space = memory.space();
        let Numbers { bias, scales, .. } = generator.numbers(&mut space, shape.channels());
        let values = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
        generator.int16(values);
        generator.int8(filters, -127);
        let output = generator.real(0.0005, 0.02);
        let numbers = Int16Filters { filters, bias, scales, input: 0.0005, output, activation: Activation::Identity };
        let expected = space.take(shape.output().iter().product());
        depthwise_cases::specified_int16::<SingleRounding>(&shape, &numbers, values, expected);
        let packed = space.take(depthwise::packed_words::<B, E>(&shape));
        let common = depthwise::pack_int16::<B, SingleRounding>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(depthwise::scratch_words_by_rows::<B, E>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| depthwise::run_by_rows::<B, E>(&shape, packed, 0, &common, values, output, scratch))
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(depthwise::scratch_words::<B, E>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| depthwise::run_overlapping::<B, _, E>(&shape, packed, 0, &common, shared, scratch))
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

fn depthwise_float<B: Backend, const BY_ROWS: bool>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
) {
    for case in 0..CASES {
        let shape = generator.close(Generator::depthwise, depthwise_closeness);
        let mut space = memory.space();
        let bias = space.take(shape.channels());
        let values = space.take(shape.input.iter().product());
        let filters = space.take(shape.channels() * shape.filter_len());
        generator.float(bias);
        generator.float(values);
        generator.float(filters);
        let bounds = Activation::Identity.bounds();
        let expected = space.take(shape.output().iter().product());
        reference::depthwise_conv2d_f32(&shape, values, filters, bias, bounds, expected);
        let packed = space.take(depthwise::packed_words::<B, Clamp>(&shape));
        let numbers = F32Filters { filters, bias, activation: Activation::Identity };
        depthwise::pack_float::<B>(&shape, &numbers, packed).expect("a rule is broken");
        if BY_ROWS {
            let scratch = space.take(depthwise::scratch_words_by_rows::<B, Clamp>(&shape));
            let output = space.take(expected.len());
            scratch.fill(0x7f80_80ff);
            cases
                .measure(|| depthwise::run_by_rows::<B, Clamp>(&shape, packed, 0.0, &bounds, values, output, scratch))
                .expect("the lengths are the shape's");
            cases.compare(&(case, shape), output, expected);
            continue;
        }
        let scratch = space.take(depthwise::scratch_words::<B, Clamp>(&shape));
        let shared = generator.place(&mut space, shape.overlapping_len(), shape.input[2], values);
        cases
            .measure(|| depthwise::run_overlapping::<B, _, Clamp>(&shape, packed, 0.0, &bounds, shared, scratch))
            .expect("the memory is long enough");
        cases.compare(&(case, shape), &shared[..expected.len()], expected);
    }
}

/// A type whose averages the reference specifies.
pub trait Averaged: Value + elementwise::Average {
    /// The reference's average, padding left out.
    fn specified(shape: &Pool2dShape, input: &[Self], output: &mut [Self]);
}

impl Averaged for i8 {
    fn specified(shape: &Pool2dShape, input: &[i8], output: &mut [i8]) {
        reference::average_pool2d(shape, None, input, output);
    }
}

impl Averaged for i16 {
    fn specified(shape: &Pool2dShape, input: &[i16], output: &mut [i16]) {
        reference::average_pool2d(shape, None, input, output);
    }
}

impl Averaged for f32 {
    fn specified(shape: &Pool2dShape, input: &[f32], output: &mut [f32]) {
        reference::average_pool2d_f32(shape, false, input, output);
    }
}

fn pooling<B: Backend, T: Averaged>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    fill: impl Fn(&mut Generator, &mut [T]),
) {
    for case in 0..CASES {
        let shape = generator.pool_shape();
        let mut space = memory.space();
        let values = space.take(shape.input.iter().product());
        fill(generator, values);
        let expected = space.take(shape.output().iter().product());
        reference::max_pool2d(&shape, values, expected);
        let shared = generator.place(&mut space, shape.overlapping_len(), 1, values);
        cases
            .measure(|| elementwise::max_pool2d_overlapping::<B, T>(&shape, shared))
            .expect("the memory is long enough");
        cases.compare(&(case, "maximum", shape), &shared[..expected.len()], expected);

        T::specified(&shape, values, expected);
        let shared = generator.place(&mut space, shape.overlapping_len(), 1, values);
        cases
            .measure(|| elementwise::average_pool2d_overlapping::<B, T>(&shape, None, shared))
            .expect("the memory is long enough");
        cases.compare(&(case, "average", shape), &shared[..expected.len()], expected);

        let output = space.take(expected.len());
        let band = space.take(shape.window[0] * shape.input[1] * shape.input[2]);
        cases
            .measure(|| elementwise::average_pool2d_by_rows::<B, T>(&shape, None, values, output, band))
            .expect("the lengths are the shape's");
        cases.compare(&(case, "average by rows", shape), output, expected);

        reference::max_pool2d(&shape, values, expected);
        cases
            .measure(|| elementwise::max_pool2d_by_rows::<B, T>(&shape, values, output, band))
            .expect("the lengths are the shape's");
        cases.compare(&(case, "maximum by rows", shape), output, expected);
    }
}
