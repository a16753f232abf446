//! Cross-layer equalization.

use super::linear::{Taps, activation_of, floats};
use crate::graph::{Function, Graph, Operator, ValueId, Weights};
use bareconv::Activation;

/// Rounds over all pairs of layers, at most; a chain of layers settles in a few.
const ROUNDS: usize = 60;

/// Two linear layers, the second of which alone sees the channels of the first.
#[derive(Clone, Debug)]
struct Pair {
    /// Places of the nodes.
    nodes: [usize; 2],
    /// Channels between them.
    channels: usize,
}

/// Evens out the ranges of channels between a linear layer and the next one, without a change of what the network
/// computes: cross-layer equalization (M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias
/// Correction*, 2019, <https://arxiv.org/abs/1906.04721>). Returns how many pairs of layers it found.
///
/// Where nothing but functions `f` with `f(s * x) = s * f(x)` for `s > 0` lies between two layers (ReLU, leaky ReLU, PReLU,
/// pooling, the mean, reshaping), a channel's weights and bias may be divided by any `s` in the first layer if its weights
/// are multiplied with it in the second. With `s = sqrt(r1 / r2)`, `r1` and `r2` the greatest magnitudes of the channel's
/// weights in both, they become the same.
///
/// Layers of float32 with a clamp at 6, with sigmoids and the like between them, or whose output goes elsewhere, too, are
/// left as they are.
pub fn equalize(graph: &mut Graph) -> usize {
    let pairs: Vec<Pair> = (0..graph.nodes.len()).filter_map(|node| pair(graph, node)).collect();
    for _ in 0..ROUNDS {
        let mut farthest = 0.0_f64;
        for pair in &pairs {
            let factors = factors(graph, pair);
            farthest = factors.iter().fold(farthest, |most, &factor| most.max(f64::from(factor).ln().abs()));
            apply(graph, pair, &factors);
        }
        if farthest < 1e-4 {
            break;
        }
    }
    pairs.len()
}

/// The pair that begins with a node.
fn pair(graph: &Graph, first: usize) -> Option<Pair> {
    let node = &graph.nodes[first];
    floats(node)?;
    let homogeneous = |activation: Activation| matches!(activation, Activation::Identity | Activation::Relu);
    if !homogeneous(activation_of(node)?) {
        return None;
    }
    let channels = Taps::of(node)?.channels();
    let mut value = node.output;
    loop {
        let second = only_reader(graph, value)?;
        let reader = &graph.nodes[second];
        let passes = match &reader.operator {
            Operator::MaxPool { activation, .. } | Operator::AveragePool { activation, .. } => homogeneous(*activation),
            Operator::Mean | Operator::ResizeNearest { .. } => true,
            Operator::Function(function) => {
                matches!(function, Function::Relu | Function::LeakyRelu { .. } | Function::PRelu { .. })
            }
            Operator::Pad { before, after, value } => {
                before[2] == 0 && after[2] == 0 && *value == crate::graph::Numbers::F32(vec![0.0])
            }
            // Values keep their order, and so their channel, counted modulo the number of channels.
            Operator::Reshape => graph.value(reader.output).shape[2].is_multiple_of(channels),
            _ => {
                let taps = Taps::of(reader)?;
                floats(reader)?;
                let whole = taps.input_channels().is_multiple_of(channels);
                return whole.then_some(Pair { nodes: [first, second], channels });
            }
        };
        if !passes {
            return None;
        }
        value = reader.output;
    }
}

/// The only node that reads a value, if it is no output of the network.
fn only_reader(graph: &Graph, value: ValueId) -> Option<usize> {
    let mut readers = (0..graph.nodes.len()).filter(|&node| graph.nodes[node].inputs.contains(&value));
    let reader = readers.next()?;
    (readers.next().is_none() && !graph.outputs.contains(&value) && graph.nodes[reader].inputs.len() == 1)
        .then_some(reader)
}

/// The greatest magnitudes of the channels' weights in both layers.
fn ranges(graph: &Graph, pair: &Pair) -> [Vec<f32>; 2] {
    [0, 1].map(|side| {
        let node = &graph.nodes[pair.nodes[side]];
        let mut most = vec![0.0_f32; pair.channels];
        if let (Some(taps), Some((weights, _))) = (Taps::of(node), floats(node)) {
            for (place, weight) in weights.iter().enumerate() {
                let channel = if side == 0 { taps.output_of(place) } else { taps.input_of(place) } % pair.channels;
                most[channel] = most[channel].max(weight.abs());
            }
        }
        most
    })
}

/// What each channel is divided by in the first layer.
fn factors(graph: &Graph, pair: &Pair) -> Vec<f32> {
    let [first, second] = ranges(graph, pair);
    let factor = |(&a, &b): (&f32, &f32)| {
        let factor = (f64::from(a) / f64::from(b)).sqrt() as f32;
        // A channel without weights in one of them stays; and nothing becomes extreme.
        if a > 0.0 && b > 0.0 { factor.clamp(1e-6, 1e6) } else { 1.0 }
    };
    first.iter().zip(&second).map(factor).collect()
}

fn apply(graph: &mut Graph, pair: &Pair, factors: &[f32]) {
    for (side, &number) in pair.nodes.iter().enumerate() {
        let node = &mut graph.nodes[number];
        let Some(taps) = Taps::of(node) else { continue };
        let Some(Weights::F32 { weights, bias }) = node.operator.weights_mut() else { continue };
        for (place, weight) in weights.iter_mut().enumerate() {
            if side == 0 {
                *weight /= factors[taps.output_of(place) % pair.channels];
            } else {
                *weight *= factors[taps.input_of(place) % pair.channels];
            }
        }
        if side == 0 {
            bias.iter_mut().zip(factors.iter().cycle()).for_each(|(bias, factor)| *bias /= factor);
        }
    }
}

/// The greatest ratio, over all channels of all pairs, of the ranges that equalization makes the same; 1 is even.
#[cfg(test)]
pub(super) fn unevenness(graph: &Graph) -> f32 {
    let pairs = (0..graph.nodes.len()).filter_map(|node| pair(graph, node));
    let ratios = pairs.flat_map(|pair| {
        let [first, second] = ranges(graph, &pair);
        first.into_iter().zip(second).map(|(a, b)| if a > b { a / b } else { b / a }).collect::<Vec<_>>()
    });
    ratios.fold(1.0, f32::max)
}
