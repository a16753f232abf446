//! Softmax as a layer. Training wants the loss of the logits instead: see [`crate::train::softmax_cross_entropy`].

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::lanes::{LANES, Lanes, Real};
use rayon::prelude::*;

/// `exp(x)` over the sum of them, of each pixel's channels.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    pub channels: usize,
}

impl<T: Real> Step<T> for Softmax {
    fn keeps_output(&self) -> bool {
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
        y.par_chunks_mut(channels).zip(x.par_chunks(channels)).for_each(|(y, x)| {
            for lane in 0..LANES {
                let greatest = x.iter().fold(x[0].0[lane], |max, x| if x.0[lane] > max { x.0[lane] } else { max });
                let mut sum = T::ZERO;
                for (y, x) in y.iter_mut().zip(x) {
                    y.0[lane] = (x.0[lane] - greatest).exp();
                    sum = sum + y.0[lane];
                }
                for y in y.iter_mut() {
                    y.0[lane] = y.0[lane] / sum;
                }
            }
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
        let (y, dy, channels) = (kept.output(), kept.error(), self.channels);
        let pixels = dx.par_chunks_mut(channels).zip(y.par_chunks(channels)).zip(dy.par_chunks(channels));
        pixels.for_each(|((dx, y), dy)| {
            for lane in 0..LANES {
                let mut mean = T::ZERO;
                for (y, dy) in y.iter().zip(dy) {
                    mean = mean + y.0[lane] * dy.0[lane];
                }
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    let value = y.0[lane] * (dy.0[lane] - mean);
                    dx.0[lane] = if add { dx.0[lane] + value } else { value };
                }
            }
        });
    }
}
