use super::{QuantizedKind, QuantizedNetwork};
use crate::export::{ExportError, shape};
use crate::graph::{Element, Graph, Node, Operator, Rounding, Scales, Value, ValueId, Weights};
use bareconv::Activation;

impl QuantizedNetwork {
    /// The network as a [`Graph`], its intermediate form for planning, running and export. `source` says, for people, what
    /// it was made from.
    ///
    /// # Errors
    /// Where a layer breaks one of the library's rules, or the layers are no chain.
    pub fn to_graph(&self, source: &str) -> Result<Graph, ExportError> {
        let chain = |reason: String| ExportError::Chain { network: self.name.clone(), reason };
        let first = self.layers.first().ok_or_else(|| chain("there are none".to_owned()))?;
        let value = |name: &str, shape: [usize; 3], element| Value {
            name: name.to_owned(),
            shape,
            dimensions: [&[1], &shape[..]].concat(),
            element,
            constant: None,
        };
        let mut values = vec![value("input", first.input_shape, Element::Int8(first.input))];
        let mut nodes = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            if values[i].shape != layer.input_shape || values[i].element != Element::Int8(layer.input) {
                return Err(chain(format!("`{}` does not take what `{}` gives", layer.name, values[i].name)));
            }
            let weights = Weights::Int8 {
                weights: layer.weights.clone(),
                scales: Scales::PerChannel(layer.weight_scales.clone()),
                bias: layer.bias.clone(),
                wide_bias: false,
            };
            let activation = if layer.relu { Activation::Relu } else { Activation::Identity };
            let shape = shape(layer)?;
            let operator = match layer.kind {
                QuantizedKind::Dense => Operator::Dense { shape, weights, activation },
                QuantizedKind::Conv2d { .. } => Operator::Conv2d { shape, weights, activation },
            };
            let place = format!("layer {i}");
            nodes.push(Node {
                name: layer.name.clone(),
                place,
                operator,
                inputs: vec![ValueId(i)],
                output: ValueId(i + 1),
            });
            values.push(value(&layer.name, layer.output_shape, Element::Int8(layer.output)));
        }
        let outputs = vec![ValueId(nodes.len())];
        let (name, source) = (self.name.clone(), source.to_owned());
        Ok(Graph { name, source, rounding: Rounding::Single, values, nodes, inputs: vec![ValueId(0)], outputs })
    }
}
