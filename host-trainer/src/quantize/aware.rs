//! Quantization-aware training.

use super::options::{Options, RangeChoice, WeightBits};
use super::post_training::{quantize_with, trained_element};
use super::weights::WeightRule;
use super::{QuantizeError, Quantized};
use crate::graph::{Element, Numbers, Rounding};
use crate::nn::{Engine, Layer, Mode, Network, NetworkBuilder, Node, ToGraphError, Value};
use bareconv::Quantization;
use rayon::prelude::*;
use std::collections::HashMap;

/// Inputs that are observed together before training.
const TOGETHER: usize = 128;

/// Why a network could not be made ready for quantization-aware training, or not be quantized after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwareError {
    /// The network has no intermediate form.
    #[error(transparent)]
    Network(#[from] ToGraphError),
    /// Quantization.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Batch normalization that no layer with filters precedes.
    #[error(
        "`{0}` cannot be folded: for quantization-aware training, batch normalization follows a layer with filters"
    )]
    BatchNorm(String),
}

/// A trained network, ready to be trained on with quantization: batch normalization is folded, dropout left out, and a
/// [`Layer::FakeQuantize`] is wherever the integer network has integers of a quantization of their own.
///
/// ```
/// use host_trainer::graph::Numbers;
/// use host_trainer::nn::{Conv2d, Initialization, Layer, Network};
/// use host_trainer::quantize::{AwareNetwork, Options};
/// use host_trainer::train::Sequential;
///
/// let layers = [Conv2d::new(4, [3, 3]).into(), Layer::batch_norm(), Layer::Relu, Layer::dense(2)];
/// let network = Network::new([6, 6, 1], &layers)?;
/// let (parameters, state) = (network.initialize(Initialization::He, 1), network.initial_state());
///
/// let options = Options::default();
/// let aware = AwareNetwork::new(&network, &parameters, &state)?;
/// let images: Vec<f32> = (0..10 * 36).map(|i| (i * 7 % 11) as f32 / 10.0).collect();
/// let ranges = aware.observe(&images, 0.99, &options);
/// let model = Sequential::new(&aware.network, Some(ranges));
/// // Here it is trained, from `aware.parameters` on.
/// let calibration: Vec<_> = images.chunks(36).map(|image| vec![Numbers::F32(image.to_vec())]).collect();
/// let ranges = model.quantization().expect("it was given");
/// let quantized = aware.quantize(&aware.parameters, ranges, "example", &calibration, &options)?;
/// assert_eq!(quantized.graph.nodes.len(), 3, "convolution, reshape, dense");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AwareNetwork {
    /// The network.
    pub network: Network,
    /// Its parameters, where training goes on.
    pub parameters: Vec<f32>,
    /// The name in the graph of what each layer of kind [`Layer::FakeQuantize`] rounds.
    names: Vec<String>,
}

impl AwareNetwork {
    /// Makes a trained network ready.
    ///
    /// # Errors
    /// Where batch normalization cannot be folded.
    ///
    /// # Panics
    /// When `parameters` or `state` are not the network's.
    pub fn new(network: &Network, parameters: &[f32], state: &[f32]) -> Result<Self, AwareError> {
        let folded = network.in_inference().fold_batch_norm(parameters, state).map_err(ToGraphError::from)?;
        let plain = &folded.network;
        if let Some(node) = plain.nodes().iter().find(|node| matches!(node.layer, Layer::BatchNorm { .. })) {
            return Err(AwareError::BatchNorm(node.name.clone()));
        }
        let mut builder = NetworkBuilder::new(plain.input_shape());
        let mut values = vec![builder.input()];
        let mut names = Vec::new();
        for (index, node) in plain.nodes().iter().enumerate() {
            let inputs: Vec<Value> = node.inputs.iter().map(|&input| values[place(plain, input)]).collect();
            let mut value =
                builder.add_named(&node.name, node.layer.clone(), &inputs).expect("its shapes are as before");
            if rounds(plain, index) {
                value = builder.add(Layer::FakeQuantize, &[value]).expect("it fits everything");
                names.push(graph_name(plain, node));
            }
            values.push(value);
        }
        let network = builder.finish(values[place(plain, plain.output())]).expect("every output is taken as before");
        Ok(Self { network, parameters: folded.parameters, names })
    }

    /// The quantization to begin training with: the mean ranges of activations over batches of `inputs`, which follow one
    /// another. Each step keeps the share `decay` of a range and adapts the rest to the batch. Weights become what the
    /// options say, with scales of the greatest magnitudes; int16 activations are not rounded.
    ///
    /// # Panics
    /// When the inputs are not whole.
    #[must_use]
    pub fn observe(&self, inputs: &[f32], decay: f32, options: &Options) -> FakeQuantization {
        FakeQuantization::new(&self.network, &self.parameters, inputs, decay, options)
    }

    /// The integer network, after training: with the ranges of activations that it was trained with, and scales of weights by
    /// their greatest magnitudes, without equalization, compensated errors and corrected biases. All else is as in
    /// [`post_training`](super::post_training).
    ///
    /// # Errors
    /// As `post_training`, or where a layer has no operator.
    ///
    /// # Panics
    /// When the parameters or ranges are not the network's.
    pub fn quantize(
        &self,
        parameters: &[f32],
        ranges: &FakeQuantization,
        name: &str,
        calibration: &[Vec<Numbers>],
        options: &Options,
    ) -> Result<Quantized, AwareError> {
        assert_eq!(ranges.ranges.len(), self.names.len(), "the network's ranges");
        let graph = self.network.to_graph(parameters, &[], name)?;
        let trained: HashMap<&str, [f32; 2]> =
            self.names.iter().map(String::as_str).zip(ranges.ranges.iter().copied()).collect();
        // Biases and weights were trained as they are rounded: nothing is left to make up for.
        let options = Options {
            weight_range: RangeChoice::MinMax,
            equalization: false,
            error_compensation: false,
            bias_correction: false,
            ..options.clone()
        };
        Ok(quantize_with(&graph, &trained, calibration, &options)?)
    }
}

/// The place of a value: 0 is the input, the others are one more than their nodes'.
fn place(network: &Network, value: Value) -> usize {
    network.producer(value).map_or(0, |node| node + 1)
}

/// The only node that takes the output of a node, if it is no output of the network.
fn only_taker(network: &Network, index: usize) -> Option<usize> {
    let (value, nodes) = (network.value(index), network.nodes());
    let mut takers = (0..nodes.len()).filter(|&taker| nodes[taker].inputs.contains(&value));
    takers.next().filter(|_| takers.next().is_none() && network.output() != value)
}

/// Whether an activation behind this layer becomes part of its operator.
fn fuses(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::Conv2d(_)
            | Layer::DepthwiseConv2d(_)
            | Layer::TransposedConv2d(_)
            | Layer::LocallyConnected2d(_)
            | Layer::Dense { .. }
            | Layer::Add
            | Layer::Subtract
            | Layer::Multiply
    )
}

/// Whether the output of a node is rounded in training. Rounding and maxima can change places: what is pooled is rounded
/// behind the pooling, where there is less of it.
fn rounds(network: &Network, index: usize) -> bool {
    let nodes = network.nodes();
    let is_pooled =
        |index| only_taker(network, index).is_some_and(|taker| matches!(nodes[taker].layer, Layer::MaxPool2d(_)));
    let mut first = index;
    while let Layer::MaxPool2d(_) = nodes[first].layer
        && let Some(before) = network.producer(nodes[first].inputs[0])
        && is_pooled(before)
    {
        first = before;
    }
    has_quantization(network, first) && !is_pooled(index)
}

/// Whether the output of a node has a quantization of its own.
fn has_quantization(network: &Network, index: usize) -> bool {
    let nodes = network.nodes();
    let layer = &nodes[index].layer;
    let keeps = matches!(
        layer,
        Layer::AveragePool2d { .. }
            | Layer::GlobalAveragePool
            | Layer::SpatialPyramidPool { .. }
            | Layer::Sigmoid
            | Layer::Tanh
            | Layer::Softmax
    );
    if keeps || moves(layer) {
        return false;
    }
    let mut taker = only_taker(network, index);
    let taken_by = |taker: Option<usize>| taker.map(|taker| &nodes[taker].layer);
    // It never exists by itself.
    if matches!(taken_by(taker), Some(Layer::Relu | Layer::Relu6)) && fuses(layer) {
        return false;
    }
    // What is concatenated has the result's quantization, wherever it is moved before.
    while let Some(next) = taker
        && moves(&nodes[next].layer)
    {
        taker = only_taker(network, next);
    }
    !matches!(taken_by(taker), Some(Layer::Concatenate { .. }))
}

/// Whether each output of a layer is one of its inputs, or 0: to round before it is to round behind it.
fn moves(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::MaxPool2d(_)
            | Layer::Upsample { .. }
            | Layer::Pad { .. }
            | Layer::Slice { .. }
            | Layer::Reshape { .. }
            | Layer::Flatten
    )
}

/// The name in the graph of the output of a node: an activation is part of the operator before it, if it can be.
fn graph_name(network: &Network, node: &Node) -> String {
    let before = network.producer(node.inputs[0]);
    match (&node.layer, before) {
        (Layer::Relu | Layer::Relu6, Some(before))
            if fuses(&network.nodes()[before].layer) && only_taker(network, before).is_some() =>
        {
            network.nodes()[before].name.clone()
        }
        _ => node.name.clone(),
    }
}

/// The quantization of a network in training: the range of every activation, and how weights are rounded.
#[derive(Clone, Debug)]
pub struct FakeQuantization {
    /// Least and greatest value of each activation: moving averages of those of single batches.
    pub(crate) ranges: Vec<[f32; 2]>,
    /// What a range keeps of itself at each step.
    pub(super) decay: f32,
    /// Whether ranges no longer move.
    pub(crate) frozen: bool,
    /// What the network becomes.
    pub(super) options: Options,
}

impl FakeQuantization {
    /// The quantization to begin with: the mean ranges of activations over batches of `inputs`, which follow one another. Each
    /// step keeps the share `decay` of a range and adapts the rest to the batch.
    ///
    /// # Panics
    /// When the inputs are not whole, or `parameters` are not the network's.
    #[must_use]
    pub fn new(network: &Network, parameters: &[f32], inputs: &[f32], decay: f32, options: &Options) -> Self {
        let size: usize = network.input_shape().iter().product();
        let state = network.initial_state();
        let mut engine = Engine::new(network, TOGETHER, Mode::Inference);
        let mut sums = vec![[0.0_f64; 2]; network.grids()];
        let mut batches = 0.0;
        for batch in inputs.chunks(TOGETHER * size) {
            engine.forget_ranges();
            engine.load(batch);
            engine.forward(parameters, &state);
            for (sum, range) in sums.iter_mut().zip(engine.observed()) {
                sum[0] += f64::from(range[0]);
                sum[1] += f64::from(range[1]);
            }
            batches += 1.0;
        }
        let ranges = sums.iter().map(|sum| sum.map(|sum| (sum / batches) as f32)).collect();
        Self { ranges, decay, frozen: false, options: options.clone() }
    }

    /// By which rules it rounds, for people.
    pub(crate) fn rules(&self) -> String {
        format!("ranges that keep {} of themselves, {:?}", self.decay, self.options)
    }

    /// The grids of the activations for the present ranges; `None` where they are not rounded.
    #[must_use]
    pub fn grids(&self) -> Vec<Option<Quantization>> {
        let grid = |&range: &[f32; 2]| match trained_element(range, &self.options) {
            Element::Int8(quantization) => Some(quantization),
            _ => None,
        };
        self.ranges.iter().map(grid).collect()
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

    /// Rounds the filters of all layers to their integer grids, as `f32`; other parameters stay.
    pub(crate) fn round_weights(&self, network: &Network, parameters: &[f32], rounded: &mut [f32]) {
        rounded.copy_from_slice(parameters);
        for node in network.nodes().iter().filter(|node| node.layer.has_filters()) {
            let int4 = self.options.weights == WeightBits::Int4
                && matches!(node.layer, Layer::Conv2d(_) | Layer::Dense { .. })
                && !self.options.int8_layers.contains(&node.name);
            let most = if int4 { WeightBits::Int4 } else { WeightBits::Int8 }.most();
            let rule = WeightRule {
                choice: RangeChoice::MinMax,
                most,
                power_of_two: self.options.rounding == Rounding::PowerOfTwo,
            };
            let weights = &mut rounded[node.weights.clone()];
            if let Layer::DepthwiseConv2d(_) = node.layer {
                let outputs = node.output[2];
                for output in 0..outputs {
                    let mut filter: Vec<f32> = weights[output..].iter().step_by(outputs).copied().collect();
                    rule.round_all(&mut filter);
                    weights[output..].iter_mut().step_by(outputs).zip(filter).for_each(|(to, from)| *to = from);
                }
            } else {
                let filters = match node.layer {
                    Layer::LocallyConnected2d(_) => node.output.iter().product(),
                    _ => node.output[2],
                };
                let len = weights.len() / filters;
                weights.par_chunks_exact_mut(len).for_each(|filter| rule.round_all(filter));
            }
        }
    }
}
