//! Quantization: from a float32 network to one of integers.
//!
//! [`post_training`] takes any float32 [`Graph`](crate::graph::Graph), trained here or imported, and typical inputs, and
//! gives a graph of int8 activations with int8 or int4 weights, or of int16 activations with int8 weights, for any of the
//! library's roundings. What [`run::Interpreter`](crate::run::Interpreter) computes of it is the integer arithmetic of
//! `bareconv` itself.
//!
//! Weights are symmetric per output channel, `real = scale[channel] * q` with `q` in -127..=127 (int4: -7..=7).
//! Activations are affine per tensor, `real = scale * (q - zero_point)` with `q` in -128..=127;
//! after a ReLU the range starts at 0 and the zero point is -128, so that clamping to int8 *is* the
//! ReLU. (B. Jacob et al., *Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference*, 2018; R. Krishnamoorthi, *Quantizing deep convolutional
//! networks for efficient inference*, 2018.)
//!
//! Quantization-aware training keeps the weights in `f32`, but forward and backward passes see
//! them rounded, and so the activations; gradients pass the rounding unchanged (straight-through
//! estimator) except where an activation leaves its range.

mod compensate;
mod convert;
mod correct;
mod equalize;
mod linear;
mod network;
mod observe;
mod options;
mod post_training;
mod prune;
mod report;
#[cfg(test)]
mod tests;
mod to_graph;
mod weights;

pub use correct::correct_biases;
pub use equalize::equalize;
pub use network::{ModelError, QuantizedKind, QuantizedLayer, QuantizedNetwork, first_greatest, pixels_to_int8};

pub use options::{Integers, Options, RangeChoice, WeightBits};
pub use post_training::{Quantized, post_training};
pub use prune::{Mask, Pruned, Pruning, PruningScope};
pub use report::{LayerReport, Report};

use crate::data::Images;
use crate::graph::{Element, GraphError, Node, Numbers};
use crate::nn::{Engine, LANES, Layer, Mode, Network};
use crate::train;
pub use bareconv::Quantization;

/// Grey levels: the value `pixel / 255` is stored as `pixel - 128`, without any rounding.
pub const PIXEL: Quantization = Quantization::new(1.0 / 255.0, -128);

/// Why a network could not be quantized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantizeError {
    /// A rule of graphs, or of the library.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Options that make no sense.
    #[error("{0}")]
    Options(String),
    /// Nothing to choose ranges from.
    #[error("there are no calibration inputs: ranges of activations come from some hundred typical ones")]
    NoCalibration,
    /// It is no float32 network.
    #[error("value `{value}` is of type {element}: begin with the network in float32")]
    Quantized {
        /// The value.
        value: String,
        /// Its type.
        element: &'static str,
    },
    /// An operator that there is not in these integers.
    #[error("{place}: {reason}")]
    Operator {
        /// Where.
        place: String,
        /// Why not, and what to do.
        reason: String,
    },
}

impl QuantizeError {
    fn not_float(node: &Node) -> Self {
        let reason = "its numbers are not in float32: begin with the network in float32".to_owned();
        Self::Operator { place: format!("{} `{}`", node.place, node.name), reason }
    }
}

/// Real numbers as those of an element: the nearest integers, halves away from zero, saturated. Integers stay as they are.
#[must_use]
pub fn to_element(element: Element, numbers: &Numbers) -> Numbers {
    match (element, numbers) {
        (Element::Int8(quantization), Numbers::F32(reals)) => {
            let mut integers = vec![0; reals.len()];
            bareconv::reference::quantize_i8(quantization, reals, &mut integers);
            Numbers::Int8(integers)
        }
        (Element::Int16(scale), Numbers::F32(reals)) => {
            let mut integers = vec![0; reals.len()];
            bareconv::reference::quantize_i16(scale, reals, &mut integers);
            Numbers::Int16(integers)
        }
        _ => numbers.clone(),
    }
}

/// The real numbers that the numbers of an element stand for.
#[must_use]
pub fn to_reals(element: Element, numbers: &Numbers) -> Vec<f32> {
    let of = element.quantization().unwrap_or(Quantization::new(1.0, 0));
    match numbers {
        Numbers::Int8(integers) => integers.iter().map(|&q| of.dequantize(q)).collect(),
        Numbers::Int16(integers) => integers.iter().map(|&q| f32::from(q) * of.scale).collect(),
        Numbers::F32(reals) => reals.clone(),
    }
}

/// The quantization of a network in training: the range of every activation.
#[derive(Clone, Debug)]
pub struct FakeQuantization {
    /// Least and greatest value of each activation: moving averages of those of single batches.
    pub(crate) ranges: Vec<[f32; 2]>,
    /// What a range keeps of itself at each step.
    decay: f32,
    /// Whether ranges no longer move.
    pub(crate) frozen: bool,
}

impl FakeQuantization {
    /// Starts with the mean ranges over the first 2,048 images. Each step keeps the share `decay`
    /// of a range and adapts the rest to the batch.
    #[must_use]
    pub fn calibrate(network: &Network, parameters: &[f32], images: &Images, decay: f32) -> Self {
        let count = images.len().min(2048);
        let numbers: Vec<usize> = (0..count).collect();
        let state = network.initial_state();
        let mut engine = Engine::new(network, 8 * LANES, Mode::Inference);
        let mut sums = vec![[0.0_f64; 2]; network.grids()];
        let mut batches = 0.0;
        for batch in numbers.chunks(8 * LANES) {
            engine.forget_ranges();
            engine.load_with(batch.len(), |i, values| train::load(images, batch[i], values));
            engine.forward(parameters, &state);
            for (sum, range) in sums.iter_mut().zip(engine.observed()) {
                sum[0] += f64::from(range[0]);
                sum[1] += f64::from(range[1]);
            }
            batches += 1.0;
        }
        Self { ranges: sums.iter().map(|sum| sum.map(|sum| (sum / batches) as f32)).collect(), decay, frozen: false }
    }

    /// The grids of the activations for the present ranges.
    #[must_use]
    pub fn grids(&self) -> Vec<Option<Quantization>> {
        self.ranges.iter().map(|&[low, high]| Some(Quantization::from_range(low, high))).collect()
    }

    /// Adapts the ranges to those of one batch.
    pub(crate) fn observe(&mut self, observed: &[[f32; 2]]) {
        if self.frozen {
            return;
        }
        for (range, [low, high]) in self.ranges.iter_mut().zip(observed) {
            range[0] = self.decay * range[0] + (1.0 - self.decay) * low;
            range[1] = self.decay * range[1] + (1.0 - self.decay) * high;
        }
    }

    /// Rounds all weights to their int8 grids, as `f32`; biases stay.
    pub(crate) fn round_weights(&self, network: &Network, parameters: &[f32], rounded: &mut [f32]) {
        for node in network.nodes() {
            if node.weights.is_empty() {
                continue;
            }
            rounded[node.bias.clone()].copy_from_slice(&parameters[node.bias.clone()]);
            let filters = parameters[node.weights.clone()].chunks_exact(node.fan_in());
            let targets = rounded[node.weights.clone()].chunks_exact_mut(node.fan_in());
            for (filter, target) in filters.zip(targets) {
                let scale = weight_scale(filter);
                for (weight, target) in filter.iter().zip(target) {
                    *target = quantize_weight(*weight, scale) * scale;
                }
            }
        }
    }
}

/// The scale that puts the greatest weight of a filter on 127 or -127.
fn weight_scale(filter: &[f32]) -> f32 {
    let greatest = filter.iter().fold(0.0_f32, |max, weight| {
        let weight = weight.abs();
        if weight > max { weight } else { max }
    });
    // A filter of zeros has no scale of its own; any does.
    if greatest < 1e-30 { 1.0 } else { greatest / 127.0 }
}

/// The nearest whole multiple of the scale, ties to even, from -127 to 127.
fn quantize_weight(weight: f32, scale: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves no bits for a fraction: rounds, in vectors, on every CPU.
    const WHOLE: f32 = 12_582_912.0;
    ((weight / scale + WHOLE) - WHOLE).clamp(-127.0, 127.0)
}

/// The layers with a [`Layer::FakeQuantize`] after every group of a convolution or dense layer,
/// its ReLU and its max pooling: the places where the integer network has int8 values.
#[must_use]
pub fn insert_fake_quantization(layers: &[Layer]) -> Vec<Layer> {
    let mut result = Vec::with_capacity(2 * layers.len());
    for (index, layer) in layers.iter().enumerate() {
        result.push(layer.clone());
        if matches!(layers.get(index + 1), None | Some(Layer::Conv2d(_) | Layer::Dense { .. })) {
            result.push(Layer::FakeQuantize);
        }
    }
    result
}
