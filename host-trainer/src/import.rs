//! Networks from other tools: files become a [`Graph`].
//!
//! A file is not trusted: every offset is checked, memory is bounded by the file's size, and what cannot be imported is an
//! error that says where and why, and what comes nearest. The graph is as plain as the file: the passes of
//! [`graph::optimize`](crate::graph::optimize) make it smaller.
//!
//! ```no_run
//! use host_trainer::graph::optimize::{Options, optimize};
//!
//! let mut graph = host_trainer::import::file("model.tflite")?; // or model.onnx
//! println!("{}", optimize(&mut graph, &Options::default())?);
//! println!("{} operators", graph.nodes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`tflite`] and [`onnx()`] say what is read, and what the numbers mean.

mod build;
mod fault;
mod file;
mod onnx;
mod tflite;

pub use build::{BuildError, build, build_with, module_name};
pub use file::{FileError, file};

use crate::graph::Graph;
use std::fmt;

/// Why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not a file of this format, or a broken one.
    #[error("not a {format} file, or a broken one: {reason}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a network, but not one that can be computed with the bits of its origin: everything that is in the way, in
    /// the order of the file, up to [`Problem::MOST`].
    #[error("{}", list(.0))]
    Unsupported(Vec<Problem>),
}

/// What is in the way of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `operator 12 (GELU)`, or a tensor's name.
    pub place: String,
    /// Why.
    pub reason: String,
    /// What is supported and comes nearest, if something does.
    pub nearest: Option<&'static str>,
}

impl Problem {
    /// The most that an import collects.
    pub const MOST: usize = 64;
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, "; nearest: {nearest}"))
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads a network from a TensorFlow Lite file (`.tflite`), to be computed with the bits of TensorFlow Lite Micro.
///
/// Tensors lose their leading dimensions of 1, the batch, and get dimensions of 1 in front until they have three: height,
/// width and channels. What has no such form is an error. The `name` is for people.
///
/// # Errors
/// [`ImportError::Malformed`] where the file is broken, [`ImportError::Unsupported`] where an operator, a type or a
/// parameter is not supported, or TensorFlow Lite Micro would refuse it.
pub fn tflite(bytes: &[u8], name: &str) -> Result<Graph, ImportError> {
    tflite::read(bytes, name)
}

/// Reads a network from the bytes of an ONNX file (`.onnx`): float32, or int8 by `QuantizeLinear` and `DequantizeLinear`.
///
/// # A file from PyTorch
///
/// ```python
/// import torch
/// net.eval()
/// torch.onnx.export(net, (torch.randn(1, 3, 32, 32),), "net.onnx", dynamo=True, external_data=False)
/// ```
///
/// With `external_data=True`, PyTorch's default, the weights are in `net.onnx.data`: [`file()`] reads them from the same
/// folder, this function has only the bytes and refuses. Files of the older exporter (`dynamo=False`) are read as well.
/// The batch is 1. To int8, with some inputs of the training data, by onnxruntime (scales for each channel and symmetric
/// weights; activations may be int8 or uint8):
///
/// ```python
/// from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
/// from onnxruntime.quantization.shape_inference import quant_pre_process
/// quant_pre_process("net.onnx", "net.onnx")
/// quantize_static("net.onnx", "net_int8.onnx", reader, quant_format=QuantFormat.QDQ, per_channel=True,
///                 activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
///                 extra_options={"WeightSymmetric": True})
/// ```
///
/// `reader` is a `CalibrationDataReader`, whose `get_next` gives `{"x": array}` for one input after the other, then `None`.
///
/// # Height, width, channels
///
/// ONNX's pictures are `[batch, channels, height, width]`. Here, inputs, outputs and everything between them are
/// `[height, width, channels]`: a firmware gives a picture pixel by pixel, and gets maps pixel by pixel. (An input of three
/// dimensions that a convolution reads is `[1, width, channels]`; another is taken as it is.) The numbers are the
/// same: where a picture becomes a vector before `Gemm` or `MatMul`, their weights are put into the other order.
/// `Transpose`, `Reshape`, `Flatten`, `Squeeze` and `Unsqueeze` move nothing; where they leave values in an order that an
/// operator cannot take, as shuffled channels, that is an error. An input that goes to a `Transpose` from
/// `[batch, height, width, channels]` first is taken as it is.
///
/// # Operators
///
/// `Conv` (groups, dilations, any padding; one or two dimensions), `ConvTranspose`, `Gemm`, `MatMul` with constant weights,
/// `BatchNormalization` (folded into the layer before it, or by itself), `MaxPool`, `AveragePool`, `GlobalAveragePool`,
/// `GlobalMaxPool`, `ReduceMean` over height and width, `Relu`, `Clip`, `LeakyRelu`, `PRelu`, `HardSwish`,
/// `HardSigmoid`, `Sigmoid`, `Tanh`, `Softmax` of channels, `Add`, `Sub`, `Mul`, `Div` by a constant, `Concat`, `Pad` with a
/// constant, `Slice`, `Split`, `Gather` of one index, `Resize` by the nearest, those of the order of values, `Identity`,
/// `Dropout`; and operators on constants by which exporters compute shapes. `QLinearConv`, `QLinearMatMul` and onnxruntime's
/// `QLinearAdd`, `QLinearMul`, `QLinearSigmoid`, `QLinearLeakyRelu` and `QLinearGlobalAveragePool` are read as what they
/// stand for.
///
/// # What the numbers mean
///
/// *float32.* Sums are in the library's order, which is not onnxruntime's: results differ by the rounding of single
/// precision. The tests allow 2^-18 of the largest magnitude of an output tensor, and find 2^-21.
///
/// *int8.* ONNX describes a quantized network by real numbers: an operator takes the numbers that integers stand for, and
/// `QuantizeLinear` rounds what it gives, `q = saturate(round(x / scale) + zero point)`, halves to the even integer. uint8
/// becomes int8, values and zero points less 128, which is the same network. What follows is computed as integers, if all
/// inputs come from `DequantizeLinear` and the result, with an activation or without, goes to `QuantizeLinear`:
///
/// * Convolutions, `Gemm`, `MatMul`: exact sums, requantized in fixed point with one rounding
///   ([`Rounding::Single`](crate::graph::Rounding::Single)), halves upwards; `Add`, `Sub` and `Mul` with one rounding at the
///   end as well. onnxruntime multiplies in single precision and rounds halves to even: one unit of difference where the
///   exact result lies next to a half.
/// * Averages are rounded once, halves away from zero: one unit where the sum is a half, often for 2 x 2 pixels. Means over
///   height and width are TensorFlow Lite's `MEAN`, with two roundings: one unit in about one of eight results.
/// * Functions of one value (`Sigmoid`, `HardSwish`, `Clip`, requantization): a table of 256 results, of the formula above.
/// * What moves values: exact.
///
/// Anything else, `Softmax` for one, is computed in float32 between dequantization and quantization, as the file says; so
/// are operators whose result is not quantized. `Quantize` of the input itself rounds halves away from zero.
///
/// Weights must be symmetric, of -127 to 127, with a scale for each output channel or one for all.
///
/// # Errors
/// [`ImportError::Malformed`] where the file is broken, [`ImportError::Unsupported`] where an operator, a type, a parameter
/// or the order of values is not supported, or numbers are in another file.
pub fn onnx(bytes: &[u8], name: &str) -> Result<Graph, ImportError> {
    onnx::read(bytes, name, &mut |location, _, _| {
        Err(format!(
            "its numbers are in the file {location:?}: read it by its name, or export it with external_data=False"
        ))
    })
}
