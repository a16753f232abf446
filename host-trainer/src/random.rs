//! Random numbers that are the same on every machine and in every version: ChaCha8 by name.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream number `stream` of `seed`; streams are independent of each other.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Uniform on `[low, high)`, in steps of 2^-24 of the width.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 / 16_777_216.0;
        low + unit * (high - low)
    }

    /// Uniform on `0..end` up to a bias below `end / 2^64`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.0.next_u64()) * end as u128) >> 64) as usize
    }

    /// True with this probability, in steps of 2^-24.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// The sum of four uniform numbers, of mean 0 and variance 1: nearly normal, from -3.5 to 3.5, and cheap.
    pub fn bell(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
        // A number of 16 bits has the mean 65,535 / 2 and nearly the variance 2^32 / 12.
        (sum as f32 - 131_070.0) * (1.732_050_8 / 65_536.0)
    }

    /// Normal, by G. Box and M. Muller's transform (1958).
    fn normal(&mut self) -> f64 {
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let radius = libm::sqrt(-2.0 * libm::log(unit(self.0.next_u64())));
        radius * libm::cos(2.0 * std::f64::consts::PI * unit(self.0.next_u64()))
    }

    /// The logarithm of a number of the distribution `Gamma(shape, 1)` (G. Marsaglia and W. Tsang, *A Simple Method for
    /// Generating Gamma Variables*, 2000). The logarithm, because numbers of small shapes underflow.
    fn log_gamma(&mut self, shape: f64) -> f64 {
        let unit = |random: &mut Self| ((random.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        if shape < 1.0 {
            let boost = libm::log(unit(self)) / shape;
            return self.log_gamma(shape + 1.0) + boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v > 0.0 {
                let log_v = 3.0 * libm::log(v);
                if libm::log(unit(self)) < 0.5 * x * x + d - d * v * v * v + d * log_v {
                    return libm::log(d) + log_v;
                }
            }
        }
    }

    /// A number of the distribution `Beta(shape, shape)`, from 0 to 1.
    ///
    /// # Panics
    /// When `shape` is not above 0.
    pub fn beta(&mut self, shape: f32) -> f32 {
        assert!(shape > 0.0, "the parameter of a Beta distribution is above 0");
        let (a, b) = (self.log_gamma(f64::from(shape)), self.log_gamma(f64::from(shape)));
        (1.0 / (1.0 + libm::exp(b - a))) as f32
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [(); 4].map(|()| random.below(1 << 60))
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn uniform_moments() {
        let mut random = Random::new(3, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(random.between(-1.0, 1.0))).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        // Standard errors: 0.0018 and 0.0009.
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0 / 3.0).abs() < 0.005, "{variance}");
    }

    #[test]
    fn bell_moments() {
        let mut random = Random::new(5, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(random.bell())).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / 1e5;
        assert!(moment(1).abs() < 0.015, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "{}", moment(2));
        // 3 for a normal distribution; 3 - 6/5/4 for the sum of four uniform ones.
        assert!((moment(4) - 2.7).abs() < 0.08, "{}", moment(4));
        assert!(draws.iter().all(|x| x.abs() < 3.4642));
    }

    #[test]
    fn beta_moments() {
        for shape in [0.05_f32, 0.2, 1.0, 4.0] {
            let mut random = Random::new(6, 0);
            let draws: Vec<f64> = (0..20_000).map(|_| f64::from(random.beta(shape))).collect();
            let mean = draws.iter().sum::<f64>() / 2e4;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4;
            let expected = 1.0 / (4.0 * (2.0 * f64::from(shape) + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.015 && (variance / expected - 1.0).abs() < 0.03,
                "{shape}: {mean} {variance}"
            );
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
        }
        // Beta(1, 1) is uniform.
        let mut random = Random::new(7, 0);
        let low = (0..20_000).filter(|_| random.beta(1.0) < 0.1).count();
        assert!((1850..2150).contains(&low), "{low}");
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..1000).collect();
        Random::new(4, 0).shuffle(&mut items);
        assert_ne!(items, (0..1000).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
