//! What convolutions of every kind, locally connected and dense layers have in common: a sum over taps.

use crate::graph::{Node, Operator, Shape, Weights};
use bareconv::Activation;
use std::ops::Range;

/// The places of a linear layer's weights, from the weights' canonical order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    kind: Kind,
    /// Taps of the filter: height x width.
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 4],
    input: Shape,
    /// Height and width of the output, before any pooling.
    output: [usize; 2],
    /// Output channels.
    channels: usize,
    groups: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// `[filter][height][width][channel of the group]`.
    Convolution,
    /// `[height][width][output channel]`.
    Depthwise,
    /// `[filter][height][width][channel]`, and each input pixel is spread.
    Transposed,
    /// `[output row][output column][filter][height][width][channel]`.
    LocallyConnected,
}

impl Taps {
    /// The taps of a node, if it has weights.
    pub(super) fn of(node: &Node) -> Option<Self> {
        Some(match &node.operator {
            Operator::Conv2d { shape, .. }
            | Operator::Dense { shape, .. }
            | Operator::LocallyConnected { shape, .. } => Self {
                kind: match node.operator {
                    Operator::LocallyConnected { .. } => Kind::LocallyConnected,
                    _ => Kind::Convolution,
                },
                filter: shape.filter,
                stride: shape.stride,
                dilation: shape.dilation,
                padding: shape.padding,
                input: shape.input,
                output: shape.convolved(),
                channels: shape.filters,
                groups: shape.groups,
            },
            Operator::Depthwise { shape, .. } => {
                let [height, width, channels] = shape.output();
                Self {
                    kind: Kind::Depthwise,
                    filter: shape.filter,
                    stride: shape.stride,
                    dilation: shape.dilation,
                    padding: shape.padding,
                    input: shape.input,
                    output: [height, width],
                    channels,
                    groups: shape.input[2],
                }
            }
            Operator::Transposed { shape, .. } => {
                let [height, width, channels] = shape.output();
                Self {
                    kind: Kind::Transposed,
                    filter: shape.filter,
                    stride: shape.stride,
                    dilation: [1, 1],
                    padding: shape.padding,
                    input: shape.input,
                    output: [height, width],
                    channels,
                    groups: 1,
                }
            }
            _ => return None,
        })
    }

    /// Output channels.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Outputs with a filter, a bias and a scale of their own: the output channels; of a locally connected layer all output
    /// values.
    pub(super) fn outputs(&self) -> usize {
        self.channels * self.sets()
    }

    /// How often there is a filter for each output channel: once, or for each output pixel.
    pub(super) fn sets(&self) -> usize {
        if self.kind == Kind::LocallyConnected { self.output[0] * self.output[1] } else { 1 }
    }

    /// Input channels, those of all groups.
    pub(super) fn input_channels(&self) -> usize {
        self.input[2]
    }

    /// Weights of an output.
    pub(super) fn len(&self) -> usize {
        self.filter[0] * self.filter[1] * (self.input[2] / self.groups)
    }

    /// The places of an output's weights.
    pub(super) fn channel(&self, output: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (len, stride, first) = match self.kind {
            Kind::Depthwise => (self.len(), self.channels, output),
            _ => (self.len(), 1, output * self.len()),
        };
        (0..len).map(move |tap| first + tap * stride)
    }

    /// The output of the weight at a place.
    pub(super) fn output_of(&self, place: usize) -> usize {
        match self.kind {
            Kind::Depthwise => place % self.channels,
            _ => place / self.len(),
        }
    }

    /// The input channel that the weight at a place is multiplied with.
    pub(super) fn input_of(&self, place: usize) -> usize {
        let group = self.output_of(place) % self.channels / (self.channels / self.groups);
        match self.kind {
            Kind::Depthwise => group,
            _ => {
                let of_group = self.input[2] / self.groups;
                group * of_group + place % of_group
            }
        }
    }

    /// The place among [`Self::means`] of what the weight at a place is multiplied with.
    pub(super) fn mean_of(&self, place: usize) -> usize {
        let tap = match self.kind {
            Kind::Depthwise => place / self.channels,
            _ => place % self.len() / (self.input[2] / self.groups),
        };
        let set = if self.kind == Kind::LocallyConnected { self.output_of(place) / self.channels } else { 0 };
        (set * self.filter[0] * self.filter[1] + tap) * self.input[2] + self.input_of(place)
    }

    /// How many means there are: taps x input channels, for each set of filters.
    pub(super) fn means(&self) -> usize {
        self.sets() * self.filter[0] * self.filter[1] * self.input[2]
    }

    /// Adds to `sums`, for each tap and input channel, the mean over all output pixels of what the tap sees: padding is 0. As
    /// the layer is linear, the mean of an output channel over its pixels, before the activation, is its bias plus the sum of
    /// its weights, each times its mean. A locally connected layer's outputs are of one pixel each.
    pub(super) fn add_means(&self, input: &[f32], sums: &mut [f64]) {
        let [height, width, channels] = self.input;
        if self.kind == Kind::LocallyConnected {
            let mut patch = Vec::with_capacity(self.len());
            for (pixel, sums) in sums.chunks_exact_mut(self.len()).enumerate() {
                patch.clear();
                self.add_patch(input, pixel, &mut patch);
                sums.iter_mut().zip(&patch).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            return;
        }
        let [out_height, out_width] = self.output;
        let each = 1.0 / (out_height * out_width) as f64;
        let mut tap_sums = vec![0.0_f64; channels];
        for i in 0..self.filter[0] {
            for j in 0..self.filter[1] {
                tap_sums.fill(0.0);
                for y in self.rows(0, i, height, out_height) {
                    for x in self.rows(1, j, width, out_width) {
                        let pixel = &input[(y * width + x) * channels..][..channels];
                        tap_sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
                    }
                }
                let sums = &mut sums[(i * self.filter[1] + j) * channels..][..channels];
                sums.iter_mut().zip(&tap_sums).for_each(|(sum, tap)| *sum += tap * each);
            }
        }
    }

    /// Whether all output channels of a pixel see the same: it is a convolution without groups, a dense or a locally connected
    /// layer.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Convolution | Kind::LocallyConnected) && self.groups == 1
    }

    /// What a set of filters of a layer that [is plain](Self::is_plain) sees: as many values as a filter has weights, in their
    /// order, for each pixel. Filters that all output pixels share see `count` of them in each sample, spread over it and over
    /// all samples.
    pub(super) fn patches(&self, set: usize, samples: &[Vec<f32>], count: usize) -> Vec<f32> {
        let shared = self.kind != Kind::LocallyConnected;
        let pixels = self.output[0] * self.output[1];
        let count = if shared { count.min(pixels) } else { 1 };
        let mut patches = Vec::with_capacity(samples.len() * count * self.len());
        for (number, sample) in samples.iter().enumerate() {
            for pixel in 0..count {
                // Another first pixel for each sample.
                let pixel = if shared { (pixel * pixels / count + number * 7919) % pixels } else { set };
                self.add_patch(sample, pixel, &mut patches);
            }
        }
        patches
    }

    /// Appends what the filters of a layer that [is plain](Self::is_plain) see at an output pixel.
    fn add_patch(&self, sample: &[f32], pixel: usize, patches: &mut Vec<f32>) {
        let [height, width, channels] = self.input;
        let (y, x) = (pixel / self.output[1], pixel % self.output[1]);
        for i in 0..self.filter[0] {
            for j in 0..self.filter[1] {
                let row = (y * self.stride[0] + i * self.dilation[0]).wrapping_sub(self.padding[0]);
                let column = (x * self.stride[1] + j * self.dilation[1]).wrapping_sub(self.padding[1]);
                if row < height && column < width {
                    patches.extend_from_slice(&sample[(row * width + column) * channels..][..channels]);
                } else {
                    patches.resize(patches.len() + channels, 0.0);
                }
            }
        }
    }

    /// The input rows (axis 0) or columns (1) that a tap sees, one for each output row whose tap is no padding.
    fn rows(&self, axis: usize, tap: usize, size: usize, outputs: usize) -> impl Iterator<Item = usize> + use<> {
        let (stride, before) = (self.stride[axis], self.padding[axis]);
        let offset = tap * self.dilation[axis];
        let transposed = self.kind == Kind::Transposed;
        let count = if transposed { size } else { outputs };
        (0..count).filter_map(move |at| {
            if transposed {
                // The other way round: an input row counts if it reaches an output row.
                (at * stride + offset).checked_sub(before).filter(|&row| row < outputs).map(|_| at)
            } else {
                (at * stride + offset).checked_sub(before).filter(|&row| row < size)
            }
        })
    }
}

/// Weights and biases of a linear layer in `f32`.
pub(super) fn floats(node: &Node) -> Option<(&[f32], &[f32])> {
    match node.operator.weights() {
        Some(Weights::F32 { weights, bias }) => Some((weights, bias)),
        _ => None,
    }
}

/// The activation fused into a linear layer.
pub(super) fn activation_of(node: &Node) -> Option<Activation> {
    match node.operator {
        Operator::Conv2d { activation, .. }
        | Operator::Dense { activation, .. }
        | Operator::Depthwise { activation, .. }
        | Operator::Transposed { activation, .. }
        | Operator::LocallyConnected { activation, .. } => Some(activation),
        _ => None,
    }
}

/// The linear layers of a list of nodes, by their places in it.
pub(super) fn linear(nodes: &[Node], range: Range<usize>) -> impl Iterator<Item = (usize, Taps)> + '_ {
    range.filter_map(|number| Some((number, Taps::of(&nodes[number])?)))
}
