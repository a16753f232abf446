use super::Conv2dShape;

/// The geometry of a 1-D convolution over a signal: a time series, the frames of speech.
///
/// A signal of `length` steps of `channels` values is a tensor of height 1, and its convolution the 2-D convolution of
/// a filter of height 1: [`to_2d`](Self::to_2d). Step `t` of the output is
///
/// ```text
/// output[t][o] = bias[o] + sum over k < filter, c < channels of
///                input[t * stride + k * dilation - padding[0]][c] * weights[o][k][c]
/// ```
///
/// ```
/// use bareconv::{Activation, Conv1dShape, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
///
/// // The difference of neighbouring steps; the output at a step sees no later one.
/// const SHAPE: Conv2dShape = Conv1dShape::new([6, 1], 1, 2).causal().to_2d();
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static LAYER: Conv2d<Tensor<i8, 1, 6, 1>, Tensor<i8, 1, 6, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
///     Conv2d::int8(SHAPE, Int8Filters::new(&[[[[-1], [1]]]], &[0], &[1.0], Q, Q, Activation::Identity));
///
/// let signal = Tensor([[[3i8], [5], [5], [9], [0], [1]]]);
/// let mut output = Tensor::filled(0);
/// LAYER.run(signal.view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
/// assert_eq!(output, Tensor([[[3], [2], [0], [4], [-9], [1]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Conv1dShape {
    /// Steps and channels of the input.
    pub input: [usize; 2],
    /// The number of filters, which is the number of output channels.
    pub filters: usize,
    /// Steps of a filter.
    pub filter: usize,
    /// Steps from one output to the next.
    pub stride: usize,
    /// Steps from one tap of a filter to the next; 1 is a plain filter.
    pub dilation: usize,
    /// Steps of zeros before and after the signal.
    pub padding: [usize; 2],
    /// Steps of the maximum pooling of the output, which is also its stride; 1 is no pooling.
    pub pool: usize,
}

impl Conv1dShape {
    /// A convolution of stride 1 without padding, dilation or pooling, over an input of `[steps, channels]`.
    pub const fn new(input: [usize; 2], filters: usize, filter: usize) -> Self {
        Self { input, filters, filter, stride: 1, dilation: 1, padding: [0; 2], pool: 1 }
    }

    /// With this stride.
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With this dilation.
    pub const fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// With the same zero padding on both sides.
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// With zeros before the signal only, so many that an output sees its own step and earlier ones, and, at stride 1,
    /// the output is as long as the input. Set the dilation before.
    ///
    /// This is the causal convolution of WaveNet (van den Oord et al., 2016), <https://arxiv.org/abs/1609.03499>.
    pub const fn causal(self) -> Self {
        Self { padding: [self.filter.saturating_sub(1).saturating_mul(self.dilation), 0], ..self }
    }

    /// With maximum pooling of the output over `size` steps side by side.
    pub const fn max_pool(self, size: usize) -> Self {
        Self { pool: size, ..self }
    }

    /// The same as a 2-D convolution of height 1: what layers take. It checks the rules.
    pub const fn to_2d(self) -> Conv2dShape {
        let [steps, channels] = self.input;
        Conv2dShape {
            stride: [1, self.stride],
            dilation: [1, self.dilation],
            padding: [0, self.padding[0], 0, self.padding[1]],
            pool: [1, self.pool],
            ..Conv2dShape::new([1, steps, channels], self.filters, [1, self.filter])
        }
    }
}
