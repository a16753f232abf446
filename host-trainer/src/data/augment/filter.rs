//! Smoothing filters: separable, the edge repeated.

use super::Picture;

/// The Gaussian of standard deviation `deviation` pixels, from -3 to 3 deviations, with sum 1.
pub(super) fn gaussian(deviation: f32) -> Vec<f32> {
    let radius = libm::ceilf(3.0 * deviation) as i32;
    let weight = |x: i32| libm::expf(-0.5 * (x * x) as f32 / (deviation * deviation));
    let mut kernel: Vec<f32> = (-radius..=radius).map(weight).collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    kernel
}

/// Equal weights for `2 * radius + 1` pixels.
pub(super) fn flat(radius: usize) -> Vec<f32> {
    let count = 2 * radius + 1;
    vec![1.0 / count as f32; count]
}

/// Filters `values` of `[height][width][channels]` with `kernel` of odd length, down and across.
pub(super) fn separable(
    values: &mut [f32],
    [height, width, channels]: [usize; 3],
    kernel: &[f32],
    scratch: &mut Vec<f32>,
) {
    let radius = kernel.len() / 2;
    let row = width * channels;
    // Down: rows as wholes, so that every loop runs along memory.
    scratch.clear();
    scratch.resize(height * row, 0.0);
    for (y, target) in scratch.chunks_exact_mut(row).enumerate() {
        for (tap, &weight) in kernel.iter().enumerate() {
            let source = (y + tap).saturating_sub(radius).min(height - 1);
            for (sum, value) in target.iter_mut().zip(&values[source * row..][..row]) {
                *sum += weight * value;
            }
        }
    }
    // Across: each row with its ends repeated.
    let margin = radius * channels;
    let mut wide = vec![0.0; row + 2 * margin];
    for (source, target) in scratch.chunks_exact(row).zip(values.chunks_exact_mut(row)) {
        wide[margin..][..row].copy_from_slice(source);
        for i in 0..radius {
            wide[i * channels..][..channels].copy_from_slice(&source[..channels]);
            wide[margin + row + i * channels..][..channels].copy_from_slice(&source[row - channels..]);
        }
        target.fill(0.0);
        for (tap, &weight) in kernel.iter().enumerate() {
            for (sum, value) in target.iter_mut().zip(&wide[tap * channels..]) {
                *sum += weight * value;
            }
        }
    }
}

impl Picture {
    /// Filters all channels alike.
    pub(super) fn filter(&mut self, kernel: &[f32], scratch: &mut Vec<f32>) {
        separable(&mut self.values, [self.height, self.width, self.channels], kernel, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn two_dimensions_by_definition() {
        let (height, width, channels) = (6, 5, 2);
        let mut random = Random::new(1, 0);
        let image: Vec<f32> = (0..height * width * channels).map(|_| random.between(0.0, 255.0)).collect();
        for kernel in [gaussian(0.8), flat(2), vec![1.0]] {
            let mut got = image.clone();
            separable(&mut got, [height, width, channels], &kernel, &mut Vec::new());
            let radius = kernel.len() as i64 / 2;
            for (index, value) in got.iter().enumerate() {
                let (y, x, c) = (index / channels / width, index / channels % width, index % channels);
                let mut sum = 0.0_f64;
                for (i, a) in kernel.iter().enumerate() {
                    for (j, b) in kernel.iter().enumerate() {
                        let row = (y as i64 + i as i64 - radius).clamp(0, height as i64 - 1) as usize;
                        let column = (x as i64 + j as i64 - radius).clamp(0, width as i64 - 1) as usize;
                        sum += f64::from(*a) * f64::from(*b) * f64::from(image[(row * width + column) * channels + c]);
                    }
                }
                assert!((f64::from(*value) - sum).abs() < 1e-3, "{value} {sum}");
            }
        }
    }

    #[test]
    fn gaussians_have_their_deviation() {
        for deviation in [0.7, 1.0, 3.0] {
            let kernel = gaussian(deviation);
            let middle = (kernel.len() / 2) as f32;
            let variance: f32 = kernel.iter().enumerate().map(|(i, weight)| weight * (i as f32 - middle).powi(2)).sum();
            assert!((kernel.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!((variance.sqrt() / deviation - 1.0).abs() < 0.02, "{variance} {deviation}");
        }
    }
}
