//! Transposed convolutions.

use super::{Cases, Generator, Memory, Session};
use bareconv::dynamic::transposed;
use bareconv::kernels::Backend;
use bareconv::quant::Rounding;
use bareconv::{
    Activation, Clamp, DoubleRounding, F32Filters, Int8Filters, Int16Filters, Int16x8, Quantization, ReducedRounding,
    ShapeError, SingleRounding, TransposedConv2dShape, pack, reference,
};

const CASES: u32 = super::number_of_cases(150);
/// The most output channels.
const FILTERS: usize = 20;

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["transposed", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            int8::<B, SingleRounding>(cases, case, generator, memory);
            int8::<B, DoubleRounding>(cases, case, generator, memory);
        }
    });
    session.operator(["transposed", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            int16::<B, ReducedRounding>(cases, case, generator, memory);
        }
    });
    session.operator(["transposed", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            float::<B>(cases, case, generator, memory);
        }
    });
}

impl Generator {
    fn transposed_shape(&mut self) -> TransposedConv2dShape {
        loop {
            let mut axis = || {
                let (filter, stride) = (self.within(1, 5), self.within(1, 4));
                let padding = [self.within(0, filter - 1), self.within(0, filter - 1)];
                (self.within(1, 6), filter, stride, padding, self.within(0, stride - 1))
            };
            let (y, x) = (axis(), axis());
            let shape = TransposedConv2dShape {
                filter: [y.1, x.1],
                stride: [y.2, x.2],
                padding: [y.3[0], x.3[0], y.3[1], x.3[1]],
                output_padding: [y.4, x.4],
                ..TransposedConv2dShape::new([y.0, x.0, self.within(1, 9)], self.within(1, FILTERS), [1, 1])
            };
            if shape.check().is_ok() && shape.output().iter().product::<usize>() <= 4096 {
                return shape;
            }
        }
    }
}

fn int8<B: Backend, R: Rounding>(cases: &mut Cases<'_>, case: u32, generator: &mut Generator, memory: &mut Memory) {
    let shape = generator.transposed_shape();
    let mut space = memory.space();
    let (bias, scales) = (space.take(shape.filters), space.take(shape.filters));
    for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
        *bias = generator.within(0, 40_000) as i32 - 20_000;
        *scale = generator.real(0.0001, 0.02);
    }
    let (input, filters) = (space.take(shape.input.iter().product()), space.take(shape.filters * shape.filter_len()));
    generator.int8(input, -128);
    generator.int8(filters, -127);
    let zero_point = generator.next() as i8;
    let numbers = Int8Filters {
        filters,
        bias,
        scales,
        input: Quantization::new(0.02, zero_point),
        output: Quantization::new(generator.real(0.0005, 2.0), generator.next() as i8),
        activation: [Activation::Identity, Activation::Relu][generator.within(0, 1)],
    };
    let common = pack::common_requantization(&numbers, R::MODE);
    let mut parameters = [0; 2 * FILTERS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.filters) {
        pack::requantization_parameters(&numbers, R::MODE, &common, o, words);
    }
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    reference::transposed_conv2d_i8::<R>(
        &shape,
        input,
        zero_point,
        numbers.filters,
        numbers.bias,
        &parameters,
        &common,
        expected,
    );
    let packed = space.take(transposed::packed_words::<B, R>(&shape));
    let scratch = space.take(transposed::scratch_words::<B, R>(&shape));
    let common = transposed::pack_int8::<B, R>(&shape, &numbers, packed, scratch).expect("the case obeys the rules");
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| transposed::run::<B, R>(&shape, packed, zero_point, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, R::MODE, shape), output, expected);
}

fn int16<B: Backend, R: Rounding>(cases: &mut Cases<'_>, case: u32, generator: &mut Generator, memory: &mut Memory) {
    let shape = generator.transposed_shape();
    let mut space = memory.space();
    let (bias, scales) = (space.take(shape.filters), space.take(shape.filters));
    for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
        *bias = generator.within(0, 4_000_000) as i32 - 2_000_000;
        *scale = generator.real(0.0001, 0.02);
    }
    let (input, filters) = (space.take(shape.input.iter().product()), space.take(shape.filters * shape.filter_len()));
    input.fill_with(|| generator.next() as i16);
    generator.int8(filters, -127);
    let output_scale = generator.real(0.0001, 0.02);
    let numbers =
        Int16Filters { filters, bias, scales, input: 0.0005, output: output_scale, activation: Activation::Relu };
    let common = pack::common_requantization_i16(&numbers, R::MODE);
    let mut parameters = [0; 2 * FILTERS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.filters) {
        pack::requantization_parameters_i16(&numbers, R::MODE, &common, o, words);
    }
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    reference::transposed_conv2d_i16::<R>(&shape, input, numbers.filters, numbers.bias, &parameters, &common, expected);
    let packed = space.take(transposed::packed_words::<B, Int16x8<R>>(&shape));
    let scratch = space.take(transposed::scratch_words::<B, Int16x8<R>>(&shape));
    let common = transposed::pack_int16::<B, R>(&shape, &numbers, packed, scratch).expect("the case obeys the rules");
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    cases
        .measure(|| transposed::run::<B, Int16x8<R>>(&shape, packed, 0, &common, input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, shape), output, expected);
}

fn float<B: Backend>(cases: &mut Cases<'_>, case: u32, generator: &mut Generator, memory: &mut Memory) {
    let shape = generator.transposed_shape();
    let mut space = memory.space();
    let bias = space.take(shape.filters);
    let (input, filters) = (space.take(shape.input.iter().product()), space.take(shape.filters * shape.filter_len()));
    generator.float(bias);
    generator.float(input);
    generator.float(filters);
    let activation = [Activation::Identity, Activation::Relu6][generator.within(0, 1)];
    let len = shape.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    reference::transposed_conv2d_f32(&shape, input, filters, bias, activation.bounds(), expected);
    let packed = space.take(transposed::packed_words::<B, Clamp>(&shape));
    let scratch = space.take(transposed::scratch_words::<B, Clamp>(&shape));
    let numbers = F32Filters { filters, bias, activation };
    match transposed::pack_float::<B>(&shape, &numbers, packed, scratch) {
        Err(ShapeError::MissingTaps) => return,
        done => done.expect("the case obeys the rules"),
    }
    scratch.fill(0xffff_ffff);
    output.fill(99.0);
    cases
        .measure(|| transposed::run::<B, Clamp>(&shape, packed, 0.0, &activation.bounds(), input, output, scratch))
        .expect("the case obeys the rules");
    cases.compare(&(case, shape), output, expected);
}
