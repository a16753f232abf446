//! Activations, softmax included.

use super::{Cases, Generator, Memory, Session};
use bareconv::kernels::{Backend, elementwise};
use bareconv::reference::{self, SoftmaxParameters};
use bareconv::{LeakyReluInt8, Quantization};

const CASES: u32 = super::number_of_cases(300);

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["relu", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let zero_point = generator.next() as i8;
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu_i8(zero_point, input, expected);
                cases.measure(|| elementwise::relu::<B, i8>(zero_point, input, output)).expect("the lengths are equal");
            });
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu_i8(zero_point, input, expected);
                output.copy_from_slice(input);
                cases.measure(|| elementwise::relu_in_place::<B, i8>(zero_point, output));
            });
        }
    });
    session.operator(["leaky-relu", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let from = Quantization::new(0.05, generator.next() as i8);
            let to = Quantization::new(generator.real(0.01, 0.5), 7);
            let slope = generator.real(-1.0, 2.0);
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::leaky_relu_i8(slope, from, to, input, expected);
                let layer = LeakyReluInt8::new(slope, from, to);
                cases.measure(|| output.iter_mut().zip(input).for_each(|(out, &x)| *out = layer.apply(x)));
            });
        }
    });
    // One implementation: only its digest is compared, between cores.
    session.operator(["softmax", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scale = generator.real(0.001, 1.0);
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                cases.measure(|| reference::softmax_i8(&SoftmaxParameters::new(scale, 1.0), input, output));
                expected.copy_from_slice(output);
            });
        }
    });
    session.operator(["relu", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu_f32(input, expected);
                cases.measure(|| elementwise::relu::<B, f32>(0.0, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["leaky-relu", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let slope = generator.real(-1.0, 2.0);
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::leaky_relu_f32(slope, input, expected);
                cases
                    .measure(|| elementwise::leaky_relu_f32::<B>(slope, input, output))
                    .expect("the lengths are equal");
            });
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::leaky_relu_f32(slope, input, expected);
                output.copy_from_slice(input);
                cases.measure(|| elementwise::leaky_relu_f32_in_place::<B>(slope, output));
            });
        }
    });
    // One implementation: only its digest is compared, between cores.
    session.operator(["softmax", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                cases.measure(|| reference::softmax_f32(input, output));
                expected.copy_from_slice(output);
            });
        }
    });
}

/// Draws an input of any length up to a few vectors and compares the outputs that `map` writes.
pub fn int8_case(
    cases: &mut Cases<'_>,
    case: u32,
    generator: &mut Generator,
    memory: &mut Memory,
    map: impl FnOnce(&[i8], &mut [i8], &mut [i8], &mut Cases<'_>),
) {
    let len = generator.within(1, 300);
    let mut space = memory.space();
    let input = space.take(len);
    generator.int8(input, -128);
    // Slices that start at any address.
    let shift = generator.within(0, 3);
    let (output, expected) = (&mut space.take(shift + len)[shift..], space.take(len));
    output.fill(99);
    expected.fill(-99);
    map(input, output, expected, cases);
    cases.compare(&(case, len), output, expected);
}

/// The same in single precision.
pub fn float_case(
    cases: &mut Cases<'_>,
    case: u32,
    generator: &mut Generator,
    memory: &mut Memory,
    map: impl FnOnce(&[f32], &mut [f32], &mut [f32], &mut Cases<'_>),
) {
    let len = generator.within(1, 150);
    let mut space = memory.space();
    let input = space.take(len);
    generator.float(input);
    let (output, expected) = (space.take(len), space.take(len));
    output.fill(99.0);
    expected.fill(-99.0);
    map(input, output, expected, cases);
    cases.compare(&(case, len), output, expected);
}
