//! The training loop: stochastic gradient descent, the same for every number of threads.
//!
//! Threads only decide who computes what, never what is added to what. Each image draws its random
//! numbers from a stream of its own.

mod loss;
mod schedule;
#[cfg(test)]
mod tests;

pub use loss::softmax_cross_entropy;
pub use schedule::Schedule;

use crate::data::{Augmentation, Images, augment};
use crate::nn::{Engine, LANES, Lanes, Mode, Network};
use crate::quantize::{FakeQuantization, PIXEL, Quantization};
use crate::random::Random;
use rayon::prelude::*;
use std::time::Instant;

/// The most images of a batch in evaluation.
const BATCH: usize = 8 * LANES;
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

/// A network in training.
pub struct Trainer<'a> {
    network: &'a Network,
    images: &'a Images,
    recipe: Recipe,
    seed: u64,
    parameters: Vec<f32>,
    velocity: Vec<f32>,
    average: Vec<f32>,
    /// The moving averages of batch normalization.
    state: Vec<f32>,
    engine: Engine<f32>,
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
        Self {
            network,
            images,
            seed,
            velocity: vec![0.0; parameters.len()],
            average: parameters.clone(),
            state: network.initial_state(),
            engine: Engine::new(network, recipe.batch, Mode::Training),
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
            None => evaluate(self.network, &self.average, &self.state, &[], images),
            Some(quantization) => {
                let mut rounded = self.average.clone();
                quantization.round_weights(self.network, &self.average, &mut rounded);
                evaluate(self.network, &rounded, &self.state, &quantization.grids(), images)
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
        let steps = self.images.len().div_ceil(self.recipe.batch) * self.recipe.epochs;
        let Self { network, images, recipe, parameters, velocity, average, engine, rounded, state, seed, .. } = self;
        if let Some(quantization) = &self.quantization {
            quantization.round_weights(network, parameters, rounded);
            engine.set_grids(&quantization.grids());
            engine.forget_ranges();
        }
        // Streams 0 to 2^32 shuffle, the others change images.
        let stream = ((self.epoch as u64 + 1) << 32) + first as u64;
        engine.load_with(batch.len(), |i, values| {
            let mut random = Random::new(*seed, stream + i as u64);
            augment(images.image(batch[i]), images.size, &recipe.augmentation, &mut random, |pixel, value| {
                values[pixel] = value * PIXEL.scale;
            });
        });
        let seen: &[f32] = if self.quantization.is_some() { rounded } else { parameters };
        engine.forward_training(seen, state, stream);
        let labels: Vec<u8> = batch.iter().map(|&member| images.labels[member]).collect();
        let mut error = vec![0.0; engine.output().len()];
        let scale = 1.0 / batch.len() as f32;
        let totals = losses(engine.output(), &labels, recipe.label_smoothing, scale, &mut error);

        let rate = recipe.schedule.rate(self.step, steps);
        self.step += 1;
        // Early averages must not remember the start.
        let warm = (1.0 + self.step as f32) / (10.0 + self.step as f32);
        let keep = recipe.average_decay.min(warm);
        let &mut Recipe { momentum, nesterov, weight_decay, .. } = recipe;
        let nodes = network.nodes();
        let mut update = |range: std::ops::Range<usize>, gradient: &[f32], parameters: &mut [f32]| {
            let start = range.start;
            let node = &nodes[nodes.partition_point(|node| node.parameters().end <= start)];
            let weights = node.weights.end;
            parameters
                .par_chunks_mut(UPDATE)
                .zip(velocity[range.clone()].par_chunks_mut(UPDATE))
                .zip(average[range].par_chunks_mut(UPDATE))
                .zip(gradient.par_chunks(UPDATE))
                .enumerate()
                .for_each(|(index, (((parameters, velocity), average), gradient))| {
                    let values = parameters.iter_mut().zip(velocity).zip(average).zip(gradient);
                    for (i, (((p, v), a), g)) in values.enumerate() {
                        let decay = if start + index * UPDATE + i < weights { weight_decay } else { 0.0 };
                        let g = g + decay * *p;
                        *v = momentum * *v + g;
                        *p -= rate * if nesterov { g + momentum * *v } else { *v };
                        *a = keep * *a + (1.0 - keep) * *p;
                    }
                });
        };
        if let Some(quantization) = &mut self.quantization {
            // The way back sees rounded weights; the optimizer moves the others.
            let mut through =
                |range: std::ops::Range<usize>, gradient: &[f32], _: &mut [f32]| update(range.clone(), gradient, &mut parameters[range]);
            engine.backward(&error, rounded, &mut through);
            quantization.observe(&engine.observed());
        } else {
            engine.backward(&error, parameters, &mut update);
        }
        totals
    }
}

/// The sum of the losses of outputs `[image][class]` and the number of images classified right; `error` is the
/// derivative, times `scale`.
fn losses(output: &[f32], labels: &[u8], smoothing: f32, scale: f32, error: &mut [f32]) -> (f64, usize) {
    let classes = output.len() / labels.len();
    let (mut loss, mut correct) = (0.0, 0);
    let chunks = output.chunks(LANES * classes).zip(error.chunks_mut(LANES * classes)).zip(labels.chunks(LANES));
    for ((output, error), members) in chunks {
        let mut labels = [None; LANES];
        let mut lanes = vec![Lanes::ZERO; classes];
        for (image, (output, &label)) in output.chunks_exact(classes).zip(members).enumerate() {
            labels[image] = Some(label);
            for (lanes, &value) in lanes.iter_mut().zip(output) {
                lanes.0[image] = value;
            }
        }
        let mut gradient = lanes.clone();
        let result = softmax_cross_entropy(&lanes, &labels, smoothing, scale, &mut gradient);
        loss += result.0;
        correct += result.1;
        for (image, error) in error.chunks_exact_mut(classes).enumerate() {
            for (value, lanes) in error.iter_mut().zip(&gradient) {
                *value = lanes.0[image];
            }
        }
    }
    (loss, correct)
}

/// Runs `network` over `images`; `each` gets the number of an image and its outputs (logits), in order.
pub fn for_each_output(
    network: &Network,
    parameters: &[f32],
    state: &[f32],
    grids: &[Option<Quantization>],
    images: &Images,
    mut each: impl FnMut(usize, &[f32]),
) {
    let numbers: Vec<usize> = (0..images.len()).collect();
    let mut engine = Engine::new(network, BATCH, Mode::Inference);
    engine.set_grids(grids);
    for batch in numbers.chunks(BATCH) {
        engine.load_with(batch.len(), |i, values| load(images, batch[i], values));
        engine.forward(parameters, state);
        for (&number, output) in batch.iter().zip(engine.output().chunks_exact(network.outputs())) {
            each(number, output);
        }
    }
}

/// Writes the values of an image as a network sees them.
pub(crate) fn load(images: &Images, number: usize, values: &mut [f32]) {
    for (value, &pixel) in values.iter_mut().zip(images.image(number)) {
        *value = f32::from(pixel) * PIXEL.scale;
    }
}

/// Loss and accuracy of `network` on `images`. `grids` are those of the network's fake
/// quantization, empty for a network without.
#[must_use]
pub fn evaluate(
    network: &Network,
    parameters: &[f32],
    state: &[f32],
    grids: &[Option<Quantization>],
    images: &Images,
) -> Evaluation {
    let (mut loss, mut correct) = (0.0, 0);
    for_each_output(network, parameters, state, grids, images, |number, output| {
        let mut unused = vec![0.0; output.len()];
        let result = losses(output, &images.labels[number..=number], 0.0, 1.0, &mut unused);
        loss += result.0;
        correct += result.1;
    });
    Evaluation { loss: loss / images.len() as f64, accuracy: correct as f64 / images.len() as f64 }
}
