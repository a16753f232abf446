//! Operators that give what they get.

use super::{Links, bypass};
use crate::graph::{Element, Graph, Node, Operator, ValueId};
use bareconv::Activation;

pub(super) fn drop(graph: &mut Graph) -> usize {
    bypass(graph, same)
}

/// The value that a node's output is the same as.
fn same(graph: &Graph, links: &Links, node: &Node) -> Option<ValueId> {
    let &[input] = node.inputs.as_slice() else { return None };
    let (from, to) = (graph.value(input), graph.value(node.output));
    if node.operator == Operator::Quantize {
        return dequantized(graph, links, node.output, input);
    }
    if from.shape != to.shape || from.element != to.element {
        return None;
    }
    let unchanged = match &node.operator {
        // The ratio of the scales is 1: a multiplier of 2^30, shifted by 1, is exact for all integers of 16 bits.
        Operator::Requantize => true,
        Operator::Concatenate { .. } => true,
        // Of the input's shape, and within it: from the first value to the last, or backwards.
        Operator::Slice { stride, .. } => (0..3).all(|axis| stride[axis] > 0 || from.shape[axis] == 1),
        Operator::Pad { .. } => true,
        Operator::MaxPool { shape, activation: Activation::Identity } => {
            shape.window == [1, 1] && shape.stride == [1, 1]
        }
        // The sum of one value is that value, except that `0.0 + -0.0` is `0.0`.
        Operator::AveragePool { shape, activation: Activation::Identity, .. } => {
            shape.window == [1, 1] && shape.stride == [1, 1] && to.element != Element::F32
        }
        // Every place is its own nearest, whichever points of the pixels are compared.
        Operator::ResizeNearest { .. } => true,
        _ => false,
    };
    unchanged.then_some(input)
}

/// What a value was dequantized from, if quantizing it gives just that.
///
/// Both use the same scale and zero point. `scale * (q - zero point)` is rounded once and the quotient by the scale again,
/// each by a part in 2^24; of numbers of at most 17 bits that is far from a half. It holds as long as no product leaves
/// the range of normal numbers.
fn dequantized(graph: &Graph, links: &Links, output: ValueId, input: ValueId) -> Option<ValueId> {
    let producer = links.producers[input.0].map(|producer| &graph.nodes[producer])?;
    let source = *producer.inputs.first()?;
    let (from, to) = (graph.value(source), graph.value(output));
    let scale = match to.element {
        Element::Int8(quantization) => quantization.scale,
        Element::Int16(scale) => scale,
        Element::F32 => return None,
    };
    let normal = scale >= f32::MIN_POSITIVE && scale * 65_536.0 < f32::MAX;
    let back = producer.operator == Operator::Dequantize && from.element == to.element && from.shape == to.shape;
    (normal && back).then_some(source)
}
