//! Locally connected layers.

use super::Session;
use bareconv::dynamic::locally_connected;
use bareconv::kernels::Backend;
use bareconv::quant::Rounding;
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int8Filters, Int16Filters, Int16x8, Quantization,
    SingleRounding, pack, reference,
};

const CASES: u32 = super::number_of_cases(100);

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["locally", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.unshared_shape();
            let mut space = memory.space();
            let len = shape.output().iter().product();
            let (bias, scales, parameters) = (space.take(len), space.take(len), space.take(2 * len));
            for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
                *bias = generator.within(0, 40_000) as i32 - 20_000;
                *scale = generator.real(0.0001, 0.02);
            }
            let (input, filters) = (space.take(shape.input.iter().product()), space.take(len * shape.filter_len()));
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
            let common = pack::common_requantization(&numbers, DoubleRounding::MODE);
            for (o, words) in parameters.chunks_exact_mut(2).enumerate() {
                pack::requantization_parameters(&numbers, DoubleRounding::MODE, &common, o, words);
            }
            let (output, expected) = (space.take(len), space.take(len));
            reference::locally_connected2d_i8::<DoubleRounding>(
                &shape,
                input,
                zero_point,
                numbers.filters,
                numbers.bias,
                parameters,
                &common,
                expected,
            );
            let packed = space.take(locally_connected::packed_words::<B, DoubleRounding>(&shape));
            let common = locally_connected::pack_int8::<B, DoubleRounding>(&shape, &numbers, packed)
                .expect("the case obeys the rules");
            let scratch = space.take(locally_connected::scratch_words::<B, DoubleRounding>(&shape));
            scratch.fill(0x7f80_80ff);
            output.fill(99);
            type R = DoubleRounding;
            cases
                .measure(|| locally_connected::run::<B, R>(&shape, packed, zero_point, &common, input, output, scratch))
                .expect("the case obeys the rules");
            cases.compare(&(case, shape), output, expected);
        }
    });
    session.operator(["locally", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.unshared_shape();
            let mut space = memory.space();
            let len = shape.output().iter().product();
            let (bias, scales, parameters) = (space.take(len), space.take(len), space.take(2 * len));
            for (bias, scale) in bias.iter_mut().zip(&mut *scales) {
                *bias = generator.within(0, 4_000_000) as i32 - 2_000_000;
                *scale = generator.real(0.0001, 0.02);
            }
            let (input, filters) = (space.take(shape.input.iter().product()), space.take(len * shape.filter_len()));
            input.fill_with(|| generator.next() as i16);
            generator.int8(filters, -127);
            let output_scale = generator.real(0.0001, 0.02);
            let numbers = Int16Filters {
                filters,
                bias,
                scales,
                input: 0.0005,
                output: output_scale,
                activation: Activation::Relu,
            };
            let common = pack::common_requantization_i16(&numbers, SingleRounding::MODE);
            for (o, words) in parameters.chunks_exact_mut(1).take(len).enumerate() {
                pack::requantization_parameters_i16(&numbers, SingleRounding::MODE, &common, o, words);
            }
            let (output, expected) = (space.take(len), space.take(len));
            reference::locally_connected2d_i16::<SingleRounding>(
                &shape,
                input,
                numbers.filters,
                numbers.bias,
                parameters,
                &common,
                expected,
            );
            type R = Int16x8<SingleRounding>;
            let packed = space.take(locally_connected::packed_words::<B, R>(&shape));
            let common = locally_connected::pack_int16::<B, SingleRounding>(&shape, &numbers, packed)
                .expect("the case obeys the rules");
            let scratch = space.take(locally_connected::scratch_words::<B, R>(&shape));
            scratch.fill(0x7f80_80ff);
            output.fill(99);
            cases
                .measure(|| locally_connected::run::<B, R>(&shape, packed, 0, &common, input, output, scratch))
                .expect("the case obeys the rules");
            cases.compare(&(case, shape), output, expected);
        }
    });
    session.operator(["locally", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.unshared_shape();
            let mut space = memory.space();
            let len = shape.output().iter().product();
            let (bias, input) = (space.take(len), space.take(shape.input.iter().product()));
            let filters = space.take(len * shape.filter_len());
            generator.float(bias);
            generator.float(input);
            generator.float(filters);
            let (output, expected) = (space.take(len), space.take(len));
            let bounds = Activation::Relu.bounds();
            reference::locally_connected2d_f32(&shape, input, filters, bias, bounds, expected);
            let numbers = F32Filters { filters, bias, activation: Activation::Relu };
            let packed = space.take(locally_connected::packed_words::<B, Clamp>(&shape));
            locally_connected::pack_float::<B>(&shape, &numbers, packed).expect("the case obeys the rules");
            let scratch = space.take(locally_connected::scratch_words::<B, Clamp>(&shape));
            scratch.fill(0xffff_ffff);
            output.fill(99.0);
            cases
                .measure(|| locally_connected::run::<B, Clamp>(&shape, packed, 0.0, &bounds, input, output, scratch))
                .expect("the case obeys the rules");
            cases.compare(&(case, shape), output, expected);
        }
    });
}

impl super::Generator {
    /// The shape of a layer whose weights fit the memory.
    fn unshared_shape(&mut self) -> Conv2dShape {
        loop {
            let mut axis = || {
                let (filter, dilation) = (self.within(1, 4), self.within(1, 2));
                let most = (filter - 1) * dilation;
                (self.within(1, 6), filter, self.within(1, 3), dilation, [self.within(0, most), self.within(0, most)])
            };
            let (y, x) = (axis(), axis());
            let shape = Conv2dShape {
                stride: [y.2, x.2],
                dilation: [y.3, x.3],
                padding: [y.4[0], x.4[0], y.4[1], x.4[1]],
                ..Conv2dShape::new([y.0, x.0, self.within(1, 6)], self.within(1, 9), [y.1, x.1])
            };
            // A backend may round channels up to 32, and taps to eight.
            let pixels = |[h, w, _]: [usize; 3]| h * w;
            if shape.check().is_ok() && pixels(shape.output()) * (shape.filter_len() + 8) * 32 <= 32_000 {
                return shape;
            }
        }
    }
}
