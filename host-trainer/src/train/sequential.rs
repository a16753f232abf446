//! The training loop's view of a [`Network`], with or without fake quantization.

use super::{Batch, Totals, Trainable, Update, softmax_cross_entropy};
use crate::nn::{Engine, LANES, Mode, Network};
use crate::quantize::FakeQuantization;
use std::ops::Range;

/// The most images that are evaluated together.
const EVALUATED: usize = 8 * LANES;

/// A [`Network`] in training.
#[derive(Debug)]
pub struct Sequential<'a> {
    network: &'a Network,
    /// The moving averages of batch normalization.
    averages: Vec<f32>,
    /// What trains and what evaluates, as soon as something does.
    training: Option<Engine<f32>>,
    inference: Option<Engine<f32>>,
    quantization: Option<FakeQuantization>,
    /// The parameters, weights rounded to int8, in quantization-aware training.
    rounded: Vec<f32>,
    /// The loss's derivative with respect to the outputs.
    error: Vec<f32>,
}

impl<'a> Sequential<'a> {
    /// With `quantization`, forward and backward passes see rounded weights and activations (see
    /// [`crate::quantize`]); the ranges of activations stay as they are in the last quarter of the epochs, which see
    /// what the integer network will have.
    #[must_use]
    pub fn new(network: &'a Network, quantization: Option<FakeQuantization>) -> Self {
        let rounded = if quantization.is_some() { vec![0.0; network.parameters()] } else { Vec::new() };
        let averages = network.initial_state();
        Self { network, averages, training: None, inference: None, quantization, rounded, error: Vec::new() }
    }

    /// The ranges of the activations, in quantization-aware training.
    #[must_use]
    pub fn quantization(&self) -> Option<&FakeQuantization> {
        self.quantization.as_ref()
    }

    /// The moving averages of batch normalization.
    #[must_use]
    pub fn averages(&self) -> &[f32] {
        &self.averages
    }
}

/// An engine for batches of so many images: the one there is, or a new one.
fn engine<'e>(
    slot: &'e mut Option<Engine<f32>>,
    network: &Network,
    count: usize,
    mode: Mode,
    quantization: Option<&FakeQuantization>,
) -> &'e mut Engine<f32> {
    if slot.as_ref().is_none_or(|engine| engine.capacity() < count) {
        // The old one's memory first.
        *slot = None;
    }
    let engine = slot.get_or_insert_with(|| Engine::new(network, count, mode));
    if let Some(quantization) = quantization {
        engine.set_grids(&quantization.grids());
        engine.forget_ranges();
    }
    engine
}

impl Trainable for Sequential<'_> {
    fn description(&self) -> String {
        let nodes: Vec<_> = self.network.nodes().iter().map(|node| (&node.layer, &node.inputs)).collect();
        let rounding = self.quantization.as_ref().map(|quantization| format!(", {}", quantization.rules()));
        format!("{:?} {nodes:?}{}", self.network.input_shape(), rounding.unwrap_or_default())
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
        let filters = self.network.nodes().iter().filter(|node| node.layer.has_filters() && !node.layer.only_scales());
        filters.map(|node| node.weights.clone()).collect()
    }

    fn begin_epoch(&mut self, epoch: usize, epochs: usize, _: &[f32]) -> Option<Vec<bool>> {
        if let Some(quantization) = &mut self.quantization {
            quantization.frozen = 4 * epoch >= 3 * epochs || (epochs > 1 && epoch + 1 == epochs);
        }
        None
    }

    fn step(&mut self, batch: &Batch, smoothing: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals {
        let Self { network, averages, training, quantization, rounded, error, .. } = self;
        let engine = engine(training, network, batch.count, Mode::Training, quantization.as_ref());
        if let Some(quantization) = &quantization {
            quantization.round_weights(network, parameters, rounded);
        }
        let seen = if quantization.is_some() { &rounded[..] } else { &*parameters };
        engine.load(&batch.inputs);
        engine.forward_training(seen, averages, batch.stream);
        let classes = network.outputs();
        error.resize(batch.count * classes, 0.0);
        let mut totals = Totals::default();
        let images = engine.output().chunks(classes).zip(error.chunks_mut(classes)).zip(batch.targets.chunks(classes));
        for ((output, error), target) in images {
            let result = softmax_cross_entropy(
                |class| f64::from(output[class]),
                target,
                smoothing,
                1.0 / batch.count as f64,
                |class, value| error[class] = value as f32,
            );
            totals.loss += result.loss;
            totals.correct += result.correct;
        }
        if let Some(quantization) = quantization {
            // The way back sees rounded weights; the optimizer moves the others.
            engine.backward(error, rounded, &mut |range, gradient, _| {
                update(range.clone(), gradient, &mut parameters[range]);
            });
            quantization.observe(&engine.observed());
        } else {
            engine.backward(error, parameters, update);
        }
        totals
    }

    fn infer(&mut self, parameters: &[f32], inputs: &[f32], count: usize, logits: &mut [f32]) {
        let Self { network, averages, inference, quantization, rounded, .. } = self;
        let engine = engine(inference, network, count.min(EVALUATED), Mode::Inference, quantization.as_ref());
        if let Some(quantization) = &quantization {
            quantization.round_weights(network, parameters, rounded);
        }
        let seen = if quantization.is_some() { &rounded[..] } else { parameters };
        let (size, classes, together) = (inputs.len() / count, network.outputs(), engine.capacity());
        for (inputs, logits) in inputs.chunks(together * size).zip(logits.chunks_mut(together * classes)) {
            engine.load(inputs);
            engine.forward(seen, averages);
            logits.copy_from_slice(engine.output());
        }
    }

    fn adapt(&mut self, parameters: &[f32], batch: &Batch) -> bool {
        if self.averages.is_empty() {
            return false;
        }
        let Self { network, averages, training, quantization, rounded, .. } = self;
        let engine = engine(training, network, batch.count, Mode::Training, quantization.as_ref());
        if let Some(quantization) = &quantization {
            quantization.round_weights(network, parameters, rounded);
        }
        let seen = if quantization.is_some() { &rounded[..] } else { parameters };
        engine.load(&batch.inputs);
        engine.forward_training(seen, averages, batch.stream);
        true
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        let ranges = self.quantization.as_ref().map(|quantization| quantization.ranges.concat());
        let ranges = ranges.map(|ranges| ("activation_ranges".to_owned(), ranges));
        let averages = (!self.averages.is_empty()).then(|| ("moving_averages".to_owned(), self.averages.clone()));
        averages.into_iter().chain(ranges).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f32>)]) -> bool {
        let expected = self.state();
        let same = expected.iter().zip(state).all(|(a, b)| a.0 == b.0 && a.1.len() == b.1.len());
        if expected.len() != state.len() || !same {
            return false;
        }
        for (name, values) in state {
            match &mut self.quantization {
                Some(quantization) if name == "activation_ranges" => {
                    quantization.ranges = values.as_chunks::<2>().0.to_vec();
                }
                _ => self.averages.clone_from(values),
            }
        }
        true
    }
}
