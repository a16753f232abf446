//! Parameters in `f32` as safetensors files: `NAME.weight` (a convolution's OHWI, a dense layer's `[output][input]`) and
//! `NAME.bias` of each layer, in the library's order.

use crate::nn::{Layer, Network, Node};
use crate::quantize::ModelError;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::ops::Range;

/// Name, shape and place of the tensors of a layer.
fn tensors(node: &Node) -> Vec<(String, Vec<usize>, Range<usize>)> {
    let [height, width, outputs] = node.output;
    let channels = node.input[2];
    let weights = match &node.layer {
        Layer::Conv2d(conv) => vec![outputs, conv.filter[0], conv.filter[1], channels / conv.groups],
        Layer::TransposedConv2d(conv) => vec![outputs, conv.filter[0], conv.filter[1], channels],
        Layer::DepthwiseConv2d(conv) => vec![conv.filter[0], conv.filter[1], outputs],
        Layer::LocallyConnected2d(conv) => {
            vec![height, width, outputs, conv.filter[0], conv.filter[1], channels]
        }
        Layer::Dense { .. } => vec![outputs, node.fan_in()],
        _ => vec![node.weights.len()],
    };
    let bias = match node.layer {
        Layer::LocallyConnected2d(_) => vec![height, width, outputs],
        _ => vec![node.bias.len()],
    };
    let tensors = [("weight", weights, &node.weights), ("bias", bias, &node.bias)];
    let present = tensors.into_iter().filter(|(_, _, range)| !range.is_empty());
    present.map(|(part, shape, range)| (format!("{}.{part}", node.name), shape, range.clone())).collect()
}

/// The parameters as the bytes of a safetensors file.
///
/// # Errors
/// When the format refuses them.
///
/// # Panics
/// When `parameters` are not the network's.
pub fn to_bytes(network: &Network, parameters: &[f32]) -> Result<Vec<u8>, ModelError> {
    assert_eq!(parameters.len(), network.parameters());
    let bytes: Vec<u8> = parameters.iter().flat_map(|p| p.to_le_bytes()).collect();
    let views = network
        .nodes()
        .iter()
        .flat_map(tensors)
        .map(|(name, shape, range)| {
            let bytes = &bytes[4 * range.start..4 * range.end];
            Ok((name, TensorView::new(Dtype::F32, shape, bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// The parameters of `network` from the bytes of a safetensors file.
///
/// # Errors
/// When they are no such file, or one of another network.
pub fn from_bytes(network: &Network, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut parameters = vec![0.0; network.parameters()];
    for node in network.nodes() {
        for (name, shape, range) in tensors(node) {
            let tensor = file.tensor(&name)?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(ModelError::Content {
                    reason: format!("{:?} {:?} instead of F32 {shape:?}", tensor.dtype(), tensor.shape()),
                    name,
                });
            }
            let values = tensor.data().as_chunks::<4>().0;
            for (parameter, value) in parameters[range].iter_mut().zip(values) {
                *parameter = f32::from_le_bytes(*value);
            }
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lenet;
    use crate::nn::Initialization;

    #[test]
    fn round_trip() {
        let network = Network::new(lenet::INPUT, &lenet::LAYERS).unwrap();
        let mut parameters = network.initialize(Initialization::He, 9);
        parameters[network.nodes()[0].bias.start] = -0.25;
        let bytes = to_bytes(&network, &parameters).unwrap();
        assert_eq!(from_bytes(&network, &bytes).unwrap(), parameters);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("conv2.weight").unwrap().shape(), [16, 5, 5, 6]);
        assert_eq!(file.tensor("dense1.weight").unwrap().shape(), [120, 400]);
        assert_eq!(file.names().len(), 10);
    }

    #[test]
    fn other_files_are_refused() {
        let network = Network::new([2, 2, 1], &[Layer::dense(3)]).unwrap();
        let other = Network::new([2, 2, 1], &[Layer::dense(2)]).unwrap();
        let bytes = to_bytes(&other, &[0.5; 10]).unwrap();
        let message = from_bytes(&network, &bytes).unwrap_err().to_string();
        assert!(message.contains("dense1.weight"), "{message}");
        assert!(message.contains("F32 [3, 4]"), "{message}");
        for cut in 0..bytes.len() {
            assert!(from_bytes(&other, &bytes[..cut]).is_err(), "cut to {cut}");
        }
    }
}
