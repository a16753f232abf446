//! Maximum pooling becomes part of the convolution before it.

use super::{Links, activations, remove};
use crate::graph::{Graph, Operator};
use bareconv::Conv2dShape;

/// Windows side by side, without padding, are what a convolution can pool by itself. It compares in the same order; in
/// integers it compares sums before they are requantized, which keeps their order. An activation behind the pooling comes
/// before it, as [`activations`] allows.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let mut links = Links::of(graph);
    let mut marked = vec![false; graph.nodes.len()];
    for (number, marked) in marked.iter_mut().enumerate() {
        let node = &graph.nodes[number];
        let Operator::MaxPool { shape: pool, activation } = node.operator else { continue };
        let (input, output) = (node.inputs[0], graph.value(node.output));
        let (pooled, element) = (output.shape, output.element);
        if pool.window != pool.stride || pool.padding != [0; 4] {
            continue;
        }
        let Some(producer) = links.sole_producer(input) else { continue };
        let operator = &mut graph.nodes[producer].operator;
        let Operator::Conv2d { shape, .. } = operator else { continue };
        let fused = Conv2dShape { pool: pool.window, ..*shape };
        if shape.pool != [1, 1] || fused.check().is_err() || fused.output() != pooled {
            continue;
        }
        if !activations::add(operator, activation, element) {
            continue;
        }
        if let Operator::Conv2d { shape, .. } = operator {
            *shape = fused;
        }
        links.absorb(graph, producer, number);
        *marked = true;
    }
    remove(graph, &marked)
}
