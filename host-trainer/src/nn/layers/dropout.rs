//! Dropout.

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::lanes::{LANES, Lanes, Real};
use crate::random::Random;
use rayon::prelude::*;

/// Drops values in training. Random numbers come from a stream for each block of values, so that the same seed drops the
/// same values whatever the number of threads.
#[derive(Debug)]
pub struct Dropout {
    rate: f32,
    /// Distinguishes the layers of a network.
    number: u64,
    /// Of each value one bit for each image: whether it is kept.
    kept: Vec<u16>,
}

/// Values of a stream of random numbers.
const STREAM: usize = 256;

impl Dropout {
    /// For tensors of `length` values, of all chunks.
    pub fn new(rate: f32, number: usize, length: usize) -> Self {
        Self { rate, number: number as u64, kept: vec![0; length] }
    }

    /// Drops and scales in place.
    fn drop<T: Real>(&self, values: &mut [Lanes<T>]) {
        let scale = T::from_f64(1.0 / (1.0 - f64::from(self.rate)));
        values.par_chunks_mut(STREAM).zip(self.kept.par_chunks(STREAM)).for_each(|(values, kept)| {
            for (value, &kept) in values.iter_mut().zip(kept) {
                for lane in 0..LANES {
                    value.0[lane] = if kept >> lane & 1 == 1 { value.0[lane] * scale } else { T::ZERO };
                }
            }
        });
    }
}

impl<T: Real> Step<T> for Dropout {
    fn in_place(&self) -> bool {
        true
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        pass: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        if let Some(x) = x[0] {
            y.copy_from_slice(x);
        }
        if !pass.training {
            return;
        }
        let (rate, number) = (self.rate, self.number);
        self.kept[..y.len()].par_chunks_mut(STREAM).enumerate().for_each(|(block, kept)| {
            let mut random = Random::new(pass.seed, (number << 32) + block as u64);
            for kept in kept {
                *kept = (0..LANES).fold(0, |bits, lane| bits | u16::from(random.between(0.0, 1.0) >= rate) << lane);
            }
        });
        self.drop(y);
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
        let Some(dy) = kept.dy else { return self.drop(dx) };
        let scale = T::from_f64(1.0 / (1.0 - f64::from(self.rate)));
        for ((dx, dy), &kept) in dx.iter_mut().zip(dy).zip(&self.kept) {
            for lane in 0..LANES {
                let value = if kept >> lane & 1 == 1 { dy.0[lane] * scale } else { T::ZERO };
                dx.0[lane] = if add { dx.0[lane] + value } else { value };
            }
        }
    }
}
