//! Runs batches through a network, forward and backward.

mod compile;
mod memory;

use super::lanes::{LANES, Lanes, Real};
use super::layers::{FakeQuantize, Kept, Pass, Scratch, State, Step};
use super::network::Network;
use bareconv::Quantization;
use compile::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// What an [`Engine`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward only: tensors share memory as soon as nobody needs them any longer.
    Inference,
    /// Forward and backward.
    Training,
}

/// A layer at work.
struct Operation<T> {
    step: Box<dyn Step<T>>,
    inputs: Vec<Tensor>,
    output: Tensor,
    /// Where its parameters and moving averages lie.
    parameters: Range<usize>,
    state: Range<usize>,
    /// Whether the output overwrites the first input.
    in_place: bool,
    /// How the error of each input is computed; `None` where nobody asks for it.
    errors: Vec<Option<ErrorOf>>,
}

#[derive(Clone, Copy)]
struct ErrorOf {
    /// Whether it is added to what another layer computed.
    add: bool,
    /// Whether it overwrites the output's error.
    in_place: bool,
}

/// Takes the gradient of a range of parameters, and these parameters. A backward pass calls it once for each part of the
/// parameters, in no particular order, when it no longer needs them: an optimizer can take each part at once, so that the
/// whole gradient never exists. In networks with large dense layers that is a third of all memory.
pub type Update<'a, T> = dyn FnMut(Range<usize>, &[T], &mut [T]) + Send + 'a;

/// Runs batches of images through a network. All memory is allocated when it is made, and tensors that are not needed at
/// the same time share it.
///
/// A batch is cut into chunks of [`LANES`] images, and every layer works on all of them before the next begins: threads
/// share the chunks and the parts of each. Who computes what changes no result.
///
/// ```
/// use host_trainer::nn::{Engine, Initialization, Layer, Mode, Network};
///
/// let network = Network::new([4, 4, 1], &[Layer::dense(3)])?;
/// let mut parameters = network.initialize(Initialization::He, 1);
/// let mut engine = Engine::<f32>::new(&network, 2, Mode::Training);
/// engine.load(&[0.5; 2 * 16]);
/// engine.forward_training(&parameters, &mut [], 0);
/// assert_eq!(engine.output().len(), 2 * 3);
/// // From the loss's derivative with respect to the outputs, its gradient; and a step against it.
/// let mut gradient = vec![0.0; network.parameters()];
/// engine.backward(&[1.0; 2 * 3], &mut parameters, &mut |range, part, parameters| {
///     gradient[range].copy_from_slice(part);
///     for (parameter, derivative) in parameters.iter_mut().zip(part) {
///         *parameter -= 0.1 * derivative;
///     }
/// });
/// assert_eq!(gradient[..16], [1.0; 16]);
/// # Ok::<(), host_trainer::nn::ShapeError>(())
/// ```
pub struct Engine<T> {
    mode: Mode,
    operations: Vec<Operation<T>>,
    /// Elements of each tensor for one chunk, and where it and its error lie in the memory, for one chunk.
    sizes: Vec<usize>,
    tensors: Vec<usize>,
    errors: Vec<Option<usize>>,
    memory: Vec<Lanes<T>>,
    scratch: Scratch<T>,
    /// The gradient of a layer.
    gradient: Vec<T>,
    input: Tensor,
    output: Tensor,
    capacity: usize,
    images: usize,
    /// `[image][output]`.
    results: Vec<T>,
    parameters: usize,
    state: usize,
}

impl<T: Real> Engine<T> {
    /// For batches of `network` of up to `capacity` images.
    ///
    /// # Panics
    /// When `capacity` is 0.
    #[must_use]
    pub fn new(network: &Network, capacity: usize, mode: Mode) -> Self {
        assert!(capacity > 0, "an engine is for at least one image");
        compile::engine(network, capacity, mode)
    }

    /// What it is for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The most images of a batch.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Images of the present batch.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Bytes that it allocated, but for what is small.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let numbers = self.scratch.numbers.len() + self.gradient.len() + self.results.len();
        (self.memory.len() + self.scratch.lanes.len()) * size_of::<Lanes<T>>() + numbers * size_of::<T>()
    }

    fn chunks(&self) -> usize {
        self.images.div_ceil(LANES)
    }

    /// The memory of a tensor or error that lies at `place`, for the chunks of the present batch.
    fn range(&self, place: usize, tensor: Tensor) -> Range<usize> {
        let first = place * self.capacity.div_ceil(LANES);
        first..first + self.sizes[tensor.0] * self.chunks()
    }

    fn tensor(&self, tensor: Tensor) -> Range<usize> {
        self.range(self.tensors[tensor.0], tensor)
    }

    fn error(&self, tensor: Tensor) -> Range<usize> {
        let place = self.errors[tensor.0].expect("somebody asks for the error");
        self.range(place, tensor)
    }

    /// Begins a batch with these images, `[image][row][column][channel]`.
    ///
    /// # Panics
    /// When they are not whole images, none, or more than the capacity.
    pub fn load(&mut self, images: &[T]) {
        let size = self.sizes[self.input.0];
        assert!(images.len().is_multiple_of(size), "whole images of {size} values");
        self.load_with(images.len() / size, |image, values| values.copy_from_slice(&images[image * size..][..size]));
    }

    /// Begins a batch of `count` images, each of which `fill` writes: it gets the image's number and the place for
    /// its values, `[row][column][channel]`, all 0. Threads share the work.
    ///
    /// # Panics
    /// When `count` is 0 or more than the capacity.
    pub fn load_with(&mut self, count: usize, fill: impl Fn(usize, &mut [T]) + Sync) {
        assert!((1..=self.capacity).contains(&count), "{count} images, for 1 to {}", self.capacity);
        self.images = count;
        let (range, size) = (self.tensor(self.input), self.sizes[self.input.0]);
        // A few images at a time: their values and the lanes they go to stay in the cache.
        const TOGETHER: usize = 4;
        let input = &mut self.memory[range];
        input.par_chunks_mut(size).enumerate().for_each(|(chunk, lanes)| {
            let first = chunk * LANES;
            let used = (count - first).min(LANES);
            let mut values = vec![T::ZERO; TOGETHER.min(used) * size];
            for lane in (0..used).step_by(TOGETHER) {
                let together = TOGETHER.min(used - lane);
                let values = &mut values[..together * size];
                values.fill(T::ZERO);
                values.par_chunks_mut(size).enumerate().for_each(|(i, values)| fill(first + lane + i, values));
                for (place, lanes) in lanes.iter_mut().enumerate() {
                    for i in 0..together {
                        lanes.0[lane + i] = values[i * size + place];
                    }
                }
            }
            // Nobody sees what is computed there.
            for lanes in lanes {
                lanes.0[used..].fill(T::ZERO);
            }
        });
    }

    /// Computes the outputs as in inference: batch normalization uses the moving averages, and nothing drops out.
    ///
    /// # Panics
    /// When no batch was loaded, or `parameters` or `state` are not the network's.
    pub fn forward(&mut self, parameters: &[T], state: &[T]) {
        assert_eq!(state.len(), self.state, "the network's moving averages");
        self.run(parameters, State::Fixed(state), 0);
    }

    /// Computes the outputs as in training: batch normalization uses the statistics of the batch, and `state`, its moving
    /// averages, move; dropout draws from `seed`, which should differ from step to step.
    ///
    /// # Panics
    /// When no batch was loaded, `parameters` or `state` are not the network's, or the engine is for inference.
    pub fn forward_training(&mut self, parameters: &[T], state: &mut [T], seed: u64) {
        assert_eq!(self.mode, Mode::Training, "an engine for training");
        assert_eq!(state.len(), self.state, "the network's moving averages");
        self.run(parameters, State::Moving(state), seed);
    }

    fn run(&mut self, parameters: &[T], mut state: State<'_, T>, seed: u64) {
        assert!(self.images > 0, "a batch must be loaded before");
        assert_eq!(parameters.len(), self.parameters, "the network's parameters");
        let pass = Pass { images: self.images, training: matches!(state, State::Moving(_)), seed };
        // Within a thread of the pool, small layers need not wake anybody.
        rayon::scope(|_| {
            for number in 0..self.operations.len() {
                let operation = &self.operations[number];
                let sources = operation.inputs.iter().enumerate();
                let sources: Vec<_> =
                    sources.map(|(i, &input)| (!(i == 0 && operation.in_place)).then(|| self.tensor(input))).collect();
                let target = self.tensor(operation.output);
                let operation = &mut self.operations[number];
                let (y, x) = split(&mut self.memory, target, &sources);
                let state = match &mut state {
                    State::Fixed(state) => State::Fixed(&state[operation.state.clone()]),
                    State::Moving(state) => State::Moving(&mut state[operation.state.clone()]),
                };
                let parameters = &parameters[operation.parameters.clone()];
                operation.step.forward(pass, parameters, state, &x, y, &mut self.scratch);
            }
            let output = self.tensor(self.output);
            let size = self.sizes[self.output.0];
            let lanes = &self.memory[output];
            self.results.resize(self.images * size, T::ZERO);
            for (image, result) in self.results.chunks_exact_mut(size).enumerate() {
                let lanes = &lanes[image / LANES * size..][..size];
                for (value, lanes) in result.iter_mut().zip(lanes) {
                    *value = lanes.0[image % LANES];
                }
            }
        });
    }

    /// The outputs of the last forward pass, `[image][output]`.
    #[must_use]
    pub fn output(&self) -> &[T] {
        &self.results
    }

    /// The way back after [`Self::forward_training`]: from `error`, the loss's derivative with respect to the outputs,
    /// `[image][output]`, to its gradient, which `update` takes.
    ///
    /// # Panics
    /// When `error` or `parameters` are not as long as the outputs and the network's parameters, or the engine is for
    /// inference.
    pub fn backward(&mut self, error: &[T], parameters: &mut [T], update: &mut Update<'_, T>) {
        assert_eq!(self.mode, Mode::Training, "an engine for training");
        assert_eq!(error.len(), self.results.len(), "a derivative for each output");
        assert_eq!(parameters.len(), self.parameters, "the network's parameters");
        if self.errors[self.output.0].is_none() {
            return;
        }
        let (range, size) = (self.error(self.output), self.sizes[self.output.0]);
        for (chunk, lanes) in self.memory[range].chunks_exact_mut(size).enumerate() {
            for (place, lanes) in lanes.iter_mut().enumerate() {
                for (lane, value) in lanes.0.iter_mut().enumerate() {
                    let image = chunk * LANES + lane;
                    *value = if image < self.images { error[image * size + place] } else { T::ZERO };
                }
            }
        }
        let pass = Pass { images: self.images, training: true, seed: 0 };
        rayon::scope(|_| {
            for number in (0..self.operations.len()).rev() {
                if self.errors[self.operations[number].output.0].is_some() {
                    self.backward_operation(number, pass, parameters, update);
                }
            }
        });
    }

    fn backward_operation(&mut self, number: usize, pass: Pass, parameters: &mut [T], update: &mut Update<'_, T>) {
        let operation = &self.operations[number];
        let keeps = [operation.step.keeps_input(), operation.step.keeps_output()];
        let mut sources: Vec<_> = operation.inputs.iter().map(|&input| keeps[0].then(|| self.tensor(input))).collect();
        sources.push(keeps[1].then(|| self.tensor(operation.output)));
        sources.push(Some(self.error(operation.output)));
        let errors: Vec<_> = operation
            .inputs
            .iter()
            .zip(&operation.errors)
            .map(|(&input, error)| error.map(|error| (error, self.error(input))))
            .collect();
        let Self { operations, memory, scratch, gradient, .. } = self;
        let operation = &mut operations[number];
        let range = operation.parameters.clone();
        let dense = operation.step.as_dense().is_some();
        if !dense && !range.is_empty() {
            let (_, read) = split(memory, 0..0, &sources);
            let (own, gradient) = (&parameters[range.clone()], &mut gradient[..range.len()]);
            operation.step.backward_parameters(pass, own, kept(&read), gradient, scratch);
        }
        // The last input first: the first one's error may overwrite the output's.
        for (index, error) in errors.into_iter().enumerate().rev() {
            let Some((ErrorOf { add, in_place }, target)) = error else { continue };
            if in_place {
                *sources.last_mut().expect("the error is the last") = None;
            }
            let (dx, read) = split(memory, target, &sources);
            operation.step.backward_input(pass, &parameters[range.clone()], kept(&read), index, dx, add, scratch);
        }
        if let Some(dense) = operation.step.as_dense() {
            let (_, read) = split(memory, 0..0, &sources);
            dense.backward_blocks(kept(&read), range, parameters, gradient, scratch, update);
        } else if !range.is_empty() {
            update(range.clone(), &gradient[..range.len()], &mut parameters[range]);
        }
    }

    fn fake_quantize(&mut self) -> impl Iterator<Item = &mut FakeQuantize<T>> {
        self.operations.iter_mut().filter_map(|operation| operation.step.as_fake_quantize())
    }

    /// Sets the grids of the layers of fake quantization, in the order of [`Node::grid`](super::Node::grid); `None` lets
    /// values through. Grids are of int8.
    ///
    /// # Panics
    /// When the number of grids is not the network's.
    pub fn set_grids(&mut self, grids: &[Option<Quantization>]) {
        self.set_grids_of(grids, [-128, 127]);
    }

    /// The same with the least and the greatest integer of the grids.
    ///
    /// # Panics
    /// When the number of grids is not the network's.
    pub fn set_grids_of(&mut self, grids: &[Option<Quantization>], levels: [i32; 2]) {
        assert_eq!(self.fake_quantize().count(), grids.len(), "a grid for each layer of fake quantization");
        for (layer, &grid) in self.fake_quantize().zip(grids) {
            layer.set_grid(grid, levels);
        }
    }

    /// The least and the greatest value that each layer of fake quantization has seen since [`Self::forget_ranges`].
    #[must_use]
    pub fn observed(&mut self) -> Vec<[f32; 2]> {
        self.fake_quantize().map(|layer| layer.observed).collect()
    }

    /// Starts observing ranges anew.
    pub fn forget_ranges(&mut self) {
        self.fake_quantize().for_each(|layer| layer.observed = FakeQuantize::<T>::NOTHING);
    }
}

/// What a layer kept, and the error of its output, out of a list of the inputs, the output and the error.
fn kept<'a, T>(read: &'a [Option<&'a [Lanes<T>]>]) -> Kept<'a, T> {
    let (x, last) = read.split_at(read.len() - 2);
    Kept { x, y: last[0], dy: last[1] }
}

/// One part of memory to write and others to read.
///
/// # Panics
/// When one that is read overlaps the one that is written.
fn split<'a, T>(
    memory: &'a mut [T],
    write: Range<usize>,
    read: &[Option<Range<usize>>],
) -> (&'a mut [T], Vec<Option<&'a [T]>>) {
    let (before, rest) = memory.split_at_mut(write.start);
    let (written, after) = rest.split_at_mut(write.len());
    let (before, after) = (&*before, &*after);
    let slice = |range: &Range<usize>| {
        if range.end <= write.start {
            &before[range.clone()]
        } else {
            assert!(range.start >= write.end, "what is read is not written");
            &after[range.start - write.end..range.end - write.end]
        }
    };
    (written, read.iter().map(|range| range.as_ref().map(slice)).collect())
}

impl<T> std::fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mode, capacity, images, parameters, state, .. } = self;
        f.debug_struct("Engine")
            .field("mode", mode)
            .field("capacity", capacity)
            .field("images", images)
            .field("parameters", parameters)
            .field("state", state)
            .finish_non_exhaustive()
    }
}
