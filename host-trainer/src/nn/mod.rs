//! Sequential networks: layers with forward and backward passes.
//!
//! Tensors are NHWC, filters OHWI, dense weights `[out][in]`, as in the exported model; a dense
//! layer sees its input flattened in that order. A [`Network`] is only the architecture: the
//! parameters are one flat slice (so that an optimizer or an average is one loop), and everything
//! that a pass computes lives in a [`Workspace`] that is allocated once.

mod init;
mod kernels;
mod lanes;
#[cfg(test)]
mod tests;

pub use init::Initialization;
pub use lanes::{LANES, Lanes, Real};

use bareconv::Quantization;
use kernels::{Correlation, Grid, Pooling, run};
use std::ops::Range;

/// One layer of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A convolution (cross-correlation) with bias.
    Conv2d {
        /// Number of filters, which is the number of output channels.
        filters: usize,
        /// Height and width of a filter.
        filter: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Rows of zeros above and below, columns of zeros left and right.
        padding: [usize; 2],
    },
    /// The maximum over windows that do not leave the input.
    MaxPool2d {
        /// Height and width of the window.
        window: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
    },
    /// `max(x, 0)`.
    Relu,
    /// A fully connected layer with bias.
    Dense {
        /// Number of outputs.
        outputs: usize,
    },
    /// Rounds to the int8 grid of this activation, with the straight-through estimator as its
    /// gradient. Without a grid it only notes the range. See [`crate::quantize`].
    FakeQuantize,
}

/// A layer's shape does not fit its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer {index} ({layer:?}) does not fit its input of {input:?} (height, width, channels): {reason}")]
pub struct ShapeError {
    /// Position in the list of layers, from 0.
    pub index: usize,
    /// The layer.
    pub layer: Layer,
    /// Shape of its input: height, width, channels.
    pub input: [usize; 3],
    /// What is wrong.
    pub reason: &'static str,
}

/// A layer in its place: with a name, shapes and parameters.
#[derive(Clone, Debug)]
pub struct Node {
    /// The kind of layer.
    pub layer: Layer,
    /// Kind and running number, such as `conv1` or `dense3`.
    pub name: String,
    /// Height, width and channels of the input.
    pub input: [usize; 3],
    /// Height, width and channels of the output.
    pub output: [usize; 3],
    /// Where its weights lie in the parameters; empty for a layer without weights.
    pub weights: Range<usize>,
    /// Where its biases lie in the parameters.
    pub bias: Range<usize>,
    /// The buffer that holds its input; the output's is the same (in place) or the next.
    source: usize,
    target: usize,
    /// Running number among the layers of kind [`Layer::FakeQuantize`].
    grid: usize,
}

impl Node {
    /// Number of inputs that one output is computed from; 0 for a layer without weights.
    #[must_use]
    pub fn fan_in(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    fn correlation(&self) -> Correlation {
        match self.layer {
            Layer::Conv2d { filters, filter, stride, padding } => Correlation {
                width: self.input[1] + 2 * padding[1],
                channels: self.input[2],
                output: [self.output[0], self.output[1]],
                filters,
                filter,
                stride,
            },
            _ => Correlation {
                width: 1,
                channels: size(self.input),
                output: [1, 1],
                filters: self.output[2],
                filter: [1, 1],
                stride: [1, 1],
            },
        }
    }

    fn padding(&self) -> [usize; 2] {
        match self.layer {
            Layer::Conv2d { padding, .. } => padding,
            _ => [0, 0],
        }
    }

    /// Number of elements of the input with its padding.
    fn padded(&self) -> usize {
        let [py, px] = self.padding();
        (self.input[0] + 2 * py) * (self.input[1] + 2 * px) * self.input[2]
    }

    fn pooling(&self, window: [usize; 2], stride: [usize; 2]) -> Pooling {
        Pooling {
            width: self.input[1],
            channels: self.input[2],
            output: [self.output[0], self.output[1]],
            window,
            stride,
        }
    }
}

fn size(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

/// The architecture of a sequential network: its layers with their shapes and the places of their
/// parameters.
#[derive(Clone, Debug)]
pub struct Network {
    input: [usize; 3],
    nodes: Vec<Node>,
    parameters: usize,
    /// Number of elements per image of each buffer.
    buffers: Vec<usize>,
    grids: usize,
}

impl Network {
    /// A network for inputs of `input` = height, width, channels.
    ///
    /// # Errors
    /// When a layer does not fit its input.
    pub fn new(input: [usize; 3], layers: &[Layer]) -> Result<Self, ShapeError> {
        let mut network = Self {
            input,
            nodes: Vec::with_capacity(layers.len()),
            parameters: 0,
            buffers: vec![size(input)],
            grids: 0,
        };
        let mut shape = input;
        let mut numbers = [0; 5];
        for (index, &layer) in layers.iter().enumerate() {
            let output =
                output_shape(layer, shape).map_err(|reason| ShapeError { index, layer, input: shape, reason })?;
            let (kind, name, weights) = match layer {
                Layer::Conv2d { filter, .. } => (0, "conv", filter[0] * filter[1] * shape[2] * output[2]),
                Layer::MaxPool2d { .. } => (1, "max_pool", 0),
                Layer::Relu => (2, "relu", 0),
                Layer::Dense { outputs } => (3, "dense", size(shape) * outputs),
                Layer::FakeQuantize => (4, "fake_quantize", 0),
            };
            numbers[kind] += 1;
            let first = network.parameters;
            let biases = if weights > 0 { output[2] } else { 0 };
            network.parameters += weights + biases;
            let source = network.buffers.len() - 1;
            if layer != Layer::Relu {
                network.buffers.push(size(output));
            }
            network.nodes.push(Node {
                layer,
                name: format!("{name}{}", numbers[kind]),
                input: shape,
                output,
                weights: first..first + weights,
                bias: first + weights..first + weights + biases,
                source,
                target: network.buffers.len() - 1,
                grid: network.grids,
            });
            network.grids += usize::from(layer == Layer::FakeQuantize);
            shape = output;
        }
        Ok(network)
    }

    /// Height, width and channels of the input.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 3] {
        self.input
    }

    /// Number of outputs: classes, for a classifier.
    #[must_use]
    pub fn outputs(&self) -> usize {
        size(self.nodes.last().map_or(self.input, |node| node.output))
    }

    /// The layers in order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Number of layers of kind [`Layer::FakeQuantize`].
    #[must_use]
    pub fn grids(&self) -> usize {
        self.grids
    }

    /// Computes the output of the images that were put into [`Workspace::input`].
    ///
    /// # Panics
    /// When `parameters` or the workspace belong to another network.
    pub fn forward<T: Real>(&self, parameters: &[T], workspace: &mut Workspace<T>) {
        assert_eq!(parameters.len(), self.parameters);
        for (index, node) in self.nodes.iter().enumerate() {
            let (sources, targets) = workspace.buffers.split_at_mut(node.source + 1);
            let x = &mut sources[node.source][..];
            // In place, the target is the source itself and `y` stays empty.
            let y = targets.first_mut().map_or(&mut [][..], |y| &mut y[..]);
            match node.layer {
                Layer::Conv2d { .. } | Layer::Dense { .. } => {
                    let padded = &mut workspace.padded[index];
                    if !padded.is_empty() {
                        for_each_row(node, |inside, outside| {
                            padded[outside].copy_from_slice(&x[inside]);
                        });
                    }
                    run(kernels::Forward {
                        shape: node.correlation(),
                        x: if padded.is_empty() { x } else { padded },
                        weights: &parameters[node.weights.clone()],
                        bias: &parameters[node.bias.clone()],
                        y,
                    });
                }
                Layer::MaxPool2d { window, stride } => {
                    run(kernels::MaxPool { shape: node.pooling(window, stride), x, y })
                }
                Layer::Relu => run(kernels::Relu(x)),
                Layer::FakeQuantize => {
                    let range = run(kernels::FakeQuantize {
                        grid: workspace.grids[node.grid].unwrap_or(Grid {
                            scale: T::from_f64(1.0),
                            inverse: T::from_f64(1.0),
                            steps: [T::ZERO; 2],
                        }),
                        x,
                        y,
                    });
                    if workspace.grids[node.grid].is_none() {
                        y.copy_from_slice(x);
                    }
                    let [least, greatest] = &mut workspace.observed[node.grid];
                    for (low, high) in range[0].0.iter().zip(&range[1].0) {
                        *least = least.min(low.to_f64() as f32);
                        *greatest = greatest.max(high.to_f64() as f32);
                    }
                }
            }
        }
    }

    /// Adds the gradient of the loss to [`Workspace::gradient`], from the loss's derivative with
    /// respect to the outputs, which was put into [`Workspace::output_gradient`] after
    /// [`Self::forward`].
    ///
    /// # Panics
    /// When `parameters` or the workspace belong to another network.
    pub fn backward<T: Real>(&self, parameters: &[T], workspace: &mut Workspace<T>) {
        assert_eq!(parameters.len(), self.parameters);
        let Workspace { buffers, padded, transposed, gradient, dy, dx, grids, .. } = workspace;
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let x = &buffers[node.source];
            let y = &buffers[node.target];
            let inputs = size(node.input);
            let dy_here = &mut dy[..size(node.output)];
            match node.layer {
                Layer::Relu => {
                    run(kernels::BackwardRelu { y, dy: dy_here });
                    continue;
                }
                Layer::FakeQuantize => {
                    if let Some(grid) = grids[node.grid] {
                        run(kernels::BackwardFakeQuantize { grid, x, dy: dy_here });
                    }
                    continue;
                }
                Layer::Conv2d { .. } | Layer::Dense { .. } => {
                    let (dw, db) = gradient[node.weights.start..node.bias.end].split_at_mut(node.weights.len());
                    if matches!(node.layer, Layer::Dense { .. }) {
                        kernels::transpose(x, transposed);
                        run(kernels::BackwardDenseWeights { transposed, dy: dy_here, inputs, dw, db });
                    } else {
                        let padded = &padded[index];
                        run(kernels::BackwardWeights {
                            shape: node.correlation(),
                            x: if padded.is_empty() { x } else { padded },
                            dy: dy_here,
                            dw,
                            db,
                        });
                    }
                    // Nobody asks for the gradient of the images.
                    if node.source > 0 {
                        let dx = &mut dx[..node.padded()];
                        dx.fill(Lanes::ZERO);
                        run(kernels::BackwardInput {
                            shape: node.correlation(),
                            dy: dy_here,
                            weights: &parameters[node.weights.clone()],
                            dx,
                        });
                        if node.padding() != [0, 0] {
                            // Rows move towards the front only.
                            for_each_row(node, |inside, outside| {
                                dx.copy_within(outside, inside.start);
                            });
                        }
                    }
                }
                Layer::MaxPool2d { window, stride } => {
                    let dx = &mut dx[..inputs];
                    dx.fill(Lanes::ZERO);
                    run(kernels::BackwardMaxPool { shape: node.pooling(window, stride), x, y, dy: dy_here, dx });
                }
            }
            std::mem::swap(dy, dx);
        }
    }
}

/// Calls `row` with the place of each row of the input in the plain and in the padded tensor.
fn for_each_row(node: &Node, mut row: impl FnMut(Range<usize>, Range<usize>)) {
    let [py, px] = node.padding();
    let [height, width, channels] = node.input;
    let length = width * channels;
    for y in 0..height {
        let inside = y * length;
        let outside = ((y + py) * (width + 2 * px) + px) * channels;
        row(inside..inside + length, outside..outside + length);
    }
}

fn output_shape(layer: Layer, [h, w, c]: [usize; 3]) -> Result<[usize; 3], &'static str> {
    let windows = |window: [usize; 2], stride: [usize; 2], padding: [usize; 2], channels| {
        if window.contains(&0) || stride.contains(&0) {
            return Err("window and stride must be at least 1");
        }
        let (h, w) = (h + 2 * padding[0], w + 2 * padding[1]);
        if window[0] > h || window[1] > w {
            return Err("the window is larger than the padded input");
        }
        Ok([(h - window[0]) / stride[0] + 1, (w - window[1]) / stride[1] + 1, channels])
    };
    if h * w * c == 0 {
        return Err("the input is empty");
    }
    match layer {
        Layer::Conv2d { filters: 0, .. } | Layer::Dense { outputs: 0 } => Err("it must have at least one output"),
        Layer::Conv2d { filters, filter, stride, padding } => windows(filter, stride, padding, filters),
        Layer::MaxPool2d { window, stride } => windows(window, stride, [0, 0], c),
        Layer::Dense { outputs } => Ok([1, 1, outputs]),
        Layer::Relu | Layer::FakeQuantize => Ok([h, w, c]),
    }
}

/// All memory that forward and backward passes of [`LANES`] images need.
#[derive(Debug)]
pub struct Workspace<T> {
    buffers: Vec<Vec<Lanes<T>>>,
    /// Zero-padded copies of the inputs of convolutions with padding.
    padded: Vec<Vec<Lanes<T>>>,
    transposed: Vec<Lanes<T>>,
    dy: Vec<Lanes<T>>,
    dx: Vec<Lanes<T>>,
    outputs: usize,
    grids: Vec<Option<Grid<T>>>,
    /// The gradient of the loss with respect to the parameters. [`Network::backward`] adds to it.
    pub gradient: Vec<T>,
    /// The least and the greatest value that every layer of kind [`Layer::FakeQuantize`] has seen
    /// since [`Self::forget_ranges`].
    pub observed: Vec<[f32; 2]>,
}

impl<T: Real> Workspace<T> {
    /// Memory for passes of `network`.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let lanes = |length| vec![Lanes::ZERO; length];
        let largest = network.nodes.iter().map(Node::padded).max().unwrap_or(0);
        let largest = largest.max(network.buffers.iter().copied().max().unwrap_or(0));
        let inputs = network.nodes.iter().map(|node| match node.layer {
            Layer::Dense { .. } => size(node.input),
            _ => 0,
        });
        let mut workspace = Self {
            buffers: network.buffers.iter().copied().map(lanes).collect(),
            padded: network
                .nodes
                .iter()
                .map(|node| match node.padding() {
                    [0, 0] => Vec::new(),
                    _ => lanes(node.padded()),
                })
                .collect(),
            transposed: lanes(inputs.max().unwrap_or(0).div_ceil(LANES) * LANES),
            dy: lanes(largest),
            dx: lanes(largest),
            outputs: network.outputs(),
            grids: vec![None; network.grids],
            gradient: vec![T::ZERO; network.parameters],
            observed: Vec::new(),
        };
        workspace.forget_ranges();
        workspace
    }

    /// Where the images go, `[height][width][channel]`.
    pub fn input(&mut self) -> &mut [Lanes<T>] {
        &mut self.buffers[0]
    }

    /// What [`Network::forward`] computed.
    #[must_use]
    pub fn output(&self) -> &[Lanes<T>] {
        self.buffers.last().map_or(&[], |buffer| buffer)
    }

    /// The output, and where the loss's derivative with respect to it goes.
    pub fn output_gradient(&mut self) -> (&[Lanes<T>], &mut [Lanes<T>]) {
        let output = self.buffers.last().map_or(&[][..], |buffer| buffer);
        (output, &mut self.dy[..self.outputs])
    }

    /// Starts observing ranges anew.
    pub fn forget_ranges(&mut self) {
        self.observed.clear();
        self.observed.resize(self.grids.len(), [f32::INFINITY, f32::NEG_INFINITY]);
    }

    /// Sets the grids of the layers of kind [`Layer::FakeQuantize`]; `None` lets values through.
    ///
    /// # Panics
    /// When the number of grids is not the network's.
    pub fn set_grids(&mut self, grids: &[Option<Quantization>]) {
        assert_eq!(grids.len(), self.grids.len());
        for (grid, quantization) in self.grids.iter_mut().zip(grids) {
            *grid = quantization.map(|q| {
                let zero_point = f64::from(q.zero_point);
                Grid {
                    scale: T::from_f64(f64::from(q.scale)),
                    inverse: T::from_f64(1.0 / f64::from(q.scale)),
                    steps: [-128.0 - zero_point, 127.0 - zero_point].map(T::from_f64),
                }
            });
        }
    }
}
