//! Batch normalization.

use super::{BLOCK, Kept, Pass, Scratch, State, Step, channel_sums};
use crate::nn::lanes::{LANES, Lanes, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel. Parameters are the `gamma`s, then the `beta`s.
///
/// In training, mean and variance are those of the batch, the variance divided by the number of values; moving averages
/// take the unbiased one (`bareconv::BatchNormParameters`).
#[derive(Debug)]
pub struct BatchNorm<T> {
    channels: usize,
    momentum: f64,
    epsilon: f64,
    /// Whether there is a way back.
    training: bool,
    /// Of the last forward pass in training: mean and `1 / sqrt(variance + epsilon)` of each channel.
    mean: Vec<T>,
    inverse: Vec<T>,
    /// Means of `dy` and of `dy` times the normalized input.
    error_means: [Vec<T>; 2],
}

impl<T: Real> BatchNorm<T> {
    pub fn new(channels: usize, momentum: f32, epsilon: f32, training: bool) -> Self {
        let zeros = || vec![T::ZERO; channels];
        Self {
            channels,
            momentum: f64::from(momentum),
            epsilon: f64::from(epsilon),
            training,
            mean: zeros(),
            inverse: zeros(),
            error_means: [zeros(), zeros()],
        }
    }

    /// Elements of a block of pixels, all of one chunk, which has so many.
    fn block(&self, chunk: usize) -> usize {
        let pixels = chunk / self.channels;
        // A divisor of the pixels, so that blocks do not cross chunks.
        let most = (BLOCK / self.channels).clamp(1, pixels);
        (1..=most).rev().find(|&block| pixels.is_multiple_of(block)).unwrap_or(1) * self.channels
    }

    /// Mean and variance of each channel over the images in use, and the number of values.
    fn statistics(&self, pass: Pass, x: &[Lanes<T>]) -> (Vec<[f64; 2]>, f64) {
        let channels = self.channels;
        let chunk = x.len() / pass.images.div_ceil(LANES);
        let block = self.block(chunk);
        // Of each block the sum, and the sum of squared distances to the block's own mean. Both come from the distances to
        // one of its values, so that nothing much cancels however far from 0 they are.
        let blocks = x.len() / block;
        let mut parts = vec![[0.0; 2]; blocks * channels];
        parts.par_chunks_mut(channels).enumerate().for_each_init(
            || vec![Lanes::<T>::ZERO; 2 * channels],
            |lanes, (number, parts)| {
                let x = &x[number * block..][..block];
                let used = pass.used(number * block / chunk);
                let count = (block / channels * used) as f64;
                let (sums, squares) = lanes.split_at_mut(channels);
                T::run(Moments { x, sums, squares });
                let sums = sums.iter().zip(squares.iter());
                for ((part, (sum, square)), first) in parts.iter_mut().zip(sums).zip(x) {
                    let (sum, square) = (used_sum(sum, used), used_sum(square, used));
                    *part = [count * first.0[0].to_f64() + sum, square - sum * sum / count];
                }
            },
        );
        let total = (pass.images * chunk / channels) as f64;
        let mut statistics = vec![[0.0; 2]; channels];
        for part in parts.chunks_exact(channels) {
            for (statistic, part) in statistics.iter_mut().zip(part) {
                statistic[0] += part[0];
            }
        }
        for statistic in &mut statistics {
            statistic[0] /= total;
        }
        for (number, part) in parts.chunks_exact(channels).enumerate() {
            let count = (block / channels * pass.used(number * block / chunk)) as f64;
            for (statistic, part) in statistics.iter_mut().zip(part) {
                let distance = part[0] / count - statistic[0];
                statistic[1] += part[1] + count * distance * distance;
            }
        }
        for statistic in &mut statistics {
            statistic[1] /= total;
        }
        (statistics, total)
    }
}

/// The sum over the first `used` images.
fn used_sum<T: Real>(lanes: &Lanes<T>, used: usize) -> f64 {
    lanes.0[..used].iter().map(|value| value.to_f64()).sum()
}

/// For a block of pixels the sums of the distances to the first value, and of their squares.
struct Moments<'a, T> {
    x: &'a [Lanes<T>],
    sums: &'a mut [Lanes<T>],
    squares: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for Moments<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.sums.fill(Lanes::ZERO);
        self.squares.fill(Lanes::ZERO);
        for pixel in self.x.chunks_exact(self.sums.len()) {
            let sums = self.sums.iter_mut().zip(self.squares.iter_mut());
            for (((sum, square), x), first) in sums.zip(pixel).zip(self.x) {
                let distance = T::minus(simd, x, &Lanes::splat(first.0[0]));
                *sum = T::plus(simd, sum, &distance);
                *square = T::plus(simd, square, &T::times(simd, &distance, &distance));
            }
        }
    }
}

/// `(x - mean) * scale + shift`, in place where there is no `x`; the numbers are those of the channels.
struct Normalize<'a, T> {
    numbers: &'a [[T; 3]],
    x: Option<&'a [Lanes<T>]>,
    y: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for Normalize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.numbers.len();
        let normalized = |x: &Lanes<T>, numbers: &[T; 3]| {
            let [mean, scale, shift] = numbers.map(Lanes::splat);
            T::plus(simd, &T::times(simd, &T::minus(simd, x, &mean), &scale), &shift)
        };
        match self.x {
            Some(x) => {
                for (y, x) in self.y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    let values = y.iter_mut().zip(x).zip(self.numbers);
                    values.for_each(|((y, x), numbers)| *y = normalized(x, numbers));
                }
            }
            None => {
                for y in self.y.chunks_exact_mut(channels) {
                    y.iter_mut().zip(self.numbers).for_each(|(y, numbers)| *y = normalized(y, numbers));
                }
            }
        }
    }
}

/// `sums += dy` and `weighted += dy * (x - mean)` over pixels.
struct ErrorSums<'a, T> {
    x: &'a [Lanes<T>],
    dy: &'a [Lanes<T>],
    means: &'a [T],
    sums: &'a mut [Lanes<T>],
    weighted: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for ErrorSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.means.len();
        for (x, dy) in self.x.chunks_exact(channels).zip(self.dy.chunks_exact(channels)) {
            let sums = self.sums.iter_mut().zip(self.weighted.iter_mut());
            for ((((sum, weighted), x), dy), mean) in sums.zip(x).zip(dy).zip(self.means) {
                *sum = T::plus(simd, sum, dy);
                let distance = T::minus(simd, x, &Lanes::splat(*mean));
                *weighted = T::plus(simd, weighted, &T::times(simd, dy, &distance));
            }
        }
    }
}

/// `scale * (dy - shift - x * slope)`, in place where there is no `dy`; the numbers are those of the channels.
struct Errors<'a, T> {
    numbers: &'a [[T; 3]],
    x: &'a [Lanes<T>],
    dy: Option<&'a [Lanes<T>]>,
    dx: &'a mut [Lanes<T>],
    add: bool,
    /// Images that are there; others have no error.
    used: usize,
}

impl<T: Real> WithSimd for Errors<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.numbers.len();
        let error = |x: &Lanes<T>, dy: &Lanes<T>, numbers: &[T; 3]| {
            let [scale, slope, shift] = numbers.map(Lanes::splat);
            let distance = T::minus(simd, &T::minus(simd, dy, &shift), &T::times(simd, x, &slope));
            T::times(simd, &scale, &distance)
        };
        for (number, (dx, x)) in self.dx.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels)).enumerate() {
            let values = dx.iter_mut().zip(x).zip(self.numbers);
            match self.dy.map(|dy| &dy[number * channels..][..channels]) {
                None => values.for_each(|((dx, x), numbers)| *dx = error(x, dx, numbers)),
                Some(dy) if self.add => values.zip(dy).for_each(|(((dx, x), numbers), dy)| {
                    *dx = T::plus(simd, dx, &error(x, dy, numbers));
                }),
                Some(dy) => values.zip(dy).for_each(|(((dx, x), numbers), dy)| *dx = error(x, dy, numbers)),
            }
        }
        if self.used < LANES {
            self.dx.iter_mut().for_each(|dx| dx.0[self.used..].fill(T::ZERO));
        }
    }
}

impl<T: Real> Step<T> for BatchNorm<T> {
    fn keeps_input(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        !self.training
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        pass: Pass,
        parameters: &[T],
        state: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let (gamma, beta) = parameters.split_at(self.channels);
        let x = x[0];
        let statistics: Vec<[f64; 2]> = match state {
            State::Fixed(state) => {
                let (means, variances) = state.split_at(self.channels);
                means.iter().zip(variances).map(|(mean, variance)| [mean.to_f64(), variance.to_f64()]).collect()
            }
            State::Moving(state) => {
                let (statistics, count) = self.statistics(pass, x.expect("not in place in training"));
                let (means, variances) = state.split_at_mut(self.channels);
                // A single value has no variance: a last batch of one image says nothing.
                if count > 1.0 {
                    let unbiased = count / (count - 1.0);
                    for ((mean, variance), batch) in means.iter_mut().zip(variances).zip(&statistics) {
                        let moved = |old: T, new: f64| T::from_f64(old.to_f64() + self.momentum * (new - old.to_f64()));
                        *mean = moved(*mean, batch[0]);
                        *variance = moved(*variance, batch[1] * unbiased);
                    }
                }
                statistics
            }
        };
        for (channel, [mean, variance]) in statistics.into_iter().enumerate() {
            self.mean[channel] = T::from_f64(mean);
            self.inverse[channel] = T::from_f64(1.0 / (variance + self.epsilon).sqrt());
        }
        let numbers: Vec<[T; 3]> =
            (0..self.channels).map(|c| [self.mean[c], gamma[c] * self.inverse[c], beta[c]]).collect();
        let block = (BLOCK / self.channels).max(1) * self.channels;
        y.par_chunks_mut(block).enumerate().for_each(|(number, y)| {
            let x = x.map(|x| &x[number * block..][..y.len()]);
            T::run(Normalize { numbers: &numbers, x, y });
        });
    }

    fn backward_parameters(&mut self, pass: Pass, _: &[T], kept: Kept<'_, T>, gradient: &mut [T], _: &mut Scratch<T>) {
        let (x, dy, channels) = (kept.input(0), kept.error(), self.channels);
        let chunk = x.len() / pass.images.div_ceil(LANES);
        let block = self.block(chunk);
        let sums = channel_sums::<T>(x.len() / block, 2 * channels, |number, lanes, sums| {
            let (x, dy) = (&x[number * block..][..block], &dy[number * block..][..block]);
            let (plain, weighted) = lanes.split_at_mut(channels);
            T::run(ErrorSums { x, dy, means: &self.mean, sums: plain, weighted });
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = lanes.sum().to_f64();
            }
        });
        let count = (pass.images * chunk / channels) as f64;
        for c in 0..channels {
            let weighted = sums[channels + c] * self.inverse[c].to_f64();
            gradient[c] = T::from_f64(weighted);
            gradient[channels + c] = T::from_f64(sums[c]);
            self.error_means[0][c] = T::from_f64(sums[c] / count);
            self.error_means[1][c] = T::from_f64(weighted / count);
        }
    }

    fn backward_input(
        &mut self,
        pass: Pass,
        parameters: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let (x, channels) = (kept.input(0), self.channels);
        let chunk = x.len() / pass.images.div_ceil(LANES);
        let block = self.block(chunk);
        // dx = gamma * inverse * (dy - mean(dy) - normalized * mean(dy * normalized))
        let numbers: Vec<[T; 3]> = (0..channels)
            .map(|c| {
                let scale = parameters[c] * self.inverse[c];
                let slope = self.error_means[1][c] * self.inverse[c];
                [scale, slope, self.error_means[0][c] - self.mean[c] * slope]
            })
            .collect();
        dx.par_chunks_mut(block).enumerate().for_each(|(number, dx)| {
            let x = &x[number * block..][..block];
            let dy = kept.dy.map(|dy| &dy[number * block..][..block]);
            let used = pass.used(number * block / chunk);
            T::run(Errors { numbers: &numbers, x, dy, dx, add, used });
        });
    }
}
