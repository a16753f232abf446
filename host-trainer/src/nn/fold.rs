//! Batch normalization folded into the layers before it.

use super::layer::Layer;
use super::network::{Network, NetworkBuilder, Node, Value};
use bareconv::{BatchNormParameters, ShapeError};

/// A network with its numbers.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The network.
    pub network: Network,
    /// Its parameters.
    pub parameters: Vec<f32>,
    /// The moving averages of what batch normalization is left.
    pub state: Vec<f32>,
}

/// Batch normalization of this node could not be folded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{node}`: {rule}; was the network trained?")]
pub struct FoldError {
    /// The node's name.
    pub node: String,
    /// The rule that its numbers break.
    pub rule: ShapeError,
}

impl Network {
    /// The network that computes the same in inference without batch normalization, wherever one follows a layer with
    /// filters and nothing else takes that layer's output: by the library's rule, [`BatchNormParameters`]. It is what is
    /// quantized, and what quantization-aware training goes on with.
    ///
    /// # Errors
    /// When a moving average is not finite, or a variance negative.
    ///
    /// # Panics
    /// When `parameters` or `state` are not the network's.
    pub fn fold_batch_norm(&self, parameters: &[f32], state: &[f32]) -> Result<Folded, FoldError> {
        assert_eq!(parameters.len(), self.parameters(), "the network's parameters");
        assert_eq!(state.len(), self.state(), "the network's moving averages");
        let mut builder = NetworkBuilder::new(self.input_shape());
        let mut values = vec![builder.input()];
        let (mut numbers, mut averages): (Vec<Vec<f32>>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
        // The place of a node among those of the new network, by its value in this one.
        let mut places = vec![None];
        for (index, node) in self.nodes().iter().enumerate() {
            let input = node.inputs[0];
            let before = self.producer(input).map(|producer| &self.nodes()[producer]);
            if let (Layer::BatchNorm { epsilon, .. }, Some(before), Some(place)) =
                (&node.layer, before, places[input.0])
                && before.layer.has_filters()
                && self.takers(input) == 1
            {
                let (mean, variance) = state[node.state.clone()].split_at(node.state.len() / 2);
                let (gamma, beta) = (&parameters[node.weights.clone()], &parameters[node.bias.clone()]);
                let norm = BatchNormParameters { gamma, beta, mean, variance, epsilon: *epsilon };
                let filters: &mut Vec<f32> = &mut numbers[place];
                let bias = filters.split_off(before.weights.len());
                let bias =
                    fold(&norm, before, filters, bias).map_err(|rule| FoldError { node: node.name.clone(), rule })?;
                filters.extend(bias);
                values.push(values[input.0]);
                places.push(None);
                continue;
            }
            let mut layer = node.layer.clone();
            let folds = self
                .nodes()
                .iter()
                .any(|next| matches!(next.layer, Layer::BatchNorm { .. }) && next.inputs[0] == self.value(index));
            if folds && self.takers(self.value(index)) == 1 {
                match &mut layer {
                    Layer::Conv2d(conv) | Layer::LocallyConnected2d(conv) => conv.bias = true,
                    Layer::DepthwiseConv2d(conv) => conv.bias = true,
                    Layer::TransposedConv2d(conv) => conv.bias = true,
                    Layer::Dense { bias, .. } => *bias = true,
                    _ => (),
                }
            }
            let inputs: Vec<Value> = node.inputs.iter().map(|input| values[input.0]).collect();
            let value = builder.add_named(&node.name, layer, &inputs);
            values.push(value.expect("a bias changes no shape"));
            places.push(Some(numbers.len()));
            numbers.push(parameters[node.parameters()].to_vec());
            averages.push(state[node.state.clone()].to_vec());
        }
        let network = builder.finish(values[self.output().0]).expect("every output is taken as before");
        Ok(Folded { network, parameters: numbers.concat(), state: averages.concat() })
    }

    /// How often a value is taken, by nodes or as the output.
    pub(super) fn takers(&self, value: Value) -> usize {
        let nodes = self.nodes().iter().flat_map(|node| &node.inputs).filter(|&&input| input == value).count();
        nodes + usize::from(self.output() == value)
    }
}

/// Folds a normalization into filters and gives the biases, which may have been none.
fn fold(
    norm: &BatchNormParameters<'_>,
    node: &Node,
    filters: &mut [f32],
    mut bias: Vec<f32>,
) -> Result<Vec<f32>, ShapeError> {
    let channels = norm.gamma.len();
    if let Layer::LocallyConnected2d(_) = node.layer {
        // Filters and biases of each pixel by themselves.
        norm.check(channels)?;
        bias.resize(filters.len() / node.fan_in(), 0.0);
        for (output, (filter, bias)) in filters.chunks_exact_mut(node.fan_in()).zip(&mut bias).enumerate() {
            let scale = norm.scale(output % channels);
            for weight in filter {
                *weight = (f64::from(*weight) * scale) as f32;
            }
            *bias = norm.fold_bias(output % channels, *bias);
        }
        return Ok(bias);
    }
    bias.resize(channels, 0.0);
    if matches!(node.layer, Layer::DepthwiseConv2d(_)) {
        norm.fold_channel_last(filters, &mut bias)?;
    } else {
        norm.fold(filters, &mut bias)?;
    }
    Ok(bias)
}
