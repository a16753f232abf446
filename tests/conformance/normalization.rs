//! Batch normalization where it is not folded, and local response normalization.

use super::{Cases, Generator, Memory, Session, Value};
use bareconv::kernels::{
    Backend,
    elementwise::{batch_norm, local_response},
};
use bareconv::reference::{self, LocalResponse, LocalResponseInt8};
use bareconv::{BatchNormParameters, Quantization, ShapeError};

const CASES: u32 = super::number_of_cases(200);
const CHANNELS: usize = 40;

/// Runs the family.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    session.operator(["batch-norm", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let [pixels, channels] = generator.pixels();
            let (mut scales, mut shifts, mut parameters) = ([0.0; CHANNELS], [0.0; CHANNELS], [[0.0; 2]; CHANNELS]);
            generator.float(&mut scales[..channels]);
            generator.float(&mut shifts[..channels]);
            for (c, parameters) in parameters.iter_mut().enumerate() {
                *parameters = [scales[c], shifts[c]];
            }
            let (scales, shifts, parameters) = (&scales[..channels], &shifts[..channels], &parameters[..channels]);
            let in_place = generator.within(0, 1) == 1;
            norm_case(
                cases,
                (case, pixels, channels),
                generator,
                memory,
                |g, input| g.float(input),
                |i, o, e, c| {
                    reference::batch_norm_f32(scales, shifts, i, e);
                    o.copy_from_slice(i);
                    c.measure(|| batch_norm::batch_norm_f32::<B>(parameters, (!in_place).then_some(i), o))
                },
            );
        }
    });
    session.operator(["batch-norm", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let [pixels, channels] = generator.pixels();
            let mut numbers = [[0.0; CHANNELS]; 4];
            for (row, low) in numbers.iter_mut().zip([-2.0, -3.0, -3.0, 0.01]) {
                row.fill_with(|| generator.real(low, 3.0));
            }
            let [gamma, beta, mean, variance] = &numbers;
            let norm = BatchNormParameters { gamma, beta, mean, variance, epsilon: 1e-3 };
            let from = Quantization::new(generator.real(0.001, 0.1), generator.next() as i8);
            let to = Quantization::new(generator.real(0.001, 0.1), generator.next() as i8);
            let shift = norm.requantization_shift(from, to).expect("the factors are small");
            let mut parameters = [[0; 2]; CHANNELS];
            for (c, parameters) in parameters.iter_mut().enumerate() {
                *parameters = norm.requantization(c, from, to, shift);
            }
            let parameters = &parameters[..channels];
            let in_place = generator.within(0, 1) == 1;
            norm_case(
                cases,
                (case, pixels, channels),
                generator,
                memory,
                |g, input| g.int8(input, -128),
                |i, o, e, c| {
                    reference::batch_norm_i8(parameters, shift, i, e);
                    o.copy_from_slice(i);
                    c.measure(|| batch_norm::batch_norm_i8::<B>(parameters, shift, (!in_place).then_some(i), o))
                },
            );
        }
    });
    session.operator(["local-response", "f32", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let [pixels, channels] = generator.pixels();
            let norm = generator.response();
            norm_case(
                cases,
                (case, pixels, channels),
                generator,
                memory,
                |g, input| g.float(input),
                |i, o, e, c| {
                    reference::local_response_f32(&norm, channels, i, e);
                    c.measure(|| local_response::local_response_f32::<B>(&norm, channels, i, o))
                },
            );
        }
    });
    session.operator(["local-response", "int8", B::NAME], |cases, generator, memory| {
        for case in 0..CASES {
            let [pixels, channels] = generator.pixels();
            let from = Quantization::new(generator.real(0.001, 0.1), generator.next() as i8);
            let to = Quantization::new(generator.real(0.001, 0.1), generator.next() as i8);
            let norm = LocalResponseInt8::new(generator.response(), from, to);
            norm_case(
                cases,
                (case, pixels, channels),
                generator,
                memory,
                |g, input| g.int8(input, -128),
                |i, o, e, c| {
                    reference::local_response_i8(&norm, channels, i, e);
                    c.measure(|| local_response::local_response_i8::<B>(&norm, channels, i, o))
                },
            );
        }
    });
}

/// Draws an input and compares the outputs that `normalize` writes.
fn norm_case<T: Value>(
    cases: &mut Cases<'_>,
    case: (u32, usize, usize),
    generator: &mut Generator,
    memory: &mut Memory,
    draw: impl FnOnce(&mut Generator, &mut [T]),
    normalize: impl FnOnce(&[T], &mut [T], &mut [T], &mut Cases<'_>) -> Result<(), ShapeError>,
) {
    let mut space = memory.space();
    let len = case.1 * case.2;
    let (input, output, expected) = (space.take(len), space.take(len), space.take(len));
    draw(generator, input);
    bytemuck::cast_slice_mut(output).fill(99u8);
    bytemuck::cast_slice_mut(expected).fill(88u8);
    normalize(input, output, expected, cases).expect("the rules are obeyed");
    cases.compare(&case, output, expected);
}

impl Generator {
    /// A number of pixels and of channels.
    fn pixels(&mut self) -> [usize; 2] {
        [self.within(1, 5), [self.within(1, 9), self.within(14, CHANNELS)][self.within(0, 1)]]
    }

    /// A local response normalization, with the powers that are special and with others.
    fn response(&mut self) -> LocalResponse {
        let beta = [0.5, 0.75, 1.0, self.real(-1.0, 2.0)][self.within(0, 3)];
        LocalResponse::new(2 * self.within(0, 6) + 1, self.real(0.0, 2.0), beta, self.real(0.1, 3.0))
    }
}
