//! A trained network in the intermediate form, in which it is run, planned, quantized and exported.

use super::fold::{FoldError, Folded};
use super::layer::{Layer, Pool2d, Shape, size};
use super::network::{Network, Node};
use crate::graph::{
    Element, Function, Graph, GraphError, Node as GraphNode, Numbers, Operator, Rounding, Value as GraphValue, ValueId,
    Weights,
};
use bareconv::{Activation, BatchNormParameters, BlurPadding, BlurPool2dShape, Conv2dShape, DepthwiseConv2dShape};

/// A network that has no intermediate form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToGraphError {
    /// Its batch normalization cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A layer that graphs do not have.
    #[error("`{node}`: {reason}")]
    Layer {
        /// The node's name.
        node: String,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// A rule of graphs.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Network {
    /// The network in the intermediate form, in `f32`, called `name`: batch normalization folded, activations fused into
    /// the operators before them where they can be, dropout and fake quantization left out. It computes what an
    /// [`Engine`](super::Engine) computes in inference, up to rounding.
    ///
    /// # Errors
    /// When a layer has no operator: local response normalization, locally connected layers, blurs with reflected borders,
    /// and pyramids whose levels do not divide their input.
    ///
    /// # Panics
    /// When `parameters` or `state` are not the network's.
    pub fn to_graph(&self, parameters: &[f32], state: &[f32], name: &str) -> Result<Graph, ToGraphError> {
        let Folded { network, parameters, state } = self.fold_batch_norm(parameters, state)?;
        let mut builder = Builder { network: &network, values: Vec::new(), nodes: Vec::new() };
        let input = builder.value("input", network.input_shape(), None);
        let mut values = vec![input];
        for node in network.nodes() {
            let inputs: Vec<ValueId> = node.inputs.iter().map(|input| values[input.0]).collect();
            let own = &parameters[node.parameters()];
            let value = builder.node(node, &inputs, own, &state[node.state.clone()])?;
            values.push(value);
        }
        let outputs = vec![values[network.output().0]];
        let Builder { values, nodes, .. } = builder;
        let (name, source) = (name.to_owned(), "host-trainer".to_owned());
        let rounding = Rounding::Single;
        let graph = Graph { name, source, rounding, values, nodes, inputs: vec![input], outputs };
        graph.check()?;
        Ok(graph)
    }
}

struct Builder<'a> {
    network: &'a Network,
    values: Vec<GraphValue>,
    nodes: Vec<GraphNode>,
}

impl Builder<'_> {
    fn value(&mut self, name: &str, shape: Shape, constant: Option<Vec<f32>>) -> ValueId {
        self.values.push(GraphValue {
            name: name.to_owned(),
            shape,
            dimensions: [&[1], &shape[..]].concat(),
            element: Element::F32,
            constant: constant.map(Numbers::F32),
        });
        ValueId(self.values.len() - 1)
    }

    fn add(&mut self, name: &str, operator: Operator, inputs: &[ValueId], output: Shape) -> ValueId {
        let value = self.value(name, output, None);
        let place = format!("layer {}", self.nodes.len());
        let inputs = inputs.to_vec();
        self.nodes.push(GraphNode { name: name.to_owned(), place, operator, inputs, output: value });
        value
    }

    /// Fuses an activation into the operator before it, if that has none yet and nothing else takes its output.
    fn fuse(&mut self, node: &Node, input: ValueId, fused: Activation) -> bool {
        if self.network.takers(node.inputs[0]) != 1 {
            return false;
        }
        let Some(before) = self.nodes.iter_mut().find(|before| before.output == input) else { return false };
        match &mut before.operator {
            Operator::Conv2d { activation, .. }
            | Operator::Dense { activation, .. }
            | Operator::Depthwise { activation, .. }
            | Operator::Transposed { activation, .. }
            | Operator::Add(activation)
            | Operator::Multiply(activation)
                if *activation == Activation::Identity =>
            {
                *activation = fused;
                true
            }
            _ => false,
        }
    }

    fn node(&mut self, node: &Node, x: &[ValueId], parameters: &[f32], state: &[f32]) -> Result<ValueId, ToGraphError> {
        let (input, output, name) = (node.input, node.output, &node.name[..]);
        let refused = |reason| Err(ToGraphError::Layer { node: node.name.clone(), reason });
        let activation = Activation::Identity;
        let weights = |outputs: usize| {
            let (weights, bias) = parameters.split_at(node.weights.len());
            let bias = if bias.is_empty() { vec![0.0; outputs] } else { bias.to_vec() };
            Weights::F32 { weights: weights.to_vec(), bias }
        };
        let operator = match node.layer {
            Layer::Conv2d(conv) => {
                Operator::Conv2d { shape: conv.shape(input), weights: weights(conv.filters), activation }
            }
            Layer::DepthwiseConv2d(conv) => {
                Operator::Depthwise { shape: conv.shape(input), weights: weights(output[2]), activation }
            }
            Layer::TransposedConv2d(conv) => {
                Operator::Transposed { shape: conv.shape(input), weights: weights(conv.filters), activation }
            }
            Layer::LocallyConnected2d(_) => {
                return refused("graphs have no locally connected layer; use a convolution");
            }
            Layer::Dense { outputs, .. } => {
                let shape = Conv2dShape::dense(size(input), outputs);
                let vector = [1, 1, size(input)];
                let mut x = x[0];
                if input != vector {
                    x = self.add(&format!("{name}_input"), Operator::Reshape, &[x], vector);
                }
                return Ok(self.add(
                    name,
                    Operator::Dense { shape, weights: weights(outputs), activation },
                    &[x],
                    output,
                ));
            }
            Layer::MaxPool2d(pool) => Operator::MaxPool { shape: pool.shape(input), activation },
            Layer::AveragePool2d { pool, including_padding } => {
                Operator::AveragePool { shape: pool.shape(input), including_padding, activation }
            }
            Layer::GlobalAveragePool => {
                let shape = Pool2d::new([input[0], input[1]]).shape(input);
                Operator::AveragePool { shape, including_padding: false, activation }
            }
            Layer::SpatialPyramidPool { ref levels, average } => {
                if levels.iter().any(|level| !input[0].is_multiple_of(*level) || !input[1].is_multiple_of(*level)) {
                    return refused("graphs have pyramids only of levels that divide the input's height and width");
                }
                let mut parts = Vec::new();
                for level in levels {
                    let shape = Pool2d::new([input[0] / level, input[1] / level]).shape(input);
                    let operator = if average {
                        Operator::AveragePool { shape, including_padding: false, activation }
                    } else {
                        Operator::MaxPool { shape, activation }
                    };
                    let bins = self.add(&format!("{name}_level{level}"), operator, x, shape.output());
                    let flat = [1, 1, size(shape.output())];
                    parts.push(self.add(&format!("{name}_flat{level}"), Operator::Reshape, &[bins], flat));
                }
                return Ok(self.add(name, Operator::Concatenate { axis: 2 }, &parts, output));
            }
            Layer::BlurPool2d { padding: BlurPadding::Reflect, .. } => {
                return refused("graphs have blurs only with a border of zeros; use `BlurPadding::Zero`");
            }
            Layer::BlurPool2d { max, taps, stride, padding } => {
                let mut x = x[0];
                let blur = BlurPool2dShape { input, max, taps, stride, padding };
                if max > 1 {
                    let shape = Pool2d::new([max, max]).stride(1).shape(input);
                    x = self.add(&format!("{name}_max"), Operator::MaxPool { shape, activation }, &[x], shape.output());
                }
                return Ok(self.add(name, depthwise_blur(&blur), &[x], output));
            }
            Layer::BatchNorm { epsilon, .. } => {
                // It could not be folded: a product and a sum.
                let (gamma, beta) = parameters.split_at(node.weights.len());
                let (mean, variance) = state.split_at(node.weights.len());
                let norm = BatchNormParameters { gamma, beta, mean, variance, epsilon };
                norm.check(gamma.len()).map_err(|rule| FoldError { node: node.name.clone(), rule })?;
                let pixel = [1, 1, input[2]];
                let scales = (0..input[2]).map(|c| norm.scale(c) as f32).collect();
                let shifts = (0..input[2]).map(|c| norm.shift(c) as f32).collect();
                let scales = self.value(&format!("{name}_scales"), pixel, Some(scales));
                let shifts = self.value(&format!("{name}_shifts"), pixel, Some(shifts));
                let scaled = format!("{name}_scaled");
                let scaled = self.add(&scaled, Operator::Multiply(activation), &[x[0], scales], output);
                return Ok(self.add(name, Operator::Add(activation), &[scaled, shifts], output));
            }
            Layer::LocalResponse { .. } => {
                return refused("graphs have no local response normalization; use batch normalization");
            }
            Layer::Dropout { .. } | Layer::FakeQuantize => return Ok(x[0]),
            Layer::Relu if self.fuse(node, x[0], Activation::Relu) => return Ok(x[0]),
            Layer::Relu6 if self.fuse(node, x[0], Activation::Relu6) => return Ok(x[0]),
            Layer::Relu => Operator::Function(Function::Relu),
            Layer::Relu6 => Operator::Function(Function::Relu6),
            Layer::LeakyRelu { slope } => Operator::Function(Function::LeakyRelu { slope }),
            Layer::PRelu => {
                let slopes = Numbers::F32(parameters.to_vec());
                Operator::Function(Function::PRelu { slopes, quantization: None })
            }
            Layer::HardSwish => Operator::Function(Function::HardSwish),
            Layer::HardSigmoid => Operator::Function(Function::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }),
            Layer::Sigmoid => Operator::Function(Function::Sigmoid),
            Layer::Tanh => Operator::Function(Function::Tanh),
            Layer::Softmax => Operator::Function(Function::Softmax { beta: 1.0 }),
            Layer::Add => Operator::Add(activation),
            Layer::Multiply => Operator::Multiply(activation),
            Layer::Concatenate { axis } => Operator::Concatenate { axis },
            Layer::Reshape { .. } | Layer::Flatten => Operator::Reshape,
        };
        Ok(self.add(name, operator, x, output))
    }
}

/// A blur with a border of zeros is a depthwise convolution with binomial weights.
fn depthwise_blur(blur: &BlurPool2dShape) -> Operator {
    let ([height, width], channels) = (blur.dense(), blur.input[2]);
    let (taps, stride, output) = (blur.taps, blur.stride, blur.output());
    let before = (taps - 1) / 2;
    let after = |size: usize, outputs: usize| ((outputs - 1) * stride + taps).saturating_sub(size + before);
    let shape = DepthwiseConv2dShape {
        padding: [before, before, after(height, output[0]), after(width, output[1])],
        ..DepthwiseConv2dShape::new([height, width, channels], 1, [taps, taps]).stride(stride)
    };
    let binomials = bareconv::reference::binomials(taps);
    let whole = (1 << (2 * (taps - 1))) as f32;
    let weights = (0..taps * taps)
        .flat_map(|tap| vec![(binomials[tap / taps] * binomials[tap % taps]) as f32 / whole; channels])
        .collect();
    let weights = Weights::F32 { weights, bias: vec![0.0; channels] };
    Operator::Depthwise { shape, weights, activation: Activation::Identity }
}
