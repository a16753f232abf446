//! Pooling and activations drawn from the generator, run on a backend and compared with the reference.

use super::{Generator, same_bits};
use bareconv::kernels::Backend;
use bareconv::kernels::elementwise;
use bareconv::reference::{self, SoftmaxParameters};
use bareconv::{LeakyReluInt8, Pool2dShape, Quantization};

const VALUES: usize = 640;

/// Memory for a case of either type.
pub struct Memory {
    input: [f32; VALUES],
    output: [f32; VALUES],
    expected: [f32; VALUES],
}

impl Memory {
    /// Zeros.
    pub const fn new() -> Self {
        Self { input: [0.0; VALUES], output: [0.0; VALUES], expected: [0.0; VALUES] }
    }
}

impl Generator {
    /// A shape that obeys the rules and fits the buffers.
    fn pool_shape(&mut self) -> Pool2dShape {
        loop {
            let channels = [self.within(1, 9), self.within(15, 18), self.within(30, 67)][self.within(0, 2)];
            let mut axis = || {
                let window = self.within(1, 5);
                [self.within(1, 9), window, self.within(1, 4), self.within(0, window - 1), self.within(0, window - 1)]
            };
            let (y, x) = (axis(), axis());
            let shape = Pool2dShape {
                input: [y[0], x[0], channels],
                window: [y[1], x[1]],
                stride: [y[2], x[2]],
                padding: [y[3], x[3], y[4], x[4]],
            };
            let values = |[h, w, c]: [usize; 3]| h * w * c;
            if shape.check().is_ok() && values(shape.input) <= VALUES && values(shape.output()) <= VALUES {
                return shape;
            }
        }
    }
}

/// What came of a run; a case is its number, the operator, and the shape.
pub type Outcome = super::Outcome<(u32, &'static str, Pool2dShape)>;

/// Runs `cases` cases of every operator in int8.
pub fn int8<B: Backend>(generator: &mut Generator, cases: u32, memory: &mut Memory) -> Outcome {
    let mut outcome = Outcome::new();
    for case in 0..cases {
        let shape = generator.pool_shape();
        let inputs: usize = shape.input.iter().product();
        let outputs: usize = shape.output().iter().product();
        let input: &mut [i8] = &mut bytemuck::cast_slice_mut(&mut memory.input)[..inputs];
        generator.int8(input, -128);
        let zero_point = generator.next() as i8;
        let output: &mut [i8] = bytemuck::cast_slice_mut(&mut memory.output);
        let expected: &mut [i8] = bytemuck::cast_slice_mut(&mut memory.expected);
        // Slices that start at any address.
        let shift = generator.within(0, 3);
        let mut compare = |operator, len: usize, result: &mut dyn FnMut(&mut [i8], &mut [i8])| {
            let (output, expected) = (&mut output[shift..shift + len], &mut expected[..len]);
            output.fill(99);
            expected.fill(-99);
            result(output, expected);
            outcome.add((case, operator, shape), bytemuck::cast_slice(output), output == expected);
        };
        compare("maximum pooling", outputs, &mut |output, expected| {
            reference::max_pool2d(&shape, input, expected);
            elementwise::max_pool2d::<B, i8>(&shape, input, output).expect("the case obeys the rules");
        });
        for padding in [None, Some(zero_point)] {
            compare("average pooling", outputs, &mut |output, expected| {
                reference::average_pool2d_i8(&shape, padding, input, expected);
                elementwise::average_pool2d_i8::<B>(&shape, padding, input, output).expect("the case obeys the rules");
            });
        }
        compare("ReLU", inputs, &mut |output, expected| {
            reference::relu_i8(zero_point, input, expected);
            elementwise::relu::<B, i8>(zero_point, input, output).expect("the lengths are equal");
        });
        compare("ReLU in place", inputs, &mut |output, expected| {
            output.copy_from_slice(input);
            reference::relu_i8(zero_point, input, expected);
            elementwise::relu_in_place::<B, i8>(zero_point, output);
        });
        let (from, to) = (Quantization::new(0.05, zero_point), Quantization::new(generator.real(0.01, 0.5), 7));
        let (slope, scale) = (generator.real(-1.0, 2.0), generator.real(0.001, 1.0));
        compare("leaky ReLU", inputs, &mut |output, expected| {
            reference::leaky_relu_i8(slope, from, to, input, expected);
            let layer = LeakyReluInt8::new(slope, from, to);
            output.iter_mut().zip(&*input).for_each(|(out, &x)| *out = layer.apply(x));
        });
        // One implementation: only its digest is compared, between cores.
        compare("softmax", inputs, &mut |output, expected| {
            reference::softmax_i8(&SoftmaxParameters::new(scale, 1.0), input, output);
            expected.copy_from_slice(output);
        });
    }
    outcome
}

/// Runs `cases` cases of every operator in single precision.
pub fn float<B: Backend>(generator: &mut Generator, cases: u32, memory: &mut Memory) -> Outcome {
    let mut outcome = Outcome::new();
    for case in 0..cases {
        let shape = generator.pool_shape();
        let inputs: usize = shape.input.iter().product();
        let outputs: usize = shape.output().iter().product();
        let input = &mut memory.input[..inputs];
        generator.float(input);
        let slope = generator.real(-1.0, 2.0);
        let mut compare = |operator, len: usize, result: &mut dyn FnMut(&mut [f32], &mut [f32])| {
            let (output, expected) = (&mut memory.output[..len], &mut memory.expected[..len]);
            output.fill(99.0);
            expected.fill(-99.0);
            result(output, expected);
            let equal = same_bits(output, expected);
            outcome.add((case, operator, shape), bytemuck::cast_slice(output), equal);
        };
        compare("maximum pooling", outputs, &mut |output, expected| {
            reference::max_pool2d(&shape, input, expected);
            elementwise::max_pool2d::<B, f32>(&shape, input, output).expect("the case obeys the rules");
        });
        for include in [false, true] {
            compare("average pooling", outputs, &mut |output, expected| {
                reference::average_pool2d_f32(&shape, include, input, expected);
                elementwise::average_pool2d_f32::<B>(&shape, include, input, output).expect("the case obeys the rules");
            });
        }
        compare("ReLU", inputs, &mut |output, expected| {
            reference::relu_f32(input, expected);
            elementwise::relu::<B, f32>(0.0, input, output).expect("the lengths are equal");
        });
        compare("leaky ReLU", inputs, &mut |output, expected| {
            reference::leaky_relu_f32(slope, input, expected);
            elementwise::leaky_relu_f32::<B>(slope, input, output).expect("the lengths are equal");
        });
        compare("leaky ReLU in place", inputs, &mut |output, expected| {
            output.copy_from_slice(input);
            reference::leaky_relu_f32(slope, input, expected);
            elementwise::leaky_relu_f32_in_place::<B>(slope, output);
        });
        // One implementation: only its digest is compared, between cores.
        compare("softmax", inputs, &mut |output, expected| {
            reference::softmax_f32(input, output);
            expected.copy_from_slice(output);
        });
    }
    outcome
}
