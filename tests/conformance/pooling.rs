//! Maximum and average pooling, anti-aliased pooling, spatial pyramids, means.

use super::{Cases, Generator, Memory, Session, Value};
use bareconv::kernels::{
    Backend, elementwise,
    elementwise::{blur_pool, spatial_pyramid},
};
use bareconv::{BlurPool2dShape, Pool2dShape, ShapeError, reference, reference::MeanParameters};

const CASES: u32 = super::number_of_cases(300);
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
                    reference::average_pool2d(&shape, padding, input, expected);
                    cases
                        .measure(|| elementwise::average_pool2d::<B, i8>(&shape, padding, input, output))
                        .expect("the rules are obeyed");
                });
            }
        }
    });
    session.operator(["max-pool2d", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            int16_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                reference::max_pool2d(&shape, input, expected);
                cases
                    .measure(|| elementwise::max_pool2d::<B, i16>(&shape, input, output))
                    .expect("the rules are obeyed");
            });
        }
    });
    session.operator(["average-pool2d", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.pool_shape();
            for padding in [None, Some(0)] {
                int16_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                    reference::average_pool2d(&shape, padding, input, expected);
                    cases
                        .measure(|| elementwise::average_pool2d::<B, i16>(&shape, padding, input, output))
                        .expect("the rules are obeyed");
                });
            }
        }
    });
    session.operator(["spatial-pyramid", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (levels, shape) = generator.pyramid();
            let levels = &levels[..];
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.int8(input, -128),
                |i, o, e, c| {
                    reference::spatial_pyramid_max(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_max::<B, i8>(levels, shape, i, o))
                },
            );
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.int8(input, -128),
                |i, o, e, c| {
                    reference::spatial_pyramid_average(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_average::<B, i8>(levels, shape, i, o))
                },
            );
        }
    });
    session.operator(["spatial-pyramid", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (levels, shape) = generator.pyramid();
            let levels = &levels[..];
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.halves(input),
                |i, o, e, c| {
                    reference::spatial_pyramid_max(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_max::<B, i16>(levels, shape, i, o))
                },
            );
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.halves(input),
                |i, o, e, c| {
                    reference::spatial_pyramid_average(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_average::<B, i16>(levels, shape, i, o))
                },
            );
        }
    });
    session.operator(["spatial-pyramid", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let (levels, shape) = generator.pyramid();
            let levels = &levels[..];
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.float(input),
                |i, o, e, c| {
                    reference::spatial_pyramid_max(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_max::<B, f32>(levels, shape, i, o))
                },
            );
            pyramid_case(
                cases,
                (case, levels, shape),
                generator,
                memory,
                |g, input| g.float(input),
                |i, o, e, c| {
                    reference::spatial_pyramid_average_f32(levels, shape, i, e);
                    c.measure(|| spatial_pyramid::spatial_pyramid_average::<B, f32>(levels, shape, i, o))
                },
            );
        }
    });
    session.operator(["blur-pool2d", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.blur_shape();
            let zero_point = generator.next() as i8;
            blur_case(
                cases,
                (case, shape),
                generator,
                memory,
                |g, input| g.int8(input, -128),
                |i, o, e, c| {
                    reference::blur_pool2d(&shape, zero_point, i, e);
                    c.measure(|| blur_pool::blur_pool2d::<B, i8>(&shape, zero_point, i, o))
                },
            );
        }
    });
    session.operator(["blur-pool2d", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.blur_shape();

            blur_case(
                cases,
                (case, shape),
                generator,
                memory,
                |g, input| g.halves(input),
                |i, o, e, c| {
                    reference::blur_pool2d(&shape, 0, i, e);
                    c.measure(|| blur_pool::blur_pool2d::<B, i16>(&shape, 0, i, o))
                },
            );
        }
    });
    session.operator(["blur-pool2d", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let shape = generator.blur_shape();

            blur_case(
                cases,
                (case, shape),
                generator,
                memory,
                |g, input| g.float(input),
                |i, o, e, c| {
                    reference::blur_pool2d_f32(&shape, i, e);
                    c.measure(|| blur_pool::blur_pool2d::<B, f32>(&shape, 0.0, i, o))
                },
            );
        }
    });
    session.operator(["mean2d", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let ([h, w, c], parameters) = generator.mean(128);
            let shape = Pool2dShape::new([h, w, c], [h, w]);
            int8_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                reference::mean2d(&parameters, input, expected);
                cases
                    .measure(|| elementwise::mean2d::<B, i8>([h, w, c], &parameters, input, output))
                    .expect("the rules are obeyed");
            });
        }
    });
    session.operator(["mean2d", "int16", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let ([h, w, c], parameters) = generator.mean(0);
            let shape = Pool2dShape::new([h, w, c], [h, w]);
            int16_case(cases, (case, shape), generator, memory, |input, output, expected, cases| {
                reference::mean2d(&parameters, input, expected);
                cases
                    .measure(|| elementwise::mean2d::<B, i16>([h, w, c], &parameters, input, output))
                    .expect("the rules are obeyed");
            });
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
                        .measure(|| {
                            elementwise::average_pool2d::<B, f32>(&shape, include.then_some(0.0), input, output)
                        })
                        .expect("the rules are obeyed");
                });
            }
        }
    });
}

/// Draws an input and compares the outputs that `pool` writes.
fn blur_case<T: Value>(
    cases: &mut Cases<'_>,
    case: (u32, BlurPool2dShape),
    generator: &mut Generator,
    memory: &mut Memory,
    draw: impl FnOnce(&mut Generator, &mut [T]),
    pool: impl FnOnce(&[T], &mut [T], &mut [T], &mut Cases<'_>) -> Result<(), ShapeError>,
) {
    let mut space = memory.space();
    let input = space.take(case.1.input.iter().product());
    draw(generator, input);
    let len = case.1.output().iter().product();
    let (output, expected) = (space.take(len), space.take(len));
    bytemuck::cast_slice_mut(output).fill(99u8);
    bytemuck::cast_slice_mut(expected).fill(88u8);
    pool(input, output, expected, cases).expect("the rules are obeyed");
    cases.compare(&case, output, expected);
}

/// Draws an input and compares the vectors that `pool` writes.
fn pyramid_case<T: Value>(
    cases: &mut Cases<'_>,
    case: (u32, &[usize], [usize; 3]),
    generator: &mut Generator,
    memory: &mut Memory,
    draw: impl FnOnce(&mut Generator, &mut [T]),
    pool: impl FnOnce(&[T], &mut [T], &mut [T], &mut Cases<'_>) -> Result<(), ShapeError>,
) {
    let mut space = memory.space();
    let input = space.take(case.2.iter().product());
    draw(generator, input);
    let len = case.1.iter().map(|level| level * level * case.2[2]).sum();
    let (output, expected) = (space.take(len), space.take(len));
    bytemuck::cast_slice_mut(output).fill(99u8);
    bytemuck::cast_slice_mut(expected).fill(88u8);
    pool(input, output, expected, cases).expect("the rules are obeyed");
    cases.compare(&case, output, expected);
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

/// The same in int16.
fn int16_case(
    cases: &mut Cases<'_>,
    case: (u32, Pool2dShape),
    generator: &mut Generator,
    memory: &mut Memory,
    pool: impl FnOnce(&[i16], &mut [i16], &mut [i16], &mut Cases<'_>),
) {
    let mut space = memory.space();
    let input = space.take(case.1.input.iter().product());
    generator.halves(input);
    let len = case.1.output().iter().product();
    let shift = generator.within(0, 1);
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
    /// Fills a slice with int16 values: any, or only the ends, or one of them.
    pub fn halves(&mut self, values: &mut [i16]) {
        let style = self.within(0, 5);
        for value in values {
            *value = match style {
                0 => i16::MIN,
                1 => [i16::MIN, i16::MAX][self.within(0, 1)],
                _ => self.next() as i16,
            };
        }
    }

    /// Levels of a pyramid, and the shape of an input for it.
    fn pyramid(&mut self) -> ([usize; 3], [usize; 3]) {
        let levels = [self.within(1, 4), self.within(1, 4), self.within(1, 4)];
        let largest = levels.into_iter().fold(1, usize::max);
        let shape = [
            self.within(largest, 9),
            self.within(largest, 9),
            [self.within(1, 9), self.within(14, 35)][self.within(0, 1)],
        ];
        (levels, shape)
    }

    /// A shape of an anti-aliased pooling that obeys the rules.
    fn blur_shape(&mut self) -> BlurPool2dShape {
        loop {
            let channels = [self.within(1, 9), self.within(14, 19)][self.within(0, 1)];
            let input = [self.within(1, 8), self.within(1, 8), channels];
            let shape = BlurPool2dShape::new(input, self.within(2, 7), self.within(1, 3)).max_pool(self.within(1, 3));
            let shape = if self.within(0, 1) == 0 { shape } else { shape.zero_padding() };
            if shape.check().is_ok() {
                return shape;
            }
        }
    }

    /// An input's shape and the parameters of a mean over it; zero points are below `zero_points`, and above its
    /// negative.
    fn mean(&mut self, zero_points: usize) -> ([usize; 3], MeanParameters) {
        let (height, width) = (self.within(1, 6), self.within(1, 6));
        let shape = [height, width, self.within(1, VALUES / 36)];
        let scales = [self.real(0.001, 1.0), self.real(0.001, 1.0)];
        let mut zero_point = || self.within(0, 2 * zero_points) as i16 - zero_points as i16;
        let zero_points = [zero_point(), zero_point()];
        (shape, MeanParameters::new(height * width, scales, zero_points.map(|zero| zero.min(127))))
    }

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
