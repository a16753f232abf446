//! From a float graph and the elements of its values to a graph of integers.

use super::compensate::compensate;
use super::linear::{Taps, floats};
use super::options::{Integers, Options, WeightBits};
use super::weights::{Bounds, WeightRule, round};
use super::{QuantizeError, to_element};
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Rounding, Scales, Value, ValueId, Weights};
use bareconv::{Int8Table, Quantization, SoftmaxInt8};

/// Values that have one quantization.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    parents: Vec<usize>,
    /// The element that an operator (or, for the inputs, the caller) prescribes, at the root.
    fixed: Vec<Option<Element>>,
}

impl Groups {
    /// The groups of a graph, by TensorFlow Lite's quantization specification: pooling, padding, slices and changes of shape
    /// keep a quantization, and concatenated values share the result's, except where an operator prescribes theirs. `input` is the
    /// quantization of the network's inputs, if it is known.
    pub(super) fn new(graph: &Graph, integers: Integers, input: Option<Quantization>) -> Self {
        let count = graph.values.len();
        let mut groups = Self { parents: (0..count).collect(), fixed: vec![None; count] };
        for id in &graph.inputs {
            groups.fixed[id.0] = input.map(|of| match integers {
                Integers::Int8 => Element::Int8(of),
                Integers::Int16 => Element::Int16(of.scale),
            });
        }
        for node in &graph.nodes {
            if let Operator::Function(function) = &node.operator {
                groups.fixed[node.output.0] = prescribed(function, integers);
            }
        }
        for node in &graph.nodes {
            let keeps = match &node.operator {
                Operator::MaxPool { .. }
                | Operator::AveragePool { .. }
                | Operator::Pad { .. }
                | Operator::Reshape
                | Operator::Slice { .. }
                | Operator::ResizeNearest { .. } => true,
                Operator::Function(Function::Relu6) => integers == Integers::Int16,
                _ => false,
            };
            if keeps {
                groups.join(node.inputs[0], node.output);
            }
        }
        for node in &graph.nodes {
            if matches!(node.operator, Operator::Concatenate { .. }) {
                for &input in &node.inputs {
                    if groups.fixed(input).is_none() {
                        groups.join(input, node.output);
                    }
                }
            }
        }
        groups
    }

    /// The number of the group of a value.
    pub(super) fn of(&self, id: ValueId) -> usize {
        let mut place = id.0;
        while self.parents[place] != place {
            place = self.parents[place];
        }
        place
    }

    /// The element that is prescribed for a value.
    pub(super) fn fixed(&self, id: ValueId) -> Option<Element> {
        self.fixed[self.of(id)]
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.of(a), self.of(b));
        self.parents[b] = a;
        self.fixed[a] = self.fixed[a].or(self.fixed[b]);
    }
}

/// The output that a function has always.
fn prescribed(function: &Function, integers: Integers) -> Option<Element> {
    let int8 = match function {
        Function::Sigmoid => Int8Table::SIGMOID_OUTPUT,
        Function::Tanh => Int8Table::TANH_OUTPUT,
        Function::Softmax { .. } => SoftmaxInt8::OUTPUT,
        _ => return None,
    };
    Some(match integers {
        Integers::Int8 => Element::Int8(int8),
        Integers::Int16 => Element::Int16(1.0 / 32768.0),
    })
}

/// Whether a node's weights become int4.
fn is_int4(node: &Node, options: &Options) -> bool {
    options.weights == WeightBits::Int4
        && matches!(node.operator, Operator::Conv2d { .. } | Operator::Dense { .. })
        && !options.int8_layers.contains(&node.name)
}

/// The graph with integers: a value's element is that of its place in `elements`.
pub(super) fn convert(float: &Graph, elements: &[Element], options: &Options) -> Result<Graph, QuantizeError> {
    let mut graph = Graph { rounding: options.rounding, nodes: Vec::new(), ..float.clone() };
    for (value, &element) in graph.values.iter_mut().zip(elements) {
        value.element = element;
        value.constant = value.constant.take().map(|numbers| to_element(element, &numbers));
    }
    for node in &float.nodes {
        let mut node = node.clone();
        if matches!(node.operator, Operator::Concatenate { .. }) {
            requantize_inputs(&mut graph, &mut node);
        }
        let (from, to) = (graph.value(node.inputs[0]).element, graph.value(node.output).element);
        match &mut node.operator {
            Operator::Pad { value, .. } => *value = to_element(from, value),
            Operator::Function(Function::PRelu { slopes, quantization }) => {
                let Numbers::F32(reals) = &*slopes else { return Err(QuantizeError::not_float(&node)) };
                let greatest = reals.iter().fold(0.0_f32, |most, slope| most.max(slope.abs()));
                let of = Quantization::new(if greatest > 0.0 { greatest / 127.0 } else { 1.0 / 127.0 }, 0);
                *slopes = to_element(Element::Int8(of), slopes);
                *quantization = Some(of);
            }
            _ => linear(&mut node, from, to, options)?,
        }
        graph.nodes.push(node);
    }
    Ok(graph)
}

/// Rounds the weights of a linear layer; other nodes stay.
fn linear(node: &mut Node, from: Element, to: Element, options: &Options) -> Result<(), QuantizeError> {
    let Some(taps) = Taps::of(node) else { return Ok(()) };
    let (Some((weights, bias)), Some(input), Some(output)) = (floats(node), from.quantization(), to.quantization())
    else {
        return Err(QuantizeError::not_float(node));
    };
    let int4 = is_int4(node, options);
    let rule = WeightRule {
        choice: options.weight_range,
        most: if int4 { WeightBits::Int4 } else { WeightBits::Int8 }.most(),
        power_of_two: options.rounding == Rounding::PowerOfTwo,
    };
    let bounds = bounds(from, input.scale, output.scale, options);
    let rounded = round(&taps, weights, bias, &rule, &bounds);
    let (weights, scales, bias) = (rounded.weights, rounded.scales, rounded.bias);
    if let Some(target) = node.operator.weights_mut() {
        *target = if int4 {
            Weights::Int4 { weights, scales, bias }
        } else {
            Weights::Int8 { weights, scales: Scales::PerChannel(scales), bias, wide_bias: false }
        };
    }
    Ok(())
}

fn bounds(from: Element, input: f32, output: f32, options: &Options) -> Bounds {
    let steps = if matches!(from, Element::Int16(_)) { 32768 } else { 256 };
    Bounds { input, output, steps, rounding: options.rounding }
}

/// Rounds the weights of a quantized layer anew, so that they make up for each other's errors over what the layer sees.
pub(super) fn compensate_errors(
    node: &mut Node,
    [from, to]: [Element; 2],
    taps: &Taps,
    floats: &[f32],
    seen: &[Vec<f32>],
    options: &Options,
) {
    let (Some(input), Some(output)) = (from.quantization(), to.quantization()) else { return };
    let most = if is_int4(node, options) { WeightBits::Int4 } else { WeightBits::Int8 }.most();
    let Some(
        Weights::Int8 { weights, scales: Scales::PerChannel(scales), bias, .. }
        | Weights::Int4 { weights, scales, bias },
    ) = node.operator.weights_mut()
    else {
        return;
    };
    let Some(rounded) = compensate(taps, floats, scales, most, seen) else { return };
    let bounds = bounds(from, input.scale, output.scale, options);
    for (output, (&scale, &bias)) in scales.iter().zip(&*bias).enumerate() {
        let magnitude = taps.channel(output).map(|place| i64::from(rounded[place]).abs()).sum();
        if bounds.hold(scale, i64::from(bias), magnitude) {
            taps.channel(output).for_each(|place| weights[place] = rounded[place]);
        }
    }
}

/// Brings the inputs of a concatenation that have a prescribed quantization to the output's.
fn requantize_inputs(graph: &mut Graph, node: &mut Node) {
    let element = graph.value(node.output).element;
    for (number, input) in node.inputs.iter_mut().enumerate() {
        if graph.value(*input).element == element {
            continue;
        }
        let output = ValueId(graph.values.len());
        let name = format!("{}_input{number}", node.name);
        let value = Value { name: name.clone(), element, constant: None, ..graph.value(*input).clone() };
        graph.values.push(value);
        let place = node.place.clone();
        graph.nodes.push(Node { name, place, operator: Operator::Requantize, inputs: vec![*input], output });
        *input = output;
    }
}
