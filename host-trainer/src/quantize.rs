//! Quantization to int8: training that knows about it, and the integer network that results.
//!
//! Weights are symmetric per output channel, `real = scale[channel] * q` with `q` in -127..=127.
//! Activations are affine per tensor, `real = scale * (q - zero_point)` with `q` in -128..=127;
//! after a ReLU the range starts at 0 and the zero point is -128, so that clamping to int8 *is* the
//! ReLU. (B. Jacob et al., *Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference*, 2018; R. Krishnamoorthi, *Quantizing deep convolutional
//! networks for efficient inference*, 2018.)
//!
//! Quantization-aware training keeps the weights in `f32`, but forward and backward passes see
//! them rounded, and so the activations; gradients pass the rounding unchanged (straight-through
//! estimator) except where an activation leaves its range.

mod network;
#[cfg(test)]
mod tests;
mod to_graph;

pub use network::{ModelError, QuantizedKind, QuantizedLayer, QuantizedNetwork, first_greatest, pixels_to_int8};

use crate::data::Images;
use crate::nn::{LANES, Layer, Network, Workspace};
use crate::train;
pub use bareconv::Quantization;

/// Grey levels: the value `pixel / 255` is stored as `pixel - 128`, without any rounding.
pub const PIXEL: Quantization = Quantization::new(1.0 / 255.0, -128);

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
        let mut workspace = Workspace::new(network);
        let mut sums = vec![[0.0_f64; 2]; network.grids()];
        let mut batches = 0.0;
        for batch in numbers.chunks(8 * LANES) {
            workspace.forget_ranges();
            for chunk in batch.chunks(LANES) {
                train::load(images, chunk, workspace.input());
                network.forward(parameters, &mut workspace);
            }
            for (sum, range) in sums.iter_mut().zip(&workspace.observed) {
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

    /// Adapts the ranges to those of one batch, given by each part of it.
    pub(crate) fn observe<'a>(&mut self, parts: impl Iterator<Item = &'a [[f32; 2]]> + Clone) {
        if self.frozen {
            return;
        }
        for (index, range) in self.ranges.iter_mut().enumerate() {
            let parts = parts.clone().map(|part| part[index]);
            let [low, high] = parts.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]).unwrap_or(*range);
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
    for (index, &layer) in layers.iter().enumerate() {
        result.push(layer);
        if matches!(layers.get(index + 1), None | Some(Layer::Conv2d { .. } | Layer::Dense { .. })) {
            result.push(Layer::FakeQuantize);
        }
    }
    result
}
