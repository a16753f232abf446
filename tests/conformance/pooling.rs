//! Maximum and average pooling.

use super::{Cases, Generator, Memory, Session};
use bareconv::kernels::{Backend, elementwise};
use bareconv::{Pool2dShape, reference};

const CASES: u32 = 300;
/// Values of a tensor.
const VALUES: usize = 640;

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["max-pool2d", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            int8_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                reference::max_pool2d(&shape, input, expected);
                cases
                    .measure(|| elementwise::max_pool2d::<B, i8>(&shape, input, output))
                    .expect("the rules are obeyed");
            });
        }
    });
    session.operator(["average-pool2d", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            for padding in [None, Some(generator.next() as i8)] {
                int8_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                    reference::average_pool2d_i8(&shape, padding, input, expected);
                    cases
                        .measure(|| elementwise::average_pool2d_i8::<B>(&shape, padding, input, output))
                        .expect("the rules are obeyed");
                });
            }
        }
    });
    session.operator(["max-pool2d", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            float_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                reference::max_pool2d(&shape, input, expected);
                cases
                    .measure(|| elementwise::max_pool2d::<B, f32>(&shape, input, output))
                    .expect("the rules are obeyed");
            });
        }
    });
    session.operator(["average-pool2d", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            for include in [false, true] {
                float_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                    reference::average_pool2d_f32(&shape, include, input, expected);
                    cases
                        .measure(|| elementwise::average_pool2d_f32::<B>(&shape, include, input, output))
                        .expect("the rules are obeyed");
                });
            }
        }
    });
}

/// Draws an input and compares the outputs that `pool` writes.
fn int8_case(
    cases: &mut Cases<'_>,
    case: (u32, Pool2dShape),
    generator: &mut Generator,
    memory: &mut Memory,
    pool: impl FnOnce(&[i8], &mut [i8], &mut [i8], &mut Cases<'_>),
) {
    let mut space = memory.space();
    let input = space.take(case.1.input.iter().product());
    generator.int8(input, -128);
    let len = case.1.output().iter().product();
    // Slices that start at any address.
    let shift = generator.within(0, 3);
    let (output, expected) = (&mut space.take(shift + len)[shift..], space.take(len));
    output.fill(99);
    expected.fill(-99);
    pool(input, output, expected, cases);
    cases.compare(&case, output, expected);
}

/// The same in single precision.
fn float_case(
    cases: &mut Cases<'_>,
    case: (u32, Pool2dShape),
    generator: &mut Generator,
    memory: &mut Memory,
    pool: impl FnOnce(&[f32], &mut [f32], &mut [f32], &mut Cases<'_>),
) {
    let mut space = memory.space();
    let input = space.take(case.1.input.iter().product());
    generator.float(input);
    let len = case.1.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    output.fill(99.0);
    expected.fill(-99.0);
    pool(input, output, expected, cases);
    cases.compare(&case, output, expected);
}

impl Generator {
    /// A shape that obeys the rules and fits the memory.
    pub fn pool_shape(&mut self) -> Pool2dShape {
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
