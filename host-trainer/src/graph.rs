//! The intermediate form of a network: what every importer makes, what every pass transforms, what is planned, run on
//! the PC and written as Rust.
//!
//! A [`Graph`] is a list of [`Node`]s in an order in which they can run. Each computes [`Value`]s from values; all
//! numbers that are known (weights, biases, slopes) are part of the operator, except a constant operand of an
//! arithmetic node, which is a value with [`Value::constant`]. Its terms are `bareconv`'s: shapes are
//! `[height, width, channels]`, weights are in the library's canonical order, padding is explicit.

mod check;
mod file;
pub mod optimize;

pub use check::GraphError;
pub(crate) use check::MOST_PHASES;
pub use file::{FILE_ENDING, FileError};

use bareconv::{
    Activation, Conv2dShape, DepthwiseConv2dShape, Int16Filters, Pool2dShape, Quantization, TransposedConv2dShape,
};
use serde::{Deserialize, Serialize};

/// `[height, width, channels]`.
pub type Shape = [usize; 3];

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Its name, for people.
    pub name: String,
    /// What it was made from, for people: the file's name and format.
    pub source: String,
    /// How sums are rounded: what gives the bits of the network's origin.
    pub rounding: Rounding,
    /// All values, whatever their place.
    pub values: Vec<Value>,
    /// What computes them, in an order in which it can run.
    pub nodes: Vec<Node>,
    /// The network's inputs.
    pub inputs: Vec<ValueId>,
    /// The network's outputs.
    pub outputs: Vec<ValueId>,
}

/// The place of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValueId(pub usize);

/// Which of the library's rounding modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// [`bareconv::DoubleRounding`] for int8 and for int16 with 32-bit biases, [`bareconv::ReducedRounding`] for int16 with
    /// biases of 64 bits: the bits of TensorFlow Lite Micro.
    #[serde(rename = "tensorflow_lite_micro")]
    TensorFlowLiteMicro,
    /// [`bareconv::SingleRounding`].
    Single,
    /// [`bareconv::PowerOfTwo`].
    PowerOfTwo,
}

/// A tensor of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Its name in the file; unique, but for people only.
    pub name: String,
    /// Its shape as the library has it: without the batch, of three dimensions.
    pub shape: Shape,
    /// Its dimensions in the file, the batch included.
    pub dimensions: Vec<usize>,
    /// What it holds.
    pub element: Element,
    /// What it holds always, if that is known.
    pub constant: Option<Numbers>,
}

/// The type of a value's elements and what they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Element {
    /// int8.
    Int8(#[serde(with = "file::QuantizationForm")] Quantization),
    /// int16 of this scale; the zero point is 0.
    Int16(f32),
    /// Single precision.
    F32,
}

/// Numbers of some type, in the order of the value's or operator's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Numbers {
    /// int8.
    Int8(#[serde(with = "file::packed")] Vec<i8>),
    /// int16.
    Int16(#[serde(with = "file::packed")] Vec<i16>),
    /// Single precision.
    F32(#[serde(with = "file::packed")] Vec<f32>),
}

/// An operator and where its inputs and outputs are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, unique, for people: from the name of its output.
    pub name: String,
    /// Its place in the file, for errors: `operator 7 (CONV_2D)`.
    pub place: String,
    /// What it computes.
    pub operator: Operator,
    /// Its inputs; how many, each operator says.
    pub inputs: Vec<ValueId>,
    /// Its output.
    pub output: ValueId,
}

/// The weights of a convolution or dense layer: filters, as many as there are output channels. A locally connected layer has
/// as many as there are output values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Weights {
    /// int8 weights for int8 or int16 activations.
    Int8 {
        /// In the library's canonical order for the operator.
        #[serde(with = "file::packed")]
        weights: Vec<i8>,
        /// A scale for each filter, or one for all.
        scales: Scales,
        /// A bias for each filter, in units of input scale * weight scale. Those of 64 bits are here if they fit.
        #[serde(with = "file::packed")]
        bias: Vec<i32>,
        /// Whether the file has biases of 64 bits (int16 activations only): TensorFlow Lite Micro then rounds otherwise.
        wide_bias: bool,
    },
    /// int4 weights for int8 activations, of convolutions and dense layers: the bits of the same weights in int8, in half
    /// the flash.
    Int4 {
        /// In the library's canonical order for the operator, each in -8..=7.
        #[serde(with = "file::packed")]
        weights: Vec<i8>,
        /// A scale for each output channel.
        #[serde(with = "file::packed")]
        scales: Vec<f32>,
        /// A bias for each output channel, in units of input scale * weight scale.
        #[serde(with = "file::packed")]
        bias: Vec<i32>,
    },
    /// Single precision.
    F32 {
        /// In the library's canonical order for the operator.
        #[serde(with = "file::packed")]
        weights: Vec<f32>,
        /// A bias for each filter.
        #[serde(with = "file::packed")]
        bias: Vec<f32>,
    },
}

impl Weights {
    /// Bytes of weights and biases in their own types; of int4 weights two to a byte.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Int8 { weights, bias, .. } => weights.len() + 4 * bias.len(),
            Self::Int4 { weights, bias, .. } => weights.len().div_ceil(2) + 4 * bias.len(),
            Self::F32 { weights, bias } => 4 * (weights.len() + bias.len()),
        }
    }

    /// Whether a convolution of int16 values takes [`bareconv::Int16x8Wide`] with these weights for TensorFlow Lite Micro's
    /// bits: where sums could overflow 32 bits.
    pub(crate) fn need_wide_sums(&self) -> bool {
        let Self::Int8 { weights, bias, wide_bias: true, .. } = self else { return false };
        let activation = Activation::Identity;
        Int16Filters { filters: weights, bias, scales: &[], input: 1.0, output: 1.0, activation }.needs_wide_sums()
    }
}

/// Scales of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scales {
    /// One for each filter: for each output channel, or each output value of a locally connected layer.
    PerChannel(#[serde(with = "file::packed")] Vec<f32>),
    /// One for all: the same as this scale for each channel.
    PerTensor(f32),
}

/// What a node computes. Unless it says otherwise it has one input, and the output's element type is the input's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operator {
    /// Convolution. Weights: `[filter][height][width][channel of the group]`.
    Conv2d {
        /// Its geometry, groups and fused maximum pooling included.
        #[serde(with = "file::Conv2dShapeForm")]
        shape: Conv2dShape,
        /// Its numbers.
        weights: Weights,
        /// The activation fused into it (before the pooling).
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// A dense layer: `Conv2dShape::dense`, or for several rows a convolution of 1 x 1. Weights: `[output][input]`.
    Dense {
        /// Its geometry.
        #[serde(with = "file::Conv2dShapeForm")]
        shape: Conv2dShape,
        /// Its numbers.
        weights: Weights,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// Depthwise convolution. Weights: `[height][width][output channel]`.
    Depthwise {
        /// Its geometry.
        #[serde(with = "file::DepthwiseConv2dShapeForm")]
        shape: DepthwiseConv2dShape,
        /// Its numbers.
        weights: Weights,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// Transposed convolution. Weights: `[filter][height][width][channel]`.
    Transposed {
        /// Its geometry.
        #[serde(with = "file::TransposedConv2dShapeForm")]
        shape: TransposedConv2dShape,
        /// Its numbers.
        weights: Weights,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// A locally connected layer: a convolution without groups and pooling whose every output pixel has filters of its own.
    /// Weights: `[output row][output column][filter][height][width][channel]`, with a bias and a scale for each output value.
    LocallyConnected {
        /// Its geometry.
        #[serde(with = "file::Conv2dShapeForm")]
        shape: Conv2dShape,
        /// Its numbers; int8 or `f32`.
        weights: Weights,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// Maximum pooling.
    MaxPool {
        /// Its geometry.
        #[serde(with = "file::Pool2dShapeForm")]
        shape: Pool2dShape,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// Average pooling.
    AveragePool {
        /// Its geometry.
        #[serde(with = "file::Pool2dShapeForm")]
        shape: Pool2dShape,
        /// Whether padding counts as zeros; TensorFlow Lite leaves it out.
        including_padding: bool,
        /// The activation fused into it.
        #[serde(with = "file::ActivationForm")]
        activation: Activation,
    },
    /// The mean over height and width, requantized (`MEAN`).
    Mean,
    /// A function of each value by itself, or of each pixel's channels.
    Function(Function),
    /// The sum of two inputs, one of them repeated where its dimension is 1.
    Add(#[serde(with = "file::ActivationForm")] Activation),
    /// The first input less the second.
    Subtract(#[serde(with = "file::ActivationForm")] Activation),
    /// The product of two inputs.
    Multiply(#[serde(with = "file::ActivationForm")] Activation),
    /// One after the other along an axis (0 height, 1 width, 2 channels): any number of inputs.
    Concatenate {
        /// The axis.
        axis: usize,
    },
    /// A border of values.
    Pad {
        /// Rows, columns and channels before.
        before: [usize; 3],
        /// Rows, columns and channels after.
        after: [usize; 3],
        /// What it holds, one number of the input's type.
        value: Numbers,
    },
    /// The same values in another shape, in the same order.
    Reshape,
    /// Every `stride`-th value of a range along each axis. A `SPLIT` is several of these.
    Slice {
        /// The first index along each axis.
        begin: [usize; 3],
        /// From an index to the next along each axis; may be negative.
        stride: [isize; 3],
    },
    /// Resizing by the nearest neighbour.
    ResizeNearest {
        /// Corners of input and output are the same points.
        align_corners: bool,
        /// Pixels are squares with their centres at halves.
        half_pixel_centers: bool,
    },
    /// From `f32` to integers.
    Quantize,
    /// From integers to `f32`.
    Dequantize,
    /// From integers of one quantization to those of another.
    Requantize,
}

impl Operator {
    /// The weights of a convolution of any kind or a dense layer.
    #[must_use]
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Conv2d { weights, .. }
            | Self::Dense { weights, .. }
            | Self::Depthwise { weights, .. }
            | Self::Transposed { weights, .. }
            | Self::LocallyConnected { weights, .. } => Some(weights),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn weights_mut(&mut self) -> Option<&mut Weights> {
        match self {
            Self::Conv2d { weights, .. }
            | Self::Dense { weights, .. }
            | Self::Depthwise { weights, .. }
            | Self::Transposed { weights, .. }
            | Self::LocallyConnected { weights, .. } => Some(weights),
            _ => None,
        }
    }
}

/// Functions of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `slope * x` below.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// `x` above zero, `slope * x` below, with a slope for each channel.
    PRelu {
        /// The slopes.
        slopes: Numbers,
        /// The quantization of integer slopes.
        #[serde(with = "file::optional_quantization")]
        quantization: Option<Quantization>,
    },
    /// `x * relu6(x + 3) / 6`.
    HardSwish,
    /// `min(max(alpha * x + beta, 0), 1)`, of int8 and `f32`.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(beta * x)` over the sum of them, of each pixel's channels.
    Softmax {
        /// The factor of the exponent.
        beta: f32,
    },
    /// Local response normalization of each pixel's channels, of int8 and `f32`: `x / (k + alpha * sum of x^2)^beta`, the sum
    /// over `size` channels.
    LocalResponse {
        /// Channels that take part, an odd number.
        size: usize,
        /// The factor of the sum.
        alpha: f32,
        /// The exponent.
        beta: f32,
        /// The summand.
        k: f32,
    },
    /// Any function of int8 values.
    Table {
        /// What it is a table of, for people.
        of: String,
        /// The outputs for -128, -127, ..., 127.
        #[serde(with = "file::table")]
        outputs: Box<[i8; 256]>,
    },
}
