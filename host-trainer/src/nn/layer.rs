//! The kinds of layers, with their geometry.
//!
//! Geometry is `bareconv`'s: padding is `[top, left, bottom, right]` and smaller than the (dilated) filter or window,
//! windows that do not fit are left out, and its shapes check the rules.

use bareconv::{
    BlurPadding, BlurPool2dShape, Conv2dShape, Coordinates, DepthwiseConv2dShape, Pool2dShape, Region, SliceShape,
    TransposedConv2dShape, UpsampleShape,
};

/// `[height, width, channels]`.
pub type Shape = [usize; 3];

/// The number of values of a shape.
pub(crate) fn size(shape: Shape) -> usize {
    shape.iter().product()
}

/// A convolution (cross-correlation). Weights: `[filter][height][width][channel of the group]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Number of filters, which is the number of output channels.
    pub filters: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance between the taps of a filter.
    pub dilation: [usize; 2],
    /// Rows and columns of zeros at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// The parts that channels and filters are divided into.
    pub groups: usize,
    /// Whether each output channel has a bias; useless before batch normalization.
    pub bias: bool,
}

impl Conv2d {
    /// A convolution of stride 1 with bias, without padding, dilation or groups.
    #[must_use]
    pub const fn new(filters: usize, filter: [usize; 2]) -> Self {
        Self { filters, filter, stride: [1, 1], dilation: [1, 1], padding: [0; 4], groups: 1, bias: true }
    }

    /// The same stride down and across.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The same dilation down and across.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation, dilation], ..self }
    }

    /// In so many groups.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Without biases.
    #[must_use]
    pub const fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The geometry over an input.
    #[must_use]
    pub const fn shape(&self, input: Shape) -> Conv2dShape {
        let Self { filters, filter, stride, dilation, padding, groups, .. } = *self;
        Conv2dShape { input, filters, filter, stride, dilation, padding, pool: [1, 1], groups }
    }
}

/// A depthwise convolution. Weights: `[height][width][output channel]`; output channel `c * multiplier + m` is filter `m`
/// of channel `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Filters for each channel.
    pub multiplier: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance between the taps of a filter.
    pub dilation: [usize; 2],
    /// Rows and columns of zeros at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Whether each output channel has a bias.
    pub bias: bool,
}

impl DepthwiseConv2d {
    /// One filter for each channel, stride 1, with bias, without padding or dilation.
    #[must_use]
    pub const fn new(filter: [usize; 2]) -> Self {
        Self { multiplier: 1, filter, stride: [1, 1], dilation: [1, 1], padding: [0; 4], bias: true }
    }

    /// The same stride down and across.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// Without biases.
    #[must_use]
    pub const fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The geometry over an input.
    #[must_use]
    pub const fn shape(&self, input: Shape) -> DepthwiseConv2dShape {
        let Self { multiplier, filter, stride, dilation, padding, .. } = *self;
        DepthwiseConv2dShape { input, multiplier, filter, stride, dilation, padding }
    }
}

/// A transposed convolution. Weights: `[filter][height][width][channel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransposedConv2d {
    /// Number of filters, which is the number of output channels.
    pub filters: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal distance that neighbouring input pixels have in the output.
    pub stride: [usize; 2],
    /// Rows and columns cut off from the output at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Rows and columns added at the bottom and the right; less than the stride.
    pub output_padding: [usize; 2],
    /// Whether each output channel has a bias.
    pub bias: bool,
}

impl TransposedConv2d {
    /// Stride 1, with bias, without padding.
    #[must_use]
    pub const fn new(filters: usize, filter: [usize; 2]) -> Self {
        Self { filters, filter, stride: [1, 1], padding: [0; 4], output_padding: [0; 2], bias: true }
    }

    /// The same stride down and across.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The same output padding at the bottom and the right.
    #[must_use]
    pub const fn output_padding(self, padding: usize) -> Self {
        Self { output_padding: [padding; 2], ..self }
    }

    /// Without biases.
    #[must_use]
    pub const fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The geometry over an input.
    #[must_use]
    pub const fn shape(&self, input: Shape) -> TransposedConv2dShape {
        let Self { filters, filter, stride, padding, output_padding, .. } = *self;
        TransposedConv2dShape { input, filters, filter, stride, padding, output_padding }
    }
}

/// Maximum or average pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Vertical and horizontal stride; less than the window makes windows overlap.
    pub stride: [usize; 2],
    /// Rows and columns added at the top, left, bottom and right.
    pub padding: [usize; 4],
}

impl Pool2d {
    /// Windows side by side, without padding.
    #[must_use]
    pub const fn new(window: [usize; 2]) -> Self {
        Self { window, stride: window, padding: [0; 4] }
    }

    /// The same stride down and across.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The geometry over an input.
    #[must_use]
    pub const fn shape(&self, input: Shape) -> Pool2dShape {
        let Self { window, stride, padding } = *self;
        Pool2dShape { input, window, stride, padding }
    }
}

/// What a node of a [`Network`](super::Network) computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A convolution.
    Conv2d(Conv2d),
    /// A depthwise convolution.
    DepthwiseConv2d(DepthwiseConv2d),
    /// A transposed convolution.
    TransposedConv2d(TransposedConv2d),
    /// A convolution whose every output pixel has filters of its own (`groups` is 1). Weights:
    /// `[row][column][filter][height][width][channel]`, biases `[row][column][filter]`.
    LocallyConnected2d(Conv2d),
    /// A fully connected layer over the flattened input. Weights: `[output][input]`.
    Dense {
        /// Number of outputs.
        outputs: usize,
        /// Whether each output has a bias.
        bias: bool,
    },
    /// The maximum over windows. The error goes to the first of equal values.
    MaxPool2d(Pool2d),
    /// The average over windows.
    AveragePool2d {
        /// The windows.
        pool: Pool2d,
        /// Whether padding counts as zeros (PyTorch's `count_include_pad`); TensorFlow Lite leaves it out.
        including_padding: bool,
    },
    /// The average over height and width.
    GlobalAveragePool,
    /// Spatial pyramid pooling: for each level `n` the maxima or averages of `n` x `n` bins, as
    /// `bareconv::SpatialPyramidPool`. The output is flat.
    SpatialPyramidPool {
        /// Bins along an axis, level by level.
        levels: Vec<usize>,
        /// Averages instead of maxima.
        average: bool,
    },
    /// Anti-aliased pooling (R. Zhang, *Making Convolutional Networks Shift-Invariant Again*, 2019).
    BlurPool2d {
        /// Height and width of the windows, of stride 1, whose maxima are blurred; 1 is the input itself.
        max: usize,
        /// Taps of the binomial filter, 2 to 7.
        taps: usize,
        /// Vertical and horizontal stride.
        stride: usize,
        /// What lies beside the border.
        padding: BlurPadding,
    },
    /// Batch normalization (S. Ioffe, C. Szegedy, 2015). Weights are the factors `gamma`, biases the summands `beta`; in
    /// training, mean and variance are those of the batch.
    BatchNorm {
        /// The share of the batch in the moving averages of mean and (unbiased) variance; 0.1 is usual.
        momentum: f32,
        /// Added to variances; 0.00001 or 0.001 are usual.
        epsilon: f32,
    },
    /// Local response normalization over channels: `x / (k + alpha * sum of x^2 over `size` channels)^beta`. `alpha` is
    /// not divided by `size`, as PyTorch does.
    LocalResponse {
        /// Channels that take part, an odd number.
        size: usize,
        /// Factor of the sum.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Summand.
        k: f32,
    },
    /// In training, sets values to 0 with this probability and divides the others by 1 less it (N. Srivastava et al.,
    /// 2014). In inference nothing.
    Dropout {
        /// The probability, below 1.
        rate: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `slope * x` below.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// `x` above zero, `slope * x` below, with a trained slope for each channel.
    PRelu,
    /// `x * relu6(x + 3) / 6`.
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x)` over the sum of them, of each pixel's channels.
    Softmax,
    /// The sum of two inputs; the second's height and width may be 1, and are repeated.
    Add,
    /// The first input less the second, whose height and width may be 1, and are repeated.
    Subtract,
    /// The product of two inputs; the second's height and width may be 1, and are repeated.
    Multiply,
    /// Inputs one after the other along an axis: 0 height, 1 width, 2 channels.
    Concatenate {
        /// The axis.
        axis: usize,
    },
    /// Nearest-neighbour resizing, up or down, as `bareconv::Upsample`. An input pixel's error is the sum of those of its
    /// copies.
    Upsample {
        /// Height and width of the output.
        size: [usize; 2],
        /// Where the centres of pixels lie.
        coordinates: Coordinates,
    },
    /// Zeros around the input, of channels too: with a [`Layer::Slice`] of every second pixel, what a residual connection
    /// without weights needs where channels become more (K. He et al., *Deep Residual Learning for Image Recognition*, 2015,
    /// option A). What a convolution or pooling pads by itself costs less.
    Pad {
        /// Rows, columns and channels before.
        before: [usize; 3],
        /// Rows, columns and channels after.
        after: [usize; 3],
    },
    /// A part of the input: along each axis every `stride`-th value from `begin` to before `end`, as
    /// `bareconv::SliceShape::new` counts them.
    Slice {
        /// The first row, column and channel; negative ones count from behind.
        begin: [isize; 3],
        /// What is behind the last ones; `isize::MAX` leaves none out.
        end: [isize; 3],
        /// From one to the next; negative ones go backwards.
        stride: [isize; 3],
    },
    /// The same values in another shape.
    Reshape {
        /// Height, width and channels.
        shape: Shape,
    },
    /// The same values as `[1, 1, all]`. A dense layer does not need it.
    Flatten,
    /// Rounds to the grid of this activation, with the straight-through estimator as its gradient. Without a grid it
    /// only notes the range. See [`crate::quantize`].
    FakeQuantize,
}

impl From<Conv2d> for Layer {
    fn from(layer: Conv2d) -> Self {
        Self::Conv2d(layer)
    }
}

impl From<DepthwiseConv2d> for Layer {
    fn from(layer: DepthwiseConv2d) -> Self {
        Self::DepthwiseConv2d(layer)
    }
}

impl From<TransposedConv2d> for Layer {
    fn from(layer: TransposedConv2d) -> Self {
        Self::TransposedConv2d(layer)
    }
}

/// How many numbers a layer has: trained weights and biases, and moving averages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub weights: usize,
    pub bias: usize,
    pub state: usize,
}

impl Layer {
    /// A dense layer with biases.
    #[must_use]
    pub const fn dense(outputs: usize) -> Self {
        Self::Dense { outputs, bias: true }
    }

    /// Batch normalization with a momentum of 0.1 and an epsilon of 0.00001.
    #[must_use]
    pub const fn batch_norm() -> Self {
        Self::BatchNorm { momentum: 0.1, epsilon: 1e-5 }
    }

    /// What nodes of this kind are called, with a number behind it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Conv2d(_) => "conv",
            Self::DepthwiseConv2d(_) => "depthwise",
            Self::TransposedConv2d(_) => "transposed",
            Self::LocallyConnected2d(_) => "local",
            Self::Dense { .. } => "dense",
            Self::MaxPool2d(_) => "max_pool",
            Self::AveragePool2d { .. } => "average_pool",
            Self::GlobalAveragePool => "global_average",
            Self::SpatialPyramidPool { .. } => "pyramid",
            Self::BlurPool2d { .. } => "blur_pool",
            Self::BatchNorm { .. } => "batch_norm",
            Self::LocalResponse { .. } => "local_response",
            Self::Dropout { .. } => "dropout",
            Self::Relu => "relu",
            Self::Relu6 => "relu6_",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::PRelu => "prelu",
            Self::HardSwish => "hard_swish",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Concatenate { .. } => "concatenate",
            Self::Upsample { .. } => "upsample",
            Self::Pad { .. } => "pad",
            Self::Slice { .. } => "slice",
            Self::Reshape { .. } => "reshape",
            Self::Flatten => "flatten",
            Self::FakeQuantize => "fake_quantize",
        }
    }

    /// How many inputs it takes.
    pub(super) const fn inputs(&self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Add | Self::Subtract | Self::Multiply => 2..=2,
            Self::Concatenate { .. } => 1..=usize::MAX,
            _ => 1..=1,
        }
    }

    /// The shape of its output, or why its inputs do not fit.
    pub(super) fn output(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let require = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(rule.to_owned()) };
        require(
            self.inputs().contains(&inputs.len()),
            match self.inputs().end() {
                1 => "it takes one input",
                2 => "it takes two inputs",
                _ => "it takes at least one input",
            },
        )?;
        let input = inputs[0];
        let rule = |error: bareconv::ShapeError| error.message().to_owned();
        match *self {
            Self::Conv2d(conv) => conv.shape(input).check().map_err(rule).map(|()| conv.shape(input).output()),
            Self::LocallyConnected2d(conv) => {
                require(conv.groups == 1, bareconv::ShapeError::Unshared.message())?;
                conv.shape(input).check().map_err(rule).map(|()| conv.shape(input).output())
            }
            Self::DepthwiseConv2d(conv) => conv.shape(input).check().map_err(rule).map(|()| conv.shape(input).output()),
            Self::TransposedConv2d(conv) => {
                conv.shape(input).check().map_err(rule).map(|()| conv.shape(input).output())
            }
            Self::Dense { outputs, .. } => {
                Conv2dShape::dense(size(input), outputs).check().map_err(rule).map(|()| [1, 1, outputs])
            }
            Self::MaxPool2d(pool) | Self::AveragePool2d { pool, .. } => {
                pool.shape(input).check().map_err(rule).map(|()| pool.shape(input).output())
            }
            Self::GlobalAveragePool => Ok([1, 1, input[2]]),
            Self::SpatialPyramidPool { ref levels, .. } => {
                require(!levels.is_empty() && !levels.contains(&0), "a pyramid has levels of at least 1")?;
                require(
                    levels.iter().all(|&level| level <= input[0] && level <= input[1]),
                    bareconv::ShapeError::PyramidLevel.message(),
                )?;
                Ok([1, 1, levels.iter().map(|level| level * level).sum::<usize>() * input[2]])
            }
            Self::BlurPool2d { max, taps, stride, padding } => {
                let shape = BlurPool2dShape { input, max, taps, stride, padding };
                shape.check().map_err(rule).map(|()| shape.output())
            }
            Self::BatchNorm { momentum, epsilon } => {
                require((0.0..=1.0).contains(&momentum), "the momentum is between 0 and 1")?;
                require(epsilon > 0.0 && epsilon.is_finite(), "epsilon is above 0")?;
                Ok(input)
            }
            Self::LocalResponse { size, alpha, beta, k } => {
                require(
                    size % 2 == 1 && size < 256,
                    "a local response is that of an odd number of channels below 256",
                )?;
                require(
                    alpha >= 0.0 && alpha.is_finite() && beta.is_finite() && k > 0.0 && k.is_finite(),
                    "alpha is not negative, k is above 0, and all are finite",
                )?;
                Ok(input)
            }
            Self::Dropout { rate } => {
                require((0.0..1.0).contains(&rate), "the rate is at least 0 and below 1").map(|()| input)
            }
            Self::LeakyRelu { slope } => require(slope.is_finite(), "the slope is finite").map(|()| input),
            Self::Add | Self::Subtract | Self::Multiply => {
                let repeated = [1, 1, input[2]];
                require(
                    inputs[1] == input || inputs[1] == repeated,
                    "the second input has the first one's shape, or its channels and a height and width of 1",
                )?;
                Ok(input)
            }
            Self::Concatenate { axis } => {
                require(axis < 3, "the axis is 0, 1 or 2")?;
                let mut output = input;
                output[axis] = inputs.iter().map(|input| input[axis]).sum();
                for shape in inputs {
                    let mut whole = *shape;
                    whole[axis] = output[axis];
                    require(whole == output, "all inputs have the same shape but for the axis")?;
                }
                Ok(output)
            }
            Self::Upsample { size, coordinates } => {
                UpsampleShape::new(input, size, coordinates).map_err(rule).map(|shape| shape.output())
            }
            Self::Pad { before, after } => {
                let output = [0, 1, 2].map(|i| before[i].saturating_add(input[i]).saturating_add(after[i]));
                Region::new(input, before, output).map_err(rule).map(|_| output)
            }
            Self::Slice { begin, end, stride } => {
                SliceShape::new(input, begin, end, stride).map_err(rule).map(|shape| shape.output())
            }
            Self::Reshape { shape } => {
                require(size(shape) == size(input), "a reshaped tensor has as many values").map(|()| shape)
            }
            Self::Flatten => Ok([1, 1, size(input)]),
            Self::Relu
            | Self::Relu6
            | Self::PRelu
            | Self::HardSwish
            | Self::HardSigmoid
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softmax
            | Self::FakeQuantize => Ok(input),
        }
    }

    /// How many numbers it has.
    pub(super) fn numbers(&self, input: Shape, output: Shape) -> Numbers {
        let with_bias = |weights, bias: bool, count| Numbers { weights, bias: if bias { count } else { 0 }, state: 0 };
        match self {
            Self::Conv2d(conv) => with_bias(conv.filters * conv.shape(input).filter_len(), conv.bias, conv.filters),
            Self::DepthwiseConv2d(conv) => with_bias(conv.filter[0] * conv.filter[1] * output[2], conv.bias, output[2]),
            Self::TransposedConv2d(conv) => {
                with_bias(conv.filters * conv.shape(input).filter_len(), conv.bias, conv.filters)
            }
            Self::LocallyConnected2d(conv) => {
                with_bias(size(output) * conv.shape(input).filter_len(), conv.bias, size(output))
            }
            Self::Dense { outputs, bias } => with_bias(size(input) * outputs, *bias, *outputs),
            Self::BatchNorm { .. } => Numbers { weights: input[2], bias: input[2], state: 2 * input[2] },
            Self::PRelu => Numbers { weights: input[2], bias: 0, state: 0 },
            _ => Numbers::default(),
        }
    }

    /// Whether it is no more than a factor for each channel, as batch normalization's: a depthwise convolution of one pixel.
    /// Neither weight decay nor pruning is meant for those.
    pub(crate) fn only_scales(&self) -> bool {
        matches!(self, Self::DepthwiseConv2d(conv) if conv.filter == [1, 1] && conv.multiplier == 1)
    }

    /// Whether it has weights that multiply its inputs: what initialization, weight decay and quantization of weights
    /// are about.
    #[must_use]
    pub const fn has_filters(&self) -> bool {
        matches!(
            self,
            Self::Conv2d(_)
                | Self::DepthwiseConv2d(_)
                | Self::TransposedConv2d(_)
                | Self::LocallyConnected2d(_)
                | Self::Dense { .. }
        )
    }
}
