//! Joining tensors: addition, subtraction, multiplication, concatenation, padding, upsampling, and changes of
//! quantization.

use super::{Cases, Generator, Memory, Session, Value};
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise::binary::{self, FloatSum, Joined};
use bareconv::kernels::elementwise::{arrange, unary};
use bareconv::quant::ProductRounding;
use bareconv::reference::{self, ProductParameters, Quantized, RequantizeParameters, SumParameters};
use bareconv::{
    Activation, Broadcast, Coordinates, DoubleRounding, Quantization, Region, SingleRounding, SliceShape, UpsampleShape,
};

const CASES: u32 = super::number_of_cases(200);

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    for (name, subtract) in [("add", false), ("subtract", true)] {
        session.operator([name, "int8", B::NAME], |cases, generator, memory| {
            for _ in 0..CASES {
                let parameters = Parameters { subtract, ..Parameters::draw(generator) };
                sum_int8::<B, SingleRounding>(cases, generator, memory, &parameters);
                sum_int8::<B, DoubleRounding>(cases, generator, memory, &parameters);
            }
        });
        session.operator([name, "int16", B::NAME], |cases, generator, memory| {
            for _ in 0..CASES {
                let parameters = Parameters { subtract, ..Parameters::draw(generator) };
                sum_int16::<B, SingleRounding>(cases, generator, memory, &parameters);
                sum_int16::<B, DoubleRounding>(cases, generator, memory, &parameters);
            }
        });
        session.operator([name, "f32", B::NAME], |cases, generator, memory| {
            for _ in 0..CASES {
                let bounds = Parameters::draw(generator).activation.bounds();
                let (shapes, [first, second, output, expected]) = pair(generator, memory, Generator::float);
                let sum = if subtract { reference::subtract_f32 } else { reference::add_f32 };
                sum(shapes, bounds, first, second, expected);
                let (sum, broadcast) = (FloatSum { subtract, bounds }, broadcast(shapes));
                cases
                    .measure(|| binary::add::<B, SingleRounding, f32>(&sum, &broadcast, first, second, output))
                    .expect("the lengths are the shapes'");
                cases.compare(&(shapes, sum), output, expected);
            }
        });
    }
    session.operator(["subtract-from", "int8", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let Parameters { inputs, output, activation, .. } = Parameters::draw(generator);
            let sum = SumParameters::int8(true, inputs, output, activation).expect("scales are in range");
            difference::<B, SingleRounding, i8>(cases, generator, memory, int8, &sum, reference::add_i8);
            let sum = SumParameters::int8(true, inputs, output, activation).expect("scales are in range");
            difference::<B, DoubleRounding, i8>(cases, generator, memory, int8, &sum, reference::add_i8);
        }
    });
    session.operator(["subtract-from", "int16", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let Parameters { inputs, output, activation, .. } = Parameters::draw(generator);
            let (scales, output) = (inputs.map(|input| input.scale), output.scale);
            let fill = Generator::int16;
            let sum = SumParameters::int16(true, scales, output, activation).expect("scales are in range");
            difference::<B, SingleRounding, i16>(cases, generator, memory, fill, &sum, reference::add_i16);
            let sum = SumParameters::int16(true, scales, output, activation).expect("scales are in range");
            difference::<B, DoubleRounding, i16>(cases, generator, memory, fill, &sum, reference::add_i16);
        }
    });
    session.operator(["subtract-from", "f32", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let bounds = Parameters::draw(generator).activation.bounds();
            let sum = FloatSum { subtract: true, bounds };
            let specified = |shapes, sum: &FloatSum, a: &[f32], b: &[f32], out: &mut [f32]| {
                reference::subtract_f32(shapes, sum.bounds, a, b, out);
            };
            difference::<B, SingleRounding, f32>(cases, generator, memory, Generator::float, &sum, specified);
        }
    });
    session.operator(["multiply", "int8", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let parameters = Parameters::draw(generator);
            product_int8::<B, SingleRounding>(cases, generator, memory, &parameters);
            product_int8::<B, DoubleRounding>(cases, generator, memory, &parameters);
        }
    });
    session.operator(["multiply", "int16", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let parameters = Parameters::draw(generator);
            product_int16::<B, SingleRounding>(cases, generator, memory, &parameters);
            product_int16::<B, DoubleRounding>(cases, generator, memory, &parameters);
        }
    });
    session.operator(["multiply", "f32", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let bounds = Parameters::draw(generator).activation.bounds();
            let (shapes, [first, second, output, expected]) = pair(generator, memory, Generator::float);
            reference::multiply_f32(shapes, bounds, first, second, expected);
            let broadcast = broadcast(shapes);
            cases
                .measure(|| binary::multiply::<B, SingleRounding, f32>(&bounds, &broadcast, first, second, output))
                .expect("the lengths are the shapes'");
            cases.compare(&(shapes, bounds), output, expected);
        }
    });
    copies::<B, i8>(session, "int8", int8);
    copies::<B, i16>(session, "int16", Generator::int16);
    copies::<B, f32>(session, "f32", Generator::float);
    session.operator(["quantize", "int8", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let to = Quantization::new(generator.real(0.001, 0.2), generator.next() as i8);
            conversion(cases, generator, memory, Generator::float, |input: &[f32], output, expected, cases| {
                reference::quantize_i8(to, input, expected);
                cases.measure(|| unary::quantize_i8::<B>(to, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["quantize", "int16", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let scale = generator.real(0.00001, 0.01);
            conversion(cases, generator, memory, Generator::float, |input: &[f32], output, expected, cases| {
                reference::quantize_i16(scale, input, expected);
                cases.measure(|| unary::quantize_i16::<B>(scale, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["dequantize", "int8", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let from = Quantization::new(generator.real(0.001, 0.2), generator.next() as i8);
            conversion(cases, generator, memory, int8, |input: &[i8], output, expected, cases| {
                reference::dequantize_i8(from, input, expected);
                cases.measure(|| unary::dequantize_i8::<B>(from, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["dequantize", "int16", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let scale = generator.real(0.00001, 0.01);
            conversion(cases, generator, memory, Generator::int16, |input: &[i16], output, expected, cases| {
                reference::dequantize_i16(scale, input, expected);
                cases.measure(|| unary::dequantize_i16::<B>(scale, input, output)).expect("the lengths are equal");
            });
        }
    });
    session.operator(["requantize", "int8", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let [from, to] = Parameters::draw(generator).inputs;
            requantize_to_int8::<B, SingleRounding>(cases, generator, memory, from, to);
            requantize_to_int8::<B, DoubleRounding>(cases, generator, memory, from, to);
        }
    });
    session.operator(["requantize", "int16", B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let [from, to] = Parameters::draw(generator).inputs;
            requantize_to_int16::<B, SingleRounding>(cases, generator, memory, from, to);
            requantize_to_int16::<B, DoubleRounding>(cases, generator, memory, from, to);
        }
    });
}

/// What moves values without arithmetic, in one type.
fn copies<B: Backend, T: Value>(
    session: &mut Session<'_>,
    name: &'static str,
    fill: impl Fn(&mut Generator, &mut [T]) + Copy,
) {
    session.operator(["concatenate", name, B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let region = region(generator);
            let [input, output, expected] = buffers(memory, region.shape(), region.within());
            fill(generator, input);
            fill(generator, output);
            expected.copy_from_slice(output);
            reference::place(&region, input, expected);
            cases.measure(|| arrange::place(&region, input, output)).expect("the lengths are the shapes'");
            cases.compare(&region, output, expected);
        }
    });
    session.operator(["pad", name, B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let region = region(generator);
            let [input, output, expected] = buffers(memory, region.shape(), region.within());
            fill(generator, input);
            let mut value = [T::zeroed()];
            fill(generator, &mut value);
            reference::pad(&region, value[0], input, expected);
            cases.measure(|| arrange::pad(&region, value[0], input, output)).expect("the lengths are the shapes'");
            cases.compare(&(region, value), output, expected);
        }
    });
    session.operator(["slice", name, B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let shape = generator.slice();
            let [input, output, expected] = buffers(memory, shape.input(), shape.output());
            fill(generator, input);
            reference::slice(&shape, input, expected);
            cases.measure(|| arrange::slice(&shape, input, output)).expect("the lengths are the shapes'");
            cases.compare(&shape, output, expected);
        }
    });
    session.operator(["upsample", name, B::NAME], |cases, generator, memory| {
        for _ in 0..CASES {
            let input = [generator.within(1, 4), generator.within(1, 4), generator.within(1, 20)];
            // By whole factors half of the time.
            let size = match generator.within(0, 1) {
                0 => [generator.within(1, 4) * input[0], generator.within(1, 4) * input[1]],
                _ => [generator.within(1, 20), generator.within(1, 20)],
            };
            let coordinates = [Coordinates::Asymmetric, Coordinates::HalfPixel, Coordinates::AlignCorners];
            let coordinates = coordinates[generator.within(0, 2)];
            let shape = UpsampleShape::new(input, size, coordinates).expect("the case obeys the rules");
            let [input, output, expected] = buffers(memory, input, shape.output());
            fill(generator, input);
            reference::upsample(&shape, input, expected);
            cases.measure(|| arrange::upsample(&shape, input, output)).expect("the lengths are the shapes'");
            cases.compare(&shape, output, expected);
        }
    });
}

/// Numbers of an elementwise operator.
#[derive(Debug)]
struct Parameters {
    inputs: [Quantization; 2],
    output: Quantization,
    activation: Activation,
    subtract: bool,
}

impl Parameters {
    fn draw(generator: &mut Generator) -> Self {
        let mut quantization = || {
            // Not far from each other, or nearly all outputs saturate; one time in eight they are.
            let low = if generator.within(0, 7) == 0 { 0.01 } else { 0.1 };
            Quantization::new(generator.real(low, 0.3), generator.next() as i8)
        };
        let (inputs, output) = ([quantization(), quantization()], quantization());
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)];
        Self { inputs, output, activation, subtract: generator.within(0, 1) == 1 }
    }
}

/// Int8 values of all kinds.
fn int8(generator: &mut Generator, values: &mut [i8]) {
    generator.int8(values, -128);
}

/// A shape, one that repeats itself over it, both inputs, the output, and room for what is expected.
fn pair<'a, T: Value>(
    generator: &mut Generator,
    memory: &'a mut Memory,
    fill: impl Fn(&mut Generator, &mut [T]),
) -> ([[usize; 3]; 2], [&'a mut [T]; 4]) {
    let channels = [generator.within(1, 9), generator.within(15, 18), generator.within(31, 67)][generator.within(0, 2)];
    let shape = [generator.within(1, 5), generator.within(1, 5), channels];
    // The same shape half of the time.
    let repeated = generator.within(0, 15);
    let second = [0, 1, 2].map(|axis| if repeated < 8 && repeated >> axis & 1 == 1 { 1 } else { shape[axis] });
    let [len, second_len] = [shape, second].map(|shape| shape.iter().product::<usize>());
    let mut space = memory.space();
    // Slices that start at any address.
    let shift = generator.within(0, 3);
    let [first, output, expected] = [(); 3].map(|()| &mut space.take(shift + len)[shift..]);
    let others = space.take(second_len);
    fill(generator, first);
    fill(generator, others);
    ([shape, second], [first, others, output, expected])
}

fn broadcast([first, second]: [[usize; 3]; 2]) -> Broadcast {
    Broadcast::new(first, second).expect("the case obeys the rules")
}

fn sum_int8<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    numbers: &Parameters,
) {
    let &Parameters { inputs, output, activation, subtract } = numbers;
    let parameters = SumParameters::<i8, R>::int8(subtract, inputs, output, activation).expect("scales are in range");
    let (shapes, [first, second, output, expected]) = pair(generator, memory, int8);
    reference::add_i8(shapes, &parameters, first, second, expected);
    let broadcast = broadcast(shapes);
    if generator.within(0, 1) == 0 {
        cases.measure(|| binary::add::<B, R, i8>(&parameters, &broadcast, first, second, output))
    } else {
        output.copy_from_slice(first);
        cases.measure(|| binary::add_in_place::<B, R, i8>(&parameters, &broadcast, output, second))
    }
    .expect("the lengths are the shapes'");
    cases.compare(&(shapes, numbers), output, expected);
}

fn sum_int16<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    numbers: &Parameters,
) {
    let &Parameters { inputs, output, activation, subtract } = numbers;
    let scales = inputs.map(|input| input.scale);
    let parameters =
        SumParameters::<i16, R>::int16(subtract, scales, output.scale, activation).expect("scales are in range");
    let (shapes, [first, second, output, expected]) = pair(generator, memory, Generator::int16);
    reference::add_i16(shapes, &parameters, first, second, expected);
    let broadcast = broadcast(shapes);
    cases
        .measure(|| binary::add::<B, R, i16>(&parameters, &broadcast, first, second, output))
        .expect("the lengths are the shapes'");
    cases.compare(&(shapes, numbers), output, expected);
}

/// A tensor from one that is repeated over it.
fn difference<B: Backend, R: ProductRounding, T: Value + Joined>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    fill: impl Fn(&mut Generator, &mut [T]),
    sum: &T::Sum<R>,
    specified: impl Fn([[usize; 3]; 2], &T::Sum<R>, &[T], &[T], &mut [T]),
) {
    let (shapes, [first, second, output, expected]) = pair(generator, memory, fill);
    specified([shapes[1], shapes[0]], sum, second, first, expected);
    let broadcast = broadcast(shapes);
    if generator.within(0, 1) == 0 {
        cases.measure(|| binary::subtract_from::<B, R, T>(sum, &broadcast, first, second, output))
    } else {
        output.copy_from_slice(first);
        cases.measure(|| binary::subtract_from_in_place::<B, R, T>(sum, &broadcast, output, second))
    }
    .expect("the lengths are the shapes'");
    cases.compare(&(shapes, sum), output, expected);
}

fn product_int8<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    numbers: &Parameters,
) {
    let &Parameters { inputs, output, activation, .. } = numbers;
    let output = Quantization { scale: 10.0 * output.scale, ..output };
    let parameters = ProductParameters::<i8, R>::int8(inputs, output, activation).expect("scales are in range");
    let (shapes, [first, second, output, expected]) = pair(generator, memory, int8);
    reference::multiply_i8(shapes, &parameters, first, second, expected);
    let broadcast = broadcast(shapes);
    if generator.within(0, 1) == 0 {
        cases.measure(|| binary::multiply::<B, R, i8>(&parameters, &broadcast, first, second, output))
    } else {
        output.copy_from_slice(first);
        cases.measure(|| binary::multiply_in_place::<B, R, i8>(&parameters, &broadcast, output, second))
    }
    .expect("the lengths are the shapes'");
    cases.compare(&(shapes, numbers), output, expected);
}

fn product_int16<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    numbers: &Parameters,
) {
    let &Parameters { inputs, output, activation, .. } = numbers;
    let scales = inputs.map(|input| input.scale);
    let parameters =
        ProductParameters::<i16, R>::int16(scales, 1000.0 * output.scale, activation).expect("scales are in range");
    let (shapes, [first, second, output, expected]) = pair(generator, memory, Generator::int16);
    reference::multiply_i16(shapes, &parameters, first, second, expected);
    let broadcast = broadcast(shapes);
    cases
        .measure(|| binary::multiply::<B, R, i16>(&parameters, &broadcast, first, second, output))
        .expect("the lengths are the shapes'");
    cases.compare(&(shapes, numbers), output, expected);
}

impl Generator {
    /// A part of a tensor: whole axes, stretches, and every so many values, forwards and backwards.
    fn slice(&mut self) -> SliceShape {
        loop {
            let input = [self.within(1, 6), self.within(1, 6), self.within(1, 40)];
            let (mut begin, mut end, mut stride) = ([0; 3], [isize::MAX; 3], [1; 3]);
            for axis in 0..3 {
                if self.within(0, 2) > 0 {
                    let size = input[axis] as isize;
                    begin[axis] = self.within(0, 2 * size as usize) as isize - size;
                    end[axis] = self.within(0, 3 * size as usize) as isize - size - 1;
                    stride[axis] = [1, 1, 2, 3, -1, -2][self.within(0, 5)];
                }
            }
            if let Ok(shape) = SliceShape::new(input, begin, end, stride) {
                return shape;
            }
        }
    }
}

/// A box in a larger one.
fn region(generator: &mut Generator) -> Region {
    let shape = [generator.within(1, 5), generator.within(1, 5), generator.within(1, 20)];
    // Along one axis, or along all.
    let along = generator.within(0, 3);
    let mut around = |axis| if along == 3 || along == axis { generator.within(0, 4) } else { 0 };
    let [before, after] = [[around(0), around(1), around(2)], [around(0), around(1), around(2)]];
    let within = [0, 1, 2].map(|axis| before[axis] + shape[axis] + after[axis]);
    Region::new(shape, before, within).expect("the case obeys the rules")
}

/// An input, an output, and room for what is expected.
fn buffers<T: Value>(memory: &mut Memory, input: [usize; 3], output: [usize; 3]) -> [&mut [T]; 3] {
    let mut space = memory.space();
    let [input, output] = [input, output].map(|shape| shape.iter().product());
    [space.take(input), space.take(output), space.take(output)]
}

/// Draws an input of any length up to a few vectors, and compares the outputs that `map` writes.
fn conversion<I: Value, O: Value>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    fill: impl Fn(&mut Generator, &mut [I]),
    map: impl FnOnce(&[I], &mut [O], &mut [O], &mut Cases<'_>),
) {
    let (len, shift) = (generator.within(1, 150), generator.within(0, 3));
    let mut space = memory.space();
    let (input, output) = (space.take(len), &mut space.take(shift + len)[shift..]);
    let expected = space.take(len);
    fill(generator, input);
    map(input, output, expected, cases);
    cases.compare(&len, output, expected);
}

fn requantize_case<B: Backend, I: Quantized + Value, O: Quantized + Value, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    fill: impl Fn(&mut Generator, &mut [I]),
    parameters: &RequantizeParameters<I, O, R>,
) {
    conversion(cases, generator, memory, fill, |input, output, expected, cases| {
        reference::requantize(parameters, input, expected);
        cases.measure(|| unary::requantize::<B, I, O, R>(parameters, input, output)).expect("the lengths are equal");
    });
}

fn requantize_to_int8<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    from: Quantization,
    to: Quantization,
) {
    let parameters = RequantizeParameters::<i8, i8, R>::int8(from, to).expect("scales are in range");
    requantize_case::<B, _, _, R>(cases, generator, memory, int8, &parameters);
    // Its table, by the backend's look-up.
    let mut table = [0; 256];
    let values = core::array::from_fn::<i8, 256, _>(|i| (i as i32 - 128) as i8);
    reference::requantize(&parameters, &values, &mut table);
    conversion(cases, generator, memory, int8, |input, output, expected, cases| {
        reference::requantize(&parameters, input, expected);
        cases.measure(|| unary::look_up::<B>(&table, input, output)).expect("the lengths are equal");
    });
    let parameters = RequantizeParameters::int16_to_int8(from.scale / 256.0, to).expect("scales are in range");
    requantize_case::<B, _, _, R>(cases, generator, memory, Generator::int16, &parameters);
}

fn requantize_to_int16<B: Backend, R: ProductRounding>(
    cases: &mut Cases<'_>,
    generator: &mut Generator,
    memory: &mut Memory,
    from: Quantization,
    to: Quantization,
) {
    let parameters = RequantizeParameters::int8_to_int16(from, to.scale / 256.0).expect("scales are in range");
    requantize_case::<B, _, _, R>(cases, generator, memory, int8, &parameters);
    let parameters = RequantizeParameters::int16(from.scale, to.scale).expect("scales are in range");
    requantize_case::<B, _, _, R>(cases, generator, memory, Generator::int16, &parameters);
}
