//! Normalization of the input, made a part of the network.

use super::layer::{DepthwiseConv2d, Layer, size};
use super::network::{Network, NetworkBuilder, Node, Value};

/// The layer that normalizes where no other can.
const NAME: &str = "normalization";

impl Network {
    /// The network, and its parameters, that computes of `x` what this one computes of `scales[c] * x + shifts[c]` in every
    /// channel `c`: for inputs whose integers have one scale for all channels.
    ///
    /// If a dense or locally connected layer, or a convolution, is all that takes the input, it becomes a part of that; of a
    /// convolution with padding, which has no place for them, only where there are no shifts. Otherwise it is a depthwise
    /// convolution of 1 x 1 before everything: what pads the input afterwards are zeros of its output. The moving averages
    /// stay as they are.
    ///
    /// # Panics
    /// When `parameters` are not the network's, or there is not one of the others for each channel.
    #[must_use]
    pub fn behind_normalization(&self, parameters: &[f32], scales: &[f32], shifts: &[f32]) -> (Self, Vec<f32>) {
        assert_eq!(parameters.len(), self.parameters(), "the network's parameters");
        let channels = self.input_shape()[2];
        assert_eq!((scales.len(), shifts.len()), (channels, channels), "one for each channel");
        let mut takers = (0..self.nodes().len()).filter(|&node| self.nodes()[node].inputs.contains(&self.input()));
        let first = takers.next().filter(|_| self.takers(self.input()) == 1);
        let folds = |layer: &Layer| match layer {
            Layer::Dense { .. } | Layer::LocallyConnected2d(_) => true,
            Layer::Conv2d(conv) => conv.padding == [0; 4] || shifts.iter().all(|&shift| shift == 0.0),
            _ => false,
        };
        let first = first.filter(|&node| folds(&self.nodes()[node].layer));

        let mut builder = NetworkBuilder::new(self.input_shape());
        let mut numbers = Vec::with_capacity(parameters.len() + 2 * channels);
        let mut input = builder.input();
        if first.is_none() {
            let mut name = NAME.to_owned();
            while self.nodes().iter().any(|node| node.name == name) {
                name.push('_');
            }
            let layer = DepthwiseConv2d::new([1, 1]);
            input = builder.add_named(&name, layer, &[input]).expect("a filter of one pixel fits everything");
            numbers.extend(scales.iter().chain(shifts));
        }
        let mut values = vec![input];
        for (index, node) in self.nodes().iter().enumerate() {
            let (mut layer, own) = (node.layer.clone(), &parameters[node.parameters()]);
            if first == Some(index) {
                let (weights, bias) = own.split_at(node.weights.len());
                // Filter by filter; the channels of its group come again and again.
                let (outputs, groups) = match &mut layer {
                    Layer::Conv2d(conv) => {
                        conv.bias = true;
                        (conv.filters, conv.groups)
                    }
                    Layer::Dense { outputs, bias } => {
                        *bias = true;
                        (*outputs, 1)
                    }
                    Layer::LocallyConnected2d(conv) => {
                        conv.bias = true;
                        (size(node.output), 1)
                    }
                    _ => unreachable!("nothing else folds"),
                };
                let (length, together) = (weights.len() / outputs, channels / groups);
                let mut biases = Vec::with_capacity(outputs);
                for (output, filter) in weights.chunks_exact(length).enumerate() {
                    let start = output / (outputs / groups) * together;
                    let mut sum = bias.get(output).map_or(0.0, |&bias| f64::from(bias));
                    for (place, &weight) in filter.iter().enumerate() {
                        let channel = start + place % together;
                        if !sees_padding(node, output, place) {
                            sum += f64::from(weight) * f64::from(shifts[channel]);
                        }
                        numbers.push((f64::from(weight) * f64::from(scales[channel])) as f32);
                    }
                    biases.push(sum as f32);
                }
                numbers.extend(biases);
            } else {
                numbers.extend_from_slice(own);
            }
            let inputs: Vec<Value> = node.inputs.iter().map(|input| values[input.0]).collect();
            values.push(builder.add_named(&node.name, layer, &inputs).expect("its shapes are as before"));
        }
        let network = builder.finish(values[self.output().0]).expect("every output is taken as before");
        (network, numbers)
    }
}

/// Whether a weight of an output of a locally connected layer is multiplied with padding, which is 0 before and after the
/// normalization. As each output has a bias of its own, this is known.
fn sees_padding(node: &Node, output: usize, place: usize) -> bool {
    let Layer::LocallyConnected2d(conv) = node.layer else { return false };
    let ([height, width, channels], [_, out_width, filters]) = (node.input, node.output);
    let (pixel, tap) = (output / filters, place / channels);
    let at = |axis: usize, pixel: usize, tap: usize| {
        (pixel * conv.stride[axis] + tap * conv.dilation[axis]).wrapping_sub(conv.padding[axis])
    };
    at(0, pixel / out_width, tap / conv.filter[1]) >= height || at(1, pixel % out_width, tap % conv.filter[1]) >= width
}
