//! Layers as a description names them.

use crate::nn;
use bareconv::{BlurPadding, Coordinates};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A layer of a network: what it does, and where its inputs come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// A name, by which later layers can take its output; made from its type and place if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layers that its inputs come from, or [`IMAGES`]; the layer before if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub from: Vec<String>,
    /// What it does.
    pub operator: Operator,
}

/// The name of the network's input among the layers' names.
pub const IMAGES: &str = "images";

/// A number down and across: in TOML one number for both, or `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(number: usize) -> Self {
        Self([number; 2])
    }
}

/// Zeros (or nothing, in pooling) around an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As much that the output has the input's size divided by the stride, rounded up; where that is odd, more at the
    /// bottom and at the right: TensorFlow's `SAME`.
    Same,
    /// Rows at the top, columns at the left, rows at the bottom, columns at the right.
    Sides([usize; 4]),
}

impl Padding {
    /// None.
    pub const NONE: Self = Self::Sides([0; 4]);

    pub(super) fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl Default for Padding {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<usize> for Padding {
    fn from(all: usize) -> Self {
        Self::Sides([all; 4])
    }
}

/// Places along an axis: in TOML `[begin, end]` or `[begin, end, stride]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first one; a negative one counts from behind.
    pub begin: isize,
    /// What is behind the last one, counted the same way.
    pub end: isize,
    /// From one to the next; a negative one goes backwards.
    pub stride: isize,
}

impl Part {
    /// All of them.
    pub const ALL: Self = Self { begin: 0, end: isize::MAX, stride: 1 };
}

/// How the names of [`Coordinates`] are written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Coordinates", rename_all = "snake_case")]
enum CoordinatesForm {
    Asymmetric,
    HalfPixel,
    AlignCorners,
}

/// How the names of [`BlurPadding`] are written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BlurPadding", rename_all = "snake_case")]
enum BlurPaddingForm {
    Reflect,
    Zero,
}

/// What a layer does. Shapes are `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operator {
    /// A convolution.
    #[serde(rename = "conv2d")]
    Conv2d {
        /// Number of filters, which is the number of output channels.
        filters: usize,
        /// Height and width of a filter.
        filter: Pair,
        /// Distance between the places of the filter.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: Pair,
        /// Zeros around the input.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Distance between the taps of a filter.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: Pair,
        /// Parts that channels are divided into; filters of a part see the input channels of that part.
        #[serde(default = "single", skip_serializing_if = "is_single")]
        groups: usize,
        /// Whether a number for each filter is added; a batch normalization behind the layer does that, too.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// A convolution of each channel by itself.
    #[serde(rename = "depthwise_conv2d")]
    DepthwiseConv2d {
        /// Height and width of a filter.
        filter: Pair,
        /// Number of filters for each channel.
        #[serde(default = "single", skip_serializing_if = "is_single")]
        multiplier: usize,
        /// Distance between the places of the filter.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: Pair,
        /// Zeros around the input.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Distance between the taps of a filter.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: Pair,
        /// Whether a number for each output channel is added.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// A transposed convolution, which enlarges its input.
    #[serde(rename = "transposed_conv2d")]
    TransposedConv2d {
        /// Number of filters, which is the number of output channels.
        filters: usize,
        /// Height and width of a filter.
        filter: Pair,
        /// Distance that neighbouring input pixels have in the output.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: Pair,
        /// Rows and columns cut off from the output. `"same"`: as many that the output has the input's size times the
        /// stride, if the filter is at least as large as the stride; a smaller one needs the difference as
        /// `output_padding`.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Rows and columns added at the bottom and the right; less than the stride.
        #[serde(default = "zero", skip_serializing_if = "is_zero")]
        output_padding: Pair,
        /// Whether a number for each filter is added.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// A convolution whose every output pixel has filters of its own.
    #[serde(rename = "locally_connected2d")]
    LocallyConnected2d {
        /// Number of filters, which is the number of output channels.
        filters: usize,
        /// Height and width of a filter.
        filter: Pair,
        /// Distance between the places of the filter.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: Pair,
        /// Zeros around the input.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Whether a number for each output is added.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// A fully connected layer: each output sees the whole input.
    Dense {
        /// Number of outputs.
        outputs: usize,
        /// Whether a number for each output is added.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// The maximum over windows, channel by channel.
    MaxPool {
        /// Height and width of the window.
        window: Pair,
        /// Distance between windows; the window's size if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Rows and columns around the input, which never are the maximum.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
    },
    /// The average over windows, channel by channel.
    AveragePool {
        /// Height and width of the window.
        window: Pair,
        /// Distance between windows; the window's size if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Rows and columns around the input.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Whether padding counts as zeros; otherwise it is left out.
        #[serde(default, skip_serializing_if = "is_no")]
        including_padding: bool,
    },
    /// The average of each channel over height and width.
    GlobalAveragePool {},
    /// The maxima (or averages) of `n` x `n` parts of the input for each level `n`.
    SpatialPyramidPool {
        /// Parts along an axis, level by level.
        levels: Vec<usize>,
        /// Averages instead of maxima.
        #[serde(default, skip_serializing_if = "is_no")]
        average: bool,
    },
    /// Anti-aliased pooling: maxima, blurred before pixels are left out.
    #[serde(rename = "blur_pool2d")]
    BlurPool2d {
        /// Height and width of the windows whose maxima are blurred; 1 blurs the input itself.
        #[serde(default = "single", skip_serializing_if = "is_single")]
        max: usize,
        /// Taps of the binomial filter, 2 to 7.
        taps: usize,
        /// Distance between the places of the filter.
        stride: usize,
        /// What lies beside the border: the input mirrored, or zeros.
        #[serde(default = "reflect", with = "BlurPaddingForm", skip_serializing_if = "is_reflect")]
        padding: BlurPadding,
    },
    /// Local response normalization over channels: `x / (k + alpha * sum of squares over size channels)^beta`.
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
    /// Batch normalization, with a factor and an offset for each channel.
    BatchNorm {
        /// Share of a step's mean and variance in their moving averages.
        #[serde(default = "batch_momentum", skip_serializing_if = "is_batch_momentum")]
        momentum: f32,
        /// What is added to the variance.
        #[serde(default = "batch_epsilon", skip_serializing_if = "is_batch_epsilon")]
        epsilon: f32,
    },
    /// In training, values are set to 0 at random and the others enlarged to make up for it.
    Dropout {
        /// Share of values that are set to 0.
        rate: f32,
    },
    /// `max(x, 0)`.
    Relu {},
    /// `min(max(x, 0), 6)`.
    #[serde(rename = "relu6")]
    Relu6 {},
    /// `x` above zero, `slope * x` below.
    LeakyRelu {
        /// The slope.
        #[serde(default = "leaky_slope", skip_serializing_if = "is_leaky_slope")]
        slope: f32,
    },
    /// `x` above zero, `slope * x` below, with a trained slope for each channel.
    #[serde(rename = "prelu")]
    PRelu {},
    /// `x * relu6(x + 3) / 6`.
    HardSwish {},
    /// `relu6(x + 3) / 6`.
    HardSigmoid {},
    /// `1 / (1 + exp(-x))`.
    Sigmoid {},
    /// The hyperbolic tangent.
    Tanh {},
    /// The sum of two inputs of one shape; the second's height and width may be 1.
    Add {},
    /// The first of two inputs of one shape less the second, whose height and width may be 1.
    Subtract {},
    /// The product of two inputs of one shape; the second's height and width may be 1.
    Multiply {},
    /// The inputs one after the other, along the channels.
    Concatenate {},
    /// Nearest-neighbour resizing, by a factor or to a size.
    Upsample {
        /// How often each pixel is repeated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        factor: Option<Pair>,
        /// Height and width of the output, larger or smaller than the input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<Pair>,
        /// Where the centres of pixels lie.
        #[serde(default, with = "CoordinatesForm", skip_serializing_if = "is_default")]
        coordinates: Coordinates,
    },
    /// Zeros around the input.
    Pad {
        /// Rows and columns of zeros.
        #[serde(default, skip_serializing_if = "Padding::is_none")]
        padding: Padding,
        /// Channels of zeros before and after.
        #[serde(default, skip_serializing_if = "is_default")]
        channels: [usize; 2],
    },
    /// A part of the input.
    Slice {
        /// Its rows; all if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<Part>,
        /// Its columns; all if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Part>,
        /// Its channels; all if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<Part>,
    },
}

impl Operator {
    /// Its name in TOML.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::DepthwiseConv2d { .. } => "depthwise_conv2d",
            Self::TransposedConv2d { .. } => "transposed_conv2d",
            Self::LocallyConnected2d { .. } => "locally_connected2d",
            Self::Dense { .. } => "dense",
            Self::MaxPool { .. } => "max_pool",
            Self::AveragePool { .. } => "average_pool",
            Self::GlobalAveragePool {} => "global_average_pool",
            Self::SpatialPyramidPool { .. } => "spatial_pyramid_pool",
            Self::BlurPool2d { .. } => "blur_pool2d",
            Self::LocalResponse { .. } => "local_response",
            Self::BatchNorm { .. } => "batch_norm",
            Self::Dropout { .. } => "dropout",
            Self::Relu {} => "relu",
            Self::Relu6 {} => "relu6",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::PRelu {} => "prelu",
            Self::HardSwish {} => "hard_swish",
            Self::HardSigmoid {} => "hard_sigmoid",
            Self::Sigmoid {} => "sigmoid",
            Self::Tanh {} => "tanh",
            Self::Add {} => "add",
            Self::Subtract {} => "subtract",
            Self::Multiply {} => "multiply",
            Self::Concatenate {} => "concatenate",
            Self::Upsample { .. } => "upsample",
            Self::Pad { .. } => "pad",
            Self::Slice { .. } => "slice",
        }
    }
}

impl Operator {
    /// The layer for an input of this shape, by which the padding `"same"` and factors go.
    pub(super) fn to_layer(&self, input: nn::Shape) -> nn::Layer {
        let same = |padding: Padding, window: Pair, stride: Pair, dilation: Pair| match padding {
            Padding::Sides(sides) => sides,
            Padding::Same => same_padding(input, window.0, stride.0, dilation.0),
        };
        let pool = |window: Pair, stride: Option<Pair>, padding: Padding| {
            let stride = stride.unwrap_or(window);
            nn::Pool2d { window: window.0, stride: stride.0, padding: same(padding, window, stride, one()) }
        };
        match *self {
            Self::Conv2d { filters, filter, stride, padding, dilation, groups, bias } => {
                nn::Layer::Conv2d(nn::Conv2d {
                    filters,
                    filter: filter.0,
                    stride: stride.0,
                    dilation: dilation.0,
                    padding: same(padding, filter, stride, dilation),
                    groups,
                    bias,
                })
            }
            Self::DepthwiseConv2d { filter, multiplier, stride, padding, dilation, bias } => {
                nn::Layer::DepthwiseConv2d(nn::DepthwiseConv2d {
                    multiplier,
                    filter: filter.0,
                    stride: stride.0,
                    dilation: dilation.0,
                    padding: same(padding, filter, stride, dilation),
                    bias,
                })
            }
            Self::TransposedConv2d { filters, filter, stride, padding, output_padding, bias } => {
                let padding = match padding {
                    Padding::Sides(sides) => sides,
                    Padding::Same => {
                        let total = [0, 1].map(|axis| filter.0[axis].saturating_sub(stride.0[axis]));
                        [total[0] / 2, total[1] / 2, total[0].div_ceil(2), total[1].div_ceil(2)]
                    }
                };
                nn::Layer::TransposedConv2d(nn::TransposedConv2d {
                    filters,
                    filter: filter.0,
                    stride: stride.0,
                    padding,
                    output_padding: output_padding.0,
                    bias,
                })
            }
            Self::LocallyConnected2d { filters, filter, stride, padding, bias } => {
                nn::Layer::LocallyConnected2d(nn::Conv2d {
                    stride: stride.0,
                    padding: same(padding, filter, stride, one()),
                    bias,
                    ..nn::Conv2d::new(filters, filter.0)
                })
            }
            Self::Dense { outputs, bias } => nn::Layer::Dense { outputs, bias },
            Self::MaxPool { window, stride, padding } => nn::Layer::MaxPool2d(pool(window, stride, padding)),
            Self::AveragePool { window, stride, padding, including_padding } => {
                nn::Layer::AveragePool2d { pool: pool(window, stride, padding), including_padding }
            }
            Self::GlobalAveragePool {} => nn::Layer::GlobalAveragePool,
            Self::SpatialPyramidPool { ref levels, average } => {
                nn::Layer::SpatialPyramidPool { levels: levels.clone(), average }
            }
            Self::BlurPool2d { max, taps, stride, padding } => nn::Layer::BlurPool2d { max, taps, stride, padding },
            Self::LocalResponse { size, alpha, beta, k } => nn::Layer::LocalResponse { size, alpha, beta, k },
            Self::BatchNorm { momentum, epsilon } => nn::Layer::BatchNorm { momentum, epsilon },
            Self::Dropout { rate } => nn::Layer::Dropout { rate },
            Self::Relu {} => nn::Layer::Relu,
            Self::Relu6 {} => nn::Layer::Relu6,
            Self::LeakyRelu { slope } => nn::Layer::LeakyRelu { slope },
            Self::PRelu {} => nn::Layer::PRelu,
            Self::HardSwish {} => nn::Layer::HardSwish,
            Self::HardSigmoid {} => nn::Layer::HardSigmoid,
            Self::Sigmoid {} => nn::Layer::Sigmoid,
            Self::Tanh {} => nn::Layer::Tanh,
            Self::Add {} => nn::Layer::Add,
            Self::Subtract {} => nn::Layer::Subtract,
            Self::Multiply {} => nn::Layer::Multiply,
            Self::Concatenate {} => nn::Layer::Concatenate { axis: 2 },
            Self::Upsample { factor, size, coordinates } => {
                let factor = factor.unwrap_or(one()).0;
                let size = size.map_or([0, 1].map(|axis| input[axis].saturating_mul(factor[axis])), |size| size.0);
                nn::Layer::Upsample { size, coordinates }
            }
            Self::Pad { padding, channels } => {
                let [top, left, bottom, right] = same(padding, one(), one(), one());
                nn::Layer::Pad { before: [top, left, channels[0]], after: [bottom, right, channels[1]] }
            }
            Self::Slice { rows, columns, channels } => {
                let parts = [rows, columns, channels].map(|part| part.unwrap_or(Part::ALL));
                nn::Layer::Slice {
                    begin: parts.map(|part| part.begin),
                    end: parts.map(|part| part.end),
                    stride: parts.map(|part| part.stride),
                }
            }
        }
    }
}

/// TensorFlow's `SAME`: the output has the input's size divided by the stride, rounded up. Numbers that no layer takes
/// give no padding: the layer's own check names them.
fn same_padding(input: nn::Shape, window: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> [usize; 4] {
    let mut sides = [0; 4];
    for axis in 0..2 {
        if stride[axis] == 0 || window[axis] == 0 {
            continue;
        }
        let extent = (window[axis] - 1).saturating_mul(dilation[axis]).saturating_add(1);
        let last = (input[axis].div_ceil(stride[axis]) - 1) * stride[axis];
        let total = last.saturating_add(extent).saturating_sub(input[axis]);
        (sides[axis], sides[axis + 2]) = (total / 2, total - total / 2);
    }
    sides
}

impl From<Operator> for Layer {
    /// A layer without a name, whose input is the layer before.
    fn from(operator: Operator) -> Self {
        Self { name: None, from: Vec::new(), operator }
    }
}

impl Layer {
    /// Gives it a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Says where its inputs come from.
    #[must_use]
    pub fn from_layers(self, names: &[&str]) -> Self {
        Self { from: names.iter().map(|&name| name.to_owned()).collect(), ..self }
    }
}

fn one() -> Pair {
    Pair([1, 1])
}

fn is_one(pair: &Pair) -> bool {
    *pair == one()
}

fn zero() -> Pair {
    Pair([0, 0])
}

fn is_zero(pair: &Pair) -> bool {
    *pair == zero()
}

fn is_no(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn reflect() -> BlurPadding {
    BlurPadding::Reflect
}

fn is_reflect(padding: &BlurPadding) -> bool {
    *padding == reflect()
}

fn single() -> usize {
    1
}

fn is_single(number: &usize) -> bool {
    *number == 1
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn batch_momentum() -> f32 {
    0.1
}

fn is_batch_momentum(value: &f32) -> bool {
    *value == batch_momentum()
}

fn batch_epsilon() -> f32 {
    1e-5
}

fn is_batch_epsilon(value: &f32) -> bool {
    *value == batch_epsilon()
}

fn leaky_slope() -> f32 {
    bareconv::LEAKY_RELU_SLOPE
}

fn is_leaky_slope(value: &f32) -> bool {
    *value == leaky_slope()
}

/// Reads whole numbers: one, or a list of them.
struct WholeNumbers(&'static str);

impl<'de> Visitor<'de> for WholeNumbers {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Vec<usize>, E> {
        match usize::try_from(value) {
            Ok(value) => Ok(vec![value]),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Vec<usize>, E> {
        match usize::try_from(value) {
            Ok(value) => Ok(vec![value]),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Vec<usize>, E> {
        // An empty list stands for "same", which only padding knows.
        if value == "same" && self.0 == PADDING {
            Ok(Vec::new())
        } else {
            Err(E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<usize>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        if numbers.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(numbers) }
    }
}

const PAIR: &str = "a whole number, or a list [vertical, horizontal]";
const PADDING: &str = "\"same\", a whole number, or a list [vertical, horizontal] or [top, left, bottom, right]";

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = deserializer.deserialize_any(WholeNumbers(PAIR))?;
        match numbers[..] {
            [all] => Ok(Self([all; 2])),
            [vertical, horizontal] => Ok(Self([vertical, horizontal])),
            _ => Err(de::Error::invalid_length(numbers.len(), &PAIR)),
        }
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [vertical, horizontal] = self.0;
        if vertical == horizontal { vertical.serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = deserializer.deserialize_any(WholeNumbers(PADDING))?;
        match numbers[..] {
            [] => Ok(Self::Same),
            [all] => Ok(Self::Sides([all; 4])),
            [vertical, horizontal] => Ok(Self::Sides([vertical, horizontal, vertical, horizontal])),
            [top, left, bottom, right] => Ok(Self::Sides([top, left, bottom, right])),
            _ => Err(de::Error::invalid_length(numbers.len(), &PADDING)),
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Same => "same".serialize(serializer),
            Self::Sides([top, left, bottom, right]) if [top, left, bottom] == [left, bottom, right] => {
                top.serialize(serializer)
            }
            Self::Sides(sides) => sides.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Vec::deserialize(deserializer)?[..] {
            [begin, end] => Ok(Self { begin, end, stride: 1 }),
            [begin, end, stride] => Ok(Self { begin, end, stride }),
            ref numbers => {
                Err(de::Error::invalid_length(numbers.len(), &"a list [begin, end] or [begin, end, stride]"))
            }
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { begin, end, stride } = *self;
        if stride == 1 { [begin, end].serialize(serializer) } else { [begin, end, stride].serialize(serializer) }
    }
}

/// One name, or a list of names.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a layer, or a list of names")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(vec![name.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = list.next_element()? {
                names.push(name);
            }
            Ok(names)
        }
    }

    deserializer.deserialize_any(Names)
}
