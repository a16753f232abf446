//! From a network to what an engine runs: a step for each layer, or a few, and a place for each tensor.

use super::memory::{Buffer, arrange};
use super::{Engine, ErrorOf, Mode, Operation};
use crate::nn::lanes::{LANES, Lanes, Real};
use crate::nn::layer::{Layer, Pool2d, size};
use crate::nn::layers::{self, Activation, FakeQuantize, LinearPool, MaxPool, Reshape, Scratch, Step};
use crate::nn::network::{Network, Node};
use bareconv::{BlurPool2dShape, SliceShape, UpsampleShape};

/// The place of a tensor in the engine's lists: the network's input, the output of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor(pub usize);

struct Compiler<T> {
    chunks: usize,
    training: bool,
    operations: Vec<Operation<T>>,
    sizes: Vec<usize>,
}

impl<T: Real> Compiler<T> {
    fn add(&mut self, step: impl Step<T> + 'static, inputs: &[Tensor], output: usize, node: &Node) -> Tensor {
        let tensor = Tensor(self.sizes.len());
        self.sizes.push(output);
        self.operations.push(Operation {
            step: Box::new(step),
            inputs: inputs.to_vec(),
            output: tensor,
            parameters: node.parameters(),
            state: node.state.clone(),
            in_place: false,
            errors: vec![None; inputs.len()],
        });
        tensor
    }

    /// The output of a node.
    fn node(&mut self, number: usize, node: &Node, x: &[Tensor]) -> Tensor {
        let (input, output) = (node.input, size(node.output));
        let sizes = || [self.sizes[x[0].0], self.sizes[x[x.len() - 1].0]];
        match node.layer {
            Layer::Conv2d(conv) => self.add(layers::Conv2d::new(&conv.shape(input)), x, output, node),
            Layer::DepthwiseConv2d(conv) => self.add(layers::Depthwise::new(&conv.shape(input)), x, output, node),
            Layer::TransposedConv2d(conv) => self.add(layers::Conv2d::transposed(&conv.shape(input)), x, output, node),
            Layer::LocallyConnected2d(conv) => {
                self.add(layers::LocallyConnected::new(&conv.shape(input)), x, output, node)
            }
            Layer::Dense { outputs, .. } => self.add(layers::Dense { inputs: size(input), outputs }, x, output, node),
            Layer::MaxPool2d(pool) => self.add(MaxPool::new(&pool.shape(input), self.chunks), x, output, node),
            Layer::AveragePool2d { pool, including_padding } => {
                self.add(LinearPool::average(&pool.shape(input), including_padding), x, output, node)
            }
            Layer::GlobalAveragePool => self.add(LinearPool::pyramid(input, 1), x, output, node),
            Layer::SpatialPyramidPool { ref levels, average } => {
                let runs: Vec<usize> = levels.iter().map(|level| level * level * input[2]).collect();
                let parts: Vec<Tensor> = levels
                    .iter()
                    .zip(&runs)
                    .map(|(&level, &run)| {
                        if average {
                            self.add(LinearPool::pyramid(input, level), x, run, node)
                        } else {
                            self.add(MaxPool::pyramid(input, level, self.chunks), x, run, node)
                        }
                    })
                    .collect();
                self.add(layers::Concatenate { runs }, &parts, output, node)
            }
            Layer::BlurPool2d { max, taps, stride, padding } => {
                let shape = BlurPool2dShape { input, max, taps, stride, padding };
                let mut dense = x[0];
                if max > 1 {
                    let pool = Pool2d::new([max, max]).stride(1).shape(input);
                    let step = MaxPool::new(&pool, self.chunks);
                    dense = self.add(step, x, size(pool.output()), node);
                }
                self.add(LinearPool::blur(&shape), &[dense], output, node)
            }
            Layer::BatchNorm { momentum, epsilon } => {
                let step = layers::BatchNorm::new(input[2], momentum, epsilon, self.training);
                self.add(step, x, output, node)
            }
            Layer::LocalResponse { size, alpha, beta, k } => {
                let step = layers::LocalResponse { channels: input[2], radius: size / 2, alpha, beta, k };
                self.add(step, x, output, node)
            }
            Layer::Dropout { rate } => {
                self.add(layers::Dropout::new(rate, number, output * self.chunks), x, output, node)
            }
            Layer::Relu => self.add(Activation::Relu, x, output, node),
            Layer::Relu6 => self.add(Activation::Relu6, x, output, node),
            Layer::LeakyRelu { slope } => self.add(Activation::LeakyRelu(slope), x, output, node),
            Layer::PRelu => self.add(layers::PRelu { channels: input[2] }, x, output, node),
            Layer::HardSwish => self.add(Activation::HardSwish, x, output, node),
            Layer::HardSigmoid => self.add(Activation::HardSigmoid, x, output, node),
            Layer::Sigmoid => self.add(Activation::Sigmoid, x, output, node),
            Layer::Tanh => self.add(Activation::Tanh, x, output, node),
            Layer::Softmax => self.add(layers::Softmax { channels: input[2] }, x, output, node),
            Layer::Add | Layer::Subtract => {
                let (sizes, subtract) = (sizes(), node.layer == Layer::Subtract);
                self.add(layers::Add { sizes, subtract }, x, output, node)
            }
            Layer::Multiply => {
                let sizes = sizes();
                self.add(layers::Multiply { sizes }, x, output, node)
            }
            Layer::Concatenate { axis } => {
                // What comes after one another of each input, the later axes included.
                let outer: usize = node.output[..axis].iter().product();
                let runs = x.iter().map(|tensor| self.sizes[tensor.0] / outer).collect();
                self.add(layers::Concatenate { runs }, x, output, node)
            }
            Layer::Upsample { size, coordinates } => {
                let shape = UpsampleShape::new(input, size, coordinates).expect("it was checked");
                self.add(layers::Arrange::upsample(&shape), x, output, node)
            }
            Layer::Pad { before, .. } => self.add(layers::Arrange::pad(input, before, node.output), x, output, node),
            Layer::Slice { begin, end, stride } => {
                let shape = SliceShape::new(input, begin, end, stride).expect("it was checked");
                self.add(layers::Arrange::slice(&shape), x, output, node)
            }
            Layer::Reshape { .. } | Layer::Flatten => self.add(Reshape, x, output, node),
            Layer::FakeQuantize => self.add(FakeQuantize::new(), x, output, node),
        }
    }
}

/// The nodes in the order in which they run, each with what it takes. A ReLU before its only taker, a maximum pooling,
/// changes places with it: the greatest of rectified values is the greatest value, rectified, and the error finds the same
/// winner, but fewer values are rectified, and the pooling's input is not needed on the way back.
fn ordered(network: &Network) -> Vec<(usize, Vec<usize>)> {
    let nodes = network.nodes();
    let mut order: Vec<(usize, Vec<usize>)> =
        nodes.iter().enumerate().map(|(i, node)| (i, node.inputs.iter().map(|value| value.0).collect())).collect();
    let takers = |value: usize| {
        let output = usize::from(network.output().0 == value);
        output + nodes.iter().flat_map(|node| &node.inputs).filter(|input| input.0 == value).count()
    };
    for pool in 1..nodes.len() {
        let relu = pool - 1;
        if matches!(nodes[pool].layer, Layer::MaxPool2d(_))
            && nodes[relu].layer == Layer::Relu
            && nodes[pool].inputs[0].0 == pool
            && takers(pool) == 1
        {
            // Values go by the place in the order: that of the pooling is what the ReLU now gives.
            order[relu].0 = pool;
            order[pool].0 = relu;
        }
    }
    order
}

pub fn engine<T: Real>(network: &Network, capacity: usize, mode: Mode) -> Engine<T> {
    let training = mode == Mode::Training;
    let chunks = capacity.div_ceil(LANES);
    let input = Tensor(0);
    let mut compiler = Compiler { chunks, training, operations: Vec::new(), sizes: vec![size(network.input_shape())] };
    let mut values = vec![input];
    for (number, inputs) in ordered(network) {
        let x: Vec<Tensor> = inputs.into_iter().map(|value| values[value]).collect();
        let mut node = network.nodes()[number].clone();
        if node.layer == Layer::Relu {
            // It may follow a pooling instead.
            node.output = [1, 1, compiler.sizes[x[0].0]];
        }
        let tensor = compiler.node(number, &node, &x);
        values.push(tensor);
    }
    let output = values[network.output().0];
    let Compiler { mut operations, sizes, .. } = compiler;

    let (count, last) = (sizes.len(), operations.len());
    // Which tensors depend on parameters: only their errors matter.
    let mut trained = vec![false; count];
    for operation in &operations {
        let inherited = operation.inputs.iter().any(|input| trained[input.0]);
        trained[operation.output.0] = inherited || !operation.parameters.is_empty();
    }
    let mut takers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (number, operation) in operations.iter().enumerate() {
        for input in &operation.inputs {
            takers[input.0].push(number);
        }
    }
    let producer = |tensor: Tensor| tensor.0.checked_sub(1);
    // Operation i runs at time i + 1 and, on the way back, at time `back(i)`; the loss comes at `last + 1`.
    let back = |operation: usize| 2 * last + 1 - operation;

    // Each tensor's own buffer, and its error's behind them, before some are put into one.
    let mut buffers = vec![None; 2 * count];
    let mut owner: Vec<usize> = (0..2 * count).collect();
    for tensor in 0..count {
        let mut until = if tensor == output.0 { last + 1 } else { 0 };
        for &taker in &takers[tensor] {
            let kept = training && operations[taker].step.keeps_input() && trained[operations[taker].output.0];
            until = until.max(if kept { back(taker) } else { taker + 1 });
        }
        if let Some(operation) = producer(Tensor(tensor))
            && training
            && operations[operation].step.keeps_output()
            && trained[tensor]
        {
            until = until.max(back(operation));
        }
        buffers[tensor] = Some(Buffer { size: sizes[tensor], from: tensor, until: until.max(tensor) });
        if training && trained[tensor] {
            let first = takers[tensor].iter().map(|&taker| back(taker)).min();
            let from = if tensor == output.0 { last + 1 } else { first.unwrap_or(back(tensor - 1)) };
            buffers[count + tensor] = Some(Buffer { size: sizes[tensor], from, until: back(tensor - 1) });
        }
    }
    for number in 0..operations.len() {
        let operation = &operations[number];
        let (first, result) = (operation.inputs[0], operation.output);
        let alone = takers[first.0].len() == 1 && first != output && sizes[first.0] == sizes[result.0];
        let needed = training
            && (operation.step.keeps_input()
                || producer(first).is_some_and(|before| operations[before].step.keeps_output()));
        let in_place = operation.step.in_place() && alone && first != input && !needed;
        let errors: Vec<Option<ErrorOf>> = (0..operation.inputs.len())
            .map(|index| {
                let tensor = operation.inputs[index];
                // Takers come back in reverse order, and a layer's inputs in reverse, too: the first one writes.
                let after = takers[tensor.0].iter().any(|&taker| taker > number);
                let again = operation.inputs[index + 1..].contains(&tensor);
                let add = after || again || tensor == output;
                let in_place = index == 0 && operation.step.error_in_place() && alone;
                (training && trained[tensor.0]).then_some(ErrorOf { add, in_place })
            })
            .collect();
        if in_place {
            merge(&mut buffers, &mut owner, result.0, first.0);
        }
        if errors[0].is_some_and(|error| error.in_place) {
            merge(&mut buffers, &mut owner, count + first.0, count + result.0);
        }
        let operation = &mut operations[number];
        operation.in_place = in_place;
        operation.errors = errors;
    }

    let owners: Vec<usize> = (0..2 * count).filter(|&i| owner[i] == i && buffers[i].is_some()).collect();
    let (places, length) = arrange(&owners.iter().filter_map(|&i| buffers[i]).collect::<Vec<_>>());
    let place = |mut i: usize| {
        while owner[i] != i {
            i = owner[i];
        }
        owners.iter().position(|&owner| owner == i).map(|at| places[at])
    };
    let tensors = (0..count).map(|i| place(i).expect("every tensor has a buffer")).collect();
    let errors = (0..count).map(|i| place(count + i)).collect();
    let scratch = |kind: usize| operations.iter().map(|operation| operation.step.scratch()[kind]).max().unwrap_or(0);
    let scratch = Scratch {
        numbers: vec![T::ZERO; scratch(0)],
        lanes: vec![Lanes::ZERO; if training { scratch(1) * chunks } else { 0 }],
    };
    let largest = operations.iter_mut().map(|operation| match operation.step.as_dense() {
        Some(dense) => dense.gradient_len(),
        None => operation.parameters.len(),
    });
    let largest = if training { largest.max().unwrap_or(0) } else { 0 };
    Engine {
        mode,
        operations,
        sizes,
        tensors,
        errors,
        memory: vec![Lanes::ZERO; length * chunks],
        scratch,
        gradient: vec![T::ZERO; largest],
        input,
        output,
        capacity,
        images: 0,
        results: Vec::new(),
        parameters: network.parameters(),
        state: network.state(),
    }
}

/// Puts a buffer into another one's place, which is then needed as long as both.
fn merge(buffers: &mut [Option<Buffer>], owner: &mut [usize], buffer: usize, into: usize) {
    let mut root = into;
    while owner[root] != root {
        root = owner[root];
    }
    let (Some(own), Some(other)) = (buffers[buffer], buffers[root]) else { return };
    owner[buffer] = root;
    buffers[root] = Some(Buffer {
        size: other.size.max(own.size),
        from: other.from.min(own.from),
        until: other.until.max(own.until),
    });
}
