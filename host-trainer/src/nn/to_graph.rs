//! A trained network in the intermediate form, in which it is run, planned, quantized and exported.

use super::fold::{FoldError, Folded};
use super::layer::{Layer, Pool2d, Shape, size};
use super::network::{Network, Node};
use crate::generate::word;
use crate::graph::{
    Element, Function, Graph, GraphError, Node as GraphNode, Numbers, Operator, Rounding, Value as GraphValue, ValueId,
    Weights,
};
use bareconv::reference::pyramid_bin;
use bareconv::{
    Activation, BatchNormParameters, BlurPadding, BlurPool2dShape, Conv2dShape, Coordinates, DepthwiseConv2dShape,
    SliceShape,
};

/// A network that has no intermediate form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToGraphError {
    /// Its batch normalization cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
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
    /// When batch normalization has averages that are none, or the graph breaks a rule of [`Graph::check`].
    ///
    /// # Panics
    /// When `parameters` or `state` are not the network's.
    pub fn to_graph(&self, parameters: &[f32], state: &[f32], name: &str) -> Result<Graph, ToGraphError> {
        let Folded { network, parameters, state } = self.in_inference().fold_batch_norm(parameters, state)?;
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

/// Tensors that one layer of the library joins, at most.
const MOST_JOINED: usize = 6;

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
        let place = format!("layer {} ({})", self.nodes.len(), word(&operator));
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
            | Operator::LocallyConnected { activation, .. }
            | Operator::Add(activation)
            | Operator::Subtract(activation)
            | Operator::Multiply(activation)
                if *activation == Activation::Identity =>
            {
                *activation = fused;
                true
            }
            _ => false,
        }
    }

    /// Several tensors of one pixel as one, their channels side by side.
    fn together(&mut self, name: &str, mut parts: Vec<ValueId>) -> ValueId {
        let mut number = 0;
        loop {
            let last = parts.len() <= MOST_JOINED;
            let joined = parts.chunks(MOST_JOINED).map(|parts| {
                if let ([alone], false) = (parts, last) {
                    return *alone;
                }
                let channels = parts.iter().map(|part| self.values[part.0].shape[2]).sum();
                number += 1;
                let name = if last { name.to_owned() } else { format!("{name}_part{number}") };
                self.add(&name, Operator::Concatenate { axis: 2 }, parts, [1, 1, channels])
            });
            parts = joined.collect();
            if let [whole] = parts[..] {
                return whole;
            }
        }
    }

    /// A level of a pyramid, flat: pooling, where the level divides height and width; otherwise each bin by itself.
    fn level(&mut self, name: &str, level: usize, average: bool, x: ValueId, input: Shape) -> ValueId {
        let [height, width, channels] = input;
        let activation = Activation::Identity;
        let pool = |window, input| {
            let shape = Pool2d::new(window).shape(input);
            let operator = if average {
                Operator::AveragePool { shape, including_padding: false, activation }
            } else {
                Operator::MaxPool { shape, activation }
            };
            (operator, shape.output())
        };
        let name = format!("{name}_level{level}");
        if height.is_multiple_of(level) && width.is_multiple_of(level) {
            let (operator, output) = pool([height / level, width / level], input);
            let bins = self.add(&name, operator, &[x], output);
            return self.add(&format!("{name}_flat"), Operator::Reshape, &[bins], [1, 1, size(output)]);
        }
        let mut bins = Vec::new();
        for bin in 0..level * level {
            let rows = pyramid_bin(bin / level, level, height);
            let columns = pyramid_bin(bin % level, level, width);
            let shape = [rows.len(), columns.len(), channels];
            let slice = Operator::Slice { begin: [rows.start, columns.start, 0], stride: [1; 3] };
            let part = self.add(&format!("{name}_slice{bin}"), slice, &[x], shape);
            let (operator, output) = pool([rows.len(), columns.len()], shape);
            bins.push(self.add(&format!("{name}_bin{bin}"), operator, &[part], output));
        }
        self.together(&format!("{name}_flat"), bins)
    }

    /// A tensor with so many rows (or columns) mirrored at its first and last ones, which are not repeated.
    fn mirrored(&mut self, name: &str, x: ValueId, axis: usize, [before, after]: [usize; 2]) -> ValueId {
        let shape = self.values[x.0].shape;
        let mut part = |name: String, first: usize, count: usize| {
            let (mut begin, mut stride, mut output) = ([0; 3], [1; 3], shape);
            (begin[axis], stride[axis], output[axis]) = (first, -1, count);
            (count > 0).then(|| self.add(&name, Operator::Slice { begin, stride }, &[x], output))
        };
        let parts = [
            part(format!("{name}_before"), before, before),
            Some(x),
            // The last row is the middle of the mirror.
            part(format!("{name}_after"), shape[axis].saturating_sub(2), after),
        ];
        let parts: Vec<ValueId> = parts.into_iter().flatten().collect();
        if parts.len() == 1 {
            return x;
        }
        let mut output = shape;
        output[axis] += before + after;
        self.add(name, Operator::Concatenate { axis }, &parts, output)
    }

    fn node(&mut self, node: &Node, x: &[ValueId], parameters: &[f32], state: &[f32]) -> Result<ValueId, ToGraphError> {
        let (input, output, name) = (node.input, node.output, &node.name[..]);
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
            Layer::LocallyConnected2d(conv) => {
                Operator::LocallyConnected { shape: conv.shape(input), weights: weights(size(output)), activation }
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
                let parts: Vec<ValueId> =
                    levels.iter().map(|&level| self.level(name, level, average, x[0], input)).collect();
                return Ok(self.together(name, parts));
            }
            Layer::BlurPool2d { max, taps, stride, padding } => {
                let mut x = x[0];
                let blur = BlurPool2dShape { input, max, taps, stride, padding };
                if max > 1 {
                    let shape = Pool2d::new([max, max]).stride(1).shape(input);
                    x = self.add(&format!("{name}_max"), Operator::MaxPool { shape, activation }, &[x], shape.output());
                }
                let mut shape = blur_shape(&blur);
                if padding == BlurPadding::Reflect {
                    let border = std::mem::take(&mut shape.padding);
                    for axis in [0, 1] {
                        x = self.mirrored(&format!("{name}_border{axis}"), x, axis, [border[axis], border[axis + 2]]);
                    }
                    shape.input = self.values[x.0].shape;
                }
                return Ok(self.add(name, depthwise_blur(shape), &[x], output));
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
            Layer::LocalResponse { size, alpha, beta, k } => {
                Operator::Function(Function::LocalResponse { size, alpha, beta, k })
            }
            Layer::Dropout { .. } | Layer::FakeQuantize => unreachable!("they are for training"),
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
            Layer::Subtract => Operator::Subtract(activation),
            Layer::Multiply => Operator::Multiply(activation),
            Layer::Concatenate { axis } => Operator::Concatenate { axis },
            Layer::Upsample { coordinates, .. } => Operator::ResizeNearest {
                align_corners: coordinates == Coordinates::AlignCorners,
                half_pixel_centers: coordinates == Coordinates::HalfPixel,
            },
            Layer::Pad { before, after } => Operator::Pad { before, after, value: Numbers::F32(vec![0.0]) },
            Layer::Slice { begin, end, stride } => {
                let shape = SliceShape::new(input, begin, end, stride).expect("it was checked");
                Operator::Slice { begin: shape.begin(), stride: shape.stride() }
            }
            Layer::Reshape { .. } | Layer::Flatten => Operator::Reshape,
        };
        Ok(self.add(name, operator, x, output))
    }
}

/// The geometry of a blur of what its maxima, if any, leave.
fn blur_shape(blur: &BlurPool2dShape) -> DepthwiseConv2dShape {
    let ([height, width], channels) = (blur.dense(), blur.input[2]);
    let (taps, stride, output) = (blur.taps, blur.stride, blur.output());
    let before = (taps - 1) / 2;
    let after = |size: usize, outputs: usize| ((outputs - 1) * stride + taps).saturating_sub(size + before);
    DepthwiseConv2dShape {
        padding: [before, before, after(height, output[0]), after(width, output[1])],
        ..DepthwiseConv2dShape::new([height, width, channels], 1, [taps, taps]).stride(stride)
    }
}

/// A blur is a depthwise convolution with binomial weights.
fn depthwise_blur(shape: DepthwiseConv2dShape) -> Operator {
    let (taps, channels) = (shape.filter[0], shape.input[2]);
    let binomials = bareconv::reference::binomials(taps);
    let whole = (1 << (2 * (taps - 1))) as f32;
    let weights = (0..taps * taps)
        .flat_map(|tap| vec![(binomials[tap / taps] * binomials[tap % taps]) as f32 / whole; channels])
        .collect();
    let weights = Weights::F32 { weights, bias: vec![0.0; channels] };
    Operator::Depthwise { shape, weights, activation: Activation::Identity }
}
