//! Activations, softmax included.

use super::{Cases, Generator, Memory, Session};
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::{self, activation, unary};
use bareconv::reference::{self, SoftmaxParameters, SoftmaxParametersInt16};
use bareconv::{HardSigmoidF32, Int8Table, Quantization};

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
                let layer = Int8Table::leaky_relu(slope, from, to);
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
    session.operator(["relu6", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (zero, six) = (generator.next() as i8, generator.next() as i8);
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu6(zero, six, input, expected);
                cases.measure(|| activation::relu6::<B, i8>(zero, six, input, output)).expect("the lengths are equal");
            });
        }
    });
    // Tables made at run time: the arithmetic of constant evaluation, on this core.
    session.operator(["int8-table", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES / 2 {
            let from = Quantization::new(generator.real(0.01, 1.5), generator.next() as i8);
            let to = Quantization::new(generator.real(0.01, 1.5), generator.next() as i8);
            let (alpha, beta) = (generator.real(-1.0, 1.0), generator.real(-1.0, 2.0));
            for function in 0..4 {
                int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                    let table = match function {
                        0 => {
                            reference::sigmoid_i8(from, input, expected);
                            Int8Table::sigmoid(from)
                        }
                        1 => {
                            reference::tanh_i8(from, input, expected);
                            Int8Table::tanh(from)
                        }
                        2 => {
                            reference::hard_swish_i8(from, to, input, expected);
                            Int8Table::hard_swish(from, to)
                        }
                        _ => {
                            reference::hard_sigmoid_i8(alpha, beta, from, to, input, expected);
                            Int8Table::hard_sigmoid(HardSigmoidF32::new(alpha, beta), from, to)
                        }
                    };
                    cases
                        .measure(|| unary::look_up::<B>(table.as_array(), input, output))
                        .expect("the lengths are equal");
                });
            }
        }
    });
    session.operator(["prelu", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scales = [generator.real(0.01, 0.5), generator.real(0.01, 0.5), generator.real(0.001, 0.05)];
            let [from, to, of_slopes] = scales.map(|scale| Quantization::new(scale, generator.next() as i8));
            int8_case(cases, case, generator, memory, |input, output, expected, cases| {
                // A slope for each value: a pixel of as many channels.
                let mut slopes = [0; 300];
                let slopes = &mut slopes[..input.len()];
                slopes.iter_mut().zip(input).for_each(|(slope, &x)| *slope = x.wrapping_mul(37));
                reference::prelu_i8(slopes, of_slopes, from, to, input, expected);
                let mut centered = [0; 300];
                let centered = &mut centered[..input.len()];
                for (centered, &slope) in centered.iter_mut().zip(&*slopes) {
                    *centered = i16::from(slope) - i16::from(of_slopes.zero_point);
                }
                cases
                    .measure(|| activation::prelu_i8::<B>(centered, of_slopes.scale, [from, to], input, output))
                    .expect("the lengths are equal");
            });
        }
    });
    session.operator(["sigmoid", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scale = [1.0 / 4096.0, generator.real(1e-5, 2.6)][generator.within(0, 1)];
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::sigmoid_i16(scale, input, expected);
                cases.measure(|| activation::sigmoid_i16::<B>(scale, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["tanh", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scale = [1.0 / 2048.0, generator.real(1e-5, 2.6)][generator.within(0, 1)];
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::tanh_i16(scale, input, expected);
                cases.measure(|| activation::tanh_i16::<B>(scale, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["leaky-relu", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (slope, scales) = (generator.real(-1.0, 2.0), [generator.real(0.1, 1.0), generator.real(0.1, 1.0)]);
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::leaky_relu_i16(slope, scales, input, expected);
                cases
                    .measure(|| activation::leaky_relu_i16::<B>(slope, scales, input, output))
                    .expect("the lengths are equal");
            });
        }
    });
    // One implementation: only its digest is compared, between cores.
    session.operator(["softmax", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scale = generator.real(1e-5, 0.01);
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                cases.measure(|| reference::softmax_i16(&SoftmaxParametersInt16::new(scale, 1.0), input, output));
                expected.copy_from_slice(output);
            });
        }
    });
    session.operator(["hard-swish", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::hard_swish_f32(input, expected);
                cases.measure(|| activation::hard_swish_f32::<B>(input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["hard-sigmoid", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (alpha, beta) = (generator.real(-1.0, 1.0), generator.real(-1.0, 2.0));
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::hard_sigmoid_f32(alpha, beta, input, expected);
                cases
                    .measure(|| activation::hard_sigmoid_f32::<B>(alpha, beta, input, output))
                    .expect("the lengths are equal");
            });
        }
    });
    // One implementation each: only its digest is compared, between cores.
    for (name, function) in
        [("sigmoid", reference::sigmoid_f32 as fn(&[f32], &mut [f32])), ("tanh", reference::tanh_f32)]
    {
        session.operator([name, "f32", B::NAME], |cases, generator, memory| {
            for case in 0..CASES {
                float_case(cases, case, generator, memory, |input, output, expected, cases| {
                    cases.measure(|| function(input, output));
                    expected.copy_from_slice(output);
                });
            }
        });
    }
}

/// The same in int16, of all numbers.
pub fn int16_case(
    cases: &mut Cases<'_>,
    case: u32,
    generator: &mut Generator,
    memory: &mut Memory,
    map: impl FnOnce(&[i16], &mut [i16], &mut [i16], &mut Cases<'_>),
) {
    let len = generator.within(1, 150);
    let mut space = memory.space();
    let input = space.take(len);
    input.fill_with(|| generator.next() as i16);
    let (output, expected) = (space.take(len), space.take(len));
    output.fill(99);
    expected.fill(-99);
    map(input, output, expected, cases);
    cases.compare(&(case, len), output, expected);
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
