//! Convolutions and transposed convolutions.

use super::{Kept, Pass, Scratch, State, Step, bias_gradient};
use crate::nn::kernels::{Axis, Gather, WeightGradient};
use crate::nn::lanes::{Lanes, Real};
use bareconv::{Conv2dShape, TransposedConv2dShape};

/// A convolution, or a transposed one: what is forward for one is backward for the other.
#[derive(Clone, Debug)]
pub struct Conv2d {
    forward: Gather,
    backward: Gather,
    weights: WeightGradient,
    /// Weights: `[filter][row][column][channel of the group]`.
    filters: usize,
    filter: [usize; 2],
    channels: usize,
    groups: usize,
    transposed: bool,
}

impl Conv2d {
    pub fn new(shape: &Conv2dShape) -> Self {
        let output = shape.output();
        let axes = [0, 1].map(|axis| Axis {
            input: shape.input[axis],
            output: output[axis],
            filter: shape.filter[axis],
            stride: shape.stride[axis],
            dilation: shape.dilation[axis],
            before: shape.padding[axis],
        });
        let (channels, filters, groups) = (shape.input[2], shape.filters, shape.groups);
        Self {
            forward: Gather::forward(&axes, channels, filters, groups),
            backward: Gather::transposed(&axes, filters, channels, groups),
            weights: WeightGradient::new(&axes, channels, filters, groups),
            filters,
            filter: shape.filter,
            channels: channels / groups,
            groups,
            transposed: false,
        }
    }

    pub fn transposed(shape: &TransposedConv2dShape) -> Self {
        let output = shape.output();
        // The convolution that it transposes goes from its output to its input.
        let axes = [0, 1].map(|axis| Axis {
            input: output[axis],
            output: shape.input[axis],
            filter: shape.filter[axis],
            stride: shape.stride[axis],
            dilation: 1,
            before: shape.padding[axis],
        });
        let (channels, filters) = (shape.input[2], shape.filters);
        Self {
            forward: Gather::transposed(&axes, channels, filters, 1),
            backward: Gather::forward(&axes, filters, channels, 1),
            weights: WeightGradient::new(&axes, filters, channels, 1),
            filters,
            filter: shape.filter,
            channels,
            groups: 1,
            transposed: true,
        }
    }

    fn weights(&self) -> usize {
        self.filters * self.filter[0] * self.filter[1] * self.channels
    }

    /// Packs the weights for the forward or the backward pass.
    fn pack<T: Real>(&self, gather: &Gather, backward: bool, parameters: &[T], packed: &mut [T]) {
        let ([rows, columns], channels) = (self.filter, self.channels);
        let filters = self.filters / self.groups;
        // What gathers from an output to an input has its filter turned.
        let turned = backward != self.transposed;
        gather.pack(parameters, packed, |[group, output, row, column, input]| {
            let [row, column] = if turned { [rows - 1 - row, columns - 1 - column] } else { [row, column] };
            let [filter, channel] = if backward { [input, output] } else { [output, input] };
            (((group * filters + filter) * rows + row) * columns + column) * channels + channel
        });
    }
}

impl<T: Real> Step<T> for Conv2d {
    fn keeps_input(&self) -> bool {
        true
    }

    fn scratch(&self) -> [usize; 2] {
        [self.weights(), self.weights.scratch()]
    }

    fn forward(
        &mut self,
        _: Pass,
        parameters: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        scratch: &mut Scratch<T>,
    ) {
        let packed = &mut scratch.numbers[..self.weights()];
        let (weights, bias) = parameters.split_at(self.weights());
        self.pack(&self.forward, false, weights, packed);
        self.forward.run(x[0].expect("not in place"), packed, bias, false, y);
    }

    fn backward_parameters(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        gradient: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (x, dy) = (kept.input(0), kept.error());
        let (dw, db) = gradient.split_at_mut(self.weights());
        if self.transposed {
            // [channel][row][column][filter], turned into [filter][row][column][channel].
            let turned = &mut scratch.numbers[..self.weights()];
            self.weights.compute(dy, x, turned, &mut scratch.lanes);
            let taps = self.filter[0] * self.filter[1];
            for (place, dw) in dw.iter_mut().enumerate() {
                let (channel, tap) = (place % self.channels, place / self.channels % taps);
                let filter = place / (self.channels * taps);
                *dw = turned[(channel * taps + tap) * self.filters + filter];
            }
        } else {
            self.weights.compute(x, dy, dw, &mut scratch.lanes);
        }
        bias_gradient(dy, db);
    }

    fn backward_input(
        &mut self,
        _: Pass,
        parameters: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        scratch: &mut Scratch<T>,
    ) {
        let packed = &mut scratch.numbers[..self.weights()];
        self.pack(&self.backward, true, &parameters[..self.weights()], packed);
        self.backward.run(kept.error(), packed, &[], add, dx);
    }
}
