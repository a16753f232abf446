//! What to quantize to, and how.

pub use crate::graph::Rounding;
use bareconv::Quantization;
use serde::{Deserialize, Serialize};

/// How a network is quantized. Every part has a default, so that a TOML table names only what differs:
///
/// ```
/// use host_trainer::quantize::{Integers, Options, RangeChoice};
///
/// let options: Options = toml::from_str(
///     r#"
///     weights = "int4"
///     int8_layers = ["conv1"]
///     activation_range = { percentile = 99.99 }
///     "#,
/// )?;
/// assert_eq!(options.activation_range, RangeChoice::Percentile(99.99));
/// assert_eq!(options.activations, Integers::Int8);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Options {
    /// The quantization of the network's inputs, where it is known: [`PIXEL`](super::PIXEL), say. Otherwise the calibration
    /// inputs decide.
    #[serde(skip)]
    pub input: Option<Quantization>,
    /// What activations become: int8, or int16 (with int8 weights and zero points 0).
    pub activations: Integers,
    /// What the weights of convolutions and dense layers become: int8, or int4 (with int8 activations). Those of depthwise
    /// and transposed convolutions and of locally connected layers are int8 always.
    pub weights: WeightBits,
    /// The names of layers whose weights are int8 where the others' are int4: often the first and the last.
    pub int8_layers: Vec<String>,
    /// How sums are rounded. [`Rounding::PowerOfTwo`] makes every scale a power of two.
    pub rounding: Rounding,
    /// How the range of each activation is chosen. The network's inputs and outputs always reach from the least to the
    /// greatest value: pixels stay exact, and no two scores become the same by a clamp.
    pub activation_range: RangeChoice,
    /// How the range of each output channel's weights is chosen; in locally connected layers, of each output value's.
    pub weight_range: RangeChoice,
    /// Whether the weights of a channel make up for each other's rounding errors, by what the calibration inputs have in
    /// common (E. Frantar et al., *GPTQ*, 2022, <https://arxiv.org/abs/2210.17323>): in convolutions without groups, dense and
    /// locally connected layers whose filters have 2,048 weights at most, and where each pixel has its own, less.
    pub error_compensation: bool,
    /// Whether the biases make up for the mean error of each channel over the calibration inputs ([`correct_biases`]).
    ///
    /// [`correct_biases`]: super::correct_biases
    pub bias_correction: bool,
    /// Whether the channels' ranges are evened out between one layer and the next before ([`equalize`]).
    ///
    /// [`equalize`]: super::equalize
    pub equalization: bool,
}

impl Default for Options {
    /// int8 with TensorFlow Lite Micro's bits: least squared error for activations, the greatest magnitude for weights, errors
    /// compensated, biases corrected. (With int4 weights, neither choice of their range is the better one for every
    /// network: of three that were measured, two lost more by the least squared error and one less.)
    fn default() -> Self {
        Self {
            input: None,
            activations: Integers::Int8,
            weights: WeightBits::Int8,
            int8_layers: Vec::new(),
            rounding: Rounding::TensorFlowLiteMicro,
            activation_range: RangeChoice::LeastSquares,
            weight_range: RangeChoice::MinMax,
            error_compensation: true,
            bias_correction: true,
            equalization: false,
        }
    }
}

/// What activations become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integers {
    /// 8 bits with a zero point.
    Int8,
    /// 16 bits, symmetric.
    Int16,
}

/// What weights become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightBits {
    /// -127..=127.
    Int8,
    /// -7..=7: symmetric, as TensorFlow Lite has it, although the library would take -8, too.
    Int4,
}

impl WeightBits {
    /// The greatest weight.
    #[must_use]
    pub fn most(self) -> i8 {
        match self {
            Self::Int8 => 127,
            Self::Int4 => 7,
        }
    }
}

/// How the range that integers stand for is chosen from the values that occur. What lies outside is clamped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeChoice {
    /// From the least to the greatest: nothing is clamped.
    MinMax,
    /// All but the most extreme: so many percent (above 50, to 100) of the values are not above the range's end, and as many
    /// not below its beginning. For weights, of their magnitudes.
    Percentile(f64),
    /// The range for which the sum of squared errors is least, those of rounding and of clamping together.
    LeastSquares,
}
