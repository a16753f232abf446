//! Architectures: nodes that take the outputs of earlier nodes.

use super::layer::{Layer, Numbers, Shape, size};
use std::collections::HashMap;
use std::ops::Range;

/// A tensor of a network in the making: its input, or the output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(super) usize);

/// A layer does not fit its inputs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "layer {index}, `{name}` ({layer:?}), does not fit its inputs of {inputs:?} (height, width, channels): {reason}"
)]
pub struct ShapeError {
    /// Position among the layers, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The layer.
    pub layer: Box<Layer>,
    /// Shapes of its inputs: height, width, channels.
    pub inputs: Vec<Shape>,
    /// What is wrong.
    pub reason: String,
}

/// A layer in its place: with a name, shapes and parameters.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes.
    pub layer: Layer,
    /// Kind and running number, such as `conv1` or `dense3`, or a name that it was given.
    pub name: String,
    /// What it takes.
    pub inputs: Vec<Value>,
    /// Height, width and channels of the first input.
    pub input: Shape,
    /// Height, width and channels of the output.
    pub output: Shape,
    /// Where its weights lie in the parameters; empty for a layer without weights.
    pub weights: Range<usize>,
    /// Where its biases lie in the parameters.
    pub bias: Range<usize>,
    /// Where its moving averages lie in the state: the means of the channels, then their variances.
    pub state: Range<usize>,
    /// Running number among the layers of kind [`Layer::FakeQuantize`].
    pub grid: usize,
}

impl Node {
    /// Number of inputs that one output is computed from: what the variance of initial weights depends on; 0 for a layer
    /// without filters. An output of a transposed convolution meets one weight in `stride`.
    #[must_use]
    pub fn fan_in(&self) -> usize {
        match &self.layer {
            Layer::Conv2d(conv) | Layer::LocallyConnected2d(conv) => conv.shape(self.input).filter_len(),
            Layer::DepthwiseConv2d(conv) => conv.filter[0] * conv.filter[1],
            Layer::TransposedConv2d(conv) => {
                (conv.shape(self.input).filter_len() / (conv.stride[0] * conv.stride[1])).max(1)
            }
            Layer::Dense { .. } => size(self.input),
            _ => 0,
        }
    }

    /// Number of outputs that one input is used for, strides not counted; 0 for a layer without filters.
    #[must_use]
    pub fn fan_out(&self) -> usize {
        match &self.layer {
            Layer::Conv2d(conv) => conv.filter[0] * conv.filter[1] * conv.filters / conv.groups,
            Layer::LocallyConnected2d(conv) => conv.filter[0] * conv.filter[1] * conv.filters,
            Layer::DepthwiseConv2d(conv) => conv.filter[0] * conv.filter[1] * conv.multiplier,
            Layer::TransposedConv2d(conv) => conv.filter[0] * conv.filter[1] * conv.filters,
            Layer::Dense { outputs, .. } => *outputs,
            _ => 0,
        }
    }

    /// Where its parameters lie: weights, then biases.
    #[must_use]
    pub fn parameters(&self) -> Range<usize> {
        self.weights.start..self.bias.end
    }
}

/// The architecture of a network: its nodes with their shapes and the places of their parameters.
#[derive(Clone, Debug)]
pub struct Network {
    input: Shape,
    nodes: Vec<Node>,
    output: Value,
    parameters: usize,
    state: usize,
    grids: usize,
}

impl Network {
    /// A chain of layers for inputs of `input` = height, width, channels.
    ///
    /// # Errors
    /// When a layer does not fit its input.
    pub fn new(input: Shape, layers: &[Layer]) -> Result<Self, ShapeError> {
        let mut builder = NetworkBuilder::new(input);
        let mut value = builder.input();
        for layer in layers {
            value = builder.add(layer.clone(), &[value])?;
        }
        builder.finish(value)
    }

    /// Height, width and channels of the input.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Height, width and channels of a value.
    #[must_use]
    pub fn shape(&self, value: Value) -> Shape {
        value.0.checked_sub(1).map_or(self.input, |node| self.nodes[node].output)
    }

    /// Height, width and channels of the output.
    #[must_use]
    pub fn output_shape(&self) -> Shape {
        self.shape(self.output)
    }

    /// Number of outputs: classes, for a classifier.
    #[must_use]
    pub fn outputs(&self) -> usize {
        size(self.output_shape())
    }

    /// The value that is the output.
    #[must_use]
    pub fn output(&self) -> Value {
        self.output
    }

    /// The input as a value.
    #[must_use]
    pub fn input(&self) -> Value {
        Value(0)
    }

    /// The output of a node, by its place in [`Self::nodes`].
    #[must_use]
    pub fn value(&self, node: usize) -> Value {
        Value(node + 1)
    }

    /// The same network without what only training does: dropout, and rounding. Parameters and state stay as they are.
    pub(crate) fn in_inference(&self) -> Self {
        let mut builder = NetworkBuilder::new(self.input);
        let mut values = vec![builder.input()];
        for node in &self.nodes {
            let inputs: Vec<Value> = node.inputs.iter().map(|input| values[input.0]).collect();
            values.push(match node.layer {
                Layer::Dropout { .. } | Layer::FakeQuantize => inputs[0],
                _ => builder.add_named(&node.name, node.layer.clone(), &inputs).expect("its shapes are as before"),
            });
        }
        builder.finish(values[self.output.0]).expect("every output is taken as before")
    }

    /// The node that computes a value, by its place in [`Self::nodes`]; `None` for the input.
    #[must_use]
    pub fn producer(&self, value: Value) -> Option<usize> {
        value.0.checked_sub(1)
    }

    /// The nodes in an order in which they can run.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Number of moving averages.
    #[must_use]
    pub fn state(&self) -> usize {
        self.state
    }

    /// Number of layers of kind [`Layer::FakeQuantize`].
    #[must_use]
    pub fn grids(&self) -> usize {
        self.grids
    }
}

/// Builds a [`Network`] node by node.
///
/// ```
/// use host_trainer::nn::{Conv2d, Layer, NetworkBuilder};
///
/// let mut net = NetworkBuilder::new([32, 32, 3]);
/// let x = net.input();
/// let x = net.add(Conv2d::new(16, [3, 3]).padding(1), &[x])?;
/// let y = net.add(Conv2d::new(16, [3, 3]).padding(1), &[x])?;
/// let sum = net.add(Layer::Add, &[x, y])?;
/// let mean = net.add(Layer::GlobalAveragePool, &[sum])?;
/// let classes = net.add(Layer::dense(10), &[mean])?;
/// let network = net.finish(classes)?;
/// assert_eq!(network.outputs(), 10);
/// # Ok::<(), host_trainer::nn::ShapeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkBuilder {
    network: Network,
    numbers: HashMap<&'static str, usize>,
}

impl NetworkBuilder {
    /// Begins a network for inputs of `input` = height, width, channels.
    #[must_use]
    pub fn new(input: Shape) -> Self {
        let network = Network { input, nodes: Vec::new(), output: Value(0), parameters: 0, state: 0, grids: 0 };
        Self { network, numbers: HashMap::new() }
    }

    /// The network's input.
    #[must_use]
    pub fn input(&self) -> Value {
        Value(0)
    }

    /// Height, width and channels of a value.
    ///
    /// # Panics
    /// When the value is another network's.
    #[must_use]
    pub fn shape(&self, value: Value) -> Shape {
        self.network.shape(value)
    }

    /// The name of the node that computes a value; `input` for the network's input.
    ///
    /// # Panics
    /// When the value is another network's.
    #[must_use]
    pub fn name(&self, value: Value) -> &str {
        self.network.producer(value).map_or("input", |node| &self.network.nodes[node].name)
    }

    /// Adds a layer; its name is its kind and a running number.
    ///
    /// # Errors
    /// When the layer does not fit its inputs.
    ///
    /// # Panics
    /// When an input is another network's.
    pub fn add(&mut self, layer: impl Into<Layer>, inputs: &[Value]) -> Result<Value, ShapeError> {
        let layer = layer.into();
        let number = self.numbers.entry(layer.kind()).or_default();
        *number += 1;
        let name = format!("{}{number}", layer.kind());
        self.add_named(&name, layer, inputs)
    }

    /// Adds a layer of this name.
    ///
    /// # Errors
    /// When the layer does not fit its inputs, or the name is taken.
    ///
    /// # Panics
    /// When an input is another network's.
    pub fn add_named(&mut self, name: &str, layer: impl Into<Layer>, inputs: &[Value]) -> Result<Value, ShapeError> {
        let (layer, network) = (layer.into(), &mut self.network);
        let index = network.nodes.len();
        let shapes: Vec<Shape> = inputs.iter().map(|&input| network.shape(input)).collect();
        let taken = network.nodes.iter().any(|node| node.name == name);
        let empty = shapes.iter().any(|&shape| size(shape) == 0);
        let output = if taken {
            Err("another layer has this name".to_owned())
        } else if empty {
            Err("the input is empty".to_owned())
        } else {
            layer.output(&shapes)
        };
        let output = match output {
            Ok(output) => output,
            Err(reason) => {
                return Err(ShapeError {
                    index,
                    name: name.to_owned(),
                    layer: Box::new(layer),
                    inputs: shapes,
                    reason,
                });
            }
        };
        let Numbers { weights, bias, state } = layer.numbers(shapes[0], output);
        let (first, averages) = (network.parameters, network.state);
        network.parameters += weights + bias;
        network.state += state;
        let grid = network.grids;
        network.grids += usize::from(layer == Layer::FakeQuantize);
        network.nodes.push(Node {
            layer,
            name: name.to_owned(),
            inputs: inputs.to_vec(),
            input: shapes[0],
            output,
            weights: first..first + weights,
            bias: first + weights..first + weights + bias,
            state: averages..averages + state,
            grid,
        });
        Ok(Value(index + 1))
    }

    /// The network whose output is `output`.
    ///
    /// # Errors
    /// When a layer's output is neither taken by another layer nor the network's.
    ///
    /// # Panics
    /// When the value is another network's.
    pub fn finish(mut self, output: Value) -> Result<Network, ShapeError> {
        let nodes = &self.network.nodes;
        assert!(output.0 <= nodes.len(), "a value of this network");
        for (index, node) in nodes.iter().enumerate() {
            let value = Value(index + 1);
            if value != output && !nodes.iter().any(|node| node.inputs.contains(&value)) {
                return Err(ShapeError {
                    index,
                    name: node.name.clone(),
                    layer: Box::new(node.layer.clone()),
                    inputs: node.inputs.iter().map(|&input| self.network.shape(input)).collect(),
                    reason: "nothing takes its output".to_owned(),
                });
            }
        }
        self.network.output = output;
        Ok(self.network)
    }
}
