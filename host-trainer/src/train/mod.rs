//! The training loop: stochastic gradient descent, data-parallel and the same for every number of
//! threads.
//!
//! A batch is cut into chunks of [`LANES`] images; chunk `i` belongs to shard `i % SHARDS`. Each
//! shard has its own gradient, and the update adds the shards' gradients in order. Threads only
//! decide who computes a shard, never what is added to what. Each image draws its random numbers
//! from a stream of its own.

mod loss;
mod schedule;
#[cfg(test)]
mod tests;

pub use loss::softmax_cross_entropy;
pub use schedule::Schedule;

use crate::data::{Augmentation, Images, augment};
use crate::nn::{LANES, Lanes, Network, Workspace};
use crate::quantize::{FakeQuantization, PIXEL, Quantization};
use crate::random::Random;
use rayon::prelude::*;
use std::time::Instant;

/// The number of gradients that a batch is divided into.
const SHARDS: usize = 8;
/// Number of parameters that one task updates.
const UPDATE: usize = 4096;

/// How to train.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Share of the last step that is repeated: 0.9 is usual.
    pub momentum: f32,
    /// Nesterov's momentum: the gradient after the step that momentum alone would do.
    pub nesterov: bool,
    /// Pulls weights (not biases) to 0: `weight_decay * weight` is added to the gradient.
    pub weight_decay: f32,
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f32,
    /// Random changes of the images.
    pub augmentation: Augmentation,
    /// Decay per step of the moving average of the parameters, which is the result of training.
    /// 0 takes the parameters of the last step.
    pub average_decay: f32,
}

/// What one epoch achieved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Mean loss on the (augmented) training images, during the epoch.
    pub loss: f64,
    /// Share of (augmented) training images classified right, during the epoch.
    pub accuracy: f64,
    /// Speed of training.
    pub images_per_second: f64,
}

/// What a network makes of labelled images.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of images classified right.
    pub accuracy: f64,
}

/// Where an epoch stands, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Images done in this epoch.
    pub images: usize,
    /// Mean loss so far in this epoch.
    pub loss: f64,
    /// Share classified right so far in this epoch.
    pub accuracy: f64,
    /// Speed so far in this epoch.
    pub images_per_second: f64,
}

/// What one task needs to compute its part of a batch.
struct Shard {
    workspace: Workspace<f32>,
    loss: f64,
    correct: usize,
}

/// A network in training.
pub struct Trainer<'a> {
    network: &'a Network,
    images: &'a Images,
    recipe: Recipe,
    seed: u64,
    parameters: Vec<f32>,
    velocity: Vec<f32>,
    average: Vec<f32>,
    shards: Vec<Shard>,
    order: Vec<usize>,
    epoch: usize,
    step: usize,
    quantization: Option<FakeQuantization>,
    /// The parameters, weights rounded to int8, in quantization-aware training.
    rounded: Vec<f32>,
}

impl<'a> Trainer<'a> {
    /// Trains `network` from `parameters` on. With `quantization`, forward and backward passes see
    /// rounded weights and activations (see [`crate::quantize`]).
    ///
    /// # Panics
    /// When the images have another size than the network's input, there are none, or the batch
    /// size is 0.
    #[must_use]
    pub fn new(
        network: &'a Network,
        images: &'a Images,
        parameters: Vec<f32>,
        recipe: Recipe,
        seed: u64,
        quantization: Option<FakeQuantization>,
    ) -> Self {
        assert_eq!([images.size[0], images.size[1], 1], network.input_shape());
        assert_eq!(parameters.len(), network.parameters());
        assert!(!images.is_empty() && recipe.batch > 0);
        let shards = recipe.batch.div_ceil(LANES).min(SHARDS);
        Self {
            network,
            images,
            seed,
            velocity: vec![0.0; parameters.len()],
            average: parameters.clone(),
            shards: (0..shards).map(|_| Shard { workspace: Workspace::new(network), loss: 0.0, correct: 0 }).collect(),
            order: (0..images.len()).collect(),
            epoch: 0,
            step: 0,
            rounded: if quantization.is_some() { parameters.clone() } else { Vec::new() },
            quantization,
            parameters,
            recipe,
        }
    }

    /// The result so far: the moving average of the parameters.
    #[must_use]
    pub fn result(&self) -> &[f32] {
        &self.average
    }

    /// The ranges of the activations, in quantization-aware training.
    #[must_use]
    pub fn quantization(&self) -> Option<&FakeQuantization> {
        self.quantization.as_ref()
    }

    /// Stops the adaption of the activations' ranges.
    pub fn freeze_ranges(&mut self) {
        if let Some(quantization) = &mut self.quantization {
            quantization.frozen = true;
        }
    }

    /// Loss and accuracy of the result so far, with rounded weights and activations in
    /// quantization-aware training.
    #[must_use]
    pub fn evaluate(&self, images: &Images) -> Evaluation {
        match &self.quantization {
            None => evaluate(self.network, &self.average, &[], images),
            Some(quantization) => {
                let mut rounded = self.average.clone();
                quantization.round_weights(self.network, &self.average, &mut rounded);
                evaluate(self.network, &rounded, &quantization.grids(), images)
            }
        }
    }

    /// One pass over the training images, calling `progress` after each step.
    pub fn epoch(&mut self, mut progress: impl FnMut(Progress)) -> Epoch {
        let start = Instant::now();
        let count = self.images.len();
        Random::new(self.seed, self.epoch as u64).shuffle(&mut self.order);
        let (mut loss, mut correct, mut done) = (0.0, 0, 0);
        let order = std::mem::take(&mut self.order);
        for batch in order.chunks(self.recipe.batch) {
            let (batch_loss, batch_correct) = self.step(batch, done);
            loss += batch_loss;
            correct += batch_correct;
            done += batch.len();
            progress(Progress {
                images: done,
                loss: loss / done as f64,
                accuracy: correct as f64 / done as f64,
                images_per_second: done as f64 / start.elapsed().as_secs_f64(),
            });
        }
        self.order = order;
        self.epoch += 1;
        Epoch {
            loss: loss / count as f64,
            accuracy: correct as f64 / count as f64,
            images_per_second: count as f64 / start.elapsed().as_secs_f64(),
        }
    }

    /// One step; `first` is the place of the batch in the epoch. Returns the sum of the losses and
    /// the number of images classified right.
    fn step(&mut self, batch: &[usize], first: usize) -> (f64, usize) {
        let Self { network, images, recipe, parameters, shards, rounded, .. } = self;
        if let Some(quantization) = &self.quantization {
            quantization.round_weights(network, parameters, rounded);
            for shard in &mut *shards {
                shard.workspace.set_grids(&quantization.grids());
                shard.workspace.forget_ranges();
            }
        }
        let seen: &[f32] = if self.quantization.is_some() { rounded } else { parameters };
        // Streams 0 to 2^32 shuffle, the others change images.
        let stream = ((self.epoch as u64 + 1) << 32) + first as u64;
        let stride = shards.len();
        shards.par_iter_mut().enumerate().for_each(|(index, shard)| {
            let Shard { workspace, loss, correct } = shard;
            workspace.gradient.fill(0.0);
            (*loss, *correct) = (0.0, 0);
            for (chunk, members) in batch.chunks(LANES).enumerate().skip(index).step_by(stride) {
                let mut labels = [None; LANES];
                for (lane, label) in labels.iter_mut().enumerate() {
                    // The last chunk may be short: the first image fills it up, without a label.
                    let member = members.get(lane).copied();
                    let source = member.unwrap_or(members[0]);
                    *label = member.map(|member| images.labels[member]);
                    let place = (chunk * LANES + if member.is_some() { lane } else { 0 }) as u64;
                    let mut random = Random::new(self.seed, stream + place);
                    let input = workspace.input();
                    augment(images.image(source), images.size, &recipe.augmentation, &mut random, |pixel, value| {
                        input[pixel].0[lane] = value * PIXEL.scale
                    });
                }
                network.forward(seen, workspace);
                let (output, gradient) = workspace.output_gradient();
                let result =
                    softmax_cross_entropy(output, &labels, recipe.label_smoothing, 1.0 / batch.len() as f32, gradient);
                *loss += result.0;
                *correct += result.1;
                network.backward(seen, workspace);
            }
        });
        if let Some(quantization) = &mut self.quantization {
            quantization.observe(shards.iter().map(|shard| &shard.workspace.observed[..]));
        }
        let totals =
            shards.iter().fold((0.0, 0), |(loss, correct), shard| (loss + shard.loss, correct + shard.correct));
        self.update(batch.len());
        totals
    }

    /// Moves the parameters against the gradient.
    fn update(&mut self, batch: usize) {
        let steps = self.images.len().div_ceil(self.recipe.batch) * self.recipe.epochs;
        let rate = self.recipe.schedule.rate(self.step, steps);
        self.step += 1;
        // Early averages must not remember the start.
        let warm = (1.0 + self.step as f32) / (10.0 + self.step as f32);
        let keep = self.recipe.average_decay.min(warm);
        let Recipe { momentum, nesterov, .. } = self.recipe;
        let used = batch.div_ceil(LANES).min(self.shards.len());
        let gradients: Vec<&[f32]> = self.shards[..used].iter().map(|shard| &shard.workspace.gradient[..]).collect();
        for node in self.network.nodes() {
            for (range, decay) in [(node.weights.clone(), self.recipe.weight_decay), (node.bias.clone(), 0.0)] {
                let start = range.start;
                self.parameters[range.clone()]
                    .par_chunks_mut(UPDATE)
                    .zip(self.velocity[range.clone()].par_chunks_mut(UPDATE))
                    .zip(self.average[range].par_chunks_mut(UPDATE))
                    .enumerate()
                    .for_each(|(index, ((parameters, velocity), average))| {
                        let mut sum = [0.0; UPDATE];
                        let sum = &mut sum[..parameters.len()];
                        for gradient in &gradients {
                            let gradient = &gradient[start + index * UPDATE..][..sum.len()];
                            for (sum, gradient) in sum.iter_mut().zip(gradient) {
                                *sum += gradient;
                            }
                        }
                        for (((p, v), a), g) in parameters.iter_mut().zip(velocity).zip(average).zip(sum.iter()) {
                            let g = g + decay * *p;
                            *v = momentum * *v + g;
                            *p -= rate * if nesterov { g + momentum * *v } else { *v };
                            *a = keep * *a + (1.0 - keep) * *p;
                        }
                    });
            }
        }
    }
}

/// Runs `network` over `images`; `each` gets the number of an image and its outputs (logits), in
/// no particular order.
pub fn for_each_output(
    network: &Network,
    parameters: &[f32],
    grids: &[Option<Quantization>],
    images: &Images,
    each: impl Fn(usize, &[f32]) + Sync,
) {
    let numbers: Vec<usize> = (0..images.len()).collect();
    let share = images.len().div_ceil(SHARDS).next_multiple_of(LANES);
    numbers.par_chunks(share.max(1)).for_each(|share| {
        let mut workspace = Workspace::new(network);
        workspace.set_grids(grids);
        let mut output = vec![0.0; network.outputs()];
        for chunk in share.chunks(LANES) {
            load(images, chunk, workspace.input());
            network.forward(parameters, &mut workspace);
            for (lane, &number) in chunk.iter().enumerate() {
                for (value, lanes) in output.iter_mut().zip(workspace.output()) {
                    *value = lanes.0[lane];
                }
                each(number, &output);
            }
        }
    });
}

/// Puts up to [`LANES`] images into the input of a network; the first fills empty places.
pub(crate) fn load(images: &Images, members: &[usize], input: &mut [Lanes<f32>]) {
    for lane in 0..LANES {
        let member = members.get(lane).unwrap_or(&members[0]);
        for (lanes, &pixel) in input.iter_mut().zip(images.image(*member)) {
            lanes.0[lane] = f32::from(pixel) * PIXEL.scale;
        }
    }
}

/// Loss and accuracy of `network` on `images`. `grids` are those of the network's fake
/// quantization, empty for a network without.
#[must_use]
pub fn evaluate(network: &Network, parameters: &[f32], grids: &[Option<Quantization>], images: &Images) -> Evaluation {
    // One slot per image: the sum has a fixed order.
    let results: Vec<std::sync::OnceLock<(f64, usize)>> =
        images.labels.iter().map(|_| std::sync::OnceLock::new()).collect();
    for_each_output(network, parameters, grids, images, |number, output| {
        let output: Vec<_> = output.iter().map(|&value| Lanes::splat(value)).collect();
        let mut gradient = output.clone();
        let mut labels = [None; LANES];
        labels[0] = Some(images.labels[number]);
        let result = softmax_cross_entropy(&output, &labels, 0.0, 1.0, &mut gradient);
        results[number].get_or_init(|| result);
    });
    let (loss, correct) = results
        .iter()
        .filter_map(std::sync::OnceLock::get)
        .fold((0.0, 0), |sum, result| (sum.0 + result.0, sum.1 + result.1));
    Evaluation { loss: loss / images.len() as f64, accuracy: correct as f64 / images.len() as f64 }
}
