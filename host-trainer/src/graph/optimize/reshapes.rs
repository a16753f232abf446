//! Reshapes: a plan makes them mere names, but they stand between operators that could see each other.

use super::bypass;
use crate::graph::{Graph, Operator};

pub(super) fn drop(graph: &mut Graph) -> usize {
    let mut changed = 0;
    // What each value is a reshape of.
    let mut sources: Vec<_> = (0..graph.values.len()).collect();
    for number in 0..graph.nodes.len() {
        let node = &graph.nodes[number];
        let Some(&input) = node.inputs.first() else { continue };
        // A dense layer of one row reads its input whole, whatever its shape.
        let whole = match &node.operator {
            Operator::Reshape => true,
            Operator::Dense { shape, .. } => shape.input[0] == 1 && shape.input[1] == 1,
            _ => false,
        };
        if whole && sources[input.0] != input.0 {
            graph.nodes[number].inputs[0].0 = sources[input.0];
            changed += 1;
        }
        let node = &graph.nodes[number];
        if node.operator == Operator::Reshape {
            sources[node.output.0] = sources[node.inputs[0].0];
        }
    }
    changed
        + bypass(graph, |graph, _, node| {
            let &[input] = node.inputs.as_slice() else { return None };
            let same = graph.value(input).shape == graph.value(node.output).shape;
            (node.operator == Operator::Reshape && same).then_some(input)
        })
}
