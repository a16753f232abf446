//! Random graphs of small operators, for tests of what is done with graphs.

use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape, Quantization};
use host_trainer::graph::{
    Element, Function, Graph, Node, Numbers, Operator, Rounding, Scales, Shape, Value, ValueId, Weights,
};
use host_trainer::random::Random;

/// A graph that grows node by node.
pub struct Builder {
    /// The graph so far.
    pub graph: Graph,
    random: Random,
}

impl Builder {
    pub fn new(seed: u64, rounding: Rounding) -> Self {
        let graph = Graph {
            name: format!("random {seed}"),
            source: "a test".to_owned(),
            rounding,
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        Self { graph, random: Random::new(seed, 0) }
    }

    pub fn value(&mut self, shape: Shape, element: Element) -> ValueId {
        let name = format!("value {}", self.graph.values.len());
        self.graph.values.push(Value { name, shape, dimensions: shape.to_vec(), element, constant: None });
        ValueId(self.graph.values.len() - 1)
    }

    pub fn input(&mut self, shape: Shape, element: Element) -> ValueId {
        let input = self.value(shape, element);
        self.graph.inputs.push(input);
        input
    }

    pub fn constant(&mut self, shape: Shape, element: Element) -> ValueId {
        let constant = self.value(shape, element);
        let numbers = some(&mut self.random, element, shape.iter().product());
        self.graph.values[constant.0].constant = Some(numbers);
        constant
    }

    pub fn node(&mut self, operator: Operator, inputs: &[ValueId], shape: Shape, element: Element) -> ValueId {
        let output = self.value(shape, element);
        let number = self.graph.nodes.len();
        let (name, place) = (format!("node {number}"), format!("operator {number}"));
        self.graph.nodes.push(Node { name, place, operator, inputs: inputs.to_vec(), output });
        output
    }

    /// A quantization of this type; that of `like` as often as not.
    fn element(&mut self, like: Element) -> Element {
        match like {
            _ if self.random.below(2) == 0 => like,
            Element::Int8(_) => {
                let zero_point = [-128, -128, 127, 0, self.random.below(256) as i32 - 128][self.random.below(5)];
                Element::Int8(Quantization::new(self.random.between(0.01, 0.1), zero_point as i8))
            }
            Element::Int16(_) => Element::Int16(self.random.between(0.0001, 0.0004)),
            Element::F32 => Element::F32,
        }
    }

    fn activation(&mut self) -> Activation {
        [Activation::Identity, Activation::Identity, Activation::Relu, Activation::Relu6][self.random.below(4)]
    }

    fn weights(&mut self, element: Element, count: usize, outputs: usize) -> Weights {
        let random = &mut self.random;
        if element == Element::F32 {
            // Zeros of both signs among the rest.
            let bias = (0..outputs).map(|_| [0.0, -0.0, random.between(-1.0, 1.0)][random.below(3)]).collect();
            return Weights::F32 { weights: (0..count).map(|_| random.between(-1.0, 1.0)).collect(), bias };
        }
        Weights::Int8 {
            weights: (0..count).map(|_| random.below(255) as i32 as i8).map(|w| w.max(-127)).collect(),
            scales: Scales::PerChannel((0..outputs).map(|_| random.between(0.001, 0.02)).collect()),
            bias: (0..outputs).map(|_| random.below(4000) as i32 - 2000).collect(),
            wide_bias: matches!(element, Element::Int16(_)) && random.below(2) == 0,
        }
    }

    fn zero(element: Element) -> Numbers {
        match element {
            Element::Int8(quantization) => Numbers::Int8(vec![quantization.zero_point]),
            Element::Int16(_) => Numbers::Int16(vec![0]),
            Element::F32 => Numbers::F32(vec![0.0]),
        }
    }

    /// Adds an operator that reads `input`, if one of a random kind can.
    fn grow(&mut self, input: ValueId) -> Option<ValueId> {
        let (from, element) = (self.graph.value(input).shape, self.graph.value(input).element);
        let [h, w, c] = from;
        let padding = [(); 4].map(|()| self.random.below(2));
        Some(match self.random.below(18) {
            0 | 1 => {
                let before = [self.random.below(2), self.random.below(3), usize::from(self.random.below(5) == 0)];
                let after = [self.random.below(2), self.random.below(2), 0];
                let value = match (self.random.below(3), element) {
                    (0, Element::Int8(_)) => Numbers::Int8(vec![-128]),
                    (1, _) => some(&mut self.random, element, 1),
                    _ => Self::zero(element),
                };
                let shape = [0, 1, 2].map(|axis| before[axis] + from[axis] + after[axis]);
                self.node(Operator::Pad { before, after, value }, &[input], shape, element)
            }
            2 | 3 => {
                let filter = [1 + self.random.below(3), 1 + self.random.below(3)];
                let filters = 1 + self.random.below(4);
                let shape = Conv2dShape { padding, ..Conv2dShape::new(from, filters, filter) };
                let shape = Conv2dShape { stride: [1 + self.random.below(2), 1], ..shape };
                shape.check().ok()?;
                let (activation, to) = (self.activation(), self.element(element));
                let weights = self.weights(element, filters * shape.filter_len(), filters);
                self.node(Operator::Conv2d { shape, weights, activation }, &[input], shape.output(), to)
            }
            4 => {
                let filter = [1 + self.random.below(3), 1 + self.random.below(3)];
                let shape = DepthwiseConv2dShape { padding, ..DepthwiseConv2dShape::new(from, 1, filter) };
                shape.check().ok()?;
                let (activation, to) = (self.activation(), self.element(element));
                let weights = self.weights(element, filter[0] * filter[1] * c, c);
                self.node(Operator::Depthwise { shape, weights, activation }, &[input], shape.output(), to)
            }
            5 => {
                let outputs = 1 + self.random.below(6);
                let shape = Conv2dShape::dense(h * w * c, outputs);
                let (activation, to) = (self.activation(), self.element(element));
                let weights = self.weights(element, h * w * c * outputs, outputs);
                self.node(Operator::Dense { shape, weights, activation }, &[input], [1, 1, outputs], to)
            }
            6 => {
                let filter = [1 + self.random.below(3), 1 + self.random.below(3)];
                let shape = Conv2dShape { padding, ..Conv2dShape::new(from, 1 + self.random.below(5), filter) };
                let shape = Conv2dShape { stride: [1 + self.random.below(2), 1], ..shape };
                shape.check().ok()?;
                let (activation, to) = (self.activation(), self.element(element));
                let outputs = shape.output().iter().product();
                let weights = self.weights(element, outputs * shape.filter_len(), outputs);
                self.node(Operator::LocallyConnected { shape, weights, activation }, &[input], shape.output(), to)
            }
            7 | 8 => {
                let window = [1 + self.random.below(3), 1 + self.random.below(3)];
                let padding = if self.random.below(2) == 0 { padding } else { [0; 4] };
                let shape = Pool2dShape { padding, ..Pool2dShape::new(from, window) };
                shape.check().ok()?;
                let activation = self.activation();
                self.node(Operator::MaxPool { shape, activation }, &[input], shape.output(), element)
            }
            9 => {
                let window = [1 + self.random.below(2), 1 + self.random.below(3)];
                let padding = if self.random.below(2) == 0 { padding } else { [0; 4] };
                let shape = Pool2dShape { padding, stride: [1, 1], ..Pool2dShape::new(from, window) };
                shape.check().ok()?;
                let (activation, including_padding) = (self.activation(), self.random.below(2) == 0);
                let operator = Operator::AveragePool { shape, including_padding, activation };
                self.node(operator, &[input], shape.output(), element)
            }
            10 | 11 => {
                let relu = self.random.below(2) == 0;
                let to = if relu { self.element(element) } else { element };
                let function = if relu { Function::Relu } else { Function::Relu6 };
                self.node(Operator::Function(function), &[input], from, to)
            }
            12 => {
                let shape = [from, [1, 1, h * w * c], [w, h, c]][self.random.below(3)];
                self.node(Operator::Reshape, &[input], shape, element)
            }
            13 => {
                let begin = [self.random.below(h), 0, 0];
                let stride = if begin[0] == 0 { 1 } else { -1 };
                let shape = [if begin[0] == 0 { h } else { begin[0] + 1 }, w, c];
                self.node(Operator::Slice { begin, stride: [stride, 1, 1] }, &[input], shape, element)
            }
            14 => {
                let twice = self.random.below(2) == 0;
                let inputs = if twice { vec![input, input] } else { vec![input] };
                let shape = [h * inputs.len(), w, c];
                self.node(Operator::Concatenate { axis: 0 }, &inputs, shape, element)
            }
            15 => match element {
                Element::F32 => {
                    let to = Element::Int8(Quantization::new(0.03, 5));
                    self.node(Operator::Quantize, &[input], from, to)
                }
                _ => {
                    let real = self.node(Operator::Dequantize, &[input], from, Element::F32);
                    let to = self.element(element);
                    self.node(Operator::Quantize, &[real], from, to)
                }
            },
            16 if element != Element::F32 => {
                let to = self.element(element);
                self.node(Operator::Requantize, &[input], from, to)
            }
            _ => {
                // A constant operand, itself the result of operators.
                let constant = self.constant([1, 1, c], element);
                let constant = self.node(Operator::Function(Function::Relu), &[constant], [1, 1, c], element);
                let (activation, to) = (self.activation(), self.element(element));
                let kind = [Operator::Add, Operator::Subtract, Operator::Multiply][self.random.below(3)];
                self.node(kind(activation), &[input, constant], from, to)
            }
        })
    }
}

/// Random numbers, extreme ones and zeros of both signs among them.
pub fn some(random: &mut Random, element: Element, count: usize) -> Numbers {
    let mut draw = |extremes: [f32; 3], width: f32| -> f32 {
        if random.below(3) == 0 { extremes[random.below(3)] } else { random.between(-width, width) }
    };
    match element {
        Element::Int8(_) => Numbers::Int8((0..count).map(|_| draw([-128.0, 0.0, 127.0], 128.0) as i8).collect()),
        Element::Int16(_) => {
            Numbers::Int16((0..count).map(|_| draw([-32768.0, 0.0, 32767.0], 32768.0) as i16).collect())
        }
        Element::F32 => Numbers::F32((0..count).map(|_| draw([-0.0, 0.0, 7.0], 8.0)).collect()),
    }
}

/// A graph of layers that can run row by row over a large first tensor, with a dense layer behind them, and inputs for it.
#[allow(dead_code, reason = "not every test has it")]
pub fn chain(seed: u64) -> (Graph, Vec<Numbers>) {
    let mut builder = Builder::new(seed, Rounding::TensorFlowLiteMicro);
    let shape = [40 + builder.random.below(6), 10 + builder.random.below(6), 1 + builder.random.below(3)];
    let element = [Element::Int8(Quantization::new(0.05, -3)), Element::Int16(0.0002), Element::F32][seed as usize % 3];
    let input = builder.input(shape, element);
    let mut last = input;
    for layer in 0..3 + builder.random.below(3) {
        let from = builder.graph.value(last).shape;
        let padding = [(); 4].map(|()| builder.random.below(2));
        let (operator, shape) = match (layer + seed as usize) % 3 {
            0 => {
                let filters = 2 * from[2] + builder.random.below(3);
                let stride = [1 + builder.random.below(2), 1];
                let shape = Conv2dShape { padding, stride, ..Conv2dShape::new(from, filters, [3, 2]) };
                let weights = builder.weights(element, filters * shape.filter_len(), filters);
                (Operator::Conv2d { shape, weights, activation: builder.activation() }, shape.output())
            }
            1 => {
                let shape = DepthwiseConv2dShape { padding, ..DepthwiseConv2dShape::new(from, 1, [3, 3]) };
                let weights = builder.weights(element, 9 * from[2], from[2]);
                (Operator::Depthwise { shape, weights, activation: builder.activation() }, shape.output())
            }
            _ => {
                let shape = Pool2dShape::new(from, [2, 1]);
                (Operator::MaxPool { shape, activation: builder.activation() }, shape.output())
            }
        };
        last = builder.node(operator, &[last], shape, element);
    }
    let values = builder.graph.value(last).shape.iter().product();
    let weights = builder.weights(element, 3 * values, 3);
    let dense = Operator::Dense { shape: Conv2dShape::dense(values, 3), weights, activation: Activation::Identity };
    let output = builder.node(dense, &[last], [1, 1, 3], element);
    builder.graph.outputs = vec![output];
    let inputs = vec![some(&mut builder.random, element, shape.iter().product())];
    (builder.graph, inputs)
}

/// A graph of a few operators with one input and one to three outputs, and inputs for it.
pub fn random(seed: u64) -> (Graph, Vec<Numbers>) {
    let roundings = [Rounding::TensorFlowLiteMicro, Rounding::TensorFlowLiteMicro, Rounding::Single];
    let mut builder = Builder::new(seed, roundings[seed as usize % 3]);
    let shape = [(); 3].map(|()| 1 + builder.random.below(5));
    let like = match seed % 5 {
        0 | 1 => Element::Int8(Quantization::new(0.05, -128)),
        2 => Element::Int16(0.0002),
        _ => Element::F32,
    };
    let like = builder.element(like);
    let input = builder.input(shape, like);
    let mut ends = vec![input];
    for _ in 0..2 + builder.random.below(8) {
        // Mostly a chain.
        let last = ends.len() - 1;
        let from = if builder.random.below(6) == 0 { builder.random.below(ends.len()) } else { last };
        if let Some(value) = builder.grow(ends[from]) {
            ends.push(value);
        }
    }
    let mut outputs = vec![ends[ends.len() - 1]];
    for _ in 0..builder.random.below(3) {
        outputs.push(ends[builder.random.below(ends.len())]);
    }
    builder.graph.outputs = outputs;
    let inputs = vec![some(&mut builder.random, like, shape.iter().product())];
    (builder.graph, inputs)
}
