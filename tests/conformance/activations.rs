//! Activations, softmax included, and rankings.

use super::{Cases, Generator, Memory, Session, Value};
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::{self, activation, unary};
use bareconv::reference::{self, SoftmaxParameters, SoftmaxParametersInt16};
use bareconv::{
    HardSigmoidF32, Int8Table, Quantization, SigmoidF32, SoftmaxF32, SoftmaxInt8, SoftmaxInt16, TanhF32, Tensor,
    argmax, top_k,
};

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
    // The layers of softmax are the reference's function, pixel by pixel: the digests compare it between cores.
    session.operator(["softmax", "int8", B::NAME], |cases, generator, _| {
        for case in 0..CASES {
            let scale = generator.real(0.001, 1.0);
            let layer = SoftmaxInt8::new(scale, 1.0);
            let parameters = SoftmaxParameters::new(scale, 1.0);
            let fill = |generator: &mut Generator, values: &mut [i8]| generator.int8(values, -128);
            let expect = |x: &[i8], out: &mut [i8]| reference::softmax_i8(&parameters, x, out);
            pixels::<_, 1>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
            pixels::<_, 7>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
            pixels::<_, 33>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
        }
    });
    session.operator(["relu", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                expected.iter_mut().zip(input).for_each(|(out, &x)| *out = x.max(0));
                cases.measure(|| elementwise::relu::<B, i16>(0, input, output)).expect("the lengths are equal");
            });
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                expected.iter_mut().zip(input).for_each(|(out, &x)| *out = x.max(0));
                output.copy_from_slice(input);
                cases.measure(|| elementwise::relu_in_place::<B, i16>(0, output));
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
    session.operator(["softmax", "f32", B::NAME], |cases, generator, _| {
        for case in 0..CASES {
            pixels::<_, 1>(cases, case, generator, Generator::float, softmax_f32, reference::softmax_f32);
            pixels::<_, 7>(cases, case, generator, Generator::float, softmax_f32, reference::softmax_f32);
            pixels::<_, 33>(cases, case, generator, Generator::float, softmax_f32, reference::softmax_f32);
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
    session.operator(["relu6", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (zero, six) = (0, generator.next() as i16);
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu6(zero, six, input, expected);
                cases.measure(|| activation::relu6::<B, i16>(zero, six, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["relu6", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu6(0.0, 6.0, input, expected);
                cases.measure(|| activation::relu6::<B, f32>(0.0, 6.0, input, output)).expect("the lengths are equal");
            });
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::relu6(0.0, 2.0, input, expected);
                output.copy_from_slice(input);
                cases.measure(|| activation::relu6_in_place::<B, f32>(0.0, 2.0, output));
            });
        }
    });
    // Tables made at run time: the arithmetic of constant evaluation, on this core.
    session.operator(["sigmoid", "int8", B::NAME], |cases, generator, memory| {
        table::<B, _>(cases, generator, memory, |_, from, _| {
            (Int8Table::sigmoid(from), move |x: &[i8], out: &mut [i8]| reference::sigmoid_i8(from, x, out))
        });
    });
    session.operator(["tanh", "int8", B::NAME], |cases, generator, memory| {
        table::<B, _>(cases, generator, memory, |_, from, _| {
            (Int8Table::tanh(from), move |x: &[i8], out: &mut [i8]| reference::tanh_i8(from, x, out))
        });
    });
    session.operator(["hard-swish", "int8", B::NAME], |cases, generator, memory| {
        table::<B, _>(cases, generator, memory, |_, from, to| {
            (Int8Table::hard_swish(from, to), move |x: &[i8], out: &mut [i8]| {
                reference::hard_swish_i8(from, to, x, out)
            })
        });
    });
    session.operator(["hard-sigmoid", "int8", B::NAME], |cases, generator, memory| {
        table::<B, _>(cases, generator, memory, |generator, from, to| {
            let (alpha, beta) = (generator.real(-1.0, 1.0), generator.real(-1.0, 2.0));
            let table = Int8Table::hard_sigmoid(HardSigmoidF32::new(alpha, beta), from, to);
            (table, move |x: &[i8], out: &mut [i8]| reference::hard_sigmoid_i8(alpha, beta, from, to, x, out))
        });
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
    session.operator(["prelu", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let scales = [generator.real(1e-4, 0.01), generator.real(1e-4, 0.01)];
            let of_slopes = Quantization::new(generator.real(0.001, 0.05), generator.next() as i8);
            int16_case(cases, case, generator, memory, |input, output, expected, cases| {
                // A slope for each value: a pixel of as many channels.
                let (mut slopes, mut centered) = ([0; 150], [0; 150]);
                let (slopes, centered) = (&mut slopes[..input.len()], &mut centered[..input.len()]);
                for ((slope, centered), &x) in slopes.iter_mut().zip(&mut *centered).zip(input) {
                    *slope = x.wrapping_mul(37) as i8;
                    *centered = i16::from(*slope) - i16::from(of_slopes.zero_point);
                }
                reference::prelu_i16(slopes, of_slopes, scales, input, expected);
                cases
                    .measure(|| activation::prelu_i16::<B>(centered, of_slopes.scale, scales, input, output))
                    .expect("the lengths are equal");
            });
        }
    });
    session.operator(["prelu", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            // A slope for each value, and one for all: they divide every length.
            let mut slopes = [0.0; 150];
            generator.float(&mut slopes);
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                let slopes = &slopes[..input.len()];
                reference::prelu_f32(slopes, input, expected);
                cases.measure(|| activation::prelu_f32::<B>(slopes, input, output)).expect("the lengths are equal");
            });
            float_case(cases, case, generator, memory, |input, output, expected, cases| {
                reference::prelu_f32(&slopes[..1], input, expected);
                output.copy_from_slice(input);
                cases
                    .measure(|| activation::prelu_f32_in_place::<B>(&slopes[..1], output))
                    .expect("one slope divides every length");
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
    session.operator(["softmax", "int16", B::NAME], |cases, generator, _| {
        for case in 0..CASES {
            let scale = generator.real(1e-5, 0.01);
            let layer = SoftmaxInt16::new(scale, 1.0);
            let parameters = SoftmaxParametersInt16::new(scale, 1.0);
            let expect = |x: &[i16], out: &mut [i16]| reference::softmax_i16(&parameters, x, out);
            let fill = Generator::int16;
            pixels::<_, 1>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
            pixels::<_, 7>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
            pixels::<_, 33>(cases, case, generator, fill, |i, o| layer.run(i.view(), o.view_mut()), expect);
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
    session.operator(["sigmoid", "f32", B::NAME], |cases, generator, _| {
        for case in 0..CASES {
            let layer =
                |i: &Tensor<f32, 3, 2, 19>, o: &mut Tensor<f32, 3, 2, 19>| SigmoidF32.run(i.view(), o.view_mut());
            pixels(cases, case, generator, Generator::float, layer, reference::sigmoid_f32);
        }
    });
    session.operator(["tanh", "f32", B::NAME], |cases, generator, _| {
        for case in 0..CASES {
            let layer = |i: &Tensor<f32, 3, 2, 19>, o: &mut Tensor<f32, 3, 2, 19>| TanhF32.run(i.view(), o.view_mut());
            pixels(cases, case, generator, Generator::float, layer, reference::tanh_f32);
        }
    });
    session.operator(["argmax", "int8", B::NAME], |cases, generator, _| {
        rankings(cases, generator, first::<_, 1>, first::<_, 9>, first::<_, 40>, int8);
    });
    session.operator(["argmax", "int16", B::NAME], |cases, generator, _| {
        rankings(cases, generator, first::<_, 1>, first::<_, 9>, first::<_, 40>, Generator::int16);
    });
    session.operator(["argmax", "f32", B::NAME], |cases, generator, _| {
        rankings(cases, generator, first::<_, 1>, first::<_, 9>, first::<_, 40>, Generator::float);
    });
    session.operator(["top-k", "int8", B::NAME], |cases, generator, _| {
        rankings(cases, generator, ranked::<1, _, 1>, ranked::<9, _, 9>, ranked::<5, _, 40>, int8);
    });
    session.operator(["top-k", "int16", B::NAME], |cases, generator, _| {
        rankings(cases, generator, ranked::<1, _, 1>, ranked::<9, _, 9>, ranked::<5, _, 40>, Generator::int16);
    });
    session.operator(["top-k", "f32", B::NAME], |cases, generator, _| {
        rankings(cases, generator, ranked::<1, _, 1>, ranked::<9, _, 9>, ranked::<5, _, 40>, Generator::float);
    });
}

/// Int8 values of all kinds.
fn int8(generator: &mut Generator, values: &mut [i8]) {
    generator.int8(values, -128);
}

fn softmax_f32<const C: usize>(input: &Tensor<f32, 3, 2, C>, output: &mut Tensor<f32, 3, 2, C>) {
    SoftmaxF32.run(input.view(), output.view_mut());
}

/// A layer against a function of each pixel.
fn pixels<T: Value, const C: usize>(
    cases: &mut Cases<'_>,
    case: u32,
    generator: &mut Generator,
    fill: impl Fn(&mut Generator, &mut [T]),
    layer: impl FnOnce(&Tensor<T, 3, 2, C>, &mut Tensor<T, 3, 2, C>),
    pixel: impl Fn(&[T], &mut [T]),
) {
    let mut input = Tensor::filled(T::zeroed());
    fill(generator, input.as_mut_slice());
    let (mut output, mut expected) = (input, input);
    for (input, output) in input.as_slice().chunks(C).zip(expected.as_mut_slice().chunks_mut(C)) {
        pixel(input, output);
    }
    cases.measure(|| layer(&input, &mut output));
    cases.compare(&(case, C), output.as_slice(), expected.as_slice());
}

/// Int8 tables of one function: `make` draws one, and says what it must give.
fn table<B: Backend, F: Fn(&[i8], &mut [i8])>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    make: impl Fn(&mut Generator, Quantization, Quantization) -> (Int8Table, F),
) {
    for case in 0..CASES / 2 {
        let from = Quantization::new(generator.real(0.01, 1.5), generator.next() as i8);
        let to = Quantization::new(generator.real(0.01, 1.5), generator.next() as i8);
        let (table, function) = make(generator, from, to);
        int8_case(cases, case, generator, memory, |input, output, expected, cases| {
            function(input, expected);
            cases.measure(|| unary::look_up::<B>(table.as_array(), input, output)).expect("the lengths are equal");
        });
    }
}

/// Rankings of vectors of several lengths: of random values, and of few that are different.
fn rankings<T: Value>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    of_1: impl Fn(&mut Cases<'_>, [T; 1]),
    of_9: impl Fn(&mut Cases<'_>, [T; 9]),
    of_40: impl Fn(&mut Cases<'_>, [T; 40]),
    fill: impl Fn(&mut Generator, &mut [T]),
) {
    fn draw<T: Value, const N: usize>(generator: &mut Generator, fill: impl Fn(&mut Generator, &mut [T])) -> [T; N] {
        let mut values = [T::zeroed(); N];
        fill(generator, &mut values);
        let different = [N, 3][generator.within(0, 1)].min(N);
        for i in different..N {
            values[i] = values[generator.within(0, different - 1)];
        }
        values
    }
    for _ in 0..CASES / 3 {
        of_1(cases, draw(generator, &fill));
        of_9(cases, draw(generator, &fill));
        of_40(cases, draw(generator, &fill));
    }
}

/// A place as a value to compare.
fn place(place: usize) -> i16 {
    i16::try_from(place).expect("vectors are short")
}

/// The largest value's place is the first in the ranking, but where the vector begins with a NaN.
fn first<T: Value + PartialOrd, const N: usize>(cases: &mut Cases<'_>, values: [T; N]) {
    let mut ranking = [(0, values[0])];
    reference::top_k(&values, &mut ranking);
    let expected = if values[0].partial_cmp(&values[0]).is_none() { 0 } else { ranking[0].0 };
    let tensor = Tensor([[values]]);
    let found = cases.measure(|| argmax(tensor.view()));
    cases.compare(&values, &[place(found)], &[place(expected)]);
}

/// The `K` largest values and their places.
fn ranked<const K: usize, T: Value + PartialOrd, const N: usize>(cases: &mut Cases<'_>, values: [T; N]) {
    let mut expected = [(0, values[0]); K];
    reference::top_k(&values, &mut expected);
    let tensor = Tensor([[values]]);
    let ranking = cases.measure(|| top_k::<K, T, N>(tensor.view()));
    let (mut places, mut largest) = ([-1; K], [values[0]; K]);
    for (i, &(at, value)) in ranking.iter().enumerate() {
        (places[i], largest[i]) = (place(at), value);
    }
    cases.compare(&values, &places, &expected.map(|(at, _)| place(at)));
    cases.compare(&values, &largest, &expected.map(|(_, value)| value));
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
