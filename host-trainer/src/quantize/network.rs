//! The integer network: what is exported.

use super::{FakeQuantization, Quantization, quantize_weight, weight_scale};
use crate::nn::{Conv2d, Layer, Network, Pool2d};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// An int8 network, ready for export.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNetwork {
    /// Name of the network, such as `lenet5`.
    pub name: String,
    /// The layers in order.
    pub layers: Vec<QuantizedLayer>,
}

/// A convolution or dense layer with all that follows it up to the next int8 tensor.
///
/// With `q` for int8 values, output channel `o` and the sum over the filter:
///
/// ```text
/// sum    = bias[o] + sum of (q_in - input.zero_point) * weights[o][..]           (i32)
/// q_out  = clamp(round(sum * input.scale * weight_scales[o] / output.scale) + output.zero_point)
/// ```
///
/// then the maximum over pooling windows. `clamp` is to -128..=127; with a ReLU the zero point is
/// -128 and the clamp is the ReLU. Zero padding has the value `input.zero_point`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantizedLayer {
    /// Kind and running number, such as `conv1` or `dense3`.
    pub name: String,
    /// The operator.
    pub kind: QuantizedKind,
    /// Height, width and channels of the input.
    pub input_shape: [usize; 3],
    /// Height, width and channels of the output, after pooling.
    pub output_shape: [usize; 3],
    /// Output channel, filter row, filter column, input channel; for a dense layer
    /// `[output][input]`. From -127 to 127.
    #[serde(skip)]
    pub weights: Vec<i8>,
    /// The scale of each output channel's weights.
    #[serde(skip)]
    pub weight_scales: Vec<f32>,
    /// Per output channel, in units of `input.scale * weight_scales[o]`.
    #[serde(skip)]
    pub bias: Vec<i32>,
    /// Whether negative values become 0.
    pub relu: bool,
    /// Grid of the input.
    #[serde(with = "Grid")]
    pub input: Quantization,
    /// Grid of the output.
    #[serde(with = "Grid")]
    pub output: Quantization,
}

/// How a [`Quantization`] is written to files.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Quantization")]
struct Grid {
    scale: f32,
    zero_point: i8,
}

/// The operator of a [`QuantizedLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuantizedKind {
    /// A convolution.
    Conv2d {
        /// Height and width of a filter.
        filter: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Rows of zeros above and below, columns of zeros left and right.
        padding: [usize; 2],
        /// Window (which is also the stride) of the max pooling that follows, if any.
        max_pool: Option<[usize; 2]>,
    },
    /// A fully connected layer.
    Dense,
}

/// A network cannot be quantized, or a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A sequence of layers without an integer form.
    #[error(
        "layer {layer}: {reason}; quantization knows convolution [+ ReLU] [+ max pooling with stride = window] and dense [+ ReLU]"
    )]
    Layers {
        /// Name of the layer.
        layer: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not a safetensors file.
    #[error("not a model file: {0}; train again to make a new one")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor or description of the wrong kind.
    #[error("`{name}` is damaged or of another network: {reason}; train again to make a new file")]
    Content {
        /// Name of the tensor or description.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

fn content(name: &str, reason: impl ToString) -> ModelError {
    ModelError::Content { name: name.to_owned(), reason: reason.to_string() }
}

impl QuantizedNetwork {
    /// Rounds a network with layers of kind [`Layer::FakeQuantize`] after quantization-aware
    /// training. Its input has the grid `input`.
    ///
    /// # Errors
    /// When the sequence of layers has no integer form.
    pub fn new(
        name: &str,
        network: &Network,
        parameters: &[f32],
        quantization: &FakeQuantization,
        input: Quantization,
    ) -> Result<Self, ModelError> {
        let mut grids = quantization.grids().into_iter().flatten();
        let mut layers: Vec<QuantizedLayer> = Vec::new();
        // Whether the last layer still waits for its output's grid.
        let mut open = false;
        let mut grid = input;
        for node in network.nodes() {
            let error = |reason| ModelError::Layers { layer: node.name.clone(), reason };
            match node.layer {
                Layer::Conv2d(Conv2d { groups: 1, dilation: [1, 1], bias: true, .. })
                | Layer::Dense { bias: true, .. } => {
                    if open {
                        return Err(error("the layer before it is not rounded to int8"));
                    }
                    open = true;
                    let kind = match node.layer {
                        Layer::Conv2d(Conv2d { filter, stride, padding: [top, left, bottom, right], .. }) => {
                            if [top, left] != [bottom, right] {
                                return Err(error("its padding is not the same on opposite sides"));
                            }
                            QuantizedKind::Conv2d { filter, stride, padding: [top, left], max_pool: None }
                        }
                        _ => QuantizedKind::Dense,
                    };
                    let mut layer = QuantizedLayer {
                        name: node.name.clone(),
                        kind,
                        input_shape: node.input,
                        output_shape: node.output,
                        weights: Vec::with_capacity(node.weights.len()),
                        weight_scales: Vec::with_capacity(node.bias.len()),
                        bias: Vec::with_capacity(node.bias.len()),
                        relu: false,
                        input: grid,
                        output: grid,
                    };
                    let filters = parameters[node.weights.clone()].chunks_exact(node.fan_in());
                    for (filter, bias) in filters.zip(&parameters[node.bias.clone()]) {
                        let scale = weight_scale(filter);
                        layer.weight_scales.push(scale);
                        let quantized = filter.iter().map(|&w| quantize_weight(w, scale) as i8);
                        layer.weights.extend(quantized);
                        let unit = f64::from(grid.scale) * f64::from(scale);
                        layer.bias.push((f64::from(*bias) / unit).round() as i32);
                    }
                    layers.push(layer);
                }
                Layer::Relu => match layers.last_mut() {
                    Some(layer) if open => layer.relu = true,
                    _ => return Err(error("it does not follow a convolution or dense layer")),
                },
                Layer::MaxPool2d(Pool2d { window, stride, padding }) => match layers.last_mut() {
                    Some(QuantizedLayer {
                        kind: QuantizedKind::Conv2d { max_pool: max_pool @ None, .. },
                        output_shape,
                        ..
                    }) if open && window == stride && padding == [0; 4] => {
                        *max_pool = Some(window);
                        *output_shape = node.output;
                    }
                    _ => {
                        return Err(error("it does not follow a convolution, or its windows do not lie side by side"));
                    }
                },
                Layer::FakeQuantize => match (layers.last_mut(), grids.next()) {
                    (Some(layer), Some(next)) if open => {
                        grid = next;
                        layer.output = next;
                        open = false;
                        if layer.relu && next.zero_point != -128 {
                            return Err(error("a range after a ReLU starts below 0"));
                        }
                    }
                    _ => return Err(error("there is nothing to round")),
                },
                _ => return Err(error("this form of network has no such layer")),
            }
        }
        match layers.last() {
            Some(_) if !open => Ok(Self { name: name.to_owned(), layers }),
            _ => Err(ModelError::Layers { layer: "last".to_owned(), reason: "it is not rounded to int8" }),
        }
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let count = |layer: &QuantizedLayer| layer.weights.len() + layer.bias.len();
        self.layers.iter().map(count).sum()
    }

    /// The outputs for one input by the formulas of [`QuantizedLayer`], in `i64` and `f64`, rounding
    /// half away from zero: naive, slow, and easy to check.
    ///
    /// # Panics
    /// When `input` does not have the length of the network's input.
    #[must_use]
    pub fn evaluate_reference(&self, input: &[i8]) -> Vec<i8> {
        self.layers.iter().fold(input.to_vec(), |values, layer| layer.evaluate(&values))
    }

    /// The network as a safetensors file: `NAME.weight` (int8), `NAME.weight_scale` (f32) and
    /// `NAME.bias` (int32) of each layer, everything else as JSON in the metadata.
    ///
    /// # Errors
    /// When the layers are inconsistent.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let mut buffers = Vec::new();
        for layer in &self.layers {
            let outputs = layer.bias.len();
            let taps = layer.weights.len() / outputs.max(1);
            let weights: Vec<u8> = layer.weights.iter().map(|w| w.to_ne_bytes()[0]).collect();
            let scales = layer.weight_scales.iter().flat_map(|s| s.to_le_bytes());
            let bias = layer.bias.iter().flat_map(|b| b.to_le_bytes());
            for (part, kind, shape, bytes) in [
                ("weight", Dtype::I8, vec![outputs, taps], weights),
                ("weight_scale", Dtype::F32, vec![outputs], scales.collect()),
                ("bias", Dtype::I32, vec![outputs], bias.collect()),
            ] {
                buffers.push((format!("{}.{part}", layer.name), kind, shape, bytes));
            }
        }
        let tensors = buffers
            .iter()
            .map(|(name, kind, shape, bytes)| Ok((name.clone(), TensorView::new(*kind, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let layers = serde_json::to_string(&self.layers).map_err(|e| content("layers", e))?;
        // One entry: a map with more has no fixed order, and the same network gives the same file.
        let metadata = HashMap::from([(format!("network {}", self.name), layers)]);
        Ok(safetensors::serialize(tensors, Some(metadata))?)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let (name, layers) = header
            .metadata()
            .iter()
            .flatten()
            .find_map(|(key, value)| Some((key.strip_prefix("network ")?, value)))
            .ok_or_else(|| content("metadata", "it describes no network"))?;
        let mut layers: Vec<QuantizedLayer> = serde_json::from_str(layers).map_err(|e| content("layers", e))?;
        for layer in &mut layers {
            let tensor = |part: &str, kind| {
                let name = format!("{}.{part}", layer.name);
                let tensor = tensors.tensor(&name)?;
                if tensor.dtype() == kind {
                    Ok(tensor.data())
                } else {
                    Err(content(&name, format!("{:?} instead of {kind:?}", tensor.dtype())))
                }
            };
            let weights = tensor("weight", Dtype::I8)?;
            let scales = tensor("weight_scale", Dtype::F32)?.as_chunks::<4>().0;
            let bias = tensor("bias", Dtype::I32)?.as_chunks::<4>().0;
            layer.weights = weights.iter().map(|&w| i8::from_ne_bytes([w])).collect();
            layer.weight_scales = scales.iter().map(|&s| f32::from_le_bytes(s)).collect();
            layer.bias = bias.iter().map(|&b| i32::from_le_bytes(b)).collect();
            let taps = match layer.kind {
                QuantizedKind::Conv2d { filter, .. } => filter[0] * filter[1] * layer.input_shape[2],
                QuantizedKind::Dense => layer.input_shape.iter().product(),
            };
            let outputs = layer.output_shape[2];
            if layer.weights.len() != outputs * taps
                || layer.weight_scales.len() != outputs
                || layer.bias.len() != outputs
            {
                return Err(content(&layer.name, "tensors and shapes disagree"));
            }
        }
        Ok(Self { name: name.to_owned(), layers })
    }
}

impl QuantizedLayer {
    /// The int8 value of a sum in output channel `o`.
    fn requantize(&self, o: usize, sum: i64) -> i8 {
        let unit = f64::from(self.input.scale) * f64::from(self.weight_scales[o]);
        let scaled = sum as f64 * unit / f64::from(self.output.scale);
        // f64::round: half away from zero.
        (scaled.round() + f64::from(self.output.zero_point)).clamp(-128.0, 127.0) as i8
    }

    fn evaluate(&self, input: &[i8]) -> Vec<i8> {
        let [height, width, channels] = self.input_shape;
        assert_eq!(input.len(), height * width * channels, "{}", self.name);
        let zero = i64::from(self.input.zero_point);
        let dot = |inputs: &[i8], weights: &[i8]| -> i64 {
            let pairs = inputs.iter().zip(weights);
            pairs.map(|(&x, &w)| (i64::from(x) - zero) * i64::from(w)).sum()
        };
        let outputs = self.bias.len();
        let taps = self.weights.len() / outputs;
        let QuantizedKind::Conv2d { filter, stride, padding, max_pool } = self.kind else {
            return (0..outputs)
                .map(|o| {
                    let row = &self.weights[o * taps..][..taps];
                    self.requantize(o, i64::from(self.bias[o]) + dot(input, row))
                })
                .collect();
        };
        let conv = |oy: usize, ox: usize, o: usize| {
            let mut sum = i64::from(self.bias[o]);
            for ky in 0..filter[0] {
                for kx in 0..filter[1] {
                    // Outside of the input, x - zero_point is 0.
                    let y = (oy * stride[0] + ky).wrapping_sub(padding[0]);
                    let x = (ox * stride[1] + kx).wrapping_sub(padding[1]);
                    if y < height && x < width {
                        let inputs = &input[(y * width + x) * channels..][..channels];
                        let tap = o * taps + (ky * filter[1] + kx) * channels;
                        sum += dot(inputs, &self.weights[tap..][..channels]);
                    }
                }
            }
            self.requantize(o, sum)
        };
        let [ph, pw] = max_pool.unwrap_or([1, 1]);
        let [oh, ow, _] = self.output_shape;
        let mut output = Vec::with_capacity(oh * ow * outputs);
        for y in 0..oh {
            for x in 0..ow {
                for o in 0..outputs {
                    let window = (0..ph).flat_map(|dy| (0..pw).map(move |dx| (dy, dx)));
                    let values = window.map(|(dy, dx)| conv(y * ph + dy, x * pw + dx, o));
                    output.push(values.max().unwrap_or(i8::MIN));
                }
            }
        }
        output
    }
}

/// Grey levels as int8 on the grid [`PIXEL`](super::PIXEL).
#[must_use]
pub fn pixels_to_int8(pixels: &[u8]) -> Vec<i8> {
    pixels.iter().map(|&pixel| (i16::from(pixel) - 128) as i8).collect()
}

/// The index of the greatest value, the first of equal ones.
#[must_use]
pub fn first_greatest<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
