//! Functions of each value by itself.

use super::{BLOCK, Kept, Pass, Scratch, State, Step, channel_sums, map, map_error};
use crate::nn::lanes::{LANES, Lanes, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// A function without parameters.
#[derive(Clone, Copy, Debug)]
pub enum Activation {
    Relu,
    Relu6,
    LeakyRelu(f32),
    HardSwish,
    HardSigmoid,
    Sigmoid,
    Tanh,
}

impl Activation {
    /// Whether the derivative follows from the output, so that the input need not be kept.
    fn by_output(self) -> bool {
        match self {
            Self::HardSwish => false,
            Self::LeakyRelu(slope) => slope > 0.0,
            _ => true,
        }
    }
}

/// The greater of each value and 0.
struct Rectify<'a, T>(&'a mut [Lanes<T>]);

impl<T: Real> WithSimd for Rectify<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for y in self.0 {
            *y = T::where_less(simd, &Lanes::ZERO, y, [y, &Lanes::ZERO]);
        }
    }
}

/// The error where the value is above 0; in place where there is no `dy`.
struct RectifyError<'a, T> {
    known: &'a [Lanes<T>],
    dy: Option<&'a [Lanes<T>]>,
    dx: &'a mut [Lanes<T>],
    add: bool,
}

impl<T: Real> WithSimd for RectifyError<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let error = |known: &Lanes<T>, dy: &Lanes<T>| T::where_less(simd, &Lanes::ZERO, known, [dy, &Lanes::ZERO]);
        let values = self.dx.iter_mut().zip(self.known);
        match self.dy {
            None => values.for_each(|(dx, known)| *dx = error(known, dx)),
            Some(dy) if self.add => {
                values.zip(dy).for_each(|((dx, known), dy)| *dx = T::plus(simd, dx, &error(known, dy)));
            }
            Some(dy) => values.zip(dy).for_each(|((dx, known), dy)| *dx = error(known, dy)),
        }
    }
}

fn clamp<T: Real>(x: T, low: T, high: T) -> T {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

impl<T: Real> Step<T> for Activation {
    fn keeps_input(&self) -> bool {
        !self.by_output()
    }

    fn keeps_output(&self) -> bool {
        self.by_output()
    }

    fn in_place(&self) -> bool {
        true
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let number = T::from_f64;
        let (three, six, sixth) = (number(3.0), number(6.0), number(1.0 / 6.0));
        match *self {
            Self::Relu => y.par_chunks_mut(BLOCK).enumerate().for_each(|(block, y)| {
                if let Some(x) = x[0] {
                    y.copy_from_slice(&x[block * BLOCK..][..y.len()]);
                }
                T::run(Rectify(y));
            }),
            Self::Relu6 => map(x[0], y, move |x| clamp(x, T::ZERO, six)),
            Self::LeakyRelu(slope) => {
                let slope = number(f64::from(slope));
                map(x[0], y, move |x| if x > T::ZERO { x } else { slope * x });
            }
            Self::HardSwish => map(x[0], y, move |x| x * clamp(x + three, T::ZERO, six) * sixth),
            Self::HardSigmoid => map(x[0], y, move |x| clamp(x + three, T::ZERO, six) * sixth),
            Self::Sigmoid => map(x[0], y, |x| T::ONE / (T::ONE + (-x).exp())),
            Self::Tanh => map(x[0], y, |x| x.tanh()),
        }
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let dy = kept.dy;
        let number = T::from_f64;
        let known = if self.by_output() { kept.output() } else { kept.input(0) };
        match *self {
            Self::Relu => dx.par_chunks_mut(BLOCK).enumerate().for_each(|(block, dx)| {
                let part = block * BLOCK..block * BLOCK + dx.len();
                T::run(RectifyError { known: &known[part.clone()], dy: dy.map(|dy| &dy[part]), dx, add });
            }),
            Self::Relu6 => {
                let six = number(6.0);
                map_error(known, dy, dx, add, move |y, dy| if y > T::ZERO && y < six { dy } else { T::ZERO });
            }
            Self::LeakyRelu(slope) => {
                let slope = number(f64::from(slope));
                map_error(known, dy, dx, add, move |x, dy| if x > T::ZERO { dy } else { slope * dy });
            }
            Self::HardSwish => {
                let (three, third, half) = (number(3.0), number(1.0 / 3.0), number(0.5));
                map_error(known, dy, dx, add, move |x, dy| {
                    let slope = x * third + half;
                    let slope = if x < -three { T::ZERO } else { slope };
                    dy * if x > three { T::ONE } else { slope }
                });
            }
            Self::HardSigmoid => {
                let sixth = number(1.0 / 6.0);
                map_error(
                    known,
                    dy,
                    dx,
                    add,
                    move |y, dy| {
                        if y > T::ZERO && y < T::ONE { dy * sixth } else { T::ZERO }
                    },
                );
            }
            Self::Sigmoid => map_error(known, dy, dx, add, |y, dy| dy * y * (T::ONE - y)),
            Self::Tanh => map_error(known, dy, dx, add, |y, dy| dy * (T::ONE - y * y)),
        }
    }
}

/// `x` above zero, `slope * x` below, with a trained slope for each channel.
#[derive(Clone, Copy, Debug)]
pub struct PRelu {
    pub channels: usize,
}

impl<T: Real> Step<T> for PRelu {
    fn keeps_input(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        slopes: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let x = x[0].expect("not in place");
        y.par_chunks_mut(self.channels).zip(x.par_chunks(self.channels)).with_min_len(64).for_each(|(y, x)| {
            for ((y, x), &slope) in y.iter_mut().zip(x).zip(slopes) {
                for lane in 0..LANES {
                    let x = x.0[lane];
                    y.0[lane] = if x > T::ZERO { x } else { slope * x };
                }
            }
        });
    }

    fn backward_parameters(&mut self, _: Pass, _: &[T], kept: Kept<'_, T>, gradient: &mut [T], _: &mut Scratch<T>) {
        const PIXELS: usize = 64;
        let (x, dy, channels) = (kept.input(0), kept.error(), self.channels);
        let block = PIXELS * channels;
        let sums = channel_sums::<T>(x.len().div_ceil(block), channels, |number, lanes, sums| {
            let range = number * block..((number + 1) * block).min(x.len());
            let pixels = x[range.clone()].chunks_exact(channels).zip(dy[range].chunks_exact(channels));
            for (x, dy) in pixels {
                for ((sum, x), dy) in lanes.iter_mut().zip(x).zip(dy) {
                    for lane in 0..LANES {
                        let below = if x.0[lane] > T::ZERO { T::ZERO } else { x.0[lane] };
                        sum.0[lane] = sum.0[lane] + below * dy.0[lane];
                    }
                }
            }
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = lanes.sum().to_f64();
            }
        });
        for (gradient, sum) in gradient.iter_mut().zip(sums) {
            *gradient = T::from_f64(sum);
        }
    }

    fn backward_input(
        &mut self,
        _: Pass,
        slopes: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let (x, dy, channels) = (kept.input(0), kept.error(), self.channels);
        let pixels = dx.par_chunks_mut(channels).zip(x.par_chunks(channels)).zip(dy.par_chunks(channels));
        pixels.with_min_len(64).for_each(|((dx, x), dy)| {
            for (((dx, x), dy), &slope) in dx.iter_mut().zip(x).zip(dy).zip(slopes) {
                for lane in 0..LANES {
                    let dy = dy.0[lane];
                    let value = if x.0[lane] > T::ZERO { dy } else { slope * dy };
                    dx.0[lane] = if add { dx.0[lane] + value } else { value };
                }
            }
        });
    }
}
