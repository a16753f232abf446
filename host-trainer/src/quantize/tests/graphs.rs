//! Float graphs to quantize, and operators in `f64`.

use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Rounding, Shape, Value, ValueId, Weights};
use crate::nn::{Conv2d, Initialization, Layer, NetworkBuilder};
use crate::random::Random;
use bareconv::reference::nearest;
use bareconv::{Activation, Conv2dShape, Coordinates, DepthwiseConv2dShape, Pool2dShape, TransposedConv2dShape};

/// Builds a graph node by node; weights are random.
pub(super) struct Builder {
    pub(super) graph: Graph,
    random: Random,
}

impl Builder {
    pub(super) fn new(seed: u64, input: Shape) -> Self {
        let graph = Graph {
            name: "test".to_owned(),
            source: "a test".to_owned(),
            rounding: Rounding::Single,
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: vec![ValueId(0)],
            outputs: Vec::new(),
        };
        let mut builder = Self { graph, random: Random::new(seed, 7) };
        builder.value("input", input);
        builder
    }

    fn value(&mut self, name: &str, shape: Shape) -> ValueId {
        self.graph.values.push(Value {
            name: name.to_owned(),
            shape,
            dimensions: [&[1], &shape[..]].concat(),
            element: Element::F32,
            constant: None,
        });
        ValueId(self.graph.values.len() - 1)
    }

    pub(super) fn shape(&self, id: ValueId) -> Shape {
        self.graph.value(id).shape
    }

    pub(super) fn node(&mut self, name: &str, operator: Operator, inputs: &[ValueId], shape: Shape) -> ValueId {
        let output = self.value(name, shape);
        let place = format!("operator {}", self.graph.nodes.len());
        self.graph.nodes.push(Node { name: name.to_owned(), place, operator, inputs: inputs.to_vec(), output });
        output
    }

    /// Weights of channels that differ in range by up to a factor of 8.
    fn weights(&mut self, count: usize, outputs: usize, taps: usize, of: impl Fn(usize) -> usize) -> Weights {
        let size = (3.0 / taps as f32).sqrt();
        let scales: Vec<f32> = (0..outputs).map(|_| size * self.random.between(-1.5, 1.5).exp2()).collect();
        let weights = (0..count).map(|i| scales[of(i)] * self.random.between(-1.0, 1.0)).collect();
        Weights::F32 { weights, bias: (0..outputs).map(|_| self.random.between(-0.3, 0.3)).collect() }
    }

    pub(super) fn conv(&mut self, name: &str, input: ValueId, shape: Conv2dShape, activation: Activation) -> ValueId {
        let len = shape.filter_len();
        let weights = self.weights(shape.filters * len, shape.filters, len, |i| i / len);
        self.node(name, Operator::Conv2d { shape, weights, activation }, &[input], shape.output())
    }

    pub(super) fn depthwise(
        &mut self,
        name: &str,
        input: ValueId,
        multiplier: usize,
        activation: Activation,
    ) -> ValueId {
        let shape = DepthwiseConv2dShape::new(self.shape(input), multiplier, [3, 3]).padding(1);
        let outputs = shape.output()[2];
        let weights = self.weights(9 * outputs, outputs, 9, |i| i % outputs);
        self.node(name, Operator::Depthwise { shape, weights, activation }, &[input], shape.output())
    }

    pub(super) fn transposed(&mut self, name: &str, input: ValueId, filters: usize) -> ValueId {
        let shape =
            TransposedConv2dShape::new(self.shape(input), filters, [3, 3]).stride(2).padding(1).output_padding(1);
        let len = shape.filter_len();
        let weights = self.weights(filters * len, filters, len / 4, |i| i / len);
        let activation = Activation::Relu;
        self.node(name, Operator::Transposed { shape, weights, activation }, &[input], shape.output())
    }

    pub(super) fn locally_connected(
        &mut self,
        name: &str,
        input: ValueId,
        shape: Conv2dShape,
        activation: Activation,
    ) -> ValueId {
        let (len, outputs) = (shape.filter_len(), shape.output().iter().product::<usize>());
        let weights = self.weights(outputs * len, outputs, len, |i| i / len);
        self.node(name, Operator::LocallyConnected { shape, weights, activation }, &[input], shape.output())
    }

    pub(super) fn dense(&mut self, name: &str, input: ValueId, outputs: usize, activation: Activation) -> ValueId {
        let shape = Conv2dShape::dense(self.graph.value(input).len(), outputs);
        let len = shape.filter_len();
        let weights = self.weights(outputs * len, outputs, len, |i| i / len);
        self.node(name, Operator::Dense { shape, weights, activation }, &[input], [1, 1, outputs])
    }

    pub(super) fn function(&mut self, name: &str, input: ValueId, function: Function) -> ValueId {
        let shape = self.shape(input);
        self.node(name, Operator::Function(function), &[input], shape)
    }

    pub(super) fn max_pool(&mut self, name: &str, input: ValueId) -> ValueId {
        let shape = Pool2dShape::new(self.shape(input), [2, 2]);
        self.node(name, Operator::MaxPool { shape, activation: Activation::Identity }, &[input], shape.output())
    }

    pub(super) fn finish(mut self, output: ValueId) -> Graph {
        self.graph.outputs = vec![output];
        self.graph.check().unwrap();
        self.graph
    }
}

/// A network with a residual sum, a concatenation, every kind of convolution and most functions.
pub(super) fn residual(seed: u64) -> Graph {
    let mut b = Builder::new(seed, [8, 8, 3]);
    let relu = Activation::Relu;
    let first = b.conv("first", ValueId(0), Conv2dShape::new([8, 8, 3], 6, [3, 3]).padding(1), relu);
    let left = b.conv("left", first, Conv2dShape::new([8, 8, 6], 6, [3, 3]).padding(1).groups(2), relu);
    let deep = b.depthwise("deep", left, 1, Activation::Identity);
    let sum = b.node("sum", Operator::Add(relu), &[first, deep], [8, 8, 6]);
    let wide = b.depthwise("wide", sum, 2, Activation::Relu6);
    let slopes = (0..12).map(|i| i as f32 * 0.05 - 0.1).collect();
    let bent = b.conv("bent", wide, Conv2dShape::new([8, 8, 12], 12, [1, 1]), Activation::Identity);
    let bent = b.function("prelu", bent, Function::PRelu { slopes: Numbers::F32(slopes), quantization: None });
    let pooled = b.max_pool("pooled", bent);
    let gate = b.conv("gate", sum, Conv2dShape::new([8, 8, 6], 4, [3, 3]).padding(1).max_pool(2), Activation::Identity);
    let gate = b.function("sigmoid", gate, Function::Sigmoid);
    let both = b.node("both", Operator::Concatenate { axis: 2 }, &[pooled, gate], [4, 4, 16]);
    let up = b.transposed("up", both, 5);
    let up = b.function("leaky", up, Function::LeakyRelu { slope: 0.1 });
    let pad = Operator::Pad { before: [1, 0, 0], after: [0, 1, 0], value: Numbers::F32(vec![0.0]) };
    let padded = b.node("padded", pad, &[up], [9, 9, 5]);
    let average = Pool2dShape::new([9, 9, 5], [3, 3]);
    let average = Operator::AveragePool { shape: average, including_padding: false, activation: Activation::Identity };
    let small = b.node("average", average, &[padded], [3, 3, 5]);
    let flat = b.node("flat", Operator::Reshape, &[small], [1, 1, 45]);
    let hidden = b.dense("hidden", flat, 20, Activation::Identity);
    let hidden = b.function("tanh", hidden, Function::Tanh);
    let scores = b.dense("scores", hidden, 7, Activation::Identity);
    let mean = b.node("mean", Operator::Mean, &[both], [1, 1, 16]);
    let more = b.dense("more", mean, 7, Activation::Identity);
    let product = b.node("product", Operator::Multiply(Activation::Identity), &[scores, more], [1, 1, 7]);
    let output = b.node("total", Operator::Subtract(Activation::Identity), &[product, scores], [1, 1, 7]);
    b.finish(output)
}

/// Locally connected layers: with stride and padding, of channels that fill no vector, over a map of one pixel, and behind
/// and before other layers.
pub(super) fn locally_connected(seed: u64) -> Graph {
    let mut b = Builder::new(seed, [7, 6, 3]);
    let (relu, identity) = (Activation::Relu, Activation::Identity);
    let shape = Conv2dShape { padding: [1, 0, 0, 2], ..Conv2dShape::new([7, 6, 3], 5, [3, 3]).stride(2) };
    let first = b.locally_connected("first", ValueId(0), shape, relu);
    let conv = b.conv("conv", first, Conv2dShape::new([3, 3, 5], 6, [2, 2]).padding(1), identity);
    let bent = b.function("leaky", conv, Function::LeakyRelu { slope: 0.1 });
    let wide = Conv2dShape { padding: [0, 1, 1, 0], ..Conv2dShape::new([4, 4, 6], 7, [2, 3]).dilation(2) };
    let wide = b.locally_connected("wide", bent, wide, identity);
    let pooled = Pool2dShape::new([3, 1, 7], [3, 1]);
    let pooled = Operator::AveragePool { shape: pooled, including_padding: false, activation: identity };
    let pooled = b.node("pooled", pooled, &[wide], [1, 1, 7]);
    let pixel = b.locally_connected("pixel", pooled, Conv2dShape::new([1, 1, 7], 9, [1, 1]), Activation::Relu6);
    let last = b.locally_connected("last", pixel, Conv2dShape::new([1, 1, 9], 3, [3, 3]).padding(1), identity);
    b.finish(last)
}

/// A residual connection without weights, differences, one of them to a pixel, and a resized branch, as layers.
pub(super) fn arranged(seed: u64) -> Graph {
    let mut net = NetworkBuilder::new([8, 8, 3]);
    let x = net.input();
    let x = net.add(Conv2d::new(6, [3, 3]).padding(1), &[x]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let slice = Layer::Slice { begin: [0, -1, 0], end: [isize::MAX, isize::MIN, isize::MAX], stride: [2, -2, 1] };
    let short = net.add(slice, &[x]).unwrap();
    let short = net.add(Layer::Pad { before: [0, 0, 1], after: [0, 0, 1] }, &[short]).unwrap();
    let y = net.add(Conv2d::new(8, [3, 3]).padding(1).stride(2), &[x]).unwrap();
    let y = net.add(Layer::Subtract, &[y, short]).unwrap();
    let y = net.add(Layer::Relu, &[y]).unwrap();
    let mean = net.add(Layer::GlobalAveragePool, &[y]).unwrap();
    let y = net.add(Layer::Subtract, &[y, mean]).unwrap();
    let y = net.add(Layer::Upsample { size: [7, 10], coordinates: Coordinates::HalfPixel }, &[y]).unwrap();
    let x = net.add(Layer::Pad { before: [0, 2, 0], after: [0; 3] }, &[x]).unwrap();
    let x = net.add(Layer::Slice { begin: [1, 0, 0], end: [isize::MAX; 3], stride: [1; 3] }, &[x]).unwrap();
    let x = net.add(Layer::Concatenate { axis: 2 }, &[x, y]).unwrap();
    let x = net.add(Layer::dense(5), &[x]).unwrap();
    let network = net.finish(x).unwrap();
    network.to_graph(&network.initialize(Initialization::He, seed), &[], "arranged").unwrap()
}

/// Inputs in 0..1 for a graph of one input.
pub(super) fn inputs(graph: &Graph, seed: u64, count: usize) -> Vec<Vec<Numbers>> {
    let mut random = Random::new(seed, 3);
    let len = graph.value(graph.inputs[0]).len();
    (0..count).map(|_| vec![Numbers::F32((0..len).map(|_| random.between(0.0, 1.0)).collect())]).collect()
}

/// What a node gives, in real numbers and `f64`, by the definition of its operator.
pub(super) fn exact(graph: &Graph, node: &Node, weights: &[f64], bias: &[f64], inputs: &[Vec<f64>]) -> Vec<f64> {
    let shapes: Vec<Shape> = node.inputs.iter().map(|&id| graph.value(id).shape).collect();
    let to = graph.value(node.output).shape;
    let len = to.iter().product::<usize>();
    let activate = |activation: Activation, value: f64| {
        let [low, high] = activation.bounds();
        value.clamp(f64::from(low), f64::from(high))
    };
    let at = |input: usize, y: isize, x: isize, c: usize| {
        let [height, width, channels] = shapes[input];
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        inside.then(|| inputs[input][(y as usize * width + x as usize) * channels + c])
    };
    let place = |i: usize| [i / to[2] / to[1], i / to[2] % to[1], i % to[2]];
    match &node.operator {
        Operator::Conv2d { shape, activation, .. } | Operator::LocallyConnected { shape, activation, .. } => {
            let shared = matches!(node.operator, Operator::Conv2d { .. });
            let (of_group, per_group) = (shape.input[2] / shape.groups, shape.filters / shape.groups);
            let sum = |y: usize, x: usize, o: usize| {
                let filter = if shared { o } else { (y * to[1] + x) * to[2] + o };
                let mut sum = bias[filter];
                for i in 0..shape.filter[0] {
                    for j in 0..shape.filter[1] {
                        for c in 0..of_group {
                            let row =
                                (y * shape.stride[0] + i * shape.dilation[0]) as isize - shape.padding[0] as isize;
                            let column =
                                (x * shape.stride[1] + j * shape.dilation[1]) as isize - shape.padding[1] as isize;
                            let value = at(0, row, column, o / per_group * of_group + c).unwrap_or(0.0);
                            sum +=
                                value * weights[((filter * shape.filter[0] + i) * shape.filter[1] + j) * of_group + c];
                        }
                    }
                }
                activate(*activation, sum)
            };
            let [ph, pw] = shape.pool;
            let window = |y: usize, x: usize, o: usize| {
                let all = (0..ph * pw).map(|k| sum(y * ph + k / pw, x * pw + k % pw, o));
                all.fold(f64::NEG_INFINITY, f64::max)
            };
            (0..len).map(place).map(|[y, x, o]| window(y, x, o)).collect()
        }
        Operator::Dense { activation, .. } => (0..len)
            .map(|o| {
                let row = &weights[o * inputs[0].len()..][..inputs[0].len()];
                activate(*activation, bias[o] + row.iter().zip(&inputs[0]).map(|(w, x)| w * x).sum::<f64>())
            })
            .collect(),
        Operator::Depthwise { shape, activation, .. } => (0..len)
            .map(place)
            .map(|[y, x, o]| {
                let mut sum = bias[o];
                for i in 0..3 {
                    for j in 0..3 {
                        let (row, column) = ((y + i) as isize - 1, (x + j) as isize - 1);
                        sum +=
                            at(0, row, column, o / shape.multiplier).unwrap_or(0.0) * weights[(i * 3 + j) * to[2] + o];
                    }
                }
                activate(*activation, sum)
            })
            .collect(),
        Operator::Transposed { shape, activation, .. } => {
            // Each input pixel spreads the filter, as the operator's definition has it.
            let mut sums: Vec<f64> = (0..len).map(|i| bias[place(i)[2]]).collect();
            let [height, width, channels] = shapes[0];
            for y in 0..height {
                for x in 0..width {
                    for (k, weight) in weights.iter().enumerate() {
                        let [o, i, j, c] = [k / channels / 9, k / channels / 3 % 3, k / channels % 3, k % channels];
                        let row = (y * shape.stride[0] + i) as isize - shape.padding[0] as isize;
                        let column = (x * shape.stride[1] + j) as isize - shape.padding[1] as isize;
                        if (0..to[0] as isize).contains(&row) && (0..to[1] as isize).contains(&column) {
                            let value = inputs[0][(y * width + x) * channels + c];
                            sums[(row as usize * to[1] + column as usize) * to[2] + o] += value * weight;
                        }
                    }
                }
            }
            sums.into_iter().map(|sum| activate(*activation, sum)).collect()
        }
        Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => (0..len)
            .map(place)
            .map(|[y, x, c]| {
                let [h, w] = shape.window;
                let all: Vec<f64> =
                    (0..h * w).filter_map(|k| at(0, (y * h + k / w) as isize, (x * w + k % w) as isize, c)).collect();
                if matches!(node.operator, Operator::MaxPool { .. }) {
                    all.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                } else {
                    all.iter().sum::<f64>() / all.len() as f64
                }
            })
            .collect(),
        Operator::Mean => {
            let pixels = shapes[0][0] * shapes[0][1];
            (0..len).map(|c| inputs[0].iter().skip(c).step_by(len).sum::<f64>() / pixels as f64).collect()
        }
        Operator::Function(function) => {
            let channel = |i: usize| i % to[2];
            let all = inputs[0].iter().enumerate().map(|(i, &x)| match function {
                Function::Relu => x.max(0.0),
                Function::Relu6 => x.clamp(0.0, 6.0),
                Function::LeakyRelu { slope } => {
                    if x < 0.0 {
                        x * f64::from(*slope)
                    } else {
                        x
                    }
                }
                Function::PRelu { .. } => {
                    if x < 0.0 {
                        x * weights[channel(i)]
                    } else {
                        x
                    }
                }
                Function::HardSigmoid { alpha, beta } => (f64::from(*alpha) * x + f64::from(*beta)).clamp(0.0, 1.0),
                Function::LocalResponse { size, alpha, beta, k } => {
                    let (pixel, c) = (&inputs[0][i / to[2] * to[2]..][..to[2]], channel(i));
                    let near = c.saturating_sub(size / 2)..(c + size / 2 + 1).min(to[2]);
                    let squares: f64 = pixel[near].iter().map(|x| x * x).sum();
                    x / (f64::from(*k) + f64::from(*alpha) * squares).powf(f64::from(*beta))
                }
                Function::Table { .. } => panic!("tables are of integers"),
                Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
                Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Function::Tanh => x.tanh(),
                Function::Softmax { beta } => {
                    let pixel = &inputs[0][i / to[2] * to[2]..][..to[2]];
                    (x * f64::from(*beta)).exp() / pixel.iter().map(|x| (x * f64::from(*beta)).exp()).sum::<f64>()
                }
            });
            all.collect()
        }
        Operator::Add(activation) => {
            inputs[0].iter().zip(&inputs[1]).map(|(a, b)| activate(*activation, a + b)).collect()
        }
        Operator::Subtract(activation) => {
            inputs[0].iter().zip(inputs[1].iter().cycle()).map(|(a, b)| activate(*activation, a - b)).collect()
        }
        Operator::Multiply(activation) => {
            inputs[0].iter().zip(&inputs[1]).map(|(a, b)| activate(*activation, a * b)).collect()
        }
        Operator::Concatenate { .. } => (0..len)
            .map(place)
            .map(|[y, x, c]| {
                let (input, c) = if c < shapes[0][2] { (0, c) } else { (1, c - shapes[0][2]) };
                at(input, y as isize, x as isize, c).unwrap()
            })
            .collect(),
        Operator::Pad { before, .. } => (0..len)
            .map(place)
            .map(|[y, x, c]| {
                let c = c.checked_sub(before[2]).filter(|&c| c < shapes[0][2])?;
                at(0, y as isize - before[0] as isize, x as isize - before[1] as isize, c)
            })
            .map(|value| value.unwrap_or(0.0))
            .collect(),
        Operator::Slice { begin, stride } => (0..len)
            .map(place)
            .map(|index| {
                let [y, x, c] = [0, 1, 2].map(|axis| begin[axis] as isize + stride[axis] * index[axis] as isize);
                at(0, y, x, c as usize).unwrap()
            })
            .collect(),
        &Operator::ResizeNearest { align_corners: false, half_pixel_centers: true } => (0..len)
            .map(place)
            .map(|index| {
                let [y, x] =
                    [0, 1].map(|axis| nearest(shapes[0][axis], to[axis], Coordinates::HalfPixel, index[axis]) as isize);
                at(0, y, x, index[2]).unwrap()
            })
            .collect(),
        Operator::Reshape | Operator::Requantize => inputs[0].clone(),
        other => panic!("{other:?} is in no test"),
    }
}
