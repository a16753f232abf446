use crate::quant::Quantization;
use crate::shape::ShapeError;

/// Batch normalization at inference, `gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel, and how it
/// is folded into the convolution before it (S. Ioffe, C. Szegedy, 2015).
///
/// `mean` and `variance` are those of the training set. A trainer commonly tracks them by a moving average over
/// batches, `running = (1 - momentum) * running + momentum * batch`, with a momentum about 0.1 (Keras calls the other
/// factor, about 0.99, momentum), the variance of a batch of `n` values being unbiased: the sum of squared distances to
/// the batch's mean, divided by `n - 1`.
///
/// # Folding
/// With `scale = gamma / sqrt(variance + epsilon)`, in `f64` ([`scale`](Self::scale)), a convolution of weights `w` and
/// biases `b` followed by the normalization is the convolution of
/// * weights `w * scale`, the scale being that of the weight's output channel,
/// * biases `(b - mean) * scale + beta`,
///
/// each computed in `f64` and rounded to `f32` once, before quantization. In real numbers both are equal. In `f32` they
/// have the same bits where every scale is a power of two, or its negative, `mean` and `beta` are 0, and nothing
/// overflows or becomes subnormal; otherwise they differ by rounding. A folded normalization costs nothing, so that the
/// layers of batch normalization are for networks in which something lies between the convolution and it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormParameters<'a> {
    /// The factor of each channel.
    pub gamma: &'a [f32],
    /// What is added to each channel.
    pub beta: &'a [f32],
    /// The mean of each channel.
    pub mean: &'a [f32],
    /// The variance of each channel.
    pub variance: &'a [f32],
    /// Added to variances.
    pub epsilon: f32,
}

impl BatchNormParameters<'_> {
    /// Checks that each channel has its parameters, that they are finite, and that every `variance + epsilon` is above 0.
    ///
    /// # Errors
    /// [`ShapeError::Channels`] and [`ShapeError::Scale`].
    pub const fn check(&self, channels: usize) -> Result<(), ShapeError> {
        if self.gamma.len() != channels
            || self.beta.len() != channels
            || self.mean.len() != channels
            || self.variance.len() != channels
        {
            return Err(ShapeError::Channels);
        }
        let mut c = 0;
        while c < channels {
            let finite = self.gamma[c].is_finite() && self.beta[c].is_finite() && self.mean[c].is_finite();
            let variance = self.variance[c] as f64 + self.epsilon as f64;
            if !finite || !variance.is_finite() || variance <= 0.0 {
                return Err(ShapeError::Scale);
            }
            c += 1;
        }
        Ok(())
    }

    /// The factor of a channel: `gamma / sqrt(variance + epsilon)`, in `f64`.
    ///
    /// # Panics
    /// Where the channel has no parameters.
    pub const fn scale(&self, channel: usize) -> f64 {
        self.gamma[channel] as f64 / sqrt(self.variance[channel] as f64 + self.epsilon as f64)
    }

    /// What is added to a channel: `beta - mean * scale`, in `f64`.
    ///
    /// # Panics
    /// Where the channel has no parameters.
    pub const fn shift(&self, channel: usize) -> f64 {
        self.beta[channel] as f64 - self.mean[channel] as f64 * self.scale(channel)
    }

    /// The bias of an output channel, folded.
    ///
    /// # Panics
    /// Where the channel has no parameters.
    pub const fn fold_bias(&self, channel: usize, bias: f32) -> f32 {
        ((bias as f64 - self.mean[channel] as f64) * self.scale(channel) + self.beta[channel] as f64) as f32
    }

    /// Folds the normalization into filters, which have the output channel first, and biases, one for each.
    ///
    /// ```
    /// use bareconv::reference::BatchNormParameters;
    ///
    /// const NORM: BatchNormParameters<'static> = BatchNormParameters {
    ///     gamma: &[1.0, 3.0], beta: &[0.5, 0.0], mean: &[2.0, 1.0], variance: &[4.0, 9.0], epsilon: 0.0,
    /// };
    /// const FOLDED: ([f32; 4], [f32; 2]) = {
    ///     let (mut filters, mut bias) = ([1.0, 2.0, 3.0, 4.0], [6.0, 1.5]);
    ///     assert!(NORM.fold(&mut filters, &mut bias).is_ok());
    ///     (filters, bias)
    /// };
    /// assert_eq!(FOLDED, ([0.5, 1.0, 3.0, 4.0], [2.5, 0.5]));
    /// ```
    ///
    /// # Errors
    /// As [`check`](Self::check) for as many channels as there are biases; [`ShapeError::Filters`] where the filters are
    /// not as many as the biases.
    pub const fn fold(&self, filters: &mut [f32], bias: &mut [f32]) -> Result<(), ShapeError> {
        let channels = bias.len();
        if let Err(error) = self.check(channels) {
            return Err(error);
        }
        if channels == 0 || !filters.len().is_multiple_of(channels) {
            return Err(ShapeError::Filters);
        }
        let len = filters.len() / channels;
        let mut c = 0;
        while c < channels {
            let scale = self.scale(c);
            let mut i = c * len;
            while i < (c + 1) * len {
                filters[i] = (filters[i] as f64 * scale) as f32;
                i += 1;
            }
            bias[c] = self.fold_bias(c, bias[c]);
            c += 1;
        }
        Ok(())
    }

    /// The same for filters that have the output channel last, as those of a depthwise convolution in TensorFlow Lite.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    pub const fn fold_channel_last(&self, filters: &mut [f32], bias: &mut [f32]) -> Result<(), ShapeError> {
        let channels = bias.len();
        if let Err(error) = self.check(channels) {
            return Err(error);
        }
        if channels == 0 || !filters.len().is_multiple_of(channels) {
            return Err(ShapeError::Filters);
        }
        let mut c = 0;
        while c < channels {
            let scale = self.scale(c);
            let mut i = c;
            while i < filters.len() {
                filters[i] = (filters[i] as f64 * scale) as f32;
                i += channels;
            }
            bias[c] = self.fold_bias(c, bias[c]);
            c += 1;
        }
        Ok(())
    }

    /// The shift that all channels share in int8: the largest of 1 to 20 for which the channel of the largest factor has
    /// a multiplier below 2^21.
    ///
    /// # Errors
    /// [`ShapeError::Scale`] where a factor is 2^20 or more, and as [`check`](Self::check).
    pub const fn requantization_shift(&self, from: Quantization, to: Quantization) -> Result<u32, ShapeError> {
        if let Err(error) = self.check(self.gamma.len()) {
            return Err(error);
        }
        if !(from.scale > 0.0 && to.scale > 0.0 && from.scale.is_finite() && to.scale.is_finite()) {
            return Err(ShapeError::Scale);
        }
        let (mut shift, mut c) = (20, 0);
        while c < self.gamma.len() {
            let factor = self.scale(c) * from.scale as f64 / to.scale as f64;
            let factor = if factor < 0.0 { -factor } else { factor };
            while factor * (1u32 << shift) as f64 >= (1 << 21) as f64 {
                if shift == 1 {
                    return Err(ShapeError::Scale);
                }
                shift -= 1;
            }
            c += 1;
        }
        Ok(shift)
    }

    /// Multiplier and offset of a channel in int8.
    ///
    /// With `factor = scale * from.scale / to.scale`, the multiplier is `factor * 2^shift`, the offset
    /// `(self.shift / to.scale - factor * from.zero_point + to.zero_point) * 2^shift`; both are computed in `f64` and
    /// rounded to integers, halves away from zero. Half a unit of the result, `2^(shift - 1)`, is added to the offset,
    /// which is then clamped to 2^30 either way: beyond, every output saturates.
    ///
    /// # Panics
    /// Where the channel has no parameters, or the shift is above 30.
    pub const fn requantization(&self, channel: usize, from: Quantization, to: Quantization, shift: u32) -> [i32; 2] {
        let unit = (1u32 << shift) as f64;
        let factor = self.scale(channel) * from.scale as f64 / to.scale as f64;
        let zero = self.shift(channel) / to.scale as f64 - factor * from.zero_point as f64 + to.zero_point as f64;
        let offset = round(zero * unit).saturating_add((1i64 << shift) / 2);
        let limit = 1 << 30;
        let offset = if offset > limit {
            limit
        } else if offset < -limit {
            -limit
        } else {
            offset
        };
        [round(factor * unit) as i32, offset as i32]
    }
}

/// The nearest integer, halves away from zero; saturated.
const fn round(real: f64) -> i64 {
    (if real < 0.0 { real - 0.5 } else { real + 0.5 }) as i64
}

/// The square root of a positive normal number, rounded to nearest: [`libm::sqrt`] in constant evaluation.
const fn sqrt(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    let significand = ((bits & ((1 << 52) - 1)) | (1 << 52)) as u128;
    // x = significand * 2^exponent, with an even exponent.
    let odd = exponent & 1;
    // In 2^53..2^54: one bit more than a result has. The root of a number with 54 zeros at its end is no odd integer, so
    // that the last bit alone says how to round.
    let root = (significand << (54 + odd)).isqrt() as u64;
    let power = (exponent - odd - 54) / 2 + 1;
    ((root >> 1) + (root & 1)) as f64 * f64::from_bits(((power + 1023) as u64) << 52)
}

/// Batch normalization in `f32`: `x * scale + shift`, the product rounded before the sum; the parameters of a channel
/// are [`BatchNormParameters::scale`] and [`shift`](BatchNormParameters::shift), rounded to `f32`.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn batch_norm_f32(scales: &[f32], shifts: &[f32], input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (i, (out, &x)) in output.iter_mut().zip(input).enumerate() {
        let channel = i % scales.len();
        *out = x * scales[channel] + shifts[channel];
    }
}

/// Batch normalization in int8, from one quantization to another: `floor((x * multiplier + offset) / 2^shift)`, saturated
/// to int8; the parameters of a channel are [`BatchNormParameters::requantization`].
///
/// One rounding, halves upwards. Multipliers are at most 2^21 and offsets at most 2^30 either way: no sum overflows.
/// TensorFlow Lite has no such operator; it writes a normalization that is not folded as `MUL` and `ADD`.
///
/// # Panics
/// Where the slices' lengths differ.
pub fn batch_norm_i8(parameters: &[[i32; 2]], shift: u32, input: &[i8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "output length");
    for (i, (out, &x)) in output.iter_mut().zip(input).enumerate() {
        let [multiplier, offset] = parameters[i % parameters.len()];
        *out = ((x as i32 * multiplier + offset) >> shift).clamp(-128, 127) as i8;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn roots_are_rounded_to_nearest() {
        let mut x = 1.1754943508222875e-38f64; // the smallest normal f32
        while x < 1e39 {
            for x in [x, x * 2.0, x * 1.5, x.to_bits().wrapping_add(1).to_be() as f64] {
                assert_eq!(super::sqrt(x).to_bits(), libm::sqrt(x).to_bits(), "{x}");
            }
            x *= 1.000_731;
        }
        assert_eq!([super::sqrt(4.0), super::sqrt(1.0), super::sqrt(0.25), super::sqrt(9.0)], [2.0, 1.0, 0.5, 3.0]);
    }
}
