//! The training loop's view of a [`Network`], with or without fake quantization.
//!
//! A batch is cut into chunks of [`LANES`] images; chunk `i` belongs to shard `i % SHARDS`. Each shard has its own
//! gradient, and the shards' gradients are added in order. Threads only decide who computes a shard, never what is added
//! to what.

use super::{Batch, InputScaling, Totals, Trainable, Update, softmax_cross_entropy};
use crate::data::Images;
use crate::nn::{LANES, Lanes, Network, Workspace};
use crate::quantize::FakeQuantization;
use rayon::prelude::*;
use std::ops::Range;

/// The number of gradients that a batch is divided into.
const SHARDS: usize = 8;

/// What one task needs to compute its part of a batch.
#[derive(Debug)]
struct Shard {
    workspace: Workspace<f32>,
    totals: Totals,
}

/// A [`Network`] in training.
#[derive(Debug)]
pub struct Sequential<'a> {
    network: &'a Network,
    shards: Vec<Shard>,
    gradient: Vec<f32>,
    quantization: Option<FakeQuantization>,
    /// The parameters, weights rounded to int8, in quantization-aware training.
    rounded: Vec<f32>,
}

impl<'a> Sequential<'a> {
    /// With `quantization`, forward and backward passes see rounded weights and activations (see
    /// [`crate::quantize`]); the ranges of activations stay as they are in the last quarter of the epochs, which see
    /// what the integer network will have.
    #[must_use]
    pub fn new(network: &'a Network, quantization: Option<FakeQuantization>) -> Self {
        let rounded = if quantization.is_some() { vec![0.0; network.parameters()] } else { Vec::new() };
        Self { network, shards: Vec::new(), gradient: vec![0.0; network.parameters()], quantization, rounded }
    }

    /// The ranges of the activations, in quantization-aware training.
    #[must_use]
    pub fn quantization(&self) -> Option<&FakeQuantization> {
        self.quantization.as_ref()
    }

    /// Makes memory for batches of `count` images, and tells it the grids.
    fn prepare(&mut self, count: usize, parameters: &[f32]) {
        while self.shards.len() < count.div_ceil(LANES).min(SHARDS) {
            self.shards.push(Shard { workspace: Workspace::new(self.network), totals: Totals::default() });
        }
        if let Some(quantization) = &self.quantization {
            quantization.round_weights(self.network, parameters, &mut self.rounded);
            for shard in &mut self.shards {
                shard.workspace.set_grids(&quantization.grids());
                shard.workspace.forget_ranges();
            }
        }
    }
}

/// Puts up to [`LANES`] images into the input of a network; the first fills empty places.
pub(crate) fn load(images: &Images, members: &[usize], input: &mut [Lanes<f32>]) {
    let mut inputs = Vec::new();
    InputScaling::unit(images.channels).load(images, members, &mut inputs);
    load_inputs(&inputs, inputs.len() / members.len(), input);
}

/// Puts up to [`LANES`] inputs of `size` values into the input of a network; the first fills empty places.
fn load_inputs(inputs: &[f32], size: usize, lanes: &mut [Lanes<f32>]) {
    let count = inputs.len() / size;
    for lane in 0..LANES {
        let image = &inputs[if lane < count { lane } else { 0 } * size..][..size];
        for (lanes, &value) in lanes.iter_mut().zip(image) {
            lanes.0[lane] = value;
        }
    }
}

impl Trainable for Sequential<'_> {
    fn description(&self) -> String {
        let layers: Vec<_> = self.network.nodes().iter().map(|node| node.layer).collect();
        format!("{:?} {layers:?}", self.network.input_shape())
    }

    fn input(&self) -> [usize; 3] {
        self.network.input_shape()
    }

    fn classes(&self) -> usize {
        self.network.outputs()
    }

    fn parameters(&self) -> usize {
        self.network.parameters()
    }

    fn decayed(&self) -> Vec<Range<usize>> {
        self.network.nodes().iter().map(|node| node.weights.clone()).filter(|range| !range.is_empty()).collect()
    }

    fn begin_epoch(&mut self, epoch: usize, epochs: usize) {
        if let Some(quantization) = &mut self.quantization {
            quantization.frozen = 4 * epoch >= 3 * epochs || (epochs > 1 && epoch + 1 == epochs);
        }
    }

    fn step(&mut self, batch: &Batch, smoothing: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals {
        self.prepare(batch.count, parameters);
        let Self { network, shards, gradient, quantization, rounded } = self;
        let used = batch.count.div_ceil(LANES).min(SHARDS);
        let shards = &mut shards[..used];
        let seen: &[f32] = if quantization.is_some() { rounded } else { parameters };
        let size = batch.inputs.len() / batch.count;
        let classes = network.outputs();
        let scale = 1.0 / batch.count as f64;
        shards.par_iter_mut().enumerate().for_each(|(index, Shard { workspace, totals })| {
            workspace.gradient.fill(0.0);
            *totals = Totals::default();
            let chunks = batch.inputs.chunks(LANES * size).zip(batch.targets.chunks(LANES * classes));
            for (inputs, targets) in chunks.skip(index).step_by(used) {
                load_inputs(inputs, size, workspace.input());
                network.forward(seen, workspace);
                let (output, gradient) = workspace.output_gradient();
                gradient.fill(Lanes::ZERO);
                for (lane, target) in targets.chunks(classes).enumerate() {
                    let result = softmax_cross_entropy(
                        |class| f64::from(output[class].0[lane]),
                        target,
                        smoothing,
                        scale,
                        |class, value| gradient[class].0[lane] = value as f32,
                    );
                    totals.loss += result.loss;
                    totals.correct += result.correct;
                }
                network.backward(seen, workspace);
            }
        });
        if let Some(quantization) = quantization {
            quantization.observe(shards.iter().map(|shard| &shard.workspace.observed[..]));
        }
        gradient.par_chunks_mut(4096).enumerate().for_each(|(index, sum)| {
            sum.fill(0.0);
            for shard in &*shards {
                for (sum, gradient) in sum.iter_mut().zip(&shard.workspace.gradient[index * 4096..]) {
                    *sum += gradient;
                }
            }
        });
        update(0..gradient.len(), gradient, parameters);
        shards.iter().fold(Totals::default(), |sum, shard| Totals {
            loss: sum.loss + shard.totals.loss,
            correct: sum.correct + shard.totals.correct,
        })
    }

    fn infer(&mut self, parameters: &[f32], inputs: &[f32], count: usize, logits: &mut [f32]) {
        self.prepare(count, parameters);
        let Self { network, shards, quantization, rounded, .. } = self;
        let seen: &[f32] = if quantization.is_some() { rounded } else { parameters };
        let (size, classes) = (inputs.len() / count, network.outputs());
        let share = count.div_ceil(SHARDS).next_multiple_of(LANES);
        shards
            .par_iter_mut()
            .zip(inputs.par_chunks(share * size))
            .zip(logits.par_chunks_mut(share * classes))
            .for_each(|((Shard { workspace, .. }, inputs), logits)| {
                let chunks = inputs.chunks(LANES * size).zip(logits.chunks_mut(LANES * classes));
                for (inputs, logits) in chunks {
                    load_inputs(inputs, size, workspace.input());
                    network.forward(seen, workspace);
                    for (lane, logits) in logits.chunks_mut(classes).enumerate() {
                        for (value, lanes) in logits.iter_mut().zip(workspace.output()) {
                            *value = lanes.0[lane];
                        }
                    }
                }
            });
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        let ranges = self.quantization.as_ref().map(|quantization| quantization.ranges.concat());
        ranges.into_iter().map(|ranges| ("activation_ranges".to_owned(), ranges)).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f32>)]) -> bool {
        match (&mut self.quantization, state) {
            (None, []) => true,
            (Some(quantization), [(name, ranges)]) => {
                let fits = name == "activation_ranges" && ranges.len() == 2 * quantization.ranges.len();
                if fits {
                    quantization.ranges = ranges.as_chunks::<2>().0.to_vec();
                }
                fits
            }
            _ => false,
        }
    }
}
