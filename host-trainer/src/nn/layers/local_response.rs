//! Local response normalization.

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::lanes::{LANES, Lanes, Real};
use rayon::prelude::*;

/// `x[c] / s[c]^beta` with `s[c] = k + alpha * sum of x[j]^2` over the channels `j` around `c`.
#[derive(Clone, Copy, Debug)]
pub struct LocalResponse {
    pub channels: usize,
    pub radius: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
}

/// Pixels of a task.
const PIXELS: usize = 16;

impl LocalResponse {
    fn neighbours(&self, channel: usize) -> std::ops::Range<usize> {
        channel.saturating_sub(self.radius)..(channel + self.radius + 1).min(self.channels)
    }

    /// `s` of each channel of a pixel.
    #[inline(always)]
    fn bases<T: Real>(&self, x: &[Lanes<T>], bases: &mut [Lanes<T>]) {
        let (alpha, k) = (T::from_f64(f64::from(self.alpha)), T::from_f64(f64::from(self.k)));
        for (channel, base) in bases.iter_mut().enumerate() {
            let mut sum = Lanes::<T>::ZERO;
            for x in &x[self.neighbours(channel)] {
                for lane in 0..LANES {
                    sum.0[lane] = sum.0[lane] + x.0[lane] * x.0[lane];
                }
            }
            for lane in 0..LANES {
                base.0[lane] = k + alpha * sum.0[lane];
            }
        }
    }

    /// `base^beta`.
    #[inline(always)]
    fn power<T: Real>(&self, base: &Lanes<T>) -> Lanes<T> {
        let mut power = *base;
        for value in &mut power.0 {
            // As `bareconv` does: square roots have the same bits everywhere, and are vectors.
            *value = if self.beta == 0.75 {
                let root = value.sqrt();
                root * root.sqrt()
            } else if self.beta == 0.5 {
                value.sqrt()
            } else if self.beta == 1.0 {
                *value
            } else {
                value.pow(T::from_f64(f64::from(self.beta)))
            };
        }
        power
    }
}

impl<T: Real> Step<T> for LocalResponse {
    fn keeps_input(&self) -> bool {
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
        let (x, channels) = (x[0].expect("not in place"), self.channels);
        y.par_chunks_mut(PIXELS * channels).zip(x.par_chunks(PIXELS * channels)).for_each(|(y, x)| {
            T::run_loop(
                #[inline(always)]
                || {
                    let mut bases = vec![Lanes::<T>::ZERO; channels];
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        self.bases(x, &mut bases);
                        for ((y, x), base) in y.iter_mut().zip(x).zip(&bases) {
                            let power = self.power(base);
                            for lane in 0..LANES {
                                y.0[lane] = x.0[lane] / power.0[lane];
                            }
                        }
                    }
                },
            );
        });
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
        let (x, dy, channels) = (kept.input(0), kept.error(), self.channels);
        let factor = T::from_f64(2.0 * f64::from(self.alpha) * f64::from(self.beta));
        let tasks = dx.par_chunks_mut(PIXELS * channels).zip(x.par_chunks(PIXELS * channels));
        tasks.zip(dy.par_chunks(PIXELS * channels)).for_each(|((dx, x), dy)| {
            T::run_loop(
                #[inline(always)]
                || {
                    let mut bases = vec![Lanes::<T>::ZERO; channels];
                    // dy * x / s^(beta + 1)
                    let mut weights = vec![Lanes::<T>::ZERO; channels];
                    let pixels = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                    for ((dx, x), dy) in pixels.zip(dy.chunks_exact(channels)) {
                        self.bases(x, &mut bases);
                        for channel in 0..channels {
                            let (base, power) = (bases[channel], self.power(&bases[channel]));
                            for lane in 0..LANES {
                                let passed = dy[channel].0[lane] / power.0[lane];
                                weights[channel].0[lane] = passed * x[channel].0[lane] / base.0[lane];
                                let value = passed;
                                dx[channel].0[lane] = if add { dx[channel].0[lane] + value } else { value };
                            }
                        }
                        for channel in 0..channels {
                            let mut sum = Lanes::<T>::ZERO;
                            for weight in &weights[self.neighbours(channel)] {
                                sum.add(weight);
                            }
                            for lane in 0..LANES {
                                let back = factor * x[channel].0[lane] * sum.0[lane];
                                dx[channel].0[lane] = dx[channel].0[lane] - back;
                            }
                        }
                    }
                },
            );
        });
    }
}
