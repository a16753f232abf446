use crate::quant::Quantization;

/// What local response normalization raises its sum to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Power {
    /// 0.5: the square root.
    Half,
    /// 0.75: the square root times its own square root.
    ThreeQuarters,
    /// 1.
    One,
    /// Any other, by [`libm::powf`].
    Other(f32),
}

/// Local response normalization over channels (A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with
/// Deep Convolutional Neural Networks", 2012): `x[c] / (k + alpha * sum of x[j]^2)^beta`, over the channels `j` from
/// `c - size / 2` to `c + size / 2` that there are.
///
/// `alpha` is not divided by `size`, as PyTorch does; give a `size`-th of PyTorch's. Square roots are rounded to nearest
/// on every core, and [`libm::powf`] is one program for all of them, so that the bits are the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LocalResponse {
    radius: usize,
    alpha: f32,
    power: Power,
    k: f32,
}

impl LocalResponse {
    /// The normalization of AlexNet: 5 channels, alpha 0.0001, beta 0.75, k 2.
    pub const ALEXNET: Self = Self::new(5, 1e-4, 0.75, 2.0);

    /// A normalization over `size` channels, an odd number.
    ///
    /// # Panics
    /// Where `size` is even or above 255, `alpha` is negative, `k` is not positive, or a number is not finite. In a
    /// constant this is a compile error.
    pub const fn new(size: usize, alpha: f32, beta: f32, k: f32) -> Self {
        assert!(size % 2 == 1 && size < 256, "a local response is that of an odd number of channels, at most 255");
        assert!(alpha >= 0.0 && alpha.is_finite() && beta.is_finite(), "alpha and beta are finite, alpha not negative");
        assert!(k > 0.0 && k.is_finite(), "k must be positive, so that nothing is divided by zero");
        let power = if beta == 0.5 {
            Power::Half
        } else if beta == 0.75 {
            Power::ThreeQuarters
        } else if beta == 1.0 {
            Power::One
        } else {
            Power::Other(beta)
        };
        Self { radius: size / 2, alpha, power, k }
    }

    /// How many channels on each side take part.
    pub const fn radius(&self) -> usize {
        self.radius
    }

    /// `k + alpha * squares` and `beta`.
    #[cfg(feature = "micromath")]
    pub(crate) fn power(&self, squares: f32) -> (f32, f32) {
        let beta = match self.power {
            Power::Half => 0.5,
            Power::ThreeQuarters => 0.75,
            Power::One => 1.0,
            Power::Other(beta) => beta,
        };
        (self.k + self.alpha * squares, beta)
    }

    /// `(k + alpha * squares)^beta`, each operation rounded.
    pub(crate) fn divisor(&self, alpha: f32, squares: f32) -> f32 {
        let base = self.k + alpha * squares;
        match self.power {
            Power::Half => libm::sqrtf(base),
            Power::ThreeQuarters => {
                let root = libm::sqrtf(base);
                root * libm::sqrtf(root)
            }
            Power::One => base,
            Power::Other(beta) => libm::powf(base, beta),
        }
    }

    /// The normalized value of one channel in `f32`, `squares` being the sum.
    pub(crate) fn apply(&self, x: f32, squares: f32) -> f32 {
        x / self.divisor(self.alpha, squares)
    }
}

/// The channels that take part in the normalization of `channel`.
fn neighbours(radius: usize, channel: usize, channels: usize) -> core::ops::Range<usize> {
    channel.saturating_sub(radius)..(channel + radius + 1).min(channels)
}

/// Local response normalization in `f32`, of pixels of `channels` values: [`LocalResponse`].
///
/// The sum begins with 0.0 and takes the squares in the order of channels, each rounded before it is added. Then come
/// `alpha * sum`, `k +` it, the power (0.5: a square root `r`; 0.75: `r * sqrt(r)`; 1: itself; otherwise
/// [`libm::powf`]), and one division, each rounded.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn local_response_f32(norm: &LocalResponse, channels: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (pixel, out) in input.chunks(channels).zip(output.chunks_mut(channels)) {
        for (channel, out) in out.iter_mut().enumerate() {
            let squares = neighbours(norm.radius, channel, channels).fold(0.0, |sum, j| sum + pixel[j] * pixel[j]);
            *out = norm.apply(pixel[channel], squares);
        }
    }
}

/// Local response normalization in int8, from one quantization to another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LocalResponseInt8 {
    /// The normalization of real numbers.
    norm: LocalResponse,
    /// `alpha * from.scale^2`, computed in `f64`: what squares of steps count.
    alpha: f32,
    /// `from.scale / to.scale`, computed in `f64`.
    ratio: f32,
    /// The input's zero point.
    from: i32,
    /// The output's zero point.
    to: i32,
}

impl LocalResponseInt8 {
    /// The parameters of [`local_response_i8`].
    ///
    /// # Panics
    /// Where a scale is not positive, or the parameters that follow from them are not finite. In a constant this is a
    /// compile error.
    pub const fn new(norm: LocalResponse, from: Quantization, to: Quantization) -> Self {
        assert!(from.scale > 0.0 && to.scale > 0.0, "scales must be positive");
        let alpha = (norm.alpha as f64 * from.scale as f64 * from.scale as f64) as f32;
        let ratio = (from.scale as f64 / to.scale as f64) as f32;
        assert!(alpha.is_finite() && ratio.is_finite(), "scales and their ratio must be finite");
        Self { norm, alpha, ratio, from: from.zero_point as i32, to: to.zero_point as i32 }
    }

    /// How many channels on each side take part.
    pub const fn radius(&self) -> usize {
        self.norm.radius
    }

    /// Steps from the input's zero point.
    pub(crate) fn steps(&self, x: i8) -> i32 {
        x as i32 - self.from
    }

    /// The normalized value of one channel, `squares` being the sum of squared steps.
    pub(crate) fn apply(&self, steps: i32, squares: i32) -> i8 {
        let real = steps as f32 * self.ratio / self.norm.divisor(self.alpha, squares as f32);
        // A NaN, which takes infinities, becomes 0.
        let rounded = libm::roundf(real).clamp(-512.0, 512.0) as i32;
        (rounded + self.to).clamp(-128, 127) as i8
    }
}

/// Local response normalization in int8, of pixels of `channels` values.
///
/// The power is no function of 256 values, so that it is computed in `f32`, in one stated order: with `d` the steps from
/// the input's zero point, `s` the sum of `d^2`, exact in `f32`, too; `k + (alpha * from.scale^2) * s`; its
/// power as in [`local_response_f32`]; `d * (from.scale / to.scale)`, divided by the power, rounded to the nearest integer,
/// halves away from zero; plus the output's zero point; saturated. The factors in parentheses are computed in `f64` and
/// rounded to `f32`; every other operation is rounded to `f32`. TensorFlow Lite has the operator in `f32` only.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn local_response_i8(norm: &LocalResponseInt8, channels: usize, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (pixel, out) in input.chunks(channels).zip(output.chunks_mut(channels)) {
        for (channel, out) in out.iter_mut().enumerate() {
            let squares = neighbours(norm.radius(), channel, channels).map(|j| norm.steps(pixel[j]).pow(2)).sum();
            *out = norm.apply(norm.steps(pixel[channel]), squares);
        }
    }
}
